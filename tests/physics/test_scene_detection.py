"""Noise and signal of the simulated detectors, amplifier and converters against formulas.

Chance of failure: fewer than 40 z-tests at |z| < 7.8, below 1e-12 in all.
"""

import math

import numpy as np
import pytest

from sim_backend.scene.amplifier import OpticalAmplifierModel, OpticalAmplifierSettings
from sim_backend.scene.converters import AdcSettings, AdcStream, Recording
from sim_backend.scene.detectors import (
    BalancedDetector,
    BalancedDetectorSettings,
    PowerHead,
    PowerHeadSettings,
)
from sim_backend.scene.light import (
    ELEMENTARY_CHARGE_C,
    PHOTON_ENERGY_J,
    FloatArray,
    Light,
    dark,
    photon_flux,
)
from sim_backend.scene.resampling import interpolate
from tests.unit.sim_backend.scene.scene_helpers import (
    RATE_HZ,
    assert_mean,
    assert_variance,
    rng,
    steady,
    window,
)

QUIET = BalancedDetectorSettings(
    efficiency=0.8,
    mode_match=0.9,
    common_mode_rejection_db=200.0,
    electronic_noise_v_per_sqrt_hz=0.0,
    dark_current_a=0.0,
    bandwidth_hz=1e12,
    saturation_current_a=1.0,
)
GAIN = QUIET.transimpedance_v_per_a * ELEMENTARY_CHARGE_C
SAMPLES = 200_000


def _detector(settings: BalancedDetectorSettings = QUIET, seed: int = 5) -> BalancedDetector:
    detector = BalancedDetector(settings, rng=rng(seed))
    detector.begin(window())
    return detector


@pytest.mark.parametrize("power_w", [1e-6, 1e-4, 1e-3, 5e-3], ids=str)
def test_shot_noise_is_variance_of_detected_electrons(power_w: float) -> None:
    flux = power_w / PHOTON_ENERGY_J
    oscillator = steady(math.sqrt(flux), SAMPLES)
    volts = _detector().block((dark(SAMPLES),), oscillator).astype(np.float64)
    electrons = volts / GAIN / RATE_HZ
    assert_variance(electrons, 0.8 * flux / RATE_HZ)
    # The same as 2 q I B of the photocurrent over the band up to half the rate.
    current_a = 0.8 * flux * ELEMENTARY_CHARGE_C
    schottky = 2 * ELEMENTARY_CHARGE_C * current_a * RATE_HZ / 2 * 1e8
    assert_variance(volts, schottky)


def test_only_electronic_noise_and_dark_current_are_left_in_the_dark() -> None:
    settings = BalancedDetectorSettings(
        electronic_noise_v_per_sqrt_hz=3e-8, dark_current_a=1e-6, bandwidth_hz=1e12
    )
    volts = _detector(settings).block((dark(SAMPLES),), dark(SAMPLES))
    dark_noise = 2 * ELEMENTARY_CHARGE_C * 1e-6 * (RATE_HZ / 2) * 1e8
    assert_variance(volts, 9e-16 * RATE_HZ / 2 + dark_noise)
    assert_mean(volts, 0.0)


@pytest.mark.parametrize("phase_rad", [0.0, 1.0, np.pi / 2, np.pi], ids=str)
def test_beat_is_twice_real_part_times_visibility(phase_rad: float) -> None:
    signal, oscillator = 3e6 * np.exp(1j * phase_rad), 1e8
    volts = _detector().block((steady(signal, SAMPLES),), steady(oscillator, SAMPLES))
    assert_mean(volts, GAIN * 0.8 * 2 * 0.9 * (signal * oscillator).real)


def test_beat_falls_with_polarisation_overlap() -> None:
    turned = Light(
        field=np.full(SAMPLES, 3e6, dtype=np.complex64),
        jones=np.array([math.cos(1.0), math.sin(1.0)], dtype=np.complex128),
    )
    volts = _detector().block((turned,), steady(1e8, SAMPLES))
    assert_mean(volts, GAIN * 0.8 * 2 * 0.9 * 3e14 * math.cos(1.0))


def test_beat_has_phase_of_polarisation_overlap() -> None:
    """<o|s> of diagonal and circular light is (1 + i)/2: a signal at -i is seen at +1/2."""
    circular = np.array([1, 1j], dtype=np.complex128) / math.sqrt(2)
    diagonal = np.array([1, 1], dtype=np.complex128) / math.sqrt(2)
    signal = Light(field=np.full(SAMPLES, -3e6j, dtype=np.complex64), jones=circular)
    oscillator = Light(field=np.full(SAMPLES, 1e8, dtype=np.complex64), jones=diagonal)
    volts = _detector().block((signal,), oscillator)
    assert_mean(volts, GAIN * 0.8 * 2 * 0.9 * 3e14 / 2)


