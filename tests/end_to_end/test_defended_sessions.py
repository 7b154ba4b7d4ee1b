"""Whole sessions with weights in disguise: same answers, honest clients pass, cheats are caught."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.receivers import Amplifier
from protocol.defences import Defences
from protocol.models.model import Model
from protocol.models.recipes import centred_scaling, mlp
from protocol.models.training import TrainingSettings, train
from sim_backend.adversaries import HONEST, ReturnBehaviour, keeps_fraction
from sim_backend.settings import LinkSettings
from veilight.datasets import TrainTest, load
from veilight.run_json import result_to_dict
from veilight.runs import InferenceRequest, RunResult, run_inference

ALL = "permute,rescale=1.5,dummies=8,photons=2"


@pytest.fixture(scope="module")
def parts() -> TrainTest:
    return load("digits")


@pytest.fixture(scope="module")
def model(parts: TrainTest) -> Model:
    graph = mlp((8, 8), (64,), 10, scaling=centred_scaling(parts.train.inputs, 8.0))
    settings = TrainingSettings(
        epochs=25, batch_size=64, learning_rate=1e-2, signal_to_noise=(2.0, 4.0)
    )
    return train(graph, parts.train.inputs, parts.train.labels, settings, device="cpu").model


def session(
    model: Model,
    parts: TrainTest,
    text: str,
    seed: int,
    behaviour: ReturnBehaviour = HONEST,
    samples_per_block: int = 20,
) -> RunResult:
    return run_inference(
        InferenceRequest(
            model=model,
            inputs=torch.tensor(parts.test.inputs),
            labels=parts.test.labels,
            link=LinkSettings(receiver=Amplifier(gain=2.0), seed=seed, device="cpu"),
            behaviour=behaviour,
            signal_to_noise=(2.0, 4.0),
            samples_per_block=samples_per_block,
            defences=Defences.parse(text),
        )
    )


def scores(results: list[RunResult], name: str) -> NDArray[np.float64]:
    return np.array(
        [
            score.score
            for result in results
            for record in result.blocks
            if record.verdict is not None
            for score in record.verdict.scores
            if score.name == name
        ]
    )


@pytest.mark.parametrize(
    ("text", "loss"), [("permute", 0.0), ("permute,dummies=8", 0.0), (ALL, 0.03)]
)
def test_accuracy_is_the_same_when_weights_are_disguised(
    model: Model, parts: TrainTest, text: str, loss: float
) -> None:
    plain = [session(model, parts, "none", seed).accuracy for seed in range(6)]
    found = [session(model, parts, text, seed + 100) for seed in range(6)]
    assert all(result.accepted for result in found)
    right = float(np.mean([result.accuracy for result in found]))
    wanted = float(np.mean([accuracy for accuracy in plain if accuracy is not None]))
    # The noise decides about few samples of 359; six runs each: 7 standard errors of independent
    # samples. Scales of their own cost some of the accuracy: rows that became weak are noisier.
    error = math.sqrt(2 * wanted * (1 - wanted) / (6 * 359))
    assert right == pytest.approx(wanted, abs=7 * error + loss)
    if loss:
        assert right > wanted - loss - 7 * error


@pytest.mark.parametrize("text", ["permute", ALL])
def test_tests_are_as_sharp_when_weights_are_disguised(
    model: Model, parts: TrainTest, text: str
) -> None:
    # A client that keeps 0.5 % of the light, too little for any single session to notice.
    tap = keeps_fraction(0.005)
    shifts = {}
    for defence in ("none", text):
        honest = [session(model, parts, defence, seed) for seed in range(4)]
        cheats = [session(model, parts, defence, seed + 50, tap) for seed in range(4)]
        assert all(result.accepted for result in (*honest, *cheats))
        for name in ("gain", "X variance", "P variance", "row sums"):
            values = scores(honest, name)
            # 144 standard normals: 7 standard errors (the worst of rows is another number).
            if name != "row sums":
                assert abs(values.mean()) < 7 / math.sqrt(len(values))
                assert abs(values.var() - 1) < 7 * math.sqrt(2 / len(values))
        shifts[defence] = scores(cheats, "gain").mean()
    assert shifts["none"] < -0.3
    # Two means of 144 scores.
    assert shifts[text] == pytest.approx(shifts["none"], abs=7 * math.sqrt(2 / 144))


def test_cheat_is_caught_at_the_first_block_when_weights_are_disguised(
    model: Model, parts: TrainTest
) -> None:
    for seed in range(5):
        result = session(model, parts, ALL, seed, keeps_fraction(0.3))
        assert not result.accepted
        assert len(result.blocks) == 1
        layer = result.layers[0]
        # What was sent stays charged, at what its disguise took.
        assert layer.disguised is not None
        assert layer.photons_in_ledger == pytest.approx(20 * layer.disguised.most)


def test_record_names_defences_and_credits_nothing(model: Model, parts: TrainTest) -> None:
    result = session(model, parts, ALL, 3, samples_per_block=60)
    record = result_to_dict(result)["defences"]
    assert record["settings"] == ALL
    assert record["samples_per_disguise"] == 60
    assert record["credited_bits"] == 0.0
    first, last = record["layers"]
    assert (first["rows"], first["dummies"], first["disguises"]) == (72, 8, 6)
    assert (last["rows"], last["dummies"]) == (10, 0)
    for layer, kept in zip(record["layers"], result.layers, strict=True):
        assert kept.plan.photons_per_symbol > 0
        assert layer["most_photons_charged"] >= layer["mean_photons_charged"]
        # 359 samples of which the blocks were charged one by one.
        assert kept.photons_in_ledger >= 359 * layer["mean_photons_charged"] * 0.9
    # The client's products are those of the disguised rows, with the noise that was predicted.
    histogram = result.layers[0].histogram
    assert histogram is not None
    assert histogram.variance == pytest.approx(1.0, abs=7 * math.sqrt(2 / (60 * 72)))
    plain = result_to_dict(session(model, parts, "none", 3))["defences"]
    assert plain == {
        "settings": "none",
        "samples_per_disguise": None,
        "credited_bits": 0.0,
        "layers": [],
    }


def test_certificate_does_not_fall_when_weights_are_disguised(
    model: Model, parts: TrainTest
) -> None:
    bits = {}
    for text in ("none", "permute", "permute,rescale=1.5", ALL):
        result = session(model, parts, text, 3)
        bits[text] = [layer.bits_charged for layer in result.layers]
        worst = [figure.worst_bits_per_symbol for figure in result.weights_leaked]
        bits[f"{text} leaked"] = worst
    for text in ("permute", "permute,rescale=1.5"):
        assert bits[text] == pytest.approx(bits["none"], rel=1.0)
        assert all(a >= b * (1 - 1e-9) for a, b in zip(bits[text], bits["none"], strict=True))
    assert all(
        a >= b * 0.98 for a, b in zip(bits[f"{ALL} leaked"], bits["none leaked"], strict=True)
    )
