"""Converters of the scene: levels, delays, clipping and refusals."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.converters import (
    AdcSettings,
    AdcStream,
    DacSettings,
    DacStream,
    Drive,
    Record,
    Recording,
)
from sim_backend.scene.light import FloatArray
from sim_backend.scene.resampling import interpolate, interpolation_taps
from tests.unit.sim_backend.scene.scene_helpers import RATE_HZ, rng, window


def _played(settings: DacSettings, drive: Drive | None, sizes: list[int]) -> FloatArray:
    stream = DacStream(settings, drive, window(start_s=-10 / RATE_HZ), rng=rng(), idle_v=0.5)
    return np.concatenate([stream.block(size) for size in sizes])


def _drive(**changes: float) -> Drive:
    ramp = np.linspace(-1, 1, 50, dtype=np.float32)
    return Drive(volts=ramp, rate_hz=RATE_HZ, **changes)


def test_generator_rests_before_and_after_its_waveform() -> None:
    settings = DacSettings(bits=16, range_v=2.0)
    drive = _drive(delay_s=5 / RATE_HZ, idle_v=-0.25)
    volts = _played(settings, drive, [7, 20, 100])
    assert volts[:15] == pytest.approx(-0.25)
    assert volts[15:65] == pytest.approx(drive.volts, abs=2 / 2**16)
    assert volts[65:] == pytest.approx(-0.25)


def test_generator_rests_at_idle_level_when_it_has_no_drive() -> None:
    settings = DacSettings(bits=16, range_v=2.0, offset_v=0.01)
    assert _played(settings, None, [10]) == pytest.approx(0.51)


def test_generator_levels_lie_on_its_codes() -> None:
    settings = DacSettings(bits=4, range_v=1.0)
    volts = _played(settings, _drive(), [80])
    steps = volts / (2 / 16)
    assert np.allclose(steps, np.rint(steps))
    assert np.unique(volts).size == 17


def test_generator_waveform_is_delayed_by_fraction_of_sample() -> None:
    index = np.arange(300)
    wave = np.sin(0.3 * index).astype(np.float32)
    drive = Drive(volts=wave, rate_hz=RATE_HZ, delay_s=0.4 / RATE_HZ)
    volts = _played(DacSettings(bits=24), drive, [130, 150])[40:250]
    assert np.abs(volts - np.sin(0.3 * (np.arange(40, 250) - 10 - 0.4))).max() < 2e-3


def test_generator_of_half_rate_plays_twice_as_long() -> None:
    wave = np.sin(0.2 * np.arange(200)).astype(np.float32)
    drive = Drive(volts=wave, rate_hz=RATE_HZ / 2)
    volts = _played(DacSettings(bits=24), drive, [400])[50:380]
    assert np.abs(volts - np.sin(0.1 * (np.arange(50, 380) - 10))).max() < 2e-3


def test_generator_jitter_moves_whole_play() -> None:
    """Standard deviation of the start over plays (3000 draws, z < 7.8)."""
    settings = DacSettings(bits=24, trigger_jitter_s=0.1 / RATE_HZ)
    source = rng()
    drive = Drive(volts=np.sin(0.1 * np.arange(60)).astype(np.float32), rate_hz=RATE_HZ)
    starts = []
    for _ in range(3000):
        stream = DacStream(settings, drive, window(), rng=source)
        starts.append(math.asin(float(stream.block(64)[31])) / 0.1)
    # Sample 31 reads sin(3.1), on the falling side.
    jitter = np.std(starts)
    assert abs(jitter - 0.1) < 7.8 * 0.1 / math.sqrt(2 * 3000) + 2e-3


def _record(
    volts: FloatArray, settings: AdcSettings, recording: Recording, sizes: list[int] | None = None
) -> Record:
    stream = AdcStream(settings, recording, window(start_s=-10 / RATE_HZ), rng=rng())
    assert stream.samples_needed <= volts.size
    for part in np.split(volts, np.cumsum(sizes or [])):
        stream.push(part.copy())
    return stream.finish()


def test_digitiser_takes_samples_after_its_delay() -> None:
    volts = np.linspace(-0.9, 0.9, 200, dtype=np.float32)
    recording = Recording(rate_hz=RATE_HZ, samples=100, range_v=1.0, delay_s=3 / RATE_HZ)
    settings = AdcSettings(bits=20, effective_bits=None, offset_v=0.05)
    for sizes in ([], [1, 50, 9], [5] * 30):
        record = _record(volts, settings, recording, sizes)
        assert record.volts == pytest.approx(volts[13:113] + 0.05, abs=2e-6)
        assert record.clipped == 0


def test_digitiser_counts_and_holds_samples_beyond_its_range() -> None:
    volts = np.zeros(100, dtype=np.float32)
    volts[10:40] = [3.0, -3.0, 0.5] * 10
    recording = Recording(rate_hz=RATE_HZ, samples=50, range_v=1.0)
    record = _record(volts, AdcSettings(bits=8, effective_bits=None), recording)
    assert record.clipped == 20
    assert record.step_v == 2 / 256
    assert record.volts.max() == pytest.approx(1 - 2 / 256)
    assert record.volts.min() == -1.0
    codes = record.volts / record.step_v
    assert np.array_equal(codes, np.rint(codes))


def test_digitiser_keeps_last_code_and_counts_next() -> None:
    step = 2 / 256
    levels = np.array([-129, -128, 127, 128]) * step
    volts = np.concatenate((np.zeros(10), levels, np.zeros(20))).astype(np.float32)
    recording = Recording(rate_hz=RATE_HZ, samples=4, range_v=1.0)
    record = _record(volts, AdcSettings(bits=8, effective_bits=None), recording)
    assert record.clipped == 2
    assert record.volts == pytest.approx(np.array([-128, -128, 127, 127]) * step)


def test_digitiser_refuses_to_finish_when_record_is_not_full() -> None:
    recording = Recording(rate_hz=RATE_HZ, samples=50, range_v=1.0)
    stream = AdcStream(AdcSettings(), recording, window(), rng=rng())
    stream.push(np.zeros(30, dtype=np.float32))
    with pytest.raises(ConfigurationError, match="of 50 samples"):
        stream.finish()


def test_drive_refuses_other_types_and_shapes() -> None:
    with pytest.raises(ConfigurationError, match="float32"):
        Drive(volts=np.zeros(4), rate_hz=1.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="shape"):
        Drive(volts=np.zeros((2, 2), dtype=np.float32), rate_hz=1.0)
    with pytest.raises(ConfigurationError, match="rate_hz"):
        Drive(volts=np.zeros(2, dtype=np.float32), rate_hz=math.nan)


@pytest.mark.parametrize(
    ("name", "value"), [("samples", 0), ("range_v", 0.0), ("rate_hz", -1.0), ("delay_s", math.nan)]
)
def test_recording_refuses_values_by_name(name: str, value: float) -> None:
    values = {"samples": 10, "range_v": 1.0, "rate_hz": 1.0, "delay_s": 0.0, name: value}
    with pytest.raises(ConfigurationError, match=name):
        Recording(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [0, 25, True, 8.0], ids=str)
def test_converters_refuse_bits_that_are_no_whole_number_in_range(bits: int) -> None:
    with pytest.raises(ConfigurationError, match="bits"):
        AdcSettings(bits=bits)
    with pytest.raises(ConfigurationError, match="bits"):
        DacSettings(bits=bits)


@pytest.mark.parametrize("step", [1.0, 1 + 3e-6, 1 - 3e-6, 1.0002, 0.9, 1.7], ids=str)
@pytest.mark.parametrize("first", [9.0, 9.31, 10.9999], ids=str)
def test_interpolation_takes_weights_of_nearest_fraction(first: float, step: float) -> None:
    values = rng(3).standard_normal(20_000, dtype=np.float32)
    count = 9000
    found = interpolate(values, first, step, count)
    for k in range(0, count, 211):
        position = round((first + k * step) * 2048)
        taps = interpolation_taps(position % 2048 / 2048)
        near = position // 2048
        expected = float(values[near - 7 : near + 9].astype(np.float64) @ taps)
        assert found[k] == pytest.approx(expected, abs=2e-3)


def test_digitiser_jitter_moves_whole_record() -> None:
    """Standard deviation of the first sample's time over records (3000 draws, z < 7.8)."""
    settings = AdcSettings(bits=24, effective_bits=None, trigger_jitter_s=0.1 / RATE_HZ)
    recording = Recording(rate_hz=RATE_HZ, samples=2, range_v=2.0, delay_s=31 / RATE_HZ)
    wave = np.sin(0.1 * (np.arange(64) - 31)).astype(np.float32)
    source = rng()
    starts = []
    for _ in range(3000):
        stream = AdcStream(settings, recording, window(), rng=source)
        stream.push(wave)
        starts.append(math.asin(float(stream.finish().volts[0])) / 0.1)
    assert abs(np.std(starts) - 0.1) < 7.8 * 0.1 / math.sqrt(2 * 3000) + 1e-3
