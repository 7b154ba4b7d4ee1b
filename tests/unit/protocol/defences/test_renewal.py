"""A new network for an old one, and the end of the old one's ledger."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import BudgetError, ConfigurationError, LedgerError, ModelError
from protocol.defences.renewal import renew, settings_of, shared_weights, told_by_the_old
from protocol.ledger import WeightLedger
from protocol.models.graph import Graph, Linear, Relu
from protocol.models.model import LayerWeights, Model
from protocol.models.training import TrainingSettings, train
from tests.unit.protocol.ledgers import no_bits

GRAPH = Graph(
    input_shape=(6,),
    layers=(Linear(inputs=6, outputs=16), Relu(), Linear(inputs=16, outputs=3)),
)
SETTINGS = TrainingSettings(
    epochs=30, batch_size=32, learning_rate=2e-2, signal_to_noise=(8.0, 8.0)
)


def blobs(seed: int, samples: int = 240) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, samples)
    centres = 2.0 * np.eye(3, 6)
    inputs = centres[labels] + 0.5 * generator.standard_normal((samples, 6))
    return inputs.astype(np.float32), labels


@pytest.fixture(scope="module")
def old() -> Model:
    return train(GRAPH, *blobs(1), SETTINGS, device="cpu").model


def test_settings_are_read_back_from_a_trained_network(old: Model) -> None:
    assert settings_of(old) == SETTINGS


def test_settings_are_refused_when_the_network_does_not_say(old: Model) -> None:
    with pytest.raises(ModelError, match="does not say how it was trained"):
        settings_of(Model(graph=old.graph, weights=old.weights))


@pytest.mark.parametrize("distil", [False, True])
def test_new_network_is_as_accurate_with_other_weights(old: Model, distil: bool) -> None:
    found = renew(old, blobs(1), blobs(2), margin=0.05, distil=distil, device="cpu")
    assert found.model.digest != old.digest
    assert found.settings == replace(SETTINGS, seed=found.settings.seed)
    assert found.settings.seed != SETTINGS.seed
    assert found.accuracy_before > 0.9
    assert found.accuracy_after >= found.accuracy_before - 0.05
    assert found.shared > found.shared_by_chance


def test_answers_of_the_old_network_teach_the_new_when_it_is_distilled(old: Model) -> None:
    inputs, labels = blobs(1)
    # With wrong labels alone the old network's accuracy cannot come from them.
    found = renew(old, (inputs, (labels + 1) % 3), blobs(2), margin=0.05, distil=True)
    assert found.accuracy_after > 0.9


def test_new_network_is_refused_when_it_is_worse_than_the_margin(old: Model) -> None:
    poor = replace(SETTINGS, epochs=1, learning_rate=1e-6, seed=5)
    with pytest.raises(ModelError, match="more epochs"):
        renew(old, blobs(1), blobs(2), margin=0.01, settings=poor)


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_margin_is_refused_when_it_is_no_share(old: Model, margin: float) -> None:
    with pytest.raises(ConfigurationError, match="margin"):
        renew(old, blobs(1), blobs(2), margin=margin)


def test_same_weights_are_refused(old: Model) -> None:
    with pytest.raises(ConfigurationError, match="another seed"):
        renew(old, blobs(1), blobs(2), margin=0.5, settings=SETTINGS, device="cpu")


def test_shared_weights_are_one_when_units_are_permuted_and_scaled(old: Model) -> None:
    order, scale = np.random.default_rng(0).permutation(16), np.linspace(0.5, 2, 16)
    weights = dict(old.weights)
    first = old.weights[0]
    assert first.bias is not None
    factor = first.weight.new_tensor(scale)
    weights[0] = LayerWeights(
        weight=first.weight[order] * factor[:, None], bias=first.bias[order] * factor
    )
    shared, chance = shared_weights(old, Model(graph=old.graph, weights=weights))
    assert shared == pytest.approx(1.0, abs=1e-6)
    assert chance < 0.5


def test_old_light_tells_nothing_or_all_at_the_ends() -> None:
    assert told_by_the_old(0.0, 10.0) == 0.0
    assert told_by_the_old(0.9, 0.0) == 0.0
    # Same weights: the capacity of the Gaussian channel at S = 4 photons.
    assert told_by_the_old(1.0, 0.75) == pytest.approx(0.5 * np.log2(1 + 3.0))
    # Bright light: what the correlation leaves.
    assert told_by_the_old(0.75, 1e12) == pytest.approx(1.0)


def test_retired_ledger_refuses_light_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "old.ledger"
    with WeightLedger.create(path, "old", {0: 4}, None) as ledger:
        entry = ledger.debit("s", 0, 0, 4, 1.0, no_bits)
        ledger.retire("new")
        assert ledger.successor == "new"
        # What was sent before may still be settled.
        ledger.settle(entry, True)
        with pytest.raises(LedgerError, match="retired already"):
            ledger.retire("newer")
    for unlimited in (False, True):
        with WeightLedger.open(path, "old", unlimited=unlimited) as ledger:
            assert ledger.successor == "new"
            assert ledger.verified_photons(0).tolist() == [1.0] * 4
            with pytest.raises(BudgetError, match="retired"):
                ledger.debit("t", 0, 0, 4, 1.0, no_bits)


def test_ledger_is_not_retired_in_favour_of_itself() -> None:
    ledger = WeightLedger.create(None, "old", {0: 4}, None)
    with pytest.raises(ConfigurationError, match="own place"):
        ledger.retire("old")
    assert ledger.successor is None
