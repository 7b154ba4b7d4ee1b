"""The public half of a network: its layers and shapes, without any weight.

The client holds a `Graph`; only the server holds the weights that belong to it (`Model`).
Shapes are per sample, without a batch axis: `(features,)` or `(channels, height, width)`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Protocol, TypeAlias

from drivers.errors import ModelError

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Graph",
    "InputScaling",
    "Layer",
    "Linear",
    "MaxPool2d",
    "OpticalLayer",
    "Relu",
    "Shape",
]

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]

MAX_LAYERS = 256
MAX_ENTRIES = 1 << 28
"""Largest number of entries of one weight matrix or one activation (a guard before allocation)."""


class _LayerLike(Protocol):
    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape: ...


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fully connected layer; `outputs` weight rows of `inputs` entries."""

    kind: ClassVar[str] = "linear"
    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        _check_counts(self, inputs=self.inputs, outputs=self.outputs)

    @property
    def rows(self) -> int:
        """Weight rows that are sent per input."""
        return self.outputs

    @property
    def columns(self) -> int:
        """Entries per row, the bias not counted."""
        return self.inputs

    def positions(self, shape: Shape) -> int:  # noqa: ARG002 - same signature as Conv2d
        """How often the rows are sent for one sample: once."""
        return 1

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` does not fit."""
        if shape != (self.inputs,):
            raise ModelError(f"linear layer takes ({self.inputs},), but gets {shape}")
        return (self.outputs,)


@dataclass(frozen=True, kw_only=True)
class Conv2d:
    """A two-dimensional convolution (cross-correlation, as in torch), without groups.

    Over light, every output position is one more transmission of the same rows.
    """

    kind: ClassVar[str] = "conv2d"
    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    bias: bool = True

    def __post_init__(self) -> None:
        _check_counts(self, in_channels=self.in_channels, out_channels=self.out_channels)
        _check_pairs(self, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        _check_pairs(self, lowest=0, padding=self.padding)

    @property
    def rows(self) -> int:
        """Weight rows that are sent per output position."""
        return self.out_channels

    @property
    def columns(self) -> int:
        """Entries per row, the bias not counted."""
        return self.in_channels * self.kernel[0] * self.kernel[1]

    def positions(self, shape: Shape) -> int:
        """How often the rows are sent for one sample: once per output position."""
        _, height, width = self.output_shape(shape)
        return height * width

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` does not fit."""
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ModelError(f"conv2d takes ({self.in_channels}, height, width), but gets {shape}")
        span = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        height, width = _windows("conv2d", shape, span, self.stride, self.padding)
        return (self.out_channels, height, width)


@dataclass(frozen=True, kw_only=True)
class Relu:
    """max(0, z), done digitally by the client."""

    kind: ClassVar[str] = "relu"

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """All axes of a sample into one."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        """One axis with the product of all."""
        return (math.prod(shape),)


@dataclass(frozen=True, kw_only=True)
class _Pool2d:
    kind: ClassVar[str] = "pool"
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        _check_pairs(self, kernel=self.kernel, stride=self.stride)
        _check_pairs(self, lowest=0, padding=self.padding)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ModelError(f"{self.kind}: padding {self.padding} exceeds half of {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` is not an image."""
        if len(shape) != 3:
            raise ModelError(f"{self.kind} takes (channels, height, width), but gets {shape}")
        return (shape[0], *_windows(self.kind, shape, self.kernel, self.stride, self.padding))


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(_Pool2d):
    """Largest value of each window, done digitally by the client."""

    kind: ClassVar[str] = "maxpool2d"


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(_Pool2d):
    """Mean of each window (padding counted in), done digitally by the client."""

    kind: ClassVar[str] = "avgpool2d"


OpticalLayer: TypeAlias = Linear | Conv2d
"""Layers whose products are computed by light; all others are the client's digital part."""

Layer: TypeAlias = Linear | Conv2d | Relu | Flatten | MaxPool2d | AvgPool2d

