"""Thorlabs' APT: binary messages of motor controllers over a serial line.

A message is six bytes, or six bytes and data whose length the first six give; bit 7 of the address
says which. Controllers also speak without being asked, so their link is made with `chatty=True`.

Facts: the byte rows that PnPQ's and QMI's drivers agree on; the maker's document was not read.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from drivers.instruments import Clock
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["Apt", "HardwareInfo", "Message", "long_message", "read_message", "short_message"]

HOST: Final = 0x01
GENERIC_USB: Final = 0x50
_LONG = 0x80
_HEADER_BYTES = 6
_MOST_DATA = 255
_MOST_UNASKED = 100
_REQUEST_INFO, _GET_INFO = 0x0005, 0x0006
_STOP_UPDATES = 0x0012
_INFO = struct.Struct("<I8sHI60sHHH")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message from a controller.

    Args:
        number: what it is about.
        first: first parameter of a short message, 0 for a long one.
        second: second parameter, likewise.
        data: of a long message; empty for a short one.
    """

    number: int
    first: int = 0
    second: int = 0
    data: bytes = b""


@dataclass(frozen=True, kw_only=True)
class HardwareInfo:
    """Who a controller says it is.

    Args:
        model: such as `MPC320`.
        serial: its number; of an emulator, the text that says so.
        firmware: version as a number.
        channels: motors.
    """

    model: str
    serial: str
    firmware: str
    channels: int


def short_message(number: int, first: int = 0, second: int = 0) -> bytes:
    """Six bytes from the host.

    Args:
        number: what it is about, 16 bits.
        first: first parameter, 8 bits.
        second: second parameter, 8 bits.
    """
    return struct.pack("<HBBBB", number, first, second, GENERIC_USB, HOST)


def long_message(number: int, data: bytes) -> bytes:
    """Six bytes and data from the host.

    Args:
        number: what it is about, 16 bits.
        data: at most 255 bytes.
    """
    return struct.pack("<HHBB", number, len(data), GENERIC_USB | _LONG, HOST) + data


def read_message(reader: Reader) -> Message:
    """The next message from a controller.

    Args:
        reader: of an exchange.

    Raises:
        AnswerError: not from a controller to the host, or longer than messages are.
        LinkError: see `Reader.exactly`.
    """
    header = reader.exactly(_HEADER_BYTES)
    number, first, second, to, source = struct.unpack("<HBBBB", header)
    if to & ~_LONG != HOST or source != GENERIC_USB:
        raise garbled("a message from a USB controller to the host", header)
    if not to & _LONG:
        return Message(number=number, first=first, second=second)
    length = first | second << 8
    if length > _MOST_DATA:
        raise garbled("a message of at most 255 bytes", header)
    return Message(number=number, data=reader.exactly(length))


class Apt:
    """The dialogue with a controller: orders with a pause behind them, and queries.

    Args:
        link: to the controller, made with `chatty=True`.
        clock: for the pauses.
        pause_s: silence after an order; queries may follow each other at once.
    """

    def __init__(self, link: Link, clock: Clock, *, pause_s: float) -> None:
        self._link = link
        self._clock = clock
        self._pause_s = pause_s
        self._quiet_until_s = clock.now()

    def order(self, message: bytes) -> None:
        """Send what is not answered at once.

        Args:
            message: whole.

        Raises:
            LinkError: see `Link.send`.
        """
        with self._link.held():
            self._wait()
            self._link.send(message)
            self._quiet_until_s = self._clock.now() + self._pause_s

    def tell(self, message: bytes) -> None:
        """Send what is never answered and needs no pause behind it, such as an acknowledgement.

        Args:
            message: whole.

        Raises:
            LinkError: see `Link.send`.
        """
        with self._link.held():
            self._wait()
            self._link.send(message)

    def ask(self, message: bytes, wanted: Callable[[Message], _Answer | None]) -> _Answer:
        """Send a query and read until its answer; what else the controller says is dropped.

        Args:
            message: whole.
            wanted: the meaning of a message, None for one that is not the answer; raises
                AnswerError where it makes no sense.

        Raises:
            AnswerError: nonsense, or no end of other messages, twice.
            LinkError: see `Link.ask`.
        """

        def read(reader: Reader) -> _Answer:
            for _ in range(_MOST_UNASKED):
                said = read_message(reader)
                answer = wanted(said)
                if answer is not None:
                    return answer
            raise garbled(f"an answer among {_MOST_UNASKED} messages", message)

        with self._link.held():
            self._wait()
            self._link.discard()
            return self._link.ask(message, read)

    def hardware(self) -> HardwareInfo:
        """Silence what the controller says unasked, and ask who it is.

        Raises:
            AnswerError: nonsense, twice.
            LinkError: see `Link.ask`.
        """
        self.tell(short_message(_STOP_UPDATES))
        return self.ask(short_message(_REQUEST_INFO), _hardware)

    def _wait(self) -> None:
        left_s = self._quiet_until_s - self._clock.now()
        if left_s > 0:
            self._clock.sleep(left_s)


def _hardware(said: Message) -> HardwareInfo | None:
    if said.number != _GET_INFO:
        return None
    if len(said.data) != _INFO.size:
        raise garbled(f"{_INFO.size} bytes about the hardware", said.data)
    serial, model, _, firmware, kept, _, _, channels = _INFO.unpack(said.data)
    # The number has no room for the mark of an emulator, so that stands in the maker's own bytes.
    mark = _text(kept)
    name = _text(model)
    if not name.isprintable() or not name:
        raise garbled("a model's name", model)
    return HardwareInfo(
        model=name,
        serial=mark if mark.startswith("SIM") and mark.isalnum() else str(serial),
        firmware=str(firmware),
        channels=channels,
    )


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1").strip()
