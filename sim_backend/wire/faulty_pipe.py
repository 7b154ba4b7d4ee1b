"""A fault plan on one link, as a pure pipe of bytes.

`ActiveFaults` is what is wrong with a link over all its connections, `FaultyPipe` one direction of
one connection. Nothing here waits: a pipe says when its next bytes are due.
"""

import math
from collections import deque
from dataclasses import replace

import numpy as np

from drivers.errors import ConfigurationError
from drivers.instruments import Clock
from sim_backend.wire.fault_pieces import FaultState, Piece
from sim_backend.wire.fault_stages import Stage, stage_of
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultPlan

__all__ = ["ActiveFaults", "FaultyPipe"]

_WAYS = (WireDirection.TO_INSTRUMENT, WireDirection.TO_CLIENT)


class ActiveFaults:
    """The faults of one link, over all its connections; they can change while it works.

    Not thread-safe: whoever shares it between threads locks it together with its pipes.

    Args:
        plan: the faults at the beginning.
        address: address or role of the link; faults for another are left out.
    """

    def __init__(self, plan: WireFaultPlan, address: str = "") -> None:
        self.plan = plan
        self.address = address
        self._in_force = list(enumerate(plan.faults))
        self._strikes = [0] * len(plan.faults)
        self._cleared = 0
        self._states: dict[tuple[int, WireDirection], FaultState] = {}

    @property
    def strikes(self) -> tuple[int, ...]:
        """How often each fault has struck: those of the plan, then the injected ones."""
        return tuple(self._strikes)

    @property
    def cleared(self) -> int:
        """How often everything was mended."""
        return self._cleared

    def inject(self, fault: WireFault) -> int:
        """Add a fault, behind the others; it counts from here on.

        Args:
            fault: the fault.

        Returns:
            Its place in `strikes`, which also chooses its random numbers.
        """
        index = len(self._strikes)
        self._strikes.append(0)
        self._in_force.append((index, fault))
        return index

    def clear(self) -> None:
        """Mend everything; what is held back or late comes out now."""
        self._in_force.clear()
        self._states.clear()
        self._cleared += 1

    def states(self, direction: WireDirection, first: int) -> list[FaultState]:
        """The counts of the faults that act on one direction, for a connection.

        Args:
            direction: one of the two ways.
            first: leave out the faults with a smaller index.
        """
        return [
            self._state(index, fault, direction)
            for index, fault in self._in_force
            if index >= first and fault.acts(direction, self.address)
        ]

    def _state(self, index: int, fault: WireFault, direction: WireDirection) -> FaultState:
        key = (index, direction)
        if not fault.per_connection and key in self._states:
            return self._states[key]
        generator = np.random.default_rng([self.plan.seed, index, _WAYS.index(direction)])
        state = FaultState(fault, generator, lambda: self._count(index))
        if not fault.per_connection:
            self._states[key] = state
        return state

    def _count(self, index: int) -> None:
        self._strikes[index] += 1


