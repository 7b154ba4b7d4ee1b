"""The example bench with an amplifier by command: looked at, calibrated, used, refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import veilight
from veilight.cli import main
from veilight.cli._exit_codes import ExitCode

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
FILES = ["amplifier-server.toml", "amplifier-client.toml"]
BENCHES = ["--bench", FILES[0], "--bench", FILES[1]]
SAMPLES = 20
SHORT = """
[calibration.port_noise]
samples = 131_072

[calibration.mesh]
check_vectors = 8
model_vectors = 256

[calibration.amplifier]
settings_of_meshes = 6
noise_samples = 524_288
"""
"""Less of everything than by default, at the end of a bench file."""


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example files, their calibration, data of 7 numbers and a network."""
    folder = tmp_path_factory.mktemp("amplifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in FILES:
            shutil.copy(EXAMPLES / name, folder)
        with (folder / FILES[0]).open("a") as file:
            file.write(SHORT)
        rng = np.random.default_rng(3)
        labels = rng.integers(0, 3, 200)
        values = 2 * rng.standard_normal((3, 7))[labels] + 0.7 * rng.standard_normal((200, 7))
        pairs = zip(values.round(4), labels, strict=True)
        rows = [[*map(str, one), str(label)] for one, label in pairs]
        heading = [*(f"value{index}" for index in range(7)), "label"]
        (folder / "groups.csv").write_text("\n".join(",".join(row) for row in [heading, *rows]))
        train = ["train", "--save", "groups.safetensors", "--data", "groups.csv"]
        train += [
            "--label-column",
            "label",
            "--hidden",
            "12",
            "--epochs",
            "40",
            "--batch-size",
            "8",
        ]
        assert main([*train, "--signal-to-noise", "4,4", "--seed", "1", "-q"]) == 0
        assert main(["calibrate", "all", *BENCHES, "--seed", "1", "-q"]) == 0
    return folder


def copy_changed(calibrated: Path, folder: Path, found: str, instead: str) -> None:
    """The calibrated benches, with other words in both of their files."""
    for path in calibrated.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    for name in FILES:
        text = (folder / name).read_text()
        assert found in text
        (folder / name).write_text(text.replace(found, instead))


def order(out: str) -> list[str]:
    infer = ["infer", "groups.safetensors", "--data", "groups.csv", "--label-column", "label"]
    return [*infer, "--samples", str(SAMPLES), "--signal-to-noise", "4,4", *BENCHES, "--out", out]


@pytest.mark.parametrize("command", ["show", "check", "safe"])
def test_bench_command_finds_the_amplifier_bench_well(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(EXAMPLES / name) for name in FILES]
    assert main(["bench", command, *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["party"] for one in found["benches"]] == ["server", "client"]
    if command == "show":
        roles = {one["role"]: one for bench in found["benches"] for one in bench["instruments"]}
        assert roles["amplifier"]["limits"]["gain_db"] == [0.0, 6.0]
        assert {"mesh_driver", "return_mesh_driver", "seed_laser"} <= set(roles)


def test_network_runs_by_command_and_is_accepted(
    calibrated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(calibrated)
    assert main([*order("run"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accepted"]
    assert result["simulated"]
    assert result["taints"] == []
    # The network with the light's noise gets 0.97: 20 samples with less than 11 right have a
    # probability of 1e-10.
    assert result["accuracy"] > 0.5


def test_calibrate_keeps_what_is_valid(
    calibrated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(calibrated)
    assert main(["calibrate", "all", *BENCHES, "--dry-run", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    names = ["port_noise", "port_photons", "mesh", "amplifier", "port_loss"]
    assert [step["routine"] for step in steps] == names
    assert not any(step["due"] for step in steps)


def test_run_is_refused_when_the_bench_has_another_gain_than_its_calibration(
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy_changed(calibrated, tmp_path, "setting = 2.0", "setting = 2.2")
    monkeypatch.chdir(tmp_path)
    assert main(order("run")) != 0
    assert "made with gain_db 3.01" in capsys.readouterr().err.replace("\n", " ")


def test_run_fails_its_tests_when_the_meshes_have_changed_since(
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same instruments answer, but all shifters have moved by 0.6 of their offsets."""
    moved = "seed = 1\nmesh = { phase_error_rad = 0.8 }"
    copy_changed(calibrated, tmp_path, "seed = 1", moved)
    monkeypatch.chdir(tmp_path)
    assert main([*order("run"), "--json"]) == ExitCode.VERIFICATION
    result = json.loads(capsys.readouterr().out)
    assert not result["accepted"]


def test_run_is_refused_when_there_is_no_calibration(
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in calibrated.iterdir():
        if path.is_file() and path.suffix != ".h5":
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(order("run")) != 0
    assert "there is no calibration store" in capsys.readouterr().err.replace("\n", " ")


def test_run_names_the_routine_when_the_receiver_has_none_of_that_name(
    calibrated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(calibrated)
    assert main(["calibrate", "polarisation", *BENCHES]) != 0
    message = capsys.readouterr().err.replace("\n", " ")
    assert "no routine is called 'polarisation'; there are port_noise" in message
