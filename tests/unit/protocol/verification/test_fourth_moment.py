"""Fourth moment against mixtures; score limits have a probability below 1e-9."""

import math

import numpy as np
import pytest
from scipy.stats import kurtosistest

from drivers.errors import ConfigurationError
from protocol.verification.moments import (
    FourthMoment,
    kurtosis_score,
    mixture_excess_kurtosis,
    mixture_kurtosis,
)


def test_score_is_that_of_scipy_when_the_mean_is_known_to_be_zero() -> None:
    values = np.random.default_rng(1).standard_normal(500)
    values -= values.mean()
    wanted = kurtosistest(values).statistic
    squares = np.square(values)
    second, fourth = squares.sum(keepdims=True), np.square(squares).sum(keepdims=True)
    assert kurtosis_score(second, fourth, 500)[0] == pytest.approx(wanted)


def test_score_is_normal_when_light_is_gaussian() -> None:
    squares = np.square(np.random.default_rng(2).standard_normal((4000, 1000)))
    scores = kurtosis_score(squares.sum(1), np.square(squares).sum(1), 1000)
    assert abs(scores.mean()) * math.sqrt(4000) < 6.5
    assert abs(scores.std() - 1) * math.sqrt(8000) < 6.5


def test_running_sums_score_as_the_whole() -> None:
    values = np.random.default_rng(3).standard_normal((4, 300))
    running = FourthMoment()
    for part in values:
        running.add(part)
    squares = np.square(values)
    whole = kurtosis_score(np.array([squares.sum()]), np.array([np.square(squares).sum()]), 1200)
    assert running.count == 1200
    assert running.score == pytest.approx(float(whole[0]))


def test_mixture_has_its_kurtosis_and_spread() -> None:
    share, noise, trials, count = 0.1, 2.0, 4000, 2000
    random = np.random.default_rng(4)
    hit = random.random((trials, count)) < share
    squares = np.square(random.standard_normal((trials, count)) * np.sqrt(1 + noise * hit))
    found = count * np.square(squares).sum(1) / np.square(squares.sum(1))
    kurtosis, deviation = mixture_kurtosis(share, noise)
    assert kurtosis - 3 == pytest.approx(mixture_excess_kurtosis(share, noise))
    # The estimate's bias is of order 1/n.
    assert found.mean() == pytest.approx(kurtosis, rel=0.01)
    assert found.std() * math.sqrt(count) == pytest.approx(deviation, rel=0.12)


def test_gaussian_spread_is_root_24() -> None:
    assert mixture_kurtosis(0.0, 2.0) == pytest.approx((3.0, math.sqrt(24)))
    assert mixture_excess_kurtosis(1.0, 2.0) == 0.0


def test_few_values_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 20"):
        kurtosis_score(np.ones(1), np.ones(1), 19)
