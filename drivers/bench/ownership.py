"""Who owns an instrument: one process at a time, by a lock that dies with its process.

A file per address in a folder of the user, held by flock(2) on an open file. The system lets go of
it when the process ends, however it ends, so that nothing has to be cleaned up by hand. What is in
the file says who the owner is; whether there is one is only said by the lock.

What it does not see: processes of other users, which have a folder of their own, and processes on
other computers, as at an instrument with an address on the network. A folder on a network file
system, where locks may be missing or local, is refused by nobody: do not point XDG_RUNTIME_DIR or
TMPDIR at one.
"""

import fcntl
import getpass
import hashlib
import json
import logging
import os
import stat
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from drivers.bench.processes import start_of
from drivers.errors import OwnershipError
from drivers.instruments import Clock, SystemClock

__all__ = ["Claim", "Ownership", "runtime_folder"]

_LOG = logging.getLogger("veilight.bench")
_POLL_S = 0.01
_MOST_BYTES = 4096


def runtime_folder() -> Path:
    """Folder of this user for what lives as long as the computer runs; made if it is missing.

    `veilight` in XDG_RUNTIME_DIR, which is also found where only the environment is missing, as in
    cron; else `veilight-UID` in the folder for temporary files.

    Raises:
        OwnershipError: it cannot be made, or somebody else could write there.
    """
    user = os.getuid()
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    for base in (Path(named) if named else None, Path(f"/run/user/{user}")):
        if base is not None and base.is_absolute() and os.access(base, os.W_OK | os.X_OK):
            return _own_folder(base / "veilight")
    return _own_folder(Path(tempfile.gettempdir()) / f"veilight-{user}")


