"""Data sets of one's own: numpy archives (.npz) and tables of numbers (.csv)."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DataError
from veilight.datasets._build import Part, build, build_by_split, check_is_file
from veilight.datasets._csv import read_csv
from veilight.datasets._types import MAXIMUM_BYTES, MAXIMUM_CLASSES, TrainTest

__all__ = ["load_csv", "load_npz"]

_TWO_PARTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_data", "train_labels", "test_data", "test_labels"),
)
_ONE_PIECE = (
    ("x", "y"),
    ("inputs", "labels"),
    ("images", "labels"),
    ("data", "labels"),
    ("data", "target"),
)
_CHANNELS = (1, 3, 4)
"""Sizes of an image's last axis that are taken for channels."""

# As in the IDX reader: no deflate stream unpacks to more than this many times its size.
_DEFLATE_LARGEST_RATIO = 1032


def load_csv(
    path: Path,
    *,
    label_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    maximum_bytes: int = MAXIMUM_BYTES,
) -> TrainTest:
    """Read a table of numbers, one sample a line, separated by commas.

    The first line is a header if it has a cell ``label``, does not end in a number, or has more
    words than numbers. The label is the column `label_column` (which needs a header); without it
    the column headed ``label``, and else the last one. It holds class numbers from 0.

    Args:
        path: The file, UTF-8.
        label_column: Heading of the column that holds the class numbers.
        test_fraction: Fraction of each class for the test part, above 0 and below 1.
        seed: Seed of the split, 0 or above.
        maximum_bytes: Cap on the inputs in memory, in bytes.

    Returns:
        Both parts; inputs ``(samples, columns)``, value range that of the training part.

    Raises:
        DataError: If a cell is no finite number or a label no class number, with the line; or if
            the file is missing, ragged or too large.
    """
    check_is_file(path)
    return build_by_split(
        name=path.stem,
        source=f"table {path.resolve()}",
        whole=read_csv(path, label_column=label_column, maximum_bytes=maximum_bytes),
        test_fraction=test_fraction,
        seed=seed,
    )


def load_npz(
    path: Path,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    maximum_bytes: int = MAXIMUM_BYTES,
) -> TrainTest:
    """Read a numpy archive with inputs and labels.

    The keys are ``x_train``, ``y_train``, ``x_test`` and ``y_test``; the same as ``train_x`` and so
    on, or ``train_images`` (or ``train_data``) and ``train_labels`` and so on; or, for a set in one
    piece, ``x`` and ``y``, ``inputs``, ``images`` or ``data`` and ``labels``, or ``data`` and
    ``target``. Capitals do not matter; other keys are left alone. Inputs are real numbers,
    ``(samples, *shape)``; images with 1, 3 or 4 channels as their last axis get them as their
    first. Labels are class numbers from 0, ``(samples,)`` or ``(samples, 1)``. Pickled objects are
    refused, and the sizes in the archive are checked before memory is taken.

    Args:
        path: The file.
        test_fraction: Fraction of each class for the test part, above 0 and below 1, where the
            archive has no test part of its own.
        seed: Seed of that split, 0 or above.
        maximum_bytes: Cap on each array in memory, in bytes.

    Returns:
        Both parts; the value range is that of the training part.

    Raises:
        DataError: If the archive is missing, damaged, too large, or lacks a key, or if an array
            holds NaN, an infinite value, or something that is no number.
    """
    check_is_file(path)
    # numpy and zipfile answer damaged bytes with a dozen unrelated errors, from zlib.error to
    # tokenize.TokenError, so everything that is not ours already counts as damage.
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _read_parts(archive, path, maximum_bytes)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as an .npz archive of plain arrays ({error}); write it again "
            "with numpy.savez."
        ) from error
    name, source = path.stem, f"archive {path.resolve()}"
    if len(parts) == 2:
        return build(name=name, source=source, train=parts[0], test=parts[1])
    return build_by_split(
        name=name, source=source, whole=parts[0], test_fraction=test_fraction, seed=seed
    )


