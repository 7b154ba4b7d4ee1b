"""The values every reader hands out: a data set in memory and its two parts."""

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DataError

__all__ = ["MAXIMUM_BYTES", "MAXIMUM_CLASSES", "Dataset", "TrainTest", "seeded_order"]

MAXIMUM_BYTES = 2 * 1024**3
"""Default cap on one array of inputs in memory, in bytes (2 GiB)."""

MAXIMUM_CLASSES = 65_536
"""Cap on the number of classes. One wild label would otherwise size the network's last layer."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled samples in their raw units, unscaled.

    The two arrays are read-only views, because `sha256` vouches for what they hold; copy before
    you change them. Two data sets are equal when everything but the arrays is, the checksum
    of the content included.

    Attributes:
        name: Short name, such as ``mnist``.
        inputs: Raw values, float32, ``(samples, *shape)``, all finite.
        labels: Class of each sample, int64, ``(samples,)``, from 0 to ``classes - 1``.
        classes: Number of classes, at least 2. A class may have no sample here.
        value_range: Lowest and highest raw value: what the format allows where it says so, else
            what the training part holds, in which case a test sample may lie outside.
        source: Where the data came from and what was done to it, for the record of a run.
        sha256: SHA-256 of the content (shape, number of classes, inputs, labels), 64 hexadecimal
            digits. It depends on neither the name nor the file format.
    """

    name: str
    inputs: NDArray[np.float32] = field(repr=False, compare=False)
    labels: NDArray[np.int64] = field(repr=False, compare=False)
    classes: int
    value_range: tuple[float, float]
    source: str
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        _check_arrays(self)
        _check_values(self)
        for name in ("inputs", "labels"):
            view = np.ascontiguousarray(getattr(self, name)).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        object.__setattr__(self, "sha256", _content_sha256(self.inputs, self.labels, self.classes))

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, such as ``(28, 28)``."""
        return self.inputs.shape[1:]

    def subset(self, count: int, seed: int) -> "Dataset":
        """Draw samples without replacement.

        With one seed a smaller subset is the beginning of a larger one, so that a run can be
        extended without throwing away what it has.

        Args:
            count: Number of samples to keep, 1 to `samples`.
            seed: Seed of the draw, 0 or above.

        Returns:
            The drawn samples, in the order of the draw, with the same classes and value range.

        Raises:
            DataError: If the count or the seed is out of range.
        """
        if not 1 <= count <= self.samples:
            raise DataError(
                f"data set {self.name}: a subset of {count} samples was asked for, but the set has "
                f"{self.samples}; ask for 1 to {self.samples}."
            )
        rows = seeded_order(self.samples, seed)[:count]
        return Dataset(
            name=self.name,
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            classes=self.classes,
            value_range=self.value_range,
            source=f"{self.source}; {count} of {self.samples} samples drawn with seed {seed}",
        )


@dataclass(frozen=True, kw_only=True)
class TrainTest:
    """The two parts of a data set, alike in sample shape, classes and value range.

    Attributes:
        train: The part to train and calibrate on.
        test: The part to report on.
    """

    train: Dataset
    test: Dataset

    def __post_init__(self) -> None:
        for quantity in ("shape", "classes", "value_range"):
            train, test = getattr(self.train, quantity), getattr(self.test, quantity)
            if train != test:
                raise DataError(
                    f"data set {self.train.name}: {quantity} is {train} in the training part and "
                    f"{test} in the test part; both parts must agree, so check that the files "
                    "belong together."
                )


def seeded_order(samples: int, seed: int) -> NDArray[np.int64]:
    """Shuffle the row numbers, the same way on every machine and numpy version.

    Sorting uniform draws rests only on the bit stream of PCG64, which numpy promises to keep;
    the algorithm behind `Generator.permutation` may change between versions.

    Args:
        samples: Number of rows.
        seed: Seed, 0 or above.

    Returns:
        The numbers 0 to ``samples - 1``, shuffled, ``(samples,)``.

    Raises:
        DataError: If the seed is negative.
    """
    if seed < 0:
        raise DataError(f"the seed of a draw is {seed}; use 0 or a positive whole number.")
    draws = np.random.Generator(np.random.PCG64(seed)).random(samples)
    return np.argsort(draws, kind="stable").astype(np.int64, copy=False)


def _check_arrays(data: Dataset) -> None:
    """Refuse arrays of the wrong kind or size."""
    where = f"data set {data.name} ({data.source})"
    if data.inputs.dtype != np.float32 or data.labels.dtype != np.int64:
        raise DataError(
            f"{where}: inputs are {data.inputs.dtype} and labels {data.labels.dtype}; convert them "
            "to float32 and int64."
        )
    if data.inputs.ndim < 2 or data.inputs.size == 0:
        raise DataError(
            f"{where}: inputs have shape {data.inputs.shape}; give (samples, *shape) with at least "
            "one sample and one value per sample."
        )
    if data.labels.shape != data.inputs.shape[:1]:
        raise DataError(
            f"{where}: labels have shape {data.labels.shape}, but there are "
            f"{data.inputs.shape[0]} samples; give one label per sample."
        )


def _check_values(data: Dataset) -> None:
    """Refuse values that no model could use."""
    where = f"data set {data.name} ({data.source})"
    if not 2 <= data.classes <= MAXIMUM_CLASSES:
        raise DataError(
            f"{where}: {data.classes} classes; a classifier needs 2 to {MAXIMUM_CLASSES}."
        )
    lowest, highest = int(data.labels.min()), int(data.labels.max())
    if lowest < 0 or highest >= data.classes:
        raise DataError(
            f"{where}: labels run from {lowest} to {highest}, but {data.classes} classes are "
            f"numbered 0 to {data.classes - 1}; renumber the labels."
        )
    # The minimum and the maximum carry a NaN through, and need no array of flags beside the data.
    if not (math.isfinite(data.inputs.min()) and math.isfinite(data.inputs.max())):
        raise DataError(f"{where}: inputs hold NaN or an infinite value; remove those samples.")
    low, high = data.value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DataError(
            f"{where}: the raw values run from {low:g} to {high:g}; inputs must span a finite "
            "range that is not empty, or there is nothing to learn from."
        )


def _content_sha256(inputs: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> str:
    """Hash shape, classes and values, in little-endian order on every machine."""
    shape = "x".join(str(size) for size in inputs.shape)
    digest = hashlib.sha256(f"float32 {shape} int64 classes {classes}\n".encode())
    digest.update(inputs.astype("<f4", copy=False).data)
    digest.update(labels.astype("<i8", copy=False).data)
    return digest.hexdigest()