class Claim:
    """An instrument that belongs to this process until `release`, or until the process ends."""

    def __init__(self, held: "_Held", owner: "Ownership") -> None:
        self._held: _Held | None = held
        self._owner = owner

    @property
    def address(self) -> str:
        """Of the instrument."""
        held = self._held
        return "" if held is None else held.address

    def release(self) -> None:
        """Let go of the instrument; idempotent."""
        held, self._held = self._held, None
        if held is not None:
            self._owner._let_go(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Ownership:
    """The instruments that one bench claims. Nothing is written before the first claim.

    A process that is forked from the owner owns nothing: its copies of the locks are closed.

    Args:
        directory: of the lock files; the user's own by default.
        wait_s: how long a claim waits for an owner that is about to end.
        clock: for the wait.
    """

    def __init__(
        self, directory: Path | None = None, *, wait_s: float = 0.0, clock: Clock | None = None
    ) -> None:
        self._directory = directory
        self._wait_s = wait_s
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        _ALL.add(self)

    def claim(self, address: str, *, role: str, bench: str) -> Claim:
        """Own an instrument.

        A second claim of the same address by the same bench is counted: two roles of one box.

        Args:
            address: of the instrument, as in the bench file.
            role: that the instrument fills.
            bench: name of the bench.

        Raises:
            OwnershipError: it belongs to another process, or to another bench of this one.
        """
        key = _key(address)
        with self._lock:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = self._taken(key, address, role, bench)
            elif held.bench != bench:
                raise OwnershipError(
                    f"{role}: the instrument at {address} belongs to the bench {held.bench!r} of "
                    "this program; close that bench first"
                )
            held.count += 1
        return Claim(held, self)

    def _taken(self, key: str, address: str, role: str, bench: str) -> "_Held":
        folder = runtime_folder() if self._directory is None else _own_folder(self._directory)
        path = folder / f"{key}.lock"
        descriptor = _open(path, role, address)
        try:
            self._lock_file(descriptor, address, role)
            left = _content(descriptor)
            if left:
                _LOG.warning(
                    "%s: %s belonged to process %s, which has ended; taken over",
                    role,
                    address,
                    left.get("pid", "unknown"),
                )
            _write(descriptor, _about(address, role, bench))
        except BaseException:
            os.close(descriptor)
            raise
        return _Held(key=key, address=address, bench=bench, descriptor=descriptor)

    def _lock_file(self, descriptor: int, address: str, role: str) -> None:
        deadline = self._clock.now() + self._wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if self._clock.now() >= deadline:
                    raise _refusal(address, role, _content(descriptor)) from error
                self._clock.sleep(_POLL_S)
            else:
                return

    def _let_go(self, held: "_Held") -> None:
        with self._lock:
            held.count -= 1
            if held.count or self._held.get(held.key) is not held:
                return
            del self._held[held.key]
            # The file stays: removing it would let two processes lock two files of one name.
            os.ftruncate(held.descriptor, 0)
            fcntl.flock(held.descriptor, fcntl.LOCK_UN)
            os.close(held.descriptor)

    def _forget(self) -> None:
        """In a forked process: close the copies without unlocking, the locks are the parent's."""
        self._lock = threading.Lock()
        for held in self._held.values():
            os.close(held.descriptor)
        self._held.clear()


@dataclass(kw_only=True, eq=False)
class _Held:
    """A lock that is held, and for how many claims."""

    key: str
    address: str
    bench: str
    descriptor: int
    count: int = 0


_ALL: "weakref.WeakSet[Ownership]" = weakref.WeakSet()


def _forget_all() -> None:
    for ownership in list(_ALL):
        ownership._forget()


os.register_at_fork(after_in_child=_forget_all)


def _key(address: str) -> str:
    """One name for every way to write the same address."""
    from drivers.transports.pool import socket_of

    text = address.strip()
    place = socket_of(text)
    if place is not None:
        text = f"{place[0]}:{place[1]}"
    elif text.startswith("/"):
        text = os.path.realpath(text)  # names under /dev/serial/by-id are links
    # Schemes, VISA names and hosts are the same in any case; device files are not.
    text = text if text.startswith("/") else text.casefold()
    readable = "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:40]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _own_folder(folder: Path) -> Path:
    """Make a folder that only this user can use, and make sure that it is that."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise OwnershipError(
            f"the folder of lock files {folder} cannot be made: {error.strerror}; set "
            "XDG_RUNTIME_DIR to a folder of your own"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OwnershipError(
            f"the folder of lock files {folder} is of user {found.st_uid} or no folder; remove it, "
            "or set XDG_RUNTIME_DIR to a folder of your own"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise OwnershipError(
            f"the folder of lock files {folder} has mode {stat.S_IMODE(found.st_mode):o}; others "
            f"could take instruments away: chmod 700 {folder}"
        )
    return folder


def _open(path: Path, role: str, address: str) -> int:
    try:
        # Closed in every program that is started from here: Python opens so by default.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise OwnershipError(
            f"{role}: the lock file {path} of {address} cannot be opened: {error.strerror}; look "
            "at the folder's permissions and free space"
        ) from error


def _about(address: str, role: str, bench: str) -> dict[str, object]:
    pid = os.getpid()
    return {
        "address": address,
        "pid": pid,
        "started": start_of(pid),
        "user": _user(),
        "program": " ".join(sys.argv[:3]) or sys.executable,
        "role": role,
        "bench": bench,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _write(descriptor: int, about: dict[str, object]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(about).encode()[:_MOST_BYTES], 0)


def _content(descriptor: int) -> dict[str, object]:
    """What a lock file says; nothing where it is empty or damaged."""
    try:
        found = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(address: str, role: str, owner: dict[str, object]) -> OwnershipError:
    if not owner:
        return OwnershipError(
            f"{role}: the instrument at {address} belongs to another process, which does not say "
            "who it is; end other programs that use instruments, or wait for them"
        )
    pid = owner.get("pid")
    own = pid == os.getpid()
    remedy = "close the other bench first" if own else f"end process {pid}, or wait for it"
    return OwnershipError(
        f"{role}: the instrument at {address} belongs to process {pid} ({owner.get('program')}) "
        f"of {owner.get('user')}, bench {owner.get('bench')!r}, since {owner.get('since')}; "
        f"{remedy}"
    )
