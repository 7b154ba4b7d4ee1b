"""The SCPI server of Red Pitaya boards: how to talk to it so that no failure is silent.

A query that fails is not answered at all. So every message is followed, in the same write, by one
that asks the error queue, which always answers: what comes first tells whether the query was
answered. CR LF ends a message and an answer; messages are not joined by semicolons, because old and
new servers answer those differently.

Source: RedPitaya/RedPitaya, scpi-server/src (parser, acquire, generate, dpin, error), and the
maker's list of SCPI commands.
"""

import numpy as np
from numpy.typing import NDArray

from drivers.errors import AnswerError, InstrumentError, RefusedError
from drivers.instruments import Identity
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.scpi import MOST_ERRORS, parse_error, parse_identity, parse_number
from drivers.transports.wired import TWIN_SERIAL, refuse_stranger

__all__ = ["END", "RedPitaya", "probe_red_pitaya"]

END = b"\r\n"
_ASK_ERROR = b"SYST:ERR:NEXT?" + END
_Error = tuple[int, str]


class RedPitaya:
    """The dialogue with a board.

    Args:
        link: to the board, shared by all roles on it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def set(self, *orders: str) -> None:
        """Give orders, and make sure that the board took all of them; never sent twice.

        Raises:
            RefusedError: the board reports errors.
            LinkError: see `Link.order`.
        """
        message = b"".join(order.encode() + END for order in orders) + _ASK_ERROR
        self._refuse(orders[0], self._link.order(message, _error))

    def ask(self, question: str) -> str:
        """Ask for something.

        Raises:
            RefusedError: the board reports errors, and did not answer.
            AnswerError: no text.
            LinkError: see `Link.ask`.
        """
        answer, error = self._link.ask(question.encode() + END + _ASK_ERROR, _answer)
        self._refuse(question, error)
        return answer

    def number(self, question: str) -> float:
        """Ask for a number; see `ask`."""
        return parse_number(self.ask(question).encode())

    def codes(self, question: str, count: int) -> NDArray[np.int16]:
        """Ask for codes of the converter.

        Args:
            question: its answer is a block of big-endian 16-bit integers.
            count: how many must come.

        Returns:
            The codes as they came, `>i2`, shape (count,).

        Raises:
            RefusedError: the board reports errors.
            AnswerError: another number of bytes, or no block.
            LinkError: see `Link.ask`.
        """
        data = np.empty(count, dtype=">i2")

        def read(reader: Reader) -> _Error:
            return _block_into(reader, data.view(np.uint8).data)

        self._refuse(question, self._link.ask(question.encode() + END + _ASK_ERROR, read))
        return data

    def greet(self, name: str) -> Identity:
        """Empty the error queues and see who answers.

        Args:
            name: of the role, for messages.

        Raises:
            InstrumentError: another maker or board.
        """
        self._link.send(b"*CLS" + END)
        identity = self._identity()
        refuse_stranger(name, identity, "REDPITAYA,", "Red Pitaya STEMlab 125-14")
        try:
            board = self.ask("SYST:BRD:Name?")
        except RefusedError:  # an older system, which ran on no other board
            return identity
        if "125-14" not in board:
            raise InstrumentError(
                f"{name}: a STEMlab 125-14 was expected, the board {board!r} answers; its rates "
                "and ranges are others"
            )
        return Identity(
            maker=identity.maker,
            model=board.strip(),
            serial=identity.serial,
            firmware=identity.firmware,
        )

    def _identity(self) -> Identity:
        """The third field is a date or nothing, but for emulated boards: it is no serial number."""
        found = parse_identity(self.ask("*IDN?").encode())
        known = found.serial.upper().startswith(TWIN_SERIAL)
        return Identity(
            maker=found.maker,
            model=found.model,
            serial=found.serial if known else "",
            firmware=found.firmware,
        )

    def _refuse(self, action: str, error: _Error) -> None:
        if error[0] == 0:
            return
        found = [error]
        while len(found) < MOST_ERRORS:
            following = self._link.order(_ASK_ERROR, _error)
            if following[0] == 0:
                break
            found.append(following)
        shown = "; ".join(f"{number} {text}".strip() for number, text in found)
        raise RefusedError(
            f"{self._link.address}: {_short(action)!r} was refused: {shown}; take it as not "
            "carried out"
        )


def probe_red_pitaya(link: Link) -> Identity:
    """Who is there, for discovery: the line ends of others are not understood by these boards.

    Args:
        link: open.

    Raises:
        AnswerError: no Red Pitaya.
        LinkError: no answer.
    """
    answer = link.ask(b"*IDN?" + END, lambda reader: reader.line(END))
    identity = parse_identity(answer)
    if identity.maker.upper() != "REDPITAYA":
        raise garbled("a Red Pitaya", answer)
    return identity


def _error(reader: Reader) -> _Error:
    return parse_error(reader.line(END))


def _answer(reader: Reader) -> tuple[str, _Error]:
    """An answer and the error behind it; only the error where the question failed."""
    first = reader.line(END)
    try:
        error = parse_error(first)
    except AnswerError:
        error = (0, "")
    if error[0] != 0 and b'"' in first:
        return "", error
    if not first.isascii():
        raise garbled("a text", first)
    return first.decode("ascii"), _error(reader)


def _block_into(reader: Reader, buffer: memoryview) -> _Error:
    """A block that fills the buffer, and the error behind it; only the error where it failed."""
    first = reader.exactly(1)
    if first != b"#":
        line = first + reader.line(END)
        error = parse_error(line)
        if error[0] == 0:
            raise garbled("a block", line)
        return error
    digits = reader.exactly(1)
    if digits not in b"123456789":
        raise garbled("a block with a count", first + digits)
    count = reader.exactly(int(digits))
    if not count.isdigit() or int(count) != len(buffer):
        raise garbled(f"a block of {len(buffer)} bytes", first + digits + count)
    reader.into(buffer)
    end = reader.exactly(len(END))
    if end != END:
        raise garbled("an end of line behind the block", end)
    return _error(reader)


def _short(action: str) -> str:
    return action if len(action) <= 60 else f"{action[:57]}..."
