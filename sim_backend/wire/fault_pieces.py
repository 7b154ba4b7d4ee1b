"""A stream of bytes in pieces, and where on it a fault strikes.

Nothing waits here: what is late says so by the times of its `Piece`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim_backend.wire.fault_values import WireFault

__all__ = ["FaultState", "Piece"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Bytes of one message, with the times at which they come out.

    Args:
        data: the bytes.
        starts: the message begins with them.
        ends: the message ends with them.
        at_s: none comes before this time.
        bytes_per_s: byte n, counted from 1, comes no earlier than `at_s + n / bytes_per_s`.
        closes: no bytes, but the end of the stream.
        cut: that end was made by a fault.
    """

    data: bytes = b""
    starts: bool = False
    ends: bool = False
    at_s: float = -math.inf
    bytes_per_s: float = math.inf
    closes: bool = False
    cut: bool = False

    def part(self, begin: int, end: int) -> "Piece":
        """Its bytes from `begin` up to `end`; without any, an empty piece."""
        if begin == 0 and end == len(self.data):
            return self
        return replace(
            self,
            data=self.data[begin:end],
            starts=self.starts and begin == 0,
            ends=self.ends and end == len(self.data),
            at_s=self.at_s + begin / self.bytes_per_s,
        )

    def ready(self, now_s: float) -> int:
        """How many of its bytes may come out by this time."""
        whole = len(self.data)
        if now_s < self.at_s or math.isinf(self.bytes_per_s):
            return whole if now_s >= self.at_s else 0
        count = min(whole, int((now_s - self.at_s) * self.bytes_per_s))
        # The times of single bytes decide, to the last bit: whoever waits for `next_at_s` gets one.
        while count < whole and self.at_s + (count + 1) / self.bytes_per_s <= now_s:
            count += 1
        while count and self.at_s + count / self.bytes_per_s > now_s:
            count -= 1
        return count

    @property
    def next_at_s(self) -> float:
        """When its first byte, or the end that it stands for, comes out."""
        return self.at_s if self.closes else self.at_s + 1 / self.bytes_per_s


class FaultState:
    """What one fault has counted in one direction, and where it strikes next.

    Args:
        fault: the fault.
        generator: its random numbers.
        on_strike: called at every strike.
    """

    def __init__(
        self, fault: WireFault, generator: np.random.Generator, on_strike: Callable[[], None]
    ) -> None:
        self.fault = fault
        self.generator = generator
        self.until_s = -math.inf
        """When what it has begun is over (throttle, partition)."""
        self._on_strike = on_strike
        self._next: int | None = fault.first
        self._bytes = 0
        self._messages = 0
        self._offset = 0
        self._strikes = 0

    def split(self, piece: Piece, *, paused: bool = False) -> Iterator[tuple[Piece, bool]]:
        """Cut a piece where the fault strikes: parts, and whether it strikes at their beginning.

        Args:
            piece: the next piece of the stream.
            paused: it cannot strike at present.
        """
        if piece.starts and self._offset:  # the connection ended within the message before
            self._end_message()
        strikes, begin = False, 0
        while (distance := self._distance()) is not None:
            if distance == 0:
                strikes = self._strike(paused) or strikes
                continue
            if begin + distance >= len(piece.data):
                break
            self._advance(distance)
            yield piece.part(begin, begin + distance), strikes
            strikes, begin = False, begin + distance
        self._advance(len(piece.data) - begin)
        yield piece.part(begin, len(piece.data)), strikes
        if piece.ends:
            self._end_message()

    def strikes_here(self) -> bool:
        """Whether it strikes right after what has passed, before anything else comes."""
        return self._distance() == 0 and self._strike(False)

    def _distance(self) -> int | None:
        """Bytes to the next place where it may strike, if that is in this stream or message."""
        if self._next is None:
            return None
        if self.fault.steps_bytes:
            return self._next - self._bytes
        if self._next != self._messages or self._offset > self.fault.offset:
            return None
        return self.fault.offset - self._offset

    def _strike(self, paused: bool) -> bool:
        fault = self.fault
        assert self._next is not None
        self._next = None if fault.step is None else self._next + fault.step
        if paused or (fault.count is not None and self._strikes >= fault.count):
            return False
        if fault.probability < 1 and self.generator.random() >= fault.probability:
            return False
        self._strikes += 1
        self._on_strike()
        return True

    def _advance(self, count: int) -> None:
        self._bytes += count
        self._offset += count

    def _end_message(self) -> None:
        self._messages += 1
        self._offset = 0
        if self.fault.steps_bytes or self._next is None or self._next >= self._messages:
            return
        # The message was too short to be struck at its offset.
        self._next = None if self.fault.step is None else self._next + self.fault.step
