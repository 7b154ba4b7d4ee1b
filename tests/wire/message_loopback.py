"""A twin in the same process behind a bus that marks the ends of messages, such as GPIB or USB-TMC.

An answer that is not fetched before the next message is lost, as IEEE 488.2 wants it.
"""

from typing import ClassVar

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import Buffer
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.message_exchange import MessageExchange
from sim_backend.wire.session import Twin

__all__ = ["MessageLoopback"]

_STEP_S = 1e-2


class MessageLoopback:
    """A connection to a twin; see `drivers.transports.streams.ByteStream`.

    Attributes:
        interrupted: models of the twins that were asked anew before their answer was fetched.

    Args:
        twin: who is at the other end.
        clock: simulated time.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = True
    interrupted: ClassVar[list[str]] = []

    def __init__(self, twin: Twin, clock: SimulatedClock) -> None:
        note = self.interrupted.append
        self._exchange = MessageExchange(twin.session(), lambda _: note(twin.model))
        self._clock = clock
        self._open = True

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`."""
        del timeout_s
        if not self._open:
            raise LinkError("loopback: the connection is closed")
        self._clock.advance(1e-4)
        self._exchange.write(bytes(data), end=True)

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`; waiting moves simulated time."""
        until_s = self._clock.now() + timeout_s
        while not (response := self._exchange.response()):
            left_s = until_s - self._clock.now()
            if left_s <= 0:
                raise LinkTimeoutError(f"loopback: no answer within {timeout_s:.3g} s")
            at_s = self._exchange.next_at()
            wait_s = _STEP_S if at_s is None else max(at_s - self._clock.now(), 1e-9)
            self._clock.advance(min(left_s, wait_s))
        count = min(len(buffer), len(response))
        buffer[:count] = response[:count]
        self._exchange.took(count)
        return count

    def discard(self) -> bytes:
        """See `ByteStream.discard`."""
        return b""

    def close(self) -> None:
        """See `ByteStream.close`: device clear, then the session."""
        if self._open:
            self._open = False
            self._exchange.clear()
            self._exchange.close()
