"""The server's further tests as detectors: audits, vacuum, rails, aborts, fourth moment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from protocol.verification.audit import audit_limits
from protocol.verification.moments import (
    FOURTH_MOMENT_LEAST,
    kurtosis_score,
    mixture_kurtosis,
)
from protocol.verification.power import (
    allowed_count,
    count_power,
    vacuum_power,
    variance_power,
)
from protocol.verification.vacuum import vacuum_limits
from sim_backend.adversaries.light import ReturnedLight
from veilight.attacks.cases import Case
from veilight.attacks.detector import PIECE, ExactLimits, Flags

__all__ = [
    "AbortDetector",
    "AuditDetector",
    "FourthMomentDetector",
    "RailDetector",
    "VacuumDetector",
]

HONEST_ABORTS = 1e-3
"""Share of honest sessions that abort for reasons of their own, such as an unplugged fibre."""

CHEATING_ABORTS = 0.999
"""Share of cheating sessions that abort: the power of the tests."""


@dataclass(frozen=True, kw_only=True)
class AuditDetector(ExactLimits):
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
        light = case.returned(honest=True)
        low, high = audit_limits(number, 1.0, light.data_mode_excess_x_snu, alpha)
        seen = case.returned(honest=honest)
        variance = seen.variance_x_snu + seen.data_mode_excess_x_snu
        sums = variance * random.chisquare(number, trials)
        return {"audited projection": ~((sums >= low) & (sums <= high))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        light, seen = case.returned(honest=True), case.returned()
        variance = seen.variance_x_snu + seen.data_mode_excess_x_snu
        return variance_power(number, variance / (1 + light.data_mode_excess_x_snu), alpha)


@dataclass(frozen=True, kw_only=True)
class VacuumDetector(ExactLimits):
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
        seen = case.returned(honest=honest)
        ratio = seen.vacuum_variance_snu * random.chisquare(number, trials)
        ratio /= random.chisquare(number, trials)
        low, high = vacuum_limits(number, number, alpha)
        return {"vacuum slots": ~((ratio >= low) & (ratio <= high))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`."""
        light = case.returned()
        return vacuum_power(number, light.vacuum_variance_snu, alpha)


@dataclass(frozen=True, kw_only=True)
class RailDetector:
    """Values at the rails of the digitiser."""

    def _rate(self, light: ReturnedLight, honest: ReturnedLight) -> float:
        edge = light.converter_range_snu
        deviation = math.sqrt(light.unit_snu * light.variance_x_snu)
        if not light.clips:
            edge = honest.converter_range_snu
        above = ndtr((light.offset_snu - edge) / deviation)
        return float(above + ndtr((-edge - light.offset_snu) / deviation))

    def _rates(self, case: Case) -> tuple[float, float]:
        light, tampered = case.returned(honest=True), case.returned()
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
class AbortDetector:
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
class FourthMomentDetector(ExactLimits):
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
        hit = case.returned(honest=honest).hit
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
        hit = case.returned().hit
        count = max(FOURTH_MOMENT_LEAST, round(number))
        if hit is None:
            return alpha
        limit = brentq(
            lambda kurtosis: _kurtosis_score(kurtosis, count) + ndtri(alpha), 3.0, float(count)
        )
        kurtosis, deviation = mixture_kurtosis(hit.share, hit.added_x_snu)
        return float(ndtr((kurtosis - limit) * math.sqrt(count) / deviation))


def _kurtosis_score(kurtosis: float, count: int) -> float:
    """Score of a kurtosis of `count` values."""
    return float(kurtosis_score(np.array([1.0]), np.array([kurtosis / count]), count)[0])
