"""The procedures of VXI-11's core and abort channels, for one connection.

TCP/IP Instrument Protocol Specification, VXI-11 revision 1.0, section B.6. Service requests,
triggers and `device_docmd` are not served, and say so.
"""

import re
import struct
from collections.abc import Callable, Generator
from typing import TypeAlias

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.onc_rpc import XdrReader, opaque
from sim_backend.wire.vxi11_links import DeviceError, Link, LinkTable, Reason

__all__ = ["Procedures", "Wait"]

Wait: TypeAlias = Generator[float | None, None, bytes]
"""A call that is carried out: gives the simulated time at which to look again, None for soon, and
returns the result."""
_WAIT_LOCK, _END, _MARKED = 1, 8, 128
_MESSAGE_AVAILABLE = 16
_NAME = re.compile(rb"inst0", re.IGNORECASE)
_LONGEST_NAME = 256


class Procedures:
    """What a connection can call.

    Attributes:
        core: procedures of the core channel by their numbers; they raise `GarbledError` where the
            arguments are not theirs.

    Args:
        table: the links of the twin.
        clock: simulated time; time-outs are measured by it.
    """

    def __init__(self, table: LinkTable, clock: SimulatedClock) -> None:
        self._table = table
        self._clock = clock
        self._links: dict[int, Link] = {}
        self.core: dict[int, Callable[[XdrReader], Wait]] = {
            10: self._create_link,
            11: self._write,
            12: self._read,
            13: self._status_byte,
            14: _not_supported,
            15: self._clear,
            16: self._nothing,
            17: self._nothing,
            18: self._lock,
            19: self._unlock,
            20: _not_supported,
            22: lambda _: _at_once(DeviceError.NOT_SUPPORTED, opaque(b"")),
            23: self._destroy_link,
            25: _not_supported,
            26: _not_supported,
        }

    def progress(self) -> None:
        """Let the twin go on with what has come over the links."""
        for link in self._links.values():
            link.exchange.progress()

    def close(self) -> None:
        """The client has gone, and its links with it."""
        for link in self._links.values():
            self._table.close(link)
        self._links.clear()

    def abort(self, given: XdrReader) -> Wait:
        """`device_abort`: end what waits on a link, of whatever connection."""
        link = self._table.links.get(given.signed())
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        link.aborted = True
        return (yield from _at_once(DeviceError.NONE))

    def _create_link(self, given: XdrReader) -> Wait:
        given.signed()
        lock, lock_ms, name = given.unsigned(), given.unsigned(), given.opaque(_LONGEST_NAME)
        error = DeviceError.NONE
        if _NAME.fullmatch(name) is None:
            error = DeviceError.NOT_ACCESSIBLE
        elif self._table.is_full:
            error = DeviceError.OUT_OF_RESOURCES
        elif lock:
            error = yield from self._unlocked(None, lock_ms)
        if error:
            return struct.pack(">iiII", error, 0, 0, 0)
        link = self._table.open()
        self._links[link.number] = link
        if lock:
            self._table.lock = link.number
        port, largest = self._table.port, self._table.largest_write
        return struct.pack(">iiII", error, link.number, port, largest)

    def _write(self, given: XdrReader) -> Wait:
        link, io_ms, lock_ms = self._link(given), given.unsigned(), given.unsigned()
        flags, data = given.signed(), given.opaque(2 * self._table.largest_write)
        error = yield from self._freed(link, flags, lock_ms)
        if not error and len(data) > self._table.largest_write:
            error = DeviceError.PARAMETER
        until_s = self._until_s(io_ms)
        while link is not None and not error and link.exchange.is_full:
            error = yield from self._waited(link, until_s, None)
        if link is None or error:
            return struct.pack(">iI", error, 0)
        link.exchange.write(data, end=bool(flags & _END))
        return struct.pack(">iI", error, len(data))

    def _read(self, given: XdrReader) -> Wait:
        link, size = self._link(given), given.unsigned()
        io_ms, lock_ms, flags, mark = (given.unsigned() for _ in range(4))
        error = yield from self._freed(link, flags, lock_ms)
        until_s = self._until_s(io_ms)
        while link is not None and not error and not link.exchange.response():
            error = yield from self._waited(link, until_s, link.exchange.next_at())
        if link is None or error:
            return struct.pack(">ii", error, 0) + opaque(b"")
        response = link.exchange.response()
        data = bytes(response[: min(size, self._table.largest_read)])
        reason = Reason(0)
        if flags & _MARKED and (found := data.find(mark & 0xFF)) >= 0:
            data, reason = data[: found + 1], reason | Reason.MARK
        if len(data) == size:
            reason |= Reason.COUNT
        if len(data) == len(response):
            reason |= Reason.END
        link.exchange.took(len(data))
        return struct.pack(">ii", error, reason) + opaque(data)

    def _status_byte(self, given: XdrReader) -> Wait:
        link, flags, lock_ms, _ = self._generic(given)
        error = yield from self._freed(link, flags, lock_ms)
        available = link is not None and not error and bool(link.exchange.response())
        return struct.pack(">iI", error, _MESSAGE_AVAILABLE * available)

    def _clear(self, given: XdrReader) -> Wait:
        link, flags, lock_ms, _ = self._generic(given)
        error = yield from self._freed(link, flags, lock_ms)
        if link is not None and not error:
            link.exchange.clear()
        return struct.pack(">i", error)

    def _nothing(self, given: XdrReader) -> Wait:
        link, flags, lock_ms, _ = self._generic(given)
        return struct.pack(">i", (yield from self._freed(link, flags, lock_ms)))

    def _lock(self, given: XdrReader) -> Wait:
        link, flags, lock_ms = self._link(given), given.signed(), given.unsigned()
        error = yield from self._freed(link, flags, lock_ms)
        if link is not None and not error:
            self._table.lock = link.number
        return struct.pack(">i", error)

    def _unlock(self, given: XdrReader) -> Wait:
        link = self._link(given)
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        if self._table.lock != link.number:
            return (yield from _at_once(DeviceError.NO_LOCK_HELD))
        self._table.lock = None
        return (yield from _at_once(DeviceError.NONE))

    def _destroy_link(self, given: XdrReader) -> Wait:
        link = self._link(given)
        if link is None:
            return (yield from _at_once(DeviceError.INVALID_LINK))
        del self._links[link.number]
        self._table.close(link)
        return (yield from _at_once(DeviceError.NONE))

    def _link(self, given: XdrReader) -> Link | None:
        return self._links.get(given.signed())

    def _generic(self, given: XdrReader) -> tuple[Link | None, int, int, int]:
        """`Device_GenericParms`: link, flags, and the time-outs of lock and transfer in ms."""
        link = self._link(given)
        return link, given.signed(), given.unsigned(), given.unsigned()

    def _freed(
        self, link: Link | None, flags: int, lock_ms: int
    ) -> Generator[float | None, None, DeviceError]:
        """Wait, where the flags say so, until no other link has the lock."""
        if link is None:
            return DeviceError.INVALID_LINK
        link.aborted = False
        return (yield from self._unlocked(link.number, lock_ms if flags & _WAIT_LOCK else 0))

    def _unlocked(
        self, number: int | None, lock_ms: int
    ) -> Generator[float | None, None, DeviceError]:
        until_s = self._until_s(lock_ms)
        while self._table.lock not in (None, number):
            if self._clock.now() >= until_s:
                return DeviceError.LOCKED_BY_ANOTHER
            yield until_s
        return DeviceError.NONE

    def _until_s(self, timeout_ms: int) -> float:
        """Simulated time at which a time-out of a client is over."""
        return self._clock.now() + timeout_ms * 1e-3 * self._table.speed

    def _waited(
        self, link: Link, until_s: float, next_s: float | None
    ) -> Generator[float | None, None, DeviceError]:
        """Wait once for the instrument; the error where it took too long."""
        if link.aborted:
            return DeviceError.ABORTED
        if self._clock.now() >= until_s:
            return DeviceError.TIME_OUT
        yield None if next_s is None else min(next_s, until_s)
        return DeviceError.NONE


def _at_once(error: DeviceError, more: bytes = b"") -> Wait:
    """The result of a procedure that needs no waiting."""
    yield from ()
    return struct.pack(">i", error) + more


def _not_supported(given: XdrReader) -> Wait:
    """The result of a procedure that is not served."""
    del given
    return _at_once(DeviceError.NOT_SUPPORTED)
