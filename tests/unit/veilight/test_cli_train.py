"""`veilight train` in one process: what it saves, and what it refuses before any work."""

import json
from pathlib import Path

import pytest

from protocol.models.files import load_model
from protocol.models.graph import Linear
from veilight.cli import main

SHORT = ["train", "--hidden", "6", "--epochs", "1"]


def test_train_saves_a_model_that_says_how_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save, onnx = tmp_path / "m.safetensors", tmp_path / "m.onnx"
    options = ["--signal-to-noise", "4,8", "--seed", "3", "--no-bias", "--batch-size", "64"]
    assert main([*SHORT, *options, "--save", str(save), "--onnx", str(onnx), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    values = json.loads(captured.out)
    model = load_model(save)
    assert values["digest"] == model.digest
    layers = [layer for layer in model.graph.layers if isinstance(layer, Linear)]
    assert [(layer.outputs, layer.bias) for layer in layers] == [(6, False), (10, False)]
    assert model.metadata["signal_to_noise"] == {"1": 4.0, "3": 8.0}
    assert (model.metadata["seed"], model.metadata["batch_size"]) == (3, 64)
    assert model.metadata["dataset"] == "digits"
    assert 0 <= values["accuracy_with_noise"] <= 1
    assert len(values["history"]) == 1
    assert load_model(onnx).graph.outputs == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.json",
        "m.onnx",
        "m.safetensors",
    ]


def test_train_leaves_the_noise_out_when_told_so_in_spite_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[training]\nsignal_to_noise = [1.0, 2.0]\nepochs = 50\n")
    save = ["--save", str(tmp_path / "m.safetensors"), "--config", str(config)]
    assert main([*SHORT, *save, "--signal-to-noise", "none", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["signal_to_noise"], values["epochs"]) == ({}, 1)
    assert values["accuracy_with_noise"] is None


def test_train_makes_a_cnn_from_images_without_channels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = tmp_path / "m.safetensors"
    options = ["--network", "cnn", "--epochs", "1", "--batch-size", "500"]
    assert main(["train", *options, "--save", str(save), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "digits"
    assert load_model(save).graph.input_shape == (1, 8, 8)
    out = ["--out", str(tmp_path / "out"), "--samples", "3", "--json"]
    assert main(["infer", str(save), "--signal-to-noise", "4,4,4,4", *out]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] is True


def test_train_replaces_a_model_only_when_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = ["--save", str(tmp_path / "m.safetensors")]
    assert main([*SHORT, *save]) == 0
    shown = capsys.readouterr().out
    assert "Accuracy on the test part" in shown
    before = load_model(tmp_path / "m.safetensors").digest
    assert main([*SHORT, *save, "--seed", "9"]) == 6
    assert "exists already" in capsys.readouterr().err
    assert load_model(tmp_path / "m.safetensors").digest == before
    assert main([*SHORT, *save, "--seed", "9", "--overwrite"]) == 0
    assert load_model(tmp_path / "m.safetensors").digest != before


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--save", "{tmp}/m.pt"], 6, "NAME.safetensors"),
        (["--save", "{tmp}/file/m.safetensors"], 6, "is not a directory but a file"),
        (["--save", "{tmp}/m.safetensors", "--onnx", "{tmp}/m.pb"], 6, "NAME.onnx"),
        (["--save", "{tmp}/m.safetensors", "--data", "digit"], 3, "Did you mean digits?"),
        (["--save", "{tmp}/m.safetensors", "--network", "rnn"], 2, "'rnn' is unknown"),
        (["--save", "{tmp}/m.safetensors", "--hidden", "6,x"], 2, "--hidden is '6,x'"),
        (["--save", "{tmp}/m.safetensors", "--epochs", "0"], 2, "training.epochs is 0"),
        (["--save", "{tmp}/m.safetensors", "--learning-rate", "nan"], 2, "learning_rate is nan"),
        (["--save", "{tmp}/m.safetensors", "--schedule", "cos"], 2, "training.schedule is 'cos'"),
        (["--save", "{tmp}/m.safetensors", "--signal-to-noise", "1"], 2, "1 values"),
        (["--save", "{tmp}/m.safetensors", "--signal-to-noise", "1,0"], 2, "to_noise.1 is 0"),
    ],
)
def test_train_says_in_one_line_what_is_wrong_and_writes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    expected: str,
) -> None:
    (tmp_path / "file").write_text("")
    given = [part.replace("{tmp}", str(tmp_path)) for part in arguments]
    assert main(["train", "--quiet", *given]) == status
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
