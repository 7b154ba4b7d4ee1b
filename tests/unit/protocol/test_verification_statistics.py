"""`tail_score` against exact chi-square tails and Monte-Carlo sums."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from protocol.verification import tail_score


def exact(value: float, degrees: float) -> float:
    """Normal score of a chi-square value, from whichever tail keeps its digits."""
    upper = stats.chi2.logsf(value, degrees)
    if upper < -0.5:
        return float(-stats.norm.ppf(np.exp(upper)) if upper > -700 else math.inf)
    return float(stats.norm.ppf(stats.chi2.cdf(value, degrees)))


@pytest.mark.parametrize("degrees", [2, 5, 20, 100, 1000, 100_000, 10**7])
@pytest.mark.parametrize("score", [-6.0, -5.2, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 5.2, 6.0, 8.0])
def test_tail_score_equals_the_exact_chi_square_when_there_is_one_term(
    degrees: int, score: float
) -> None:
    if score >= 0:
        value = float(stats.chi2.isf(stats.norm.sf(score), degrees))
    else:
        value = float(stats.chi2.ppf(stats.norm.cdf(score), degrees))
    for weight in (1.0, 0.01, 300.0):
        found = float(tail_score(weight * value, [weight], [degrees])[0])
        # The saddlepoint is at its worst for few degrees: 0.013 in the score at the left end of 2.
        tolerance = 0.02 if degrees < 5 else 0.006 if degrees < 100 else 2e-3
        assert found == pytest.approx(score, abs=tolerance)


def test_tail_score_stays_exact_when_the_value_is_near_the_mean() -> None:
    """r, u -> 0 there and the formula is 0/0: it must neither blow up nor jump."""
    for degrees in (1e3, 1e5, 1e7, 1e9):
        spread = math.sqrt(2 * degrees)
        offsets = np.concatenate([[0.0], np.geomspace(1e-9, 3, 200), -np.geomspace(1e-9, 3, 200)])
        values = degrees + spread * np.sort(offsets)
        found = tail_score(values, [1.0], [degrees])
        # Wilson and Hilferty's cube root (PNAS 17, 684 (1931)), good to 1e-3 from 1e3 degrees on.
        variance = 2 / (9 * degrees)
        wanted = (np.cbrt(values / degrees) - (1 - variance)) / math.sqrt(variance)
        assert np.abs(found - wanted).max() < 2e-3
        assert np.diff(found).min() > -1e-6


def test_tail_score_is_finite_and_monotone_when_sums_are_far_out() -> None:
    degrees = np.array([1e6, 1e3, 10.0])
    weights = np.array([1.0, 2.0, 30.0])
    mean = float(weights @ degrees)
    factors = np.geomspace(0.93, 1.03, 500)
    found = tail_score(mean * factors, weights, degrees)
    assert found[0] < -45
    assert found[-1] > 15
    assert (np.diff(found) > 0).all()
    far = tail_score(mean * np.geomspace(1.03, 1e6, 500), weights, degrees)
    assert np.isfinite(far).all()
    assert far.min() > 15


SUMS: list[tuple[list[float], list[float]]] = [
    ([1.0, 2.3], [7, 1]),
    ([1.0, 1.7, 1.1], [200, 10, 10]),
    ([0.5, 4.0, 0.1, 9.0], [40, 3, 500, 0.7]),
    ([1.0, 0.0, 5.0], [30, 7, 0]),
]


def drawn(weights: list[float], degrees: list[float], count: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(4)
    total = np.zeros(count)
    for weight, d in zip(weights, degrees, strict=True):
        if d:
            total += weight * generator.chisquare(d, count)
    return total


@pytest.mark.parametrize(("weights", "degrees"), SUMS)
def test_tail_score_is_standard_normal_when_values_are_drawn_from_the_sum(
    weights: list[float], degrees: list[float]
) -> None:
    """Tail counts of 1e6 draws, as scores: within 7 standard errors and 0.06 for the formula.

    40 counts fail by chance with probability below 2e-10 in all. The formula is at its worst, 0.05,
    in the middle of sums with a strong term of one degree; towards the tail it is exact to 0.03.
    """
    count = 1_000_000
    scores = tail_score(drawn(weights, degrees, count), weights, degrees)
    for limit in (0.0, 1.0, 2.0, 3.0, 3.7):
        for side in (scores, -scores):
            expected = float(stats.norm.sf(limit))
            found = float(stats.norm.isf((side > limit).mean()))
            error = math.sqrt(expected / count) / float(stats.norm.pdf(limit))
            assert abs(found - limit) < 7 * error + 0.06


def test_tail_score_takes_arrays_when_each_value_has_its_own_terms() -> None:
    values = np.array([[3.0, 5.0], [8.0, 1.0]])
    weights = np.arange(1.0, 9.0).reshape(2, 2, 2)
    degrees = np.arange(2.0, 10.0).reshape(2, 2, 2)
    found = tail_score(values, weights, degrees)
    assert found.shape == values.shape
    for index in np.ndindex(values.shape):
        one = tail_score(values[index], weights[:, *index], degrees[:, *index])
        assert float(one[0]) == float(found[index])


def test_tail_score_passes_no_limit_when_the_value_is_not_a_positive_number() -> None:
    found = tail_score([0.0, -1.0, math.nan], [1.0], [10.0])
    assert (found == -math.inf).all()
    infinite = float(tail_score(math.inf, [1.0], [10.0])[0])
    assert not abs(infinite) <= 100
