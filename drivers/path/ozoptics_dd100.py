"""OZ Optics DD-100-MC: an attenuator that a motor turns; it has no shutter.

Closed is the darkest setting of the instrument, above every attenuation that may be set. The motor
needs seconds and the light passes through all values in between: this is no shutter, and what must
go dark at once needs another element. After power-up the position is not known; the motor then goes
home on connecting, which may let all light through on its way, so lasers are to be off. There is no
identity and no serial number. Facts: the drivers of QMI, pylablib and COO; no maker's document was
read.
"""

import re
from collections.abc import Callable
from typing import ClassVar, Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.errors import InstrumentError, LinkTimeoutError, RefusedError
from drivers.instruments import (
    Attenuator,
    AttenuatorLimits,
    Clock,
    Identity,
    Instrument,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["LINE", "MODELS", "OZOpticsDD100", "identify"]

LINE = SerialSettings(baud=9600)
_MOVE_S: Final = 20.0
_HOME_S: Final = 45.0
_CLOSED_MARGIN_DB: Final = 1.0
"""Between the highest attenuation and the closed setting, so that they are told apart."""
_LONGEST_LINE: Final = 256
_MOST_LINES: Final = 64
_DONE: Final = "Done"
_ATTENUATION: Final = re.compile(r"Atten:\s*(\d{1,3}(?:\.\d{1,3})?)\s*\(dB\)", re.IGNORECASE)
_UNKNOWN: Final = re.compile(r".*unknown.*", re.IGNORECASE)
_ARRIVED: Final = re.compile(r"Pos:\s*[+-]?\d+")
_MOVED: Final = re.compile(r"(Pos:|Diff=)\s*[+-]?\d+")
_HOME: Final = re.compile(r"Diff=\s*[+-]?\d+")
_INSERTION_LOSS: Final = re.compile(r"IL:\s*(\d{1,3}(?:\.\d{1,3})?)(?:\D.*)?")
_HIGHEST: Final = re.compile(r"MAX ATTEN:\s*(\d{1,3}(?:\.\d{1,3})?)(?:\D.*)?")
_MEANINGS: Final = {
    "Error-2": "bad command or value",
    "Error-5": "the home sensor fails",
    "Error-6": "overflow",
    "Error-7": "the motor's voltage fails",
}


class OZOpticsDD100(Wired, Attenuator):
    """An attenuator whose darkest setting stands for a closed shutter.

    While it is closed, the attenuation that is read back is what it will be opened to: the
    instrument itself stands at its darkest setting and does not know it. The instrument counts its
    insertion loss in, this program does not.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the instrument, chatty: it ends answers with an empty line or without.
        clock: for deadlines.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 2 * _MOVE_S
    poll_interval_s = 0.1
    attenuation_tolerance_db: ClassVar[float] = 0.1

    def __init__(
        self,
        name: str,
        *,
        limits: AttenuatorLimits,
        link: Link,
        clock: Clock | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._insertion_loss_db = 0.0
        self._closed_db = limits.attenuation_db.highest
        self._wanted_db = limits.attenuation_db.highest

    def _greet(self) -> Identity:
        """The motor goes home where the instrument does not know its position."""
        identity = identify(self._link, _MOVE_S)
        _order(self._link, "E0", None)
        lines = _ask(self._link, "CD")
        self._insertion_loss_db = _configured(self.name, lines, _INSERTION_LOSS, "IL")
        self._closed_db = _configured(self.name, lines, _HIGHEST, "MAX ATTEN")
        room_db = self._closed_db - self._insertion_loss_db - _CLOSED_MARGIN_DB
        if self._limits.attenuation_db.highest > room_db:
            raise InstrumentError(
                f"{self.name}: may be set to {self._limits.attenuation_db.highest} dB, this unit "
                f"reaches {room_db:g} dB above its insertion loss, less the margin to its closed "
                f"setting; set limits.attenuation_db_max to {room_db:g} or less"
            )
        if self._position_db() is None:
            _order(self._link, "H", _HOME, _HOME_S)
        return identity

    def _set_attenuation_db(self, attenuation_db: float) -> None:
        closed = not self._get_shutter()
        self._wanted_db = attenuation_db
        if not closed:
            self._move(attenuation_db + self._insertion_loss_db)

    def _get_attenuation_db(self) -> float:
        """Asked of the instrument where it is open, else what it will be opened to."""
        found_db = self._position_db()
        if found_db is None:
            return float("nan")
        if self._is_closed(found_db):
            return self._wanted_db
        return found_db - self._insertion_loss_db

    def _set_shutter(self, open_: bool) -> None:
        self._move(self._wanted_db + self._insertion_loss_db if open_ else self._closed_db)

    def _get_shutter(self) -> bool:
        found_db = self._position_db()
        return found_db is None or not self._is_closed(found_db)

    def _is_closed(self, found_db: float) -> bool:
        return found_db > self._closed_db - _CLOSED_MARGIN_DB / 2

    def _move(self, instrument_db: float) -> None:
        """Go to an attenuation, insertion loss counted, and wait until it is there."""
        _order(self._link, f"A{instrument_db:.2f}", _ARRIVED, _MOVE_S)

    def _position_db(self) -> float | None:
        """The attenuation, insertion loss counted; None where the motor does not know it."""
        return _position(_ask(self._link, "A?", _check_position))


def identify(link: Link, timeout_s: float | None = None) -> Identity:
    """Ask for the attenuation, in whose form no other instrument answers.

    Args:
        link: open, chatty.
        timeout_s: for the answer: a motor that is still on its way says that it has arrived first.

    Raises:
        AnswerError: it is not this kind of instrument.
        RefusedError: likewise.
        LinkError: see `Link.ask`.
    """
    _ask(link, "A?", _check_position, timeout_s)
    return Identity(maker="OZ Optics", model="DD-100-MC", serial="", firmware="")


def _ask(
    link: Link,
    command: str,
    check: Callable[[list[str]], None] = lambda _: None,
    timeout_s: float | None = None,
) -> list[str]:
    """The lines of an answer, without its end; late answers to orders are left off."""
    link.discard()
    read = _reading(command, check, late=True)
    lines = link.ask(f"{command}\r\n".encode(), read, timeout_s)
    return _accepted(link, command, lines)


def _order(
    link: Link, command: str, said: re.Pattern[str] | None, timeout_s: float | None = None
) -> None:
    """Give an order, which is answered when it is carried out; it is never sent twice."""

    def check(lines: list[str]) -> None:
        if said is not None and not any(said.fullmatch(line) for line in lines):
            raise garbled(f"the end of {command}", " ".join(lines).encode())

    link.discard()
    read = _reading(command, check)
    _accepted(link, command, link.order(f"{command}\r\n".encode(), read, timeout_s))


def _reading(
    command: str, check: Callable[[list[str]], None], *, late: bool = False
) -> Callable[[Reader], list[str]]:
    """Reads up to `Done`; an empty line may come behind it, and an echo before everything."""

    def lines(reader: Reader) -> list[str]:
        found: list[str] = []
        for _ in range(_MOST_LINES):
            try:
                text = reader.line(b"\n", _LONGEST_LINE).strip()
            except LinkTimeoutError:
                if _refusal(found):  # how a refusal ends is not known for sure
                    return found
                raise
            if not text.isascii():
                raise garbled("lines of text", text)
            line = text.decode("ascii")
            if line == _DONE:
                if late and len(found) == 1 and _MOVED.fullmatch(found[0]):
                    found.clear()
                    continue
                if not _refusal(found):
                    check(found)
                return found
            if line and not (line == command and not found):
                found.append(line)
        raise garbled("an answer that ends with Done", " ".join(found).encode())

    return lines


def _refusal(lines: list[str]) -> str:
    return next((line for line in lines if line.startswith("Error")), "")


def _accepted(link: Link, command: str, lines: list[str]) -> list[str]:
    refusal = _refusal(lines)
    if refusal:
        raise RefusedError(
            f"{link.address}: {command!r} was refused: {refusal!r}, "
            f"{_MEANINGS.get(refusal, 'for a reason that is not known')}; the attenuator did not "
            "move"
        )
    return lines


def _check_position(lines: list[str]) -> None:
    if not any(_ATTENUATION.fullmatch(line) or _UNKNOWN.fullmatch(line) for line in lines):
        raise garbled("an attenuation in dB", " ".join(lines).encode())


def _position(lines: list[str]) -> float | None:
    for line in lines:
        found = _ATTENUATION.fullmatch(line)
        if found is not None:
            return float(found[1])
    return None


def _configured(name: str, lines: list[str], form: re.Pattern[str], what: str) -> float:
    for line in lines:
        found = form.fullmatch(line)
        if found is not None:
            return float(found[1])
    raise InstrumentError(
        f"{name}: its configuration has no {what}: {'; '.join(lines)!r}; it is another instrument"
    )


def _attenuator(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, AttenuatorLimits)
    own_settings(NoSettings(), entry)
    return OZOpticsDD100(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE, timeout_s=2.0, chatty=True),
        clock=context.clock,
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="OZ Optics DD-100-MC",
        backend="serial",
        kind=Attenuator,
        limits=AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=50.0)),
        make=_attenuator,
        confidence="high",
        source="the drivers of QMI, pylablib and COO",
        serial=LINE,
        probe=identify,
    ),
)
