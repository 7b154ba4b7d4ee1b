"""The head of a ledger: a small file beside it that says how far the ledger has come.

A database alone cannot tell that it is an older copy of itself. The head names the number of
entries and the hash of the last one; it is replaced atomically after every commit.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import LedgerError

__all__ = ["LedgerHead", "check_head", "head_path", "read_head", "sync_folder", "write_head"]


@dataclass(frozen=True, kw_only=True)
class LedgerHead:
    """Where a ledger stands; worth a line in the record of every run.

    Args:
        entries: number of rows of the ledger, its creation included.
        hash: SHA-256 of the last row in hexadecimal; it covers all rows before.
    """

    entries: int
    hash: str


def head_path(ledger: Path) -> Path:
    """The head file that belongs to a ledger: `<ledger>.head`."""
    return ledger.with_name(f"{ledger.name}.head")


def read_head(ledger: Path) -> LedgerHead | None:
    """The head of a ledger, or None where there is no head file.

    Raises:
        LedgerError: the file is damaged.
        OSError: it cannot be read.
    """
    path = head_path(ledger)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(content)
        entries, digest = fields["entries"], fields["hash"]
        if type(entries) is not int or type(digest) is not str:
            raise TypeError("wrong types")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(
            f"{path}: the head file of the ledger is damaged ({error}); restore ledger and head "
            "together from the newest backup, and charge by hand what was spent since"
        ) from error
    return LedgerHead(entries=entries, hash=digest)


def write_head(ledger: Path, head: LedgerHead) -> None:
    """Replace the head file: complete and on disk when this returns.

    Raises:
        OSError: the system refuses the write; the old head is then still whole.
    """
    path = head_path(ledger)
    # One owner at a time (the lock), so one name will do and a crash leaves no litter behind.
    temporary = path.with_name(f"{path.name}.tmp")
    text = json.dumps({"entries": head.entries, "hash": head.hash})
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text + "\n")
        stream.flush()
        _sync(stream.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def check_head(
    ledger: Path, recorded: LedgerHead | None, found: LedgerHead, previous_hash: str
) -> bool:
    """Compare the head file with what the database holds.

    Args:
        ledger: path, for messages.
        recorded: what the head file says; None if it is missing.
        found: what the database holds.
        previous_hash: hash of the last row but one of the database, in hexadecimal.

    Returns:
        Whether the head file must be repaired: a crash came between commit and head.

    Raises:
        LedgerError: the head is missing, or ledger and head do not belong together.
    """
    if recorded is None:
        raise LedgerError(
            f"{ledger}: the head file {head_path(ledger).name} is missing, but the ledger has "
            f"{found.entries} entries, so nothing shows that it is the newest copy; restore the "
            "head file that was beside it"
        )
    if recorded == found:
        return False
    if recorded == LedgerHead(entries=found.entries - 1, hash=previous_hash):
        return True
    if recorded.entries > found.entries:
        what = "the ledger was rolled back to an older copy, or cut"
    elif recorded.entries < found.entries - 1:
        what = "the head file was rolled back to an older copy, or belongs to another ledger"
    else:
        what = "the ledger was rolled back and written again, or the head is another ledger's"
    raise LedgerError(
        f"{ledger}: {what}: the ledger holds {found.entries} entries ending in "
        f"{found.hash[:12]}, its head file says {recorded.entries} ending in "
        f"{recorded.hash[:12]}; restore the newest ledger together with its head file"
    )


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    # macOS: fsync leaves the data in the drive's cache, only F_FULLFSYNC asks the drive as well.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined,unused-ignore]
        return
    os.fsync(descriptor)
