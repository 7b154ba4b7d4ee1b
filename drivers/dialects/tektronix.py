"""Dialogues with Tektronix oscilloscopes: events instead of the error queue of SCPI.

Sources: Tektronix 4/5/6 Series MSO Programmer Manual, status and events; tm_devices. An error sets
a bit of the standard event register; reading that (`*ESR?`) releases the event's number and text to
`ALLEv?`. So the register goes with every message, and the texts are only asked for after an error.
"""

import re

import numpy as np
from numpy.typing import NDArray

from drivers.errors import AnswerError, RefusedError
from drivers.instruments import Identity
from drivers.transports.blocks import A_BLOCK, begins_block, read_block
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.scpi import parse_identity, parse_number

__all__ = ["TekDialogue"]

_END = b"\n"
_ASK = b";*ESR?\n"
_ERROR_BITS = 0b0011_1100
"""Query, device, execution and command error."""
_REGISTER = re.compile(rb"(?:(.*);)?\s*(\d{1,3})\s*", re.DOTALL)


class TekDialogue:
    """A dialogue over a link.

    Args:
        link: to the scope.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def greet(self) -> Identity:
        """Empty the event queue, have answers without headers, and see who is there."""
        self._link.send(b"*CLS" + _END)
        self._link.send(b"HEADer OFF" + _END)
        answer = self._link.ask(b"*IDN?" + _END, lambda reader: reader.line(_END))
        return parse_identity(answer)

    def set(self, *commands: str) -> None:
        """Give orders in one message; never sent twice.

        Raises:
            RefusedError: the scope reports errors, all of which are listed.
            LinkError: see `Link.order`.
        """
        text = ";".join(commands)
        with self._link.held():
            _, register = self._link.order(text.encode() + _ASK, _with_register)
            self._refuse(text, register)

    def query(self, *commands: str) -> list[str]:
        """Ask one or several things in one message.

        Args:
            commands: queries, and orders that change nothing but what is asked about.

        Returns:
            The answers in order.

        Raises:
            RefusedError: the scope reports errors.
            AnswerError: not one text for each query.
            LinkError: see `Link.ask`.
        """
        text = ";".join(commands)
        asked = sum(one.endswith("?") for one in commands)
        with self._link.held():
            answer, register = self._link.ask(text.encode() + _ASK, _with_register)
            self._refuse(text, register)
        found = [] if answer is None else answer.decode("latin-1").split(";")
        if len(found) != asked or not all(one.isascii() for one in found):
            raise AnswerError(
                f"{self._link.address}: {garbled(f'{asked} answers with ; between', answer or b'')}"
            )
        return [one.strip() for one in found]

    def numbers(self, *commands: str) -> list[float]:
        """As `query`, with one number for each query."""
        try:
            return [parse_number(one.encode()) for one in self.query(*commands)]
        except AnswerError as error:
            text = str(error).removeprefix(f"{self._link.address}: ")
            raise AnswerError(f"{self._link.address}: {text}") from None

    def block(self, command: str, timeout_s: float) -> NDArray[np.uint8]:
        """Ask for a block of bytes, which goes straight into one buffer.

        Args:
            command: such as `CURVe?`.
            timeout_s: for question and block.

        Returns:
            The bytes, uint8, shape (n,).

        Raises:
            RefusedError: the scope reports errors.
            AnswerError: no block, or not ended as it must be.
            LinkError: see `Link.ask`.
        """
        with self._link.held():
            data, register = self._link.ask(command.encode() + _ASK, _block, timeout_s)
            self._refuse(command, register)
        return data

    def _refuse(self, action: str, register: int) -> None:
        if not register & _ERROR_BITS:
            return
        events = self._link.order(b"ALLEv?" + _END, lambda reader: reader.line(_END))
        shown = events.decode("latin-1").strip()
        short = action if len(action) <= 120 else f"{action[:117]}..."
        raise RefusedError(
            f"{self._link.address}: {short!r} was refused: {shown}; take it as not carried out"
        )


def _block(reader: Reader) -> tuple[NDArray[np.uint8], int]:
    """A block with the standard event register behind it; none where the register has errors."""
    if begins_block(reader):
        return read_block(reader, end=b";"), _with_register(reader)[1]
    text, register = _with_register(reader)
    if text or not register & _ERROR_BITS:
        raise garbled(A_BLOCK, b"" if text is None else text)
    return np.empty(0, dtype=np.uint8), register


def _with_register(reader: Reader) -> tuple[bytes | None, int]:
    """An answer, or none, with the standard event register behind it."""
    text = reader.line(_END)
    found = _REGISTER.fullmatch(text)
    if found is None:
        raise garbled("an answer with the event register behind it", text)
    return found[1], int(found[2])
