"""Training with the noise of the light in the loop: what comes out, what is said on the way."""

import json
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from drivers.errors import ConfigurationError, DataError, ModelError
from protocol.models.graph import Conv2d, Flatten, Graph, InputScaling, Linear, MaxPool2d, Relu
from protocol.models.model import LayerWeights, Model
from protocol.models.training import (
    EpochRecord,
    TrainingProgress,
    TrainingSettings,
    evaluate,
    scale_inputs,
    train,
)

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

SCALING = InputScaling(offset=100.0, factor=0.1)
GRAPH = Graph(
    input_shape=(8,),
    layers=(Linear(inputs=8, outputs=16), Relu(), Linear(inputs=16, outputs=3)),
    scaling=SCALING,
)
IMAGES = Graph(
    input_shape=(1, 6, 6),
    layers=(
        Conv2d(in_channels=1, out_channels=4, kernel=(3, 3)),
        Relu(),
        MaxPool2d(kernel=(2, 2), stride=(2, 2)),
        Flatten(),
        Linear(inputs=16, outputs=2),
    ),
)
SETTINGS = TrainingSettings(
    epochs=4, batch_size=32, learning_rate=2e-2, signal_to_noise=(1.0, 2.0), seed=5
)


def clusters(samples: int, seed: int) -> tuple[Numbers, Labels]:
    """Three clusters around +-10 off 100, in raw units."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).choice([-10.0, 10.0], size=(3, 8))
    labels = generator.integers(0, 3, samples)
    return 100 + centres[labels] + generator.normal(0, 5, (samples, 8)), labels


def bars(samples: int, seed: int) -> tuple[Numbers, Labels]:
    """Images with a horizontal or a vertical bar at a random place."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, samples)
    images = generator.normal(0, 0.3, (samples, 1, 6, 6))
    for image, label, place in zip(images, labels, generator.integers(0, 6, samples), strict=True):
        image[(0, place) if label else (0, slice(None), place)] += 2.0
    return images, labels


