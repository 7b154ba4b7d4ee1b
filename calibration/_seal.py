"""A checksum of a whole HDF5 file in its user block, which HDF5 leaves alone.

It is checked before HDF5 sees the file: a single flipped bit can send the HDF5 library into an
endless loop instead of an error.
"""

import hashlib
import os
from pathlib import Path

from drivers.errors import CalibrationError

__all__ = ["SEAL_BYTES", "check_seal", "seal"]

SEAL_BYTES = 512
"""Size of the user block, the smallest that HDF5 allows."""

_MARK = b"veilight-calibration "


def seal(path: Path, version: int) -> None:
    """Write format version and checksum into the user block of a closed file.

    Args:
        path: an HDF5 file with a user block of `SEAL_BYTES`.
        version: of its layout.

    Raises:
        OSError: the system refuses.
    """
    with path.open("r+b") as stream:
        stream.write(_seal_text(path, version))
        stream.flush()
        os.fsync(stream.fileno())


def check_seal(path: Path, newest: int) -> None:
    """Refuse a file that was changed since it was sealed.

    Args:
        path: the file.
        newest: newest format version that may pass.

    Raises:
        CalibrationError: it is no store, of a newer format, or changed.
        OSError: the system refuses.
    """
    with path.open("rb") as stream:
        found = stream.read(SEAL_BYTES)
    words = found.removeprefix(_MARK).split(b"\n", 1)[0]
    if not found.startswith(_MARK) or not words.isdigit():
        raise CalibrationError(
            f"{path}: not a calibration store, or damaged at its beginning; give its path, or "
            "restore it from a copy"
        )
    if int(words) > newest:
        raise CalibrationError(
            f"{path}: format {int(words)} is newer than {newest}, the newest that this veilight "
            "reads; update veilight"
        )
    if found != _seal_text(path, int(words)):
        raise CalibrationError(
            f"{path}: the store is damaged: its content does not have the checksum that was "
            "written with it; restore it from a copy"
        )


def _seal_text(path: Path, version: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(SEAL_BYTES)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return _MARK + f"{version}\nsha256 {digest}\n".encode().ljust(SEAL_BYTES - len(_MARK), b"\0")
