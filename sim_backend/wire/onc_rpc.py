"""ONC remote procedure calls over TCP, as a server hears them: records, XDR, calls, replies.

RFC 5531 (RPC version 2 and record marking), RFC 4506 (XDR), RFC 1833 (the port mapper, version 2).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "PORT_MAPPER",
    "RPC_VERSION",
    "Accept",
    "Call",
    "GarbledError",
    "RecordReader",
    "XdrReader",
    "accepted",
    "opaque",
    "parse_call",
    "port_mapper",
    "record",
    "version_denied",
]

PORT_MAPPER = 100000
"""Program number of the port mapper."""
RPC_VERSION = 2
"""The only version of the protocol that is in use."""
_LAST = 0x80000000
_TCP = 6
_LONGEST_CREDENTIALS = 400
_PORT_NULL, _PORT_GET = 0, 3


class GarbledError(ValueError):
    """Bytes that are no record, no call, or not the arguments of one; never leaves the server."""


class Accept(IntEnum):
    """What became of a call that was understood."""

    SUCCESS = 0
    PROGRAM_UNAVAILABLE = 1
    PROGRAM_MISMATCH = 2
    PROCEDURE_UNAVAILABLE = 3
    GARBAGE_ARGUMENTS = 4


class XdrReader:
    """Reads values of the external data representation.

    Args:
        data: big-endian, in units of four bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def unsigned(self) -> int:
        """A 32-bit number.

        Raises:
            GarbledError: the data end before; so for all others.
        """
        if self._place + 4 > len(self._data):
            raise GarbledError("the data end too early")
        (value,) = struct.unpack_from(">I", self._data, self._place)
        self._place += 4
        return int(value)

    def signed(self) -> int:
        """A 32-bit number with a sign."""
        value = self.unsigned()
        return value - (1 << 32) if value >> 31 else value

    def opaque(self, most: int) -> bytes:
        """Bytes with their count before them, filled up to units of four.

        Args:
            most: more are refused.
        """
        count = self.unsigned()
        end = self._place + count
        if count > most or end > len(self._data):
            raise GarbledError(f"{count} bytes where at most {most} may be, or not all there")
        data = self._data[self._place : end]
        self._place = end + -count % 4
        return data


def opaque(data: bytes | memoryview) -> bytes:
    """Bytes as `XdrReader.opaque` reads them."""
    return b"".join((struct.pack(">I", len(data)), data, bytes(-len(data) % 4)))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call as it came.

    Args:
        number: by which its reply is known.
        rpc_version: of the protocol; where it is not `RPC_VERSION`, nothing below is known.
        program: number of the program.
        version: of the program.
        procedure: of the program.
        arguments: of the procedure.
    """

    number: int
    rpc_version: int
    program: int
    version: int
    procedure: int
    arguments: XdrReader


def parse_call(data: bytes) -> Call:
    """The call in a record.

    Raises:
        GarbledError: it is none.
    """
    reader = XdrReader(data)
    number = reader.unsigned()
    if reader.unsigned() != 0:
        raise GarbledError("no call")
    rpc_version = reader.unsigned()
    known = rpc_version == RPC_VERSION
    # What follows in another version of the protocol is not known.
    program, version, procedure = (reader.unsigned() if known else 0 for _ in range(3))
    for _ in ("credentials", "verifier") if known else ():
        reader.unsigned()
        reader.opaque(_LONGEST_CREDENTIALS)
    return Call(
        number=number,
        rpc_version=rpc_version,
        program=program,
        version=version,
        procedure=procedure,
        arguments=reader,
    )


def accepted(number: int, accept: Accept, result: bytes = b"") -> bytes:
    """The record of a reply.

    Args:
        number: of the call.
        accept: what became of it.
        result: of the procedure; lowest and highest version where the program's is not served.
    """
    return record(struct.pack(">6I", number, 1, 0, 0, 0, accept) + result)


def version_denied(number: int) -> bytes:
    """The record of a reply to a call in another version of the protocol."""
    return record(struct.pack(">6I", number, 1, 1, 0, RPC_VERSION, RPC_VERSION))


def record(data: bytes) -> bytes:
    """A record of one fragment."""
    return struct.pack(">I", _LAST | len(data)) + data


class RecordReader:
    """Puts records together from the bytes of a connection.

    Args:
        longest: most bytes of a record.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._input = bytearray()
        self._record = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The records that are whole with these bytes.

        Raises:
            GarbledError: a record is longer than allowed; the connection has lost its frame.
        """
        self._input += data
        records = []
        while len(self._input) >= 4:
            (mark,) = struct.unpack_from(">I", self._input)
            count = mark & ~_LAST
            if len(self._record) + count > self._longest:
                raise GarbledError(f"a record of more than {self._longest} bytes")
            if len(self._input) < 4 + count:
                break
            self._record += memoryview(self._input)[4 : 4 + count]
            del self._input[: 4 + count]
            if mark & _LAST:
                records.append(bytes(self._record))
                self._record.clear()
        return records


def port_mapper(call: Call, ports: Mapping[tuple[int, int], int]) -> bytes:
    """The record of the port mapper's reply.

    Args:
        call: of its version 2.
        ports: by program and version; all are TCP ports.

    Raises:
        GarbledError: the arguments are not those of the procedure.
    """
    if call.procedure == _PORT_NULL:
        return accepted(call.number, Accept.SUCCESS)
    if call.procedure != _PORT_GET:
        return accepted(call.number, Accept.PROCEDURE_UNAVAILABLE)
    program, version, protocol, _ = (call.arguments.unsigned() for _ in range(4))
    port = ports.get((program, version), 0) if protocol == _TCP else 0
    return accepted(call.number, Accept.SUCCESS, struct.pack(">I", port))
