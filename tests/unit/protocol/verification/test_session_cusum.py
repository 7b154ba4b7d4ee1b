"""Page's CUSUM: the sum itself, Wald's bound on false alarms, and the published delays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, norm

from drivers.errors import ConfigurationError
from protocol.verification.cusum import (
    cusum,
    cusum_threshold,
    gain_increments,
    mean_delay_symbols,
    variance_divergence,
    variance_increments,
)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0, 10))
def test_cusum_is_pages_recursion(steps: list[float], start: float) -> None:
    wanted, last = [], start
    for step in steps:
        last = max(0.0, last + step)
        wanted.append(last)
    assert cusum(np.array(steps), start) == pytest.approx(np.array(wanted), abs=1e-9)


def test_increments_are_log_likelihood_ratios() -> None:
    residual = np.array([3.0, 12.0])
    honest, loud = chi2.logpdf(residual, 10), chi2.logpdf(residual, 10, scale=1.3)
    assert variance_increments(residual, 10, 1.3) == pytest.approx(loud - honest)
    scores = np.array([-1.0, 2.0])
    assert gain_increments(scores, -0.5) == pytest.approx(
        norm.logpdf(scores, -0.5) - norm.logpdf(scores)
    )


@pytest.mark.parametrize(
    ("excess", "delay"),
    [(0.01, 5.6e5), (0.02, 1.4e5), (0.05, 2.3e4), (0.1, 5.9e3), (1.0, 90), (2.0, 31)],
)
def test_mean_delay_is_the_published_one(excess: float, delay: float) -> None:
    assert mean_delay_symbols(excess, math.log(1e6)) == pytest.approx(delay, rel=0.03)


def test_delay_is_that_of_the_walk_when_the_variance_rises() -> None:
    threshold, symbols = math.log(1e6), 60
    increments = variance_increments(
        1.1 * np.random.default_rng(5).chisquare(symbols, (300, 600)), symbols, 1.1
    )
    over = cusum(increments) >= threshold
    assert over.any(axis=1).all()
    delays = (over.argmax(axis=1) + 1) * symbols
    # Overshoot adds less than a fifth; the mean's standard error is about 3 %.
    assert 0.8 < delays.mean() / mean_delay_symbols(0.1, threshold) < 1.3


def test_false_alarms_stay_within_the_bound_when_sessions_are_honest() -> None:
    blocks, alpha, sessions = 100, 0.05, 20_000
    increments = variance_increments(
        np.random.default_rng(6).chisquare(40, (sessions, blocks)), 40, 1.3
    )
    threshold = cusum_threshold(alpha, blocks)
    alarms = int((cusum(increments) >= threshold).any(axis=1).sum())
    assert binom.sf(alarms - 1, sessions, alpha) > 1e-9
    assert alarms > 0


def test_divergence_is_zero_when_nothing_deviates() -> None:
    assert variance_divergence(0.0) == 0.0
    assert cusum_threshold(1e-6, 1000, 3) == pytest.approx(math.log(3e9))


def test_wrong_charts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="ratio"):
        variance_increments(np.ones(1), 1, 1.0)
    with pytest.raises(ConfigurationError, match="shift"):
        gain_increments(np.ones(1), math.nan)
    with pytest.raises(ConfigurationError, match="blocks"):
        cusum_threshold(0.1, 0)
    with pytest.raises(ConfigurationError, match="excess"):
        variance_divergence(-1.0)
