"""Layers of transformers and tables: shapes, values by slow references, files, refusals."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from drivers.errors import ModelError
from protocol.models.digital import DigitalPart, apply_digital
from protocol.models.files import load_model, save_model
from protocol.models.graph import (
    AddRemembered,
    Conv2d,
    Gelu,
    Graph,
    Layer,
    LayerNorm,
    Linear,
    Patches,
    Relu,
    Remember,
    SelfAttention,
    Shape,
    SinusoidalPositions,
    Standardise,
    TokenLinear,
    TokenMean,
)
from protocol.models.model import LayerWeights, Model, fold, unfold
from protocol.models.onnx_files import check_onnx_export, save_onnx
from protocol.models.optical_layers import OpticalModule, OpticalNetwork, estimate_noise_std
from protocol.models.recipes import mlp, small_cnn, standardising, transformer

Array = npt.NDArray[np.float64]

GRAPH = transformer((2, 6, 4), 3, patch=(3, 2), width=4, heads=2, hidden=5, blocks=2, bias=True)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model_of(graph: Graph) -> Model:
    weights = {}
    for index in graph.optical:
        layer = graph.optical_layer(index)
        weights[index] = LayerWeights(
            weight=random(*layer.weight_shape, seed=index),
            bias=random(layer.rows, seed=100 + index) if layer.bias else None,
        )
    return Model(graph=graph, weights=weights)


def slow_attention(heads: int, rows: Array) -> Array:
    """arXiv 1706.03762, equation 1, head by head and token by token."""
    tokens, width = rows.shape[0], rows.shape[1] // 3
    size = width // heads
    out = np.zeros((tokens, width))
    for head, token in itertools.product(range(heads), range(tokens)):
        part = slice(head * size, (head + 1) * size)
        query, keys = rows[token, :width][part], rows[:, width : 2 * width][:, part]
        scores = np.array([math.fsum(query * key) / math.sqrt(size) for key in keys])
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        out[token, part] = sum(
            share * row for share, row in zip(shares, rows[:, 2 * width :][:, part], strict=True)
        )
    return out


def slow_digital(layer: Layer, values: Array) -> Array:
    if isinstance(layer, Patches):
        (height, width), (_, rows, columns) = layer.size, values.shape
        return np.stack(
            [
                values[:, y : y + height, x : x + width].reshape(-1)
                for y in range(0, rows, height)
                for x in range(0, columns, width)
            ]
        )
    if isinstance(layer, SinusoidalPositions):
        tokens, features = values.shape
        added = np.zeros_like(values)
        for token, feature in itertools.product(range(tokens), range(features)):
            phase = token / 10000 ** (2 * (feature // 2) / features)
            added[token, feature] = math.cos(phase) if feature % 2 else math.sin(phase)
        return values + added
    if isinstance(layer, LayerNorm):
        mean = values.mean(axis=-1, keepdims=True)
        spread = values.var(axis=-1, keepdims=True) + layer.epsilon
        return np.asarray((values - mean) / np.sqrt(spread))
    if isinstance(layer, SelfAttention):
        return slow_attention(layer.heads, values)
    if isinstance(layer, TokenMean):
        return np.asarray(values.mean(axis=0))
    if isinstance(layer, Gelu):
        normal = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))
        return np.asarray(values * normal(values))
    if isinstance(layer, Standardise):
        return np.asarray((values - np.array(layer.offset)) * np.array(layer.factor))
    assert isinstance(layer, Relu)
    return np.maximum(values, 0.0)


def slow_forward(model: Model, sample: Tensor) -> Array:
    values: Array = sample.double().numpy()
    kept: list[Array] = []
    for index, layer in enumerate(model.graph.layers):
        if isinstance(layer, TokenLinear | Linear):
            held = model.weights[index]
            values = values @ held.weight.double().numpy().T
            values = values + (0.0 if held.bias is None else held.bias.double().numpy())
        elif isinstance(layer, Remember):
            kept.append(values.copy())
        elif isinstance(layer, AddRemembered):
            values = values + kept.pop()
        else:
            values = slow_digital(layer, values)
    return values


def test_transformer_has_the_shapes_of_its_parts_when_built() -> None:
    assert GRAPH.shapes[:4] == ((2, 6, 4), (4, 12), (4, 4), (4, 4))
    assert GRAPH.shapes[-3:] == ((4, 4), (4,), (3,))
    optical = [GRAPH.optical_layer(index) for index in GRAPH.optical]
    assert [(layer.rows, layer.columns) for layer in optical] == [
        (4, 12), (12, 4), (4, 4), (5, 4), (4, 5), (12, 4), (4, 4), (5, 4), (4, 5), (3, 4),
    ]  # fmt: skip
    positions = [
        layer.positions(GRAPH.shapes[index])
        for index, layer in zip(GRAPH.optical, optical, strict=True)
    ]
    assert positions == [4] * 9 + [1]


def test_forward_agrees_with_a_slow_reference_when_the_network_is_a_transformer() -> None:
    model, samples = model_of(GRAPH), random(5, 2, 6, 4, seed=3)
    expected = np.stack([slow_forward(model, sample) for sample in samples])
    np.testing.assert_allclose(model.forward(samples).numpy(), expected, rtol=2e-4, atol=2e-4)
    trained = OpticalNetwork.from_model(model)
    torch.testing.assert_close(trained(samples), model.forward(samples))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Patches(size=(2, 3)), (2, 4, 6)),
        (SinusoidalPositions(), (5, 6)),
        (SinusoidalPositions(), (3, 5)),
        (LayerNorm(epsilon=0.5), (3, 4)),
        (LayerNorm(), (4,)),
        (SelfAttention(heads=3), (5, 18)),
        (TokenMean(), (5, 3)),
        (Gelu(), (7,)),
        (Standardise(offset=(1.0, -2.0), factor=(3.0, -0.5)), (2,)),
    ],
)
def test_digital_layer_agrees_with_a_slow_reference_when_applied(
    layer: Layer, shape: Shape
) -> None:
    samples = random(3, *shape, seed=5)
    expected = np.stack([slow_digital(layer, sample.double().numpy()) for sample in samples])
    result = apply_digital(layer, samples)
    assert tuple(result.shape[1:]) == layer.output_shape(shape)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_residuals_nest_like_brackets_when_both_ends_are_given() -> None:
    inner: tuple[Layer, ...] = (Remember(), Relu(), AddRemembered())
    graph = Graph(
        input_shape=(2,),
        layers=(Remember(), *inner, *inner, AddRemembered(), Linear(inputs=2, outputs=2)),
    )
    held = LayerWeights(weight=torch.eye(2), bias=torch.zeros(2))
    model = Model(graph=graph, weights={graph.optical[0]: held})
    # z + relu(z) twice is 4 z for z > 0 and z otherwise; then z once more.
    torch.testing.assert_close(
        model.forward(torch.tensor([[1.0, -1.0]])), torch.tensor([[5.0, -2.0]])
    )


def test_digital_part_leaves_what_it_remembers_alone_when_it_works_in_place() -> None:
    part, values = DigitalPart(), torch.tensor([[-1.0, 2.0]])
    for layer in (Remember(), Relu(), AddRemembered()):
        values = part.apply(layer, values, in_place=True)
    assert values.tolist() == [[-1.0, 4.0]]
    with pytest.raises(ModelError, match="nothing was remembered"):
        part.apply(AddRemembered(), values)


@pytest.mark.parametrize("layer", [Remember(), AddRemembered()])
def test_apply_digital_refuses_when_the_other_end_is_missing(layer: Layer) -> None:
    with pytest.raises(ModelError, match="needs the other end of its connection"):
        apply_digital(layer, torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((4, 3), (TokenLinear(inputs=4, outputs=1),), r"takes \(tokens, 4\), but gets \(4, 3\)"),
        ((3,), (TokenLinear(inputs=3, outputs=1),), r"takes \(tokens, 3\), but gets \(3,\)"),
        ((1, 5, 4), (Patches(size=(2, 2)),), "patches of 2 x 2 do not divide an image of 5 x 4"),
        ((5, 4), (Patches(size=(1, 1)),), r"takes \(channels, height, width\)"),
        ((6,), (SelfAttention(heads=1),), r"takes \(tokens, features\), but gets \(6,\)"),
        ((2, 9), (SelfAttention(heads=2),), "of 2 heads takes query, key and value of a multiple"),
        ((1 << 15, 3), (SelfAttention(heads=1),), "between 32768 tokens exceed the cap"),
        ((3, 2, 2), (TokenMean(),), r"token_mean takes \(tokens, features\)"),
        ((3,), (SinusoidalPositions(),), r"sinusoidal_positions takes \(tokens, features\)"),
        ((3,), (Standardise(offset=(0.0,), factor=(1.0,)),), r"takes \(1,\), but gets \(3,\)"),
        ((3, 2, 2), (LayerNorm(),), r"takes \(features,\) or \(tokens, features\), gets"),
        (
            (1 << 27,),
            (Remember(), Remember(), Remember(), *(AddRemembered(),) * 3),
            r"layer 2 \(remember\): 402653184 remembered entries exceed the cap",
        ),
        ((3,), (Remember(),), r"layer 0 \(remember\): no add_remembered follows"),
        ((3,), (AddRemembered(),), r"layer 0 \(add_remembered\): no remember before it is open"),
        (
            (4, 3),
            (Remember(), TokenMean(), AddRemembered()),
            r"layer 2 .*: layer 0 remembers \(4, 3\), but the sum has \(3,\)",
        ),
    ],
)
def test_graph_refuses_when_layers_of_tokens_do_not_fit(
    shape: Shape, layers: tuple[Layer, ...], message: str
) -> None:
    # One optical layer more, so that the network has any; where it counts, it fits.
    last = Linear(inputs=shape[-1], outputs=1)
    with pytest.raises(ModelError, match=message):
        Graph(input_shape=shape, layers=(*layers, last))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "self_attention", "heads": 0}, "heads must be at least 1"),
        ({"kind": "patches", "size": [2]}, "size must be two whole numbers"),
        ({"kind": "layer_norm", "epsilon": "1"}, "epsilon must be a number"),
        ({"kind": "layer_norm", "epsilon": math.nan}, r"epsilon is nan, it must lie in \(0, 1\)"),
        ({"kind": "layer_norm", "epsilon": 0}, "epsilon is 0.0"),
        ({"kind": "standardise", "offset": 1, "factor": [1]}, "must be a list of at most 4096"),
        ({"kind": "standardise", "offset": [1], "factor": [1, 2]}, "as many offsets as factors"),
        ({"kind": "standardise", "offset": [], "factor": []}, "1 to 4096, got 0 and 0"),
        ({"kind": "standardise", "offset": [0] * 4097, "factor": [1] * 4097}, "at most 4096"),
        ({"kind": "standardise", "offset": [0], "factor": [0]}, "factors that are not 0"),
        ({"kind": "standardise", "offset": [math.inf], "factor": [1]}, "finite numbers"),
        ({"kind": "remember", "depth": 1}, "unknown key 'depth'"),
    ],
)
def test_from_dict_refuses_when_a_layer_of_tokens_is_malformed(
    entry: dict[str, object], message: str
) -> None:
    data = {"input_shape": [1], "layers": [entry, {"kind": "linear", "inputs": 1, "outputs": 1}]}
    with pytest.raises(ModelError, match=message):
        Graph.from_dict(data)


def test_file_gives_the_model_back_when_it_holds_layers_of_tokens(tmp_path: Path) -> None:
    standardise = Standardise(offset=(1, 2), factor=(3, 4))
    for name, graph in (("a", GRAPH), ("b", mlp((2,), (3,), 2, standardise=standardise))):
        model = model_of(graph)
        save_model(model, tmp_path / f"{name}.safetensors")
        back = load_model(tmp_path / f"{name}.json")
        assert back.graph == graph
        assert back.digest == model.digest
        assert Graph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


def test_onnx_refuses_by_name_when_a_layer_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"layer 0 \(patches\) is not written to ONNX files"):
        save_onnx(model_of(GRAPH), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    check_onnx_export(small_cnn((1, 8, 8), 3))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (TokenLinear(inputs=4, outputs=3), (5, 4)),
        (Linear(inputs=4, outputs=3), (4,)),
        (Conv2d(in_channels=2, out_channels=3, kernel=(2, 2), stride=(2, 1)), (2, 5, 4)),
    ],
)
def test_fold_gives_the_layers_output_when_it_takes_the_products_of_unfold(
    layer: TokenLinear | Linear | Conv2d, shape: Shape, bias: bool
) -> None:
    layer = type(layer)(**{**vars(layer), "bias": bias})
    model = model_of(Graph(input_shape=shape, layers=(layer,)))
    samples = random(3, *shape, seed=8)
    vectors = unfold(layer, samples)
    assert vectors.shape == (3, layer.positions(shape), layer.columns + bias)
    products = vectors.flatten(0, 1) @ model.matrix(0).T
    outputs = fold(layer, products, layer.output_shape(shape))
    torch.testing.assert_close(outputs.flatten(1), model.forward(samples), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_noise_is_that_of_each_token_when_a_layer_works_on_tokens(bias: bool) -> None:
    layer = TokenLinear(inputs=4, outputs=3, bias=bias)
    held = model_of(Graph(input_shape=(5, 4), layers=(layer,))).weights[0]
    values = random(2, 5, 4, seed=9)
    std = estimate_noise_std(layer, values, held, 0.7)
    rms = float(held.matrix().square().mean().sqrt())
    for sample, token in itertools.product(range(2), range(5)):
        norm = math.sqrt(math.fsum(float(x) ** 2 for x in values[sample, token]) + bias)
        assert float(std[sample, token]) == pytest.approx(norm * rms / math.sqrt(0.7), rel=1e-5)
    module = OpticalModule(layer, held)
    noisy = module(values, 0.7, torch.Generator().manual_seed(4))
    torch.testing.assert_close(noisy, module(values) + std * random(2, 5, 3, seed=4))


def test_transformer_trains_every_weight_when_there_is_noise() -> None:
    network = OpticalNetwork(GRAPH, seed=1)
    ratios = (2.0,) * len(GRAPH.optical)
    network(random(6, 2, 6, 4), ratios, torch.Generator().manual_seed(0)).square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert bool((parameter.grad != 0).any())


def test_standardising_gives_mean_zero_and_spread_one_when_applied_to_its_data() -> None:
    rows = np.random.default_rng(0).normal([5.0, -300.0, 7.0], [2.0, 40.0, 0.0], (50, 3))
    layer = standardising(rows)
    values = apply_digital(layer, torch.from_numpy(rows))
    np.testing.assert_allclose(values.mean(dim=0).numpy(), 0.0, atol=1e-9)
    np.testing.assert_allclose(values.std(dim=0, correction=0)[:2].numpy(), 1.0, atol=1e-9)
    # A column that never changes keeps its unit instead of a division by zero.
    assert layer.factor[2] == 1.0
    assert values[:, 2].abs().max() < 1e-9


@pytest.mark.parametrize("shape", [(2, 8, 8, 8), (8, 8)])
def test_transformer_is_refused_when_the_samples_are_no_images(shape: Shape) -> None:
    with pytest.raises(ModelError, match=r"a transformer takes \(channels, height, width\)"):
        transformer(shape, 3, patch=(2, 2))
