"""The networks of `veilight train`: transformers, tables, and images from archives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import ConfigurationError, DataError
from protocol.models.files import load_model
from protocol.models.graph import InputScaling, Patches, Standardise, TokenLinear
from veilight.cli import main
from veilight.cli._networks import network_for
from veilight.datasets import Dataset, load_breast_cancer


def dataset(shape: tuple[int, ...], *, spreads: tuple[float, ...] | None = None) -> Dataset:
    values = np.random.default_rng(0).normal(size=(12, *shape)).astype(np.float32)
    if spreads is not None:
        values *= np.array(spreads, dtype=np.float32)
    return Dataset(
        name="made",
        inputs=values,
        labels=np.arange(12) % 3,
        classes=3,
        value_range=(-8.0, 8.0),
        source="test",
    )


@pytest.mark.parametrize(
    ("shape", "patch", "tokens"),
    [
        ((8, 8), (2, 2), 16),
        ((28, 28), (7, 7), 16),
        ((3, 32, 20), (8, 5), 16),
        ((1, 15, 9), (3, 3), 15),
        ((14, 8), (2, 2), 28),
    ],
)
def test_network_for_transformer_cuts_images_into_tokens(
    shape: tuple[int, ...], patch: tuple[int, int], tokens: int
) -> None:
    graph = network_for("transformer", dataset(shape), None)
    first = graph.layers[0]
    assert isinstance(first, Patches)
    assert first.size == patch
    assert graph.shapes[2] == (tokens, 64)
    assert graph.outputs == 3
    assert len(graph.optical) == 6
    assert all(graph.optical_layer(index).bias for index in graph.optical)


def test_network_for_transformer_has_the_widths_that_are_asked_for() -> None:
    graph = network_for("transformer", dataset((8, 8)), (16, 20), bias=False)
    widths = [layer.outputs for layer in graph.layers if isinstance(layer, TokenLinear)]
    assert widths == [16, 48, 16, 20, 16]
    assert not any(graph.optical_layer(index).bias for index in graph.optical)


def test_network_for_standardises_tables_when_their_columns_have_units_of_their_own() -> None:
    alike, unlike = dataset((3,), spreads=(1, 2, 3)), dataset((3,), spreads=(0.1, 2, 300))
    image_like = dataset((3,), spreads=(0, 0.1, 300))
    for data, wanted, expected in (
        (alike, None, False),
        (unlike, None, True),
        (image_like, None, False),
        (alike, True, True),
        (unlike, False, False),
        (dataset((8, 8)), None, False),
    ):
        graph = network_for("mlp", data, (4,), standardise=wanted)
        assert any(isinstance(layer, Standardise) for layer in graph.layers) == expected
        if expected:
            assert graph.scaling == InputScaling()
    first = network_for("mlp", load_breast_cancer().train, (4,)).layers[0]
    assert isinstance(first, Standardise)
    assert len(first.offset) == 30


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: network_for("transformer", dataset((64,)), None), DataError, "needs images"),
        (
            lambda: network_for("transformer", dataset((11, 8)), None),
            DataError,
            "cuts each side into 2 to 8 tokens",
        ),
        (
            lambda: network_for("transformer", dataset((8, 8)), (64,)),
            ConfigurationError,
            "--hidden is 64; a transformer takes two numbers",
        ),
        (
            lambda: network_for("transformer", dataset((8, 8)), (30, 64)),
            ConfigurationError,
            "a multiple of 8",
        ),
        (
            lambda: network_for("cnn", dataset((8, 8)), None, standardise=True),
            ConfigurationError,
            "--standardise is for tables; a cnn takes images",
        ),
        (
            lambda: network_for("mlp", dataset((8, 8)), None, standardise=True),
            DataError,
            "--standardise is for tables",
        ),
    ],
)
def test_network_for_says_what_a_network_does_not_take(
    build: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build()


def archive(folder: Path, shape: tuple[int, ...]) -> Path:
    """An archive of classes that a few epochs tell apart."""
    rng = np.random.default_rng(1)
    parts: dict[str, Any] = {}
    for part, count in (("train", 96), ("test", 24)):
        labels = np.arange(count) % 2
        inputs = rng.integers(0, 80, (count, *shape)) + 100 * labels.reshape(
            -1, *(1 for _ in shape)
        )
        parts[f"x_{part}"] = inputs.astype(np.uint8)
        parts[f"y_{part}"] = labels[:, None]
    path = folder / "own.npz"
    np.savez_compressed(path, **parts)
    return path


@pytest.mark.parametrize("network", ["cnn", "transformer"])
@pytest.mark.parametrize("shape", [(8, 12), (8, 8, 3), (3, 8, 8)])
def test_train_takes_images_of_an_archive(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    shape: tuple[int, ...],
) -> None:
    save = tmp_path / "m.safetensors"
    options = ["--network", network, "--epochs", "4", "--batch-size", "16", "--json"]
    data = str(archive(tmp_path, shape))
    assert main(["train", "--data", data, "--save", str(save), *options]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] >= 0.9
    graph = load_model(save).graph
    assert graph.input_shape == ((1, *shape) if len(shape) == 2 else (3, 8, 8))
    out = ["--out", str(tmp_path / "out"), "--seed", "1", "--json"]
    light = ",".join(["50"] * len(graph.optical))
    assert main(["infer", str(save), "--data", data, "--signal-to-noise", light, *out]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] is True


def test_train_takes_the_table_of_a_hospital(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = tmp_path / "m.safetensors"
    options = ["--data", "breast-cancer", "--hidden", "64", "--signal-to-noise", "1,2"]
    small = ["--epochs", "15", "--batch-size", "32", "--json"]
    assert main(["train", *options, *small, "--save", str(save)]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy_with_noise"] > 0.9
    assert isinstance(load_model(save).graph.layers[0], Standardise)
    light = ["--samples", "20", "--seed", "1", "--out", str(tmp_path / "out"), "--json"]
    assert main(["infer", str(save), "--data", "breast-cancer", *light]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] is True


def test_train_refuses_onnx_before_any_work_when_the_network_is_a_transformer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--network", "transformer", "--onnx", str(tmp_path / "m.onnx")]
    assert main(["train", *options, "--save", str(tmp_path / "m.safetensors")]) != 0
    assert "layer 0 (patches) is not written to ONNX files" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
