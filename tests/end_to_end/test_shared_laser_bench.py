"""The example bench on which one laser feeds both oscillators, calibrated and used by command."""

import json
import shutil
from pathlib import Path

import pytest

import veilight
from tests.short_records import shorten_records
from veilight.cli import main

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
BENCHES = ["--bench", "shared-laser-server.toml", "--bench", "shared-laser-client.toml"]


def test_bench_with_one_laser_is_calibrated_and_carries_an_accepted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in EXAMPLES.glob("shared-laser-*.toml"):
        shutil.copy(path, tmp_path)
    shorten_records(tmp_path / "shared-laser-server.toml")
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", "all", *BENCHES, "--seed", "1", "--json"]) == 0
    calibrated = json.loads(capsys.readouterr().out)
    assert {one["status"] for one in calibrated["outcomes"]} == {"done"}

    train = ["train", "--save", "digits.safetensors", "--data", "digits", "--hidden", "32"]
    assert main([*train, "--signal-to-noise", "4,4", "--epochs", "30", "--seed", "1", "-q"]) == 0
    capsys.readouterr()
    order = ["infer", "digits.safetensors", "--samples", "60", "--signal-to-noise", "4,4"]
    assert main([*order, *BENCHES, "--out", "run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accepted"]
    assert result["simulated"]
    assert result["taints"] == []
    # The symbol tier gets 0.90: 60 samples with at most 36 right have a probability below 1e-9.
    assert result["accuracy"] > 0.60
