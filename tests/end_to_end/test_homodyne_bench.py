"""The example bench with homodyne detection: checked, calibrated and used by command."""

import json
import shutil
from pathlib import Path

import pytest

import veilight
from tests.short_records import shorten_records
from veilight.cli import main

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
FILES = ["homodyne-server.toml", "homodyne-client.toml"]
BENCHES = [word for name in FILES for word in ("--bench", name)]
# What a run needs, and what that needs.
WANTED = ["loss", "phase_lock"]
SAMPLES = 30


def test_homodyne_bench_is_calibrated_and_carries_an_accepted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in FILES:
        shutil.copy(EXAMPLES / name, tmp_path)
    shorten_records(tmp_path / FILES[0])
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "check", *FILES]) == 0
    shown = capsys.readouterr().out
    assert "return_phase" in shown
    assert "tap_phase" in shown

    order = ["infer", "digits.safetensors", "--samples", str(SAMPLES)]
    order += ["--signal-to-noise", "4,4"]
    train = ["train", "--save", "digits.safetensors", "--data", "digits", "--hidden", "16"]
    assert main([*train, "--signal-to-noise", "4,4", "--epochs", "20", "--seed", "1", "-q"]) == 0
    capsys.readouterr()
    assert main([*order, *BENCHES, "--out", "early"]) != 0
    assert "calibrat" in capsys.readouterr().err

    assert main(["calibrate", *WANTED, *BENCHES, "--seed", "1", "--json"]) == 0
    calibrated = json.loads(capsys.readouterr().out)
    done = {one["routine"]: one["status"] for one in calibrated["outcomes"]}
    assert set(done.values()) == {"done"}
    assert {"phase_shifters", "polarisation", "delay", "photons", *WANTED} <= set(done)
    assert not {"beat", "linewidth", "quadratures"} & set(done)

    assert main([*order, *BENCHES, "--out", "run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accepted"]
    assert result["simulated"]
    assert result["taints"] == []
    for layer in result["layers"]:
        # Both quadratures were tested, in whole data vectors.
        assert layer["tested_symbols_x"] > 0
        assert layer["tested_symbols_p"] > 0
        assert layer["tested_symbols_x"] % (layer["rows"] * layer["modes"]) == 0
    # The symbol tier gets 0.9: 30 samples with at most 13 right have a probability below 1e-9.
    assert result["accuracy"] > 0.45
