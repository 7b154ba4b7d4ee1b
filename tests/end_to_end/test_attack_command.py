"""`veilight attack` as its users run it: what is caught, by what, and what the pictures are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import veilight

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


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_attack_is_caught_and_drawn(tmp_path: Path) -> None:
    done = _run(tmp_path, "a2", "--json", "--trials", "2000", "--plots", "pictures")
    values = _json(done)
    first = values["attacks"][0]
    assert first["name"] == "A2"
    assert 0.8 < first["simulated"] / first["stated"] < 1.2
    assert "X variance" in first["caught_by"]
    assert first["honest"]["kept"]
    assert first["gains"]["bits"] > 0
    assert first["cusum_delay"]["simulated"] > 0
    assert values["honest_sessions"]["aborted"] < 60
    assert len(values["plots"]) == len(values["attacks"])
    for path in values["plots"]:
        assert (tmp_path / path).read_bytes().startswith(PNG)


def test_attack_repeats_when_the_seed_does(tmp_path: Path) -> None:
    order = ("B3", "--json", "--trials", "500", "--seed", "5")
    assert _json(_run(tmp_path, *order)) == _json(_run(tmp_path, *order))


def test_list_and_charged_attacks_are_for_people(tmp_path: Path) -> None:
    listed = _run(tmp_path)
    assert listed.returncode == 0
    assert "C13" in listed.stdout
    charged = _run(tmp_path, "B1", "--quiet")
    assert charged.returncode == 0
    assert "data ledger" in charged.stdout


def test_unknown_attack_is_refused_with_what_there_is(tmp_path: Path) -> None:
    done = _run(tmp_path, "A99")
    assert done.returncode == 2
    assert "A10" in done.stderr
