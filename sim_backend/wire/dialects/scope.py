"""What the twins of oscilloscopes share: the knobs of a front panel, and one acquisition at a time.

The inputs of a scope that have a part of the scene record the volts of its detector; the others
record the converter's noise. The bench's trigger line is plugged into some of the inputs; an edge
comes there when a generator fires the line, and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import DigitiserSettings, Trigger
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.scpi_session import Call, Complaint, Handler
from sim_backend.wire.session import TwinPlace

__all__ = [
    "SECONDS",
    "VOLTS",
    "Acquisition",
    "Frame",
    "Knobs",
    "digitiser_parts",
    "engineering",
    "headed",
    "plugged_inputs",
]

SECONDS = {"S": 1.0, "MS": 1e-3, "US": 1e-6, "NS": 1e-9, "PS": 1e-12}
"""Factors of units of time, for `Call.number`."""
VOLTS = {"V": 1.0, "MV": 1e-3, "UV": 1e-6}
"""Factors of units of voltage."""
_LONGEST_S = 20e-3
"""The scene computes every sample of its light: longer records hold the converter's noise only."""
_EARLIEST_S = 1.0
_AUTO_S = 50e-3
"""After that time without an edge, a scope in AUTO triggers itself."""
_NOISE_CODES = 0.4
_CODES = 256


def engineering(value: float, digits: int = 2) -> str:
    """A number as scopes write it, such as `+1.60E+00`."""
    return f"{value:+.{digits}E}"


def headed(pattern: str, handler: Handler, style: Callable[[], str]) -> Handler:
    """A query's handler with the command's header before its answer.

    Args:
        pattern: of the command; orders are left as they are.
        handler: of the command.
        style: `long` or `short` for headers in that form; empty for none.
    """
    if not pattern.endswith("?"):
        return handler

    def answer(call: Call) -> str | bytes:
        said = handler(call)
        assert isinstance(said, str | bytes)
        form = style()
        if not form:
            return said
        name = pattern[:-1].replace("[", "").replace("]", "")
        for suffix in call.suffixes:
            name = name.replace("#", str(suffix), 1)
        short = "".join(one for one in name if not one.islower())
        head = f"{name.upper() if form == 'long' else short} "
        return head.encode() + said if isinstance(said, bytes) else head + said

    return answer


def digitiser_parts(place: TwinPlace) -> dict[int, DigitiserPart]:
    """The parts of the scene behind the inputs of a scope."""
    return {n: part for n, part in place.parts.items() if isinstance(part, DigitiserPart)}


