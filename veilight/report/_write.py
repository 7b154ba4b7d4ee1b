"""A text file that appears whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from drivers.errors import OutputError

__all__ = ["check_free", "write_whole"]


def check_free(path: Path) -> None:
    """Refuse a path at which something exists.

    Raises:
        OutputError: it is taken.
    """
    if os.path.lexists(path):
        raise OutputError(
            f"report {path}: exists already; choose another name or allow it to be overwritten"
        )


def write_whole(path: Path, text: str, *, overwrite: bool) -> None:
    """Write UTF-8 text to a temporary file beside `path`, sync it, then give it its name.

    Args:
        path: the file.
        text: its content.
        overwrite: replace a file that exists.

    Raises:
        OutputError: the file exists and `overwrite` is false, or the system refuses the write.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(text.encode("utf-8", errors="replace"))
            stream.flush()
            os.fsync(stream.fileno())
        if not overwrite:
            check_free(path)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"report {path}: cannot be written: {error}; choose a folder that exists, may be "
            "written to and has room"
        ) from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()
