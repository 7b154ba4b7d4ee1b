"""The server's ledger: photons that each weight row has been sent with.

K transmissions of the same weights at mu photons per symbol tell a client as much as one at K mu,
so what a row has spent is one number of photons, or two: those whose return passed the server's
tests, and those whose return did not, has not yet, or never came back. What they leak in bits is
the caller's function; this module only adds photons and never takes any away.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from drivers.errors import BudgetError, ConfigurationError, LedgerError
from protocol.ledger import _arguments
from protocol.ledger._base import Ledger
from protocol.ledger._database import VERSION, Clock
from protocol.ledger._store import Row, Store
from protocol.ledger._weight_budget import BitsPerWeight, Photons, worst_bits_after
from protocol.ledger._weight_values import (
    LayerPhotons,
    ThresholdsCommitment,
    WeightEntry,
    WeightTotals,
)

__all__ = [
    "BitsPerWeight",
    "ThresholdsCommitment",
    "WeightEntry",
    "WeightLedger",
    "WeightTotals",
]

_PURPOSE = "weights"


class WeightLedger(Ledger):
    """The server's ledger of one model; `create` once, `open` from then on.

    A context manager. Safe to use from several threads, not from several processes.
    """

    def __init__(self, path: Path | str | None, model_digest: str, *, unlimited: bool) -> None:
        super().__init__(path, unlimited=unlimited)
        self._model_digest = model_digest
        self._layers: dict[int, LayerPhotons] = {}
        self._entries: dict[int, WeightEntry] = {}
        self._commitments: dict[str, ThresholdsCommitment] = {}
        self._successor: str | None = None

    @classmethod
    def create(
        cls,
        path: Path | str | None,
        model_digest: str,
        rows_per_layer: Mapping[int, int],
        budget_bits_per_weight: float | None,
        note: str = "",
        *,
        clock: Clock = time.time,
    ) -> Self:
        """Make a ledger in which nothing is spent, and open it.

        Args:
            path: new file; None keeps the ledger in memory, for simulations.
            model_digest: identity of the weights.
            rows_per_layer: number of weight rows by index of the optical layer.
            budget_bits_per_weight: most that any weight may leak, above 0; None for no limit,
                which the ledger records.
            note: free text, for instance which client it is for.
            clock: seconds since 1970, for time labels only.

        Raises:
            ConfigurationError: an argument is out of range.
            LedgerError: the file exists already or cannot be written.
        """
        layers = [
            [_arguments.whole("index of a layer", layer, 0), _arguments.whole("rows", rows, 1)]
            for layer, rows in rows_per_layer.items()
        ]
        if not layers:
            raise ConfigurationError("ledger: the model has no optical layer; nothing to account")
        body = {
            "purpose": _PURPOSE,
            "version": VERSION,
            "model_digest": _arguments.text("digest of the model", model_digest),
            "layers": layers,
            "budget_bits_per_weight": _arguments.budget(
                "budget per weight", budget_bits_per_weight
            ),
            "note": note,
        }
        ledger = cls(path, model_digest, unlimited=False)
        ledger._store = Store.create(path, body, ledger._apply, clock)
        return ledger

    @classmethod
    def open(
        cls,
        path: Path | str,
        model_digest: str,
        *,
        unlimited: bool = False,
        clock: Clock = time.time,
    ) -> Self:
        """Open a ledger and check all of it.

        Args:
            path: file of the ledger.
            model_digest: identity of the weights that are to be sent.
            unlimited: switch the budget off, for evaluations in simulation; every entry made so
                says it for ever.
            clock: seconds since 1970, for time labels only.

        Raises:
            LedgerError: missing, of another model, in use, damaged, rolled back, of an unknown
                version, or not writable.
        """
        ledger = cls(path, model_digest, unlimited=unlimited)
        hint = "create it with WeightLedger.create"
        ledger._store = Store.open(path, hint, ledger._apply, clock)
        return ledger

    @property
    def model_digest(self) -> str:
        """Identity of the weights."""
        return self._model_digest

    @property
    def budget_bits_per_weight(self) -> float | None:
        """Most that any weight may leak; None for no limit."""
        return self._budget

    @property
    def successor(self) -> str | None:
        """Identity of the weights that took these weights' place; None while they may be sent."""
        return self._successor

    @property
    def rows_per_layer(self) -> dict[int, int]:
        """Number of weight rows by index of the optical layer."""
        return {index: len(layer.verified) for index, layer in self._layers.items()}

    def debit(
        self,
        session: str,
        layer: int,
        first_row: int,
        rows: int,
        photons: float,
        bits: BitsPerWeight,
        *,
        thresholds_sha256: str | None = None,
    ) -> int:
        """Charge a block of rows before its light is sent; durable when this returns.

        Args:
            session: who charges.
            layer: index of the optical layer.
            first_row: first row of the block.
            rows: number of rows, >= 1.
            photons: photons per symbol times the number of copies in this block, >= 0.
            bits: what photons leak; not called when nothing limits the ledger.
            thresholds_sha256: fingerprint of the session's thresholds; with its first debit alone,
                so that they stand in the hash chain before any of its light.

        Returns:
            The number of the entry, for `settle`.

        Raises:
            BudgetError: a weight would leak more than the budget, or the ledger is retired; nothing
                was charged.
            ConfigurationError: an argument is out of range or NaN.
            LedgerError: no such rows, `bits` answers with NaN, the session has been debited before
                it gave its thresholds, or the entry cannot be written.
        """
        session = _arguments.text("name of the session", session)
        amount = _arguments.non_negative("photons per weight", photons, "photons")
        fixed: dict[str, object] = {}
        if thresholds_sha256 is not None:
            fixed["thresholds_sha256"] = _arguments.text(
                "fingerprint of the thresholds", thresholds_sha256
            )
        with self._in_use():
            if self._successor is not None:
                raise BudgetError(
                    f"{self._name}: it is retired, the weights were replaced by those of the model "
                    f"{self._successor[:12]}; send these, with their own ledger"
                )
            if fixed and session in self._commitments:
                raise LedgerError(
                    f"{self._name}: session {session[:12]} has been debited before: its thresholds "
                    "are fixed with its first debit or never; begin a new session"
                )
            layer = _arguments.whole("index of the layer", layer, 0)
            block = self._block(layer, first_row, rows)
            body = {
                "session": session,
                "layer": layer,
                "first_row": block.start,
                "rows": block.stop - block.start,
                "photons": amount,
                "bits_per_weight": self._worst_bits(layer, block, amount, bits),
                "override": self._unlimited,
                **fixed,
            }
            return self._store.append("debit", body)

    def retire(self, successor_digest: str) -> None:
        """Send these weights never again, with any budget; durable when this returns.

        Args:
            successor_digest: identity of the weights that take their place.

        Raises:
            ConfigurationError: no text, or the ledger's own model.
            LedgerError: retired already, or it cannot be written.
        """
        successor = _arguments.text("digest of the successor", successor_digest)
        if successor == self._model_digest:
            raise ConfigurationError(
                f"{self._name}: a model cannot take its own place; give the digest of the new one"
            )
        with self._in_use():
            if self._successor is not None:
                raise LedgerError(
                    f"{self._name}: it is retired already, in favour of {self._successor[:12]}"
                )
            self._store.append("retire", {"successor": successor})

    def settle(self, entry: int, verified: bool) -> None:
        """Say how the return of a block was; durable when this returns.

        Args:
            entry: what `debit` returned.
            verified: it passed, its photons become verified ones; otherwise they stay as they are.

        Raises:
            ConfigurationError: `verified` is not a truth value.
            LedgerError: no such entry, settled already, or it cannot be written.
        """
        self.settle_many([entry], verified)

    def settle_many(self, entries: Iterable[int], verified: bool) -> None:
        """Settle several blocks alike in one commit: all of them or, on an error, none.

        Args:
            entries: what `debit` returned for each; none at all changes nothing.
            verified: as in `settle`.

        Raises:
            ConfigurationError: `verified` is not a truth value.
            LedgerError: one of them is unknown, settled already or named twice, or it cannot be
                written.
        """
        if not isinstance(verified, bool | np.bool_):
            raise ConfigurationError(f"ledger: verified is {verified!r}; it must be True or False")
        numbers = [_arguments.whole("number of an entry", entry, 0) for entry in entries]
        with self._in_use():
            if len(set(numbers)) != len(numbers):
                raise LedgerError(f"{self._name}: an entry is named twice; a block is settled once")
            for number in numbers:
                self._unsettled(number)
            if numbers:
                self._store.append("settle", {"entries": numbers, "verified": bool(verified)})

    def commitment(self, session: str) -> ThresholdsCommitment | None:
        """What a session fixed with its first debit; None if it was never debited.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return self._commitments.get(session)

    def verified_photons(self, layer: int) -> Photons:
        """Photons per weight whose return passed, `(rows,)`.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            return self._layer(layer).verified.copy()

    def unverified_photons(self, layer: int) -> Photons:
        """Photons per weight whose return did not pass, or not yet, `(rows,)`.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            return self._layer(layer).unverified.copy()

    def entries(self) -> Iterator[WeightEntry]:
        """All blocks charged so far, oldest first, each in its present state.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return iter(list(self._entries.values()))

    def totals(self) -> WeightTotals:
        """Sums for reports.

        Raises:
            LedgerError: the ledger must not be used.
        """
        entries = list(self.entries())
        states = [entry.state for entry in entries]
        with self._store.guard:
            most = {
                index: float(np.max(layer.verified + layer.unverified))
                for index, layer in self._layers.items()
            }
        return WeightTotals(
            entries=len(entries),
            reserved=states.count("reserved"),
            verified=states.count("verified"),
            unverified=states.count("unverified"),
            overridden=sum(entry.override for entry in entries),
            most_photons=most,
        )

    def _apply(self, row: Row) -> None:
        match row.kind:
            case "created":
                self._apply_creation(row.body)
            case "debit":
                entry = WeightEntry(entry=row.entry, time=row.time, **row.body)
                layer, block = self._entry_block(entry)
                layer.reserve(block, entry.photons)
                self._entries[row.entry] = entry
                self._commitments.setdefault(
                    entry.session,
                    ThresholdsCommitment(
                        entry=row.entry, thresholds_sha256=entry.thresholds_sha256
                    ),
                )
            case "settle":
                for number in row.body["entries"]:
                    self._apply_settlement(self._unsettled(number), row.body["verified"])
            case "retire":
                self._successor = row.body["successor"]
            case _:
                raise ValueError("unknown kind")

    def _apply_settlement(self, entry: WeightEntry, passed: bool) -> None:
        if passed:
            layer, block = self._entry_block(entry)
            layer.verify(block, entry.photons)
        state: Literal["verified", "unverified"] = "verified" if passed else "unverified"
        self._entries[entry.entry] = replace(entry, state=state)

    def _apply_creation(self, body: Mapping[str, Any]) -> None:
        self._check_purpose(body, _PURPOSE)
        if body["model_digest"] != self._model_digest:
            raise LedgerError(
                f"{self._name}: it is of the model {body['model_digest']}, the weights to be sent "
                f"are {self._model_digest}; give the ledger of these weights, or create one for "
                "them if they were never sent"
            )
        self._layers = {layer: LayerPhotons(rows) for layer, rows in body["layers"]}
        self._budget = body["budget_bits_per_weight"]
        self._note = body["note"]

    def _layer(self, layer: int) -> LayerPhotons:
        try:
            return self._layers[layer]
        except KeyError:
            raise LedgerError(
                f"{self._name}: no layer {layer}; the ledger has {sorted(self._layers)}"
            ) from None

    def _block(self, layer: int, first_row: int, rows: int) -> slice:
        start = _arguments.whole("first row", first_row, 0)
        stop = start + _arguments.whole("number of rows", rows, 1)
        available = len(self._layer(layer).verified)
        if stop > available:
            raise LedgerError(
                f"{self._name}: layer {layer}: rows {start} to {stop - 1} were asked for, "
                f"the ledger has rows 0 to {available - 1}; nothing is charged for light that it "
                "does not know"
            )
        return slice(start, stop)

    def _entry_block(self, entry: WeightEntry) -> tuple[LayerPhotons, slice]:
        return self._layers[entry.layer], slice(entry.first_row, entry.first_row + entry.rows)

    def _unsettled(self, entry: int) -> WeightEntry:
        known = self._entries.get(entry)
        if known is None:
            raise LedgerError(
                f"{self._name}: no debit has the number {entry}; settle what debit returned"
            )
        if known.state != "reserved":
            raise LedgerError(
                f"{self._name}: entry {entry} is settled already, as {known.state}; a block "
                "is settled once"
            )
        return known

    def _worst_bits(
        self, layer: int, block: slice, photons: float, bits: BitsPerWeight
    ) -> float | None:
        if self._budget is None or self._unlimited:
            return None
        state = self._layer(layer)
        return worst_bits_after(
            f"{self._name}: layer {layer}",
            block.start,
            state.verified[block],
            state.unverified[block],
            photons,
            self._budget,
            bits,
        )
