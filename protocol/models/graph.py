"""The public half of a network: its layers and shapes, without any weight.

The client holds a `Graph`; only the server holds the weights that belong to it (`Model`).
Shapes are per sample, without a batch axis: `(features,)`, `(channels, height, width)` or
`(tokens, features)`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeAlias

from drivers.errors import ModelError
from protocol.models._layer_checks import MAX_ENTRIES, Shape, number, whole
from protocol.models.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Relu
from protocol.models.token_layers import (
    MAX_COLUMNS,
    AddRemembered,
    Gelu,
    LayerNorm,
    Patches,
    Remember,
    SelfAttention,
    SinusoidalPositions,
    Standardise,
    TokenLinear,
    TokenMean,
)

__all__ = [
    "MAX_ENTRIES",
    "AddRemembered",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Gelu",
    "Graph",
    "InputScaling",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "OpticalLayer",
    "Patches",
    "Relu",
    "Remember",
    "SelfAttention",
    "Shape",
    "SinusoidalPositions",
    "Standardise",
    "TokenLinear",
    "TokenMean",
]

MAX_LAYERS = 256

OpticalLayer: TypeAlias = Linear | Conv2d | TokenLinear
"""Layers whose products are computed by light; all others are the client's digital part."""

Layer: TypeAlias = (
    Linear
    | Conv2d
    | TokenLinear
    | Relu
    | Gelu
    | Flatten
    | MaxPool2d
    | AvgPool2d
    | Patches
    | SinusoidalPositions
    | LayerNorm
    | SelfAttention
    | TokenMean
    | Remember
    | AddRemembered
    | Standardise
)

_KINDS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        Linear,
        Conv2d,
        TokenLinear,
        Relu,
        Gelu,
        Flatten,
        MaxPool2d,
        AvgPool2d,
        Patches,
        SinusoidalPositions,
        LayerNorm,
        SelfAttention,
        TokenMean,
        Remember,
        AddRemembered,
        Standardise,
    )
}


@dataclass(frozen=True, kw_only=True)
class InputScaling:
    """Raw data to network input: `(raw - offset) * factor`, the same for every entry."""

    offset: float = 0.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.offset) and math.isfinite(self.factor) and self.factor != 0):
            raise ModelError(
                f"input scaling needs finite numbers and a factor that is not 0, got {self}"
            )


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A feed-forward network without its weights.

    Args:
        input_shape: shape of one sample.
        layers: in order of execution; shapes are checked at construction.
        scaling: from raw data to the first layer's input.

    Raises:
        ModelError: the shapes do not fit, there is no optical layer, a residual connection has
            one end only, or a size is beyond reason.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    scaling: InputScaling = InputScaling()

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ModelError(f"a network has 1 to {MAX_LAYERS} layers, got {len(self.layers)}")
        if not self.optical:
            raise ModelError("the network has no linear or convolutional layer to send as light")
        _check_residuals(self.layers, self.shapes)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shape of the sample before each layer and after the last: `len(layers) + 1` entries."""
        shapes = [_checked_shape(self.input_shape)]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(_checked_shape(layer.output_shape(shapes[-1])))
            except ModelError as error:
                raise ModelError(f"layer {index} ({layer.kind}): {error}") from error
            if isinstance(layer, OpticalLayer):
                _check_load(f"layer {index} ({layer.kind})", layer, shapes[-2])
        return tuple(shapes)

    @property
    def optical(self) -> tuple[int, ...]:
        """Indices of the layers that are sent as light."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, OpticalLayer))

    def optical_layer(self, index: int) -> OpticalLayer:
        """The layer at `index` of `layers`, which must be an optical one."""
        layer = self.layers[index]
        if not isinstance(layer, OpticalLayer):
            raise ModelError(f"layer {index} ({layer.kind}) is not sent as light")
        return layer

    @property
    def outputs(self) -> int:
        """Number of entries of the last layer's output."""
        return math.prod(self.shapes[-1])

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {
            "input_shape": list(self.input_shape),
            # As floats, so that a whole number has the same text before and after a file.
            "scaling": {
                "offset": float(self.scaling.offset),
                "factor": float(self.scaling.factor),
            },
            "layers": [_layer_to_dict(layer) for layer in self.layers],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> "Graph":
        """Read what `to_dict` wrote.

        Raises:
            ModelError: an unknown layer or key, a wrong type or a size beyond reason.
        """
        _refuse_unknown("the network description", data, ("input_shape", "scaling", "layers"))
        layers = data.get("layers")
        if not isinstance(layers, list):
            raise ModelError("the network description has no list 'layers'")
        scaling = data.get("scaling", {})
        if not isinstance(scaling, Mapping):
            raise ModelError("'scaling' must be an object with 'offset' and 'factor'")
        _refuse_unknown("'scaling'", scaling, ("offset", "factor"))
        return cls(
            input_shape=_int_tuple("input_shape", data.get("input_shape")),
            layers=tuple(_layer_from_dict(i, entry) for i, entry in enumerate(layers)),
            scaling=InputScaling(
                offset=number("scaling.offset", scaling.get("offset", 0.0)),
                factor=number("scaling.factor", scaling.get("factor", 1.0)),
            ),
        )


def _layer_to_dict(layer: Layer) -> dict[str, object]:
    # Lists, not tuples: what `from_dict` reads must not depend on a detour over JSON.
    values = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(layer).items()
    }
    return {"kind": layer.kind, **values}


