"""Values of the server's ledger: entries, totals, and the photons of a layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LayerPhotons", "ThresholdsCommitment", "WeightEntry", "WeightTotals"]


@dataclass(frozen=True, kw_only=True)
class WeightEntry:
    """One block of rows that was charged.

    Args:
        entry: its number in the ledger.
        time: UTC label, never used to decide anything.
        session: who charged it.
        layer: index of the optical layer.
        first_row: first row of the block.
        rows: number of rows.
        photons: photons per weight, all copies together.
        bits_per_weight: of the worst row right after it, photons not settled counted as
            unverified; None if nothing limited it.
        override: charged while the budget was switched off for an evaluation.
        state: "reserved" until settled; after a crash for ever, and spent all the same.
            "verified" may become "unverified" when a test of the whole session fails later.
        thresholds_sha256: fingerprint of the session's thresholds, in its first debit alone; None
            in all others, and in entries of ledgers of version 1.
    """

    entry: int
    time: str
    session: str
    layer: int
    first_row: int
    rows: int
    photons: float
    bits_per_weight: float | None
    override: bool
    state: Literal["reserved", "verified", "unverified"] = "reserved"
    thresholds_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class ThresholdsCommitment:
    """Where a session's thresholds were written down before its light.

    Args:
        entry: number of the session's first debit.
        thresholds_sha256: their fingerprint; None where the session gave none.
    """

    entry: int
    thresholds_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class WeightTotals:
    """What a ledger holds, for reports.

    Args:
        entries: blocks charged, in whatever state.
        reserved: of these, not settled.
        verified: of these, with a return that passed.
        unverified: of these, with a return that failed or got lost, or that passed in a session
            which a later test refused.
        overridden: of these, charged with the budget switched off.
        most_photons: per layer, photons of the row that has spent most.
    """

    entries: int
    reserved: int
    verified: int
    unverified: int
    overridden: int
    most_photons: Mapping[int, float]


class LayerPhotons:
    """Photons per weight of one layer, arrays `(rows,)`; they move from one to the other."""

    def __init__(self, rows: int) -> None:
        self.verified = np.zeros(rows)
        self.unverified = np.zeros(rows)
        # Photons subtracted again may leave 1e-17; a row that owes nothing is exactly zero.
        self.open_blocks = np.zeros(rows, dtype=np.int64)
        self.passed_blocks = np.zeros(rows, dtype=np.int64)

    def reserve(self, block: slice, photons: float) -> None:
        """Add unverified photons."""
        self.unverified[block] += photons
        self.open_blocks[block] += 1

    def verify(self, block: slice, photons: float) -> None:
        """Move photons that were reserved for exactly this block to the verified ones."""
        self.verified[block] += photons
        self.passed_blocks[block] += 1
        self.open_blocks[block] -= 1
        self.unverified[block] = _less(self.unverified[block], photons, self.open_blocks[block])

    def take_back(self, block: slice, photons: float) -> None:
        """Move verified photons of exactly this block back to the unverified ones."""
        self.reserve(block, photons)
        self.passed_blocks[block] -= 1
        self.verified[block] = _less(self.verified[block], photons, self.passed_blocks[block])


def _less(
    held: NDArray[np.float64], photons: float, blocks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What is left of sums over blocks; exactly 0 where no block is."""
    return np.where(blocks > 0, np.maximum(held - photons, 0.0), 0.0)
