"""The weights from queries and from kept light.

Every test fixes its seed; limits are 7 standard errors, fewer than 20 of them: below 1e-10 in all.
"""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import (
    kept_light_estimate,
    least_squares,
    orthogonal_queries,
    posterior_mean,
    query_outcomes,
    random_queries,
    weight_gain,
)


def test_queries_are_unit_vectors_when_made() -> None:
    generator = np.random.default_rng(1)
    orthogonal = orthogonal_queries(generator, 12, 6)
    np.testing.assert_allclose(orthogonal.T @ orthogonal, 2 * np.eye(6), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(random_queries(generator, 5, 6), axis=1), 1)


def test_least_squares_returns_the_weights_when_noise_is_negligible() -> None:
    generator = np.random.default_rng(2)
    means, queries = generator.standard_normal((3, 6)), random_queries(generator, 20, 6)
    outcomes = query_outcomes(
        generator, queries, means, signal_gain=0.7, outcome_variance_snu=1e-20
    )
    np.testing.assert_allclose(least_squares(queries, outcomes, signal_gain=0.7), means, atol=1e-8)


def test_least_squares_refuses_when_queries_do_not_span_the_modes() -> None:
    queries = orthogonal_queries(np.random.default_rng(3), 4, 6)
    with pytest.raises(ConfigurationError, match="span 4 of 6"):
        least_squares(queries, np.zeros((4, 2)), signal_gain=1.0)


def test_posterior_mean_is_that_of_joint_gaussians_when_queries_are_few() -> None:
    generator = np.random.default_rng(4)
    queries, outcomes = random_queries(generator, 4, 6), generator.standard_normal((4, 2))
    a, v, power = 0.7, 1.3, 0.4
    # The other form: E[q y^T] E[y y^T]^-1 y.
    cross = a * power * queries.T
    slow = cross @ np.linalg.inv(a**2 * power * queries @ queries.T + v * np.eye(4)) @ outcomes
    found = posterior_mean(
        queries, outcomes, signal_gain=a, outcome_variance_snu=v, weight_variance_snu=power
    )
    np.testing.assert_allclose(found, slow.T, atol=1e-12)


@pytest.mark.parametrize("copies", [1, 7])
def test_kept_light_has_the_noise_of_the_vacuum_when_homodyned(copies: int) -> None:
    generator = np.random.default_rng(copies)
    means = generator.standard_normal((100, 100))
    error = kept_light_estimate(generator, means, fraction=0.2, copies=copies) - means
    expected = 1 / (0.2 * copies)
    assert abs(error.var() / expected - 1) < 7 * math.sqrt(2 / error.size)


def test_gain_is_that_of_the_channel_when_noise_is_added() -> None:
    generator = np.random.default_rng(5)
    means = 0.3 * generator.standard_normal((200, 200))
    noisy = means + 0.6 * generator.standard_normal(means.shape)
    gain = weight_gain(2 * noisy, means)  # a factor changes nothing
    assert abs(gain.bits - 0.5 * math.log2(1.25)) < 7 * gain.bits_error
    assert gain.signal_to_noise == pytest.approx(2 ** (2 * gain.bits) - 1)
    assert gain.bits_error < 0.01


def test_gain_is_none_when_the_estimate_is_independent() -> None:
    generator = np.random.default_rng(6)
    gain = weight_gain(generator.standard_normal((100, 100)), generator.standard_normal((100, 100)))
    assert gain.bits < 7 * gain.bits_error + 25 / (1e4 * math.log(4))


def test_gain_is_refused_when_shapes_differ() -> None:
    with pytest.raises(ConfigurationError, match="must be the same"):
        weight_gain(np.zeros((2, 3)), np.zeros((3, 2)))


@pytest.mark.parametrize("fraction", [0.0, 1.1, math.nan])
def test_fraction_is_refused_when_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match="fraction of the light"):
        kept_light_estimate(np.random.default_rng(7), np.zeros((2, 2)), fraction=fraction, copies=1)