_KINDS: dict[str, type[Layer]] = {
    layer.kind: layer for layer in (Linear, Conv2d, Relu, Flatten, MaxPool2d, AvgPool2d)
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
        ModelError: the shapes do not fit, there is no optical layer, or a size is beyond reason.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    scaling: InputScaling = InputScaling()

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ModelError(f"a network has 1 to {MAX_LAYERS} layers, got {len(self.layers)}")
        if not self.optical:
            raise ModelError("the network has no linear or convolutional layer to send as light")
        _ = self.shapes

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
                offset=_number("scaling.offset", scaling.get("offset", 0.0)),
                factor=_number("scaling.factor", scaling.get("factor", 1.0)),
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
    names = {field.name for field in fields(layer)}
    values: dict[str, object] = {}
    for key, value in entry.items():
        if key == "kind":
            continue
        if key not in names:
            raise ModelError(f"layer {index} ({kind}): unknown key {key!r}")
        where = f"layer {index} ({kind}) {key}"
        if key == "bias":
            if not isinstance(value, bool):
                raise ModelError(f"{where} must be true or false, got {value!r}")
            values[key] = value
        elif isinstance(value, list):
            values[key] = _int_tuple(where, value)
        else:
            values[key] = _whole(where, value)
    try:
        return layer(**values)  # type: ignore[arg-type]
    except (ModelError, TypeError, ValueError) as error:
        raise ModelError(f"layer {index} ({kind}): {error}") from error


def _refuse_unknown(where: str, data: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            raise ModelError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")


def _whole(where: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"{where} must be a whole number, got {value!r}")
    if abs(value) > MAX_ENTRIES:
        raise ModelError(f"{where} is beyond the cap of {MAX_ENTRIES}")
    return value


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{where} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise ModelError(f"{where} is beyond the range of a float") from error


def _int_tuple(where: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        raise ModelError(f"{where} must be a list of 1 to 4 whole numbers, got {value!r}")
    return tuple(_whole(where, entry) for entry in value)


def _checked_shape(shape: Shape) -> Shape:
    if not isinstance(shape, tuple):
        raise ModelError(f"the shape of a sample must be a tuple of sizes, got {shape!r}")
    if not shape or any(_whole("a size of a sample", size) < 1 for size in shape):
        raise ModelError(f"a sample needs positive sizes, got {shape}")
    if math.prod(shape) > MAX_ENTRIES:
        raise ModelError(f"a sample of shape {shape} exceeds the cap of {MAX_ENTRIES} entries")
    return shape


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


def _check_counts(layer: _LayerLike, **counts: int) -> None:
    for name, value in counts.items():
        if _whole(f"{layer.kind} {name}", value) < 1:
            raise ModelError(f"{layer.kind} {name} must be at least 1, got {value}")


def _check_pairs(layer: _LayerLike, lowest: int = 1, **pairs: Pair) -> None:
    for name, pair in pairs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ModelError(f"{layer.kind} {name} must be two whole numbers, got {pair!r}")
        if any(_whole(f"{layer.kind} {name}", value) < lowest for value in pair):
            raise ModelError(f"{layer.kind} {name} must be at least {lowest}, got {pair}")


def _windows(kind: str, shape: Shape, span: list[int] | Pair, stride: Pair, padding: Pair) -> Pair:
    padded = [size + 2 * pad for size, pad in zip(shape[1:], padding, strict=True)]
    if shape[0] * math.prod(padded) > MAX_ENTRIES:
        raise ModelError(f"{kind}: a padded sample exceeds the cap of {MAX_ENTRIES} entries")
    sizes = [
        (size - window) // step + 1 for size, window, step in zip(padded, span, stride, strict=True)
    ]
    if min(sizes) < 1:
        raise ModelError(f"{kind}: a window of {tuple(span)} does not fit into {shape[1:]}")
    return sizes[0], sizes[1]
