"""MNIST accuracy through the whole engine: the paper's curve, and beyond it. Slow.

Figures are single runs over the 10,000 test images; the binomial standard error at 95 % is 0.22
points, so that the margins of the assertions are many standard errors wide or the seed is fixed.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.receivers import Amplifier, PassiveTap, Receiver
from protocol.leakage import weight_bits_client_keeps_all_gaussian_real
from protocol.models.graph import Flatten, Graph, InputScaling, Linear, Relu
from protocol.models.model import Model
from protocol.models.recipes import MNIST_FAINT, MNIST_MODERATE, MNIST_NOISE_FREE, MNIST_WIDE
from protocol.models.training import TrainingSettings, train
from sim_backend.settings import LinkSettings
from veilight.datasets import TrainTest, load
from veilight.runs import InferenceRequest, RunResult, run_inference

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@cache
def _mnist(folder: Path) -> TrainTest:
    return load(str(folder))


PAPER_OFFSET = 127.5

MEAN_PIXEL = 33.3
"""Of MNIST's training images: the noise of a product grows with the norm of the data, so that a
bright constant background costs accuracy for nothing."""


def _graph(hidden: int, offset: float) -> Graph:
    return Graph(
        input_shape=(28, 28),
        layers=(
            Flatten(),
            Linear(inputs=784, outputs=hidden, bias=False),
            Relu(),
            Linear(inputs=hidden, outputs=10, bias=False),
        ),
        scaling=InputScaling(offset=offset, factor=1 / 127.5),
    )


@cache
def _trained(folder: Path, hidden: int, offset: float, settings: TrainingSettings) -> Model:
    data = _mnist(folder).train
    return train(_graph(hidden, offset), data.inputs, data.labels, settings).model


def _infer(folder: Path, model: Model, receiver: Receiver, **light: tuple[float, ...]) -> RunResult:
    test = _mnist(folder).test
    labels: NDArray[np.int64] = test.labels
    return run_inference(
        InferenceRequest(
            model=model,
            inputs=torch.tensor(test.inputs),
            labels=labels,
            link=LinkSettings(receiver=receiver, seed=1),
            samples_per_block=1000,
            **light,  # type: ignore[arg-type]
        )
    )


@pytest.mark.parametrize(("signal", "expected"), [(1.0, 0.91), (2.0, 0.95), (5.0, 0.97)])
def test_engine_matches_the_papers_curve_when_trained_without_noise(
    mnist_folder: Path, signal: float, expected: float
) -> None:
    model = _trained(mnist_folder, 784, PAPER_OFFSET, replace(MNIST_NOISE_FREE, epochs=100))
    result = _infer(mnist_folder, model, Amplifier(gain=2.0), signal_to_noise=(signal, signal))
    print(f"F^2 = {signal}: {result.accuracy:.4f} (paper {expected}), {result.noise_free_accuracy}")
    assert result.accepted
    assert result.accuracy == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(("recipe", "lowest"), [(MNIST_FAINT, 0.965), (MNIST_MODERATE, 0.973)])
def test_engine_goes_beyond_the_paper_when_trained_with_the_light(
    mnist_folder: Path, recipe: TrainingSettings, lowest: float
) -> None:
    signal = recipe.signal_to_noise
    model = _trained(mnist_folder, 784, MEAN_PIXEL, recipe)
    result = _infer(mnist_folder, model, Amplifier(gain=2.0), signal_to_noise=signal)
    print(f"F^2 = {signal}: {result.accuracy:.4f}, at least {lowest}")
    assert result.accepted
    assert result.accuracy is not None
    assert result.accuracy >= lowest


def test_passive_tap_keeps_weights_private_when_everything_is_measured(
    mnist_folder: Path,
) -> None:
    photons = (0.0115, 0.2)
    model = _trained(mnist_folder, 2000, MEAN_PIXEL, MNIST_WIDE)
    receiver = PassiveTap(tap_fraction=1.0)
    result = _infer(mnist_folder, model, receiver, photons_per_symbol=photons)
    weights = (784 * 2000, 2000 * 10)
    bits = [weight_bits_client_keeps_all_gaussian_real(mu) for mu in photons]
    mean = float(np.dot(weights, bits)) / sum(weights)
    data_bits = max(figure.total_bits for figure in result.data_leaked)
    print(f"accuracy {result.accuracy:.4f}, {mean:.4f} bit per weight, data {data_bits} bit")
    assert result.accuracy is not None
    assert result.accuracy >= 0.96
    assert mean < 0.1
    assert data_bits == 0
