"""Variance and level of records without signal, on noise whose law is known."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from calibration.routines._slot_noise import slot_noise
from drivers.errors import CalibrationError
from drivers.optics.burst import BurstFormat

BURST = BurstFormat()


def test_slot_noise_gives_the_variance_of_a_sample_when_noise_is_white() -> None:
    rng = np.random.default_rng(1)
    volts = (0.3 + 2e-3 * rng.standard_normal(1 << 20)).astype(np.float32)
    found = slot_noise(volts, BURST)
    # 7 standard deviations of 2 x 131072 squares: a chance of 3e-12.
    assert found.variance_v2 == pytest.approx(4e-6, rel=7 * math.sqrt(2 / (1 << 18)))
    assert found.degrees_of_freedom == pytest.approx(1 << 18, rel=1e-3)
    assert found.level.uncertainty == pytest.approx(2e-3 / 1024, rel=0.7)
    assert abs(found.level.value - 0.3) < 7 * 2e-3 / 1024
    low, high = found.variance.interval95
    assert high / low == pytest.approx(math.exp(2 * 1.96 * math.sqrt(2 / (1 << 18))), rel=1e-3)


def test_slot_noise_counts_fewer_degrees_of_freedom_when_slots_are_alike() -> None:
    rng = np.random.default_rng(2)
    # A resonance at the intermediate frequency: correlation 0.97 per sample, r^8 = 0.78 per slot.
    pole = 0.97 * np.exp(2j * np.pi / 4)
    noise = lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], rng.standard_normal(1 << 18))
    variances = [slot_noise(part.astype(np.float32), BURST) for part in np.array_split(noise, 64)]
    values = np.array([one.variance_v2 for one in variances])
    scatter = float(values.std(ddof=1) / values.mean())
    said = math.sqrt(2 / float(np.mean([one.degrees_of_freedom for one in variances])))
    white = math.sqrt(2 / 1024)
    # Scatter of 64 is known to 9 %: 6 standard deviations.
    assert scatter == pytest.approx(said, rel=0.55)
    assert said > 1.5 * white


def test_slot_noise_sees_nothing_of_a_level_when_it_is_constant() -> None:
    volts = np.full(1 << 14, 0.25, dtype=np.float32)
    volts[::2] += np.float32(1e-4)
    assert slot_noise(volts, BURST).variance_v2 < 1e-10


def test_slot_noise_refuses_when_the_record_is_short() -> None:
    with pytest.raises(CalibrationError, match="255 slots, 256 are needed"):
        slot_noise(np.zeros(255 * 8, dtype=np.float32), BURST)


def test_slot_noise_refuses_when_all_samples_are_alike() -> None:
    with pytest.raises(CalibrationError, match="all 4096 samples of a record are alike, 0 V"):
        slot_noise(np.zeros(4096, dtype=np.float32), BURST)
