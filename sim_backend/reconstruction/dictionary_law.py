"""The dictionary attack with any number of candidates, from the exact law of their scores.

The score of a candidate c is S = sum_m (r_m . c)^2; the likeliest candidate has the largest. With
x^ the truth, a_m = r_m . x^ has the variance 1 + ell, and every direction across x^ the variance
1. Given what a wrong candidate shares with x^ and with the others, its S is a scaled noncentral
chi-squared variable of M degrees of freedom. So the probability that none of R - 1 beats the truth
is a mean over two or three sufficient statistics of the rows, and a million candidates cost no
more than ten.

The mean is taken over a shifted Sobol sequence (Sobol, USSR Comput. Math. 7, 86 (1967)).
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, ncx2, qmc

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = ["DictionaryLaw", "Geometry", "SuccessProbability", "identified_bits"]

Geometry: TypeAlias = Literal["pairwise", "around truth"]
"""`pairwise`: any two candidates have the cosine c, as pictures of one kind have. `around truth`:
each wrong one has the cosine c with the truth and is otherwise drawn without regard to the rest."""

_POINTS_LOG2 = 11
_MOST_ROWS = 1 << 40
_EXACT_TO_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class SuccessProbability:
    """How likely the truth has the highest score.

    Attributes:
        value: for wrong candidates that are independent apart from what the geometry names, which
            is exact for orthonormal differences.
        at_least: by the union bound, whatever else the wrong ones share.
    """

    value: float
    at_least: float


@dataclass(frozen=True, kw_only=True)
class DictionaryLaw:
    """A server who homodynes whole rows and picks the likeliest of R candidates.

    Args:
        excess_noise_snu: ell of the measured quadrature, >= 0.
        candidates: R >= 2, equally likely.
        cosine: c, in [0, 1).
        geometry: what the candidates have in common.
    """

    excess_noise_snu: float
    candidates: int
    cosine: float = 0.5
    geometry: Geometry = "pairwise"

    def __post_init__(self) -> None:
        _checks.within("excess noise in SNU", self.excess_noise_snu, 0)
        _checks.count("number of candidates", self.candidates, 2)
        if not 0 <= self.cosine < 1:
            raise ConfigurationError(
                f"reconstruction: cosine between candidates is {self.cosine}; it must be at least "
                "0 and below 1"
            )
        if self.geometry not in ("pairwise", "around truth"):
            raise ConfigurationError(
                f"reconstruction: geometry {self.geometry!r} is unknown; use 'pairwise' or "
                "'around truth'"
            )

    def success(self, rows: int) -> SuccessProbability:
        """The probability of picking the truth after `rows` rows.

        Raises:
            ConfigurationError: fewer than 2 rows.
        """
        _checks.count("number of rows", rows, 2)
        wrong = self.candidates - 1
        if self.excess_noise_snu == 0:
            guess = 1 / self.candidates
            return SuccessProbability(value=guess, at_least=guess)
        beaten = self._beaten_by_one(rows)
        none_better = np.exp(wrong * np.log1p(-np.minimum(beaten, 1 - 1e-16)))
        union = 1 - np.minimum(1.0, wrong * beaten)
        return SuccessProbability(value=float(none_better.mean()), at_least=float(union.mean()))

    def rows_for(self, probability: float) -> float:
        """The least number of rows at which the truth is picked with `probability`, to 0.2 %.

        Infinite where the return does not depend on the data.

        Raises:
            ConfigurationError: the probability is no more than a guess, or not below 1.
        """
        if not 1 / self.candidates < probability < 1:
            raise ConfigurationError(
                f"reconstruction: probability of success is {probability}; it must lie above "
                f"1/{self.candidates} and below 1"
            )
        if self.excess_noise_snu == 0:
            return math.inf
        low, high = 1, 2
        while self.success(high).value < probability:
            low, high = high, 2 * high
            if high > _MOST_ROWS:
                return math.inf
        while high - low > max(1, low >> 9):
            middle = (low + high) // 2
            if self.success(middle).value < probability:
                low = middle
            else:
                high = middle
        return float(high)

    def _beaten_by_one(self, rows: int) -> NDArray[np.float64]:
        """Probability that one wrong candidate beats the truth, for draws of what is shared."""
        c = self.cosine
        # The same points for all rows: the curve is then smooth and can be bisected.
        sequence = qmc.Sobol(3, scramble=False).random_base2(_POINTS_LOG2)
        uniform = (sequence + 0.5**_POINTS_LOG2 / 2) % 1.0
        truth = (1 + self.excess_noise_snu) * chi2.ppf(uniform[:, 0], rows)
        if self.geometry == "around truth":
            shared, alone = c**2 * truth, 1 - c**2
        else:
            # sqrt(c) m + sqrt(1 - c) u_i has the part c along x^, sqrt(c (1 - c)) along the rest
            # of m, which all wrong ones share, and a part 1 - c in squared length of its own.
            along = c * np.sqrt(truth) + math.sqrt(c * (1 - c)) * ndtri(uniform[:, 1])
            shared = np.square(along) + c * (1 - c) * chi2.ppf(uniform[:, 2], rows - 1)
            alone = 1 - c
        return _tail(truth / alone, rows, shared / alone)


def identified_bits(success: float, candidates: int) -> float:
    """Bits that an identification with this rate of success holds at least, by Fano's inequality.

    log2 R - h(e) - e log2(R - 1), e = 1 - success (Cover and Thomas, Elements of Information
    Theory, section 2.10); 0 where success is no better than a guess.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    p = _checks.within("probability of success", success, 0, 1)
    total = _checks.count("number of candidates", candidates, 2)
    if p <= 1 / total:
        return 0.0
    if p == 1:
        return math.log2(total)
    error = 1 - p
    doubt = -p * math.log2(p) - error * math.log2(error)
    return max(0.0, math.log2(total) - doubt - error * math.log2(total - 1))


def _tail(
    value: NDArray[np.float64], degrees: int, shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability that a noncentral chi-squared variable exceeds a value.

    The sum of the library takes ever longer with the degrees of freedom. From a thousand on the
    saddle point of Lugannani and Rice, Adv. Appl. Probab. 12, 475 (1980), is right to 1e-5 of
    itself, and to 1 % within a hundredth of a deviation from the mean.
    """
    if degrees <= _EXACT_TO_ROWS:
        return np.asarray(ncx2.sf(value, degrees, shift), dtype=np.float64)
    # K(t) = shift t/u - degrees/2 ln u with u = 1 - 2 t; K'(t) = value is quadratic in u.
    u = (degrees + np.sqrt(degrees**2 + 4 * value * shift)) / (2 * value)
    t = (1 - u) / 2
    cumulant = shift * t / u - degrees / 2 * np.log(u)
    w = np.sign(t) * np.sqrt(np.maximum(0.0, 2 * (t * value - cumulant)))
    v = t * np.sqrt(4 * shift / u**3 + 2 * degrees / u**2)
    # At the mean both vanish and cancel: there the normal part is right to 1/sqrt(degrees).
    far = np.abs(w) > 1e-2
    correction = 1 / np.where(far, v, 1.0) - 1 / np.where(far, w, 1.0)
    density = np.exp(-np.square(w) / 2) / math.sqrt(2 * math.pi)
    tail = ndtr(-w) + np.where(far, density * correction, 0.0)
    return np.asarray(np.clip(tail, 0.0, 1.0), dtype=np.float64)
