"""Turns of both ends of a homodyne bench: probes of the phase between bursts of data.

Owns the public order of a block's bursts: the search for the phase, with probes at settings a
quarter turn apart; then, for every data vector, a probe and a burst of data; a probe at the end,
and one in X, which confirms that the light is still there (in P the pilots vanish). Nothing is
assumed of the phase from one block to the next, between which any time may pass. The order and its
timing are the same whichever quadratures the server has chosen. Where both ends live in one process
they share a `HomodyneTurns`; it holds no data and no quadratures.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from drivers.backend import Block
from drivers.errors import OpticsError
from drivers.optics.homodyne_lock import SEARCHES, PhaseLock
from drivers.optics.homodyne_receiver import Pilots

__all__ = ["HomodyneTurns", "Step", "Turn", "set_probe", "take_probe", "turns_of"]


class Step(Enum):
    """What a burst is for."""

    SEARCH = "search"
    PROBE = "probe"
    CONFIRM = "confirm"
    DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One burst.

    Args:
        block: that it belongs to.
        step: what it is for.
        index: of the data vector within the block, or of the setting in a search.
    """

    block: Block
    step: Step
    index: int = 0


def turns_of(block: Block) -> Iterator[Turn]:
    """The bursts of a block in their order.

    Args:
        block: the block.
    """
    for index in range(SEARCHES):
        yield Turn(block=block, step=Step.SEARCH, index=index)
    for index in range(block.inputs):
        yield Turn(block=block, step=Step.PROBE)
        yield Turn(block=block, step=Step.DATA, index=index)
    yield Turn(block=block, step=Step.PROBE)
    yield Turn(block=block, step=Step.CONFIRM)


def set_probe(lock: PhaseLock, turn: Turn) -> None:
    """Set the phase of either end for a burst without data.

    Args:
        lock: of that end.
        turn: the burst.
    """
    if turn.step is Step.SEARCH:
        lock.search(turn.index)
    else:
        lock.hold(on_p=turn.step is Step.PROBE)


def take_probe(lock: PhaseLock, turn: Turn, found: Pilots) -> None:
    """Hand the pilots of a burst without data to the lock.

    Args:
        lock: of the end that recorded it.
        turn: the burst.
        found: its pilots.

    Raises:
        PhaseError: the phase is not known or moved too far.
        TraceError: the pilots are not as calibrated.
    """
    if turn.step is Step.SEARCH:
        lock.take(turn.index, found.mean_v, found.uncertainty_v)
    elif turn.step is Step.PROBE:
        lock.track(found.mean_v, found.uncertainty_v)
    else:
        lock.check(found.mean_v, found.uncertainty_v, on_p=False)


class HomodyneTurns:
    """Calls the client's end before and after every burst of the server's."""

    def __init__(self) -> None:
        self._before: Callable[[Turn], None] | None = None
        self._after: Callable[[Turn], None] | None = None

    def join(self, before: Callable[[Turn], None], after: Callable[[Turn], None]) -> None:
        """The client's end takes part.

        Args:
            before: makes the client's instruments wait for the burst.
            after: takes away what was recorded of it.
        """
        self._before, self._after = before, after

    def ready(self, turn: Turn) -> None:
        """The server is about to play a burst.

        Raises:
            OpticsError: there is no client.
        """
        if self._before is None:
            raise OpticsError(
                f"{turn.block.name}: no client has joined the bench; nothing was played"
            )
        self._before(turn)

    def played(self, turn: Turn) -> None:
        """The server has played a burst."""
        if self._after is not None:
            self._after(turn)
