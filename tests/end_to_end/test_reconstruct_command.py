"""`veilight reconstruct`: tables, JSON, pictures, and the error when a bound is passed."""

import json
from pathlib import Path

import pytest

from veilight import reconstruct
from veilight.cli import main


def test_inputs_are_reconstructed_within_bounds_when_digits_are_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", "inputs", "--rows", "32,1024", "--images", "60", "--trials", "12"]
    assert main([*command, "--plots", str(tmp_path / "plots")]) == 0
    out = capsys.readouterr().out
    for words in ("one input in 1,000,000", "feed-forward-tap at 0.5", "never", "within what is"):
        assert words in out
    for name in ("inputs.png", "success.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")

    assert main([*command, "--json", "--candidates", "300"]) == 0
    values = json.loads(capsys.readouterr().out)
    amplifier, tap, passive = values["dictionary"]
    assert amplifier["stated_rows"] < amplifier["rows_sure"] < tap["rows_half"]
    assert passive["rows_half"] is None
    low, high = values["inputs"]
    assert low["overlap_x"] < 0.5 < high["overlap_x"]
    assert high["bits"] < high["bits_cap"]
    assert values["within_bounds"] is True
    assert values["plots"] == []


def test_weights_are_reconstructed_within_bounds_when_a_client_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", "weights", "--queries", "16,320", "--modes", "32"]
    assert main([*command, "--json", "--plots", str(tmp_path)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [point["copies"] for point in values["weights"]] == [16, 320, 16, 320]
    for point in values["weights"]:
        assert point["gain"]["bits"] < point["bits_holevo"]
    for name in ("weights.png", "weight-rows.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert main(command) == 0
    assert "queries inside the rules" in capsys.readouterr().out


def test_better_servers_are_played_within_bounds_when_a_tap_lets_a_probe_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", "inputs", "--rows", "16,512", "--images", "40", "--trials", "8"]
    command += ["--receiver", "feed-forward-tap", "--setting", "0.5", "--probe-photons", "0.1"]
    command += ["--candidates", "40"]
    assert main([*command, "--plots", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Photons counted" in out
    assert "P probed" in out
    for name in ("counting.png", "probing.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    for key, bound in (("counting", "bits_cap"), ("probing", "found_bits_cap")):
        low, high = values[key]
        assert low["found"] <= high["found"]
        assert 0 < low[bound] <= high[bound]


def test_network_is_extracted_within_bounds_when_a_client_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", "model", "--queries", "50,2000", "--hidden", "16"]
    assert main([*command, "--json", "--plots", str(tmp_path)]) == 0
    few, many = json.loads(capsys.readouterr().out)["models"]
    assert few["agreement"] < many["agreement"]
    assert many["read"]["bits"] < many["bits_bound"] < many["student_bits_bound"]
    for name in ("model.png", "model-rows.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--photons", "10"]) == 0
    assert "teacher's" in capsys.readouterr().out


def test_command_ends_with_the_name_of_the_error_when_a_bound_is_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reconstruct, "data_bits_server_homodynes_rows_cap", lambda *_: 1e-6)
    command = ["reconstruct", "inputs", "--rows", "1024", "--images", "10", "--trials", "5"]
    assert main([*command, "--candidates", "100"]) == 5
    assert "bits per data value after 1024 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--setting", "0.5"],
        ["--cosine", "1"],
        ["--rows", "0"],
        ["--receiver", "mirror"],
        ["--probe-photons", "1"],
    ],
    ids=["gain", "cosine", "rows", "receiver", "probe"],
)
def test_command_refuses_when_an_option_is_out_of_range(options: list[str]) -> None:
    assert main(["reconstruct", "inputs", *options]) == 2
