"""Session CUSUM on variance and gain: small deviations that no single block shows.

Page, Biometrika 41, 100 (1954). Each block adds its log-likelihood ratio between a deviation that
is worth catching and the honest law; the sum restarts at 0. In natural units a sum that starts
anywhere in a session of L blocks reaches h with a probability of at most L exp(-h) (Wald's bound on
a likelihood ratio, at every start), and a deviation is seen after h/KL symbols on average.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = [
    "cusum",
    "cusum_threshold",
    "gain_increments",
    "mean_delay_symbols",
    "variance_divergence",
    "variance_increments",
]

Array = NDArray[np.float64]


def variance_increments(residual: Array, degrees: float | Array, ratio: float) -> Array:
    """Log-likelihood ratio of sums of squares for `ratio` times the honest variance against 1.

    S (1 - 1/ratio)/2 - (n/2) ln ratio.

    Args:
        residual: S, sums of squared deviations over the honest variance.
        degrees: n, symbols behind each.
        ratio: variance that is worth catching, not 1; below 1 for a loss of noise.
    """
    if not (ratio > 0 and ratio != 1):
        raise ConfigurationError(f"variance ratio is {ratio}, it must be above 0 and not 1")
    increments: Array = residual * (1 - 1 / ratio) / 2 - np.asarray(degrees) / 2 * math.log(ratio)
    return increments


def gain_increments(score: Array, shift: float) -> Array:
    """Log-likelihood ratio of normal scores for a mean of `shift` against 0.

    Args:
        score: z of each block's gain.
        shift: mean score that is worth catching, with its sign.
    """
    if not (math.isfinite(shift) and shift != 0):
        raise ConfigurationError(f"shift is {shift}, it must be finite and not 0")
    increments: Array = shift * score - shift**2 / 2
    return increments


def cusum(increments: Array, start: float = 0.0) -> Array:
    """Page's sum after every block, S_t = max(0, S_(t-1) + increment), along the last axis.

    Args:
        increments: log-likelihood ratios, blocks on the last axis.
        start: sum before the first.
    """
    walk = start + np.cumsum(increments, axis=-1)
    lowest = np.minimum(np.minimum.accumulate(walk, axis=-1), 0.0)
    sums: Array = walk - lowest
    return sums


def cusum_threshold(alpha: float, blocks: int, charts: int = 1) -> float:
    """Sum that an honest session of `blocks` reaches with a probability of at most alpha.

    ln(L m/alpha) for m charts.

    Args:
        alpha: false-alarm probability of the session.
        blocks: L.
        charts: sums that are watched, such as variance up, variance down, gain.
    """
    if not 0 < alpha < 1 or blocks < 1 or charts < 1:
        raise ConfigurationError(
            f"alpha is {alpha}, for {blocks} blocks and {charts} charts: it must lie in (0, 1) and "
            "the others be at least 1"
        )
    return math.log(blocks * charts / alpha)


def variance_divergence(excess: float) -> float:
    """Mean gain of the variance chart per symbol at its own deviation, (eps - ln(1 + eps))/2.

    The Kullback-Leibler divergence of the two normal laws, in nats.

    Args:
        excess: eps, above -1.
    """
    if not excess > -1:
        raise ConfigurationError(f"excess is {excess}, it must be above -1")
    return (excess - math.log1p(excess)) / 2


def mean_delay_symbols(excess: float, threshold: float) -> float:
    """Symbols until the variance chart reaches `threshold`, on average and without overshoot."""
    return threshold / variance_divergence(excess)
