"""The client's own tests of the server as detectors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from drivers.receivers import FeedForwardTap
from protocol.verification.client_tests import client_limits, peak_limit, repeated_rows_score
from protocol.verification.power import variance_power
from sim_backend.adversaries.servers import ProbesInP, SqueezedProbes
from veilight.attacks.cases import Case
from veilight.attacks.detector import PIECE, ExactLimits, Flags

__all__ = ["OutcomeDetector", "PeakDetector", "ProbeAuditDetector", "RepeatDetector"]


@dataclass(frozen=True, kw_only=True)
class OutcomeDetector:
    """The client's test of its own outcomes: floor against squeezing, ceiling against brightness.

    Squeezed probes are looked for below the floor, all others above the ceiling.
    """

    def _variances(self, case: Case) -> tuple[float, float, bool]:
        """Variance that the limit is set for, the tampered one, and whether it is a floor."""
        fair, seen = case.probe(honest=True), case.probe()
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
        fair, seen = case.probe(honest=True), case.probe(honest=honest)
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
        fair = case.probe(honest=True)
        limit, _, floor = self._variances(case)
        if floor:
            ratio = fair.variance_snu / limit
            return variance_power(number, ratio, alpha, lower_tail_only=True)
        return alpha


@dataclass(frozen=True, kw_only=True)
class RepeatDetector(ExactLimits):
    """Correlation of the client's outcomes half of the rows apart; numbers count rows."""

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
        """See `Detector`; the second half of the rows repeats a share of the first."""
        fair, share = case.probe(honest=True), case.probe(honest=honest).repeated_share
        signal, noise = math.sqrt(fair.signal_variance_snu), math.sqrt(fair.outcome_variance_snu)
        half, scores = max(2, number // 2), []
        step = max(1, PIECE // number)
        for start in range(0, trials, step):
            size = (min(step, trials - start), half)
            first, second = random.standard_normal(size), random.standard_normal(size)
            second = np.where(random.random(size) < share, first, second)
            rows = signal * np.concatenate([first, second], axis=1)
            rows += noise * random.standard_normal(rows.shape)
            scores.append(repeated_rows_score(rows, (half,)))
        return {"repeated rows": ~(np.concatenate(scores) <= -ndtri(alpha))}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; the normal law of a sum of products, over an estimated variance."""
        fair, share = case.probe(honest=True), case.probe().repeated_share
        part = fair.signal_variance_snu / fair.variance_snu
        mean = share * part
        # Delta method for a mean product over a mean square: both feel the repeated rows.
        together = share * part**2
        spread = 1 + 2 * together - 4 * mean**2 + mean**2 * together
        return float(ndtr((mean * math.sqrt(number / 2) + ndtri(alpha)) / math.sqrt(spread)))


@dataclass(frozen=True, kw_only=True)
class ProbeAuditDetector(ExactLimits):
    """The client's audits of P of the data mode, where the server should put nothing."""

    def _ratio(self, case: Case, *, honest: bool) -> float:
        if honest or not isinstance(case.adversary, ProbesInP):
            return 1.0
        # The outcome of a tap has the variance 1; weights of either sign make the mean a variance.
        tap = FeedForwardTap(tap_fraction=case.adversary.tap_fraction)
        return 1 + (tap.signal_gain * case.probe().p_mean_snu) ** 2

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


@dataclass(frozen=True, kw_only=True)
class PeakDetector(ExactLimits):
    """Outcomes that stand out; numbers count rows."""

    def _rates(self, case: Case, number: int, alpha: float) -> tuple[float, float, float]:
        """Share of bright rows; chance of a bright and of a dark row to pass the limit."""
        fair, seen = case.probe(honest=True), case.probe()
        limit = peak_limit(number, fair.variance_snu, alpha)
        bright = 2 * float(ndtr(-limit / math.sqrt(seen.bright_variance_snu)))
        dark = 2 * float(ndtr(-limit / math.sqrt(seen.outcome_variance_snu)))
        return seen.bright_share, bright, dark

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
        """See `Detector`; every outcome is drawn."""
        fair, seen = case.probe(honest=True), case.probe(honest=honest)
        limit = peak_limit(number, fair.variance_snu, alpha)
        largest = []
        step = max(1, PIECE // number)
        for start in range(0, trials, step):
            outcomes = random.standard_normal((min(step, trials - start), number))
            bright = random.random(outcomes.shape) < seen.bright_share
            variances = np.where(bright, seen.bright_variance_snu, seen.outcome_variance_snu)
            outcomes *= np.sqrt(variances)
            largest.append(np.abs(outcomes).max(axis=1))
        return {"outcome peaks": ~(np.concatenate(largest) <= limit)}

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; one row or more beyond the limit."""
        rows = max(1, round(number))
        share, bright, dark = self._rates(case, rows, alpha)
        return -math.expm1(rows * math.log1p(-(share * bright + (1 - share) * dark)))
