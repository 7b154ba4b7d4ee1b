"""Turns of both ends of a bench on which one data vector takes one burst.

A mesh stands still while light passes, so that a block of several data vectors is several bursts.
Before each the client sets its mesh and arms its digitiser, after each it takes its record away.
Where both ends live in one process they share a `BurstTurns`; it holds no data and no quadratures.
"""

from collections.abc import Callable

from drivers.backend import Block
from drivers.errors import OpticsError

__all__ = ["BurstTurns"]


class BurstTurns:
    """Calls the client's end before and after every burst of the server's."""

    def __init__(self) -> None:
        self._before: Callable[[Block, int], None] | None = None
        self._after: Callable[[Block], None] | None = None

    def join(self, before: Callable[[Block, int], None], after: Callable[[Block], None]) -> None:
        """The client's end takes part.

        Args:
            before: sets the receiver to data vector number `index` of a block.
            after: takes away what was recorded of the last burst.
        """
        self._before, self._after = before, after

    def ready(self, block: Block, index: int) -> None:
        """The server is about to play data vector number `index` of a block.

        Raises:
            OpticsError: there is no client.
        """
        if self._before is None:
            raise OpticsError(f"{block.name}: no client has joined the bench; nothing was played")
        self._before(block, index)

    def played(self, block: Block) -> None:
        """The server has played a burst of a block."""
        if self._after is not None:
            self._after(block)
