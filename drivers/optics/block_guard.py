"""What happens when a block goes wrong: it is lost, all converters are disarmed, the bench is safe.

Owns the order of those steps, so that both ends of a bench and every kind of failure share it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drivers.backend import Block
from drivers.block_order import BlockOrder
from drivers.errors import SafetyError, VeilightError

__all__ = ["BlockGuard"]

_LOG = logging.getLogger("veilight.optics")


class BlockGuard:
    """Guards what is done with the instruments for a block.

    Args:
        order: of blocks; a block that failed is lost in it.
        on_failure: brings the bench to its safe state; is told why.
    """

    def __init__(self, order: BlockOrder, on_failure: Callable[[str], None] | None = None) -> None:
        self._order = order
        self._on_failure = on_failure
        self._disarm: list[Callable[[], None]] = []

    def on_disarm(self, disarm: Callable[[], None]) -> None:
        """Add what an end has to do so that none of its instruments waits for a trigger."""
        self._disarm.append(disarm)

    @contextmanager
    def guarding(self, block: Block) -> Iterator[None]:
        """Whatever is raised inside: the block is lost, and the bench is disarmed and made safe.

        Raises:
            SafetyError: the bench did not reach its safe state, which matters more than the error
                that it comes from.
        """
        try:
            yield
        except BaseException as error:
            self._order.lost(block)
            _LOG.info("%s is lost: %s", block.name, error)
            # Before the safe state, which drops what digitisers hold: the light of earlier blocks.
            for disarm in self._disarm:
                try:
                    disarm()
                except VeilightError as failure:
                    error.add_note(f"While disarming: {failure}")
            self._make_safe(block, error)
            raise

    def _make_safe(self, block: Block, error: BaseException) -> None:
        if self._on_failure is None:
            return
        reason = str(error) or type(error).__name__
        try:
            self._on_failure(f"{block.name}: {reason}")
        except SafetyError as failure:
            raise failure from error
        except VeilightError as failure:
            error.add_note(f"While making the bench safe: {failure}")
