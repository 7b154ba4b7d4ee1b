"""The state of the server's ledger: nothing but its rows, applied in their order.

Rows by kind: "created"; "debit" of a block; "settle" of blocks; "testing" before a test of a whole
session is made and "tested" once it passed; "refuse" of a session by such a test; "retire".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from drivers.errors import LedgerError
from protocol.ledger._layer_photons import LayerPhotons
from protocol.ledger._store import Row
from protocol.ledger._tested_sums import TestedPool
from protocol.ledger._weight_values import ThresholdsCommitment, WeightEntry, WeightTotals
from protocol.ledger.light import LightChannel

__all__ = ["WeightState"]


class WeightState:
    """What a ledger of weights holds.

    Attributes:
        layers: photons by index of the optical layer.
        entries: blocks by number of their debit.
        commitments: first debit of every session.
        testing: sessions of which a test was begun and has not said how it ended.
        tested: what the tests of blocks that passed have counted.
        successor: identity of the weights that took these weights' place.

    Args:
        name: of the ledger, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.layers: dict[int, LayerPhotons] = {}
        self.entries: dict[int, WeightEntry] = {}
        self.commitments: dict[str, ThresholdsCommitment] = {}
        self.testing: set[str] = set()
        self.tested = TestedPool()
        self.successor: str | None = None

    def begin(self, rows_per_layer: Mapping[int, int]) -> None:
        """Nothing is spent."""
        self.layers = {layer: LayerPhotons(rows) for layer, rows in rows_per_layer.items()}

    def apply(self, row: Row) -> None:
        """Take a row in, any but the creation.

        Raises:
            LookupError, TypeError, ValueError, LedgerError: it has no form that is known.
        """
        match row.kind:
            case "debit":
                self._debit(_entry(row))
            case "settle":
                for number in row.body["entries"]:
                    self._settle(self.reserved(number), row.body)
            case "testing":
                self.testing.add(row.body["session"])
            case "tested":
                self.testing.remove(row.body["session"])
            case "refuse":
                self._refuse(row.body)
            case "retire":
                self.successor = row.body["successor"]
            case _:
                raise ValueError("unknown kind")

    def reserved(self, entry: int) -> WeightEntry:
        """A block that was debited and not settled.

        Raises:
            LedgerError: there is no such one.
        """
        known = self._known(entry)
        if known.state != "reserved":
            raise LedgerError(
                f"{self._name}: entry {entry} is settled already, as {known.state}; a block "
                "is settled once"
            )
        return known

    def refusable(self, session: str, entry: int) -> WeightEntry:
        """A block of a session that counts as passed, or has not been settled.

        Raises:
            LedgerError: there is no such one.
        """
        known = self._known(entry)
        if known.session != session or known.state == "unverified":
            raise LedgerError(
                f"{self._name}: entry {entry} of session {known.session[:12]} is {known.state}; "
                f"only blocks of session {session[:12]} that passed or are not settled can be "
                "refused with it"
            )
        return known

    def passed(self, session: str) -> list[int]:
        """Blocks of a session that count as passed."""
        return [
            entry.entry
            for entry in self.entries.values()
            if entry.session == session and entry.state == "verified"
        ]

    def totals(self) -> WeightTotals:
        """Sums for reports."""
        entries = self.entries.values()
        states = [entry.state for entry in entries]
        return WeightTotals(
            entries=len(entries),
            reserved=states.count("reserved"),
            verified=states.count("verified"),
            unverified=states.count("unverified"),
            overridden=sum(entry.override for entry in entries),
            most_photons={
                index: float(np.max(layer.verified + layer.unverified))
                for index, layer in self.layers.items()
            },
            most_untold_photons={
                index: float(np.max(layer.untold)) for index, layer in self.layers.items()
            },
        )

    def block_of(self, entry: WeightEntry) -> tuple[LayerPhotons, slice]:
        """Where the photons of a block are counted."""
        return self.layers[entry.layer], slice(entry.first_row, entry.first_row + entry.rows)

    def _known(self, entry: int) -> WeightEntry:
        known = self.entries.get(entry)
        if known is None:
            raise LedgerError(
                f"{self._name}: no debit has the number {entry}; settle what debit returned"
            )
        return known

    def _debit(self, entry: WeightEntry) -> None:
        layer, block = self.block_of(entry)
        layer.reserve(block, entry.photons, entry.channel)
        self.entries[entry.entry] = entry
        fixed = ThresholdsCommitment(entry=entry.entry, thresholds_sha256=entry.thresholds_sha256)
        self.commitments.setdefault(entry.session, fixed)

    def _settle(self, entry: WeightEntry, body: Mapping[str, Any]) -> None:
        passed = body["verified"]
        if passed:
            layer, block = self.block_of(entry)
            layer.verify(block, entry.photons, entry.copies or 0, entry.channel)
            if "tested" in body:
                self.tested.add(entry, body["tested"])
        state: Literal["verified", "unverified"] = "verified" if passed else "unverified"
        self.entries[entry.entry] = replace(entry, state=state)
        self.testing.discard(entry.session)

    def _refuse(self, body: Mapping[str, Any]) -> None:
        for number in body["entries"]:
            entry = self.refusable(body["session"], number)
            if entry.state == "verified":
                layer, block = self.block_of(entry)
                layer.take_back(block, entry.photons, entry.copies or 0, entry.channel)
                self.tested.forget(entry)
            self.entries[number] = replace(entry, state="unverified")
        self.testing.discard(body["session"])


def _entry(row: Row) -> WeightEntry:
    body = dict(row.body)
    told = body.pop("channel", None)
    channel = None if told is None else LightChannel(**told)
    return WeightEntry(entry=row.entry, time=row.time, channel=channel, **body)
