"""What drivers of oscilloscopes share: a record from the trigger on, cut out of a longer one.

A scope takes what it can: a record around the trigger, perhaps longer, perhaps finer than was
asked for. What it took is only known from the record's own description (its preamble), so that is
what is read back: where the record in its memory does not have the form that was asked for, one is
taken with a forced trigger to see.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    RefusedError,
    TraceError,
)
from drivers.instruments import (
    Clock,
    Digitiser,
    DigitiserLimits,
    DigitiserSettings,
    Recording,
    Trigger,
)
from drivers.transports.link import Link
from drivers.transports.wired import Wired

__all__ = ["Codes", "RecordForm", "Scope", "ScopeSettings", "finite"]

Codes = NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.int16] | NDArray[np.uint16]

_TOLERANCE = 1e-6
_LARGEST = 1e30
_RANGE_TRIALS = 3
_RANGE_MARGIN = 1.01
"""How much more is asked for where a scope has rounded the range down."""
_TRIAL_S = 5.0
"""Time that a scope may need for a record with a forced trigger, beside the record itself."""


@dataclass(frozen=True, kw_only=True)
class ScopeSettings:
    """Where the bench's trigger line is plugged in.

    Args:
        trigger_channel: input of the scope.
        trigger_level_v: the rising edge through this level in V is the trigger.
    """

    trigger_channel: int = 4
    trigger_level_v: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.trigger_channel <= 8:
            raise ConfigurationError(f"trigger_channel is {self.trigger_channel}; choose 1 to 8")
        if not 0.01 <= abs(self.trigger_level_v) <= 5:
            raise ConfigurationError(
                f"trigger_level_v is {self.trigger_level_v} V; choose 0.01 to 5 V, of either sign"
            )


def finite(role: str, values: Sequence[float]) -> Sequence[float]:
    """The values, all of which must be finite numbers that a scope can mean.

    Raises:
        AnswerError: one is not.
    """
    if not all(abs(value) < _LARGEST for value in values):
        raise AnswerError(f"{role}: expected finite numbers, got {list(values)}")
    return values


@dataclass(frozen=True, kw_only=True)
class RecordForm:
    """The record in a scope's memory, as the scope describes it.

    Volts are `volts_per_code * code + volts_at_zero`.

    Attributes:
        interval_s: Time between samples in s.
        samples: How many there are.
        trigger: Where the trigger is, in samples from the first one; between samples it is no
            whole number.
        volts_per_code: Of the codes as they are sent.
        volts_at_zero: Volts of the code 0.
        step_v: Width in V of one code of the converter.
        range_v: The converter spans -range_v to +range_v, in V.

    Raises:
        AnswerError: No record can be so.
    """

    interval_s: float
    samples: int
    trigger: float
    volts_per_code: float
    volts_at_zero: float
    step_v: float
    range_v: float

    def __post_init__(self) -> None:
        sane = (
            1e-15 < self.interval_s < 1e6
            and 0 <= self.samples < 1e12
            and abs(self.trigger) < 1e15
            and 1e-15 < self.volts_per_code < 1e6
            and abs(self.volts_at_zero) < 1e9
        )
        if not sane:
            raise AnswerError(f"the scope describes a record that cannot be: {self}")

    @property
    def first(self) -> int:
        """Index of the sample at the trigger."""
        nearest = round(self.trigger)
        # A trigger less than a sample before the record is within the accuracy of its place.
        return 0 if nearest == -1 else nearest

    def stride(self, sample_rate_hz: float) -> int:
        """Every how many samples make a rate; 0 where no whole number does."""
        ratio = 1 / (sample_rate_hz * self.interval_s)
        stride = round(ratio)
        return stride if abs(ratio - stride) <= _TOLERANCE * ratio else 0

    def after_trigger(self, stride: int) -> int:
        """How many samples there are from the trigger on, every `stride`-th counted."""
        first = self.first
        return 0 if first < 0 else max(0, -(-(self.samples - first) // stride))


class Scope(Wired, Digitiser):
    """One input of an oscilloscope, triggered by another input or by force.

    A scope has one acquisition: two roles must not use it at the same time.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the scope.
        clock: for polling.
        channel: input that carries the detector.
        settings: where the trigger comes in.
        simulated: whether an emulator answers.
    """

    poll_interval_s = 2e-3
    safe_deadline_s = 1.0

    def __init__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: ScopeSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._channel = channel
        self._panel = ScopeSettings() if settings is None else settings
        self._asked = DigitiserSettings(sample_rate_hz=1e6, samples=1000, range_v=1.0)
        self._ranges: dict[float, tuple[float, float]] = {}
        self._forced = False
        self._recorded = False

    @abstractmethod
    def _set_up(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        """Order a record with at least so many samples from the trigger on."""

    @abstractmethod
    def _form(self) -> RecordForm:
        """The form of the record in memory; RefusedError where there is none."""

    @abstractmethod
    def _start(self, *, forced: bool) -> None:
        """Begin an acquisition; return when it waits for its trigger or was triggered by force."""

    @abstractmethod
    def _is_running(self) -> bool:
        """Whether the scope acquires or waits."""

    @abstractmethod
    def _has_recorded(self, *, forced: bool) -> bool:
        """Of a scope that stands: whether the acquisition came to its end."""

    @abstractmethod
    def _stop(self) -> None:
        """End the acquisition, also where there is none."""

    @abstractmethod
    def _codes(self, form: RecordForm, first: int, count: int) -> Codes:
        """Codes of the record, shape (count,), as they are sent."""

    @abstractmethod
    def _clipped(self, codes: Codes) -> int:
        """How many codes are at either end of the converter."""

    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        self._asked = DigitiserSettings(
            sample_rate_hz=sample_rate_hz, samples=samples, range_v=range_v
        )
        wanted_v, expected_v = self._ranges.get(range_v, (range_v, range_v))
        for _ in range(_RANGE_TRIALS):
            self._set_up(sample_rate_hz, samples, wanted_v)
            if not self._holds(expected_v):
                self._try_out()
            reached_v = self._form().range_v
            if reached_v >= range_v * (1 - _TOLERANCE):
                self._ranges = {range_v: (wanted_v, reached_v)}
                return
            wanted_v *= _RANGE_MARGIN * range_v / reached_v
            expected_v = wanted_v

    def _holds(self, range_v: float) -> bool:
        """Whether the record in memory has the form that is asked for now."""
        try:
            form = self._form()
        except RefusedError:  # nothing was recorded yet, or less than is asked for
            return False
        stride = form.stride(self._asked.sample_rate_hz)
        return (
            stride > 0
            and form.after_trigger(stride) >= self._asked.samples
            and abs(form.range_v - range_v) <= _TOLERANCE * range_v
        )

    def _try_out(self) -> None:
        """Take a record with a forced trigger, to see its form."""
        duration_s = 10 * self._asked.samples / self._asked.sample_rate_hz
        self._start(forced=True)
        if not self._poll(lambda: not self._is_running(), _TRIAL_S + duration_s):
            raise InstrumentError(
                f"{self.name}: a record with a forced trigger did not end within "
                f"{_TRIAL_S + duration_s:g} s; look at the scope's display"
            )

    def _get_settings(self) -> DigitiserSettings:
        form = self._form()
        stride = form.stride(self._asked.sample_rate_hz) or 1
        return DigitiserSettings(
            sample_rate_hz=1 / (form.interval_s * stride),
            samples=min(self._asked.samples, form.after_trigger(stride)),
            range_v=form.range_v,
        )

    def _arm(self, trigger: Trigger) -> None:
        self._recorded = False
        self._forced = trigger is not Trigger.EXTERNAL
        self._start(forced=self._forced)

    def _is_armed(self) -> bool:
        return self._is_running()

    def _is_done(self) -> bool:
        if self._recorded:
            return True
        if self._is_running():
            return False
        if not self._has_recorded(forced=self._forced):
            raise InstrumentError(
                f"{self.name}: was stopped before its trigger came, perhaps at its front panel; "
                "abort() and arm() it again"
            )
        self._recorded = True
        return True

    def _fetch(self) -> Recording:
        form = self._form()
        asked = self._asked
        stride = form.stride(asked.sample_rate_hz)
        if not stride or form.after_trigger(stride) < asked.samples:
            raise TraceError(
                f"{self.name}: the record has {form.samples} samples at {1 / form.interval_s:.9g} "
                f"Hz with the trigger at sample {form.trigger:.1f}; {asked.samples} after the "
                f"trigger at {asked.sample_rate_hz:.9g} Hz were configured: the scope was set "
                "otherwise meanwhile, configure it again"
            )
        codes = self._codes(form, form.first, (asked.samples - 1) * stride + 1)[::stride]
        volts = np.empty((1, asked.samples), dtype=np.float32)
        # A cast and two passes in place are faster than one pass that casts as it multiplies.
        volts[0] = codes
        volts *= np.float32(form.volts_per_code)
        if form.volts_at_zero:
            volts += np.float32(form.volts_at_zero)
        return Recording(volts=volts, step_v=form.step_v, clipped=self._clipped(codes))

    def _abort(self) -> None:
        self._stop()
