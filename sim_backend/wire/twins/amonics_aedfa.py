"""Twin of the Amonics AEDFA fibre amplifiers: one stage with monitors of its input and output."""

import math
import re
from collections.abc import Callable
from typing import Final

import numpy as np

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import AmplifierPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "AmonicsTwin"]

_OFF, _ON, _BUSY, _LOCKED = 0, 1, 2, 4
_BUSY_S: Final = 1.0
_LOOP_S: Final = 0.1
_ANSWER_S: Final = 5e-3
_LONGEST_LINE: Final = 256
_LOST_MW: Final = 1e-4
_OVER_MW: Final = 20.0
_RANGES: Final = {"ACC": (0.0, 400.0, 0.1), "APC": (0.0, 100.0, 0.01)}
_MARGIN: Final = 0.0
_UNITS: Final = {"ACC": "mA", "APC": "mW"}
_SET: Final = re.compile(r"(:[A-Z0-9_:]+)\s+(\S+)")
_POINT: Final = re.compile(r"([\d.]+)\s*mA\s*=\s*([-+\d.]+)\s*dB")
_COUNTS: Final = (
    "DRIV:ACC",
    "DRIV:APC",
    "CUR",
    "POW:IN",
    "POW:OUT",
    "POW:PD",
    "TEMP:BOX",
    "TEMP:FC",
    "TEMP:TEC",
    "VOLT:PS",
)
_ALARMS: Final = ("CUR:OVER", "TEMP:BOX", "VOLT:PS", "POW:IN:LOS:CH1", "POW:IN:OVER:CH1")


def _usual_gain_db(current_ma: float) -> float:
    """A doped fibre: transparent at 40 mA, then bleached more and more."""
    return 24 * (1 - math.exp(-(current_ma - 40) / 150)) if current_ma > 40 else 0.0


