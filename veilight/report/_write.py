"""A text file that appears whole or not at all."""

import os
from pathlib import Path

from drivers.errors import OutputError
from drivers.files import replace_files

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

    def last_look() -> None:
        if not overwrite:
            check_free(path)

    try:
        replace_files([(path, text.encode("utf-8", errors="replace"))], before_rename=last_look)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"report {path}: cannot be written: {error}; choose a folder that exists, may be "
            "written to and has room"
        ) from error
