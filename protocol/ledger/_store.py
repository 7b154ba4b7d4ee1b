"""The append-only file under both ledgers: SQLite, a hash chain, a head file and an owner lock.

One table, one row per commit. A ledger's state is nothing but its rows, applied in order by the
same function when they are written and when the file is opened. Each row's hash covers the row and
the hash before it. What this detects: a missing file, damaged bytes, edited or removed rows, a
ledger or a head file restored alone from an older copy. What it cannot: someone who restores ledger
and head together, or rewrites both; the head in the records of earlier runs shows that.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from drivers.errors import LedgerError
from protocol.ledger._database import (
    CREATED,
    GENESIS,
    Clock,
    canonical,
    check_database,
    connect,
    create_file,
    insert,
    label,
    migrate,
    refusals,
    row_hash,
    take_over,
)
from protocol.ledger._head import LedgerHead, check_head, head_path, read_head, write_head
from protocol.ledger._lock import OwnerLock

__all__ = ["Row", "Store"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: number from 1, time label, kind, a JSON body and raw bytes."""

    entry: int
    time: str
    kind: str
    body: Mapping[str, Any]
    payload: bytes = b""


class Store:
    """An open ledger file, or one in memory; `create` and `open` make it.

    Args:
        path: resolved path, None in memory.
        connection: database of the ledger, None in memory.
        lock: owner lock, None in memory.
        apply: takes each row in order into the state of the ledger.
        clock: time labels.
    """

    def __init__(
        self,
        path: Path | None,
        connection: sqlite3.Connection | None,
        lock: OwnerLock | None,
        apply: Callable[[Row], None],
        clock: Clock,
    ) -> None:
        self.guard = threading.RLock()
        self.name = "ledger in memory" if path is None else f"ledger {path}"
        self._path = path
        self._connection = connection
        self._lock = lock
        self._apply = apply
        self._clock = clock
        self._owner = os.getpid()
        self._entries = 0
        self._hash = self._previous = GENESIS
        self._trouble: str | None = None

    @classmethod
    def create(
        cls,
        path: Path | str | None,
        body: Mapping[str, Any],
        apply: Callable[[Row], None],
        clock: Clock,
    ) -> Self:
        """Make a ledger that says in its first row what it is for, and open it.

        Raises:
            LedgerError: it exists already, is in use, or the system refuses the write.
        """
        if path is None:
            store = cls(None, None, None, apply, clock)
            store.append(CREATED, body)
            return store
        target = _resolved(path)
        with refusals(target, "cannot be created"):
            _refuse_existing(target)
            lock = OwnerLock(target)
            try:
                _refuse_existing(target)  # another process may have made it meanwhile
                create_file(target, body, clock)
                return cls._open_locked(target, lock, apply, clock)
            except BaseException:
                lock.release()
                raise

    @classmethod
    def open(
        cls, path: Path | str, how_to_create: str, apply: Callable[[Row], None], clock: Clock
    ) -> Self:
        """Open a ledger and check all of it.

        Raises:
            LedgerError: missing, in use, damaged, rolled back, of an unknown version, or not
                readable and writable.
        """
        target = _resolved(path)
        with refusals(target, "cannot be opened"):
            if not target.is_file():
                raise LedgerError(
                    f"{target}: no ledger there. If one was used before, find it: starting from "
                    f"zero would forget what was spent. For a new one, {how_to_create}"
                )
            lock = OwnerLock(target)
            try:
                return cls._open_locked(target, lock, apply, clock)
            except BaseException:
                lock.release()
                raise

    @classmethod
    def _open_locked(
        cls, target: Path, lock: OwnerLock, apply: Callable[[Row], None], clock: Clock
    ) -> Self:
        connection = connect(f"{target.as_uri()}?mode=rw")
        try:
            store = cls(target, connection, lock, apply, clock)
            check_database(connection, target)
            take_over(connection)
            store._replay(connection, target)
            migrate(connection)
            if check_head(target, read_head(target), store.head, store._previous.hex()):
                write_head(target, store.head)
        except BaseException:
            connection.close()
            raise
        return store

    @property
    def head(self) -> LedgerHead:
        """Number of rows and hash of the last one."""
        return LedgerHead(entries=self._entries, hash=self._hash.hex())

    def append(self, kind: str, body: Mapping[str, Any], payload: bytes = b"") -> int:
        """Append a row; it is on disk, and in the state of the ledger, when this returns.

        Returns:
            The number of the row.

        Raises:
            LedgerError: the system refuses the write. Whether the row is there is then only
                known after the ledger has been opened again.
        """
        with self.guard:
            self.require_usable()
            time, text = label(self._clock), canonical(body)
            entry = self._entries + 1
            digest = row_hash(self._hash, entry, time, kind, text, payload)
            # Whatever happens from here on, Ctrl-C included, memory and disk may differ.
            self._trouble = "an earlier write did not finish; open the ledger again"
            with refusals(self.name, f"entry {entry} is not known to be on disk"):
                if self._connection is not None and self._path is not None:
                    insert(self._connection, (entry, time, kind, text, payload, digest))
                    write_head(self._path, LedgerHead(entries=entry, hash=digest.hex()))
            # From the text, so that a running ledger and a replayed one take exactly the same.
            self._take(entry, time, kind, text, payload, digest)
            self._trouble = None
            return entry

    def require_usable(self) -> None:
        """Refuse a closed ledger, one after a failed write, and one of another process.

        Raises:
            LedgerError: it must not be used.
        """
        if self._trouble is not None:
            raise LedgerError(f"{self.name}: {self._trouble}")
        if os.getpid() != self._owner:
            raise LedgerError(
                f"{self.name}: opened by process {self._owner}, used in its child {os.getpid()}; "
                "only the process that opened a ledger may use it"
            )

    def close(self) -> None:
        """Close the file and let go of the lock; harmless when closed already."""
        with self.guard:
            self._trouble = "closed; open the ledger again"
            if self._connection is not None and os.getpid() == self._owner:
                self._connection.close()
            if self._lock is not None:
                self._lock.release()

    def _replay(self, connection: sqlite3.Connection, target: Path) -> None:
        query = "SELECT id, time, kind, body, payload, hash FROM entries ORDER BY id"
        for entry, time, kind, text, payload, digest in connection.execute(query):
            expected = row_hash(self._hash, entry, time, kind, text, payload)
            if entry != self._entries + 1 or digest != expected:
                raise LedgerError(
                    f"{target}: damaged: the hash chain breaks at entry {entry}; restore the "
                    "newest undamaged copy together with its head file"
                )
            try:
                self._take(entry, time, kind, text, payload, digest)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise LedgerError(
                    f"{target}: damaged: entry {entry} of kind {kind!r} does not have the form of "
                    "this version; open it with the version of veilight that wrote it"
                ) from error
        if self._entries == 0:
            raise LedgerError(f"{target}: damaged: it does not even say what it is a ledger of")

    def _take(
        self, entry: int, time: str, kind: str, text: str, payload: bytes, digest: bytes
    ) -> None:
        body = json.loads(text)
        self._apply(Row(entry=entry, time=time, kind=kind, body=body, payload=payload))
        self._entries = entry
        self._previous, self._hash = self._hash, digest


def _resolved(path: Path | str) -> Path:
    # Lock and head must be the same files however the ledger is named.
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise LedgerError(f"{path}: not a usable path: {error}") from error


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target) or os.path.lexists(head_path(target)):
        raise LedgerError(
            f"{target}: a ledger or its head file exists already and is not overwritten: that "
            "would forget what was spent. Open it (`--ledger`), or choose another name"
        )
