"""One detector per statistic: its alarms on simulated light, and its power in theory.

Server's tests run the project's `Verifier`, through its limits on the sums; the others run the
pure tests of `protocol.verification`. Honest light goes the same way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import f as f_law

from drivers.backend import ServerOpticsInfo
from drivers.receivers import FeedForwardTap
from protocol.verification.acceptance import AcceptanceLimits, acceptance_limits
from protocol.verification.audit import audit_limits
from protocol.verification.client_tests import client_limits
from protocol.verification.exact_tails import two_group_tails
from protocol.verification.expected import expected_return
from protocol.verification.moments import (
    FOURTH_MOMENT_LEAST,
    kurtosis_score,
    mixture_kurtosis,
)
from protocol.verification.power import (
    allowed_count,
    count_power,
    gain_power,
    vacuum_power,
    variance_power,
)
from protocol.verification.verifier import TESTS, Verifier
from sim_backend.adversaries.adversary import Statistic
from sim_backend.adversaries.block_statistics import BlockShape, draw_blocks
from sim_backend.adversaries.light import ReturnedLight, honest_probe, honest_return
from sim_backend.adversaries.servers import ProbesInP, SqueezedProbes
from veilight.attacks.cases import MODES, Case

__all__ = ["DETECTORS", "Detector", "block_shape", "verifier_limits"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

HONEST_ABORTS = 1e-3
"""Share of honest sessions that abort for reasons of their own, such as an unplugged fibre."""

CHEATING_ABORTS = 0.999
"""Share of cheating sessions that abort: the power of the tests."""

PIECE = 1 << 21
"""Values that are drawn at a time where every symbol counts."""


class Detector(Protocol):
    """A test that can be simulated and worked out; numbers count what the test counts."""

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """Alarms by test of `trials` independent repetitions; its own test is among them."""

    def power(self, case: Case, number: float, alpha: float) -> float:
        """Probability of an alarm in theory."""

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """Exact probability of a false alarm."""


def block_shape(case: Case, number: int) -> BlockShape:
    """A block of about `number` symbols per quadrature: rows of 784 modes, a shorter one below."""
    frames = max(1, round(number / MODES))
    return BlockShape(
        frames=frames,
        modes=max(2, round(number / frames)),
        photons_per_symbol=case.photons_per_symbol,
    )


def verifier_limits(case: Case, shape: BlockShape, alpha: float) -> AcceptanceLimits:
    """The limits of the server's verifier where each of its tests has the rate `alpha`."""
    receiver = case.scene.receiver
    info = ServerOpticsInfo(
        backend="symbol",
        simulated=True,
        seed=None,
        modes_per_frame=shape.modes,
        symbol_rate_hz=1e9,
        data_mode_excess_x_snu=receiver.excess_noise_x_snu,
        data_mode_excess_p_snu=receiver.excess_noise_p_snu,
    )
    # The data mode holds the share 1/N of the launched energy: see the draws.
    verifier = Verifier(
        expected_return(info, receiver, alignment=1 / shape.modes),
        false_alarm=alpha * len(TESTS),
        blocks=1,
    )
    return acceptance_limits(
        verifier,
        rows=shape.rows,
        frames=shape.frames,
        modes=shape.modes,
        row_energy_snu=shape.row_energy_snu,
    )