def plugged_inputs(place: TwinPlace) -> frozenset[int]:
    """The inputs that the bench's trigger line is plugged into: 4, unless the bench says others."""
    found = (own.get("trigger_channel", 4) for own in place.settings.values())
    return frozenset(one for one in found if isinstance(one, int)) or frozenset((4,))


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What one acquisition takes.

    Args:
        rate_hz: samples per second.
        samples: on each input.
        begin_s: time of the first sample, from the trigger.
        spans_v: by input, half the span of its converter.
    """

    rate_hz: float
    samples: int
    begin_s: float
    spans_v: Mapping[int, float]

    @property
    def duration_s(self) -> float:
        """Of the record."""
        return self.samples / self.rate_hz


@dataclass
class _Shot:
    """An acquisition that was started: what it takes, and what it has taken."""

    frame: Frame
    line: bool
    auto_s: float | None
    done_s: float | None = None
    volts: dict[int, NDArray[np.float32]] = field(default_factory=dict)


def _is_whole(frame: Frame) -> bool:
    """Whether the scene can compute the record."""
    return frame.duration_s <= _LONGEST_S and -_EARLIEST_S <= frame.begin_s <= _LONGEST_S


class Acquisition:
    """The acquisition system of a scope.

    Attributes:
        triggered: whether a trigger came since somebody last set this to False.

    Args:
        clock: simulated time.
        parts: of the scene, by input.
        plugged: inputs that the trigger line is plugged into.
    """

    def __init__(
        self, clock: SimulatedClock, parts: Mapping[int, DigitiserPart], plugged: frozenset[int]
    ) -> None:
        self.triggered = False
        self._clock = clock
        self._parts = dict(parts)
        self._plugged = plugged
        self._rng = np.random.default_rng(0x5C0FE)
        self._shot: _Shot | None = None
        self._kept: _Shot | None = None

    @property
    def frame(self) -> Frame | None:
        """Of the record in memory; None without one."""
        self.is_running()
        return None if self._kept is None else self._kept.frame

    def start(self, frame: Frame, *, source: int | None, auto: bool) -> None:
        """Wait for a trigger.

        Args:
            frame: what to take.
            source: input with the edge; None for no input of this scope.
            auto: trigger without an edge after a while.
        """
        self.stop()
        line = source in self._plugged
        self._shot = _Shot(
            frame=frame, line=line, auto_s=self._clock.now() + _AUTO_S if auto else None
        )
        if line:
            for part in self._recorders(frame):
                part.unit.armed = Trigger.EXTERNAL

    def force(self) -> None:
        """Trigger now, where it waits."""
        shot = self._shot
        if shot is None or shot.done_s is not None:
            return
        shot.done_s = self._clock.now() + shot.frame.duration_s
        self.triggered = True
        for part in self._recorders(shot.frame):
            part.unit.armed = Trigger.IMMEDIATE
            part.line.record_now(part.unit)
        self._collect(shot)

    def stop(self) -> None:
        """End the acquisition; the last record is kept."""
        if self.is_running() and self._shot is not None:
            for number in self._shot.frame.spans_v:
                if number in self._parts:
                    self._parts[number].unit.armed = None
        self._shot = None

    def is_running(self) -> bool:
        """Whether it waits or acquires."""
        shot = self._shot
        if shot is None:
            return False
        if shot.done_s is None:
            self._look(shot)
        if shot.done_s is None or self._clock.now() < shot.done_s - 1e-12:
            return True
        self._kept, self._shot = shot, None
        return False

    def keep(self, frame: Frame) -> None:
        """A record of the past is in memory, as after running freely; it holds noise only."""
        self._kept = _Shot(frame=frame, line=False, auto_s=None, done_s=self._clock.now())

    def volts(self, channel: int) -> NDArray[np.float32] | None:
        """The record of an input, float32, shape (samples,); None where there is none."""
        frame = self.frame
        if frame is None or self._kept is None or channel not in frame.spans_v:
            return None
        found = self._kept.volts.get(channel)
        if found is None:
            noise_v = _NOISE_CODES * 2 * frame.spans_v[channel] / _CODES
            found = self._rng.standard_normal(frame.samples, dtype=np.float32)
            found *= np.float32(noise_v)
            self._kept.volts[channel] = found
        return found

    def _recorders(self, frame: Frame) -> list[DigitiserPart]:
        """The parts that take part, set up; only for the edge where the record is too long."""
        found = []
        whole = _is_whole(frame)
        for number, span_v in frame.spans_v.items():
            part = self._parts.get(number)
            if part is None:
                continue
            part.unit.record = None
            part.unit.pre_trigger_s = -frame.begin_s if whole else 0.0
            part.unit.settings = DigitiserSettings(
                sample_rate_hz=frame.rate_hz if whole else 1 / _LONGEST_S,
                samples=frame.samples if whole else 1,
                range_v=span_v,
            )
            found.append(part)
        return found

    def _look(self, shot: _Shot) -> None:
        """Whether the trigger has come meanwhile."""
        units = [self._parts[one].unit for one in shot.frame.spans_v if one in self._parts]
        if shot.line and units and all(unit.record is not None for unit in units):
            shot.done_s = self._clock.now()
            self.triggered = True
            self._collect(shot)
        elif shot.auto_s is not None and self._clock.now() >= shot.auto_s:
            self.force()

    def _collect(self, shot: _Shot) -> None:
        for number in shot.frame.spans_v:
            record = self._parts[number].unit.record if number in self._parts else None
            if record is not None and _is_whole(shot.frame):
                shot.volts[number] = np.nan_to_num(record.volts)


class Knobs:
    """Settings by the pattern of their command and its numeric suffixes, with their defaults.

    The methods that declare a knob return the two entries of a session's table.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[int, ...]], object] = {}
        self._usual: dict[str, object] = {}

    def reset(self) -> None:
        """All back to their defaults."""
        self._values.clear()

    def number(
        self,
        pattern: str,
        usual: float,
        limits: tuple[float, float],
        *,
        units: Mapping[str, float] | None = None,
        write: Callable[[float], str] = engineering,
    ) -> dict[str, Handler]:
        """A knob with a number; -222 beyond its limits."""
        self._usual[pattern] = usual

        def take(call: Call) -> None:
            value = call.number(units)
            if not limits[0] <= value <= limits[1]:
                raise Complaint(-222, "Data out of range")
            self.put(pattern, value, *call.suffixes)

        return {
            pattern: take,
            f"{pattern}?": lambda call: write(self.value(pattern, *call.suffixes)),
        }

    def word(self, pattern: str, usual: str, known: Mapping[str, str]) -> dict[str, Handler]:
        """A knob with one of some words; `known` gives the answer by the word as in `IMMediate`."""
        self._usual[pattern] = usual

        def take(call: Call) -> None:
            self.put(pattern, call.word(known), *call.suffixes)

        return {pattern: take, f"{pattern}?": lambda call: self.text(pattern, *call.suffixes)}

    def flag(self, pattern: str, usual: bool) -> dict[str, Handler]:
        """A knob that is on or off."""
        self._usual[pattern] = usual

        def take(call: Call) -> None:
            self.put(pattern, call.flag(), *call.suffixes)

        return {
            pattern: take,
            f"{pattern}?": lambda call: str(int(self.is_on(pattern, *call.suffixes))),
        }

    def put(self, pattern: str, value: object, *suffixes: int) -> None:
        """Set a knob."""
        self._values[pattern, suffixes] = value

    def value(self, pattern: str, *suffixes: int) -> float:
        """Where a number stands."""
        found = self._values.get((pattern, suffixes), self._usual[pattern])
        assert isinstance(found, float)
        return found

    def text(self, pattern: str, *suffixes: int) -> str:
        """Where a word stands."""
        return str(self._values.get((pattern, suffixes), self._usual[pattern]))

    def is_on(self, pattern: str, *suffixes: int) -> bool:
        """Whether something is on."""
        return bool(self._values.get((pattern, suffixes), self._usual[pattern]))
