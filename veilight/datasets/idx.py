"""IDX files, the format of MNIST and its relatives.

Two zero bytes, a type code, the number of dimensions, each size as 32 bits with the highest byte
first, then the values, last index fastest (http://yann.lecun.com/exdb/mnist/).

Nothing that a file says about its own size is believed before the file proves able to hold it.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DataError
from veilight.datasets._build import Part, build, check_is_file
from veilight.datasets._types import MAXIMUM_BYTES, TrainTest

__all__ = ["load_idx_folder", "read_idx"]

_UNSIGNED_BYTE = 0x08
_TYPE_NAMES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20

# The densest deflate code spends two bits on 258 bytes (RFC 1951, 3.2.5): 1032 bytes for one.
_DEFLATE_LARGEST_RATIO = 1032


def read_idx(
    path: Path, *, dimensions: int, maximum_bytes: int = MAXIMUM_BYTES
) -> NDArray[np.float32]:
    """Read one IDX file of unsigned bytes, gzipped or not.

    Whether the file is gzipped is seen from its content: browsers unpack a download and keep the
    ``.gz``. The values go straight into the array that is returned, block by block.

    Args:
        path: The file.
        dimensions: Number of dimensions it must have: 3 for images, 1 for labels.
        maximum_bytes: Cap on the returned array, in bytes.

    Returns:
        The values, 0 to 255, in the shape that the file declares.

    Raises:
        DataError: If the file is missing, damaged, of another kind, or too large.
    """
    check_is_file(path)
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            size = raw.seek(0, 2)
            raw.seek(0)
            if not zipped:
                return _read_values(raw, path, dimensions, size, maximum_bytes, exact=True)
            with gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
                bound = size * _DEFLATE_LARGEST_RATIO
                return _read_values(unzipped, path, dimensions, bound, maximum_bytes, exact=False)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is a damaged or incomplete gzip file ({error}); download it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into this machine's memory; use a smaller set."
        ) from error


def load_idx_folder(
    folder: Path,
    *,
    name: str | None = None,
    source: str | None = None,
    maximum_bytes: int = MAXIMUM_BYTES,
) -> TrainTest:
    """Read the four IDX files of MNIST or a set laid out like it.

    The names are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same with
    ``t10k`` for the test part, with or without ``.gz``; a dot in place of the dash before ``idx``
    is read too. Of several forms of one file, the unpacked one is taken.

    Args:
        folder: Where the files are.
        name: Name of the set; by default that of the folder.
        source: Where the set came from; by default the folder's path.
        maximum_bytes: Cap on each array in memory, in bytes.

    Returns:
        Both parts; inputs ``(samples, rows, columns)``, value range 0 to 255.

    Raises:
        DataError: If a file is missing or damaged, or the files do not belong together.
    """
    train = _read_part(folder, "train", maximum_bytes)
    test = _read_part(folder, "t10k", maximum_bytes)
    return build(
        name=name or folder.resolve().name,
        source=source or f"IDX files in {folder.resolve()}",
        train=train,
        test=test,
        value_range=(0.0, 255.0),
    )


def _read_part(folder: Path, prefix: str, maximum_bytes: int) -> Part:
    """Images and labels of one part, as many of one as of the other."""
    images_path = _find(folder, f"{prefix}-images", "idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels", "idx1-ubyte")
    labels = read_idx(labels_path, dimensions=1, maximum_bytes=maximum_bytes)
    images = read_idx(images_path, dimensions=3, maximum_bytes=maximum_bytes)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path.name} holds {len(labels)} "
            "labels; the two files do not belong together, so download both again."
        )
    return images, labels.astype(np.int64)


def _find(folder: Path, stem: str, kind: str) -> Path:
    """The first form of one file that is there."""
    names = [f"{stem}{joint}{kind}{ending}" for ending in ("", ".gz") for joint in ("-", ".")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"the data folder {folder} has no {stem}-{kind} or {stem}-{kind}.gz; it must hold the four "
        "IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        "t10k-labels-idx1-ubyte, each with or without .gz."
    )


def _read_values(
    stream: BinaryIO | gzip.GzipFile,
    path: Path,
    dimensions: int,
    size: int,
    maximum_bytes: int,
    *,
    exact: bool,
) -> NDArray[np.float32]:
    """Header, checks, values and end of a file that holds `size` bytes, or at most that many."""
    shape = _read_shape(stream, path, dimensions)
    count = math.prod(shape)
    needed = 4 + 4 * len(shape) + count
    declared = f"its header declares {' x '.join(map(str, shape))} values ({needed} bytes in all)"
    if needed > size or (exact and needed < size):
        limit = "" if exact else "at most "
        raise DataError(
            f"{path} is damaged: {declared}, but the file holds {limit}{size}; download it again."
        )
    if 4 * count > maximum_bytes:
        raise DataError(
            f"{path} is too large: {declared}, {4 * count} bytes in memory; the cap is "
            f"{maximum_bytes} bytes. Use a smaller set, or raise maximum_bytes."
        )
    values = np.empty(shape, dtype=np.float32)
    _fill(stream, path, values.reshape(-1))
    if stream.read(1):
        raise DataError(f"{path} is damaged: {declared}, but more follow; download it again.")
    return values


def _read_shape(stream: BinaryIO | gzip.GzipFile, path: Path, dimensions: int) -> tuple[int, ...]:
    """Shape from the header of a file of unsigned bytes with that many dimensions."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00" or magic[2] not in _TYPE_NAMES:
        raise DataError(
            f"{path} is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}, where two "
            "zero bytes, a type code and the number of dimensions should be; check the download."
        )
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"{path} holds {_TYPE_NAMES[magic[2]]} (type code 0x{magic[2]:02X}); only unsigned "
            "bytes (0x08) are read. Save the data as an .npz file with the keys x_train, y_train, "
            "x_test and y_test."
        )
    if magic[3] != dimensions:
        raise DataError(
            f"{path} has {magic[3]} dimensions, {dimensions} are needed here; have images and "
            "labels been swapped?"
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path} ends inside its header; download it again.")
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    if 0 in shape:
        raise DataError(f"{path} is empty: its header declares the shape {shape}.")
    return shape


def _fill(stream: BinaryIO | gzip.GzipFile, path: Path, values: NDArray[np.float32]) -> None:
    """Fill a flat array, one byte of the stream per value."""
    done = 0
    while done < len(values):
        block = stream.read(min(_BLOCK_BYTES, len(values) - done))
        if not block:
            raise DataError(f"{path} ends after {done} of {len(values)} values; download it again.")
        values[done : done + len(block)] = np.frombuffer(block, dtype=np.uint8)
        done += len(block)
