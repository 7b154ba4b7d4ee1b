"""The server's half of a network: a graph with its weights.

Weights are float32 torch tensors: `(outputs, inputs)` for linear layers, of tokens too, and
`(out_channels, in_channels, height, width)` for convolutions; biases are `(rows,)`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.errors import ModelError
from protocol.models.digital import DigitalPart, apply_digital
from protocol.models.graph import Conv2d, Graph, OpticalLayer, Shape, TokenLinear

__all__ = ["LayerWeights", "Model", "apply_digital", "fold", "unfold", "weighted_sums"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerWeights:
    """Weight and bias of one optical layer."""

    weight: Tensor
    bias: Tensor | None = None

    def matrix(self) -> Tensor:
        """What is sent as light: `(rows, columns)`, the bias as one more column."""
        flat = self.weight.flatten(1)
        return flat if self.bias is None else torch.cat([flat, self.bias[:, None]], dim=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A graph with its weights.

    Args:
        graph: the public half.
        weights: by index of the optical layer in `graph.layers`.
        metadata: plain JSON values that travel with the file: how it was trained, on what,
            at which signal-to-noise ratio per layer.

    Raises:
        ModelError: missing or surplus weights, a wrong shape or type, NaN or infinity.
    """

    graph: Graph
    weights: Mapping[int, LayerWeights]
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.weights) != set(self.graph.optical):
            raise ModelError(
                f"weights are given for layers {sorted(self.weights)}, "
                f"the network needs them for {list(self.graph.optical)}"
            )
        for index in self.graph.optical:
            _check_weights(index, self.graph.optical_layer(index), self.weights[index])

    def matrix(self, index: int) -> Tensor:
        """Weight matrix `(rows, columns)` of layer `index`, the bias as one more column."""
        return self.weights[index].matrix()

    @property
    def digest(self) -> str:
        """SHA-256 over graph and weights: the identity that the ledger charges."""
        sha = hashlib.sha256(json.dumps(self.graph.to_dict(), sort_keys=True).encode())
        for index in self.graph.optical:
            sha.update(self.matrix(index).detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()

    def forward(self, inputs: Tensor) -> Tensor:
        """Noise-free outputs `(samples, outputs)` of scaled inputs `(samples, *input_shape)`."""
        values, digital = inputs, DigitalPart()
        for index, layer in enumerate(self.graph.layers):
            if isinstance(layer, OpticalLayer):
                values = weighted_sums(layer, values, self.weights[index])
            else:
                values = digital.apply(layer, values)
        return values.flatten(1)


def weighted_sums(layer: OpticalLayer, values: Tensor, weights: LayerWeights) -> Tensor:
    """Noise-free products of one optical layer with a batch; differentiable.

    Args:
        layer: the optical layer.
        values: `(samples, *shape)` as the layer takes them.
        weights: of the layer.

    Returns:
        `(samples, *output_shape)`.
    """
    if isinstance(layer, Conv2d):
        return nnf.conv2d(
            values, weights.weight, weights.bias, layer.stride, layer.padding, layer.dilation
        )
    return nnf.linear(values, weights.weight, weights.bias)


def unfold(layer: OpticalLayer, values: Tensor) -> Tensor:
    """Data vectors that a layer multiplies: `(samples, positions, columns)`.

    Where the layer has a bias, an entry of 1 is appended to every vector.

    Args:
        layer: the optical layer.
        values: `(samples, features)`, `(samples, tokens, features)` or
            `(samples, channels, height, width)`.
    """
    if isinstance(layer, Conv2d):
        patches = nnf.unfold(
            values, layer.kernel, layer.dilation, layer.padding, layer.stride
        ).transpose(1, 2)
    elif isinstance(layer, TokenLinear):
        patches = values
    else:
        patches = values.flatten(1)[:, None, :]
    return nnf.pad(patches, (0, 1), value=1.0) if layer.bias else patches


def fold(layer: OpticalLayer, products: Tensor, output_shape: Shape) -> Tensor:
    """Products of all data vectors, as `unfold` orders them, to a batch of the layer's outputs.

    Args:
        layer: the optical layer.
        products: `(samples * positions, rows)`.
        output_shape: of one sample.

    Returns:
        `(samples, *output_shape)`.
    """
    if isinstance(layer, Conv2d):
        positions = output_shape[1] * output_shape[2]
        products = products.reshape(-1, positions, layer.rows).transpose(1, 2)
    return products.reshape(-1, *output_shape)


def _check_weights(index: int, layer: OpticalLayer, weights: LayerWeights) -> None:
    where = f"layer {index} ({layer.kind})"
    _check_tensor(f"{where} weight", weights.weight, layer.weight_shape)
    if layer.bias != (weights.bias is not None):
        raise ModelError(f"{where}: the description and the weights disagree about a bias")
    if weights.bias is not None:
        _check_tensor(f"{where} bias", weights.bias, (layer.rows,))
    if not bool(weights.weight.any()):
        raise ModelError(f"{where}: all weights are zero, there is nothing to send")


def _check_tensor(where: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ModelError(f"{where} has shape {tuple(tensor.shape)}, the network needs {shape}")
    if tensor.dtype != torch.float32:
        raise ModelError(f"{where} is {tensor.dtype}, it must be torch.float32")
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ModelError(
            f"{where}: {bad} of {tensor.numel()} values are NaN or infinite; retrain or repair it"
        )