def test_beat_vanishes_when_it_is_beyond_the_band() -> None:
    field = np.full(SAMPLES, 3e6, dtype=np.complex64)
    far = Light(field=field, carrier_hz=5e9)
    volts = _detector().block((far,), steady(1e8, SAMPLES))
    assert_mean(volts, 0.0)


def test_common_mode_leaves_its_fraction_of_total_current() -> None:
    settings = BalancedDetectorSettings(
        efficiency=1.0, common_mode_rejection_db=40.0, bandwidth_hz=1e12, saturation_current_a=1.0
    )
    volts = _detector(settings).block((steady(5e7, SAMPLES),), steady(1e8j, SAMPLES))
    assert_mean(volts, 0.01 * GAIN * 1.25e16)


def test_one_pole_reduces_white_noise_to_its_band() -> None:
    bandwidth_hz = 100e6
    settings = BalancedDetectorSettings(bandwidth_hz=bandwidth_hz, dark_current_a=0.0)
    detector = _detector(settings)
    volts = np.concatenate([detector.block((), dark(n)) for n in (500_000, 500_000)])
    pole = math.exp(-2 * math.pi * bandwidth_hz / RATE_HZ)
    white = settings.electronic_noise_v_per_sqrt_hz**2 * RATE_HZ / 2
    # Thinned by 16: neighbours are then correlated by less than 1e-5.
    assert_variance(volts[100::16], white * (1 - pole) / (1 + pole))


def test_gaussian_response_halves_power_at_bandwidth() -> None:
    bandwidth_hz = 100e6
    settings = BalancedDetectorSettings(
        bandwidth_hz=bandwidth_hz,
        response="gaussian",
        electronic_noise_v_per_sqrt_hz=0.0,
        saturation_current_a=1.0,
        dark_current_a=0.0,
        common_mode_rejection_db=200.0,
    )
    samples = 80_000
    tone = np.exp(2j * np.pi * bandwidth_hz * np.arange(samples) / RATE_HZ)
    signal = Light(field=(1e8 * tone).astype(np.complex64))
    volts = _detector(settings).block((signal,), steady(1e8, samples)).astype(np.float64)
    plain = _detector(QUIET).block((signal,), steady(1e8, samples)).astype(np.float64)
    ratio = np.abs(np.vdot(tone[1000:], volts[1000:])) / np.abs(np.vdot(tone[1000:], plain[1000:]))
    expected = math.sqrt(0.5) * 0.85 * 0.98 / (0.8 * 0.9)
    assert ratio == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("gain_db", [0.5, 3.0103, 10.0], ids=str)
def test_amplifier_adds_photons_of_gain_less_one(gain_db: float) -> None:
    amplifier = OpticalAmplifierModel(
        OpticalAmplifierSettings(inversion=1.5, seed_power_w=0.0, filter_bandwidth_hz=1e12),
        rng=rng(),
    )
    amplifier.pump = True
    amplifier.set_gain_db(gain_db)
    amplifier.begin(window())
    gain = 10 ** (gain_db / 10)
    field = amplifier.block(steady(1e4, SAMPLES)).field
    assert_mean(field.real, math.sqrt(gain) * 1e4)
    noise = field - np.complex64(math.sqrt(gain) * 1e4)
    photons_per_mode = photon_flux(noise).astype(np.float64) / RATE_HZ
    assert_mean(photons_per_mode, (gain - 1) * 1.5)


def test_amplified_light_has_quantum_limited_variance_at_detector() -> None:
    wide = OpticalAmplifierSettings(seed_power_w=0.0, filter_bandwidth_hz=1e12)
    amplifier = OpticalAmplifierModel(wide, rng=rng())
    amplifier.pump = True
    amplifier.set_gain_db(10 * math.log10(2.0))
    amplifier.begin(window())
    settings = BalancedDetectorSettings(
        efficiency=1.0,
        mode_match=1.0,
        common_mode_rejection_db=200.0,
        electronic_noise_v_per_sqrt_hz=0.0,
        dark_current_a=0.0,
        bandwidth_hz=1e12,
        saturation_current_a=1.0,
    )
    oscillator = steady(1e8, SAMPLES)
    vacuum = GAIN**2 * 1e16 * RATE_HZ
    volts = _detector(settings).block((amplifier.block(steady(0.0, SAMPLES)),), oscillator)
    # Phase-insensitive gain of vacuum: 2 G - 1 shot-noise units (Caves 1982).
    assert_variance(volts / math.sqrt(vacuum), 3.0)


