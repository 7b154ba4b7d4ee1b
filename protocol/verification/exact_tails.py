"""Exact tails of the honest sums, to hold the tests' approximations against."""

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.stats import chi2

from drivers.errors import ConfigurationError

__all__ = ["two_group_tails"]

_NODES = 400
_CUT = 1e-16


def two_group_tails(
    low: float, high: float, weights: tuple[float, float], degrees: tuple[float, float]
) -> tuple[float, float]:
    """P(Q < low) and P(Q > high) for Q = w_1 chi^2(d_1) + w_2 chi^2(d_2).

    The law of the second group is integrated over by Gauss-Legendre quadrature in its quantile,
    cut where 1e-16 of it is left on either side.

    Args:
        low: lower limit.
        high: upper limit.
        weights: above 0.
        degrees: the first above 0; 0 in the second leaves it out.

    Raises:
        ConfigurationError: a number out of range.
    """
    if min(weights) <= 0 or degrees[0] <= 0 or degrees[1] < 0:
        raise ConfigurationError(
            f"weights {weights} must be above 0, degrees {degrees} above 0 and at least 0"
        )
    first, second = degrees
    if second == 0:
        lower = float(chi2.cdf(low / weights[0], first))
        return lower, float(chi2.sf(high / weights[0], first))
    nodes, shares = leggauss(_NODES)
    start, stop = chi2.ppf(_CUT, second), chi2.isf(_CUT, second)
    # In the square root of the variable the density has no pole, whatever the degrees.
    root = np.sqrt(start) + (nodes + 1) / 2 * (np.sqrt(stop) - np.sqrt(start))
    density = chi2.pdf(root**2, second) * 2 * root * (np.sqrt(stop) - np.sqrt(start)) / 2
    rest_low = (low - weights[1] * root**2) / weights[0]
    rest_high = (high - weights[1] * root**2) / weights[0]
    below = float(np.sum(shares * density * chi2.cdf(rest_low, first)))
    return below, float(np.sum(shares * density * chi2.sf(rest_high, first)))
