"""Builds a model layer by layer from a foreign network, and folds what has no layer of its own.

The importers of torch modules and of ONNX files share it, so that both fold alike.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from drivers.errors import ModelError
from protocol.models.graph import (
    Conv2d,
    Graph,
    InputScaling,
    Layer,
    Linear,
    OpticalLayer,
    Shape,
    TokenLinear,
    TokenMean,
)
from protocol.models.model import LayerWeights, Model

__all__ = ["ChainBuilder", "to_float32"]


class ChainBuilder:
    """Collects the layers of a chain and tracks the shape of a sample on the way.

    Weights stay in the type that they came in until they are folded (in float64) or built.

    Args:
        input_shape: shape of one sample.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.layers: list[Layer] = []
        self.shape = input_shape
        self._input_shape = input_shape
        self._weights: dict[int, tuple[str, Tensor, Tensor | None]] = {}
        self._waiting: tuple[str, Tensor, Tensor | None] | None = None

    def add(self, where: str, layer: Layer) -> None:
        """Append a digital layer; `where` names its origin in errors."""
        # A mean over tokens changes nothing about a factor and a shift per feature.
        if self._waiting is not None and not isinstance(layer, TokenMean):
            raise ModelError(_no_linear_map(self._waiting[0]))
        try:
            self.shape = layer.output_shape(self.shape)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        self.layers.append(layer)

    def add_linear(self, where: str, weight: Tensor, bias: Tensor | None) -> None:
        """Append a linear layer of weight `(outputs, inputs)` and bias `(outputs,)`.

        Where a sample is (tokens, features), it is one of every token.
        """
        outputs, inputs = weight.shape
        if self._waiting is not None:
            weight, bias = self._taken_up(where, weight, bias)
        kind = TokenLinear if len(self.shape) == 2 else Linear
        layer = kind(inputs=inputs, outputs=outputs, bias=bias is not None)
        self._add_optical(where, layer, weight, bias)

    def add_conv(
        self,
        where: str,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> None:
        """Append a convolution of weight `(out_channels, in_channels, height, width)`."""
        out_channels, in_channels, height, width = weight.shape
        layer = Conv2d(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel=(height, width),
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias=bias is not None,
        )
        self._add_optical(where, layer, weight, bias)

    def fold_rows(self, where: str, factor: Tensor | None, shift: Tensor) -> None:
        """Fold `z * factor + shift`, one number per output row, into the layer just before.

        Args:
            where: names the origin in errors.
            factor: `(rows,)`, or None for 1.
            shift: `(rows,)`.

        Raises:
            ModelError: the layer just before is not linear or convolutional, or sizes differ.
        """
        index = len(self.layers) - 1
        if index not in self._weights:
            raise ModelError(
                f"{where}: can only be folded into a linear or convolutional layer directly before "
                "it; move it there or fold it by hand"
            )
        origin, weight, bias = self._weights[index]
        rows = weight.shape[0]
        for values in (shift,) if factor is None else (factor, shift):
            if tuple(values.shape) != (rows,):
                raise ModelError(
                    f"{where}: has {tuple(values.shape)} values, {origin} has {rows} rows"
                )
        moved = torch.zeros(rows, dtype=torch.float64) if bias is None else bias.double()
        if factor is not None:
            columns = (1,) * (weight.dim() - 1)
            weight = weight.double() * factor.double().reshape(rows, *columns)
            moved = moved * factor.double()
        self._weights[index] = (origin, weight, moved + shift.double())
        layer = self.layers[index]
        if isinstance(layer, Linear | TokenLinear):
            self.layers[index] = type(layer)(inputs=layer.inputs, outputs=layer.outputs)
        elif isinstance(layer, Conv2d):
            self.layers[index] = Conv2d(
                in_channels=layer.in_channels,
                out_channels=layer.out_channels,
                kernel=layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
            )

    def fold_into_next(self, where: str, factor: Tensor, shift: Tensor | None) -> None:
        """Fold `z * factor + shift`, one number per feature, into the next linear layer.

        Args:
            where: names the origin in errors.
            factor: `(features,)`.
            shift: `(features,)`, or None for 0.
        """
        self._waiting = (where, factor, shift)

    def fold_batch_norm(
        self,
        where: str,
        *,
        mean: Tensor,
        variance: Tensor,
        gain: Tensor | None,
        shift: Tensor | None,
        epsilon: float,
    ) -> None:
        """Fold a batch normalisation with frozen statistics into the layer just before.

        `(z - mean) / sqrt(variance + epsilon) * gain + shift` (arXiv:1502.03167, algorithm 2).

        Raises:
            ModelError: see `fold_rows`; or a variance that is not positive.
        """
        spread = variance.double() + epsilon
        if not bool((spread > 0).all()):
            raise ModelError(f"{where}: variance + epsilon must be positive everywhere; retrain it")
        factor = spread.rsqrt() if gain is None else _times(where, gain, spread.rsqrt())
        moved = -_times(where, mean, factor)
        if shift is not None:
            if shift.shape != moved.shape:
                raise ModelError(f"{where}: its parameters differ in size")
            moved = moved + shift.double()
        self.fold_rows(where, factor, moved)

    def build(self, scaling: InputScaling, metadata: Mapping[str, object]) -> Model:
        """The finished model, with float32 weights.

        Raises:
            ModelError: shapes do not fit, a weight is NaN, infinite or beyond float32.
        """
        if self._waiting is not None:
            raise ModelError(_no_linear_map(self._waiting[0]))
        graph = Graph(input_shape=self._input_shape, layers=tuple(self.layers), scaling=scaling)
        weights = {
            index: LayerWeights(
                weight=to_float32(f"{origin}: weight", weight),
                bias=None if bias is None else to_float32(f"{origin}: bias", bias),
            )
            for index, (origin, weight, bias) in self._weights.items()
        }
        return Model(graph=graph, weights=weights, metadata=metadata)

    def _taken_up(
        self, where: str, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear map behind what waits to be folded into it."""
        assert self._waiting is not None
        origin, factor, shift = self._waiting
        self._waiting = None
        if factor.shape != weight.shape[1:] or (shift is not None and shift.shape != factor.shape):
            raise ModelError(f"{origin}: does not fit {where} of {tuple(weight.shape)} weights")
        if shift is not None:
            moved = weight.double() @ shift.double()
            bias = moved if bias is None else bias.double() + moved
        return weight.double() * factor.double(), bias

    def _add_optical(
        self, where: str, layer: OpticalLayer, weight: Tensor, bias: Tensor | None
    ) -> None:
        if bias is not None and tuple(bias.shape) != (layer.rows,):
            raise ModelError(
                f"{where}: bias has shape {tuple(bias.shape)}, the layer has {layer.rows} rows"
            )
        self.add(where, layer)
        self._weights[len(self.layers) - 1] = (where, weight, bias)


def _no_linear_map(where: str) -> str:
    return (
        f"{where}: its factors and shifts are weights, which only a linear layer directly behind "
        "it can take up; put one there, or build it with elementwise_affine=False"
    )


def to_float32(where: str, values: Tensor) -> Tensor:
    """A float32 copy of `values` in main memory, without gradient.

    Args:
        where: names the tensor in errors.
        values: any floating point type.

    Raises:
        ModelError: another type, NaN or infinity, or a magnitude beyond float32.
    """
    values = values.detach()
    if not values.is_floating_point():
        raise ModelError(
            f"{where} is {values.dtype}; only real floating point weights can be sent, convert "
            "or dequantise it to float32"
        )
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ModelError(
            f"{where}: {bad} of {values.numel()} values are NaN or infinite; retrain or repair it"
        )
    copy = values.to("cpu", torch.float32, copy=True).contiguous()
    if not bool(torch.isfinite(copy).all()):
        raise ModelError(
            f"{where}: largest magnitude {float(values.abs().max()):.3g} exceeds the float32 limit "
            "of 3.4e38; rescale the layer"
        )
    return copy


def _times(where: str, values: Tensor, factor: Tensor) -> Tensor:
    if values.shape != factor.shape:
        raise ModelError(f"{where}: its parameters differ in size")
    return values.double() * factor