@dataclass(frozen=True, kw_only=True)
class ServerTest:
    """One test of the verifier; the alarms of the others come along."""

    statistic: Statistic

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        shape = block_shape(case, number)
        limits = verifier_limits(case, shape, alpha)
        light = honest_return(case.scene.receiver)
        sums = draw_blocks(
            light if honest else case.adversary.returned(light), shape, trials, random
        )
        return limits.alarms(sums.projection_snu, sums.residual_x_snu, sums.residual_p_snu)

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; light and limits of the named test alone."""
        light = honest_return(case.scene.receiver)
        tampered = case.adversary.returned(light)
        mu, modes = case.photons_per_symbol, min(MODES, max(2, round(number)))
        if self.statistic == "gain":
            variance = _mean_variance(tampered, modes, 0.0)[0]
            return gain_power(number, tampered.gain, mu, alpha, variance_snu=variance)
        column = 0 if self.statistic == "X variance" else 1
        share = tampered.hit.share if tampered.hit else 0.0
        ratio = (
            _mean_variance(tampered, modes, mu)[column] / _mean_variance(light, modes, mu)[column]
        )
        if not share or column or tampered.hit is None:
            return variance_power(number, ratio, alpha)
        return _mixture_power(number, share, tampered.hit.added_x_snu, alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """See `Detector`; the verifier's limits under the exact law of the sum."""
        shape = block_shape(case, number)
        limits = verifier_limits(case, shape, alpha)
        light = honest_return(case.scene.receiver)
        if self.statistic == "gain":
            energy = shape.row_energy_snu
            excess = light.data_mode_excess_x_snu / shape.modes
            deviation = math.sqrt(energy * (1 + excess))
            low, high = limits.projection_snu
            return float(ndtr((low - energy) / deviation) + ndtr((energy - high) / deviation))
        on_x = self.statistic == "X variance"
        low, high = limits.residual_x_snu if on_x else limits.residual_p_snu
        excess = light.data_mode_excess_x_snu if on_x else light.data_mode_excess_p_snu
        degrees = (shape.frames * (shape.modes - 1), shape.frames)
        return sum(two_group_tails(low, high, (1.0, 1 + excess), degrees))


