"""Turns of both ends of a homodyne bench: probes of the phase between bursts of data.

Owns the public order of a block's bursts: where the phase is not known, probes at settings a
quarter turn apart; then, for every data vector, a probe and a burst of data; a probe at the end.
The order and its timing are the same whichever quadratures the server has chosen. Where both ends
live in one process they share a `HomodyneTurns`; it holds no data and no quadratures.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from drivers.backend import Block
from drivers.errors import OpticsError
from drivers.optics.homodyne_lock import SEARCHES

__all__ = ["HomodyneTurns", "Step", "Turn", "turns_of"]


class Step(Enum):
    """What a burst is for."""

    SEARCH = "search"
    PROBE = "probe"
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


def turns_of(block: Block, *, acquire: bool) -> Iterator[Turn]:
    """The bursts of a block in their order.

    Args:
        block: the block.
        acquire: begin with the search for the phase.
    """
    if acquire:
        for index in range(SEARCHES):
            yield Turn(block=block, step=Step.SEARCH, index=index)
    for index in range(block.inputs):
        yield Turn(block=block, step=Step.PROBE)
        yield Turn(block=block, step=Step.DATA, index=index)
    yield Turn(block=block, step=Step.PROBE)


class HomodyneTurns:
    """Calls the client's end before and after every burst of the server's."""

    def __init__(self) -> None:
        self._before: Callable[[Turn], None] | None = None
        self._after: Callable[[Turn], None] | None = None
        self._is_locked: Callable[[], bool] | None = None

    def join(
        self,
        before: Callable[[Turn], None],
        after: Callable[[Turn], None],
        is_locked: Callable[[], bool],
    ) -> None:
        """The client's end takes part.

        Args:
            before: makes the client's instruments wait for the burst.
            after: takes away what was recorded of it.
            is_locked: whether the client knows the phase of the light.
        """
        self._before, self._after, self._is_locked = before, after, is_locked

    def client_is_locked(self) -> bool:
        """Whether the client knows the phase of the light."""
        return self._is_locked is not None and self._is_locked()

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
