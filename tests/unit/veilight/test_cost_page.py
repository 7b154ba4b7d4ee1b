"""The page on networks says what the program works out, and the recipes what is measured."""

import re
from pathlib import Path

import numpy as np
import pytest

from protocol.models.recipes import (
    BREAST_CANCER,
    DIGITS_CNN,
    DIGITS_TRANSFORMER,
    MNIST_CNN_WIDE,
    MNIST_TRANSFORMER,
    centred_scaling,
    mlp,
    small_cnn,
    standardising,
    transformer,
)
from protocol.models.training import TrainingSettings, evaluate, train
from veilight.cost_known import KNOWN_NETWORKS
from veilight.cost_tables import (
    MeasuredNetwork,
    block_table,
    known_table,
    layer_table,
    main,
    measured_networks,
    network_table,
)
from veilight.datasets import TrainTest, load_breast_cancer, load_digits, load_idx_folder

PAGE = Path(__file__).parents[3] / "docs" / "networks.md"


def named(title: str) -> MeasuredNetwork:
    return next(network for network in measured_networks() if network.title == title)


def reached(parts: TrainTest, network: MeasuredNetwork, settings: TrainingSettings) -> float:
    """Accuracy with noise of a fresh training of the measured network."""
    graph, shape = network.graph, network.graph.input_shape
    if graph.input_shape == (30,):
        graph = mlp(shape, (64,), 2, standardise=standardising(parts.train.inputs))
    else:
        half = (parts.train.value_range[1] - parts.train.value_range[0]) / 2
        scaling = centred_scaling(parts.train.inputs, half)
        graph = type(graph)(input_shape=shape, layers=graph.layers, scaling=scaling)
    inputs, test = (part.inputs.reshape(-1, *shape) for part in (parts.train, parts.test))
    model = train(graph, inputs, parts.train.labels, settings, device="cpu").model
    ratios = settings.signal_to_noise
    draws = [evaluate(model, test, parts.test.labels, ratios, seed=seed) for seed in range(5)]
    return float(np.mean(draws))


def test_page_holds_the_tables_that_the_program_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = PAGE.read_text()
    layers = layer_table("MNIST, convolutions")
    tables = (network_table(), layers, block_table(), known_table())
    for table in tables:
        assert table in text
    main()
    assert capsys.readouterr().out.split("\n\n") == [*tables[:-1], f"{tables[-1]}\n"]


def test_page_names_every_known_network_and_the_command() -> None:
    text = PAGE.read_text()
    assert f"`veilight cost --known {'|'.join(KNOWN_NETWORKS)}`" in text
    assert "has not been measured" in text


def test_page_names_the_layers_that_there_are() -> None:
    from protocol.models import graph

    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    said = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert said == set(graph._KINDS)


def test_measured_networks_have_one_f_squared_per_layer() -> None:
    for network in measured_networks():
        assert len(network.settings.signal_to_noise) == len(network.graph.optical)
        assert 0 < network.accuracy_error < 0.02
        assert 0.9 < network.accuracy < 1


def test_breast_cancer_recipe_reaches_its_accuracy_when_trained() -> None:
    found = reached(load_breast_cancer(), named("breast cancer, 30-64-2"), BREAST_CANCER)
    assert found > 0.95


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("title", "settings"),
    [("digits, convolutions", DIGITS_CNN), ("digits, transformer", DIGITS_TRANSFORMER)],
)
def test_digits_recipes_reach_their_accuracy_when_trained(
    title: str, settings: TrainingSettings
) -> None:
    # One test image is 0.3 %; other machines round otherwise and end elsewhere.
    assert reached(load_digits(), named(title), settings) > named(title).accuracy - 0.02


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("title", "settings"),
    [("MNIST, convolutions", MNIST_CNN_WIDE), ("MNIST, transformer", MNIST_TRANSFORMER)],
)
def test_mnist_recipes_reach_their_accuracy_when_trained(
    mnist_folder: Path, title: str, settings: TrainingSettings
) -> None:
    found = reached(load_idx_folder(mnist_folder), named(title), settings)
    assert found > named(title).accuracy - 0.01


def test_measured_graphs_are_those_of_the_architectures() -> None:
    expected = {
        "digits, convolutions": small_cnn((1, 8, 8), 10, channels=(16, 32)),
        "MNIST, transformer": transformer((1, 28, 28), 10, patch=(7, 7)),
    }
    for title, graph in expected.items():
        assert named(title).graph == graph
