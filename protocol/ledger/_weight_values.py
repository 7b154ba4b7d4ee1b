"""Values of the server's ledger: entries and totals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from protocol.ledger.light import LightChannel

__all__ = ["ThresholdsCommitment", "WeightEntry", "WeightTotals"]


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
        channel: how its light comes back where it passes; None in entries of ledgers of versions
            before 4.
        copies: times that a weight is in this light; None where the debit did not say it.
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
    channel: LightChannel | None = None
    copies: int | None = None


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
        most_untold_photons: per layer, likewise of verified photons in entries of older versions,
            which do not tell how they came back.
    """

    entries: int
    reserved: int
    verified: int
    unverified: int
    overridden: int
    most_photons: Mapping[int, float]
    most_untold_photons: Mapping[int, float]
