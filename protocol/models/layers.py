"""Layers of chains on vectors and images: what is sent as light, and the client's part between.

Shapes are per sample, without a batch axis: `(features,)` or `(channels, height, width)`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from drivers.errors import ModelError
from protocol.models._layer_checks import Pair, Shape, check_counts, check_pairs, windows

__all__ = ["AvgPool2d", "Conv2d", "Flatten", "Linear", "MaxPool2d", "Relu"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fully connected layer; `outputs` weight rows of `inputs` entries."""

    kind: ClassVar[str] = "linear"
    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_counts(self, inputs=self.inputs, outputs=self.outputs)

    @property
    def rows(self) -> int:
        """Weight rows that are sent per input."""
        return self.outputs

    @property
    def columns(self) -> int:
        """Entries per row, the bias not counted."""
        return self.inputs

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weight tensor: (outputs, inputs)."""
        return (self.outputs, self.inputs)

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
        check_counts(self, in_channels=self.in_channels, out_channels=self.out_channels)
        check_pairs(self, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        check_pairs(self, lowest=0, padding=self.padding)

    @property
    def rows(self) -> int:
        """Weight rows that are sent per output position."""
        return self.out_channels

    @property
    def columns(self) -> int:
        """Entries per row, the bias not counted."""
        return self.in_channels * self.kernel[0] * self.kernel[1]

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weight tensor: (out_channels, in_channels, height, width)."""
        return (self.out_channels, self.in_channels, *self.kernel)

    def positions(self, shape: Shape) -> int:
        """How often the rows are sent for one sample: once per output position."""
        _, height, width = self.output_shape(shape)
        return height * width

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` does not fit."""
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ModelError(f"conv2d takes ({self.in_channels}, height, width), but gets {shape}")
        span = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        height, width = windows("conv2d", shape, span, self.stride, self.padding)
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
        check_pairs(self, kernel=self.kernel, stride=self.stride)
        check_pairs(self, lowest=0, padding=self.padding)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ModelError(f"{self.kind}: padding {self.padding} exceeds half of {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` is not an image."""
        if len(shape) != 3:
            raise ModelError(f"{self.kind} takes (channels, height, width), but gets {shape}")
        return (shape[0], *windows(self.kind, shape, self.kernel, self.stride, self.padding))


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(_Pool2d):
    """Largest value of each window, done digitally by the client."""

    kind: ClassVar[str] = "maxpool2d"


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(_Pool2d):
    """Mean of each window (padding counted in), done digitally by the client."""

    kind: ClassVar[str] = "avgpool2d"