def _layer_from_dict(index: int, entry: object) -> Layer:
    if not isinstance(entry, Mapping):
        raise ModelError(f"layer {index} must be an object, got {type(entry).__name__}")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise ModelError(f"layer {index}: unknown kind {kind!r}; known are {known}")
    layer = _KINDS[kind]
    types = {field.name: field.type for field in fields(layer)}
    values: dict[str, object] = {}
    for key, value in entry.items():
        if key == "kind":
            continue
        if key not in types:
            raise ModelError(f"layer {index} ({kind}): unknown key {key!r}")
        values[key] = _plain_value(f"layer {index} ({kind}) {key}", types[key], value)
    try:
        return layer(**values)  # type: ignore[arg-type]
    except (ModelError, TypeError, ValueError) as error:
        raise ModelError(f"layer {index} ({kind}): {error}") from error


def _plain_value(where: str, wanted: object, value: object) -> object:
    """A layer's value as its field wants it; what else is wrong with it the layer says itself."""
    if wanted is bool:
        if not isinstance(value, bool):
            raise ModelError(f"{where} must be true or false, got {value!r}")
        return value
    if wanted is float:
        return number(where, value)
    if wanted == tuple[float, ...]:
        if not isinstance(value, list) or len(value) > MAX_COLUMNS:
            raise ModelError(f"{where} must be a list of at most {MAX_COLUMNS} numbers")
        return tuple(number(where, entry) for entry in value)
    return _int_tuple(where, value) if isinstance(value, list) else whole(where, value)


def _refuse_unknown(where: str, data: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            raise ModelError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")


def _int_tuple(where: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        raise ModelError(f"{where} must be a list of 1 to 4 whole numbers, got {value!r}")
    return tuple(whole(where, entry) for entry in value)


def _checked_shape(shape: Shape) -> Shape:
    if not isinstance(shape, tuple):
        raise ModelError(f"the shape of a sample must be a tuple of sizes, got {shape!r}")
    if not shape or any(whole("a size of a sample", size) < 1 for size in shape):
        raise ModelError(f"a sample needs positive sizes, got {shape}")
    if math.prod(shape) > MAX_ENTRIES:
        raise ModelError(f"a sample of shape {shape} exceeds the cap of {MAX_ENTRIES} entries")
    return shape


def _check_residuals(layers: tuple[Layer, ...], shapes: tuple[Shape, ...]) -> None:
    """Every `Remember` has its `AddRemembered`, and what is added has the shape of the sum."""
    opened: list[int] = []
    for index, layer in enumerate(layers):
        if isinstance(layer, Remember):
            opened.append(index)
            held = sum(math.prod(shapes[start]) for start in opened)
            if held > MAX_ENTRIES:
                raise ModelError(
                    f"layer {index} (remember): {held} remembered entries exceed the cap of "
                    f"{MAX_ENTRIES}"
                )
        elif isinstance(layer, AddRemembered):
            if not opened:
                raise ModelError(f"layer {index} (add_remembered): no remember before it is open")
            start = opened.pop()
            if shapes[start] != shapes[index]:
                raise ModelError(
                    f"layer {index} (add_remembered): layer {start} remembers {shapes[start]}, but "
                    f"the sum has {shapes[index]}"
                )
    if opened:
        raise ModelError(f"layer {opened[-1]} (remember): no add_remembered follows")


def _check_load(where: str, layer: OpticalLayer, shape: Shape) -> None:
    """Refuse weights, or data vectors of one sample, that nobody should allocate."""
    if layer.rows * layer.columns > MAX_ENTRIES:
        raise ModelError(
            f"{where}: {layer.rows} x {layer.columns} weights exceed the cap of {MAX_ENTRIES}"
        )
    if layer.positions(shape) * layer.columns > MAX_ENTRIES:
        raise ModelError(
            f"{where}: {layer.positions(shape)} data vectors of {layer.columns} entries per sample "
            f"exceed the cap of {MAX_ENTRIES}"
        )
