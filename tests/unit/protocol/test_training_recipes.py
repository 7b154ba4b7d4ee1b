"""The named networks and settings, and that they reach what their documentation says."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from drivers.errors import ConfigurationError, DataError, ModelError
from protocol.models.graph import Flatten, Graph, InputScaling
from protocol.models.optical_layers import OpticalNetwork, check_signal_to_noise
from protocol.models.recipes import (
    DIGITS,
    DIGITS_NARROW,
    MNIST_CNN,
    MNIST_FAINT,
    MNIST_MODERATE,
    MNIST_NOISE_FREE,
    MNIST_WIDE,
    centred_scaling,
    mlp,
    small_cnn,
)
from protocol.models.training import TrainingSettings, evaluate, scale_inputs, train
from veilight.datasets import load_digits, load_idx_folder

SIGNED = InputScaling(offset=127.5, factor=1 / 127.5)


def test_mlp_has_the_asked_widths_when_built() -> None:
    graph = mlp((28, 28), (784, 30), 10, scaling=SIGNED)
    assert isinstance(graph.layers[0], Flatten)
    assert graph.shapes == ((28, 28), (784,), (784,), (784,), (30,), (30,), (10,))
    assert not any(graph.optical_layer(index).bias for index in graph.optical)
    assert graph.scaling == SIGNED
    flat = mlp((5,), (), 3, bias=True)
    assert flat.shapes == ((5,), (3,))
    assert flat.optical_layer(0).bias
    assert flat.scaling == InputScaling()


def test_small_cnn_halves_the_image_per_block_when_built() -> None:
    graph = small_cnn((3, 13, 9), 4, channels=(5, 6), hidden=7, bias=True)
    outputs = OpticalNetwork(graph)(torch.ones(2, 3, 13, 9), (1.0,) * 4)
    assert outputs.shape == (2, 4)
    assert [graph.optical_layer(index).rows for index in graph.optical] == [5, 6, 7, 4]
    assert graph.optical_layer(graph.optical[2]).columns == 6 * 3 * 2


@pytest.mark.parametrize("shape", [(1, 3, 4), (28, 28), (784,)])
def test_small_cnn_is_refused_when_the_image_is_too_small(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"of at least 4 x 4, got \(.*; use fewer blocks or `mlp`"):
        small_cnn(shape, 4)


def test_recipes_fit_the_networks_that_they_name_when_checked() -> None:
    pairs: list[tuple[Graph, TrainingSettings]] = [
        (mlp((784,), (784,), 10), MNIST_NOISE_FREE),
        (mlp((784,), (784,), 10), MNIST_FAINT),
        (mlp((784,), (784,), 10), MNIST_MODERATE),
        (mlp((784,), (2000,), 10), MNIST_WIDE),
        (small_cnn((1, 28, 28), 10), MNIST_CNN),
        (mlp((64,), (512,), 10), DIGITS),
        (mlp((64,), (128,), 10), DIGITS_NARROW),
    ]
    for graph, settings in pairs:
        ratios = settings.signal_to_noise
        assert tuple(check_signal_to_noise(graph, ratios).values()) == ratios


def test_centred_scaling_gives_the_shortest_data_vectors_when_compared() -> None:
    raw = np.random.default_rng(0).integers(0, 256, (50, 20)).astype(np.uint8) // 3
    scaling = centred_scaling(raw, 127.5)
    assert scaling.offset == pytest.approx(float(raw.astype(float).mean()), rel=1e-12)
    assert scaling.factor == 1 / 127.5

    def length(offset: float) -> float:
        scaled = InputScaling(offset=offset, factor=scaling.factor)
        graph = mlp((20,), (), 2, scaling=scaled)
        return float(scale_inputs(graph, raw).square().sum())

    assert all(length(scaling.offset) < length(scaling.offset + step) for step in (-1, 1, 80))


@pytest.mark.parametrize("half_range", [0.0, -1.0, math.inf, math.nan])
def test_centred_scaling_is_refused_when_the_range_is_impossible(half_range: float) -> None:
    with pytest.raises(ConfigurationError, match=f"half_range is {half_range}"):
        centred_scaling(np.ones((2, 3)), half_range)


@pytest.mark.parametrize(
    "raw", [np.ones((0, 3)), np.array([[1.0, math.nan]]), np.ones((1, 1)) * 1j]
)
def test_centred_scaling_is_refused_when_there_is_no_mean(raw: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^inputs: "):
        centred_scaling(raw, 1.0)


@pytest.mark.parametrize(("settings", "hidden"), [(DIGITS, 512), (DIGITS_NARROW, 128)])
def test_digits_recipes_reach_their_accuracy_when_trained(
    settings: TrainingSettings, hidden: int
) -> None:
    parts = load_digits()
    scaling = centred_scaling(parts.train.inputs, 8.0)
    graph = mlp(parts.train.shape, (hidden,), 10, scaling=scaling)
    model = train(graph, parts.train.inputs, parts.train.labels, settings, device="cpu").model
    test = (parts.test.inputs, parts.test.labels)
    noisy = [evaluate(model, *test, settings.signal_to_noise, seed=seed) for seed in range(10)]
    assert float(np.mean(noisy)) > 0.955
    assert evaluate(model, *test) > 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "hidden", "percent"),
    [(MNIST_FAINT, 784, 96.5), (MNIST_MODERATE, 784, 97.3), (MNIST_WIDE, 2000, 96.0)],
)
def test_mnist_recipes_reach_their_accuracy_when_the_noise_is_in_the_loop(
    mnist_folder: Path, settings: TrainingSettings, hidden: int, percent: float
) -> None:
    parts = load_idx_folder(mnist_folder)
    scaling = centred_scaling(parts.train.inputs, 127.5)
    graph = mlp(parts.train.shape, (hidden,), 10, scaling=scaling)
    model = train(graph, parts.train.inputs, parts.train.labels, settings, device="cpu").model
    test = (parts.test.inputs, parts.test.labels)
    noisy = [evaluate(model, *test, settings.signal_to_noise, seed=seed) for seed in range(5)]
    assert 100 * float(np.mean(noisy)) >= percent


@pytest.mark.slow
def test_mnist_follows_the_published_curve_when_trained_without_noise(mnist_folder: Path) -> None:
    # arXiv 2408.05629, accuracy against F^2 of a network trained without noise.
    parts = load_idx_folder(mnist_folder)
    graph = mlp(parts.train.shape, (784,), 10, scaling=SIGNED)
    inputs, labels = parts.train.inputs, parts.train.labels
    model = train(graph, inputs, labels, MNIST_NOISE_FREE, device="cpu").model
    test = (parts.test.inputs, parts.test.labels)
    for ratio, percent in ((1.0, 91.0), (2.0, 95.0), (5.0, 97.0)):
        noisy = [evaluate(model, *test, (ratio, ratio), seed=seed) for seed in range(5)]
        assert 100 * float(np.mean(noisy)) == pytest.approx(percent, abs=1.5)
