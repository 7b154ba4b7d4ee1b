"""Twin of the OZ Optics DD-100-MC attenuator: a motor, and no shutter."""

import re
from collections.abc import Callable
from typing import Final

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import AttenuatorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "OZOpticsDD100Twin"]

_STEPS: Final = 1500
_STEPS_PER_S: Final = 500.0
_CURVE: Final = 0.7
_HOME_S: Final = 2.0
_RESTART_S: Final = 5.0
_ANSWER_S: Final = 5e-3
_LONGEST_LINE: Final = 256
_BAD_COMMAND, _NOT_HOME = "Error-2", "Error-5"
_NUMBER: Final = re.compile(r"\d{1,4}(\.\d{1,6})?")
_WHOLE: Final = re.compile(r"([+-]?)(\d{1,6})")


class OZOpticsDD100Twin(Twin):
    """An attenuation that is not linear in the motor's steps; all answers end with `Done`.

    Args:
        clock: simulated time.
        attenuator: part of the scene, whose shutter stays open; None for none.
        insertion_loss_db: that the instrument counts in; the scene has its own.
        highest_db: insertion loss counted in.
        left_db: where it was left when it was switched off.
    """

    line = SerialSettings(baud=9600)

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        attenuator: AttenuatorPart | None = None,
        insertion_loss_db: float = 0.8,
        highest_db: float = 60.0,
        left_db: float = 60.0,
    ) -> None:
        self.model = "OZ Optics DD-100-MC"
        self.clock = clock
        self.echoes = False
        self._part = attenuator
        self._loss_db = insertion_loss_db
        self._highest_db = highest_db
        self._homed = False
        self._from = self._to = self._steps_for(left_db)
        self._since_s = clock.now()
        self._ordered_db: float | None = None
        self._before: list[str] = []
        if attenuator is not None:
            attenuator.shutter_open = True
        clock.on_advance(lambda _: self._drive() if self._moves else None)
        self._moves = False
        self._drive()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def attenuation_db(self) -> float:
        """The attenuation now, insertion loss counted in."""
        part: float = (self._position() / _STEPS) ** _CURVE
        return self._loss_db + (self._highest_db - self._loss_db) * part

    def answer(self, text: str) -> tuple[list[str], float]:
        """The lines that a command is answered with, and after how long."""
        if text == "RES?":
            return self._before, _ANSWER_S
        lines, after_s = self._answer(text)
        self._before = lines
        return lines, after_s

    def _answer(self, text: str) -> tuple[list[str], float]:
        plain: dict[str, Callable[[], list[str]]] = {
            "A?": lambda: [f"Atten:{self._shown()}"],
            "D": lambda: [f"DPos:{round(self._position())}", f"ATTEN:{self._shown_db():.2f}"],
            "CD": self._configuration,
            "S?": lambda: [f"Pos:{round(self._position())}"],
            "E0": lambda: self._echo(False),
            "E1": lambda: self._echo(True),
        }
        if text in plain:
            return plain[text](), _ANSWER_S
        if text == "H":
            return self._go_home()
        if text == "RST":
            self._homed = False
            return ["DD-100 restarted"], _RESTART_S
        if text in ("B", "F"):
            return self._step(round(self._to) + (1 if text == "F" else -1))
        return self._with_number(text[:1], text[1:])

    def _with_number(self, name: str, value: str) -> tuple[list[str], float]:
        whole = _WHOLE.fullmatch(value)
        if name == "S" and whole is not None:
            there = round(self._to) if whole[1] else 0
            return self._step(there + int(value))
        if name in ("A", "L", "W") and _NUMBER.fullmatch(value):
            if name == "A":
                return self._go_to(float(value))
            if name == "L" and float(value) < self._highest_db:
                self._loss_db = float(value)
                return [], _ANSWER_S
        return [_BAD_COMMAND], _ANSWER_S

    def _go_to(self, wanted_db: float) -> tuple[list[str], float]:
        if not self._homed:
            return [_NOT_HOME], _ANSWER_S
        if not self._loss_db <= wanted_db <= self._highest_db:
            return [_BAD_COMMAND], _ANSWER_S
        found = self._step(round(self._steps_for(wanted_db)))
        self._ordered_db = wanted_db
        return found

    def _step(self, wanted: int) -> tuple[list[str], float]:
        if not 0 <= wanted <= _STEPS:
            return [_BAD_COMMAND], _ANSWER_S
        return [f"Pos:{wanted}"], self._start(wanted)

    def _go_home(self) -> tuple[list[str], float]:
        takes_s = self._start(0) + _HOME_S
        self._homed = True
        return ["Diff=0"], takes_s

    def _start(self, wanted: float) -> float:
        """Begin to move; how long it takes."""
        self._from, self._to, self._since_s = self._position(), wanted, self.clock.now()
        self._ordered_db = None
        self._moves = True
        return abs(self._to - self._from) / _STEPS_PER_S + _ANSWER_S

    def _position(self) -> float:
        gone = (self.clock.now() - self._since_s) * _STEPS_PER_S
        if gone >= abs(self._to - self._from):
            return self._to
        return self._from + (gone if self._to > self._from else -gone)

    def _steps_for(self, wanted_db: float) -> float:
        part: float = (wanted_db - self._loss_db) / (self._highest_db - self._loss_db)
        return float(_STEPS * max(0.0, part) ** (1 / _CURVE))

    def _shown_db(self) -> float:
        return self.attenuation_db() if self._ordered_db is None else self._ordered_db

    def _shown(self) -> str:
        return f"{self._shown_db():.2f}(dB)" if self._homed else "unknown"

    def _echo(self, on: bool) -> list[str]:
        self.echoes = on
        return []

    def _configuration(self) -> list[str]:
        return [
            "DD-100-MC",
            f"IL:{self._loss_db:.2f}",
            f"MAX ATTEN:{self._highest_db:.2f}",
            "WAVELENGTH:1550",
        ]

    def _drive(self) -> None:
        """Give the scene the attenuation of now."""
        if self._part is not None:
            wanted_db = max(0.0, self.attenuation_db() - self._loss_db)
            self._part.set_attenuation_db(min(wanted_db, self._part.settings.highest_db))
        self._moves = self._position() != self._to


class _Line(Session):
    """The serial line: commands that end with a carriage return, and a line feed or none."""

    def __init__(self, twin: OZOpticsDD100Twin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        *lines, self._input = (self._input + data).split(b"\r")
        self._input = self._input[-_LONGEST_LINE:]
        for line in lines:
            text = line.decode("latin-1").strip("\n")
            echo = f"{text}\r\n" if self._twin.echoes else ""
            answer, after_s = self._twin.answer(text)
            said = "".join(f"{one}\r\n" for one in [*answer, "Done", ""])
            self.say(f"{echo}{said}".encode("latin-1"), after_s=after_s)


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return OZOpticsDD100Twin(
        clock=place.clock, attenuator=part if isinstance(part, AttenuatorPart) else None
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"OZ Optics DD-100-MC": _make}
