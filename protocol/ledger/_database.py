"""The SQLite file of a ledger: schema, settings, hash of a row, checks when it is opened."""

import hashlib
import json
import os
import secrets
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.errors import LedgerError
from protocol.ledger._head import LedgerHead, create_head, head_path, sync_folder

__all__ = [
    "CREATED",
    "GENESIS",
    "VERSION",
    "Clock",
    "canonical",
    "check_database",
    "connect",
    "create_file",
    "insert",
    "label",
    "migrate",
    "refusals",
    "row_hash",
    "take_over",
    "write_schema",
]

Clock = Callable[[], float]
"""Seconds since 1970; a label for people, never used to decide anything."""

VERSION = 4
"""Since 2 the first debit of a session has the fingerprint of its thresholds, since 3 tests of
whole sessions are written down, and what they refuse, since 4 every debit of weights tells how its
light comes back."""

_OLDER = (1, 2, 3)
"""Versions whose rows this one reads as they are."""

CREATED = "created"
GENESIS = bytes(32)
_APPLICATION = 0x56_4C_47_52  # "VLGR"
_SCHEMA = (
    # typeof() rather than STRICT, which SQLite knows only from 3.37 on.
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, "
    "body TEXT NOT NULL, payload BLOB NOT NULL, hash BLOB NOT NULL, "
    "CHECK (typeof(time) = 'text' AND typeof(kind) = 'text' AND typeof(body) = 'text' "
    "AND typeof(payload) = 'blob' AND typeof(hash) = 'blob'))",
    "CREATE TRIGGER no_update BEFORE UPDATE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'a ledger is never changed'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'nothing is deleted from a ledger'); END",
    "CREATE TRIGGER append_only BEFORE INSERT ON entries "
    "WHEN NEW.id <> (SELECT COALESCE(MAX(id), 0) + 1 FROM entries) "
    "BEGIN SELECT RAISE(ABORT, 'a ledger is only appended to'); END",
)


def create_file(target: Path, body: Mapping[str, Any], clock: Clock) -> None:
    """Write a ledger of one row, and its head file; the caller holds the lock.

    Raises:
        OSError, sqlite3.Error: the system refuses; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = connect(f"{temporary.as_uri()}?mode=rw")
        try:
            write_schema(connection)
            time, text = label(clock), canonical(body)
            digest = row_hash(GENESIS, 1, time, CREATED, text, b"")
            insert(connection, (1, time, CREATED, text, b"", digest))
        finally:
            connection.close()
        try:
            # The head comes first: a crash in between then looks like a lost ledger, not a new one.
            create_head(target, LedgerHead(entries=1, hash=digest.hex()))
            temporary.rename(target)
            sync_folder(target.parent)
        except BaseException:
            if not os.path.lexists(target):
                head_path(target).unlink(missing_ok=True)
            raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def connect(address: str) -> sqlite3.Connection:
    """Open a database by its URI, so that a commit is on disk when it returns.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA fullfsync = 1")
    except BaseException:
        connection.close()
        raise
    return connection


def take_over(connection: sqlite3.Connection) -> None:
    """Take SQLite's own exclusive lock for good; a file that is read-only is found here.

    Raises:
        sqlite3.Error: another program has the file open, or it cannot be written.
    """
    # One sync per commit instead of four. Where the file system does not allow it SQLite keeps the
    # rollback journal, which is as durable.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def write_schema(connection: sqlite3.Connection) -> None:
    """Make the table and the triggers that forbid changes, in one commit."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def migrate(connection: sqlite3.Connection) -> None:
    """Mark a ledger of an older version as one of this; its rows stay as they are.

    From then on older programs refuse it by its version instead of calling it damaged.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def insert(connection: sqlite3.Connection, values: tuple[int, str, str, str, bytes, bytes]) -> None:
    """Append one row in one durable commit.

    Raises:
        sqlite3.Error: the row may or may not be there.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.execute("COMMIT")


def check_database(connection: sqlite3.Connection, target: Path) -> None:
    """Check what kind of file it is, its version, its pages and its schema.

    Raises:
        LedgerError: it is not an undamaged ledger of this version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise LedgerError(f"{target}: not a ledger of veilight; give the path of the ledger")
    if version not in (VERSION, *_OLDER):
        raise LedgerError(
            f"{target}: schema version {version}, this veilight knows version {VERSION}; open it "
            "with the version of veilight that wrote it"
        )
    problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise LedgerError(
            f"{target}: damaged: {'; '.join(problems)}; restore the newest undamaged copy "
            "together with its head file"
        )
    schema = sorted(row[0] for row in connection.execute("SELECT sql FROM sqlite_master"))
    if schema != sorted(_SCHEMA):
        raise LedgerError(
            f"{target}: damaged: its tables or the triggers that forbid changes were altered; "
            "restore the newest undamaged copy together with its head file"
        )


def row_hash(previous: bytes, entry: int, time: str, kind: str, text: str, payload: bytes) -> bytes:
    """SHA-256 over the hash before and every column of the row, each with its length."""
    sha = hashlib.sha256(previous + struct.pack(">q", entry))
    for part in (time.encode(), kind.encode(), text.encode(), payload):
        sha.update(struct.pack(">q", len(part)) + part)
    return sha.digest()


def canonical(body: Mapping[str, Any]) -> str:
    """The body of a row as text; floats keep every bit, NaN and infinity raise `ValueError`."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)


def label(clock: Clock) -> str:
    """The time as people read it, UTC."""
    return datetime.fromtimestamp(clock(), UTC).isoformat(timespec="milliseconds")


@contextmanager
def refusals(where: Path | str, what: str) -> Iterator[None]:
    """Turn refusals of the system into a `LedgerError` with its cause."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerError(
            f"{where}: {what}: {error}; nothing may be sent. Check that the folder may be written "
            "to, has room and is used by no other program, then open the ledger again"
        ) from error
    except sqlite3.Error as error:
        raise LedgerError(
            f"{where}: {what}: damaged: {error}; restore the newest undamaged copy together with "
            "its head file"
        ) from error
    except OSError as error:
        raise LedgerError(
            f"{where}: {what}: {error}; nothing may be sent. Check that the folder exists, may be "
            "written to and has room, then open the ledger again"
        ) from error
