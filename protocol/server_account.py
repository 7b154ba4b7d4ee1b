"""The server's ledger in one session: blocks are debited, settled, and refused with the session.

A block that passed its own tests is settled at once, so that the next one finds room in the budget.
Tests of the whole session look at it again with every block that follows. One that fails speaks
against all blocks since its last clean point: the block after which Page's sum was last at 0, for
all other tests the session's begin. Those are then charged like the block that failed, as if all
their light was kept. The ledger knows of every such test before it is made; a server that is killed
before it has written how the test ended finds its session refused.
"""

from collections.abc import Mapping

from drivers.backend import Block
from drivers.errors import ProtocolError
from protocol.budget import Charge
from protocol.ledger import BlockTests, WeightLedger
from protocol.server_records import BlockRecord

__all__ = ["SessionAccount"]


class SessionAccount:
    """What one session owes.

    Args:
        ledger: of the model.
        session: its name.
        charges: bits per weight of photons, by layer.
    """

    def __init__(self, ledger: WeightLedger, session: str, charges: Mapping[int, Charge]) -> None:
        self._ledger, self._session, self._charges = ledger, session, charges
        self._open: dict[tuple[int, int, int], int] = {}
        self._passed: list[tuple[int, int]] = []

    def debit(
        self, block: Block, ledger_rows: tuple[int, int], photons: float, thresholds: str | None
    ) -> int:
        """Charge all tiles of a block's rows before the first of them is sent.

        Args:
            block: about to be sent.
            ledger_rows: first row and number of rows that are charged.
            photons: per weight and copy; every data vector of the block is a copy.
            thresholds: fingerprint of what the session has fixed; goes into its first debit.

        Returns:
            Number of the entry.

        Raises:
            BudgetError: it would be too much.
            ProtocolError: a tile comes before the first.
        """
        key = _key(block)
        if block.tile == 0:
            first = self._ledger.commitment(self._session) is None
            self._open[key] = self._ledger.debit(
                self._session,
                block.layer,
                *ledger_rows,
                photons * block.inputs,
                self._charges[block.layer],
                copies=block.inputs,
                thresholds_sha256=thresholds if first else None,
            )
        if key not in self._open:
            raise ProtocolError(f"{block.name}: its first tile was not sent")
        return self._open[key]

    def begin_test(self) -> None:
        """A test of the whole session is about to be made."""
        self._ledger.begin_test(self._session)

    def end_test(self, refused: bool) -> None:
        """How a test ended that was made without a new block."""
        if refused:
            self._ledger.refuse(self._session)
        else:
            self._ledger.end_test(self._session)

    def settle(
        self,
        found: BlockRecord,
        entry: int,
        *,
        number: int,
        clean: int,
        last_tile: bool,
        tested: BlockTests | None,
    ) -> None:
        """Write down how a block and, where it passed by itself, the session's tests ended.

        Args:
            found: the block.
            entry: of its debit.
            number: of the session's blocks so far, this one included.
            clean: blocks that tests which failed do not speak against, from the first on.
            last_tile: whether all tiles of the rows are back.
            tested: what the tests of all its tiles counted; None for nothing to keep.
        """
        if found.session_failed:
            self._ledger.refuse(self._session, [*self._since(clean), entry])
        elif last_tile or not found.accepted:
            self._ledger.settle(entry, found.verified, tested)
            if found.verified:
                self._passed.append((number, entry))
        elif found.verified:
            self._ledger.end_test(self._session)
        if last_tile or not found.accepted:
            self._open.pop(_key(found.block), None)

    def recharge(self, clean: int) -> None:
        """Something that is no test of the session speaks against its last blocks.

        Args:
            clean: as in `settle`.
        """
        against = self._since(clean)
        if against:
            self._ledger.refuse(self._session, against)

    def _since(self, clean: int) -> list[int]:
        return [entry for number, entry in self._passed if number > clean]


def _key(block: Block) -> tuple[int, int, int]:
    return block.layer, block.first_row, block.first_input
