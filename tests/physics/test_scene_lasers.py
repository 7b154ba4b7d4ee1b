"""Phase, frequency and intensity of the simulated lasers against their textbook statistics.

Chance of failure: fewer than 30 z-tests at |z| < 7.8, below 1e-12 in all.
"""

import math

import numpy as np
import pytest

from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings, LaserSource
from sim_backend.scene.light import PHOTON_ENERGY_J, frequency_offset_hz, photon_flux
from sim_backend.scene.reference_settings import wavelength_at_offset_m
from tests.unit.sim_backend.scene.scene_helpers import (
    RATE_HZ,
    assert_mean,
    assert_variance,
    rng,
    window,
)


def _laser(*, seed: int = 3, **changes: float) -> LaserSource:
    values = {"power_settling_s": 0.0, "wavelength_settling_s": 0.0, "frequency_drift_hz": 0.0}
    laser = LaserSource(LaserSettings(**(values | changes)), rng=rng(seed), clock=SimulatedClock())
    laser.set_emission(True)
    laser.begin(window())
    return laser


@pytest.mark.parametrize("lag", [1, 7, 100], ids=str)
@pytest.mark.parametrize("linewidth_hz", [1e4, 1e6], ids=["10kHz", "1MHz"])
def test_phase_variance_grows_as_two_pi_linewidth_time(lag: int, linewidth_hz: float) -> None:
    laser = _laser(linewidth_hz=linewidth_hz, intensity_noise_db_per_hz=-250.0)
    field = np.concatenate([laser.block(n).field for n in (40_000, 1, 60_000)])
    phase = np.unwrap(np.angle(field.astype(np.complex128)))
    steps = np.diff(phase[::lag])
    assert_variance(steps, 2 * math.pi * linewidth_hz * lag / RATE_HZ)


def test_phase_is_continuous_when_blocks_change_size() -> None:
    laser = _laser(linewidth_hz=0.0, wavelength_m=wavelength_at_offset_m(37e6))
    field = np.concatenate([laser.block(n).field for n in (1000, 17, 5000)])
    phase = np.unwrap(np.angle(field.astype(np.complex128)))
    steps = np.diff(phase)
    assert np.allclose(steps, 2 * np.pi * 37e6 / RATE_HZ, atol=2e-6)


def test_beat_frequency_is_difference_of_wavelengths() -> None:
    first = _laser(linewidth_hz=0.0, wavelength_m=wavelength_at_offset_m(150e6))
    second = _laser(linewidth_hz=0.0, wavelength_m=wavelength_at_offset_m(-50e6), seed=4)
    samples = 100_000
    beat = np.concatenate(
        [first.block(n).field * second.block(n).field.conj() for n in (65_536, samples - 65_536)]
    )
    # 200 MHz at 800 MS/s turns by a quarter per sample: after removal nothing is left to turn.
    quarter = np.array([1, -1j, -1, 1j])[np.arange(samples) % 4]
    rest = np.unwrap(np.angle(beat * quarter))
    assert abs(rest[-1] - rest[0]) / (2 * np.pi) / (samples / RATE_HZ) < 20.0


def test_frequency_offset_keeps_hertz_when_wavelengths_are_close() -> None:
    assert frequency_offset_hz(wavelength_at_offset_m(200e6)) == pytest.approx(200e6, abs=50.0)
    # c d(lambda)/lambda^2: 1 pm at 1550 nm is 124.8 MHz.
    assert frequency_offset_hz(1550e-9 - 1e-12) == pytest.approx(124.783e6, rel=1e-4)


def test_power_and_intensity_noise_match_settings() -> None:
    laser = _laser(power_w=3e-3, intensity_noise_db_per_hz=-130.0)
    power_w = photon_flux(laser.block(200_000).field).astype(np.float64) * PHOTON_ENERGY_J
    assert_mean(power_w, 3e-3 * (1 + 1e-13 * RATE_HZ / 8))
    assert_variance(power_w / 3e-3, 1e-13 * RATE_HZ / 2)


def test_frequency_drift_has_its_rms_when_time_passes() -> None:
    laser = _laser(frequency_drift_hz=3e6, frequency_drift_time_s=10.0)
    offsets = []
    for _ in range(4000):
        laser.age(100.0)
        offsets.append(laser.frequency_hz())
    assert_variance(np.array(offsets), 9e12)


def test_mode_hops_come_at_their_rate() -> None:
    laser = _laser(mode_hop_rate_per_s=2.0, mode_hop_hz=1.0)
    steps = []
    for _ in range(4000):
        before = laser.frequency_hz()
        laser.age(1.0)
        steps.append(laser.frequency_hz() - before)
    # A Poisson number (mean 2) of steps of +-1 Hz: variance 2, fourth moment 3 * 4 + 2.
    squares = np.square(np.array(steps))
    assert_mean(squares, 2.0)
