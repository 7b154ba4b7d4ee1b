"""Dialogues in the manner of SCPI: text lines, one error queue, blocks of IEEE 488.2.

The error queue is asked in the same message, so that it costs no round trip of its own: an order
that the instrument refused is known before the next step.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.errors import AnswerError, RefusedError
from drivers.instruments import Identity
from drivers.transports.blocks import A_BLOCK, begins_block, block_header, read_block
from drivers.transports.link import Link
from drivers.transports.reader import Reader, excerpt, garbled

__all__ = ["MOST_ERRORS", "Scpi", "parse_error", "parse_identity", "parse_number"]

_Parsed = TypeVar("_Parsed")
MOST_ERRORS = 32
"""Errors that are read from a queue before it counts as endless."""
_ERROR = re.compile(rb'^\s*([+-]?\d{1,6})\s*(?:,\s*"((?:[^"]|"")*)")?\s*$')
_JOINED_ERROR = re.compile(rb'(?:^|;)\s*([+-]?\d{1,6})\s*,\s*"((?:[^"]|"")*)"\s*$')
_NO_ERRORS = (b';+0,"No error"', b';0,"No error"')
"""The usual ends of an answer, told without a search."""
_EMPTY = (b'+0,"No error"', b'0,"No error"')
_FLAGS = {b"1": True, b"+1": True, b"ON": True, b"0": False, b"+0": False, b"OFF": False}


def parse_error(text: bytes) -> tuple[int, str]:
    """Number and text of an answer to `SYST:ERR?`; the number is 0 where there is none.

    Raises:
        AnswerError: it is no such answer.
    """
    found = _ERROR.match(text)
    if found is None:
        raise garbled('an error such as +0,"No error"', text)
    return int(found[1]), (found[2] or b"").decode("latin-1")


def parse_number(text: bytes) -> float:
    """A number in any of the forms of IEEE 488.2, such as `+1.55000000E-006`.

    Raises:
        AnswerError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise garbled("a number", text) from None


def parse_identity(text: bytes) -> Identity:
    """The four fields of an answer to `*IDN?`.

    Raises:
        AnswerError: there are not at least four, or they are no text.
    """
    fields = [field.strip() for field in text.split(b",", 3)]
    if len(fields) != 4 or not text.isascii() or not fields[0]:
        raise garbled("an identity of four fields with commas", text)
    maker, model, serial, firmware = (field.decode("ascii") for field in fields)
    return Identity(maker=maker, model=model, serial=serial, firmware=firmware)


