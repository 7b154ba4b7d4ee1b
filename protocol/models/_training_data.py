"""Raw data to checked tensors, and the device they go to."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drivers.errors import ConfigurationError, DataError
from protocol.models.graph import Graph

Array: TypeAlias = Tensor | npt.NDArray[np.generic]

DEVICES = ("auto", "cpu", "cuda")


def scale_inputs(graph: Graph, inputs: Array, what: str = "inputs") -> Tensor:
    """Raw data to the float32 inputs of the first layer, `graph.scaling` applied.

    Args:
        graph: says the shape and the scaling.
        inputs: raw data `(samples, *input_shape)`, any real type. Axes of size 1 may be missing:
            a grey image has one channel.
        what: name of the data in an error.

    Raises:
        DataError: a wrong shape, no samples, NaN or infinite values.
    """
    raw = _tensor(inputs, what)
    if raw.ndim < 2 or len(raw) == 0 or _sizes(raw.shape[1:]) != _sizes(graph.input_shape):
        expected = ", ".join(str(size) for size in graph.input_shape)
        raise DataError(
            f"{what}: the network takes (samples, {expected}) with at least one sample, "
            f"got {tuple(raw.shape)}"
        )
    if raw.is_complex():
        raise DataError(f"{what}: values are {raw.dtype}, they must be real")
    values = (raw.float() - graph.scaling.offset) * graph.scaling.factor
    values = values.reshape(len(raw), *graph.input_shape)
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise DataError(
            f"{what}: {bad} of {values.numel()} values are NaN or infinite; remove or repair them"
        )
    return values


def mean_of(inputs: Array) -> float:
    """Mean over all entries.

    Raises:
        DataError: no data, NaN or infinite values.
    """
    raw = _tensor(inputs, "inputs")
    if raw.numel() == 0 or raw.is_complex():
        raise DataError(f"inputs: {tuple(raw.shape)} {raw.dtype} has no real mean")
    mean = float(raw.double().mean())
    if not math.isfinite(mean):
        raise DataError(f"inputs: their mean is {mean}; remove or repair NaN and infinite values")
    return mean


def columns_of(inputs: Array) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every column.

    Args:
        inputs: `(samples, columns)`.

    Raises:
        DataError: no table, NaN or infinite values.
    """
    raw = _tensor(inputs, "inputs")
    if raw.ndim != 2 or raw.numel() == 0 or raw.is_complex():
        raise DataError(
            f"inputs: {tuple(raw.shape)} {raw.dtype} is no table; standardising takes (samples, "
            "columns) of real numbers"
        )
    values = raw.double()
    if not bool(torch.isfinite(values).all()):
        raise DataError("inputs: NaN or infinite values have no mean; remove or repair them")
    return values.mean(dim=0).tolist(), values.std(dim=0, correction=0).tolist()


def labelled_data(graph: Graph, inputs: Array, labels: Array, what: str) -> tuple[Tensor, Tensor]:
    """Scaled inputs and int64 labels `(samples,)` in [0, outputs).

    Raises:
        DataError: as `scale_inputs`; labels of a wrong shape, type or range.
    """
    values = scale_inputs(graph, inputs, what)
    classes = _tensor(labels, f"{what} labels")
    if classes.shape != (len(values),):
        raise DataError(
            f"{what}: {len(values)} samples need labels of shape ({len(values)},), "
            f"got {tuple(classes.shape)}"
        )
    if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
        raise DataError(f"{what}: labels are {classes.dtype}, they must be whole numbers")
    classes = classes.long()
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest < 0 or highest >= graph.outputs:
        raise DataError(
            f"{what}: labels lie in [{lowest}, {highest}], but the network has {graph.outputs} "
            f"outputs, so they must lie in [0, {graph.outputs - 1}]"
        )
    return values, classes


def move(device: torch.device, data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Both tensors on `device`."""
    return data[0].to(device), data[1].to(device)


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a GPU where torch finds one.

    Raises:
        ConfigurationError: an unknown name, or no GPU where one is asked for.
    """
    if name not in DEVICES:
        raise ConfigurationError(f"device {name!r} is unknown; known are {', '.join(DEVICES)}")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ConfigurationError(
            "device 'cuda' was asked for, but torch finds no GPU; use 'auto' or 'cpu'"
        )
    return torch.device("cpu" if name == "cpu" or not found else "cuda")


def _sizes(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _tensor(values: Array, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    if values.dtype.kind not in "biufc":
        raise DataError(f"{what}: values are {values.dtype}, they must be numbers")
    # A copy, because torch warns about arrays that are read-only, as those of many loaders are.
    return torch.from_numpy(np.array(values))
