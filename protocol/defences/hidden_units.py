"""Which columns of the next layer belong to which hidden unit, and which units can be disguised.

A hidden unit is a row of a layer: its output, a vector's entry, a channel or a feature of tokens,
goes through the client's digital part and meets its own columns of the next optical layer. Units
may change places if every digital layer between treats them alike and apart; they may be scaled by
a positive factor if it is positively homogeneous as well, f(c z) = c f(z).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ModelError
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    Graph,
    Layer,
    MaxPool2d,
    OpticalLayer,
    Relu,
    TokenLinear,
    TokenMean,
)

__all__ = ["HiddenUnits", "hidden_units", "with_more_units"]

_APART = (Relu, Gelu, Flatten, MaxPool2d, AvgPool2d, TokenMean)
"""Digital layers that do the same to every unit and mix none."""

_HOMOGENEOUS = (Relu, Flatten, MaxPool2d, AvgPool2d, TokenMean)

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class HiddenUnits:
    """The units between two optical layers.

    Attributes:
        layer: index of the layer whose rows they are.
        following: index of the layer whose columns they meet.
        columns: which ones, `(units, columns per unit)`, in the same order for every unit.
        scalable: a positive factor can be undone behind the digital part.
    """

    layer: int
    following: int
    columns: Labels
    scalable: bool

    @property
    def units(self) -> int:
        """How many they are."""
        return len(self.columns)


def hidden_units(graph: Graph) -> tuple[HiddenUnits, ...]:
    """All hidden units of a network that can change places without changing its function.

    Args:
        graph: the network. Units before a layer that mixes them (attention, normalisation, a
            residual connection) are left out: they are sent as they are.
    """
    return tuple(_found(graph))


def with_more_units(graph: Graph, hidden: tuple[HiddenUnits, ...], more: int) -> Graph:
    """The network with `more` units in each of the hidden layers named.

    Raises:
        ModelError: a size beyond reason.
    """
    layers = list(graph.layers)
    for found in hidden:
        layers[found.layer] = _with_rows(layers[found.layer], more)
        layers[found.following] = _with_inputs(
            layers[found.following], more, more * found.columns.shape[1]
        )
    return replace(graph, layers=tuple(layers))


def _found(graph: Graph) -> Iterator[HiddenUnits]:
    for first, second in zip(graph.optical, graph.optical[1:], strict=False):
        between = graph.layers[first + 1 : second]
        if not all(isinstance(layer, _APART) for layer in between):
            continue
        labels = _labels(graph, first, second)
        if labels is None:
            continue
        rows = graph.optical_layer(first).rows
        order = np.argsort(labels, kind="stable")
        yield HiddenUnits(
            layer=first,
            following=second,
            columns=order.reshape(rows, -1),
            scalable=all(isinstance(layer, _HOMOGENEOUS) for layer in between),
        )


def _labels(graph: Graph, first: int, second: int) -> Labels | None:
    """The unit that each column of the second layer belongs to; None where it is not one each."""
    shape, layer = graph.shapes[second], graph.optical_layer(second)
    units = np.arange(graph.optical_layer(first).rows)
    present = _spread(units, graph.optical_layer(first), graph.shapes[first + 1])
    for index in range(first + 1, second):
        digital, after = graph.layers[index], graph.shapes[index + 1]
        if isinstance(digital, Flatten):
            present = present.reshape(-1)
        elif isinstance(digital, TokenMean):
            present = present[0]
        elif len(after) == 3:
            present = np.broadcast_to(present[:, :1, :1], after)
    if present.shape != shape:
        return None
    if isinstance(layer, Conv2d):
        return np.repeat(present[:, 0, 0], layer.kernel[0] * layer.kernel[1])
    return present[0] if isinstance(layer, TokenLinear) else present


def _spread(units: Labels, layer: OpticalLayer, shape: tuple[int, ...]) -> Labels:
    """The unit of every output entry of a layer."""
    if isinstance(layer, Conv2d):
        return np.broadcast_to(units[:, None, None], shape)
    return np.broadcast_to(units, shape)


def _with_rows(layer: Layer, more: int) -> Layer:
    if isinstance(layer, Conv2d):
        return replace(layer, out_channels=layer.out_channels + more)
    if isinstance(layer, OpticalLayer):
        return replace(layer, outputs=layer.outputs + more)
    raise ModelError(f"{layer.kind} has no weight rows")


def _with_inputs(layer: Layer, more: int, columns: int) -> Layer:
    if isinstance(layer, Conv2d):
        return replace(layer, in_channels=layer.in_channels + more)
    if isinstance(layer, OpticalLayer):
        return replace(layer, inputs=layer.inputs + columns)
    raise ModelError(f"{layer.kind} has no weight columns")
