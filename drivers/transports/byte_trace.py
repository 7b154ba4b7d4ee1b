"""Every byte of a link in a text file, for finding out who said what."""

import threading
import time
from pathlib import Path
from typing import TextIO

from drivers.errors import OutputError

__all__ = ["ByteTrace"]

_LONGEST = 256


class ByteTrace:
    r"""Appends one line per piece: time, direction, address, bytes as an escaped text.

    `2026-01-31T12:00:00.123456 > 192.168.1.5:5025 14 b'*IDN?\n'`. Blocks of more than 256 bytes are
    shortened unless `whole`.

    Args:
        path: the file; it is appended to, readable for its owner alone.
        whole: write long blocks in full; they may hold secrets.

    Raises:
        OutputError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self._whole = whole
        self._lock = threading.Lock()
        try:
            path.touch(mode=0o600)
            self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputError(
                f"byte trace {path} cannot be written: {error.strerror or error}; choose another "
                "file"
            ) from error

    def write(self, direction: str, address: str, data: bytes | bytearray | memoryview) -> None:
        """Add a piece.

        Args:
            direction: `>` to the instrument, `<` from it, `!` for what happened to the link.
            address: of the link.
            data: the bytes.
        """
        shown = bytes(data if self._whole else data[:_LONGEST])
        more = "" if len(shown) == len(data) else " ..."
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now))
        text = f"{stamp}.{int(now % 1 * 1e6):06d} {direction} {address} {len(data)} {shown!r}{more}"
        with self._lock:
            self._file.write(text + "\n")

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._file.close()