def _read_parts(archive: zipfile.ZipFile, path: Path, maximum_bytes: int) -> list[Part]:
    """One part, or the training and the test part, by the keys that are there."""
    keys = {name.removesuffix(".npy") for name in archive.namelist()}
    found: dict[str, str] = {}
    for key in sorted(keys):
        if found.setdefault(key.lower(), key) != key:
            raise DataError(
                f"{path} has the keys {found[key.lower()]} and {key}, which differ in capitals "
                "only; save it again with one of them."
            )
    whole = [(names[:2], names[2:]) for names in _TWO_PARTS if set(found).issuperset(names)]
    pieces = [(names,) for names in _ONE_PIECE if set(found).issuperset(names)]
    choices: list[tuple[tuple[str, ...], ...]] = [*(whole or pieces)]
    if len(choices) != 1:
        listed = ", ".join(sorted(keys)[:10]) or "none"
        raise DataError(
            f"{path} has the keys {listed}; it must have x_train, y_train, x_test and y_test, or "
            "one of the pairs x and y, or inputs and labels. Save it again with those names."
        )
    pairs = [(found[inputs], found[labels]) for inputs, labels in choices[0]]
    parts = []
    for inputs_key, labels_key in pairs:
        labels = _as_labels(_read_array(archive, labels_key, path, maximum_bytes), labels_key, path)
        inputs = _as_inputs(_read_array(archive, inputs_key, path, maximum_bytes), inputs_key, path)
        parts.append((inputs, labels))
    return parts


def _read_array(archive: zipfile.ZipFile, key: str, path: Path, maximum_bytes: int) -> NDArray[Any]:
    """One array of real numbers, after its size has been checked."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        # The later versions allow headers of gigabytes; numpy writes them for records only.
        if np.lib.format.read_magic(stream) != (1, 0):
            raise DataError(f"{path}: array {key} is no plain array; save it as numbers only.")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        header_bytes = stream.tell()
    if dtype.kind not in "biuf":
        raise DataError(
            f"{path}: array {key} holds {dtype}; only real numbers are read, never pickled "
            "objects. Save it as float32 (inputs) or int64 (labels)."
        )
    if not shape or min(shape) < 1:
        raise DataError(f"{path}: array {key} has shape {shape}; it must hold samples.")
    needed = header_bytes + math.prod(shape) * dtype.itemsize
    ratio = 1 if info.compress_type == zipfile.ZIP_STORED else _DEFLATE_LARGEST_RATIO
    room = ratio * min(info.compress_size, path.stat().st_size)
    if needed != info.file_size or needed > room:
        raise DataError(
            f"{path} is damaged: array {key} declares the shape {shape} of {dtype}, which is not "
            "what the archive can hold; write it again."
        )
    if math.prod(shape) * max(dtype.itemsize, 4) > maximum_bytes:
        raise DataError(
            f"{path} is too large: array {key} has shape {shape} of {dtype}; the cap is "
            f"{maximum_bytes} bytes. Use a smaller set, or raise maximum_bytes."
        )
    with archive.open(info) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _as_inputs(array: NDArray[Any], key: str, path: Path) -> NDArray[np.float32]:
    """Inputs as float32, all of them finite."""
    if array.ndim < 2:
        raise DataError(
            f"{path}: array {key} has shape {array.shape}; inputs are (samples, *shape), so give a "
            "single value per sample the shape (samples, 1)."
        )
    with np.errstate(over="ignore"):
        inputs = array.astype(np.float32)
    if array.ndim == 4 and array.shape[-1] in _CHANNELS and array.shape[1] not in _CHANNELS:
        inputs = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
    if not (math.isfinite(inputs.min()) and math.isfinite(inputs.max())):
        first = np.unravel_index(int(np.argmin(np.isfinite(inputs))), inputs.shape)
        position = ", ".join(str(int(index)) for index in first)
        what = "NaN" if np.isnan(inputs[first]) else "infinite, or too large for a 32-bit float"
        raise DataError(f"{path}: {key}[{position}] is {what}; remove or replace that sample.")
    return inputs


def _as_labels(array: NDArray[Any], key: str, path: Path) -> NDArray[np.int64]:
    """Labels as int64, after a check that they are class numbers."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{path}: array {key} has shape {array.shape}; labels are class numbers of shape "
            "(samples,). One-hot labels: take argmax over the last axis first."
        )
    # The comparisons are written so that NaN fails them.
    good = (array >= 0) & (array < MAXIMUM_CLASSES) & (array == np.floor(array))
    if not good.all():
        row = int(np.argmin(good))
        value = "NaN" if np.isnan(array[row]) else str(array[row])
        raise DataError(
            f"{path}: {key}[{row}] is {value}; labels are whole numbers from 0 to "
            f"{MAXIMUM_CLASSES - 1}, so renumber the classes."
        )
    return array.astype(np.int64)
