"""The calibration store: one HDF5 file per bench to which results are added and never changed.

A result is a group `results/000001`, `results/000002`, ... that names the hash of its own content
and that of the result before it. Adding one writes a copy of the whole file, syncs it and renames
it over the old one: whatever stops the program, the file is the old one or the new one.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration._hdf5 import read_result, write_result
from calibration._seal import SEAL_BYTES, check_seal, seal
from calibration.result import Result
from drivers.errors import CalibrationError
from drivers.files import sync, temporary_beside

__all__ = ["FORMAT_VERSION", "Entry", "Store"]

FORMAT_VERSION = 1
"""Version of the layout that this code writes, and the newest that it reads."""

_LEAST_ID_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the store's list.

    Args:
        number: running number, from 1.
        routine: name of the routine.
        id: of the result.
        time_utc: when it was finished, ISO 8601.
        simulated: True if the light was not real.
    """

    number: int
    routine: str
    id: str
    time_utc: str
    simulated: bool


class Store:
    """The results of one bench.

    Args:
        path: the file; it appears with the first result.
        bench: name of the bench; a file of another bench is refused.
    """

    def __init__(self, path: Path, *, bench: str) -> None:
        # A link keeps its place: the rename must hit the file that it points to.
        self._path = path.resolve()
        self._bench = bench

    @classmethod
    def at(cls, path: Path) -> "Store":
        """The store that a file holds, of whichever bench it is.

        Args:
            path: the file, which exists.

        Raises:
            CalibrationError: the file is missing, damaged or of a newer format.
        """
        store = cls(path, bench="")
        with store._sealed() as file:
            return cls(path, bench=str(file.attrs["bench"]))

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def bench(self) -> str:
        """Name of the bench."""
        return self._bench

    def append(self, result: Result) -> int:
        """Add a result and return its running number.

        Args:
            result: of this bench.

        Raises:
            CalibrationError: it is of another bench, the file is damaged or of a newer format, or
                the system refuses the write.
        """
        if result.bench != self._bench:
            raise CalibrationError(
                f"{self._path}: a result of bench {result.bench!r} does not belong in the store of "
                f"bench {self._bench!r}; give each bench its own store"
            )
        with self._only_writer(), temporary_beside(self._path) as temporary:
            if self._path.exists():
                entries = self.entries()
                with self._named():
                    shutil.copy(self._path, temporary)
            else:
                entries = ()
            with self._opened(temporary, "r+" if entries else "x") as file:
                self._add(file, entries, result)
            with self._named():
                seal(temporary, FORMAT_VERSION)
                os.replace(temporary, self._path)
                sync(self._path.parent)
        return len(entries) + 1

    def entries(self) -> tuple[Entry, ...]:
        """All results, oldest first; empty if there is no file yet.

        Raises:
            CalibrationError: the file is damaged, of another bench or of a newer format.
        """
        if not self._path.exists():
            return ()
        with self._read() as file:
            return self._list(file)

    def history(self, routine: str) -> tuple[Result, ...]:
        """All results of a routine, oldest first.

        Raises:
            CalibrationError: the file is damaged, of another bench or of a newer format.
        """
        return tuple(self._load(entry) for entry in self.entries() if entry.routine == routine)

    def latest(self, routine: str) -> Result | None:
        """The newest result of a routine; None if there is none.

        Raises:
            CalibrationError: the file is damaged, of another bench or of a newer format.
        """
        found = [entry for entry in self.entries() if entry.routine == routine]
        return self._load(found[-1]) if found else None

    def latest_ids(self) -> dict[str, str]:
        """Routine -> id of its newest result.

        Raises:
            CalibrationError: the file is damaged, of another bench or of a newer format.
        """
        return {entry.routine: entry.id for entry in self.entries()}

    def get(self, id: str) -> Result:
        """The result with this id.

        Args:
            id: all of it, or its first digits, at least 8, if no other begins with them.

        Raises:
            CalibrationError: none or several have it, or the file is not to be trusted.
        """
        if len(id) < _LEAST_ID_DIGITS:
            raise CalibrationError(f"{id!r} is too short; give at least {_LEAST_ID_DIGITS} digits")
        found = {entry.id: entry for entry in self.entries() if entry.id.startswith(id)}
        if len(found) != 1:
            raise CalibrationError(
                f"{self._path}: {len(found) or 'no'} results begin with {id!r}; "
                "list the store and give more digits of one"
            )
        return self._load(next(iter(found.values())))

    def _load(self, entry: Entry) -> Result:
        with self._read() as file:
            result = read_result(file["results"][_group_name(entry.number)])
        if result.id != entry.id:
            raise CalibrationError(
                f"{self._path}: result {entry.number} ({entry.routine}) was changed or damaged "
                f"after it was written: its content has hash {result.id[:12]}, it says "
                f"{entry.id[:12]}; restore the file from a copy"
            )
        return result

    def _list(self, file: Any) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for number, name in enumerate(sorted(file["results"]), start=1):
            attributes = file["results"][name].attrs
            previous = entries[-1].id if entries else ""
            if name != _group_name(number) or str(attributes["previous"]) != previous:
                raise CalibrationError(
                    f"{self._path}: result {number} is missing or out of order; "
                    "restore the file from a copy"
                )
            entries.append(
                Entry(
                    number=number,
                    routine=str(attributes["routine"]),
                    id=str(attributes["id"]),
                    time_utc=str(attributes["time_utc"]),
                    simulated=bool(attributes["simulated"]),
                )
            )
        return tuple(entries)

    def _add(self, file: Any, entries: tuple[Entry, ...], result: Result) -> None:
        if not entries:
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["bench"] = self._bench
        group = file.require_group("results").create_group(_group_name(len(entries) + 1))
        group.attrs["previous"] = entries[-1].id if entries else ""
        write_result(group, result)

    @contextlib.contextmanager
    def _read(self) -> Iterator[Any]:
        """The store of this bench, open for reading."""
        with self._sealed() as file:
            if str(file.attrs["bench"]) != self._bench:
                raise CalibrationError(
                    f"{self._path}: the store of bench {str(file.attrs['bench'])!r}, not of "
                    f"{self._bench!r}; give each bench its own store"
                )
            yield file

    @contextlib.contextmanager
    def _sealed(self) -> Iterator[Any]:
        """The file, open for reading, after its checksum was found right."""
        with self._named():
            check_seal(self._path, FORMAT_VERSION)
        with self._opened(self._path, "r") as file:
            yield file

    @contextlib.contextmanager
    def _opened(self, path: Path, mode: str) -> Iterator[Any]:
        import h5py

        block = SEAL_BYTES if mode == "x" else None
        with (
            self._named(),
            h5py.File(
                path, mode, userblock_size=block, libver=("v110", "v110"), locking=False
            ) as file,
        ):
            yield file

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what HDF5 and the system raise into a refusal that names the file."""
        try:
            yield
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CalibrationError(
                f"{self._path}: the store cannot be used: {error}; if it is damaged, restore it "
                "from a copy, else check the folder, its permissions and its room"
            ) from error

    @contextlib.contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Hold the lock beside the store; it outlives the renames of the store itself."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        with self._named(), contextlib.ExitStack() as stack:
            stream = stack.enter_context(lock.open("ab"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CalibrationError(
                    f"{self._path}: another program is writing to the store; wait for it to end"
                ) from error
            yield


def _group_name(number: int) -> str:
    return f"{number:06d}"
