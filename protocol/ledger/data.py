"""The client's ledger: bits that each input may have told the server.

Inputs are known by a salted digest, so that ledgers cannot be compared with each other or with a
table made in advance. It is no encryption: who holds the file can test whether a given input is in
it, because the salt is in the file.
"""

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import BudgetError, ConfigurationError
from protocol.ledger import _arguments
from protocol.ledger._base import Ledger
from protocol.ledger._database import VERSION, Clock
from protocol.ledger._store import Row, Store

__all__ = ["DataEntry", "DataLedger", "DataTotals"]

_PURPOSE = "data"
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class DataEntry:
    """One batch of inputs that was charged.

    Args:
        entry: its number in the ledger.
        time: UTC label, never used to decide anything.
        session: who charged it.
        layer: index of the optical layer.
        rows: weight rows evaluated with each input, copies counted.
        inputs: number of inputs in the batch, repeated ones counted each time.
        most_bits: bits of the input that was charged most in this batch.
        override: charged while the budget was switched off for an evaluation.
    """

    entry: int
    time: str
    session: str
    layer: int
    rows: int
    inputs: int
    most_bits: float
    override: bool


@dataclass(frozen=True, kw_only=True)
class DataTotals:
    """What a ledger holds, for reports.

    Args:
        entries: batches charged.
        overridden: of these, charged with the budget switched off.
        inputs: different inputs.
        total_bits: bits of all inputs together.
        most_bits: bits of the input that has spent most, 0 if there is none.
    """

    entries: int
    overridden: int
    inputs: int
    total_bits: float
    most_bits: float


