"""Amonics' text dialogue: paths with a question mark or a value; orders are not answered."""

import math
from collections.abc import Callable
from typing import Final, TypeVar

from drivers.instruments import Clock
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["AmonicsBox"]

_Answer = TypeVar("_Answer")
_END: Final = b"\r\n"
_PAUSE_S: Final = 0.05
_LONGEST_LINE: Final = 256


class AmonicsBox:
    """The text dialogue, with the pause that the instrument needs between messages.

    Args:
        link: to the instrument.
        clock: for the pause.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self._clock = clock
        self._free_s = -math.inf

    def send(self, path: str, value: str) -> None:
        """Give an order.

        Args:
            path: such as `:DRIV:MCTRL`.
            value: such as `1`.

        Raises:
            LinkError: see `Link.send`.
        """
        self._pause()
        self.link.send(f"{path} {value}".encode() + _END)

    def text(self, query: str) -> str:
        """Ask for a text.

        Raises:
            AnswerError: no line of printable text, twice.
            LinkError: see `Link.ask`.
        """
        return self._ask(query, lambda text: text)

    def number(self, query: str) -> float:
        """Ask for a number.

        Raises:
            AnswerError: no finite number, twice.
            LinkError: see `Link.ask`.
        """

        def finite(text: str) -> float:
            try:
                value = float(text)
            except ValueError:
                raise garbled(f"a number after {query}", text.encode()) from None
            if not math.isfinite(value):
                raise garbled(f"a finite number after {query}", text.encode())
            return value

        return self._ask(query, finite)

    def choice(self, query: str, allowed: tuple[int, ...]) -> int:
        """Ask for one of some whole numbers.

        Raises:
            AnswerError: another answer, twice.
            LinkError: see `Link.ask`.
        """

        def one(text: str) -> int:
            for number in allowed:
                if text in (str(number), f"{number:e}"):
                    return number
            raise garbled(f"one of {allowed} after {query}", text.encode())

        return self._ask(query, one)

    def _ask(self, query: str, parse: Callable[[str], _Answer]) -> _Answer:
        def read(reader: Reader) -> _Answer:
            line = reader.line(b"\n", _LONGEST_LINE).strip()
            if not line or not line.isascii() or not line.decode("ascii").isprintable():
                raise garbled(f"text after {query}", line)
            return parse(line.decode("ascii"))

        self._pause()
        return self.link.ask(query.encode() + _END, read)

    def _pause(self) -> None:
        wait_s = self._free_s - self._clock.now()
        if wait_s > 0:
            self._clock.sleep(wait_s)
        self._free_s = self._clock.now() + _PAUSE_S
