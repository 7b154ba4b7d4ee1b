"""The head of a ledger: a small file beside it that says how far the ledger has come.

A database alone cannot tell that it is an older copy of itself. The head names the number of
entries and the hash of the last one, and is moved on after every commit. The file is text: two
slots of a disk block each, written in turn, each with a check sum of its own. A crash can spoil the
slot that is being written, never the other one.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import LedgerError

__all__ = [
    "LedgerHead",
    "check_head",
    "create_head",
    "head_path",
    "read_head",
    "sync_folder",
    "write_head",
]

_SLOT_BYTES = 4096


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


def create_head(ledger: Path, head: LedgerHead) -> None:
    """Write a new head file: complete and on disk when this returns, or not there.

    Raises:
        OSError: the system refuses the write.
    """
    path = head_path(ledger)
    # One owner at a time (the lock), so one name will do and a crash leaves no litter behind.
    temporary = path.with_name(f"{path.name}.tmp")
    slots = [_blank(), _blank()]
    slots[head.entries % 2] = _slot(head)
    with open(temporary, "wb") as stream:
        stream.write(b"".join(slots))
        stream.flush()
        _sync(stream.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_head(ledger: Path, head: LedgerHead) -> None:
    """Move an existing head on: on disk when this returns.

    Overwrites the slot of the head before the last, so that one whole head is there at any time;
    renaming a new file would do as well, but costs four times the time on a disk.

    Raises:
        OSError: the head file is gone or the system refuses the write.
    """
    descriptor = os.open(head_path(ledger), os.O_WRONLY)
    try:
        slot = _slot(head)
        if os.pwrite(descriptor, slot, (head.entries % 2) * _SLOT_BYTES) != len(slot):
            raise OSError("the head file was written in part")
        _sync(descriptor)
    finally:
        os.close(descriptor)


def read_head(ledger: Path) -> LedgerHead | None:
    """The newest whole head of a ledger, or None where there is no head file.

    Raises:
        LedgerError: the file is damaged.
        OSError: it cannot be read.
    """
    path = head_path(ledger)
    try:
        with open(path, "rb") as stream:
            content = stream.read(2 * _SLOT_BYTES + 1)
    except FileNotFoundError:
        return None
    slots = (content[:_SLOT_BYTES], content[_SLOT_BYTES:])
    heads = [head for head in map(_parse, slots) if head is not None]
    if not heads:
        raise LedgerError(
            f"{path}: the head file of the ledger is damaged; restore ledger and head together "
            "from the newest backup, and charge by hand what was spent since"
        )
    return max(heads, key=lambda head: head.entries)


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
        f"{recorded.hash[:12]}; restore the newest ledger together with its head file, and after "
        "a crash its -wal file"
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


def _slot(head: LedgerHead) -> bytes:
    text = f"{head.entries} {head.hash}"
    check = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text} {check}".ljust(_SLOT_BYTES - 1).encode() + b"\n"


def _blank() -> bytes:
    return b" " * (_SLOT_BYTES - 1) + b"\n"


def _parse(slot: bytes) -> LedgerHead | None:
    try:
        entries, digest, _ = slot.decode("ascii").split()
        head = LedgerHead(entries=int(entries), hash=digest)
    except ValueError:
        return None
    return head if _slot(head) == slot else None


def _sync(descriptor: int) -> None:
    # macOS: fsync leaves the data in the drive's cache, only F_FULLFSYNC asks the drive as well.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined,unused-ignore]
        return
    os.fsync(descriptor)
