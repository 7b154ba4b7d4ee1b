"""Files that appear whole or not at all, whatever happens while they are written."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

__all__ = ["replace_files", "sync", "temporary_beside"]


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A name for a temporary file in the folder of `target`; what is left of it is removed."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()


def replace_files(
    files: Sequence[tuple[Path, bytes]], *, before_rename: Callable[[], None] = lambda: None
) -> None:
    """Write temporary files beside their targets, sync them all, rename them, sync the folder.

    A crash between two renames leaves the later files as they were.

    Args:
        files: target and content in the order of the renames, all in one folder; a target that
            exists is replaced.
        before_rename: last look before the names are taken; what it raises leaves all as it was.

    Raises:
        OSError: the system refuses.
        ValueError: a name holds a character that no file name may hold.
    """
    with ExitStack() as temporaries:
        waiting = []
        for target, content in files:
            temporary = temporaries.enter_context(temporary_beside(target))
            with temporary.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            waiting.append((temporary, target))
        before_rename()
        for temporary, target in waiting:
            os.replace(temporary, target)
        sync(files[0][0].parent)


def sync(path: Path) -> None:
    """Make the content of a closed file, or the names in a folder, survive a loss of power.

    Raises:
        OSError: the system refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
