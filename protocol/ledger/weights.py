"""The server's ledger: photons that each weight row has been sent with.

K transmissions of the same weights at mu photons per symbol tell a client as much as one at K mu,
so what a row has spent is one number of photons, or two: those whose return passed the server's
tests, and those whose return did not, has not yet, or never came back. Each debit says how its
light comes back, and light that passed stays charged at that, whatever later sessions are like.
What light leaks in bits is the caller's function, for whom is the ledger's own rule; this module
only adds photons and never takes any away.

Files of versions before 4 did not say how their light came back. It is taken to be like that of the
first debit in the same layer that says it; `totals` tells how much that is.

Some tests look at a whole session, after blocks of it have passed: `begin_test` is written before
such a test is made, and `end_test`, `settle` or `refuse` once it is known how it ended. A ledger
that finds the first without any of the others was killed in between. It cannot know what the test
has said, and takes it that the session was refused.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from drivers.errors import BudgetError, ConfigurationError, LedgerError
from protocol.ledger import _arguments
from protocol.ledger._base import Ledger
from protocol.ledger._database import VERSION, Clock
from protocol.ledger._layer_photons import LayerPhotons
from protocol.ledger._rules import require_followed, require_rule, rule_of_file
from protocol.ledger._store import Row, Store
from protocol.ledger._tested_sums import BlockTests, PooledTests
from protocol.ledger._weight_budget import LightCharge, worst_bits_after
from protocol.ledger._weight_state import WeightState
from protocol.ledger._weight_values import ThresholdsCommitment, WeightEntry, WeightTotals
from protocol.ledger.light import ChargeRule, LightChannel, Photons, RowLight, require_one_encoding

__all__ = [
    "LightCharge",
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
        self._state = WeightState(self._name)

    @classmethod
    def create(
        cls,
        path: Path | str | None,
        model_digest: str,
        rows_per_layer: Mapping[int, int],
        budget_bits_per_weight: float | None,
        note: str = "",
        *,
        rule: ChargeRule = "copies apart",
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
            rule: whom it charges for, for good; "with memory" for clients with one memory over all
                copies of a weight.
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
            "rule": require_rule(rule),
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

        A session of which the last test of the whole did not say how it ended is refused now.

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
        hint = "create it with `--new-ledger` or WeightLedger.create"
        ledger._store = Store.open(path, hint, ledger._apply, clock)
        try:
            for session in sorted(ledger._state.testing):
                ledger.refuse(session)
        except BaseException:
            ledger.close()
            raise
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
    def rule(self) -> ChargeRule:
        """Whom it charges for; files that do not say it hold "copies apart"."""
        return self._rule

    @property
    def successor(self) -> str | None:
        """Identity of the weights that took these weights' place; None while they may be sent."""
        return self._state.successor

    @property
    def rows_per_layer(self) -> dict[int, int]:
        """Number of weight rows by index of the optical layer."""
        return {index: layer.rows for index, layer in self._state.layers.items()}

    def debit(
        self,
        session: str,
        layer: int,
        first_row: int,
        rows: int,
        photons: float,
        charge: LightCharge,
        *,
        copies: int | None = None,
        thresholds_sha256: str | None = None,
    ) -> int:
        """Charge a block of rows before its light is sent; durable when this returns.

        Args:
            session: who charges.
            layer: index of the optical layer.
            first_row: first row of the block.
            rows: number of rows, >= 1.
            photons: photons per symbol times the number of copies in this block, >= 0.
            charge: how this light comes back if it passes, and what light leaks; the latter is not
                asked when nothing limits the ledger.
            copies: times that a weight is in this light, >= 1; needed with the rule "with memory".
            thresholds_sha256: fingerprint of the session's thresholds; with its first debit alone,
                so that they stand in the hash chain before any of its light.

        Returns:
            The number of the entry, for `settle`.

        Raises:
            BudgetError: a weight would leak more than the budget, or the ledger is retired; nothing
                was charged.
            ConfigurationError: an argument is out of range or NaN, the layer was sent with the
                other encoding before, or `charge` follows another rule than the ledger.
            LedgerError: no such rows, `charge` answers with NaN, the session has been debited
                before it gave its thresholds, or the entry cannot be written.
        """
        session = _arguments.text("name of the session", session)
        amount = _arguments.non_negative("photons per weight", photons, "photons")
        require_followed(self._name, self._rule, charge, copies)
        fixed: dict[str, object] = {}
        if copies is not None:
            copies = _arguments.whole("number of copies", copies, 1)
        if thresholds_sha256 is not None:
            fixed["thresholds_sha256"] = _arguments.text(
                "fingerprint of the thresholds", thresholds_sha256
            )
        with self._in_use():
            if self._state.successor is not None:
                raise BudgetError(
                    f"{self._name}: it is retired, the weights were replaced by those of the model "
                    f"{self._state.successor[:12]}; send these, with their own ledger"
                )
            if fixed and session in self._state.commitments:
                raise LedgerError(
                    f"{self._name}: session {session[:12]} has been debited before: its thresholds "
                    "are fixed with its first debit or never; begin a new session"
                )
            layer = _arguments.whole("index of the layer", layer, 0)
            block = self._block(layer, first_row, rows)
            channel = charge.channel
            self._require_encoding(layer, channel)
            body = {
                "session": session,
                "layer": layer,
                "first_row": block.start,
                "rows": block.stop - block.start,
                "photons": amount,
                "bits_per_weight": self._worst_bits(layer, block, amount, copies, charge),
                "override": self._unlimited,
                "channel": asdict(channel),
                **({} if copies is None else {"copies": copies}),
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
            before = self._state.successor
            if before is not None:
                raise LedgerError(
                    f"{self._name}: it is retired already, in favour of {before[:12]}"
                )
            self._store.append("retire", {"successor": successor})

    def settle(self, entry: int, verified: bool, tested: BlockTests | None = None) -> None:
        """Say how the return of a block was; durable when this returns.

        Args:
            entry: what `debit` returned.
            verified: it passed, its photons become verified ones; otherwise they stay as they are.
            tested: what its tests counted, where it passed; None where nobody will add it up.

        Raises:
            ConfigurationError: `verified` is not a truth value.
            LedgerError: no such entry, settled already, or it cannot be written.
        """
        self._settle([entry], verified, tested)

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
        self._settle(entries, verified, None)

    def _settle(self, entries: Iterable[int], verified: bool, tested: BlockTests | None) -> None:
        if not isinstance(verified, bool | np.bool_):
            raise ConfigurationError(f"ledger: verified is {verified!r}; it must be True or False")
        numbers = [_arguments.whole("number of an entry", entry, 0) for entry in entries]
        with self._in_use():
            if len(set(numbers)) != len(numbers):
                raise LedgerError(f"{self._name}: an entry is named twice; a block is settled once")
            known = [self._state.reserved(number) for number in numbers]
            body: dict[str, object] = {"entries": numbers, "verified": bool(verified)}
            if verified and tested is not None:
                body["tested"] = tested.body(known=self._state.tested.latest(known[0]))
            if numbers:
                self._store.append("settle", body)

    def begin_test(self, session: str) -> None:
        """Say that a test of a whole session is about to be made; durable when this returns.

        Args:
            session: of which blocks may be settled already.

        Raises:
            LedgerError: it was never debited, another test of it is not done, or it cannot be
                written.
        """
        with self._in_use():
            if session not in self._state.commitments:
                raise LedgerError(f"{self._name}: session {session[:12]} was never debited")
            if session in self._state.testing:
                raise LedgerError(
                    f"{self._name}: a test of session {session[:12]} is not done; say how it ended"
                )
            self._store.append("testing", {"session": session})

    def end_test(self, session: str) -> None:
        """Say that a test of a whole session has passed, where no `settle` says so; durable.

        Args:
            session: of `begin_test`.

        Raises:
            LedgerError: no test of it was begun, or it cannot be written.
        """
        with self._in_use():
            if session not in self._state.testing:
                raise LedgerError(f"{self._name}: no test of session {session[:12]} was begun")
            self._store.append("tested", {"session": session})

    def refuse(self, session: str, entries: Iterable[int] | None = None) -> None:
        """Charge blocks of a session as if all their light was kept; durable when this returns.

        One commit: after a crash all of it is there or, with a test begun, the whole session is
        refused when the ledger is opened.

        Args:
            session: which a test of the whole has refused.
            entries: blocks that it speaks against, settled as passed or not settled; None for all
                that passed.

        Raises:
            LedgerError: one of them is unknown, of another session, unverified already or named
                twice, or it cannot be written.
        """
        with self._in_use():
            if entries is None:
                numbers = self._state.passed(session)
            else:
                numbers = [_arguments.whole("number of an entry", entry, 0) for entry in entries]
            if len(set(numbers)) != len(numbers):
                raise LedgerError(f"{self._name}: an entry is named twice; a block is refused once")
            for number in numbers:
                self._state.refusable(session, number)
            self._store.append("refuse", {"session": session, "entries": numbers})

    def commitment(self, session: str) -> ThresholdsCommitment | None:
        """What a session fixed with its first debit; None if it was never debited.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return self._state.commitments.get(session)

    def verified_photons(self, layer: int) -> Photons:
        """Photons per weight whose return passed, `(rows,)`.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            return self._layer(layer).verified

    def unverified_photons(self, layer: int) -> Photons:
        """Photons per weight whose return did not pass, or not yet, `(rows,)`.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            return self._layer(layer).unverified

    def light(self, layer: int) -> RowLight:
        """All light of a layer's rows, and how it was received; arrays `(rows,)`.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            return self._layer(layer).light()

    def tested(self, layer: int) -> tuple[PooledTests, ...]:
        """What the tests of all blocks that passed counted, sums of like settings added.

        Blocks of older files, and those settled without sums, are in none of them.

        Raises:
            LedgerError: no such layer, or the ledger must not be used.
        """
        with self._in_use():
            rows = self._layer(layer).rows
            return self._state.tested.pooled(layer, rows, self._state.entries)

    def entries(self) -> Iterator[WeightEntry]:
        """All blocks charged so far, oldest first, each in its present state.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return iter(list(self._state.entries.values()))

    def totals(self) -> WeightTotals:
        """Sums for reports.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return self._state.totals()

    def _apply(self, row: Row) -> None:
        if row.kind == "created":
            self._apply_creation(row.body)
        else:
            self._state.apply(row)

    def _apply_creation(self, body: Mapping[str, Any]) -> None:
        self._check_purpose(body, _PURPOSE)
        if body["model_digest"] != self._model_digest:
            raise LedgerError(
                f"{self._name}: it is of the model {body['model_digest']}, the weights to be sent "
                f"are {self._model_digest}; give the ledger of these weights, or create one for "
                "them if they were never sent"
            )
        self._state.begin(dict(body["layers"]))
        self._budget = body["budget_bits_per_weight"]
        self._note = body["note"]
        self._rule = rule_of_file(self._name, body)

    def _layer(self, layer: int) -> LayerPhotons:
        try:
            return self._state.layers[layer]
        except KeyError:
            raise LedgerError(
                f"{self._name}: no layer {layer}; the ledger has {sorted(self._state.layers)}"
            ) from None

    def _block(self, layer: int, first_row: int, rows: int) -> slice:
        start = _arguments.whole("first row", first_row, 0)
        stop = start + _arguments.whole("number of rows", rows, 1)
        available = self._layer(layer).rows
        if stop > available:
            raise LedgerError(
                f"{self._name}: layer {layer}: rows {start} to {stop - 1} were asked for, "
                f"the ledger has rows 0 to {available - 1}; nothing is charged for light that it "
                "does not know"
            )
        return slice(start, stop)

    def _require_encoding(self, layer: int, channel: LightChannel) -> None:
        before = self._layer(layer).channel
        if before is not None:
            require_one_encoding(f"{self._name}: layer {layer}", before.encoding, channel.encoding)

    def _worst_bits(
        self, layer: int, block: slice, photons: float, copies: int | None, charge: LightCharge
    ) -> float | None:
        if self._budget is None or self._unlimited:
            return None
        return worst_bits_after(
            f"{self._name}: layer {layer}",
            block.start,
            self._layer(layer).light().rows(block),
            photons,
            copies,
            self._budget,
            charge,
        )