class FaultyPipe:
    """One direction of one connection, with its faults: bytes in, bytes out when they are due.

    Without faults it is the identity. The same pushes at the same times give the same bytes.

    Args:
        faults: a plan of its own, or the faults of a link that it shares.
        direction: one of the two ways.
        clock: the time.

    Raises:
        ConfigurationError: the direction is both.
    """

    def __init__(
        self, faults: WireFaultPlan | ActiveFaults, direction: WireDirection, clock: Clock
    ) -> None:
        if direction not in _WAYS:
            raise ConfigurationError("a pipe has one direction: to the instrument or to the client")
        self._active = faults if isinstance(faults, ActiveFaults) else ActiveFaults(faults)
        self._direction = direction
        self._clock = clock
        self._stages: list[Stage] = []
        self._seen = 0
        self._cleared = self._active.cleared
        self._queue: deque[Piece] = deque()
        self._waiting = 0
        self._ending = False
        self._closed = False
        self._was_cut = False
        self._tail = b""
        self._fresh = True
        self._renew()

    @property
    def closed(self) -> bool:
        """Whether nothing will ever come out any more."""
        self._renew()
        self._end_if_due()
        return self._closed

    @property
    def was_cut(self) -> bool:
        """Whether it is closed because a fault cut it."""
        return self.closed and self._was_cut

    @property
    def waiting(self) -> int:
        """How many bytes are in it that have not come out."""
        return self._waiting

    def push(self, data: bytes) -> None:
        """Bytes go in; after the end they are lost.

        Args:
            data: what was read at once.
        """
        self._renew()
        now_s = self._clock.now()
        for piece in self._messages(data):
            self._pass(replace(piece, at_s=now_s), 0)

    def finish(self) -> None:
        """Nothing more goes in; the end follows the last byte."""
        self._renew()
        self._pass(Piece(closes=True, at_s=self._clock.now()), 0)

    def pull(self) -> bytes:
        """What may come out now."""
        self._renew()
        now_s = self._clock.now()
        out: list[bytes] = []
        while self._queue and not self._queue[0].closes:
            head = self._queue[0]
            count = head.ready(now_s)
            if count < len(head.data):
                if count:
                    out.append(head.data[:count])
                    self._queue[0] = head.part(count, len(head.data))
                break
            out.append(self._queue.popleft().data)
        data = out[0] if len(out) == 1 else b"".join(out)
        self._waiting -= len(data)
        self._end_if_due()
        return data

    def next_at(self) -> float | None:
        """When something comes out next, the end included, in s; None where nothing will."""
        self._renew()
        if not self._queue or math.isinf(self._queue[0].next_at_s):
            return None
        return self._queue[0].next_at_s

    def _messages(self, data: bytes) -> list[Piece]:
        """The bytes, cut after each end of a message."""
        end = self._active.plan.message_end
        if not end:
            return [Piece(data=data, starts=True, ends=True)] if data else []
        pieces = []
        # An end may be spread over several pushes: the bytes before these are looked at again.
        joined = self._tail + data
        begin, search = len(self._tail), 0
        while (found := joined.find(end, search)) >= 0:
            stop = found + len(end)
            pieces.append(Piece(data=joined[begin:stop], starts=self._fresh, ends=True))
            self._fresh = True
            begin = search = stop
        if begin < len(joined):
            pieces.append(Piece(data=joined[begin:], starts=self._fresh))
            self._fresh = False
        self._tail = joined[max(search, len(joined) - len(end) + 1) :]
        return pieces

    def _renew(self) -> None:
        """Follow what was injected or cleared since."""
        if self._cleared != self._active.cleared:
            self._cleared = self._active.cleared
            self._mend()
        for state in self._active.states(self._direction, self._seen):
            stage = stage_of(state, self._clock)
            self._stages.append(stage)
            for piece in stage.start():
                self._pass(piece, len(self._stages))
        self._seen = len(self._active.strikes)

    def _mend(self) -> None:
        # What a later fault holds back had come to it first.
        held = [piece for stage in reversed(self._stages) for piece in stage.release()]
        self._stages.clear()
        late = [replace(p, at_s=-math.inf, bytes_per_s=math.inf) for p in (*self._queue, *held)]
        self._queue.clear()
        self._waiting = 0
        self._ending = False
        for piece in late:
            self._pass(piece, 0)

    def _pass(self, piece: Piece, first: int) -> None:
        """Send a piece through the stages from one on, and into the queue."""
        if first < len(self._stages):
            for out in self._stages[first].push(piece):
                self._pass(out, first + 1)
        elif not self._ending and (piece.data or piece.closes):
            self._ending = piece.closes
            self._was_cut = piece.cut
            self._queue.append(piece)
            self._waiting += len(piece.data)

    def _end_if_due(self) -> None:
        if self._queue and self._queue[0].closes and self._queue[0].at_s <= self._clock.now():
            self._queue.clear()
            self._closed = True
