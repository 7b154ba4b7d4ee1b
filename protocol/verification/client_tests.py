"""The client's own tests of the server, from its outcomes alone.

The client knows its receiver's noise (the floor), the brightness that the server declared, and that
rows should differ. It does not know the weights, so it cannot subtract a mean: weights enter as
further variance, a^2 4 mu for the signal gain a of `drivers.receivers`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri, ndtri_exp
from scipy.stats import chi2

from drivers.errors import ConfigurationError

__all__ = ["ClientLimits", "client_limits", "peak_limit", "repeated_rows_score"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClientLimits:
    """Limits on the sum of squares of `outcomes` outcomes.

    Args:
        outcomes: rows that were measured.
        floor_snu: lowest sum that light without squeezing gives.
        ceiling_snu: highest sum that the declared brightness gives.
    """

    outcomes: int
    floor_snu: float
    ceiling_snu: float

    def squeezed(self, sums: Array) -> NDArray[np.bool_]:
        """True where the sums of squares lie below the floor, or are not numbers."""
        return ~(sums >= self.floor_snu)

    def bright(self, sums: Array) -> NDArray[np.bool_]:
        """True where they lie above the ceiling, or are not numbers."""
        return ~(sums <= self.ceiling_snu)


def client_limits(
    outcomes: int, outcome_variance_snu: float, signal_variance_snu: float, alpha: float
) -> ClientLimits:
    """Limits of the lower-tail test of the floor and the upper-tail test of the declared power.

    The floor is v chi^2_n(alpha), whatever the weights are: they only add. Weights of the declared
    brightness with any distribution narrower than a Gaussian stay below (v + s) chi^2_n(1 - alpha).

    Args:
        outcomes: n, independent rows.
        outcome_variance_snu: v, the receiver's calibrated noise.
        signal_variance_snu: s, what the declared weights add to it.
        alpha: false-alarm probability of each test.

    Raises:
        ConfigurationError: a number out of range.
    """
    if outcomes < 1 or not outcome_variance_snu > 0 or not signal_variance_snu >= 0:
        raise ConfigurationError(
            f"client test of {outcomes} outcomes with a variance of {outcome_variance_snu} SNU and "
            f"a signal of {signal_variance_snu} SNU: they must be above 0, the signal at least 0"
        )
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in (0, 0.5)")
    declared = outcome_variance_snu + signal_variance_snu
    return ClientLimits(
        outcomes=outcomes,
        floor_snu=outcome_variance_snu * float(chi2.ppf(alpha, outcomes)),
        ceiling_snu=declared * float(chi2.isf(alpha, outcomes)),
    )


def peak_limit(outcomes: int, variance_snu: float, alpha: float) -> float:
    """Largest outcome, on either side of zero, of rows of the declared brightness.

    The largest of n normal numbers stays below it with the probability 1 - alpha (Sidak); weights
    that are spread no wider than a Gaussian of the declared brightness keep to it.

    Args:
        outcomes: n.
        variance_snu: of an outcome about zero, declared weights included.
        alpha: false-alarm probability of all n together.

    Raises:
        ConfigurationError: a number out of range.
    """
    if outcomes < 1 or not variance_snu > 0:
        raise ConfigurationError(
            f"the peak of {outcomes} outcomes with a variance of {variance_snu} SNU has no limit: "
            "both must be above 0"
        )
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in (0, 0.5)")
    each = -math.expm1(math.log1p(-alpha) / outcomes)
    return math.sqrt(variance_snu) * float(-ndtri(each / 2))


def repeated_rows_score(outcomes: Array, lags: Sequence[int]) -> Array:
    """Normal score of the largest correlation of outcomes a fixed number of rows apart.

    At every lag L the sum of y_i y_(i+L) over n pairs has mean 0 and variance n v^2 for rows that
    differ, and the mean n q s for a share q of repeated ones with signal variance s. The largest
    score is judged against the largest of as many normal numbers (Sidak).

    Args:
        outcomes: y of one input in the order of the rows, `(..., rows)`, mean square above 0.
        lags: distances that are looked at, in rows.

    Returns:
        Scores, `(...)`.

    Raises:
        ConfigurationError: no lag, or one that leaves fewer than two pairs.
    """
    count = outcomes.shape[-1]
    if not lags or min(lags) < 1 or max(lags) > count - 2:
        raise ConfigurationError(
            f"lags {list(lags)} do not fit {count} outcomes: at least one is needed, each from 1 "
            f"to {count - 2}"
        )
    variance = np.square(outcomes).mean(axis=-1)
    scores = [
        (outcomes[..., lag:] * outcomes[..., :-lag]).sum(axis=-1) / math.sqrt(count - lag)
        for lag in lags
    ]
    largest = np.max(scores, axis=0) / variance
    # The chance that all of them lie lower; its complement keeps its digits in the tail.
    judged: Array = -ndtri_exp(_log1mexp(len(lags) * log_ndtr(largest)))
    return judged


def _log1mexp(value: Array) -> Array:
    """ln(1 - e^v) for v < 0."""
    with np.errstate(divide="ignore"):
        result: Array = np.log(-np.expm1(np.minimum(value, -1e-300)))
    return result
