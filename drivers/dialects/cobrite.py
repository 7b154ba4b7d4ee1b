"""ID Photonics' CoBrite boxes: commands and answers that end with a semicolon.

Source: ID Photonics' Python package cobrite 2.2.0 and pages of the CoBrite user manuals. A bare
semicolon acknowledges an order; an error is `ERR`, its number and its text.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from drivers.errors import RefusedError
from drivers.instruments import Clock, Identity
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["CobriteDialogue", "CobriteLimits"]

_Value = TypeVar("_Value")
_PAUSE_S = 0.2
"""The maker's package leaves this time between commands."""
_REFUSAL = re.compile(r"ERR\s*(-?\d+)\s*,?\s*(.*)", re.IGNORECASE | re.DOTALL)
_LONGEST = 4096


@dataclass(frozen=True, kw_only=True)
class CobriteLimits:
    """What a laser says that it can do.

    Args:
        frequency_thz: lowest and highest frequency.
        power_dbm: lowest and highest set point.
    """

    frequency_thz: tuple[float, float]
    power_dbm: tuple[float, float]


class CobriteDialogue:
    """Commands and answers that end with a semicolon.

    The link must be chatty: blanks may follow an answer.

    Args:
        link: to the box.
        clock: for the pause after every command.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    def order(self, command: str) -> None:
        """Give an order, which is acknowledged; it is never sent twice.

        Raises:
            RefusedError: the box answers with an error.
            AnswerError: it answers anything else.
        """

        def acknowledged(text: str) -> None:
            if text:
                raise garbled("a bare semicolon", text.encode())

        self._exchange(command, acknowledged, order=True)

    def text(self, query: str) -> str:
        """Ask for a text.

        Raises:
            RefusedError: the box answers with an error.
        """
        return self._exchange(query, lambda text: text)

    def numbers(self, query: str, count: int) -> list[float]:
        """Ask for so many numbers with commas between.

        Raises:
            RefusedError: the box answers with an error.
            AnswerError: something else comes.
        """

        def parsed(text: str) -> list[float]:
            try:
                values = [float(field) for field in text.split(",")]
            except ValueError:
                values = []
            if len(values) != count or not all(map(math.isfinite, values)):
                raise garbled(f"{count} numbers", text.encode())
            return values

        return self._exchange(query, parsed)

    def silence_echo(self) -> None:
        """Have commands not sent back; the echo of this one is dropped."""

        def read(reader: Reader) -> str:
            first = _segment(reader)
            return _segment(reader) if first.upper() == "ECHO 0" else first

        with self._link.held():
            self._link.discard()
            _raise_refusal("ECHO 0", self._link.order(b"ECHO 0;", read))
            self._clock.sleep(_PAUSE_S)

    def identity(self) -> Identity:
        """Who answers `*IDN?`; where it is not of four fields the whole text is the model."""
        text = self.text("*IDN?")
        fields = [field.strip() for field in text.split(",", 3)]
        if len(fields) == 4 and all(fields):
            maker, model, serial, firmware = fields
            return Identity(maker=maker, model=model, serial=serial, firmware=firmware)
        return Identity(maker="ID Photonics", model=text or "CoBrite", serial="", firmware="")

    def limits(self, laser: str) -> CobriteLimits:
        """What a laser can do, from its five limits.

        Args:
            laser: address such as `1,1,1`.
        """
        low_thz, high_thz, _, low_dbm, high_dbm = self.numbers(f"LIM? {laser}", 5)
        return CobriteLimits(frequency_thz=(low_thz, high_thz), power_dbm=(low_dbm, high_dbm))

    def _exchange(
        self, command: str, parse: Callable[[str], _Value], *, order: bool = False
    ) -> _Value:
        """One command and its answer; the lock is kept for the pause behind it."""

        def read(reader: Reader) -> tuple[str, _Value | None]:
            text = _segment(reader)
            refused = _REFUSAL.fullmatch(text) is not None
            return text, None if refused else parse(text)

        message = f"{command};".encode()
        with self._link.held():
            self._link.discard()
            text, value = (self._link.order if order else self._link.ask)(message, read)
            self._clock.sleep(_PAUSE_S)
        _raise_refusal(f"{self._link.address}: {command}", text)
        return value  # type: ignore[return-value]  # None where parse gives it, or refused above


def _segment(reader: Reader) -> str:
    """What comes before the next semicolon, without the blanks and ends of line around it."""
    data = reader.line(b";", _LONGEST).strip()
    if not data.isascii():
        raise garbled("a text with a semicolon behind it", data)
    return data.decode("ascii")


def _raise_refusal(command: str, answer: str) -> None:
    found = _REFUSAL.fullmatch(answer)
    if found is not None:
        raise RefusedError(
            f"{command!r} was refused: {found[1]} {found[2]}".rstrip()
            + "; take it as not carried out"
        )
