"""A scripted other end: the exact bytes that must be sent, and what is answered to them."""

from collections.abc import Sequence
from typing import ClassVar

from drivers.errors import LinkTimeoutError
from drivers.transports.link import Link
from drivers.transports.streams import Buffer

__all__ = ["Babble", "Script", "ScriptedClock", "ScriptedLine"]


class ScriptedClock:
    """Time that moves when somebody sleeps or waits for an answer that does not come."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now(self) -> float:
        return self.time_s

    def sleep(self, duration_s: float) -> None:
        self.time_s += duration_s


class Script:
    """A dialogue: pairs of what is sent and what is answered, in order.

    The bytes sent are compared however they are cut into pieces; the answer comes when all of a
    pair's bytes have been sent. `finish` fails where pairs are left.

    Args:
        pairs: `(sent, answered)`; an empty answer is silence.
        step: bytes that are handed out at a time; 0 for all.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]], *, step: int = 0) -> None:
        self._pairs = list(pairs)
        self._sent = bytearray()
        self._answer = bytearray()
        self._step = step
        self.clock = ScriptedClock()
        self.opened = 0
        self.closed = 0

    def link(self, *, timeout_s: float = 1.0, chatty: bool = False) -> Link:
        """A link with the script at its other end."""
        return Link("script", self._open, clock=self.clock, timeout_s=timeout_s, chatty=chatty)

    def finish(self) -> None:
        """Fail unless every pair was used and every answer read."""
        assert not self._pairs, f"never sent: {self._pairs[0][0]!r} and {len(self._pairs) - 1} more"
        assert not self._answer, f"never read: {bytes(self._answer)!r}"

    def send(self, data: Buffer, timeout_s: float) -> None:
        self._sent += data
        while self._sent:
            assert self._pairs, f"sent, but not in the script: {bytes(self._sent)!r}"
            wanted, answer = self._pairs[0]
            got = bytes(self._sent[: len(wanted)])
            assert wanted.startswith(got), f"sent {bytes(self._sent)!r}, the script has {wanted!r}"
            if len(got) < len(wanted):
                return
            del self._sent[: len(wanted)]
            self._pairs.pop(0)
            self._answer += answer

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        if not self._answer:
            self.clock.sleep(timeout_s)
            raise LinkTimeoutError(f"script: no answer within {timeout_s:.3g} s")
        count = min(len(buffer), len(self._answer), self._step or len(self._answer))
        buffer[:count] = self._answer[:count]
        del self._answer[:count]
        return count

    def discard(self) -> bytes:
        dropped = bytes(self._answer)
        self._answer.clear()
        return dropped

    def close(self) -> None:
        self.closed += 1

    def _open(self, timeout_s: float) -> "Script":
        self.opened += 1
        return self


class ScriptedLine(Script):
    """The same like a serial line: it is drained after a fault, not opened anew."""

    reopens: ClassVar[bool] = False


class Babble(Script):
    """Answers everything with the same bytes.

    Args:
        said: the answer, until another is put in its place.
    """

    def __init__(self, said: bytes = b"") -> None:
        super().__init__([])
        self.said = said

    def send(self, data: Buffer, timeout_s: float) -> None:
        self._answer[:] = self.said
