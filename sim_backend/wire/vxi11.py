"""VXI-11 before a twin: `TCPIP::host,port::inst0::INSTR`.

The core channel (program 0x0607AF) and the abort channel (0x0607B0) of the TCP/IP Instrument
Protocol Specification, VXI-11 revision 1.0. The port answers as the port mapper too, so that
clients which insist on asking one can be sent here.
"""

import struct
from collections import deque

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.onc_rpc import (
    PORT_MAPPER,
    RPC_VERSION,
    Accept,
    Call,
    GarbledError,
    RecordReader,
    accepted,
    parse_call,
    port_mapper,
    version_denied,
)
from sim_backend.wire.session import Session, Twin
from sim_backend.wire.vxi11_links import LinkTable
from sim_backend.wire.vxi11_procedures import Procedures, Wait

__all__ = ["ABORT", "CORE", "Vxi11Twin"]

CORE = 0x0607AF
"""Program number of the core channel."""
ABORT = 0x0607B0
"""Program number of the abort channel."""
_VERSIONS = {PORT_MAPPER: 2, CORE: 1, ABORT: 1}
_MOST_CALLS = 64


class Vxi11Twin(Twin):
    """A twin whose sessions are connections of VXI-11; every one may have several links.

    Args:
        twin: who is spoken for; every link is a session of it.
        clock: simulated time; time-outs are measured by it.
        speed: simulated seconds per second of the clients' time-outs.
        largest_write: bytes that one `device_write` may carry.
        largest_read: bytes that one `device_read` gives; more are fetched by the next.
    """

    def __init__(
        self,
        twin: Twin,
        clock: SimulatedClock,
        *,
        speed: float = 1.0,
        largest_write: int = 1 << 16,
        largest_read: int = 1 << 20,
    ) -> None:
        self.model = twin.model
        self._clock = clock
        self._table = LinkTable(
            twin.session, largest_write=largest_write, largest_read=largest_read, speed=speed
        )

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Connection(self._table, self._clock)

    def served_at(self, host: str, port: int) -> str:
        """See `Twin.served_at`."""
        self._table.port = port
        return f"TCPIP::{host},{port}::inst0::INSTR"


class _Connection(Session):
    """A TCP connection: calls in, replies out, one at a time."""

    def __init__(self, table: LinkTable, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._table = table
        self._procedures = Procedures(table, clock)
        self._records = RecordReader(2 * table.largest_write + 1024)
        self._calls: deque[Call] = deque()
        self._wait: Wait | None = None
        self._again_at_s: float | None = None

    def feed(self, data: bytes) -> None:
        """See `Session.feed`; who has lost the frame of the records is hung up on."""
        try:
            for found in self._records.feed(data):
                self._calls.append(parse_call(found))
        except GarbledError:
            self.finished = True
        # A client waits for each reply before its next call.
        self.finished = self.finished or len(self._calls) > _MOST_CALLS
        self.progress()

    def progress(self) -> None:
        """See `Session.progress`."""
        self._procedures.progress()
        while self._calls:
            number = self._calls[0].number
            try:
                if self._wait is None:
                    self._wait = self._begun(self._calls[0])
                if self._wait is not None:
                    self._again_at_s = next(self._wait)
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
        return self._again_at_s

    def close(self) -> None:
        """See `Session.close`."""
        super().close()
        self._calls.clear()
        self._procedures.close()

    def _begun(self, call: Call) -> Wait | None:
        """What a call does; None where it is answered already."""
        number, port = call.number, self._table.port
        version = _VERSIONS.get(call.program)
        if call.rpc_version != RPC_VERSION:
            self.say(version_denied(number))
        elif version is None:
            self.say(accepted(number, Accept.PROGRAM_UNAVAILABLE))
        elif call.version != version:
            range_ = struct.pack(">2I", version, version)
            self.say(accepted(number, Accept.PROGRAM_MISMATCH, range_))
        elif call.program == PORT_MAPPER:
            self.say(port_mapper(call, {(CORE, 1): port, (ABORT, 1): port}))
        elif call.procedure == 0:
            self.say(accepted(number, Accept.SUCCESS))
        elif call.program == ABORT and call.procedure == 1:
            return self._procedures.abort(call.arguments)
        elif call.program == CORE and call.procedure in self._procedures.core:
            return self._procedures.core[call.procedure](call.arguments)
        else:
            self.say(accepted(number, Accept.PROCEDURE_UNAVAILABLE))
        return None
