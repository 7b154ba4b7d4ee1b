"""Converters: from sample memory to volts on a modulator, and from detector volts to codes."""

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive, check_whole
from sim_backend.scene.light import FloatArray, Window
from sim_backend.scene.resampling import HALF_TAPS, interpolate

__all__ = [
    "AdcSettings",
    "AdcStream",
    "DacSettings",
    "DacStream",
    "Drive",
    "Record",
    "Recording",
]


@dataclass(frozen=True, kw_only=True)
class DacSettings:
    """The analogue side of a waveform generator's channel.

    Args:
        bits: resolution.
        range_v: highest output magnitude; one code is 2 range/2^bits.
        offset_v: error added to every level.
        clock_offset_ppm: true over nominal sample rate, less one.
        trigger_jitter_s: root-mean-square jitter of the start, drawn once per play.
    """

    bits: int = 14
    range_v: float = 5.0
    offset_v: float = 0.0
    clock_offset_ppm: float = 0.0
    trigger_jitter_s: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, "bits", 1, 24)
        check_positive(self, "range_v")
        check_between(self, "offset_v", -self.range_v, self.range_v, unit="V")
        check_between(self, "clock_offset_ppm", -1e5, 1e5, unit="ppm")
        check_between(self, "trigger_jitter_s", 0.0, 1e-3, unit="s")


@dataclass(frozen=True, kw_only=True)
class AdcSettings:
    """The analogue side of a digitiser's channel.

    Args:
        bits: resolution; one code is 2 range/2^bits.
        effective_bits: resolution with the converter's own noise; None for no such noise.
        offset_v: error added to every sample.
        clock_offset_ppm: true over nominal sample rate, less one.
        trigger_jitter_s: root-mean-square jitter of the first sample, drawn once per record.
    """

    bits: int = 12
    effective_bits: float | None = 10.5
    offset_v: float = 0.0
    clock_offset_ppm: float = 0.0
    trigger_jitter_s: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, "bits", 1, 24)
        if self.effective_bits is not None:
            check_between(self, "effective_bits", 1.0, float(self.bits))
        check_between(self, "offset_v", -100.0, 100.0, unit="V")
        check_between(self, "clock_offset_ppm", -1e5, 1e5, unit="ppm")
        check_between(self, "trigger_jitter_s", 0.0, 1e-3, unit="s")


