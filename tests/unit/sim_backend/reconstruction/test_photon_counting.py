"""Photons behind the displacement: their law, the scores, the local estimate."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import (
    count_found_by_photons,
    counted_photons,
    counting_log_likelihoods,
    estimate_locally,
)


def test_counts_have_the_law_of_random_amplitudes_when_rows_are_played_one_by_one() -> None:
    """The slow way: an amplitude for each row, then Poisson; mean and variance of one mode.

    7 standard errors: below 1e-9.
    """
    direction, rows, draws = np.array([0.6, 0.8]), 20, 4000
    ell_x, ell_p = 1.0, 0.4
    slow = np.random.default_rng(1)
    amplitude = slow.normal(scale=math.sqrt(ell_x) / 2, size=(draws, rows)) + 1j * slow.normal(
        scale=math.sqrt(ell_p) / 2, size=(draws, rows)
    )
    expected = slow.poisson(np.abs(amplitude) ** 2 * 0.64).sum(axis=1)
    generator = np.random.default_rng(2)
    found = np.array(
        [
            counted_photons(
                generator,
                direction,
                rows=rows,
                excess_noise_x_snu=ell_x,
                excess_noise_p_snu=ell_p,
            )[1]
            for _ in range(draws)
        ]
    )
    mean = rows * 0.64 * (ell_x + ell_p) / 4
    spread = 7 * math.sqrt(2 * expected.var() / draws)
    assert abs(found.mean() - expected.mean()) < spread
    assert found.mean() == pytest.approx(mean, abs=spread)
    # Bunched: above Poisson's variance by the intensity's own.
    bunched = mean + rows * 0.64**2 * (ell_x**2 + ell_p**2) / 8
    assert found.var() == pytest.approx(bunched, rel=0.17)
    assert expected.var() == pytest.approx(bunched, rel=0.17)


def test_score_is_minus_infinity_when_a_photon_comes_where_the_candidate_is_dark() -> None:
    scores = counting_log_likelihoods(np.array([2, 1, 0]), np.array([[0.6, 0.8, 0], [1.0, 0, 0]]))
    assert scores[0] == pytest.approx(2 * math.log(0.36) + math.log(0.64))
    assert scores[1] == -math.inf


def test_dictionary_is_guessed_when_no_photon_comes() -> None:
    found = count_found_by_photons(
        np.random.default_rng(3),
        np.eye(4),
        rows=100,
        excess_noise_x_snu=0.0,
        excess_noise_p_snu=0.0,
        trials=400,
    )
    assert abs(found - 100) < 7 * math.sqrt(400 * 0.25 * 0.75)
    sure = count_found_by_photons(
        np.random.default_rng(4),
        np.eye(4),
        rows=200,
        excess_noise_x_snu=1.0,
        excess_noise_p_snu=1.0,
        trials=20,
    )
    assert sure == 20


def test_local_estimate_has_no_bias_when_photons_are_many() -> None:
    local = estimate_locally(
        np.random.default_rng(5),
        rows=20_000,
        modes=32,
        excess_noise_x_snu=1.0,
        excess_noise_p_snu=1.0,
        spread=0.1,
        trials=200,
    )
    slope = float((local.estimate * local.truth).sum() / np.square(local.truth).sum())
    assert slope == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(local.truth.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rows": 0}, "number of rows"),
        ({"excess_noise_x_snu": -1.0}, "excess noise of X"),
        ({"excess_noise_p_snu": math.nan}, "excess noise of P"),
    ],
    ids=["rows", "x", "p"],
)
def test_counting_refuses_when_an_argument_is_out_of_range(
    changed: dict[str, float], words: str
) -> None:
    arguments = {"rows": 5, "excess_noise_x_snu": 1.0, "excess_noise_p_snu": 1.0, **changed}
    with pytest.raises(ConfigurationError, match=words):
        counted_photons(np.random.default_rng(6), np.array([1.0, 0.0]), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="squared length"):
        counted_photons(
            np.random.default_rng(6),
            np.array([1.0, 1.0]),
            rows=1,
            excess_noise_x_snu=1.0,
            excess_noise_p_snu=1.0,
        )
