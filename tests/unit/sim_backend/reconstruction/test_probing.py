"""Probes in P: the likelihood's form, what following them buys, what is refused."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import (
    count_found_by_probing,
    probed_directions,
    restored_deficit,
)


def unit_rows(generator: np.random.Generator, rows: int, modes: int) -> np.ndarray:
    vectors = generator.standard_normal((rows, modes))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def overlap(photons: float, rows: int, tap: float = 0.5) -> float:
    generator = np.random.default_rng(1)
    truths = unit_rows(generator, 12, 24)
    found = probed_directions(
        generator, truths, tap_fraction=tap, probe_photons_per_mode=photons, rows=rows
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    return float(np.mean(np.square(np.sum(found * truths, axis=1))))


def test_deficit_does_not_cancel_when_the_tap_is_tiny() -> None:
    assert restored_deficit(1.0) == 1.0
    assert restored_deficit(0.36) == pytest.approx(0.2)
    assert restored_deficit(1e-12) == pytest.approx(5e-13)


def test_directions_come_near_the_truth_when_light_or_rows_grow() -> None:
    faint, bright, long = overlap(0.01, 32), overlap(3.0, 32), overlap(0.05, 4000)
    assert faint < 0.25
    assert bright > 0.9
    assert long > 0.9
    # A single row leaves one stage, which has nothing to follow.
    assert overlap(3.0, 1) < bright


def test_overlap_is_that_of_an_aligned_probe_when_the_light_is_bright() -> None:
    """Nearly all rows are aligned: 1 - q = (N - 1)/(c^2 4 N n M') with M' between M/2 and M."""
    missing = 1 - overlap(10.0, 800)
    least = 23 / (restored_deficit(0.5) ** 2 * 4 * 24 * 10.0 * 800)
    assert 0.7 * least < missing < 2 * least


def test_dictionary_is_found_when_the_probe_is_bright_only() -> None:
    generator = np.random.default_rng(2)
    candidates = unit_rows(generator, 40, 24)

    def found(photons: float) -> int:
        return count_found_by_probing(
            np.random.default_rng(3),
            candidates,
            tap_fraction=0.5,
            probe_photons_per_mode=photons,
            rows=64,
            trials=30,
        )

    assert found(1e-6) < 12
    assert found(1.0) == 30


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tap_fraction": 0.0}, "tap fraction"),
        ({"probe_photons_per_mode": math.nan}, "probe photons per mode"),
        ({"rows": 0}, "number of rows"),
    ],
    ids=["tap", "photons", "rows"],
)
def test_probing_refuses_when_an_argument_is_out_of_range(
    changed: dict[str, float], words: str
) -> None:
    arguments = {"tap_fraction": 0.5, "probe_photons_per_mode": 1.0, "rows": 3, **changed}
    with pytest.raises(ConfigurationError, match=words):
        probed_directions(np.random.default_rng(4), np.eye(3), **arguments)  # type: ignore[arg-type]
