"""The instrument kind digitiser: records sampled voltages once, on a trigger, into a `Trace`."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from drivers.errors import InstrumentError, LimitError, ReadbackError, TraceError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range, check_count
from drivers.instruments.trace import Recording, Trace
from drivers.instruments.trigger import Trigger

__all__ = ["Digitiser", "DigitiserLimits", "DigitiserSettings"]


@dataclass(frozen=True, kw_only=True)
class DigitiserLimits:
    """What a digitiser may be set to.

    Attributes:
        channels: Number of inputs; all are recorded.
        sample_rate_hz: Sample rate in Hz.
        samples: Longest record per channel.
        range_v: Input range in V: the converter spans -range_v to +range_v.
        bits: Resolution of the converter.

    Raises:
        ConfigurationError: A count is below 1.
    """

    channels: int
    sample_rate_hz: Range
    samples: int
    range_v: Range
    bits: int

    def __post_init__(self) -> None:
        check_count("digitiser", "channels", self.channels)
        check_count("digitiser", "samples", self.samples)
        check_count("digitiser", "bits", self.bits)


@dataclass(frozen=True, kw_only=True)
class DigitiserSettings:
    """How a digitiser records, as applied.

    Attributes:
        sample_rate_hz: Sample rate in Hz.
        samples: Samples per channel.
        range_v: The converter spans -range_v to +range_v, in V.
    """

    sample_rate_hz: float
    samples: int
    range_v: float


class Digitiser(Instrument):
    """A digitiser. It emits nothing; safe state: not armed.

    Order of use: `configure`, `arm`, `wait`, `fetch`. Each record is fetched once, so that no
    record can be taken for two.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "digitiser"
    sample_rate_tolerance: ClassVar[float] = 1e-6
    """Largest relative difference between the sample rate set and the one applied."""

    def __init__(self, name: str, *, limits: DigitiserLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits
        self._settings: DigitiserSettings | None = None
        self._recording = False
        self._done_at_s: float | None = None

    @final
    @property
    def limits(self) -> DigitiserLimits:
        """What may be set."""
        return self._limits

    @final
    def configure(self, sample_rate_hz: float, samples: int, range_v: float) -> DigitiserSettings:
        """Set how to record.

        Args:
            sample_rate_hz: Sample rate in Hz.
            samples: Samples per channel, 1 to limits.samples.
            range_v: Input range in V: signals from -range_v to +range_v must fit. The digitiser
                may apply a larger one.

        Returns:
            The settings as applied.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: Another rate or number of samples, or a smaller range, was applied.
            InstrumentError: The digitiser is armed, or closed.
        """
        limits = self._limits
        limits.sample_rate_hz.check(self._name, "sample rate", "Hz", sample_rate_hz)
        limits.range_v.check(self._name, "range", "V", range_v)
        if not 1 <= samples <= limits.samples:
            raise LimitError(
                f"{self._name}: a record of {samples} samples is outside the limits 1 to "
                f"{limits.samples}; record in parts"
            )
        with self._held("configure"):
            self._refuse_when_recording("be configured")
            with self._setting(f"configure {sample_rate_hz} Hz, {samples} samples, {range_v} V"):
                self._settings = None
                self._configure(sample_rate_hz, samples, range_v)
                applied = self._get_settings()
                self._confirm(
                    "sample rate",
                    "Hz",
                    sample_rate_hz,
                    applied.sample_rate_hz,
                    self.sample_rate_tolerance * sample_rate_hz,
                )
                self._confirm_state("number of samples", samples, applied.samples)
                if not applied.range_v >= range_v * (1 - 1e-6):
                    raise ReadbackError(
                        f"{self._name}: range was set to {range_v} V but reads back as "
                        f"{applied.range_v} V, which is smaller; the signal would be clipped"
                    )
                self._settings = applied
                return applied

    @final
    def settings(self) -> DigitiserSettings:
        """The settings as applied.

        Raises:
            InstrumentError: It was not configured since it was opened, or it is closed.
        """
        with self._held("settings?"):
            return self._need_settings()

    @final
    def arm(self, trigger: Trigger) -> None:
        """Make ready for one record; with IMMEDIATE it starts at once.

        Raises:
            InstrumentError: It is armed already, a record was not fetched, it was not configured,
                or it is closed.
        """
        with self._held("arm"):
            self._refuse_when_recording("be armed again")
            self._need_settings()
            with self._setting(f"arm for {trigger.name}"):
                self._arm(trigger)
                self._recording = True
                self._done_at_s = None

    @final
    def is_done(self) -> bool:
        """Whether the record that it was armed for is complete.

        Raises:
            InstrumentError: It was not armed, or it is closed.
        """
        with self._held("done?"):
            if not self._recording:
                raise InstrumentError(
                    f"{self._name}: is not armed, or was aborted: no record will come; arm() it"
                )
            done = self._is_done()
            if done and self._done_at_s is None:
                self._done_at_s = self._clock.now()
            return done

    @final
    def wait(self, timeout_s: float) -> None:
        """Wait until the record is complete. Others may use the digitiser meanwhile.

        Raises:
            LimitError: The timeout is NaN, infinite or negative.
            InstrumentError: Not complete within `timeout_s` (it stays armed: `abort` it), not
                armed, aborted from elsewhere, or closed.
        """
        self._wait("the end of the record", self.is_done, timeout_s)

    @final
    def fetch(self) -> Trace:
        """Take the complete record away.

        Raises:
            InstrumentError: There is no complete record, or the digitiser is closed.
            TraceError: The record is not what was configured, or holds what is not a number.
        """
        with self._held("fetch"):
            if not self.is_done() or self._done_at_s is None:
                raise InstrumentError(
                    f"{self._name}: the record is not complete, there is nothing to fetch; "
                    "wait() for it"
                )
            settings = self._need_settings()
            identity = self.identity
            recording = self._fetch()
            self._recording = False
            wanted = (self._limits.channels, settings.samples)
            if recording.volts.shape != wanted:
                raise TraceError(
                    f"{self._name}: the record has shape {recording.volts.shape}, it was "
                    f"configured for {wanted}; discard it and record again"
                )
            return Trace(
                volts=recording.volts,
                sample_rate_hz=settings.sample_rate_hz,
                range_v=settings.range_v,
                step_v=recording.step_v,
                clipped=recording.clipped,
                time_s=self._done_at_s,
                instrument=identity.text,
                simulated=self.simulated,
            )

    @final
    def abort(self) -> None:
        """Stop waiting for the trigger, or drop the record. Does nothing when not armed.

        Raises:
            ReadbackError: It is still armed by readback.
            InstrumentError: The digitiser is closed.
        """
        with self._setting("abort"):
            self._abort()
            self._confirm_state("armed", False, self._is_armed())
            self._recording = False

    def _refuse_when_recording(self, action: str) -> None:
        if self._recording:
            raise InstrumentError(
                f"{self._name}: is armed or holds a record, it cannot {action} now; fetch() the "
                "record or abort() first"
            )

    def _need_settings(self) -> DigitiserSettings:
        if self._settings is None:
            raise InstrumentError(f"{self._name}: is not configured; configure() it first")
        return self._settings

    def _became_safe(self) -> None:
        self._recording = False

    def _make_safe(self) -> None:
        self._abort()

    def _is_safe(self) -> bool:
        return not self._is_armed()

    @abstractmethod
    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None: ...

    @abstractmethod
    def _get_settings(self) -> DigitiserSettings: ...

    @abstractmethod
    def _arm(self, trigger: Trigger) -> None: ...

    @abstractmethod
    def _is_armed(self) -> bool:
        """Whether it waits for its trigger or records; no longer when the record is complete."""

    @abstractmethod
    def _is_done(self) -> bool:
        """Whether the record is complete."""

    @abstractmethod
    def _fetch(self) -> Recording: ...

    @abstractmethod
    def _abort(self) -> None:
        """Stop; nothing to do where it is not armed."""
