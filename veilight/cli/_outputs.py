"""Where results go: checked before any work is done, written whole or not at all."""

import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from drivers.errors import OutputError

__all__ = ["default_folder", "prepare_file", "prepare_folder", "write_text"]


def default_folder(command: str) -> Path:
    """`runs/<time>-<command>` in the present folder, the time in UTC."""
    return Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{command}"


def prepare_folder(folder: Path, names: Sequence[str] = (), *, overwrite: bool) -> None:
    """Make a folder and make sure that files of these names can be written there.

    Raises:
        OutputError: it cannot be made or written to, or a file exists already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError as error:
        raise OutputError(
            f"output folder {folder} is not a directory but a file; choose another folder"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"output folder {folder} cannot be written: {reason}; choose a folder that you may "
            "write to"
        ) from error
    for name in names:
        if not overwrite and os.path.lexists(folder / name):
            raise OutputError(
                f"{folder / name} exists already; choose another folder or add --overwrite"
            )


def prepare_file(path: Path, suffix: str, *, overwrite: bool) -> None:
    """As `prepare_folder`, for one file whose name must end in `suffix`.

    Raises:
        OutputError: another suffix, a folder that cannot be written, or a file that exists.
    """
    if path.suffix != suffix:
        raise OutputError(f"{path}: the file is named NAME{suffix}; rename it")
    prepare_folder(path.parent, [path.name], overwrite=overwrite)


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is complete or absent, whatever happens in between.

    Raises:
        OutputError: the system refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            with temporary.open("x", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path} cannot be written: {reason}; choose a folder that may be written to and has "
            "room"
        ) from error
