"""A twin in the same process: the bytes go from hand to hand, and waiting moves simulated time."""

from typing import ClassVar

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import Buffer
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Twin

__all__ = ["LoopbackLine", "LoopbackStream"]

_STEP_S = 1e-2
"""Longest step of time while an answer is waited for that depends on something else."""


class LoopbackStream:
    """A connection to a twin like a socket's; see `drivers.transports.streams.ByteStream`.

    Args:
        twin: who is at the other end.
        clock: simulated time.
        transfer_s: time that every message takes.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(self, twin: Twin, clock: SimulatedClock, *, transfer_s: float = 1e-4) -> None:
        self._session = twin.session()
        self._clock = clock
        self._transfer_s = transfer_s
        self._kept = b""
        self._open = True

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`; whatever is sent is taken at once."""
        del timeout_s
        if not self._open:
            raise LinkError("loopback: the connection is closed")
        self._clock.advance(self._transfer_s)
        self._session.feed(bytes(data))

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`; waiting moves simulated time."""
        until_s = self._clock.now() + timeout_s
        while not self._kept:
            if not self._open:
                raise LinkError("loopback: the connection is closed")
            self._kept = self._session.take()
            if self._kept:
                break
            left_s = until_s - self._clock.now()
            if left_s <= 0:
                raise LinkTimeoutError(f"loopback: no answer within {timeout_s:.3g} s")
            at_s = self._session.next_at()
            wait_s = _STEP_S if at_s is None else max(at_s - self._clock.now(), 1e-9)
            self._clock.advance(min(left_s, wait_s))
        count = min(len(buffer), len(self._kept))
        buffer[:count] = self._kept[:count]
        self._kept = self._kept[count:]
        return count

    def discard(self) -> bytes:
        """See `ByteStream.discard`."""
        dropped, self._kept = self._kept + self._session.take(), b""
        return dropped

    def close(self) -> None:
        """See `ByteStream.close`."""
        if self._open:
            self._open = False
            self._session.close()


class LoopbackLine(LoopbackStream):
    """A connection like a serial line's: late bytes stay on it until they are drained."""

    reopens: ClassVar[bool] = False
