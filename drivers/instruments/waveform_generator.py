"""The instrument kind waveform generator: plays sampled voltages once, on a trigger."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import InstrumentError, LimitError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import (
    Range,
    check_channel,
    check_count,
    check_not_negative,
    check_vector,
)
from drivers.instruments.trigger import Trigger

__all__ = ["GeneratorLimits", "WaveformGenerator"]


@dataclass(frozen=True, kw_only=True)
class GeneratorLimits:
    """What a waveform generator may be set to.

    Attributes:
        channels: Number of outputs.
        volts: Voltage in V of each sample and of the idle level.
        sample_rate_hz: Sample rate in Hz, common to all channels.
        samples: Longest waveform.
        bits: Resolution of the converter.

    Raises:
        ConfigurationError: A count is below 1.
    """

    channels: int
    volts: Range
    sample_rate_hz: Range
    samples: int
    bits: int

    def __post_init__(self) -> None:
        check_count("waveform generator", "channels", self.channels)
        check_count("waveform generator", "samples", self.samples)
        check_count("waveform generator", "bits", self.bits)


class WaveformGenerator(Instrument):
    """A waveform generator. Safe state: all outputs off, nothing armed.

    Order of use: `load` each channel, `set_output`, `arm`, then `trigger` or the bench's trigger
    line. A play runs once through the loaded waveforms of all channels; before and after it each
    channel rests at its idle level. Waveforms stay loaded until they are replaced.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "waveform generator"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("output",)
    sample_rate_tolerance: ClassVar[float] = 1e-9
    """Largest relative difference between the sample rate set and the one read back."""
    reports_end: ClassVar[bool] = True
    """Whether the instrument can be asked if an externally triggered play is over; where it cannot,
    it counts as armed until `finish` or `stop`."""

    def __init__(self, name: str, *, limits: GeneratorLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits
        self._loaded: set[int] = set()
        self._awaits: Trigger | None = None

    @final
    @property
    def limits(self) -> GeneratorLimits:
        """What may be set."""
        return self._limits

    @final
    def set_sample_rate(self, sample_rate_hz: float) -> None:
        """Set the sample rate in Hz of all channels.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: Another rate is read back; the outputs are off.
            InstrumentError: The generator is armed, or closed.
        """
        rates = self._limits.sample_rate_hz
        rates.check(self._name, "sample rate", "Hz", sample_rate_hz)
        with self._held("set sample rate"):
            self._refuse_when_armed("set the sample rate")
            with self._setting(f"set sample rate {sample_rate_hz} Hz"):
                self._set_kept(
                    "sample rate",
                    f"{sample_rate_hz:.12g} Hz",
                    partial(self._set_sample_rate, sample_rate_hz),
                    partial(self._confirm_sample_rate, sample_rate_hz),
                )

    @final
    def sample_rate_hz(self) -> float:
        """The sample rate in Hz, by readback.

        Raises:
            InstrumentError: The generator is closed.
        """
        with self._held("sample rate?"):
            return self._get_sample_rate()

    @final
    def load(self, channel: int, volts: NDArray[np.float32]) -> None:
        """Load a channel's waveform. The array is copied.

        Args:
            channel: 0 to channels - 1.
            volts: V, float32, shape (n,), 1 <= n <= limits.samples.

        Raises:
            LimitError: No such channel, wrong shape or type, too long, or any sample is NaN or
                outside the limits; nothing was sent.
            InstrumentError: The generator is armed, or closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        check_vector(self._name, f"waveform of channel {channel}", volts, np.float32)
        if not 1 <= len(volts) <= self._limits.samples:
            raise LimitError(
                f"{self._name}: the waveform of channel {channel} has {len(volts)} samples; it "
                f"must have 1 to {self._limits.samples}. Play it in parts"
            )
        self._limits.volts.check_all(self._name, f"waveform of channel {channel}", "V", volts)
        with self._held("load"):
            self._refuse_when_armed("load a waveform")
            # The values stay out of the log: they are somebody's secret.
            with self._setting(f"load {len(volts)} samples into channel {channel}"):
                self._loaded.discard(channel)
                self._load(channel, volts.copy())
                self._loaded.add(channel)

    @final
    def set_idle(self, channel: int, volts: float) -> None:
        """Set the level in V at which a channel rests when it does not play.

        Raises:
            LimitError: No such channel, or NaN or outside the limits; nothing was sent.
            InstrumentError: The generator is armed, or closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        self._limits.volts.check(self._name, f"idle level of channel {channel}", "V", volts)
        with self._held("set idle level"):
            self._refuse_when_armed("set an idle level")
            with self._setting(f"set idle level of channel {channel} to {volts} V"):
                self._set_idle(channel, volts)

    @final
    def set_output(self, channel: int, on: bool) -> None:
        """Connect a channel to its connector, or disconnect it.

        Raises:
            LimitError: No such channel; nothing was sent.
            ReadbackError: The other state is read back; all outputs are off.
            InstrumentError: The generator is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._setting(f"set output {channel} {'on' if on else 'off'}"):
            self._set_kept(
                f"output {channel}",
                "on" if on else "off",
                partial(self._set_output, channel, on),
                partial(self._confirm_output, channel, on),
            )

    @final
    def output(self, channel: int) -> bool:
        """Whether a channel is connected, by readback.

        Raises:
            LimitError: No such channel.
            InstrumentError: The generator is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._held(f"output {channel}?"):
            return self._get_output(channel)

    @final
    def arm(self, trigger: Trigger, delay_s: float = 0.0) -> None:
        """Make ready for one play.

        Args:
            trigger: SOFTWARE (`trigger`) or EXTERNAL (the bench's trigger line).
            delay_s: Time in s from the trigger to the first sample, finite and at least 0.

        Raises:
            LimitError: Another trigger or delay; nothing was sent.
            ReadbackError: It is not armed by readback; the outputs are off.
            InstrumentError: Nothing is loaded, it is armed already, or it is closed.
        """
        check_not_negative(self._name, "delay", "s", delay_s)
        if trigger is Trigger.IMMEDIATE:
            raise LimitError(
                f"{self._name}: a generator cannot be armed for {trigger.name}; "
                "use SOFTWARE or EXTERNAL"
            )
        with self._held("arm"):
            self._refuse_when_armed("arm it")
            if not self._loaded:
                raise InstrumentError(f"{self._name}: no waveform is loaded; load() one first")
            with self._setting(f"arm for {trigger.name}, delay {delay_s} s"):
                self._arm(trigger, delay_s)
                self._confirm_state("armed", True, self._is_armed())
                self._awaits = trigger

    @final
    def trigger(self) -> None:
        """Start the play, and fire the bench's trigger line. Returns when it has started.

        Raises:
            InstrumentError: It is not armed for SOFTWARE, it plays already, or it is closed.
        """
        with self._held("trigger"):
            if self._awaits is not Trigger.SOFTWARE or not self._armed_before("trigger"):
                raise InstrumentError(
                    f"{self._name}: is not armed for {Trigger.SOFTWARE.name}, there is nothing to "
                    "trigger; arm() it first"
                )
            with self._setting("trigger"):
                self._awaits = None
                self._trigger()

    @final
    def is_armed(self) -> bool:
        """Whether it waits for its trigger or plays, by readback.

        Raises:
            InstrumentError: The generator is closed.
        """
        with self._held("armed?"):
            return self._is_armed()

    @final
    def stop(self) -> None:
        """Stop playing and forget the trigger; the outputs go to their idle levels.

        Raises:
            ReadbackError: It is still armed by readback; the outputs are off.
            InstrumentError: The generator is closed.
        """
        with self._setting("stop"):
            self._stop()
            self._confirm_state("armed", False, self._is_armed())

    @final
    def finish(self) -> None:
        """Say that its play is over, as the record of it shows; nothing to do where it says so.

        Raises:
            ReadbackError: It is still armed by readback; the outputs are off.
            InstrumentError: The generator is closed.
        """
        with self._held("finish"):
            if not self.reports_end:
                self.stop()

    def _armed_before(self, action: str) -> bool:
        """Whether it is armed, asked as a part of a set: if there is no answer, it is made safe."""
        with self._guarded(action):
            return self._is_armed()

    def _refuse_when_armed(self, action: str) -> None:
        if self._armed_before(action):
            raise InstrumentError(
                f"{self._name}: is armed or plays, it cannot {action} now; wait for the end of the "
                "play or stop() it first"
            )

    def _confirm_sample_rate(self, sample_rate_hz: float) -> None:
        tolerance_hz = self.sample_rate_tolerance * sample_rate_hz
        found_hz = self._get_sample_rate()
        self._confirm("sample rate", "Hz", sample_rate_hz, found_hz, tolerance_hz)

    def _confirm_output(self, channel: int, on: bool) -> None:
        self._confirm_state(f"output {channel}", on, self._get_output(channel))

    def _make_safe(self) -> None:
        channels = range(self._limits.channels)
        self._attempt_all([self._stop, *(partial(self._set_output, c, False) for c in channels)])

    def _is_safe(self) -> bool:
        channels = range(self._limits.channels)
        return not self._is_armed() and not any(self._get_output(c) for c in channels)

    @abstractmethod
    def _set_sample_rate(self, sample_rate_hz: float) -> None: ...

    @abstractmethod
    def _get_sample_rate(self) -> float: ...

    @abstractmethod
    def _load(self, channel: int, volts: NDArray[np.float32]) -> None: ...

    @abstractmethod
    def _set_idle(self, channel: int, volts: float) -> None: ...

    @abstractmethod
    def _set_output(self, channel: int, on: bool) -> None: ...

    @abstractmethod
    def _get_output(self, channel: int) -> bool: ...

    @abstractmethod
    def _arm(self, trigger: Trigger, delay_s: float) -> None: ...

    @abstractmethod
    def _trigger(self) -> None: ...

    @abstractmethod
    def _is_armed(self) -> bool:
        """Whether it waits for its trigger or plays."""

    @abstractmethod
    def _stop(self) -> None:
        """Stop; nothing to do where it is not armed."""
