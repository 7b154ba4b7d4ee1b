"""Qontrol's messages as a module reads them: lines of text, and frames."""

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Command", "Message", "parse_frame", "parse_line"]

_TEXT: Final = re.compile(r"([a-z]+?)(vec|all)?(\d{1,5})?(\?|=(.*))?")
_ALL, _READ, _EXTENDED, _BY_MODULE = 0x20, 0x08, 0x02, 0x10
_HEAD = 5
_PER_MODULE = 8
_SERIAL_ERROR, _BAD_VALUE, _OVERFLOW = 15, 11, 14


class Command(Enum):
    """What is set or asked, by its byte."""

    V = 0x00
    I = 0x01  # noqa: E741 - the maker's name
    VMAX = 0x02
    IMAX = 0x03
    VCAL = 0x04
    ICAL = 0x05
    VERR = 0x06
    IERR = 0x07
    VIP = 0x0A
    VFULL = 0x20
    IFULL = 0x21
    NCHAN = 0x22
    FIRMWARE = 0x23
    ID = 0x24
    LIFETIME = 0x25
    NVM = 0x26
    LOG = 0x27
    QUIET = 0x28
    LED = 0x31
    NUP = 0x32
    OK = 0x37
    HELP = 0x41
    SAFE = 0x42
    ROCOM = 0x43
    UNKNOWN = -1


_BY_NAME: Final = {one.name.lower(): one for one in Command if one is not Command.UNKNOWN}
_BY_BYTE: Final = {one.value: one for one in Command}


@dataclass(frozen=True, kw_only=True)
class Message:
    """A command.

    Args:
        command: what it is about.
        asks: whether it is a query.
        channel: the first that it is about, from 0 in the chain.
        every: whether it is about all.
        values: to set, of consecutive channels.
        scaled: whether the values are fractions of the full scale.
        error: number of the error with which it is refused; None for none.
    """

    command: Command
    asks: bool = False
    channel: int = 0
    every: bool = False
    values: tuple[float, ...] = ()
    scaled: bool = False
    error: int | None = None


def parse_line(data: bytes) -> Message:
    """A line without its end, in any case.

    Args:
        data: what came.
    """
    text = data.decode("latin-1").strip().lower()
    found = _TEXT.fullmatch(text)
    command = Command.UNKNOWN if found is None else _BY_NAME.get(found[1], Command.UNKNOWN)
    if found is None or command is Command.UNKNOWN:
        return Message(command=Command.UNKNOWN)
    channel = int(found[3] or 0)
    try:
        values = tuple(float(one) for one in (found[5] or "").split(",") if one)
    except ValueError:
        return Message(command=command, channel=channel, error=_BAD_VALUE)
    if not all(math.isfinite(one) for one in values) or (len(values) > 1 and found[2] != "vec"):
        return Message(command=command, channel=channel, error=_BAD_VALUE)
    every = found[2] == "all"
    return Message(
        command=command, asks=found[4] == "?", channel=channel, every=every, values=values
    )


def parse_frame(data: bytes, channels: int) -> tuple[Message, int] | None:
    """The frame at the beginning of some bytes, and its length; None where more has to come.

    Args:
        data: begins with a byte above 0x7F.
        channels: of the chain: no frame has more values.
    """
    if len(data) < _HEAD:
        return None
    header, command = data[0], _BY_BYTE.get(data[1], Command.UNKNOWN)
    if header.bit_count() % 2:
        return Message(command=command, channel=1, error=_SERIAL_ERROR), len(data)
    count, begin = 1, _HEAD
    if header & _EXTENDED:
        begin += 2
        if len(data) < begin:
            return None
        count = int.from_bytes(data[_HEAD:begin], "big")
        if count > channels:
            return Message(command=command, channel=1, error=_OVERFLOW), len(data)
    end = begin + 2 * count
    if len(data) < end:
        return None
    if header & _BY_MODULE:
        channel = int.from_bytes(data[2:4], "big") * _PER_MODULE + data[4]
    else:
        channel = int.from_bytes(data[3:5], "big")
    codes = (int.from_bytes(data[place : place + 2], "big") for place in range(begin, end, 2))
    message = Message(
        command=command,
        asks=bool(header & _READ),
        channel=channel,
        every=bool(header & _ALL),
        values=tuple(code / 65535 for code in codes),
        scaled=True,
    )
    return message, end
