"""A fault plan wrapped round a stream, within one process and without threads."""

from typing import ClassVar

from drivers.errors import LinkError, LinkTimeoutError
from drivers.instruments import Clock
from drivers.transports.streams import Buffer, ByteStream
from sim_backend.wire.faulty_pipe import ActiveFaults, FaultyPipe
from sim_backend.wire.wire_faults import WireDirection, WireFaultPlan

__all__ = ["FaultyLine", "FaultyStream"]


class FaultyStream:
    """A stream like a socket's with faults between client and instrument; a `ByteStream`.

    What is late on its way to the instrument is handed on at the next sending or receiving after it
    is due.

    Args:
        stream: the stream without faults, which is taken over.
        faults: a plan of its own, or the faults of a link that this connection shares with others.
        clock: the time; the stream's own.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(
        self, stream: ByteStream, faults: WireFaultPlan | ActiveFaults, clock: Clock
    ) -> None:
        active = faults if isinstance(faults, ActiveFaults) else ActiveFaults(faults)
        self.faults = active
        self._stream = stream
        self._clock = clock
        self._out = FaultyPipe(active, WireDirection.TO_INSTRUMENT, clock)
        self._in = FaultyPipe(active, WireDirection.TO_CLIENT, clock)
        self._arrived = b""
        self._finished: LinkError | None = None
        self._buffer = bytearray(1 << 16)

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`; it does not wait for what is late."""
        self._check_cut()
        self._out.push(bytes(data))
        self._hand_on(timeout_s)

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`."""
        deadline_s = self._clock.now() + timeout_s
        while True:
            self._hand_on(timeout_s)
            self._arrived = self._arrived or self._in.pull()
            if self._arrived:
                count = min(len(buffer), len(self._arrived))
                buffer[:count] = self._arrived[:count]
                self._arrived = self._arrived[count:]
                return count
            self._check_cut()
            if self._in.closed:
                assert self._finished is not None
                raise self._finished
            times = (deadline_s, self._out.next_at(), self._in.next_at())
            wait_s = min(time for time in times if time is not None) - self._clock.now()
            if self._clock.now() >= deadline_s:
                raise LinkTimeoutError(f"no answer within {timeout_s:.3g} s")
            if wait_s > 0:
                self._wait(wait_s)

    def discard(self) -> bytes:
        """See `ByteStream.discard`; what is still on its way comes later."""
        if not self._is_cut:
            self._in.push(self._stream.discard())
        arrived, self._arrived = self._arrived + self._in.pull(), b""
        return arrived

    def close(self) -> None:
        """See `ByteStream.close`; what is still on its way is lost."""
        self._stream.close()

    @property
    def _is_cut(self) -> bool:
        return self._out.was_cut or self._in.was_cut

    def _check_cut(self) -> None:
        if self._is_cut:
            self._stream.close()
            raise LinkError("the connection was cut")

    def _hand_on(self, timeout_s: float) -> None:
        """Send on what is due."""
        due = self._out.pull()
        if due and self._finished is None:
            self._stream.send(due, timeout_s)

    def _wait(self, wait_s: float) -> None:
        """Wait for bytes of the stream, at most so long."""
        until_s = self._clock.now() + wait_s
        if self._finished is None:
            try:
                count = self._stream.receive_into(memoryview(self._buffer), wait_s)
                self._in.push(bytes(self._buffer[:count]))
                return
            except LinkTimeoutError:
                pass  # perhaps before its time: the rest is slept
            except LinkError as error:
                self._finished = error
                self._in.finish()
                return
        rest_s = until_s - self._clock.now()
        if rest_s > 0:
            self._clock.sleep(rest_s)


class FaultyLine(FaultyStream):
    """A stream like a serial line's: late bytes stay on it until they are drained."""

    reopens: ClassVar[bool] = False
