"""VXI-11 before a twin: `TCPIP::host,port::inst0::INSTR`.

The core channel (program 0x0607AF) and the abort channel (0x0607B0) of the TCP/IP Instrument
Protocol, VXI-11 revision 1.0, chapter B. The port answers as the port mapper too, so that clients
which insist on asking one can be sent here. Service requests and `device_docmd` are not served.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterator
from enum import IntEnum, IntFlag
from itertools import count
from typing import TypeAlias

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.message_exchange import MessageExchange
from sim_backend.wire.onc_rpc import (
    PORT_MAPPER,
    RPC_VERSION,
    Accept,
    Call,
    GarbledError,
    RecordReader,
    XdrReader,
    accepted,
    opaque,
    parse_call,
    port_mapper,
    version_denied,
)
from sim_backend.wire.session import Session, Twin

__all__ = ["CORE", "LARGEST_WRITE", "DeviceError", "Reason", "Vxi11Twin"]

CORE = 0x0607AF
"""Program number of the core channel."""
_ABORT = 0x0607B0
LARGEST_WRITE = 1 << 16
"""Bytes that one `device_write` may carry, unless told otherwise."""
_MOST_LINKS = 32
_WAIT_LOCK, _END, _MARKED = 1, 8, 128
_MESSAGE_AVAILABLE = 16
_NAME = re.compile(rb"inst0", re.IGNORECASE)
_LONGEST_NAME = 256


class DeviceError(IntEnum):
    """`Device_ErrorCode` (table B.2)."""

    NONE = 0
    NOT_ACCESSIBLE = 3
    INVALID_LINK = 4
    PARAMETER = 5
    NOT_SUPPORTED = 8
    OUT_OF_RESOURCES = 9
    LOCKED_BY_ANOTHER = 11
    NO_LOCK_HELD = 12
    TIME_OUT = 15
    ABORTED = 23


class Reason(IntFlag):
    """Why `device_read` ended (table B.12)."""

    COUNT = 1
    MARK = 2
    END = 4


_Wait: TypeAlias = Generator[float | None, None, bytes]
"""A call that is carried out: it gives the simulated time until which it may wait, and its result
at the end."""


class _Link:
    """One link: a session of the twin."""

    def __init__(self, number: int, exchange: MessageExchange) -> None:
        self.number = number
        self.exchange = exchange
        self.aborted = False


class Vxi11Twin(Twin):
    """A twin whose sessions are links of VXI-11; every connection may have several.

    Attributes:
        links: by number, of all connections.
        lock: number of the link that has locked the instrument; None while it is free.
        port: where it is served; 0 before.

    Args:
        twin: who is spoken for.
        clock: simulated time; time-outs are measured by it.
        largest_write: bytes that one `device_write` may carry.
        largest_read: bytes that one `device_read` gives; more are fetched by the next.
    """

    def __init__(
        self,
        twin: Twin,
        clock: SimulatedClock,
        *,
        largest_write: int = LARGEST_WRITE,
        largest_read: int = 1 << 20,
    ) -> None:
        self.model = twin.model
        self.largest_write = largest_write
        self.largest_read = largest_read
        self.links: dict[int, _Link] = {}
        self.lock: int | None = None
        self.port = 0
        self._twin = twin
        self._clock = clock
        self._numbers: Iterator[int] = count(1)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Connection(self, self._clock)

    def served_at(self, host: str, port: int) -> str:
        """See `Twin.served_at`."""
        self.port = port
        return f"TCPIP::{host},{port}::inst0::INSTR"

    def open_link(self) -> _Link:
        """A new link."""
        number = next(self._numbers) & 0x7FFFFFFF
        link = self.links[number] = _Link(number, MessageExchange(self._twin.session()))
        return link

    def close_link(self, link: _Link) -> None:
        """Give a link and its lock back."""
        del self.links[link.number]
        if self.lock == link.number:
            self.lock = None
        link.exchange.close()


class _Connection(Session):
    """A TCP connection: calls in, replies out, one at a time."""

    def __init__(self, box: Vxi11Twin, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._box = box
        self._links: dict[int, _Link] = {}
        self._records = RecordReader(2 * box.largest_write + 1024)
        self._calls: deque[Call] = deque()
        self._wait: _Wait | None = None
        self._wait_until_s: float | None = None
        self._procedures: dict[int, Callable[[XdrReader], _Wait]] = {
            10: self._create_link,
            11: self._write,
            12: self._read,
            13: self._status_byte,
            14: lambda _: _at_once(DeviceError.NOT_SUPPORTED),
            15: self._clear,
            16: self._nothing,
            17: self._nothing,
            18: self._lock,
            19: self._unlock,
            20: lambda _: _at_once(DeviceError.NOT_SUPPORTED),
            22: lambda _: _at_once(DeviceError.NOT_SUPPORTED, opaque(b"")),
            23: self._destroy_link,
            25: lambda _: _at_once(DeviceError.NOT_SUPPORTED),
            26: lambda _: _at_once(DeviceError.NOT_SUPPORTED),
        }

    def feed(self, data: bytes) -> None:
        """See `Session.feed`; who has lost the frame of the records is hung up on."""
        try:
            for found in self._records.feed(data):
                self._calls.append(parse_call(found))
        except GarbledError:
            self.finished = True
        self.progress()

    def progress(self) -> None:
        """See `Session.progress`."""
        while self._calls:
            if self._wait is None:
                self._wait = self._begun(self._calls[0])
            number = self._calls[0].number
            try:
                if self._wait is not None:
                    self._wait_until_s = next(self._wait)
                    return
            except StopIteration as end:
                self.say(accepted(number, Accept.SUCCESS, end.value))
            except GarbledError:
                self.say(accepted(number, Accept.GARBAGE_ARGUMENTS))
            self._wait = None
            self._calls.popleft()

    def next_at(self) -> float | None:
        """See `Session.next_at`."""
        if self._answers or not self._calls:
            return super().next_at()
        return self._wait_until_s

    def close(self) -> None:
        """See `Session.close`."""
        super().close()
        self._calls.clear()
        for link in self._links.values():
            self._box.close_link(link)
        self._links.clear()

    def _begun(self, call: Call) -> _Wait | None:
        """What a call does; None where it was answered by something else than its procedure."""
        port = self._box.port
        served = {PORT_MAPPER: 2, CORE: 1, _ABORT: 1}
        if call.rpc_version != RPC_VERSION:
            self.say(version_denied(call.number))
        elif call.program not in served:
            self.say(accepted(call.number, Accept.PROGRAM_UNAVAILABLE))
        elif call.version != served[call.program]:
            version = served[call.program]
            result = struct.pack(">2I", version, version)
            self.say(accepted(call.number, Accept.PROGRAM_MISMATCH, result))
        elif call.program == PORT_MAPPER:
            self.say(port_mapper(call, {(CORE, 1): port, (_ABORT, 1): port}))
        elif call.procedure == 0:
            self.say(accepted(call.number, Accept.SUCCESS))
        elif call.program == _ABORT and call.procedure == 1:
            return self._abort(call.arguments)
        elif call.program == CORE and call.procedure in self._procedures:
            return self._procedures[call.procedure](call.arguments)
        else:
            self.say(accepted(call.number, Accept.PROCEDURE_UNAVAILABLE))
        return None

    def _create_link(self, given: XdrReader) -> _Wait:
        given.signed()
        lock, lock_ms, name = given.unsigned(), given.unsigned(), given.opaque(_LONGEST_NAME)
        error = DeviceError.NONE
        if _NAME.fullmatch(name) is None:
            error = DeviceError.NOT_ACCESSIBLE
        elif len(self._box.links) >= _MOST_LINKS:
            error = DeviceError.OUT_OF_RESOURCES
        elif lock:
            error = yield from self._freed(None, _WAIT_LOCK, lock_ms)
        if error:
            return struct.pack(">iiII", error, 0, 0, 0)
        link = self._box.open_link()
        self._links[link.number] = link
        if lock:
            self._box.lock = link.number
        port, largest = self._box.port, self._box.largest_write
        return struct.pack(">iiII", error, link.number, port, largest)

    def _write(self, given: XdrReader) -> _Wait:
        link, io_ms, lock_ms = self._link(given), given.unsigned(), given.unsigned()
        flags, data = given.signed(), given.opaque(2 * self._box.largest_write)
        error = yield from self._freed(link, flags, lock_ms)
        if not error and len(data) > self._box.largest_write:
            error = DeviceError.PARAMETER
        until_s = self._clock.now() + io_ms * 1e-3
        while link is not None and not error and link.exchange.is_full:
            error = yield from self._waited(link, until_s, None)
        if link is None or error:
            return struct.pack(">iI", error, 0)
        link.exchange.write(data, end=bool(flags & _END))
        return struct.pack(">iI", error, len(data))

    def _read(self, given: XdrReader) -> _Wait:
        link, size = self._link(given), given.unsigned()
        io_ms, lock_ms, flags, mark = (given.unsigned() for _ in range(4))
        error = yield from self._freed(link, flags, lock_ms)
        until_s = self._clock.now() + io_ms * 1e-3
        while link is not None and not error and not link.exchange.response():
            error = yield from self._waited(link, until_s, link.exchange.next_at())
        if link is None or error:
            return struct.pack(">ii", error, 0) + opaque(b"")
        response = link.exchange.response()
        data = bytes(response[: min(size, self._box.largest_read)])
        reason = Reason(0)
        if flags & _MARKED and (found := data.find(mark & 0xFF)) >= 0:
            data, reason = data[: found + 1], reason | Reason.MARK
        if len(data) == size:
            reason |= Reason.COUNT
        if len(data) == len(response):
            reason |= Reason.END
        link.exchange.took(len(data))
        return struct.pack(">ii", error, reason) + opaque(data)

    def _status_byte(self, given: XdrReader) -> _Wait:
        link, flags, lock_ms, _ = self._generic(given)
        error = yield from self._freed(link, flags, lock_ms)
        available = link is not None and not error and bool(link.exchange.response())
        return struct.pack(">iI", error, _MESSAGE_AVAILABLE * available)

    def _clear(self, given: XdrReader) -> _Wait:
        link, flags, lock_ms, _ = self._generic(given)
        error = yield from self._freed(link, flags, lock_ms)
        if link is not None and not error:
            link.exchange.clear()
        return struct.pack(">i", error)

    def _nothing(self, given: XdrReader) -> _Wait:
        link, flags, lock_ms, _ = self._generic(given)
        return struct.pack(">i", (yield from self._freed(link, flags, lock_ms)))

    def _lock(self, given: XdrReader) -> _Wait:
        link, flags, lock_ms = self._link(given), given.signed(), given.unsigned()
        error = yield from self._freed(link, flags, lock_ms)
        if link is not None and not error:
            # A second lock by who has it is refused, too (B.6.10).
            error = DeviceError.LOCKED_BY_ANOTHER if self._box.lock else DeviceError.NONE
            self._box.lock = link.number
        return struct.pack(">i", error)

    def _unlock(self, given: XdrReader) -> _Wait:
        link = self._link(given)
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        if self._box.lock != link.number:
            return (yield from _at_once(DeviceError.NO_LOCK_HELD))
        self._box.lock = None
        return (yield from _at_once(DeviceError.NONE))

    def _destroy_link(self, given: XdrReader) -> _Wait:
        link = self._link(given)
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        del self._links[link.number]
        self._box.close_link(link)
        return (yield from _at_once(DeviceError.NONE))

    def _abort(self, given: XdrReader) -> _Wait:
        link = self._box.links.get(given.signed())
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        link.aborted = True
        return (yield from _at_once(DeviceError.NONE))

    def _link(self, given: XdrReader) -> _Link | None:
        return self._links.get(given.signed())

    def _generic(self, given: XdrReader) -> tuple[_Link | None, int, int, int]:
        """`Device_GenericParms`: link, flags, and the time-outs of lock and transfer in ms."""
        link = self._link(given)
        return link, given.signed(), given.unsigned(), given.unsigned()

    def _freed(
        self, link: _Link | None, flags: int, lock_ms: int
    ) -> Generator[float | None, None, DeviceError]:
        """Wait until no other link has the lock; the error where it does not come to that."""
        until_s = self._clock.now() + lock_ms * 1e-3 * bool(flags & _WAIT_LOCK)
        if link is not None:
            link.aborted = False
        while self._box.lock is not None and (link is None or self._box.lock != link.number):
            if self._clock.now() >= until_s:
                return DeviceError.LOCKED_BY_ANOTHER
            yield until_s
        return DeviceError.NONE

    def _waited(
        self, link: _Link, until_s: float, next_s: float | None
    ) -> Generator[float | None, None, DeviceError]:
        """Wait once for the instrument; the error where it took too long."""
        if link.aborted:
            return DeviceError.ABORTED
        if self._clock.now() >= until_s:
            return DeviceError.TIME_OUT
        yield None if next_s is None else min(next_s, until_s)
        return DeviceError.NONE


def _at_once(error: DeviceError, more: bytes = b"") -> _Wait:
    """The result of a procedure that needs no waiting."""
    yield from ()
    return struct.pack(">i", error) + more
