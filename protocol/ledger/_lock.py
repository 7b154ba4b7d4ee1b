"""The owner lock of a ledger: one process at a time, recovered by itself when its owner dies."""

import os
from pathlib import Path

from drivers.errors import LedgerError

__all__ = ["OwnerLock"]


class OwnerLock:
    """An exclusive `flock` on `<ledger>.lock`, which also holds the process id of the owner.

    The kernel drops the lock when the owner dies, however it dies; the file stays and means nothing
    by itself. It is never deleted: a process that had opened the old file could then own the ledger
    together with one that made a new file. Without `fcntl` only SQLite's own exclusive lock stands.

    Args:
        ledger: path of the ledger.

    Raises:
        LedgerError: another process, or another part of this one, owns the ledger.
        OSError: the lock file cannot be written.
    """

    def __init__(self, ledger: Path) -> None:
        path = ledger.with_name(f"{ledger.name}.lock")
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._descriptor, ledger)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the lock; harmless when it is free already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, ledger: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        where = "this process itself" if owner == str(os.getpid()) else "another process"
        raise LedgerError(
            f"{ledger}: in use by process {owner} ({where}); two runs must not spend from one "
            "ledger at once. Wait for it to end, or end it"
        ) from error
