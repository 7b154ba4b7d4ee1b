"""The small parts of the command line: lists of numbers, outputs, JSON values, behaviours."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import ConfigurationError, DataError, OutputError
from protocol.models.graph import Conv2d, InputScaling, Linear
from sim_backend.adversaries import HONEST
from veilight.cli._infer import behaviour
from veilight.cli._networks import network_for
from veilight.cli._options import configured, numbers, whole_numbers
from veilight.cli._outputs import prepare_file, prepare_folder, write_text
from veilight.cli._screen import Screen, plain
from veilight.cli._tables import counted, seconds
from veilight.datasets import Dataset


def _dataset(shape: tuple[int, ...], low: float = 0.0, high: float = 16.0) -> Dataset:
    return Dataset(
        name="made",
        inputs=np.zeros((3, *shape), dtype=np.float32),
        labels=np.array([0, 1, 2]),
        classes=3,
        value_range=(low, high),
        source="test",
    )


def test_numbers_reads_a_list_and_names_the_option_when_it_cannot() -> None:
    assert numbers("--photons", "0.25, 1e-3") == (0.25, 1e-3)
    assert numbers("--photons", None) is None
    with pytest.raises(ConfigurationError, match="--photons is '1,,2'"):
        numbers("--photons", "1,,2")


@pytest.mark.parametrize("text", ["10,x", "10,2.5", "0", "3,-1", ""])
def test_whole_numbers_refuses_what_is_no_list_of_sizes(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--hidden is"):
        whole_numbers("--hidden", text)


def test_configured_wants_a_setting_when_another_receiver_is_named() -> None:
    with pytest.raises(ConfigurationError, match="--receiver passive-tap needs --setting"):
        configured(None, receiver="passive-tap")
    changed = configured(None, receiver="passive-tap", setting=0.5)
    assert changed.link.client_receiver().setting == 0.5
    assert configured(None, receiver="amplifier").link.receiver_setting == 2.0


def test_configured_lets_the_options_replace_the_files_way_of_giving_light(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[protocol]\nphotons_per_symbol = [1.0]\n")
    protocol = configured(path, signal_to_noise="2,3").protocol
    assert (protocol.photons_per_symbol, protocol.signal_to_noise) == ((), (2.0, 3.0))
    with pytest.raises(ConfigurationError, match="not both"):
        configured(path, photons="1", signal_to_noise="1")
    with pytest.raises(ConfigurationError, match=r"photons_per_symbol\.1 is nan"):
        configured(None, photons="1,nan")
    with pytest.raises(ConfigurationError, match=r"photons_per_symbol\.0 is -0.5"):
        configured(None, photons="-0.5")


@pytest.mark.parametrize(
    ("text", "transmittance", "noise"),
    [
        ("honest", 1.0, 0.0),
        ("nothing", 0.0, 0.0),
        ("keeps=0.25", 0.75, 0.0),
        ("resend", 1.0, 2.0),
        ("tap=0.5", 1.0, 2.0),
    ],
)
def test_behaviour_understands_every_word(text: str, transmittance: float, noise: float) -> None:
    found = behaviour(text)
    assert found.transmittance == pytest.approx(transmittance)
    assert found.added_noise_x_snu == pytest.approx(noise)
    assert (found == HONEST) == (text == "honest")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("honnest", "did you mean honest?"),
        ("zzz", "known are honest"),
        ("keeps", "such as keeps=0.5"),
        ("tap=x", "such as tap=0.5"),
        ("keeps=1.5", r"kept fraction is 1.5"),
        ("keeps=nan", "kept fraction is nan"),
        ("honest=1", "did you mean honest?"),
    ],
)
def test_behaviour_says_what_is_wrong(text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        behaviour(text)


def test_prepare_folder_makes_it_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    prepare_folder(folder, ["report.html"], overwrite=False)
    assert list(folder.iterdir()) == []
    (folder / "report.html").write_text("old")
    with pytest.raises(OutputError, match=r"report\.html exists already.*--overwrite"):
        prepare_folder(folder, ["report.html"], overwrite=False)
    prepare_folder(folder, ["report.html"], overwrite=True)
    assert (folder / "report.html").read_text() == "old"


def test_prepare_folder_refuses_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/out cannot be written: Not a directory"):
        prepare_folder(tmp_path / "file" / "out", overwrite=False)


def test_prepare_file_refuses_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"named NAME\.onnx"):
        prepare_file(tmp_path / "model.pt", ".onnx", overwrite=False)


def test_write_text_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_text(target, "one")
    write_text(target, "two")
    assert target.read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_write_text_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken cannot be written"):
        write_text(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_plain_gives_values_that_json_can_hold() -> None:
    made = plain(
        {
            1: (math.nan, math.inf, 0.5),
            "array": [np.float64(2.5), np.int64(3), np.bool_(True)],
            "path": Path("x"),
            "none": None,
        }
    )
    assert json.loads(json.dumps(made, allow_nan=False)) == {
        "1": [None, None, 0.5],
        "array": [2.5, 3, True],
        "path": "x",
        "none": None,
    }


def test_screen_writes_one_json_object_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(as_json=True)
    screen.say("no")
    screen.tell("no")
    screen.table("no", ("a",), [("b",)])
    screen.result({"value": 1.5})
    with screen.progress("no") as advance:
        advance(0.5)
    captured = capsys.readouterr()
    assert captured.out == '{"value": 1.5}\n'
    assert captured.err == ""


def test_screen_keeps_markup_like_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=True)
    screen.say("explanation")
    screen.tell("bits [bit/weight] [red]x[/red]")
    screen.table("T [bit]", ("a [b]",), [("[/x]",)])
    shown = capsys.readouterr().out
    assert "explanation" not in shown
    assert "bits [bit/weight] [red]x[/red]" in shown
    assert "a [b]" in shown
    assert "[/x]" in shown
    assert "T [bit]" in shown


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5 s"), (0.01, "10 ms"), (3e-6, "3 us"), (4e-9, "4 ns")]
)
def test_seconds_takes_the_unit_that_suits(value: float, text: str) -> None:
    assert seconds(value) == text


def test_counted_says_one_or_many() -> None:
    shown = [counted(1, "query"), counted(2000, "query"), counted(0, "sample")]
    assert shown == ["1 query", "2,000 queries", "0 samples"]


def test_network_for_mlp_has_the_layers_that_are_asked_for() -> None:
    graph = network_for("mlp", _dataset((4, 5)), (7, 6), bias=False)
    sizes = [
        (layer.inputs, layer.outputs, layer.bias)
        for layer in graph.layers
        if isinstance(layer, Linear)
    ]
    assert sizes == [(20, 7, False), (7, 6, False), (6, 3, False)]
    # Centred on the mean of the data, here 0; half of the range becomes 1.
    assert graph.scaling == InputScaling(offset=0.0, factor=1 / 8)


def test_network_for_cnn_takes_images_with_or_without_channels() -> None:
    for shape in ((8, 8), (1, 8, 8), (3, 28, 29)):
        graph = network_for("cnn", _dataset(shape), (5,))
        convolutions = [layer for layer in graph.layers if isinstance(layer, Conv2d)]
        assert len(convolutions) == 2
        assert math.prod(graph.input_shape) == math.prod(shape)
        assert graph.outputs == 3


def test_network_for_says_what_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="'rnn' is unknown"):
        network_for("rnn", _dataset((8, 8)), None)
    with pytest.raises(DataError, match="needs images"):
        network_for("cnn", _dataset((64,)), None)
    with pytest.raises(ConfigurationError, match="one hidden layer"):
        network_for("cnn", _dataset((8, 8)), (5, 6))