class Scpi:
    """A dialogue over a link.

    Args:
        link: shared by all that are in the same box.
        end: end of a message to the instrument and of its answers.
        error_query: asks for the oldest error and removes it.
        joined: the instrument takes several queries in one message and joins the answers by `;`.
    """

    def __init__(
        self,
        link: Link,
        *,
        end: bytes = b"\n",
        error_query: str = ":SYST:ERR?",
        joined: bool = True,
    ) -> None:
        self._link = link
        self._end = end
        self._error_query = error_query.encode()
        self._joined = joined
        self._tail = b";" + self._error_query + end

    def set(self, *commands: str, timeout_s: float | None = None) -> None:
        """Give orders in one message, and make sure that the instrument took all of them.

        Args:
            commands: such as `:OUTP1 ON`; sent in this order, never twice.
            timeout_s: for all of it.

        Raises:
            RefusedError: the instrument reports errors.
            LinkError: see `Link.order`.
        """
        text = ";".join(commands)
        if self._joined:
            answer = self._link.order(text.encode() + self._tail, self._line, timeout_s)
            if answer in _EMPTY:
                return
            self._refuse(text, *self._understood(parse_error, answer))
            return
        with self._link.held():
            self._link.send(text.encode() + self._end, timeout_s=timeout_s)
            self.check(text)

    def query(self, command: str, timeout_s: float | None = None) -> str:
        """Ask, and make sure that the instrument understood the question.

        Args:
            command: such as `:SOUR1:POW?`.
            timeout_s: for question and answer.

        Raises:
            RefusedError: the instrument reports errors.
            AnswerError: no text.
            LinkError: see `Link.ask`.
        """
        return self._text(self.raw(command, timeout_s))

    def raw(self, command: str, timeout_s: float | None = None) -> bytes:
        """As `query`, but the bytes of the answer."""
        if not self._joined:
            with self._link.held():
                answer = self._link.ask(command.encode() + self._end, self._line, timeout_s)
                self.check(command)
            return answer
        answer = self._link.ask(command.encode() + self._tail, self._joined_line, timeout_s)
        if answer.endswith(_NO_ERRORS):
            return answer[: answer.rindex(b";")]
        found = _JOINED_ERROR.search(answer)
        assert found is not None  # _joined_line saw it
        self._refuse(command, int(found[1]), found[2].decode("latin-1"))
        return answer[: found.start()]

    def number(self, command: str, timeout_s: float | None = None) -> float:
        """Ask for a number; see `query`. 9.91E37 (not a number) and infinities are refused."""
        text = self.raw(command, timeout_s)
        value = self._understood(parse_number, text)
        if not abs(value) < 9.8e37:
            raise self._named(garbled("a finite number", text))
        return value

    def numbers(self, command: str, timeout_s: float | None = None) -> list[float]:
        """Ask for numbers with commas between; see `query`."""
        text = self.raw(command, timeout_s)
        return [self._understood(parse_number, field) for field in text.split(b",")]

    def integer(self, command: str, timeout_s: float | None = None) -> int:
        """Ask for a whole number; see `query`."""
        text = self.raw(command, timeout_s)
        value = self._understood(parse_number, text)
        if not value.is_integer():
            raise self._named(garbled("a whole number", text))
        return int(value)

    def flag(self, command: str, timeout_s: float | None = None) -> bool:
        """Ask whether something is on; see `query`."""
        text = self.raw(command, timeout_s)
        found = _FLAGS.get(text.strip().upper())
        if found is None:
            raise self._named(garbled("0, 1, ON or OFF", text))
        return found

    def block(
        self,
        command: str,
        timeout_s: float | None = None,
        *,
        into: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Ask for a block of bytes, which goes straight into one buffer.

        Args:
            command: such as `:WAV:DATA?`.
            timeout_s: for question and block.
            into: where to put them, uint8, shape (m,), if they are no more than that; fresh memory
                costs more time than what comes over a fast line.

        Returns:
            The bytes, uint8, shape (n,); a part of `into` if they fitted.

        Raises:
            AnswerError: no block, or not ended as it must be.
            RefusedError: the instrument reports errors.
            LinkError: see `Link.ask`.
        """
        if not self._joined:
            with self._link.held():
                data = self._link.ask(
                    command.encode() + self._end,
                    lambda reader: read_block(reader, end=self._end, into=into),
                    timeout_s,
                )
                self.check(command)
            return data
        data, error = self._link.ask(
            command.encode() + self._tail,
            lambda reader: self._joined_block(reader, into),
            timeout_s,
        )
        if error not in _EMPTY:
            self._refuse(command, *self._understood(parse_error, error))
        return data

    def set_block(self, head: str, data: memoryview, timeout_s: float | None = None) -> None:
        """Give an order that ends with a block of bytes, sent without a copy; never twice.

        Args:
            head: such as `:TRAC1:DATA 1,0,`; the block follows at once.
            data: the bytes.
            timeout_s: for all of it.

        Raises:
            RefusedError: the instrument reports errors; do not rely on what it holds now.
            LinkError: see `Link.send`.
        """
        payload = data.cast("B")
        begin = head.encode() + block_header(len(payload))
        with self._link.held():
            self._link.send(begin, payload, self._end, timeout_s=timeout_s)
            self.check(head, timeout_s)

    def check(self, action: str, timeout_s: float | None = None) -> None:
        """Ask the error queue.

        Args:
            action: what was done before, for the message.
            timeout_s: for question and answer; the instrument may be busy.

        Raises:
            RefusedError: it is not empty.
        """
        number, text = self._next_error(timeout_s)
        self._refuse(action, number, text)

    def errors(self) -> list[tuple[int, str]]:
        """Empty the error queue.

        Returns:
            Numbers and texts, the oldest first, at most `MOST_ERRORS`.
        """
        found: list[tuple[int, str]] = []
        for _ in range(MOST_ERRORS):
            number, text = self._next_error(None)
            if number == 0:
                return found
            found.append((number, text))
        return found

    def identity(self) -> Identity:
        """Who answers `*IDN?`."""
        answer = self._link.ask(b"*IDN?" + self._end, self._line)
        return self._understood(parse_identity, answer)

    def clear(self) -> None:
        """Empty the error queue and the status registers (`*CLS`)."""
        self._link.send(b"*CLS" + self._end)

    def _line(self, reader: Reader) -> bytes:
        return reader.line(self._end).strip()

    def _joined_line(self, reader: Reader) -> bytes:
        """An answer with an error behind it; anything else is asked for again."""
        answer = self._line(reader)
        if not answer.endswith(_NO_ERRORS) and _JOINED_ERROR.search(answer) is None:
            raise garbled("an answer with the error queue's behind it", answer)
        return answer

    def _joined_block(
        self, reader: Reader, into: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.uint8], bytes]:
        """A block with the oldest error behind it; none where the instrument has an error alone."""
        if begins_block(reader):
            data = read_block(reader, end=b";", into=into)
            error = self._line(reader)
            if error not in _EMPTY:
                parse_error(error)
            return data, error
        answer = self._line(reader)
        found = _JOINED_ERROR.search(answer)
        if found is None or not int(found[1]):
            raise garbled(A_BLOCK, answer)
        return np.empty(0, dtype=np.uint8), found[0].lstrip(b";")

    def _next_error(self, timeout_s: float | None) -> tuple[int, str]:
        answer = self._link.order(self._error_query + self._end, self._line, timeout_s)
        return self._understood(parse_error, answer)

    def _refuse(self, action: str, number: int, text: str) -> None:
        if number == 0:
            return
        found = [(number, text), *self.errors()]
        shown = "; ".join(f"{number} {text}".strip() for number, text in found[:MOST_ERRORS])
        endless = "; and more: the queue has no end" if len(found) > MOST_ERRORS else ""
        raise RefusedError(
            f"{self._link.address}: {_short(action)!r} was refused: {shown}{endless}; take it as "
            "not carried out"
        )

    def _understood(self, parse: Callable[[bytes], _Parsed], text: bytes) -> _Parsed:
        try:
            return parse(text)
        except AnswerError as error:
            raise self._named(error) from None

    def _named(self, error: AnswerError) -> AnswerError:
        return AnswerError(f"{self._link.address}: {error}")

    def _text(self, answer: bytes) -> str:
        if not answer.isascii():
            raise AnswerError(f"{self._link.address}: expected a text, got {excerpt(answer)}")
        return answer.decode("ascii")


def _short(action: str) -> str:
    return action if len(action) <= 120 else f"{action[:117]}..."
