"""NKT Photonics' Interbus: telegrams with a checksum and escapes between addresses on one bus.

Source: NKT Photonics, SDK instruction manual, and the open drivers that agree on the framing. Data
are little-endian, the checksum is big-endian. The host takes two addresses in turn, so that a late
answer is told from a fresh one.
"""

from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final

from drivers.errors import AnswerError, InstrumentError, RefusedError
from drivers.instruments import Clock
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.serial_stream import SerialSettings

__all__ = [
    "INTERBUS_LINE",
    "Interbus",
    "InterbusRefusalError",
    "Kind",
    "Telegram",
    "decode",
    "encode",
]

INTERBUS_LINE: Final = SerialSettings(baud=115200)
"""The serial line of these instruments."""
_BEGIN, _END, _ESCAPE = 0x0D, 0x0A, 0x5E
_ESCAPED = (_BEGIN, _END, _ESCAPE)
_SHIFT = 0x40
_HOSTS = (161, 162)
_SHORTEST = 6
_LONGEST = 2 * (240 + _SHORTEST) + 1
_LATE = 3
_TRIES = 20
_BUSY_S = 0.1


class Kind(IntEnum):
    """What a telegram is."""

    REFUSED = 0
    DAMAGED = 1
    BUSY = 2
    DONE = 3
    READ = 4
    WRITE = 5
    DATA = 8


class InterbusRefusalError(RefusedError):
    """A module does not know a register, or refuses its value; it gives no reason."""


@dataclass(frozen=True, kw_only=True)
class Telegram:
    """One telegram.

    Args:
        destination: address, 0 to 255.
        source: address, 0 to 255.
        kind: see `Kind`; other numbers are possible.
        register: 0 to 255.
        data: at most 240 bytes.
    """

    destination: int
    source: int
    kind: int
    register: int
    data: bytes = b""


def encode(telegram: Telegram) -> bytes:
    """The bytes of a telegram."""
    head = (telegram.destination, telegram.source, telegram.kind, telegram.register)
    body = bytes(head) + telegram.data
    body += crc_hqx(body, 0).to_bytes(2, "big")
    escaped = bytearray((_BEGIN,))
    for byte in body:
        escaped += bytes((_ESCAPE, byte + _SHIFT) if byte in _ESCAPED else (byte,))
    escaped.append(_END)
    return bytes(escaped)


def decode(frame: bytes) -> Telegram:
    """The telegram in a frame.

    Args:
        frame: from its first byte to the one before its end mark.

    Raises:
        AnswerError: no beginning, a wrong escape or a wrong checksum.
    """
    body = _unescaped(frame)
    # Over the data and their checksum this checksum is 0.
    if len(body) < _SHORTEST or crc_hqx(bytes(body), 0):
        raise garbled("a telegram with its checksum", frame)
    destination, source, kind, register, *data = body[:-2]
    return Telegram(
        destination=destination, source=source, kind=kind, register=register, data=bytes(data)
    )


def _unescaped(frame: bytes) -> bytearray:
    if not frame or frame[0] != _BEGIN:
        raise garbled("the beginning of a telegram", frame)
    body = bytearray()
    rest = iter(frame[1:])
    for byte in rest:
        if byte != _ESCAPE:
            body.append(byte)
            continue
        value = next(rest, 0) - _SHIFT
        if value not in _ESCAPED:
            raise garbled("an escaped byte", frame)
        body.append(value)
    return body


class Interbus:
    """The dialogue with one module on the bus.

    Args:
        name: role of the instrument, for messages.
        link: to the bus.
        clock: for waiting.
        address: of the module, 1 to 160.
    """

    def __init__(self, name: str, link: Link, clock: Clock, address: int) -> None:
        self._name = name
        self._link = link
        self._clock = clock
        self._address = address
        self._turn = 1

    def read(self, register: int) -> bytes:
        """The data of a register.

        Raises:
            InterbusRefusalError: the module has no such register.
            InstrumentError: the module stays busy.
            AnswerError: the answer makes no sense, twice.
            LinkError: no answer, twice.
        """
        answer = self._talk(self._link.ask, Kind.READ, register, b"")
        if answer.kind != Kind.DATA:
            raise InterbusRefusalError(
                f"{self._name}: module {self._address} refused reading register 0x{register:02X}"
            )
        return answer.data

    def number(self, register: int, size: int, *, signed: bool = False) -> int:
        """A register that holds one number.

        Args:
            register: which.
            size: in bytes.
            signed: whether it can be negative.

        Raises:
            AnswerError: the register has another size.
        """
        data = self.read(register)
        if len(data) != size:
            raise garbled(f"{size} bytes in register 0x{register:02X}", data)
        return int.from_bytes(data, "little", signed=signed)

    def write(self, register: int, value: int, size: int) -> None:
        """Write one number.

        Args:
            register: which.
            value: negative ones in two's complement.
            size: in bytes.

        Raises:
            InterbusRefusalError: the module refuses it.
            InstrumentError: the module stays busy.
            LinkError: no answer; it may have been written.
        """
        data = value.to_bytes(size, "little", signed=value < 0)
        answer = self._talk(self._link.order, Kind.WRITE, register, data)
        if answer.kind != Kind.DONE:
            raise InterbusRefusalError(
                f"{self._name}: module {self._address} refused {value} for register "
                f"0x{register:02X}"
            )

    def _talk(
        self,
        exchange: Callable[[bytes, Callable[[Reader], Telegram]], Telegram],
        kind: Kind,
        register: int,
        data: bytes,
    ) -> Telegram:
        """Send until the module is free and has got it whole; neither time was it carried out."""
        with self._link.held():
            for _ in range(_TRIES):
                self._turn = 1 - self._turn
                host = _HOSTS[self._turn]
                message = Telegram(
                    destination=self._address, source=host, kind=kind, register=register, data=data
                )
                answer = exchange(encode(message), partial(_answer, message))
                if answer.kind not in (Kind.BUSY, Kind.DAMAGED):
                    return answer
                self._clock.sleep(_BUSY_S)
        what = "is busy" if answer.kind == Kind.BUSY else "gets telegrams damaged"
        raise InstrumentError(
            f"{self._name}: module {self._address} {what} for {_TRIES * _BUSY_S:g} s; look at its "
            "display, the cable and its grounding"
        )


def _answer(message: Telegram, reader: Reader) -> Telegram:
    """The answer to a message; late ones to the other address of the host are left out."""
    good = Kind.DATA if message.kind == Kind.READ else Kind.DONE
    for _ in range(_LATE):
        frame = reader.line(bytes((_END,)), _LONGEST)
        found = decode(frame)
        if found.destination != message.source and found.destination in _HOSTS:
            continue
        parties = (found.source, found.destination) == (message.destination, message.source)
        expected = found.kind in (Kind.REFUSED, Kind.DAMAGED, Kind.BUSY, good)
        if not parties or found.register != message.register or not expected:
            raise garbled(f"an answer about register 0x{message.register:02X}", frame)
        return found
    raise AnswerError("only late answers to earlier questions came")
