"""Fourth moment of the returned light: a mixture of hit and untouched symbols is not Gaussian.

Noise D on a share q of the symbols has the variance 1 + q D, which the chi-square test sees, and
the excess kurtosis 3 q (1 - q) D^2/(1 + q D)^2, which a rescaled unit of variance cannot hide.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = [
    "FOURTH_MOMENT_LEAST",
    "FourthMoment",
    "kurtosis_score",
    "mixture_excess_kurtosis",
    "mixture_kurtosis",
]

Array = NDArray[np.float64]

FOURTH_MOMENT_LEAST = 20
"""Fewest values for which the score's approximation holds."""


@dataclass(kw_only=True)
class FourthMoment:
    """Running sums of a stream of standardised deviations.

    Args:
        count: values so far.
        second: sum of squares.
        fourth: sum of fourth powers.
    """

    count: int = 0
    second: float = 0.0
    fourth: float = 0.0

    def add(self, deviations: Array) -> None:
        """Count deviations from the expected mean in, of any shape."""
        squares = np.square(deviations)
        self.count += int(squares.size)
        self.second += float(squares.sum())
        self.fourth += float(np.square(squares).sum())

    @property
    def score(self) -> float:
        """Normal score of the kurtosis."""
        return float(
            kurtosis_score(np.array([self.second]), np.array([self.fourth]), self.count)[0]
        )


def kurtosis_score(second: Array, fourth: Array, count: int) -> Array:
    """Normal score of b2 = n sum d^4/(sum d^2)^2 for n deviations of known mean.

    The cube-root transformation of Anscombe and Glynn, Biometrika 70, 227 (1983). Their moments are
    those of a fitted mean; with a known one they differ by terms of 1/n.

    Args:
        second: sums of squares.
        fourth: sums of fourth powers.
        count: n, values behind each sum.

    Raises:
        ConfigurationError: fewer values than the approximation needs.
    """
    if count < FOURTH_MOMENT_LEAST:
        raise ConfigurationError(
            f"a fourth moment of {count} values cannot be scored; use at least "
            f"{FOURTH_MOMENT_LEAST}"
        )
    n = float(count)
    mean = 3 * (n - 1) / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (count * fourth / second**2 - mean) / math.sqrt(variance)
    root_beta = (
        6
        * (n * n - 5 * n + 2)
        / ((n + 7) * (n + 9))
        * math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    )
    a = 6 + 8 / root_beta * (2 / root_beta + math.sqrt(1 + 4 / root_beta**2))
    factor = np.maximum((1 - 2 / a) / (1 + x * math.sqrt(2 / (a - 4))), 0.0)
    score: Array = (1 - 2 / (9 * a) - np.cbrt(factor)) / math.sqrt(2 / (9 * a))
    return score


def mixture_excess_kurtosis(share: float, noise_snu: float) -> float:
    """Excess kurtosis of noise on a share of the symbols: 3 q (1 - q) D^2/(1 + q D)^2.

    Args:
        share: q, in [0, 1].
        noise_snu: D, added variance where a symbol is hit, vacuum 1.
    """
    return 3 * share * (1 - share) * noise_snu**2 / (1 + share * noise_snu) ** 2


def mixture_kurtosis(share: float, noise_snu: float) -> tuple[float, float]:
    """Kurtosis of such a mixture, and the deviation of its estimate times the root of n.

    With standardised even moments m_k the estimate b2 has the variance
    (m_8 - m_4^2 + 4 m_4^3 - 4 m_4 m_6)/n, 24/n for a Gaussian (delta method; Cramer, Mathematical
    Methods of Statistics, section 27.7).

    Args:
        share: q, in [0, 1].
        noise_snu: D, added variance where a symbol is hit, vacuum 1.
    """
    variance = 1 + share * noise_snu
    fourth, sixth, eighth = (
        odd * (1 - share + share * (1 + noise_snu) ** power) / variance**power
        for odd, power in ((3, 2), (15, 3), (105, 4))
    )
    spread = eighth - fourth**2 + 4 * fourth**3 - 4 * fourth * sixth
    return fourth, math.sqrt(spread)
