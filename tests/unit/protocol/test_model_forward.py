"""The server's half of a network: noise-free outputs, data vectors and checks of the weights."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray

from drivers.errors import ModelError
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Layer,
    Linear,
    MaxPool2d,
    Relu,
)
from protocol.models.model import LayerWeights, Model, apply_digital, unfold

Array = NDArray[np.float64]
Windowed = Conv2d | MaxPool2d | AvgPool2d

CONV = Conv2d(
    in_channels=2, out_channels=3, kernel=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)
)
GRAPH = Graph(
    input_shape=(2, 6, 5),
    layers=(
        CONV,
        Relu(),
        MaxPool2d(kernel=(2, 2), stride=(1, 2), padding=(1, 0)),
        AvgPool2d(kernel=(2, 2), stride=(2, 1), padding=(1, 1)),
        Flatten(),
        Linear(inputs=36, outputs=4),
    ),
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights() -> dict[int, LayerWeights]:
    return {
        0: LayerWeights(weight=random(3, 2, 3, 2), bias=random(3, seed=1)),
        5: LayerWeights(weight=random(4, 36, seed=2), bias=random(4, seed=3)),
    }


def linear_model(
    weight: torch.Tensor, bias: torch.Tensor | None = None, scaling: InputScaling | None = None
) -> Model:
    outputs, inputs = weight.shape
    graph = Graph(
        input_shape=(inputs,),
        layers=(Linear(inputs=inputs, outputs=outputs, bias=bias is not None),),
        scaling=scaling or InputScaling(),
    )
    return Model(graph=graph, weights={0: LayerWeights(weight=weight, bias=bias)})


def slow_windows(layer: Windowed, image: Array, fill: float) -> Array:
    """Every window of one image, by its definition: `(height, width, channels, *kernel)`."""
    dilation = layer.dilation if isinstance(layer, Conv2d) else (1, 1)
    (top, left), (rows, columns) = layer.padding, layer.kernel
    channels, height, width = image.shape
    padded = np.full((channels, height + 2 * top, width + 2 * left), fill)
    padded[:, top : top + height, left : left + width] = image
    _, out_height, out_width = layer.output_shape((channels, height, width))
    windows = np.empty((out_height, out_width, channels, rows, columns))
    for y, x, dy, dx in itertools.product(
        range(out_height), range(out_width), range(rows), range(columns)
    ):
        row = y * layer.stride[0] + dy * dilation[0]
        column = x * layer.stride[1] + dx * dilation[1]
        windows[y, x, :, dy, dx] = padded[:, row, column]
    return windows


def slow_forward(model: Model, sample: torch.Tensor) -> Array:
    values: Array = sample.double().numpy()
    for index, layer in enumerate(model.graph.layers):
        if isinstance(layer, Linear | Conv2d):
            weight = model.weights[index].weight.double().numpy()
            bias = model.weights[index].bias
            shift = np.zeros(layer.rows) if bias is None else bias.double().numpy()
            if isinstance(layer, Linear):
                values = weight @ values + shift
            else:
                sums = np.einsum("yxcij,ocij->oyx", slow_windows(layer, values, 0.0), weight)
                values = sums + shift[:, None, None]
        elif isinstance(layer, MaxPool2d):
            values = slow_windows(layer, values, -math.inf).max(axis=(3, 4)).transpose(2, 0, 1)
        elif isinstance(layer, AvgPool2d):
            values = slow_windows(layer, values, 0.0).mean(axis=(3, 4)).transpose(2, 0, 1)
        elif isinstance(layer, Flatten):
            values = values.reshape(-1)
        else:
            values = np.maximum(values, 0.0)
    return values.reshape(-1)


def test_forward_agrees_with_a_slow_reference_when_all_layer_kinds_are_used() -> None:
    model = Model(graph=GRAPH, weights=weights())
    samples = random(5, 2, 6, 5, seed=7)
    expected = np.stack([slow_forward(model, sample) for sample in samples])
    np.testing.assert_allclose(model.forward(samples).numpy(), expected, atol=1e-4)


def test_forward_flattens_when_the_last_layer_is_a_convolution() -> None:
    graph = Graph(input_shape=(2, 6, 5), layers=(CONV,))
    model = Model(graph=graph, weights={0: weights()[0]})
    samples = random(2, 2, 6, 5)
    assert model.forward(samples).shape == (2, graph.outputs)
    np.testing.assert_allclose(
        model.forward(samples)[1].numpy(), slow_forward(model, samples[1]), atol=1e-5
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 2)), ((3, 2), (0, 1), (2, 1))],
)
def test_unfold_gives_the_convolution_when_multiplied_by_the_matrix(
    bias: bool, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    layer = Conv2d(
        in_channels=2,
        out_channels=3,
        kernel=(3, 2),
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=bias,
    )
    values = random(4, 2, 7, 6)
    held = LayerWeights(weight=random(3, 2, 3, 2, seed=1), bias=random(3, seed=2) if bias else None)
    vectors = unfold(layer, values)
    assert vectors.shape == (4, layer.positions((2, 7, 6)), layer.columns + bias)
    products = torch.einsum("spc,rc->srp", vectors, held.matrix())
    expected = nnf.conv2d(values, held.weight, held.bias, stride, padding, dilation)
    torch.testing.assert_close(products.reshape(expected.shape), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_unfold_gives_the_linear_layer_when_multiplied_by_the_matrix(bias: bool) -> None:
    layer = Linear(inputs=6, outputs=4, bias=bias)
    values = random(5, 6)
    held = LayerWeights(weight=random(4, 6, seed=1), bias=random(4, seed=2) if bias else None)
    vectors = unfold(layer, values)
    assert vectors.shape == (5, 1, 6 + bias)
    expected = nnf.linear(values, held.weight, held.bias)
    torch.testing.assert_close(vectors[:, 0] @ held.matrix().T, expected)


def test_matrix_has_the_bias_as_last_column_when_there_is_one() -> None:
    model = Model(graph=GRAPH, weights=weights())
    assert model.matrix(0).shape == (3, 13)
    bias = model.weights[0].bias
    assert bias is not None
    torch.testing.assert_close(model.matrix(0)[:, -1], bias)
    torch.testing.assert_close(model.matrix(0)[2, :12], model.weights[0].weight[2].reshape(-1))


@pytest.mark.parametrize("layer", [CONV, Linear(inputs=2, outputs=2)])
def test_apply_digital_refuses_when_the_layer_is_optical(layer: Layer) -> None:
    with pytest.raises(ModelError, match="is sent as light"):
        apply_digital(layer, random(1, 2))


NAN_WEIGHT = torch.tensor([[1.0, math.nan, math.inf]])


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.ones(1, 2), torch.ones(1), r"weight has shape \(1, 2\), the network needs \(1, 3\)"),
        (torch.ones(1, 3), torch.ones(2), r"bias has shape \(2,\), the network needs \(1,\)"),
        (torch.ones(1, 3), None, "disagree about a bias"),
        (torch.ones(1, 3).double(), torch.ones(1), "weight is torch.float64, it must be"),
        (torch.ones(1, 3), torch.ones(1).half(), "bias is torch.float16, it must be"),
        (NAN_WEIGHT, torch.ones(1), "weight: 2 of 3 values are NaN or infinite"),
        (torch.ones(1, 3), torch.tensor([math.nan]), "bias: 1 of 1 values are NaN"),
        (torch.zeros(1, 3), torch.ones(1), "all weights are zero"),
    ],
)
def test_model_refuses_when_a_weight_is_unusable(
    weight: torch.Tensor, bias: torch.Tensor | None, message: str
) -> None:
    graph = Graph(input_shape=(3,), layers=(Linear(inputs=3, outputs=1),))
    with pytest.raises(ModelError, match=r"layer 0 \(linear\).*" + message):
        Model(graph=graph, weights={0: LayerWeights(weight=weight, bias=bias)})


def test_model_refuses_when_weights_are_missing_or_surplus() -> None:
    held = weights()
    with pytest.raises(ModelError, match=r"given for layers \[0\], the network needs .*\[0, 5\]"):
        Model(graph=GRAPH, weights={0: held[0]})
    with pytest.raises(ModelError, match=r"given for layers \[0, 1, 5\]"):
        Model(graph=GRAPH, weights=held | {1: held[0]})


def test_digest_is_stable_when_rebuilt_and_blind_to_metadata() -> None:
    first = Model(graph=GRAPH, weights=weights())
    second = Model(graph=GRAPH, weights=weights(), metadata={"trained": "later"})
    assert first.digest == second.digest
    assert len(first.digest) == 64


def test_digest_changes_when_weight_bias_or_scaling_changes() -> None:
    weight, bias = random(2, 3), random(2)
    moved = weight.clone()
    moved[1, 2] = torch.nextafter(moved[1, 2], torch.tensor(math.inf))
    models = [
        linear_model(weight, bias),
        linear_model(moved, bias),
        linear_model(weight, bias + 1),
        linear_model(weight),
        linear_model(weight, bias, InputScaling(offset=1.0)),
    ]
    assert len({model.digest for model in models}) == len(models)


def test_digest_is_the_same_when_the_scaling_was_given_as_whole_numbers() -> None:
    weight = random(2, 3)
    assert (
        linear_model(weight, scaling=InputScaling(offset=1, factor=2)).digest
        == linear_model(weight, scaling=InputScaling(offset=1.0, factor=2.0)).digest
    )


def test_models_compare_by_identity_when_they_hold_equal_tensors() -> None:
    weight = random(2, 3)
    first, second = linear_model(weight), linear_model(weight)
    assert first != second
    assert len({first, second}) == 2