@dataclass(frozen=True, kw_only=True, eq=False)
class Drive:
    """What one generator channel plays after the trigger.

    Args:
        volts: waveform, float32, shape (samples,).
        rate_hz: nominal sample rate.
        delay_s: time from the trigger to the first sample.
        idle_v: level before and after.
    """

    volts: FloatArray
    rate_hz: float
    delay_s: float = 0.0
    idle_v: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "rate_hz")
        check_between(self, "delay_s", 0.0, 1e3, unit="s")
        check_between(self, "idle_v", -1e3, 1e3, unit="V")
        if self.volts.ndim != 1 or self.volts.dtype != np.float32:
            raise ConfigurationError(
                f"Drive: volts must be float32 of one axis, got {self.volts.dtype} of shape "
                f"{self.volts.shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What one digitiser channel is asked to record.

    Args:
        rate_hz: nominal sample rate.
        samples: length of the record.
        range_v: highest magnitude.
        delay_s: time from the trigger to the first sample by the digitiser's own clock; negative
            records before it.
    """

    rate_hz: float
    samples: int
    range_v: float
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "rate_hz", "range_v")
        check_whole(self, "samples", 1, 1 << 31)
        check_between(self, "delay_s", -1.0, 1e3, unit="s")


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What a digitiser channel recorded.

    Args:
        volts: on the code grid, float32, shape (samples,).
        rate_hz: nominal sample rate.
        range_v: highest magnitude.
        step_v: width of a code.
        clipped: samples that were beyond the range.
    """

    volts: FloatArray
    rate_hz: float
    range_v: float
    step_v: float
    clipped: int


class DacStream:
    """Volts of one generator channel at the samples of the scene.

    Args:
        settings: the channel.
        drive: what it plays, or None to rest at `idle_v`.
        window: the samples of the scene.
        rng: source of the jitter.
        idle_v: level without a drive.
    """

    def __init__(
        self,
        settings: DacSettings,
        drive: Drive | None,
        window: Window,
        *,
        rng: np.random.Generator,
        idle_v: float = 0.0,
    ) -> None:
        self._step_v: float = math.ldexp(settings.range_v, 1 - settings.bits)
        self._offset_v = settings.offset_v
        self._volts = drive.volts if drive is not None else np.empty(0, dtype=np.float32)
        self.idle_v = self._level(drive.idle_v if drive is not None else idle_v)
        self._position = 0.0
        self._step = 1.0
        if drive is not None:
            rate_hz = drive.rate_hz * (1 + settings.clock_offset_ppm * 1e-6)
            jitter_s = settings.trigger_jitter_s * float(rng.standard_normal())
            self._position = (window.start_s - drive.delay_s - jitter_s) * rate_hz
            self._step = rate_hz / window.rate_hz

    def block(self, samples: int) -> FloatArray:
        """The next `samples` volts."""
        first = self._position
        last = first + self._step * samples
        self._position = last
        if self._volts.size == 0 or last < -HALF_TAPS or first > self._volts.size + HALF_TAPS:
            return np.full(samples, self.idle_v, dtype=np.float32)
        low = math.floor(first) - HALF_TAPS
        high = math.ceil(last) + HALF_TAPS + 1
        values = self._codes(low, high)
        return interpolate(values, first - low, self._step, samples)

    def _level(self, volts: float) -> float:
        return round(volts / self._step_v) * self._step_v + self._offset_v

    def _codes(self, low: int, high: int) -> FloatArray:
        """Samples low..high of the waveform on the code grid, idle where it has none."""
        values = np.full(high - low, self.idle_v, dtype=np.float32)
        start, stop = max(low, 0), min(high, self._volts.size)
        if stop > start:
            part = self._volts[start:stop] * np.float32(1 / self._step_v)
            np.rint(part, out=part)
            part *= np.float32(self._step_v)
            part += np.float32(self._offset_v)
            values[start - low : stop - low] = part
        return values


class AdcStream:
    """Takes the volts of the scene block by block and gives one record.

    Args:
        settings: the channel.
        recording: what to record.
        window: the samples of the scene.
        rng: source of jitter and converter noise.
    """

    def __init__(
        self,
        settings: AdcSettings,
        recording: Recording,
        window: Window,
        *,
        rng: np.random.Generator,
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._rng = rng
        clock = 1 + settings.clock_offset_ppm * 1e-6
        rate_hz = recording.rate_hz * clock
        jitter_s = settings.trigger_jitter_s * float(rng.standard_normal())
        # Samples before the trigger are counted by the digitiser's own clock.
        begin_s = recording.delay_s / clock + jitter_s
        self._first = (begin_s - window.start_s) * window.rate_hz
        self._step = window.rate_hz / rate_hz
        self._out = np.empty(recording.samples, dtype=np.float32)
        self._filled = 0
        self._buffer: FloatArray = np.zeros(HALF_TAPS, dtype=np.float32)
        self._buffer_start = -HALF_TAPS
        self._clipped = 0
        self.step_v = math.ldexp(recording.range_v, 1 - settings.bits)

    @property
    def samples_needed(self) -> int:
        """Samples of the scene until the record is full."""
        last = self._first + self._step * (self._recording.samples - 1)
        return max(1, math.ceil(last) + HALF_TAPS + 1)

    def push(self, volts: FloatArray) -> None:
        """Take the next block."""
        self._buffer = np.concatenate((self._buffer, volts))
        last = self._buffer_start + self._buffer.size - 1 - HALF_TAPS
        reachable = math.floor((last - self._first) / self._step) + 1
        count = min(reachable, self._recording.samples) - self._filled
        if count > 0:
            position = self._first + self._step * self._filled - self._buffer_start
            part = interpolate(self._buffer, position, self._step, count)
            self._out[self._filled : self._filled + count] = self._codes(part)
            self._filled += count
        following = math.floor(self._first + self._step * self._filled) - HALF_TAPS
        drop = min(max(0, following - self._buffer_start), self._buffer.size)
        self._buffer = self._buffer[drop:].copy()
        self._buffer_start += drop

    def finish(self) -> Record:
        """The record.

        Raises:
            ConfigurationError: fewer samples were pushed than `samples_needed`.
        """
        if self._filled < self._recording.samples:
            raise ConfigurationError(
                f"digitiser: {self._filled} of {self._recording.samples} samples were recorded; "
                f"push {self.samples_needed} samples of the scene before finishing"
            )
        return Record(
            volts=self._out,
            rate_hz=self._recording.rate_hz,
            range_v=self._recording.range_v,
            step_v=self.step_v,
            clipped=self._clipped,
        )

    def _codes(self, volts: FloatArray) -> FloatArray:
        volts += np.float32(self._settings.offset_v)
        noise_v = self._noise_v()
        if noise_v > 0:
            volts += np.float32(noise_v) * self._rng.standard_normal(volts.size, dtype=np.float32)
        half = 1 << (self._settings.bits - 1)
        volts *= np.float32(1 / self.step_v)
        np.rint(volts, out=volts)
        if float(volts.max()) > half - 1 or float(volts.min()) < -half:
            self._clipped += int(np.count_nonzero((volts > half - 1) | (volts < -half)))
            np.clip(volts, -half, half - 1, out=volts)
        volts *= np.float32(self.step_v)
        return volts

    def _noise_v(self) -> float:
        """Noise beyond quantisation: step_eff^2/12 - step^2/12 with the effective resolution."""
        if self._settings.effective_bits is None:
            return 0.0
        effective_v = 2 * self._recording.range_v / 2.0**self._settings.effective_bits
        return math.sqrt(max(0.0, effective_v**2 - self.step_v**2) / 12)
