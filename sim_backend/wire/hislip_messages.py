"""Messages of HiSLIP: their header, their numbers, and how they are found in a stream of bytes.

IVI-6.1, High-Speed LAN Instrument Protocol, revision 1.1, sections 2.2 to 2.4 and 6.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "HEADER",
    "BadHeaderError",
    "Fatal",
    "Fault",
    "Kind",
    "Message",
    "MessageReader",
    "TooLong",
    "packed",
]

HEADER = struct.Struct(">2sBBIQ")
"""Prologue, message type, control code, parameter, bytes of the payload."""
_PROLOGUE = b"HS"


class Kind(IntEnum):
    """Message types."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    INTERRUPTED = 13
    ASYNC_INTERRUPTED = 14
    ASYNC_MAXIMUM_MESSAGE_SIZE = 15
    ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


class Fatal(IntEnum):
    """Control codes of a fatal error, behind which the connection is closed."""

    HEADER = 1
    CHANNELS = 2
    SEQUENCE = 3
    CLIENTS = 4


class Fault(IntEnum):
    """Control codes of an error that leaves the connection as it is."""

    UNKNOWN_TYPE = 1
    UNKNOWN_CONTROL = 2
    TOO_LARGE = 4


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as it came.

    Args:
        kind: its type, known or not.
        control: control code.
        parameter: message parameter.
        payload: the bytes behind the header.
    """

    kind: int
    control: int
    parameter: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """A message whose payload is longer than allowed and is dropped as it comes.

    Args:
        kind: its type.
    """

    kind: int


class BadHeaderError(ValueError):
    """Bytes that are no header: the frame is lost; never leaves the server."""


def packed(
    kind: Kind, control: int = 0, parameter: int = 0, payload: bytes | memoryview = b""
) -> bytes:
    """A message as bytes; the arguments are those of `Message`."""
    return HEADER.pack(_PROLOGUE, kind, control, parameter, len(payload)) + payload


class MessageReader:
    """Finds messages in the bytes of a connection.

    Args:
        longest: most bytes of a payload.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._input = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        dropped = min(self._skip, len(data))
        self._skip -= dropped
        self._input += memoryview(data)[dropped:]

    def next(self) -> Message | TooLong | None:
        """The next message; None where it has not come whole.

        Raises:
            BadHeaderError: no message begins here.
        """
        if len(self._input) < HEADER.size:
            return None
        prologue, kind, control, parameter, count = HEADER.unpack_from(self._input)
        if prologue != _PROLOGUE:
            raise BadHeaderError(f"{prologue!r} where a message should begin")
        end = HEADER.size + count
        if count > self._longest:
            self._skip = max(0, end - len(self._input))
            del self._input[:end]
            return TooLong(kind=kind)
        if len(self._input) < end:
            return None
        payload = bytes(memoryview(self._input)[HEADER.size : end])
        del self._input[:end]
        return Message(kind=kind, control=control, parameter=parameter, payload=payload)
