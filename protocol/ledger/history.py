"""A ledger's file as a witness: read-only, for whoever checks a certificate against it."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drivers.errors import LedgerError
from protocol.ledger._database import CREATED, GENESIS, check_database, refusals, row_hash
from protocol.ledger._store import Row
from protocol.ledger._tested_sums import PooledTests
from protocol.ledger._weight_state import WeightState
from protocol.ledger._weight_values import ThresholdsCommitment

__all__ = ["LedgerHistory", "read_history", "read_tests"]


@dataclass(frozen=True, kw_only=True)
class LedgerHistory:
    """What the hash chain of a ledger vouches for.

    Args:
        hashes: of all entries, oldest first, in hexadecimal.
        commitments: first debit of every session, with the thresholds that it fixed.
        refusals: entry with which a test of the whole refused a session, by session.
        passed: number of a session's blocks whose return counts as passed; 0 is left out.
    """

    hashes: tuple[str, ...]
    commitments: Mapping[str, ThresholdsCommitment]
    refusals: Mapping[str, int] = field(default_factory=dict)
    passed: Mapping[str, int] = field(default_factory=dict)

    def hash_of(self, entry: int) -> str | None:
        """Hash of an entry by its number from 1; None if the ledger never had it."""
        return self.hashes[entry - 1] if 1 <= entry <= len(self.hashes) else None


def read_history(path: Path | str) -> LedgerHistory:
    """Read and check the whole chain of a ledger, without taking it over or changing it.

    Args:
        path: of either side's ledger; nobody may be using it.

    Raises:
        LedgerError: missing, in use, damaged, or of an unknown version.
    """
    with _opened(path) as (connection, target):
        return _chain(connection, target)


def read_tests(path: Path | str, entries: int) -> dict[int, tuple[PooledTests, ...]]:
    """What the tests of all blocks had counted when a server's ledger was so long, by layer.

    Args:
        path: of the server's ledger; `read_history` has checked its chain.
        entries: rows that are taken into account.

    Raises:
        LedgerError: missing, in use, damaged, of an unknown version, or of data.
    """
    with _opened(path) as (connection, target):
        state = WeightState(str(target))
        query = "SELECT id, time, kind, body FROM entries WHERE id <= ? ORDER BY id"
        try:
            for entry, time, kind, text in connection.execute(query, (entries,)):
                row = Row(entry=entry, time=time, kind=kind, body=json.loads(text))
                if kind == CREATED:
                    state.begin(dict(row.body["layers"]))
                else:
                    state.apply(row)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(
                f"{target}: no ledger of weights of this version; give the one that the server "
                "debited"
            ) from error
    return {
        index: state.tested.pooled(index, layer.rows, state.entries)
        for index, layer in state.layers.items()
    }


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A ledger's database, read-only, checked for what kind of file it is."""
    target = Path(path).resolve()
    if not target.is_file():
        raise LedgerError(f"{target}: no ledger there; give the ledger that the run debited")
    # Without a journal beside it the file is complete, and is read where nothing may be written.
    journal = target.with_name(f"{target.name}-wal").exists()
    mode = "mode=ro" if journal else "mode=ro&immutable=1"
    with refusals(target, "cannot be read"):
        connection = sqlite3.connect(f"{target.as_uri()}?{mode}", uri=True, isolation_level=None)
        try:
            check_database(connection, target)
            yield connection, target
        finally:
            connection.close()


def _chain(connection: sqlite3.Connection, target: Path) -> LedgerHistory:
    before, hashes = GENESIS, list[str]()
    sessions = _Sessions()
    query = "SELECT id, time, kind, body, payload, hash FROM entries ORDER BY id"
    for entry, time, kind, text, payload, digest in connection.execute(query):
        if entry != len(hashes) + 1 or digest != row_hash(before, entry, time, kind, text, payload):
            raise LedgerError(
                f"{target}: damaged: the hash chain breaks at entry {entry}; restore the newest "
                "undamaged copy together with its head file"
            )
        before = digest
        hashes.append(digest.hex())
        sessions.take(entry, kind, text)
    return LedgerHistory(
        hashes=tuple(hashes),
        commitments=sessions.commitments,
        refusals=sessions.refusals,
        passed=Counter(sessions.passed.values()),
    )


class _Sessions:
    """What the rows say of each session."""

    def __init__(self) -> None:
        self.commitments: dict[str, ThresholdsCommitment] = {}
        self.refusals: dict[str, int] = {}
        self.passed: dict[int, str] = {}
        self._debits: dict[int, str] = {}

    def take(self, entry: int, kind: str, text: str) -> None:
        """Take a row in; those of a ledger of data say nothing of sessions' blocks."""
        if kind not in ("debit", "settle", "refuse"):
            return
        body = json.loads(text)
        match kind:
            case "debit":
                session = self._debits[entry] = str(body.get("session"))
                fixed = ThresholdsCommitment(
                    entry=entry, thresholds_sha256=body.get("thresholds_sha256")
                )
                self.commitments.setdefault(session, fixed)
            case "settle" if body["verified"]:
                self.passed |= {number: self._debits[number] for number in body["entries"]}
            case "refuse":
                self.refusals[body["session"]] = entry
                for number in body["entries"]:
                    self.passed.pop(number, None)
