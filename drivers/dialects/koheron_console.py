"""Koheron's console: the instrument echoes the line, answers with a line, and prompts with `>>`.

Source: Koheron CTL200 command list, and the open drivers with recorded dialogues. Nothing may be
sent before the prompt, so an exchange ends there and not at the end of the answer's line.
"""

import math
from functools import partial
from typing import Final

from drivers.errors import RefusedError
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["ALL", "CARELESS", "KoheronConsole"]

CARELESS: Final = 0b0011_0011
"""Error bits about the message itself: lost characters, unknown command, invalid argument."""
ALL: Final = 0b1111_1111
"""All error bits: those of the thermistor and the interlock too."""
_PROMPT = b">>"
_LONGEST = 4096
_ERRORS = (
    "serial overflow",
    "command sent before the prompt",
    "thermistor below its limit",
    "thermistor above its limit",
    "unknown command",
    "invalid argument",
    "laser on refused because of the interlock",
    "interlock triggered",
)


class KoheronConsole:
    """The dialogue with one controller.

    Args:
        name: role of the instrument, for messages.
        link: to the controller.
    """

    def __init__(self, name: str, link: Link) -> None:
        self._name = name
        self._link = link

    def query(self, command: str) -> str:
        """What the controller answers to a command that changes nothing.

        Raises:
            AnswerError: no echo or no value, twice.
            LinkError: no prompt, twice.
        """
        return self._link.ask(_line(command), partial(_value, command))

    def number(self, command: str) -> float:
        """A query for one finite number.

        Raises:
            AnswerError: the answer is none.
        """
        return self.numbers(command, 1)[0]

    def numbers(self, command: str, count: int) -> tuple[float, ...]:
        """A query for so many finite numbers between blanks.

        Raises:
            AnswerError: the answer is none.
        """

        def read(reader: Reader) -> tuple[float, ...]:
            text = _value(command, reader)
            try:
                found = tuple(float(word) for word in text.split())
            except ValueError as error:
                raise garbled("numbers", text.encode()) from error
            if len(found) != count or not all(map(math.isfinite, found)):
                raise garbled(f"{count} finite numbers", text.encode())
            return found

        return self._link.ask(_line(command), read)

    def order(self, command: str, value: str, *, watched: int = CARELESS) -> None:
        """Set a value, and ask for the errors that it made.

        Args:
            command: name of the value.
            value: as text.
            watched: error bits that count; the others stay as they are.

        Raises:
            RefusedError: there are errors that count; all are cleared.
            AnswerError: no echo.
            LinkError: no prompt; the value may have been set.
        """
        text = f"{command} {value}"
        with self._link.held():
            # Sources differ on whether a value follows a set; the kind reads it back anyway.
            self._link.order(_line(text), partial(_echoed, text))
            found = self.errors() & watched
            if found:
                self.clear()
        if found:
            said = [words for bit, words in enumerate(_ERRORS) if found >> bit & 1]
            raise RefusedError(f"{self._name}: {text!r} was refused: {', '.join(said)}")

    def errors(self) -> int:
        """The errors since they were cleared, one bit each."""
        return self._link.ask(_line("err"), partial(_bits, "err"))

    def clear(self) -> None:
        """Forget the errors of the past."""
        self._link.ask(_line("errclr"), partial(_bits, "errclr"))


def _line(text: str) -> bytes:
    return f"{text}\r\n".encode()


def _echoed(command: str, reader: Reader) -> list[str]:
    """The lines up to the prompt, without the echo."""
    data = reader.line(_PROMPT, _LONGEST)
    lines = data.replace(b"\0", b"").splitlines()
    if not data.isascii() or not lines or lines[0].decode() != command:
        raise garbled(f"the echo of {command!r}", data)
    return [line.decode() for line in lines[1:]]


def _value(command: str, reader: Reader) -> str:
    lines = [line for line in _echoed(command, reader) if line]
    if len(lines) != 1:
        raise garbled(f"one line for {command!r}", "\n".join(lines).encode())
    return lines[0].strip()


def _bits(command: str, reader: Reader) -> int:
    text = _value(command, reader)
    try:
        return int(text, 16)
    except ValueError as error:
        raise garbled("error bits in hexadecimal", text.encode()) from error
