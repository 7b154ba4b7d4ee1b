"""The data from the returned noise: components, likelihoods, and what an overlap is worth.

Every test fixes its seed; limits are 7 standard errors, fewer than 20 of them: below
1e-9 in all.
"""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import (
    bits_of_squared_overlaps,
    candidates_with_cosine,
    count_found,
    expected_squared_overlap,
    log_likelihoods,
    principal_direction,
    residual_rows,
    returned_rows,
    squared_overlaps,
)


def unit(values: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    array = np.array(values, dtype=np.float64)
    return np.asarray(array / np.linalg.norm(array))


def test_returned_rows_have_the_law_of_the_receiver_when_weights_are_taken_off() -> None:
    generator = np.random.default_rng(1)
    direction, number, ell = unit([1, 2, -1, 3]), 20_000, 0.7
    means = generator.standard_normal((number, 4))
    values = returned_rows(
        generator, direction=direction, means_snu=means, excess_noise_snu=ell, mean_gain=0.8
    )
    left = residual_rows(values, means, 0.8)
    expected = np.eye(4) + ell * np.outer(direction, direction)
    # A covariance of n Gaussian draws has errors of at most sqrt(2/n) times the variances.
    limit = 7 * math.sqrt(2 / number) * (1 + ell)
    np.testing.assert_allclose(left.T @ left / number, expected, atol=limit)
    assert np.abs(left.mean(axis=0)).max() < 7 * math.sqrt((1 + ell) / number)
    # Half taken off only: the weights remain.
    assert residual_rows(values, means, 0.3).var() > 1.2 * left.var()


@pytest.mark.parametrize("rows", [3, 40])
def test_principal_direction_is_that_of_the_decomposition_when_rows_are_few_or_many(
    rows: int,
) -> None:
    values = np.random.default_rng(rows).standard_normal((rows, 8))
    expected = np.linalg.svd(values)[2][0]
    assert abs(principal_direction(values) @ expected) == pytest.approx(1, abs=1e-9)


def test_overlap_theory_is_known_when_modes_and_rows_are_given() -> None:
    assert expected_squared_overlap(1.0, 4 * 784, 784) == pytest.approx(0.6)
    assert expected_squared_overlap(1.0, 16 * 784, 784) == pytest.approx(0.882353, rel=1e-6)
    assert expected_squared_overlap(1.0, 784, 784) == 0.0
    assert expected_squared_overlap(0.0, 784, 784) == 0.0


def test_likelihoods_differ_as_the_densities_do_when_candidates_are_compared() -> None:
    generator = np.random.default_rng(3)
    candidates = np.array([unit([1, 0, 2]), unit([1, 1, 1]), unit([0, -1, 1])])
    for rows in (2, 9):  # below and above the number of modes: two ways to the same sums
        left = generator.standard_normal((rows, 3))
        slow = [
            multivariate_normal(cov=np.eye(3) + 0.4 * np.outer(c, c)).logpdf(left).sum()
            for c in candidates
        ]
        fast = log_likelihoods(left, candidates, 0.4)
        np.testing.assert_allclose(np.diff(fast), np.diff(slow), atol=1e-10)


def test_server_guesses_when_the_return_carries_no_excess_noise() -> None:
    found = count_found(
        np.random.default_rng(4),
        candidates_with_cosine(4, 6, 0.5),
        excess_noise_snu=0.0,
        rows=50,
        trials=2_000,
    )
    assert abs(found / 2_000 - 0.25) < 7 * math.sqrt(0.25 * 0.75 / 2_000)


def test_candidates_have_the_cosine_when_they_are_made() -> None:
    array = candidates_with_cosine(5, 7, 0.3)
    np.testing.assert_allclose(array @ array.T, np.full((5, 5), 0.3) + 0.7 * np.eye(5), atol=1e-12)


def test_bits_are_none_when_the_direction_is_guessed() -> None:
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((4_000, 16))
    guessed = vectors[:, 0] ** 2 / np.square(vectors).sum(axis=1)
    assert bits_of_squared_overlaps(guessed, 16) < 0.01
    assert bits_of_squared_overlaps(guessed, 16, 7) == 0.0


def test_bits_are_those_of_the_direction_when_the_overlap_is_sure() -> None:
    # A cap of squared overlap q and above holds the fraction p of the sphere: log2(1/p) bits, of
    # which the bound finds all but the shape of the cap.
    modes, q = 64, 0.6
    bits = bits_of_squared_overlaps(np.full(50, q), modes)
    nearly = -(modes - 1) / 2 * math.log2(1 - q)
    assert nearly - 6 < bits < nearly
    assert bits_of_squared_overlaps(np.full(50, q), modes, 5) == pytest.approx(bits)


def test_overlaps_are_worth_less_when_errors_are_taken_off() -> None:
    squared = squared_overlaps(
        np.random.default_rng(6), excess_noise_snu=1.0, rows=128, modes=32, trials=20
    )
    assert abs(squared.mean() - 0.6) < 0.2
    low, point = bits_of_squared_overlaps(squared, 32, 5), bits_of_squared_overlaps(squared, 32)
    assert 0 < low < point


@pytest.mark.parametrize("ell", [-0.1, math.nan, math.inf])
def test_excess_noise_is_refused_when_out_of_range(ell: float) -> None:
    with pytest.raises(ConfigurationError, match="excess noise"):
        log_likelihoods(np.zeros((2, 2)), np.eye(2), ell)


@pytest.mark.parametrize("length", [0.5, math.nan])
def test_candidates_are_refused_when_not_of_unit_length(length: float) -> None:
    with pytest.raises(ConfigurationError, match="vector 1"):
        log_likelihoods(np.zeros((2, 2)), np.array([[1, 0], [0, length]]), 1.0)


def test_candidates_are_refused_when_there_are_too_few_modes() -> None:
    with pytest.raises(ConfigurationError, match="number of modes is 5"):
        candidates_with_cosine(5, 5, 0.5)
