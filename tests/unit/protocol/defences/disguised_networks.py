"""Random networks for tests of disguises, and the function of a network that is sent in one."""

from collections.abc import Mapping

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from protocol.defences import DisguisedNetwork, SentWeights
from protocol.models.digital import DigitalPart
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    Graph,
    Layer,
    Linear,
    MaxPool2d,
    OpticalLayer,
    Relu,
    TokenLinear,
    TokenMean,
)
from protocol.models.model import LayerWeights, Model, weighted_sums

__all__ = ["double_weights", "networks", "outputs", "sent_weights"]


@st.composite
def networks(draw: st.DrawFn) -> Model:
    """Perceptrons, convolutional networks and maps of tokens, with and without biases."""
    kind = draw(st.sampled_from(["perceptron", "convolutional", "tokens"]))
    layers: list[Layer] = []
    bias = draw(st.booleans())
    if kind == "convolutional":
        shape: tuple[int, ...] = (draw(st.integers(1, 3)), 7, 6)
        channels = shape[0]
        for _ in range(draw(st.integers(1, 2))):
            leaving = draw(st.integers(1, 5))
            layers.append(
                Conv2d(
                    in_channels=channels,
                    out_channels=leaving,
                    kernel=(3, 2),
                    padding=(1, 1),
                    stride=draw(st.sampled_from([(1, 1), (1, 2)])),
                    bias=bias,
                )
            )
            channels = leaving
            digital = draw(st.sampled_from(["relu", "max", "mean", "none"]))
            layers += [Relu()] if digital != "none" else []
            if digital == "max":
                layers.append(MaxPool2d(kernel=(2, 2), stride=(2, 1), padding=(1, 0)))
            if digital == "mean":
                layers.append(AvgPool2d(kernel=(2, 1), stride=(1, 1), padding=(1, 0)))
        layers.append(Flatten())
        width = Graph(input_shape=shape, layers=tuple(layers)).outputs
    elif kind == "tokens":
        features = draw(st.integers(1, 5))
        shape = (draw(st.integers(1, 4)), draw(st.integers(1, 5)))
        layers = [TokenLinear(inputs=shape[1], outputs=features, bias=bias)]
        layers.append(Relu() if draw(st.booleans()) else Gelu())
        layers += [TokenLinear(inputs=features, outputs=3, bias=bias), Relu()]
        layers.append(TokenMean() if draw(st.booleans()) else Flatten())
        width = Graph(input_shape=shape, layers=tuple(layers)).outputs
    else:
        width = draw(st.integers(1, 6))
        shape = (width,)
    for _ in range(draw(st.integers(1 if kind == "perceptron" else 0, 3))):
        outputs = draw(st.integers(1, 7))
        layers += [Linear(inputs=width, outputs=outputs, bias=bias), Relu()]
        width = outputs
    layers.append(Linear(inputs=width, outputs=3, bias=bias))
    graph = Graph(input_shape=shape, layers=tuple(layers))
    return Model(graph=graph, weights=_weights(graph, draw(st.integers(0, 1 << 30))))


def _weights(graph: Graph, seed: int) -> dict[int, LayerWeights]:
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for index in graph.optical:
        layer = graph.optical_layer(index)
        weights[index] = LayerWeights(
            weight=torch.randn(layer.weight_shape, generator=generator),
            bias=torch.randn(layer.rows, generator=generator) if layer.bias else None,
        )
    return weights


def double_weights(model: Model) -> dict[int, LayerWeights]:
    """The weights of a model in float64."""
    return {
        index: LayerWeights(
            weight=weights.weight.double(),
            bias=None if weights.bias is None else weights.bias.double(),
        )
        for index, weights in model.weights.items()
    }


def sent_weights(network: DisguisedNetwork, sent: SentWeights) -> dict[int, LayerWeights]:
    """What is sent, read as the weights of the network that the client is told of."""
    return {
        index: _as_weights(network.graph.optical_layer(index), matrix)
        for index, matrix in sent.matrices.items()
    }


def _as_weights(layer: OpticalLayer, matrix: NDArray[np.float64]) -> LayerWeights:
    values = torch.from_numpy(matrix)
    flat = values[:, : layer.columns]
    return LayerWeights(
        weight=flat.reshape(layer.weight_shape), bias=values[:, -1] if layer.bias else None
    )


def outputs(graph: Graph, weights: Mapping[int, LayerWeights], inputs: Tensor) -> Tensor:
    """The network's outputs, layer by layer as a client computes them."""
    values, digital = inputs, DigitalPart()
    for index, layer in enumerate(graph.layers):
        if isinstance(layer, OpticalLayer):
            values = weighted_sums(layer, values, weights[index])
        else:
            values = digital.apply(layer, values)
    return values.flatten(1)
