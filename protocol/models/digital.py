"""The client's digital part of a network: every layer that is not sent as light.

All of it is fixed by the public description; no weight is needed. Batches: `(samples, *shape)`.
"""

from functools import lru_cache

import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.errors import ModelError
from protocol.models.graph import (
    AddRemembered,
    AvgPool2d,
    Flatten,
    Gelu,
    Layer,
    LayerNorm,
    MaxPool2d,
    OpticalLayer,
    Patches,
    Relu,
    Remember,
    SelfAttention,
    SinusoidalPositions,
    Standardise,
    TokenMean,
)

__all__ = ["DigitalPart", "apply_digital"]

LONGEST_WAVE = 10_000.0
"""Base of the sinusoids' wavelengths (arXiv 1706.03762)."""


class DigitalPart:
    """The digital layers of one pass, with what its residual connections have yet to add."""

    def __init__(self) -> None:
        self._remembered: list[Tensor] = []

    def apply(self, layer: Layer, values: Tensor, *, in_place: bool = False) -> Tensor:
        """One digital layer on a batch `(samples, *shape)`; differentiable unless in place.

        Args:
            layer: any but an optical one.
            values: the batch.
            in_place: the values may be overwritten, which spares memory.

        Raises:
            ModelError: an optical layer, or an `AddRemembered` without its `Remember`.
        """
        if isinstance(layer, Remember):
            # A copy: whoever goes on may overwrite the values.
            self._remembered.append(values.clone())
            return values
        if isinstance(layer, AddRemembered):
            if not self._remembered:
                raise ModelError("add_remembered: nothing was remembered before it")
            return values + self._remembered.pop()
        if in_place and isinstance(layer, Relu):
            return values.relu_()
        return apply_digital(layer, values)


def apply_digital(layer: Layer, values: Tensor) -> Tensor:
    """A digital layer that needs nothing but its input, on a batch; differentiable.

    Raises:
        ModelError: an optical layer, or an end of a residual connection (see `DigitalPart`).
    """
    if isinstance(layer, OpticalLayer):
        raise ModelError(f"{layer.kind} is sent as light, it is not a digital layer")
    if isinstance(layer, Remember | AddRemembered):
        raise ModelError(f"{layer.kind} needs the other end of its connection; use DigitalPart")
    if isinstance(layer, MaxPool2d):
        return nnf.max_pool2d(values, layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, AvgPool2d):
        return nnf.avg_pool2d(values, layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, SelfAttention):
        return _attend(layer, values)
    if isinstance(layer, Patches):
        return _cut(layer, values)
    if isinstance(layer, Standardise):
        return (values - values.new_tensor(layer.offset)) * values.new_tensor(layer.factor)
    return _simple(layer, values)


def _simple(
    layer: Relu | Gelu | Flatten | LayerNorm | TokenMean | SinusoidalPositions, values: Tensor
) -> Tensor:
    """Layers of one call."""
    if isinstance(layer, Flatten):
        return values.flatten(1)
    if isinstance(layer, Gelu):
        return nnf.gelu(values)
    if isinstance(layer, LayerNorm):
        return nnf.layer_norm(values, values.shape[-1:], eps=layer.epsilon)
    if isinstance(layer, TokenMean):
        return values.mean(dim=1)
    if isinstance(layer, SinusoidalPositions):
        table = _sinusoids(values.shape[1], values.shape[2])
        return values + table.to(values.device, values.dtype)
    return torch.relu(values)


def _attend(layer: SelfAttention, values: Tensor) -> Tensor:
    """`(samples, tokens, 3 d)` to `(samples, tokens, d)`."""
    samples, tokens, features = values.shape
    parts = values.reshape(samples, tokens, 3, layer.heads, features // (3 * layer.heads))
    queries, keys, contents = parts.permute(2, 0, 3, 1, 4)
    mixed = nnf.scaled_dot_product_attention(queries, keys, contents)
    return mixed.transpose(1, 2).reshape(samples, tokens, features // 3)


def _cut(layer: Patches, values: Tensor) -> Tensor:
    """`(samples, channels, height, width)` to `(samples, tokens, entries of a patch)`."""
    return nnf.unfold(values, layer.size, stride=layer.size).transpose(1, 2)


@lru_cache(maxsize=16)
def _sinusoids(tokens: int, features: int) -> Tensor:
    """The table of `SinusoidalPositions`: `(tokens, features)`, float64."""
    token = torch.arange(tokens, dtype=torch.float64)[:, None]
    even = torch.arange(0, features, 2, dtype=torch.float64)
    phase = token * LONGEST_WAVE ** (-even / features)
    table = torch.empty(tokens, features, dtype=torch.float64)
    table[:, 0::2] = phase.sin()
    table[:, 1::2] = phase.cos()[:, : features // 2]
    return table
