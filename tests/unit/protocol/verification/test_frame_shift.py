"""The search for shifted frames. Seeds are fixed; a limit of 6.5 has the probability 8e-11."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from protocol.verification.frame_shift import BINS, find_frame_shift

FRAMES, MODES, PHOTONS = 20, 784, 0.1


@pytest.mark.parametrize("shift", [-8, -1, 3])
def test_shift_is_found_when_frames_are_shifted(shift: int) -> None:
    random = np.random.default_rng(1)
    means = math.sqrt(4 * PHOTONS) * random.standard_normal((FRAMES, MODES))
    values = np.roll(means.ravel(), shift).reshape(means.shape)
    found = find_frame_shift(values + random.standard_normal(means.shape), means, 1 + 4 * PHOTONS)
    assert found.bins == shift
    assert found.gain == pytest.approx(1.0, abs=6.5 / math.sqrt(means.size * 4 * PHOTONS))
    assert found.score > 20


def test_score_is_normal_when_nothing_is_shifted() -> None:
    random = np.random.default_rng(2)
    scores = []
    for _ in range(1000):
        means = random.standard_normal((2, 100))
        scores.append(find_frame_shift(means + random.standard_normal((2, 100)), means, 2.0).score)
    assert abs(np.mean(scores)) * math.sqrt(1000) < 6.5
    assert abs(np.std(scores) - 1) * math.sqrt(2000) < 6.5


def test_sixteen_neighbours_are_looked_at() -> None:
    assert len(BINS) == 16
    assert 0 not in BINS


@pytest.mark.parametrize("bins", [(), (0, 1), (200,)])
def test_shifts_that_do_not_fit_are_refused(bins: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="shifts"):
        find_frame_shift(np.ones((2, 100)), np.ones((2, 100)), 1.0, bins)


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="shape"):
        find_frame_shift(np.ones((2, 3)), np.ones((3, 2)), 1.0)
    with pytest.raises(ConfigurationError, match="energy of 0"):
        find_frame_shift(np.ones((2, 30)), np.zeros((2, 30)), 1.0)
    with pytest.raises(ConfigurationError, match="variance of nan"):
        find_frame_shift(np.ones((2, 30)), np.ones((2, 30)), math.nan)