class AmonicsTwin(Twin):
    """Orders are silent; queries are answered with numbers in exponent form.

    Args:
        clock: simulated time.
        serial: its number.
        amplifier: part of the scene; None for an amplifier without a fibre.
        gain_db: gain by pump current in mA.
        modes: that it has.
        deaf: how many orders to switch it misses.
    """

    line = SerialSettings(baud=19200)

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str = "SIM1",
        amplifier: AmplifierPart | None = None,
        gain_db: Callable[[float], float] = _usual_gain_db,
        modes: tuple[str, ...] = ("ACC",),
        deaf: int = 0,
    ) -> None:
        self.model = "Amonics AEDFA"
        self.clock = clock
        self._serial = serial
        self._part = amplifier
        self._gain_db = gain_db
        self._modes = modes
        self._deaf = deaf
        self._mode = modes[0]
        self._set_points = dict.fromkeys(_RANGES, 0.0)
        self._stage = _OFF
        self._master = _OFF
        self._ready_s = 0.0
        self._interlock_open = False
        self._latched: set[str] = set()
        self._looked_s = 0.0
        clock.on_advance(lambda _: self._progress())
        self._drive()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def open_interlock(self, opened: bool = True) -> None:
        """Open or close the interlock's contact; opening it locks the amplifier."""
        self._interlock_open = opened
        if opened:
            self._lock()

    def answer(self, text: str) -> str | None:
        """What is said to a line; None for silence."""
        self._progress()
        line = text.strip().upper()
        if line.endswith("?"):
            return self._said(line[:-1])
        order = _SET.fullmatch(line)
        if order is not None:
            self._set(order[1], order[2])
        return None

    def _said(self, path: str) -> str | None:
        texts = {
            ":READ:MODE:NAMES": " ".join(self._modes),
            ":CAL:SYS:MODEL": "AEDFA-PA-30-B-FA",
            ":CAL:SYS:SERIAL": self._serial,
            ":MODE:SW:CH1": self._mode,
            ":DRIV:MCTRL": str(self._master),
            ":DRIV:SEED_ST": str(int(self._seed_mw() >= _LOST_MW)),
            ":DRIV:INTERLOCK": str(int(self._stage == _LOCKED)),
        }
        for mode in self._modes:
            state = self._stage if mode == self._mode or self._stage == _LOCKED else _OFF
            texts[f":DRIV:{mode}:STAT:CH1"] = str(state)
            texts[f":READ:DRIV:UNIT:{mode}:CH1"] = _UNITS[mode]
        if path in texts:
            return texts[path]
        alarm = path.removeprefix(":SENS:THRES:ALARM:")
        if alarm != path:
            return self._alarm(alarm)
        number = self._numbers().get(path)
        return None if number is None else f"{number():.6e}"

    def _numbers(self) -> dict[str, Callable[[], float]]:
        found: dict[str, Callable[[], float]] = {
            ":SENS:CUR:CH1": self._current_ma,
            ":SENS:POW:IN:CH1": self._seed_mw,
            ":SENS:POW:OUT:CH1": self._output_mw,
            ":SENS:POW:PD:CH1": self._output_mw,
            ":SENS:TEMP:BOX": lambda: 28.0,
            ":SENS:TEMP:FC": lambda: 27.0,
            ":SENS:TEMP:TEC:CH1": lambda: 25.0,
            ":SENS:VOLT:PS": lambda: 5.0,
        }
        for mode in self._modes:
            lowest, highest, step = _RANGES[mode]
            for what, value in (
                ("MIN", lowest),
                ("MAX", highest),
                ("STEP", step),
                ("LO_MARGIN", _MARGIN),
            ):
                found[f":READ:DRIV:{what}:{mode}:CH1"] = lambda value=value: value  # type: ignore[misc]
            found[f":DRIV:{mode}:CUR:CH1"] = lambda mode=mode: self._set_points[mode]  # type: ignore[misc]
        for what in _COUNTS:
            there = not what.startswith("DRIV:") or what.removeprefix("DRIV:") in self._modes
            found[f":READ:CH:{what}"] = lambda there=there: float(there)  # type: ignore[misc]
        return found

    def _alarm(self, name: str) -> str | None:
        live, latch = name.removesuffix(":LATCH"), name.endswith(":LATCH")
        if live not in _ALARMS:
            return None
        return str(int(live in (self._latched if latch else self._alarms())))

    def _alarms(self) -> set[str]:
        found = set()
        if self._seed_mw() < _LOST_MW:
            found.add("POW:IN:LOS:CH1")
        if self._seed_mw() > _OVER_MW:
            found.add("POW:IN:OVER:CH1")
        return found

    def _set(self, path: str, value: str) -> None:
        if path == ":MODE:SW:CH1":
            if value in self._modes and not self._is_pumping():
                self._mode = value
        elif path == ":THRES:INTERLOCK:UNLOCK":
            if value == "1" and not self._interlock_open and self._stage == _LOCKED:
                self._stage = _OFF
        elif path in (":DRIV:MCTRL", f":DRIV:{self._mode}:STAT:CH1"):
            if value in ("0", "1"):
                self._switch(path == ":DRIV:MCTRL", value == "1")
        else:
            self._put(path, value)
        self._drive()

    def _put(self, path: str, value: str) -> None:
        for mode in self._modes:
            if path == f":DRIV:{mode}:CUR:CH1":
                lowest, highest, step = _RANGES[mode]
                try:
                    number = float(value)
                except ValueError:
                    return
                if lowest <= number <= highest:
                    self._set_points[mode] = round(round(number / step) * step, 9)

    def _switch(self, master: bool, on: bool) -> None:
        if self._deaf:
            self._deaf -= 1
            return
        if not on:
            if master:
                self._master = _OFF
            elif self._stage != _LOCKED:
                self._stage = _OFF
            return
        if self._stage == _LOCKED:
            return
        if not master:
            self._stage = _ON
        elif self._stage != _ON:
            self._lock()  # switched on with its stage off: a fault
        elif self._master == _OFF:
            self._master, self._ready_s = _BUSY, self.clock.now() + _BUSY_S

    def _lock(self) -> None:
        self._stage, self._master = _LOCKED, _OFF
        self._drive()

    def _progress(self) -> None:
        """What time does: the master switch, alarms, and the loop of a constant power."""
        if self._master == _BUSY and self.clock.now() >= self._ready_s - 1e-9:
            self._master = _ON
            self._drive()
        if self.clock.now() >= self._looked_s + _LOOP_S and self._is_pumping():
            self._looked_s = self.clock.now()
            self._latched |= self._alarms()
            if self._mode == "APC":
                self._drive()

    def _is_pumping(self) -> bool:
        return self._master == _ON and self._stage == _ON

    def _drive(self) -> None:
        """Give the fibre its gain and its pump."""
        if self._part is None:
            return
        wanted_db = self._gain_db(self._current_ma())
        highest_db = self._part.model.settings.highest_gain_db
        self._part.set_gain_db(min(max(0.0, wanted_db), highest_db))
        self._part.pump_on = self._is_pumping()

    def _current_ma(self) -> float:
        """The current that flows; in constant power the one that reaches it, if any does."""
        if not self._is_pumping():
            return 0.0
        if self._mode == "ACC":
            return self._set_points["ACC"]
        seed_mw = max(self._seed_mw(), 1e-9)
        currents = np.linspace(*_RANGES["ACC"][:2], 401)
        outputs = np.array([10 ** (self._gain_db(float(one)) / 10) for one in currents]) * seed_mw
        enough = np.flatnonzero(outputs >= self._set_points["APC"])
        return float(currents[enough[0]] if enough.size else currents[-1])

    def _seed_mw(self) -> float:
        return 0.0 if self._part is None else self._part.seed_power_w() * 1e3

    def _output_mw(self) -> float:
        return 0.0 if self._part is None else self._part.output_power_w() * 1e3


class _Line(Session):
    """The serial line: commands that end with a line feed, whatever stands before it."""

    def __init__(self, twin: AmonicsTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        *lines, self._input = (self._input + data).split(b"\n")
        self._input = self._input[-_LONGEST_LINE:]
        for line in lines:
            answer = self._twin.answer(line.decode("latin-1"))
            if answer is not None:
                self.say(f"{answer}\r\n".encode("ascii"), after_s=_ANSWER_S)


def _curve(text: object) -> Callable[[float], float]:
    """The gain that the bench file says was measured, else the usual."""
    points = _POINT.findall(text) if isinstance(text, str) else []
    try:
        currents, gains = zip(*((float(one), float(two)) for one, two in points), strict=True)
    except ValueError:
        return _usual_gain_db
    return lambda current_ma: float(np.interp(current_ma, currents, gains))


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return AmonicsTwin(
        clock=place.clock,
        serial=place.serial,
        amplifier=part if isinstance(part, AmplifierPart) else None,
        gain_db=_curve(place.settings.get(1, {}).get("gain_table")),
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Amonics AEDFA": _make}