@dataclass(frozen=True, kw_only=True)
class AuditTest:
    """The projection on an audited data vector; numbers count rows."""

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        light = honest_return(case.scene.receiver)
        low, high = audit_limits(number, 1.0, light.data_mode_excess_x_snu, alpha)
        seen = light if honest else case.adversary.returned(light)
        variance = seen.variance_x_snu + seen.data_mode_excess_x_snu
        sums = variance * random.chisquare(number, trials)
        return {"audited projection": ~((sums >= low) & (sums <= high))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        light = honest_return(case.scene.receiver)
        seen = case.adversary.returned(light)
        variance = seen.variance_x_snu + seen.data_mode_excess_x_snu
        return variance_power(number, variance / (1 + light.data_mode_excess_x_snu), alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; a chi-square quantile is exact."""
        return alpha


@dataclass(frozen=True, kw_only=True)
class VacuumTest:
    """Interleaved vacuum slots against as many reference ones."""

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        light = honest_return(case.scene.receiver)
        seen = light if honest else case.adversary.returned(light)
        ratio = seen.vacuum_variance_snu * random.chisquare(number, trials)
        ratio /= random.chisquare(number, trials)
        low, high = f_law.ppf(alpha / 2, number, number), f_law.isf(alpha / 2, number, number)
        return {"vacuum slots": ~((ratio >= low) & (ratio <= high))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        light = case.adversary.returned(honest_return(case.scene.receiver))
        return vacuum_power(number, light.vacuum_variance_snu, alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; a quantile of the F law is exact."""
        return alpha


@dataclass(frozen=True, kw_only=True)
class RailTest:
    """Values at the rails of the digitiser."""

    def _rate(self, light: ReturnedLight, honest: ReturnedLight) -> float:
        edge, deviation = light.converter_range_snu, math.sqrt(light.variance_x_snu)
        if not light.clips:
            edge = honest.converter_range_snu
        above = ndtr((light.offset_snu - edge) / deviation)
        return float(above + ndtr((-edge - light.offset_snu) / deviation))

    def _rates(self, case: Case) -> tuple[float, float]:
        light = honest_return(case.scene.receiver)
        tampered = case.adversary.returned(light)
        return 2 * float(ndtr(-tampered.converter_range_snu)), self._rate(tampered, light)

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        fair, rate = self._rates(case)
        counts = random.binomial(number, fair if honest else rate, trials)
        return {"rails": counts > allowed_count(number, fair, alpha)}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        fair, rate = self._rates(case)
        return count_power(round(number), fair, rate, alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """See `Detector`; counts are whole, so it lies below alpha."""
        fair, _ = self._rates(case)
        return count_power(number, fair, fair, alpha)


@dataclass(frozen=True, kw_only=True)
class AbortTest:
    """Aborted sessions, of which an honest client has few; numbers count sessions."""

    def _rate(self, case: Case) -> float:
        return CHEATING_ABORTS if "aborts" in case.adversary.changes else HONEST_ABORTS

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        rate = HONEST_ABORTS if honest else self._rate(case)
        counts = random.binomial(number, rate, trials)
        return {"aborts": counts > allowed_count(number, HONEST_ABORTS, alpha)}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        return count_power(round(number), HONEST_ABORTS, self._rate(case), alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; counts are whole, so it lies below alpha."""
        return count_power(number, HONEST_ABORTS, HONEST_ABORTS, alpha)


@dataclass(frozen=True, kw_only=True)
class FourthMomentTest:
    """Kurtosis of the deviations, drawn symbol by symbol."""

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        light = honest_return(case.scene.receiver)
        hit = None if honest else case.adversary.returned(light).hit
        second, fourth = [], []
        step = max(1, PIECE // number)
        for start in range(0, trials, step):
            values = random.standard_normal((min(step, trials - start), number))
            if hit is not None:
                struck = random.random(values.shape) < hit.share
                values *= np.where(struck, math.sqrt(1 + hit.added_x_snu), 1.0)
            np.square(values, out=values)
            second.append(values.sum(1))
            fourth.append(np.square(values).sum(1))
        scores = kurtosis_score(np.concatenate(second), np.concatenate(fourth), number)
        return {"fourth moment": ~(scores <= -ndtri(alpha))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; the mixture's kurtosis as a normal number beyond the score's limit."""
        hit = case.adversary.returned(honest_return(case.scene.receiver)).hit
        count = max(FOURTH_MOMENT_LEAST, round(number))
        if hit is None:
            return alpha
        limit = brentq(
            lambda kurtosis: _kurtosis_score(kurtosis, count) + ndtri(alpha), 3.0, float(count)
        )
        kurtosis, deviation = mixture_kurtosis(hit.share, hit.added_x_snu)
        return float(ndtr((kurtosis - limit) * math.sqrt(count) / deviation))

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; as the transformation of the score promises."""
        return alpha


@dataclass(frozen=True, kw_only=True)
class OutcomeTest:
    """The client's test of its own outcomes: floor against squeezing, ceiling against brightness.

    Squeezed probes are looked for below the floor, all others above the ceiling.
    """

    def _variances(self, case: Case) -> tuple[float, float, bool]:
        """Variance that the limit is set for, the tampered one, and whether it is a floor."""
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        seen = case.adversary.probes(fair)
        floor = isinstance(case.adversary, SqueezedProbes)
        return (fair.outcome_variance_snu if floor else fair.variance_snu), seen.variance_snu, floor

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        seen = fair if honest else case.adversary.probes(fair)
        limits = client_limits(number, fair.outcome_variance_snu, fair.signal_variance_snu, alpha)
        sums = seen.variance_snu * random.chisquare(number, trials)
        if isinstance(case.adversary, SqueezedProbes):
            return {"outcome variance": limits.squeezed(sums)}
        return {"outcome variance": limits.bright(sums)}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        limit, seen, floor = self._variances(case)
        if floor:
            return variance_power(number, seen / limit, alpha, lower_tail_only=True)
        return variance_power(number, seen / limit, 2 * alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """See `Detector`; honest weights lie above the floor, so it is below alpha there."""
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        limit, _, floor = self._variances(case)
        if floor:
            ratio = fair.variance_snu / limit
            return variance_power(number, ratio, alpha, lower_tail_only=True)
        return alpha


@dataclass(frozen=True, kw_only=True)
class RepeatTest:
    """Correlation of the client's outcomes at a known distance of rows."""

    def _shift(self, case: Case) -> tuple[float, float]:
        """Mean of y_i y_j over the variance, and its standard deviation per root row."""
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        share = case.adversary.probes(fair).repeated_share
        part = fair.signal_variance_snu / fair.variance_snu
        mean = share * part
        return mean, math.sqrt(1 + share * part**2 + share * part**2 * (1 - share))

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`; pairs of rows, the distance of which is known."""
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        share = 0.0 if honest else case.adversary.probes(fair).repeated_share
        signal, noise = math.sqrt(fair.signal_variance_snu), math.sqrt(fair.outcome_variance_snu)
        products = np.empty(trials)
        step = max(1, PIECE // number)
        for start in range(0, trials, step):
            size = (min(step, trials - start), number)
            first, second = random.standard_normal(size), random.standard_normal(size)
            second = np.where(random.random(size) < share, first, second)
            first, second = (
                signal * mean + noise * random.standard_normal(size) for mean in (first, second)
            )
            products[start : start + size[0]] = (first * second).sum(1)
        scores = products / (fair.variance_snu * math.sqrt(number))
        return {"repeated rows": ~(scores <= -ndtri(alpha))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; the normal law of a sum of products."""
        mean, deviation = self._shift(case)
        return float(ndtr((mean * math.sqrt(number) + ndtri(alpha)) / deviation))

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; normal for many rows."""
        return alpha


@dataclass(frozen=True, kw_only=True)
class ProbeAuditTest:
    """The client's audits of P of the data mode, where the server should put nothing."""

    def _ratio(self, case: Case, *, honest: bool) -> float:
        fair = honest_probe(case.scene.receiver, case.photons_per_symbol)
        if honest or not isinstance(case.adversary, ProbesInP):
            return 1.0
        # The outcome of a tap has the variance 1; weights of either sign make the mean a variance.
        tap = FeedForwardTap(tap_fraction=case.adversary.tap_fraction)
        return 1 + (tap.signal_gain * case.adversary.probes(fair).p_mean_snu) ** 2

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        limits = client_limits(number, 1.0, 0.0, alpha)
        sums = self._ratio(case, honest=honest) * random.chisquare(number, trials)
        return {"P audit": limits.bright(sums)}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        return variance_power(number, self._ratio(case, honest=False), 2 * alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; a chi-square quantile is exact."""
        return alpha


DETECTORS: dict[Statistic, Detector] = {
    "gain": ServerTest(statistic="gain"),
    "X variance": ServerTest(statistic="X variance"),
    "P variance": ServerTest(statistic="P variance"),
    "audited projection": AuditTest(),
    "vacuum slots": VacuumTest(),
    "rails": RailTest(),
    "aborts": AbortTest(),
    "fourth moment": FourthMomentTest(),
    "outcome variance": OutcomeTest(),
    "repeated rows": RepeatTest(),
    "P audit": ProbeAuditTest(),
}
"""The detector of every statistic; row sums are judged along with the verifier's others."""


def _kurtosis_score(kurtosis: float, count: int) -> float:
    """Score of a kurtosis of `count` values."""
    return float(kurtosis_score(np.array([1.0]), np.array([kurtosis / count]), count)[0])


def _mean_variance(light: ReturnedLight, modes: int, photons: float) -> tuple[float, float]:
    """Mean squared deviation per mode of X and P."""
    moved = (light.gain - 1) ** 2 * 4 * photons
    hit_x = hit_p = 0.0
    if light.hit is not None:
        share = light.hit.share or light.hit.modes_per_frame / modes
        hit_x, hit_p = share * light.hit.added_x_snu, share * light.hit.added_p_snu
    return (
        light.variance_x_snu + light.data_mode_excess_x_snu / modes + hit_x + moved,
        light.variance_p_snu + light.data_mode_excess_p_snu / modes + hit_p,
    )


def _mixture_power(number: float, share: float, noise_snu: float, alpha: float) -> float:
    """Chi-square test of a mixture: the mean of its sum, and the variance that the mixing adds."""
    mean = 1 + share * noise_snu
    fourth = 3 * (1 + share * noise_snu * (2 + noise_snu))
    spread = math.sqrt((fourth - mean**2) / number)
    # Cube-root scale of Wilson and Hilferty, on which sums of squares are nearly normal.
    limit = (1 - 2 / (9 * number) - ndtri(alpha / 2) * math.sqrt(2 / (9 * number))) ** 3
    relative = spread / mean
    centre = 1 - relative**2 / 9
    return float(ndtr((centre - np.cbrt(limit / mean)) / (relative / 3)))