class DataLedger(Ledger):
    """The client's ledger of its inputs; `create` once, `open` from then on.

    A context manager. Safe to use from several threads, not from several processes.
    """

    def __init__(self, path: Path | str | None, *, unlimited: bool) -> None:
        super().__init__(path, unlimited=unlimited)
        self._salt = b""
        self._index: dict[bytes, int] = {}
        # Longer than the number of inputs, so that growing is cheap; the rest is zero.
        self._spent = np.zeros(1024)
        self._entries: list[DataEntry] = []

    @classmethod
    def create(
        cls,
        path: Path | str | None,
        budget_bits_per_input: float | None,
        note: str = "",
        *,
        clock: Clock = time.time,
    ) -> Self:
        """Make a ledger in which nothing is spent, and open it.

        Args:
            path: new file; None keeps the ledger in memory, for simulations.
            budget_bits_per_input: most that any input may leak, above 0; None for no limit,
                which the ledger records.
            note: free text.
            clock: seconds since 1970, for time labels only.

        Raises:
            ConfigurationError: the budget is out of range.
            LedgerError: the file exists already or cannot be written.
        """
        body = {
            "purpose": _PURPOSE,
            "version": VERSION,
            "salt": secrets.token_hex(_DIGEST_BYTES),
            "budget_bits_per_input": _arguments.budget("budget per input", budget_bits_per_input),
            "note": note,
        }
        ledger = cls(path, unlimited=False)
        ledger._store = Store.create(path, body, ledger._apply, clock)
        return ledger

    @classmethod
    def open(cls, path: Path | str, *, unlimited: bool = False, clock: Clock = time.time) -> Self:
        """Open a ledger and check all of it.

        Args:
            path: file of the ledger.
            unlimited: switch the budget off, for evaluations in simulation; every entry made so
                says it for ever.
            clock: seconds since 1970, for time labels only.

        Raises:
            LedgerError: missing, in use, damaged, rolled back, of an unknown version, not a
                client's, or not writable.
        """
        ledger = cls(path, unlimited=unlimited)
        ledger._store = Store.open(path, "create it with `DataLedger.create`", ledger._apply, clock)
        return ledger

    @property
    def budget_bits_per_input(self) -> float | None:
        """Most that any input may leak; None for no limit."""
        return self._budget

    def digest(self, values: ArrayLike) -> bytes:
        """Salted SHA-256 of an input: its identity in this ledger.

        The numbers alone count, in order: the same picture as float32 or float64, flat or not, is
        the same input.

        Args:
            values: real numbers of any shape, finite; complex ones count as pairs.

        Raises:
            ConfigurationError: NaN, infinite, empty or not numbers.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "biufc" or array.size == 0:
            raise ConfigurationError(
                f"ledger: an input of type {array.dtype} and shape {array.shape} has no digest; "
                "give an array of numbers"
            )
        if array.dtype.kind == "c":
            array = np.stack([array.real, array.imag], axis=-1)
        if not np.all(np.isfinite(array)):
            raise ConfigurationError("ledger: an input holds NaN or infinity; find out why first")
        # Adding 0 makes -0.0 and 0.0, which are equal, the same bytes.
        plain = np.ascontiguousarray(array, dtype="<f8") + 0.0
        return hashlib.sha256(self._salt + plain.tobytes()).digest()

    def debit_many(
        self,
        session: str,
        digests: Sequence[bytes],
        layer: int,
        rows: int,
        bits: NDArray[np.floating[Any]],
    ) -> int:
        """Charge a batch of inputs before they meet light; durable when this returns.

        Args:
            session: who charges.
            digests: what `digest` returned, one per input; one that comes twice is charged twice.
            layer: index of the optical layer, >= 0.
            rows: weight rows evaluated with each input, copies counted, >= 1.
            bits: bits for each input, `(inputs,)`, >= 0.

        Returns:
            The number of the entry; the whole batch is one.

        Raises:
            BudgetError: an input would leak more than the budget; nothing was charged.
            ConfigurationError: an argument is out of range, NaN or of the wrong shape.
            LedgerError: the entry cannot be written.
        """
        charges = _charges(digests, bits)
        body: dict[str, Any] = {
            "session": _arguments.text("name of the session", session),
            "layer": _arguments.whole("index of the layer", layer, 0),
            "rows": _arguments.whole("number of rows", rows, 1),
            "inputs": len(digests),
            "most_bits": float(charges.max()),
            "override": self._unlimited,
        }
        with self._in_use():
            known = len(self._index)
            fresh = list(dict.fromkeys(key for key in digests if key not in self._index))
            numbers = dict(zip(fresh, range(known, known + len(fresh)), strict=True))
            index = np.array(
                [numbers[key] if key in numbers else self._index[key] for key in digests],
                dtype="<u4",
            )
            self._refuse_excess(index, charges, digests)
            payload = b"".join([*fresh, index.tobytes(), charges.tobytes()])
            return self._store.append("debit", body, payload)

    def spent_bits(self, digest: bytes) -> float:
        """Bits that an input has spent; 0 for one that was never charged.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            index = self._index.get(digest)
            return 0.0 if index is None else float(self._spent[index])

    def entries(self) -> Iterator[DataEntry]:
        """All batches charged so far, oldest first.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return iter(list(self._entries))

    def totals(self) -> DataTotals:
        """Sums for reports.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return DataTotals(
                entries=len(self._entries),
                overridden=sum(entry.override for entry in self._entries),
                inputs=len(self._index),
                total_bits=float(self._spent.sum()),
                most_bits=float(self._spent.max()),
            )

    def _refuse_excess(
        self, index: NDArray[np.uint32], charges: NDArray[np.float64], digests: Sequence[bytes]
    ) -> None:
        if self._budget is None or self._unlimited:
            return
        present, position = np.unique(index, return_inverse=True)
        asked = np.bincount(position, weights=charges)
        spent = np.zeros(len(present))
        known = present < len(self._index)
        spent[known] = self._spent[present[known]]
        after = spent + asked
        excess = after > self._budget * (1 + _arguments.ROUNDING)
        if not np.any(excess):
            return
        worst = int(np.argmax(after))
        name = digests[int(np.flatnonzero(position == worst)[0])].hex()[:12]
        raise BudgetError(
            f"{self._name}: {int(excess.sum())} of {len(present)} inputs would exceed the "
            f"budget of {self._budget:.6g} bits per input. Worst: input {name} has spent "
            f"{spent[worst]:.6g} bits and {asked[worst]:.6g} more were asked, "
            f"{max(0.0, self._budget - spent[worst]):.6g} are left. Leave these inputs out, or "
            "evaluate fewer rows or with a lower receiver noise"
        )

    def _apply(self, row: Row) -> None:
        if row.kind == "created":
            self._apply_creation(row.body)
        elif row.kind == "debit":
            entry = DataEntry(entry=row.entry, time=row.time, **row.body)
            self._apply_charges(row.payload, entry.inputs)
            self._entries.append(entry)
        else:
            raise ValueError("unknown kind")

    def _apply_creation(self, body: Mapping[str, Any]) -> None:
        self._check_purpose(body, _PURPOSE)
        self._salt = bytes.fromhex(body["salt"])
        self._budget = body["budget_bits_per_input"]
        self._note = body["note"]

    def _apply_charges(self, payload: bytes, inputs: int) -> None:
        # Payload: digests of new inputs, then an index (u32) and bits (f64) for each input.
        names = len(payload) - 12 * inputs
        if names < 0 or names % _DIGEST_BYTES:
            raise ValueError("payload of the wrong size")
        index = np.frombuffer(payload, dtype="<u4", count=inputs, offset=names)
        charges = np.frombuffer(payload, dtype="<f8", count=inputs, offset=names + 4 * inputs)
        for start in range(0, names, _DIGEST_BYTES):
            self._index[payload[start : start + _DIGEST_BYTES]] = len(self._index)
        if len(self._index) > len(self._spent):
            self._spent = np.concatenate([self._spent, np.zeros(len(self._index))])
        np.add.at(self._spent, index, charges)


def _charges(digests: Sequence[bytes], bits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    charges = np.ascontiguousarray(bits, dtype="<f8")
    if charges.shape != (len(digests),) or len(digests) == 0:
        raise ConfigurationError(
            f"ledger: {len(digests)} inputs with bits of shape {charges.shape}; give one number "
            "for each input, and at least one input"
        )
    if np.any(np.isnan(charges)):
        raise ConfigurationError(
            "ledger: the bits of an input are NaN; nothing may be sent until they are known"
        )
    if np.any(charges < 0) or np.any(np.isinf(charges)):
        raise ConfigurationError(
            f"ledger: bits from {charges.min():g} to {charges.max():g} per input; each must be "
            "finite and at least 0"
        )
    for digest in digests:
        if not isinstance(digest, bytes) or len(digest) != _DIGEST_BYTES:
            raise ConfigurationError(
                f"ledger: {digest!r} is not a digest; give what DataLedger.digest returned"
            )
    return charges
