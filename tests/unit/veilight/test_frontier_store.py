"""The results folder of a sweep: what is read back, what is refused, who may write."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigurationError, DataError, OutputError
from tests import frontier_specs
from veilight.frontier.networks import (
    FailedNetwork,
    NetworkSpec,
    TrainedModel,
    TrainedNetwork,
    data_source,
    model_file_of,
    network_grid,
    recipe_for,
)
from veilight.frontier.store import ResultStore
from veilight.frontier.training import train_network

SPEC = replace(frontier_specs.SPEC, hidden=(64,), epochs=3)


def _model(spec: NetworkSpec = SPEC) -> TrainedModel:
    network = TrainedNetwork(
        spec=spec,
        graph={"layers": []},
        accuracy=0.9,
        accuracy_error=0.01,
        accuracy_noise_free=0.95,
        test_samples=359,
        seconds=2.5,
        model_file=model_file_of(spec),
    )
    return TrainedModel(network=network, weights=b"weights", description=b"{}")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    made = ResultStore(tmp_path / "results")
    with made.lock():
        pass
    return made


def test_key_is_the_same_on_every_machine_when_the_specification_is() -> None:
    assert SPEC.key == "ac6b4f243e5c33bd"
    assert replace(SPEC, learning_rate=0.01, signal_to_noise=[0.25, 0.5]).key == SPEC.key  # type: ignore[arg-type]
    assert replace(SPEC, label_smoothing=0).key == SPEC.key
    assert NetworkSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": (65,)},
        {"signal_to_noise": (0.25, 0.25)},
        {"seed": 1},
        {"draws": 6},
        {"dataset_sha256": "cd" * 32},
        {"bias": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_key_differs_when_anything_does(change: dict[str, Any]) -> None:
    assert replace(SPEC, **change).key != SPEC.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal_to_noise": ()}, "needs F\\^2"),
        ({"signal_to_noise": (float("nan"),)}, "signal_to_noise is NaN"),
        ({"hidden": (0,)}, "hidden widths"),
        ({"draws": 1}, "at least 2"),
        ({"epochs": 0}, "epochs is 0"),
    ],
    ids=["none", "nan", "width", "draws", "epochs"],
)
def test_specification_is_refused_when_a_value_is_out_of_range(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(SPEC, **change)


def test_specification_is_refused_when_keys_are_unknown() -> None:
    with pytest.raises(ConfigurationError, match="telescope"):
        NetworkSpec.from_dict(SPEC.to_dict() | {"telescope": 1})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        NetworkSpec.from_dict(SPEC.to_dict() | {"signal_to_noise": ["much"]})


def test_grid_starts_in_the_middle_when_it_is_made() -> None:
    source, parts = data_source("digits")
    grid = network_grid(
        source,
        parts,
        recipe_for(parts, "mlp"),
        architecture="mlp",
        hidden=[(32,), (32, 16)],
        first=[0.1, 0.2, 0.4],
        last=[1, 3],
    )
    assert len(grid) == len({spec.key for spec in grid}) == 12
    assert [spec.signal_to_noise for spec in grid[:4]] == [
        (0.2, 1.0),
        (0.2, 3.0),
        (0.2, 0.2, 1.0),
        (0.2, 0.2, 3.0),
    ]
    assert grid[0].dataset == "digits"
    assert grid[0].dataset_sha256 == source.sha256
    with pytest.raises(ConfigurationError, match="grid is empty"):
        network_grid(
            source, parts, recipe_for(parts, "mlp"), architecture="mlp", hidden=[], first=[1],
            last=[1],
        )  # fmt: skip


def test_data_are_refused_when_a_worker_finds_others() -> None:
    source, _ = data_source("digits")
    with pytest.raises(DataError, match="give every worker the same data"):
        replace(source, sha256="0" * 64).load()


def test_same_network_comes_out_when_the_specification_is_the_same() -> None:
    source, parts = data_source("digits")
    settings = replace(recipe_for(parts, "mlp"), epochs=6)
    (spec,) = network_grid(
        source, parts, settings, architecture="mlp", hidden=[(32,)], first=[2.0], last=[4]
    )
    first, second = train_network(spec, source), train_network(spec, source)
    other = train_network(replace(spec, seed=1), source)
    assert isinstance(first, TrainedModel)
    assert isinstance(second, TrainedModel)
    assert isinstance(other, TrainedModel)
    assert first.weights == second.weights != other.weights
    assert first.network.accuracy == second.network.accuracy
    assert 0.7 < first.network.accuracy < first.network.accuracy_noise_free < 1
    # The binomial error of 359 test samples, and a little from five draws.
    binomial = (first.network.accuracy * (1 - first.network.accuracy) / 359) ** 0.5
    assert binomial < first.network.accuracy_error < 1.5 * binomial


def test_failure_comes_out_when_a_training_diverges() -> None:
    source, parts = data_source("digits")
    settings = replace(recipe_for(parts, "mlp"), learning_rate=1e30)
    (spec,) = network_grid(
        source, parts, settings, architecture="mlp", hidden=[(16,)], first=[1.0], last=[1]
    )
    outcome = train_network(spec, source)
    assert isinstance(outcome, FailedNetwork)
    assert "the loss became" in outcome.reason


def test_networks_are_read_back_when_they_were_saved(store: ResultStore) -> None:
    failed = FailedNetwork(spec=replace(SPEC, seed=1), reason="the loss became nan", seconds=1.0)
    assert store.find(SPEC) is None
    assert store.save(_model()) == _model().network
    store.save(failed)
    again = ResultStore(store.folder)
    assert again.find(SPEC) == _model().network
    assert again.find(failed.spec) == failed
    assert again.networks() == (_model().network,)
    assert again.failures() == (failed,)
    assert (store.folder / model_file_of(SPEC)).read_bytes() == b"weights"


def _record(store: ResultStore) -> Path:
    return store.folder / "networks" / f"{SPEC.key}.json"


@pytest.mark.parametrize("damage", ["torn", "empty", "no weights", "other weights"])
def test_network_counts_as_missing_when_its_files_are_damaged(
    store: ResultStore, damage: str
) -> None:
    store.save(_model())
    record, weights = _record(store), store.folder / model_file_of(SPEC)
    if damage == "torn":
        record.write_bytes(record.read_bytes()[:200])
    elif damage == "empty":
        record.write_bytes(b"")
    elif damage == "no weights":
        weights.unlink()
    else:
        weights.write_bytes(b"weightz")
    notes: list[str] = []
    damaged = ResultStore(store.folder, notes.append)
    assert damaged.find(SPEC) is None
    assert damaged.networks() == ()
    assert all(SPEC.key in note for note in notes)
    assert len(notes) == 2
    damaged.save(_model())
    assert damaged.find(SPEC) == _model().network


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"format": "shopping-list"}',
        "5",
        " " * (1 << 20) + "{}",
    ],
    ids=["list", "format", "number", "large"],
)
def test_file_is_refused_by_name_when_it_is_somebody_elses(store: ResultStore, text: str) -> None:
    _record(store).write_text(text)
    for look in (lambda: store.find(SPEC), store.networks):
        with pytest.raises(DataError, match=f"{SPEC.key}.json: not the record"):
            look()
    assert _record(store).read_text() == text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", 1.5),
        ("accuracy", float("nan")),
        ("accuracy", None),
        ("model_file", "/etc/passwd"),
        ("key", "0" * 16),
        ("spec", SPEC.to_dict() | {"seed": 7}),
        ("version", 2),
        ("test_samples", 0),
    ],
    ids=["accuracy", "nan", "none", "path", "key", "spec", "version", "samples"],
)
def test_record_is_refused_when_its_values_make_no_sense(
    store: ResultStore, key: str, value: object
) -> None:
    store.save(_model())
    record = json.loads(_record(store).read_text())
    _record(store).write_text(json.dumps(record | {key: value}))
    with pytest.raises(DataError, match=SPEC.key):
        store.find(SPEC)


def test_folder_is_refused_when_it_holds_two_data_sets(store: ResultStore) -> None:
    store.save(_model())
    store.save(_model(replace(SPEC, dataset_sha256="cd" * 32)))
    with pytest.raises(DataError, match="2 data sets"):
        store.networks()


def test_second_writer_is_refused_when_the_first_is_there(store: ResultStore) -> None:
    with (
        store.lock(),
        pytest.raises(OutputError, match="in use by process"),
        ResultStore(store.folder).lock(),
    ):
        pass
    with ResultStore(store.folder).lock():
        pass


def test_lock_removes_what_a_killed_process_left_half_written(store: ResultStore) -> None:
    half = store.folder / "networks" / ".x.json.0123456789ab.tmp"
    half.write_text("{")
    with store.lock():
        assert not half.exists()


def test_folder_is_refused_when_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        ResultStore(tmp_path / "file").lock(),
    ):
        pass
