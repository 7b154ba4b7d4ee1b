"""What each kind of fault on a wire does to the bytes that pass.

Each fault is a `Stage` that takes the pieces of a stream and gives pieces; the times of what is
late are kept by `sim_backend.wire.faulty_pipe`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from drivers.instruments import Clock
from sim_backend.wire.fault_pieces import FaultState, Piece
from sim_backend.wire.fault_values import WireFaultKind

__all__ = ["Stage", "stage_of"]


class Stage:
    """One fault at work on one direction of one connection.

    Args:
        state: what it has counted.
        clock: the time.
    """

    def __init__(self, state: FaultState, clock: Clock) -> None:
        self._state = state
        self._fault = state.fault
        self._clock = clock

    def start(self) -> Iterator[Piece]:
        """What comes out before anything went in."""
        return iter(())

    def push(self, piece: Piece) -> Iterator[Piece]:
        """What comes out for a piece that goes in."""
        if piece.closes:
            yield from self.release()
            yield piece
            return
        for part, strikes in self._state.split(piece, paused=self._paused):
            yield from self._act(part, strikes)

    def release(self) -> list[Piece]:
        """Give up what is held back."""
        return []

    @property
    def _paused(self) -> bool:
        return False

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:  # noqa: ARG002
        """What comes out for a part at whose beginning the fault strikes, or does not."""
        yield part


class _Delay(Stage):
    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        if strikes:
            delay_s = self._fault.delay_s or 0.0
            if self._fault.jitter_s is not None:
                delay_s += self._state.generator.uniform(0.0, self._fault.jitter_s)
            part = replace(part, at_s=part.at_s + delay_s)
        yield part


class _Cut(Stage):
    """The end comes right after the last byte that passes, not with the first that does not."""

    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        self._done = False

    def start(self) -> Iterator[Piece]:
        if self._state.strikes_here():
            yield self._end(self._clock.now())

    def push(self, piece: Piece) -> Iterator[Piece]:
        if self._done:
            return
        if piece.closes:
            yield piece
            return
        for part, strikes in self._state.split(piece):
            if strikes:
                yield self._end(part.at_s)
                return
            yield part
            if self._state.strikes_here():
                yield self._end(part.at_s)
                return
        if self._state.strikes_here():
            yield self._end(piece.at_s)

    def _end(self, at_s: float) -> Piece:
        self._done = True
        return Piece(closes=True, cut=True, at_s=at_s)


class _Lasting(Stage, ABC):
    """A fault that goes on for a time from where it strikes."""

    def start(self) -> Iterator[Piece]:
        if self._state.strikes_here():
            self._begin()
        return iter(())

    def push(self, piece: Piece) -> Iterator[Piece]:
        if piece.closes:
            yield self._late(piece) if self._on else piece
        else:
            yield from super().push(piece)

    @property
    def _on(self) -> bool:
        return self._clock.now() < self._state.until_s

    def _begin(self) -> None:
        duration_s = self._fault.duration_s
        self._state.until_s = math.inf if duration_s is None else self._clock.now() + duration_s

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        if strikes:
            self._begin()
        yield self._late(part) if self._on else part

    @abstractmethod
    def _late(self, part: Piece) -> Piece:
        """The part as it comes while the fault lasts."""


class _Throttle(_Lasting):
    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        # When the line has sent all that it has taken.
        self._free_s = -math.inf

    def _late(self, part: Piece) -> Piece:
        rate = min(part.bytes_per_s, self._fault.bytes_per_s or math.inf)
        at_s = max(part.at_s, self._free_s)
        self._free_s = at_s + len(part.data) / rate
        return replace(part, at_s=at_s, bytes_per_s=math.inf if part.closes else rate)


class _Partition(_Lasting):
    def _late(self, part: Piece) -> Piece:
        return replace(part, at_s=max(part.at_s, self._state.until_s))


class _Corrupt(Stage):
    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        self._pattern = b""
        self._held: list[Piece] = []
        self._holds = state.fault.bits is not None and state.fault.at_byte is None

    def release(self) -> list[Piece]:
        held, self._held = self._held, []
        return held

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        if self._holds and (strikes or self._held):
            self._held.append(part)
            if part.ends:
                yield self._flipped(self.release())
            return
        if strikes:
            self._pattern = self._fault.data or self._mask(8, 1)
        if self._pattern:
            part = replace(part, data=_xor(part.data, self._pattern))
            self._pattern = b"" if part.ends else self._pattern[len(part.data) :]
        yield part

    def _flipped(self, held: list[Piece]) -> Piece:
        data = b"".join(part.data for part in held)
        data = _xor(data, self._mask(8 * len(data), len(data)))
        return replace(held[-1], data=data, starts=held[0].starts)

    def _mask(self, places: int, size: int) -> bytes:
        """Ones at random places of so many bits, in `size` bytes."""
        flags = np.zeros(8 * size, dtype=np.uint8)
        count = min(self._fault.bits or 0, places)
        flags[self._state.generator.choice(places, count, replace=False)] = 1
        return np.packbits(flags).tobytes()


class _Duplicate(Stage):
    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        self._copy: list[Piece] = []

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        copies = strikes or bool(self._copy)
        yield part
        if copies:
            self._copy.append(part)
            if part.ends:
                yield from self._copy
                self._copy = []


class _Reorder(Stage):
    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        self._held: list[Piece] = []
        self._complete = False

    def release(self) -> list[Piece]:
        held, self._held, self._complete = self._held, [], False
        return held

    @property
    def _paused(self) -> bool:
        return bool(self._held)

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        if strikes or (self._held and not self._complete):
            self._held.append(part)
            self._complete = part.ends
            return
        yield part
        if part.ends:
            yield from self.release()


class _Garbage(Stage):
    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        if strikes:
            data = self._fault.data or self._state.generator.bytes(self._fault.size or 0)
            yield replace(part, data=data, ends=False)
            part = replace(part, starts=False)
        yield part


class _Drop(Stage):
    """Loses a message from where the fault strikes to its end."""

    def __init__(self, state: FaultState, clock: Clock) -> None:
        super().__init__(state, clock)
        self._drops = False
        self._begun = False

    def _act(self, part: Piece, strikes: bool) -> Iterator[Piece]:
        self._drops = self._drops or strikes
        if not self._drops:
            yield part
        elif part.ends and self._begun:
            yield replace(part, data=b"", starts=False)
        self._begun = not part.ends and (self._begun or not self._drops)
        self._drops = self._drops and not part.ends


_STAGES: dict[WireFaultKind, type[Stage]] = {
    WireFaultKind.DELAY: _Delay,
    WireFaultKind.CUT: _Cut,
    WireFaultKind.THROTTLE: _Throttle,
    WireFaultKind.CORRUPT: _Corrupt,
    WireFaultKind.DUPLICATE: _Duplicate,
    WireFaultKind.REORDER: _Reorder,
    WireFaultKind.PARTITION: _Partition,
    WireFaultKind.GARBAGE: _Garbage,
    WireFaultKind.TRUNCATE: _Drop,
    WireFaultKind.SWALLOW: _Drop,
}


def stage_of(state: FaultState, clock: Clock) -> Stage:
    """The stage that does what a fault says.

    Args:
        state: of the fault.
        clock: the time.
    """
    return _STAGES[state.fault.kind](state, clock)


def _xor(data: bytes, pattern: bytes) -> bytes:
    """The data with the pattern added modulo 2 to its beginning."""
    size = min(len(data), len(pattern))
    head = int.from_bytes(data[:size]) ^ int.from_bytes(pattern[:size])
    return head.to_bytes(size) + data[size:]