def test_amplifier_noise_is_flat_within_its_filter_and_absent_beyond() -> None:
    amplifier = OpticalAmplifierModel(
        OpticalAmplifierSettings(seed_power_w=0.0, filter_bandwidth_hz=400e6), rng=rng()
    )
    amplifier.pump = True
    amplifier.set_gain_db(10.0)
    amplifier.begin(window())
    blocks = [amplifier.block(dark(n)).field for n in (100_000, 162_144)]
    spectrum = np.fft.fft(np.concatenate(blocks).reshape(-1, 256), axis=1)
    photons = np.square(np.abs(spectrum)) / 256 / RATE_HZ
    offsets_hz = np.abs(np.fft.fftfreq(256, 1 / RATE_HZ))
    # Segments without a window leak a little over their edges: 2 % of a bin's photons.
    assert float(photons[:, offsets_hz < 140e6].mean()) == pytest.approx(9.0, rel=0.02)
    assert float(photons[:, offsets_hz > 260e6].mean()) < 0.02 * 9.0


def test_power_head_noise_falls_with_averaging() -> None:
    settings = PowerHeadSettings(noise_w_per_sqrt_hz=1e-9, offset_w=3e-9, relative_error=0.02)
    head = PowerHead(settings, rng=rng())
    readings = np.array([head.read_w(1e-6, 0.5) for _ in range(3000)])
    assert_mean(readings, 1.02e-6 + 3e-9)
    assert_variance(readings, 1e-18)


def _recorded(volts: FloatArray, settings: AdcSettings, range_v: float) -> FloatArray:
    recording = Recording(rate_hz=RATE_HZ, samples=volts.size - 20, range_v=range_v)
    stream = AdcStream(settings, recording, window(volts.size), rng=rng())
    stream.push(volts)
    return stream.finish().volts


def test_quantisation_noise_is_step_squared_over_twelve() -> None:
    volts = rng(9).uniform(-0.9, 0.9, SAMPLES).astype(np.float32)
    settings = AdcSettings(bits=8, effective_bits=None)
    errors = _recorded(volts, settings, 1.0).astype(np.float64) - volts[: SAMPLES - 20]
    step = 2 / 256
    assert np.abs(errors).max() <= step / 2 * (1 + 1e-4)
    squares = np.square(errors)
    assert_mean(squares, step**2 / 12)


def test_effective_bits_set_total_noise() -> None:
    volts = rng(9).uniform(-0.5, 0.5, SAMPLES).astype(np.float32)
    settings = AdcSettings(bits=12, effective_bits=9.0)
    errors = _recorded(volts, settings, 1.0).astype(np.float64) - volts[: SAMPLES - 20]
    assert_mean(np.square(errors), (2 / 2**9) ** 2 / 12)


@pytest.mark.parametrize("offset_ppm", [-50.0, 1.0, 50.0, 3000.0], ids=str)
def test_clock_offset_shifts_later_samples_by_offset_times_index(offset_ppm: float) -> None:
    samples = 1_000_000 if abs(offset_ppm) <= 50 else 20_000
    frequency_hz = 90e6
    settings = AdcSettings(bits=24, effective_bits=None, clock_offset_ppm=offset_ppm)
    recording = Recording(rate_hz=RATE_HZ, samples=samples + 1, range_v=2.0)
    stream = AdcStream(settings, recording, window(), rng=rng())
    done = 0
    while done < stream.samples_needed:
        index = np.arange(done, done + 65_536)
        stream.push(np.sin(2 * np.pi * frequency_hz / RATE_HZ * index).astype(np.float32))
        done += index.size
    volts = stream.finish().volts
    checked = np.arange(50, samples + 1, 997 if samples > 100_000 else 1)
    slipped = checked / (1 + offset_ppm * 1e-6)
    expected = np.sin(2 * np.pi * frequency_hz / RATE_HZ * slipped)
    assert np.abs(volts[checked] - expected).max() < 2e-3
    assert samples - samples / (1 + offset_ppm * 1e-6) == pytest.approx(
        offset_ppm * 1e-6 * samples, rel=0.01
    )


def test_interpolation_reads_tone_between_samples() -> None:
    values = np.cos(0.4 * np.pi * np.arange(400)).astype(np.float32)
    positions = 20.3 + 0.77 * np.arange(300)
    expected = np.cos(0.4 * np.pi * positions)
    assert np.abs(interpolate(values, 20.3, 0.77, 300) - expected).max() < 2e-3
