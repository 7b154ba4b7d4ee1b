"""The four bytes of an integrable tunable laser assembly (ITLA): packets and their checksum.

Source: OIF-ITLA-MSA-01.3, Integrable Tunable Laser Assembly Multi Source Agreement, and Pure
Photonics' page on its command structure.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from drivers.transports.reader import garbled

__all__ = [
    "LAST_RESPONSE",
    "PACKET_BYTES",
    "Answer",
    "Register",
    "Status",
    "is_intact",
    "parse",
    "request",
    "signed",
]

PACKET_BYTES: Final = 4
_WRITE = 0x01
_REPEAT = 0x08
_DAMAGED = 0x08


class Register(IntEnum):
    """Registers by their number; the comment is what one step of the value is."""

    NOP = 0x00
    DEVICE_TYPE = 0x01
    MANUFACTURER = 0x02
    MODEL = 0x03
    SERIAL_NUMBER = 0x04
    RELEASE = 0x06
    LONG_ANSWER = 0x0B  # two bytes of the answer announced before
    STATUS_FATAL = 0x20
    STATUS_WARNING = 0x21
    CHANNEL = 0x30
    POWER = 0x31  # 0.01 dBm, signed
    RESET_ENABLE = 0x32
    GRID = 0x34  # 0.1 GHz, signed
    FIRST_THZ = 0x35
    FIRST_GHZ = 0x36  # 0.1 GHz
    FIRST_MHZ = 0x67
    LASER_THZ = 0x40
    LASER_GHZ = 0x41  # 0.1 GHz
    LASER_MHZ = 0x68
    OUTPUT_POWER = 0x42  # 0.01 dBm, signed
    FINE_TUNE_RANGE = 0x4F  # MHz to each side
    LOWEST_POWER = 0x50  # 0.01 dBm, signed
    HIGHEST_POWER = 0x51  # 0.01 dBm, signed
    LOWEST_THZ = 0x52
    LOWEST_GHZ = 0x53  # 0.1 GHz
    LOWEST_MHZ = 0x69
    HIGHEST_THZ = 0x54
    HIGHEST_GHZ = 0x55  # 0.1 GHz
    HIGHEST_MHZ = 0x6A
    FINE_TUNE = 0x62  # MHz, signed
    NOISE_MODE = 0x90  # Pure Photonics


class Status(IntEnum):
    """What an answer says about the request."""

    DONE = 0
    FAILED = 1
    LONG_ANSWER = 2
    PENDING = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An intact answer.

    Args:
        damaged: the module got the request damaged and has not looked at it.
        status: of the request.
        register: that it is about.
        value: 16 bits, unsigned.
    """

    damaged: bool
    status: Status
    register: int
    value: int


def request(register: int, value: int | None = None) -> bytes:
    """A request to the module.

    Args:
        register: 0 to 255.
        value: 16 bits to be written, -32768 to 65535; None to read.
    """
    head = 0 if value is None else _WRITE
    return _sealed(head, register, 0 if value is None else value & 0xFFFF)


LAST_RESPONSE: Final = bytes((0x80 | _REPEAT, 0, 0, 0))
"""Asks for the last answer once more; nothing is done again."""


def is_intact(packet: bytes) -> bool:
    """Whether the checksum of four bytes is right."""
    return packet[0] >> 4 == _checksum(packet)


def parse(packet: bytes, register: int) -> Answer:
    """The meaning of an answer.

    Args:
        packet: four bytes.
        register: that was asked about.

    Raises:
        AnswerError: wrong length or checksum, or about another register.
    """
    if len(packet) != PACKET_BYTES or not is_intact(packet):
        raise garbled("four bytes with their checksum", packet)
    damaged = bool(packet[0] & _DAMAGED)
    if packet[1] != register and not damaged:
        raise garbled(f"an answer about register 0x{register:02X}", packet)
    return Answer(
        damaged=damaged,
        status=Status(packet[0] & 0x03),
        register=packet[1],
        value=int.from_bytes(packet[2:], "big"),
    )


def signed(value: int) -> int:
    """The 16 bits of a signed register as a number."""
    return value - 0x10000 if value & 0x8000 else value


def _sealed(head: int, register: int, value: int) -> bytes:
    body = bytes((head & 0x0F, register, value >> 8, value & 0xFF))
    return bytes((body[0] | _checksum(body) << 4,)) + body[1:]


def _checksum(packet: bytes) -> int:
    """BIP-4: parity of the two halves of all bytes, the checksum's own place taken as 0."""
    folded = (packet[0] & 0x0F) ^ packet[1] ^ packet[2] ^ packet[3]
    return ((folded >> 4) ^ folded) & 0x0F
