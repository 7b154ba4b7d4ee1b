"""From checked arrays to the two parts: the split, the number of classes, the value range."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DataError
from veilight.datasets._types import MAXIMUM_CLASSES, Dataset, TrainTest, seeded_order

__all__ = ["Part", "build", "build_by_split", "check_is_file", "stratified_split"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Inputs ``(samples, *shape)`` and labels ``(samples,)``."""


def build(
    *,
    name: str,
    source: str,
    train: Part,
    test: Part,
    value_range: tuple[float, float] | None = None,
) -> TrainTest:
    """Make the two parts of a data set.

    Args:
        name: Short name of the set.
        source: Where it came from.
        train: Inputs and labels of the training part.
        test: Inputs and labels of the test part.
        value_range: Lowest and highest raw value that the format allows; by default those that
            occur in the training part.

    Returns:
        Both parts, with the classes counted over both.

    Raises:
        DataError: If the parts do not fit together or hold values that no model could use.
    """
    classes = _count_classes(name, source, train[1], test[1])
    if value_range is None:
        if train[0].size == 0:
            raise DataError(f"data set {name} ({source}): the training part is empty.")
        value_range = (float(train[0].min()), float(train[0].max()))
    train_set, test_set = (
        Dataset(
            name=name,
            inputs=inputs,
            labels=labels,
            classes=classes,
            value_range=value_range,
            source=f"{source}; {part} part",
        )
        for part, (inputs, labels) in (("training", train), ("test", test))
    )
    return TrainTest(train=train_set, test=test_set)


def build_by_split(
    *,
    name: str,
    source: str,
    whole: Part,
    test_fraction: float,
    seed: int,
    value_range: tuple[float, float] | None = None,
) -> TrainTest:
    """Make the two parts of a data set that comes in one piece, with `stratified_split`.

    Args:
        name: Short name of the set.
        source: Where it came from.
        whole: Inputs and labels of the whole set.
        test_fraction: Fraction of the samples for the test part, above 0 and below 1.
        seed: Seed of the shuffle.
        value_range: As in `build`.

    Returns:
        Both parts; the split is written into their source.

    Raises:
        DataError: As `build` and `stratified_split`.
    """
    inputs, labels = whole
    if len(inputs) != len(labels):
        raise DataError(
            f"data set {name} ({source}): {len(inputs)} samples, but {len(labels)} labels; give "
            "one label per sample."
        )
    train, test = stratified_split(labels, test_fraction=test_fraction, seed=seed)
    return build(
        name=name,
        source=f"{source}; split by class, test fraction {test_fraction:g}, seed {seed}",
        train=(inputs[train], labels[train]),
        test=(inputs[test], labels[test]),
        value_range=value_range,
    )


def stratified_split(
    labels: NDArray[np.int64], *, test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the samples so that each class keeps its share in both parts.

    Of each class the nearest whole number to ``test_fraction`` of its samples goes to the test
    part, but at least one to either part; a class with a single sample is trained on.

    Args:
        labels: Class of each sample, ``(samples,)``.
        test_fraction: Fraction for the test part, above 0 and below 1.
        seed: Seed of the shuffle, 0 or above. The same seed gives the same split everywhere.

    Returns:
        Row numbers of the training part and of the test part, each shuffled.

    Raises:
        DataError: If the fraction or the seed is out of range, or no class has two samples.
    """
    if math.isnan(test_fraction):
        raise DataError("the test fraction is NaN; give a number above 0 and below 1.")
    if not 0.0 < test_fraction < 1.0:
        raise DataError(f"the test fraction is {test_fraction:g}; it must be above 0 and below 1.")
    order = seeded_order(len(labels), seed)
    is_test = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        if len(rows) > 1:
            share = min(max(round(test_fraction * len(rows)), 1), len(rows) - 1)
            is_test[rows[:share]] = True
    if not is_test.any():
        raise DataError(
            f"the {len(labels)} samples cannot be split: no class has two of them; add samples, "
            "or bring a test part of its own."
        )
    flags = is_test[order]
    return order[~flags], order[flags]


def check_is_file(path: Path) -> None:
    """Refuse what is not a regular file, so that no reader waits on a pipe or a device.

    Args:
        path: What is about to be opened.

    Raises:
        DataError: If there is nothing there, or something else.
    """
    if path.is_file():
        return
    if path.exists():
        raise DataError(f"{path} is not a regular file; give the path of a data file.")
    raise DataError(f"there is no file {path}; check the path.")


def _count_classes(name: str, source: str, *labels: NDArray[np.int64]) -> int:
    """Number of classes over both parts: one more than the highest label."""
    highest = max((int(part.max()) for part in labels if part.size), default=-1)
    if highest >= MAXIMUM_CLASSES:
        raise DataError(
            f"data set {name} ({source}): the highest label is {highest}; labels are class numbers "
            f"from 0 to at most {MAXIMUM_CLASSES - 1}, so renumber them."
        )
    if highest < 1:
        raise DataError(
            f"data set {name} ({source}): the highest label is {highest}; a classifier needs two "
            "classes or more, numbered 0, 1, 2 and so on."
        )
    return highest + 1
