"""How model files touch the disk: capped reads of regular files, synced writes that replace."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drivers.errors import ModelError, OutputError
from drivers.files import replace_files

__all__ = ["MAX_FILE_BYTES", "in_file", "read_capped", "write_together"]

MAX_FILE_BYTES = (1 << 31) - 1
"""Largest model file that is read or written: 2 GiB less one byte, the limit of an ONNX file."""


def read_capped(path: Path, cap: int, hint: str) -> bytes:
    """The whole content of a regular file of at most `cap` bytes.

    Args:
        path: the file; a pipe, device or folder is refused without blocking on it.
        cap: largest size in bytes; checked before anything is read.
        hint: what to do when the file does not exist or is too large.

    Raises:
        ModelError: missing, unreadable, not a regular file, or larger than `cap`.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path}: not a regular file; give the path of a model file")
            if status.st_size > cap:
                raise ModelError(
                    f"{path}: {status.st_size} bytes exceed the cap of {cap} bytes; {hint}"
                )
            return stream.read(status.st_size)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; {hint}") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path}: a folder, not a file; give the path of a model file") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; check path and permissions") from error


def write_together(files: Sequence[tuple[Path, bytes]], *, overwrite: bool) -> None:
    """Write files so that each is complete or absent, whatever happens in between.

    All contents go to temporary files beside their targets and are synced; only then are they
    renamed, in the order given. A crash between two renames leaves the later files as they were.

    Args:
        files: target and content, all targets in one folder.
        overwrite: replace targets that exist.

    Raises:
        OutputError: a target exists and `overwrite` is false, or the system refuses the write.
    """
    for target, _ in files:
        if not overwrite and os.path.lexists(target):
            raise OutputError(
                f"{target}: exists already; choose another name or allow it to be overwritten"
            )
    try:
        replace_files(files)
    except (OSError, ValueError) as error:
        names = " and ".join(target.name for target, _ in files)
        raise OutputError(
            f"cannot write {names} in {files[0][0].parent}: {error}; choose a folder that exists, "
            "may be written to and has room"
        ) from error


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Put the name of the file in front of every `ModelError` that is raised inside."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would otherwise wait for ever.
    return os.open(path, flags | os.O_NONBLOCK)
