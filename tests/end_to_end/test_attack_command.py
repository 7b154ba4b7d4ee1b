"""`veilight attack` as its users run it: what is caught, by what, and what the pictures are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import veilight
from veilight.cli import main

ROOT = Path(veilight.__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("VEILIGHT_TRACEBACK", None)
PNG = b"\x89PNG"


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "veilight", "attack", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_attack_is_caught_and_drawn(tmp_path: Path) -> None:
    done = _run(tmp_path, "a3", "--json", "--trials", "2000", "--plots", "pictures")
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    (found,) = values["attacks"]
    assert found["name"] == "A3"
    assert 0.8 < found["simulated"] / found["stated"] < 1.2
    assert "X variance" in found["caught_by"]
    assert found["honest"]["kept"]
    assert found["gains"]["bits"] > 0
    assert found["cusum_delay"]["simulated"] > 0
    assert values["honest_sessions"]["aborted"] < 50
    (picture,) = values["plots"]
    assert (tmp_path / picture).read_bytes().startswith(PNG)


def test_attack_repeats_when_the_seed_does(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert main(["attack", "C2", "--json", "--trials", "500", "--seed", "5"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert json.loads(printed[0])["seed"] == 5


def test_attacks_are_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack"]) == 0
    listed = capsys.readouterr().out
    assert "C13" in listed
    assert "squeezed probes" in listed
    assert main(["attack", "A10-row", "--quiet", "--trials", "500"]) == 0
    caught = capsys.readouterr().out
    assert "gain" in caught
    assert "Honest sessions" in caught
    assert main(["attack", "B1", "--quiet"]) == 0
    charged = capsys.readouterr().out
    assert "data ledger" in charged
    assert "Honest sessions" not in charged


def test_unknown_attack_is_refused_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", "A99"]) == 2
    assert "A10" in capsys.readouterr().err


def test_pictures_are_refused_where_no_folder_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    plots = str(tmp_path / "file")
    assert main(["attack", "B3", "--plots", plots]) == 6
    assert plots in capsys.readouterr().err