class TickingClock:
    """Half a second per look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def test_train_separates_clusters_when_the_noise_is_in_the_loop() -> None:
    result = train(GRAPH, *clusters(600, 1), SETTINGS, validation=clusters(600, 2))
    assert [record.epoch for record in result.history] == [1, 2, 3, 4]
    assert result.history[-1].loss < result.history[0].loss / 2
    assert evaluate(result.model, *clusters(600, 2)) > 0.98
    assert evaluate(result.model, *clusters(600, 2), (1.0, 2.0)) > 0.85


def test_train_learns_images_when_the_network_is_convolutional() -> None:
    settings = replace(SETTINGS, epochs=8, signal_to_noise=(4.0, 4.0))
    result = train(IMAGES, *bars(600, 1), settings)
    assert evaluate(result.model, *bars(600, 2)) > 0.95
    assert evaluate(result.model, *bars(600, 2), (4.0, 4.0)) > 0.85


def test_train_buys_accuracy_with_noise_when_the_noise_is_in_the_loop() -> None:
    settings = replace(SETTINGS, epochs=20)
    ratios = (0.1, 0.2)
    blind = train(GRAPH, *clusters(600, 1), replace(settings, signal_to_noise=()))
    aware = train(GRAPH, *clusters(600, 1), replace(settings, signal_to_noise=ratios))
    gained = [
        evaluate(result.model, *clusters(2000, 2), ratios, seed=7) for result in (aware, blind)
    ]
    assert gained[0] > gained[1] + 0.05


def test_train_repeats_the_weights_when_the_seed_is_the_same() -> None:
    before = torch.random.get_rng_state()
    data = clusters(100, 1)
    first = train(GRAPH, *data, SETTINGS, device="cpu").model
    again = train(GRAPH, *data, SETTINGS, device="cpu", validation=data).model
    other = train(GRAPH, *data, replace(SETTINGS, seed=6), device="cpu").model
    quiet = train(GRAPH, *data, replace(SETTINGS, signal_to_noise=()), device="cpu").model
    assert first.digest == again.digest
    assert len({first.digest, other.digest, quiet.digest}) == 3
    assert torch.equal(before, torch.random.get_rng_state())


def test_train_takes_the_scaling_from_the_graph_when_inputs_are_raw() -> None:
    inputs, labels = clusters(100, 1)
    model = train(GRAPH, inputs, labels, SETTINGS, device="cpu").model
    plain = replace(GRAPH, scaling=InputScaling())
    scaled = scale_inputs(GRAPH, inputs)
    by_hand = train(plain, scaled, labels, SETTINGS, device="cpu").model
    assert scaled.numpy() == pytest.approx((inputs - 100) * 0.1, abs=1e-5)
    for index in GRAPH.optical:
        assert torch.equal(model.matrix(index), by_hand.matrix(index))


def test_train_writes_down_how_it_was_done_when_it_ends() -> None:
    validation = clusters(300, 2)
    result = train(GRAPH, *clusters(100, 1), SETTINGS, validation=validation, dataset="clusters")
    metadata = result.model.metadata
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["signal_to_noise"] == {"0": 1.0, "2": 2.0}
    assert metadata["dataset"] == "clusters"
    assert metadata["classes"] == 3
    assert (metadata["epochs"], metadata["seed"], metadata["batch_size"]) == (4, 5, 32)
    assert metadata["accuracy"] == evaluate(result.model, *validation)
    assert metadata["accuracy_with_noise"] == result.history[-1].validation_accuracy


def test_train_leaves_unmeasured_accuracies_open_when_there_is_nothing_to_measure_on() -> None:
    result = train(GRAPH, *clusters(100, 1), replace(SETTINGS, epochs=1))
    assert result.model.metadata["accuracy"] is None
    assert result.model.metadata["accuracy_with_noise"] is None
    assert result.history == (
        EpochRecord(epoch=1, loss=result.history[0].loss, validation_accuracy=None),
    )


def test_train_reports_every_step_when_asked() -> None:
    reports: list[TrainingProgress] = []
    result = train(
        GRAPH,
        *clusters(100, 1),
        replace(SETTINGS, epochs=2),
        progress=reports.append,
        validation=clusters(300, 2),
        clock=TickingClock(),
    )
    # 100 samples in batches of 32 are 4 steps; one look at the clock before and one after each.
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [report.epoch for report in reports] == [1] * 4 + [2] * 4
    assert {(report.epochs, report.steps) for report in reports} == {(2, 8)}
    assert [report.seconds_left for report in reports] == pytest.approx(
        [0.5 * (8 - step) for step in range(1, 9)]
    )
    assert [report.validation_accuracy for report in reports] == [None] * 4 + [
        result.history[0].validation_accuracy
    ] * 4
    assert reports[3].loss == result.history[0].loss
    assert result.seconds == pytest.approx(5.5 - 0.5)


def test_train_lets_an_interrupt_through_when_the_user_stops_it() -> None:
    def stop(report: TrainingProgress) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(GRAPH, *clusters(100, 1), SETTINGS, progress=stop)


def test_train_says_the_epoch_when_the_loss_is_not_finite() -> None:
    settings = replace(SETTINGS, learning_rate=1e30, schedule="constant")
    with pytest.raises(ModelError, match=r"in epoch 1 of 4; lower the learning rate \(now 1e\+30"):
        train(GRAPH, *clusters(200, 1), settings)


INPUTS, LABELS = clusters(10, 1)


def with_nan() -> Numbers:
    damaged = INPUTS.copy()
    damaged[2, 3] = math.nan
    return damaged


@pytest.mark.parametrize(
    ("inputs", "labels", "words"),
    [
        (INPUTS[:, :7], LABELS, r"takes \(samples, 8\) with at least one sample, got \(10, 7\)"),
        (INPUTS[:0], LABELS[:0], r"at least one sample, got \(0, 8\)"),
        (with_nan(), LABELS, "1 of 80 values are NaN"),
        (INPUTS.astype(complex), LABELS, "they must be real"),
        (INPUTS.astype(str), LABELS, "they must be numbers"),
        (INPUTS, LABELS[:9], r"labels of shape \(10,\), got \(9,\)"),
        (INPUTS, LABELS.astype(float), "labels are torch.float64, they must be whole numbers"),
        (INPUTS, LABELS + 1, r"labels lie in \[1, 3\], but the network has 3 outputs"),
        (INPUTS, LABELS - 1, r"they must lie in \[0, 2\]"),
    ],
)
def test_data_are_refused_when_they_do_not_fit(inputs: Numbers, labels: Labels, words: str) -> None:
    with pytest.raises(DataError, match=rf"^training data.*{words}"):
        train(GRAPH, inputs, labels, SETTINGS)
    with pytest.raises(DataError, match=rf"^validation data.*{words}"):
        train(GRAPH, INPUTS, LABELS, SETTINGS, validation=(inputs, labels))


def test_data_are_taken_when_read_only_and_of_narrow_types() -> None:
    inputs, labels = np.round(INPUTS).astype(np.uint8), LABELS.astype(np.uint8)
    for array in (inputs, labels):
        array.flags.writeable = False
    narrow = train(GRAPH, inputs, labels, SETTINGS, device="cpu").model
    wide = train(GRAPH, np.round(INPUTS), LABELS, SETTINGS, device="cpu").model
    assert narrow.digest == wide.digest


def test_data_are_taken_when_the_axis_of_the_only_channel_is_missing() -> None:
    images, _ = bars(5, 1)
    assert torch.equal(scale_inputs(IMAGES, images[:, 0]), scale_inputs(IMAGES, images))
    with pytest.raises(DataError, match=r"takes \(samples, 1, 6, 6\).*, got \(5, 36\)"):
        scale_inputs(IMAGES, images.reshape(5, 36))


def test_train_refuses_when_the_ratios_do_not_fit_the_graph() -> None:
    with pytest.raises(ConfigurationError, match="has 1 values, but the network has 2"):
        train(GRAPH, INPUTS, LABELS, replace(SETTINGS, signal_to_noise=(1.0,)))


def test_device_is_refused_when_unknown_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="'tpu' is unknown; known are auto, cpu, cuda"):
        train(GRAPH, INPUTS, LABELS, SETTINGS, device="tpu")
    with pytest.raises(ConfigurationError, match="torch finds no GPU; use 'auto' or 'cpu'"):
        train(GRAPH, INPUTS, LABELS, SETTINGS, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch finds")
def test_train_gives_a_model_on_the_cpu_when_it_runs_on_a_gpu() -> None:
    result = train(GRAPH, *clusters(600, 1), SETTINGS, device="cuda")
    assert result.model.matrix(0).device.type == "cpu"
    assert evaluate(result.model, *clusters(600, 2), device="cuda") > 0.98


def rival_rows() -> Model:
    """Two rows +1 and -1: on an input of 1, the first wins unless the noise turns it."""
    graph = Graph(input_shape=(1,), layers=(Linear(inputs=1, outputs=2, bias=False),))
    return Model(graph=graph, weights={0: LayerWeights(weight=torch.tensor([[1.0], [-1.0]]))})


def test_evaluate_gives_the_analytic_accuracy_when_two_rows_compete() -> None:
    # The difference of the sums is 2 with a standard deviation of sqrt(2) / F, so that the first
    # row wins with probability Phi(sqrt(2) F). 40,000 samples give it to 0.0022; 6.5 of that fail
    # with probability below 1e-10.
    ratio, samples = 0.5, 40_000
    inputs, labels = np.ones((samples, 1)), np.zeros(samples, dtype=np.int64)
    expected = 0.5 * (1 + math.erf(math.sqrt(ratio)))
    error = math.sqrt(expected * (1 - expected) / samples)
    accuracy = evaluate(rival_rows(), inputs, labels, (ratio,), seed=1)
    assert accuracy == pytest.approx(expected, abs=6.5 * error)
    assert evaluate(rival_rows(), inputs, labels) == 1.0
    assert evaluate(rival_rows(), inputs, labels + 1) == 0.0


def test_evaluate_repeats_when_the_seed_is_the_same() -> None:
    inputs, labels = np.ones((5000, 1)), np.zeros(5000, dtype=np.int64)
    first, again, other = (
        evaluate(rival_rows(), inputs, labels, (0.1,), seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_evaluate_refuses_when_data_or_ratios_do_not_fit() -> None:
    labels = np.zeros(3, dtype=np.int64)
    with pytest.raises(DataError, match=r"^evaluation data: the network takes \(samples, 1\)"):
        evaluate(rival_rows(), np.ones((3, 2)), labels)
    with pytest.raises(ConfigurationError, match="NaN"):
        evaluate(rival_rows(), np.ones((3, 1)), labels, (math.nan,))
