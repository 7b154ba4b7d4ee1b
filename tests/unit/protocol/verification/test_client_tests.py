"""The client's tests of the server. Seeds are fixed; limits have a probability below 1e-9."""

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2

from drivers.errors import ConfigurationError
from protocol.verification.client_tests import (
    client_limits,
    peak_limit,
    repeated_rows_score,
)

LIMIT = 6.5


def test_limits_have_their_rate_when_light_is_honest() -> None:
    limits = client_limits(200, 2.0, 0.4, 1e-3)
    sums = 2.4 * np.random.default_rng(1).chisquare(200, 100_000)
    assert chi2.cdf(limits.floor_snu / 2.0, 200) == pytest.approx(1e-3)
    assert binom.sf(int(limits.bright(sums).sum()) - 1, 100_000, 1e-3) > 1e-9
    assert binom.cdf(int(limits.bright(sums).sum()), 100_000, 1e-3) > 1e-9
    # The weights' own share only lifts the sums off the floor.
    assert limits.squeezed(sums).sum() <= 2


def test_squeezed_and_bright_light_is_seen() -> None:
    limits = client_limits(1600, 2.0, 0.0, 1e-6)
    random = np.random.default_rng(2)
    assert limits.squeezed((1 + 10**-0.3) * random.chisquare(1600, 1000)).mean() > 0.98
    assert limits.bright(2.6 * random.chisquare(1600, 1000)).mean() > 0.98


def test_what_is_not_a_number_is_both() -> None:
    limits = client_limits(10, 2.0, 0.0, 1e-3)
    nothing = np.array([math.nan])
    assert limits.squeezed(nothing).all()
    assert limits.bright(nothing).all()


def test_peaks_pass_the_limit_with_its_rate_when_rows_are_alike() -> None:
    limit = peak_limit(100, 2.0, 0.01)
    largest = math.sqrt(2) * np.abs(np.random.default_rng(5).standard_normal((20_000, 100)))
    alarms = int((largest.max(axis=1) > limit).sum())
    assert binom.sf(alarms - 1, 20_000, 0.01) > 1e-9
    assert binom.cdf(alarms, 20_000, 0.01) > 1e-9


def test_peak_limits_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="peak of 0"):
        peak_limit(0, 2.0, 0.1)
    with pytest.raises(ConfigurationError, match="alpha"):
        peak_limit(5, 2.0, math.nan)


def test_repeated_rows_score_is_normal_when_rows_differ() -> None:
    random = np.random.default_rng(3)
    scores = repeated_rows_score(random.standard_normal((2000, 400)), (1, 7, 50))
    assert abs(scores.mean()) * math.sqrt(2000) < LIMIT
    assert abs(scores.std() - 1) * math.sqrt(4000) < LIMIT


def test_repeated_rows_score_is_large_when_rows_repeat() -> None:
    random = np.random.default_rng(4)
    rows = np.repeat(2 * random.standard_normal(300), 2)
    outcomes = rows + math.sqrt(2) * random.standard_normal(600)
    assert repeated_rows_score(outcomes, (1, 2, 3)) > 5
    assert repeated_rows_score(np.ones(400), (1,)) > 15


@pytest.mark.parametrize("lags", [(), (0,), (9,)])
def test_lags_that_do_not_fit_are_refused(lags: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="lags"):
        repeated_rows_score(np.ones(10), lags)


@pytest.mark.parametrize(
    ("outcomes", "variance", "signal", "alpha"),
    [(0, 2.0, 0.0, 0.1), (5, 0.0, 0.0, 0.1), (5, 2.0, math.nan, 0.1), (5, 2.0, 0.0, 0.5)],
)
def test_limits_out_of_range_are_refused(
    outcomes: int, variance: float, signal: float, alpha: float
) -> None:
    with pytest.raises(ConfigurationError):
        client_limits(outcomes, variance, signal, alpha)
