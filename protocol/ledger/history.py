"""A ledger's file as a witness: read-only, for whoever checks a certificate against it."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import LedgerError
from protocol.ledger._database import GENESIS, check_database, refusals, row_hash
from protocol.ledger._weight_values import ThresholdsCommitment

__all__ = ["LedgerHistory", "read_history"]


@dataclass(frozen=True, kw_only=True)
class LedgerHistory:
    """What the hash chain of a ledger vouches for.

    Args:
        hashes: of all entries, oldest first, in hexadecimal.
        commitments: first debit of every session, with the thresholds that it fixed.
    """

    hashes: tuple[str, ...]
    commitments: Mapping[str, ThresholdsCommitment]

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
            return _chain(connection, target)
        finally:
            connection.close()


def _chain(connection: sqlite3.Connection, target: Path) -> LedgerHistory:
    before, hashes = GENESIS, list[str]()
    commitments: dict[str, ThresholdsCommitment] = {}
    query = "SELECT id, time, kind, body, payload, hash FROM entries ORDER BY id"
    for entry, time, kind, text, payload, digest in connection.execute(query):
        if entry != len(hashes) + 1 or digest != row_hash(before, entry, time, kind, text, payload):
            raise LedgerError(
                f"{target}: damaged: the hash chain breaks at entry {entry}; restore the newest "
                "undamaged copy together with its head file"
            )
        before = digest
        hashes.append(digest.hex())
        if kind == "debit":
            body = json.loads(text)
            fixed = ThresholdsCommitment(
                entry=entry, thresholds_sha256=body.get("thresholds_sha256")
            )
            commitments.setdefault(str(body.get("session")), fixed)
    return LedgerHistory(hashes=tuple(hashes), commitments=commitments)
