"""`veilight frontier` as its users run it: sweeps that are killed, resumed, shown and drawn."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from veilight.cli import main

ROOT = Path(__file__).parents[2]
GRID = ["--hidden", "16", "--last", "4", "--workers", "1", "--tested-symbols", "0"]
GRID += ["--receivers", "feed-forward-tap", "--encodings", "real", "--draws", "2"]
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from veilight.cli import main; sys.exit(main(sys.argv[1:]))"
)
"""Hears Ctrl-C also where the tests run in the background, which ignores it."""


def _command(out: Path, epochs: int, first: str) -> list[str]:
    return [
        "frontier", "run", "--out", str(out), "--epochs", str(epochs),
        "--signal-to-noise", first, *GRID,
    ]  # fmt: skip


@contextmanager
def _started(arguments: list[str]) -> "Iterator[subprocess.Popen[str]]":
    """A process of its own group, so that a signal reaches its workers as Ctrl-C would."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for_records(folder: Path, count: int, process: "subprocess.Popen[str]") -> set[Path]:
    """Records of finished networks; a busy machine needs a minute for the first."""
    found: set[Path] = set()
    for _ in range(9000):
        found = set((folder / "networks").glob("*.json"))
        if len(found) >= count or process.poll() is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(found)} networks only")


def test_finished_networks_are_not_trained_again_when_a_sweep_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    command = _command(out, 25, "0.5,1,2,4")
    with _started(command) as process:
        _wait_for_records(out, 2, process)
        process.kill()
        process.communicate(timeout=60)
    records = set((out / "networks").glob("*.json"))
    assert 2 <= len(records) < 4
    before = {path: path.stat().st_mtime_ns for path in records}
    torn = min(records)
    torn.write_bytes(torn.read_bytes()[:100])

    assert main(command) == 0
    captured = capsys.readouterr()
    assert f"{torn.name}: torn, its" in " ".join(captured.out.split())
    assert f"{len(records) - 1} of them from earlier" in captured.err
    after = {path: path.stat().st_mtime_ns for path in (out / "networks").glob("*.json")}
    assert len(after) == 4
    assert [path for path in before if after[path] != before[path]] == [torn]
    assert not list(out.rglob("*.tmp"))
    report = json.loads((out / "frontier.json").read_text())
    assert {network["key"] for network in report["networks"]} == {path.stem for path in after}


def test_second_coordinator_is_refused_when_the_first_is_at_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from veilight.frontier.store import ResultStore

    with ResultStore(tmp_path).lock():
        assert main(_command(tmp_path, 25, "1")) == 6
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_finished_networks_stay_when_ctrl_c_is_pressed(tmp_path: Path) -> None:
    out = tmp_path / "results"
    # So many that the workers are not through before the signal comes.
    with _started(_command(out, 25, "0.5,0.6,0.7,0.8,0.9,1,2,3,4,5,6,8")) as process:
        found = _wait_for_records(out, 1, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "veilight: interrupted; nothing is left half-written"
    assert "Traceback" not in err
    for path in found:
        assert json.loads(path.read_text())["key"] == path.stem


def test_frontier_is_shown_drawn_and_evaluated_when_networks_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(_command(out, 30, "1,4")) == 0
    text = capsys.readouterr().out
    for words in (
        "2 networks trained on digits",
        "Bits per value at most, asymptotic",
        "feed-forward, real",
        "stolen block",
        "targets are for MNIST",
        "frontier.png",
    ):
        assert words in text
    assert (out / "frontier.png").read_bytes().startswith(b"\x89PNG")

    assert main(["frontier", "show", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "frontier.json").read_text())
    assert (report["format"], report["version"], report["data"]) == (
        "veilight-frontier",
        2,
        "digits",
    )
    keys = {network["key"] for network in report["networks"]}
    (asymptotic,) = report["frontiers"]
    assert asymptotic["name"] == "asymptotic"
    for point in asymptotic["points"]:
        assert point["network"] in keys
        assert (
            0 < point["privacy"]["weight_bits"] < point["privacy"]["stolen_block_bits_per_weight"]
        )
        assert point["privacy"]["data_bits_homodyne"] <= point["privacy"]["data_bits_any"]
    for network in report["networks"]:
        assert (out / network["model_file"]).is_file()
        assert 0 < network["accuracy_error"] < 0.05

    assert main(["frontier", "plot", str(out), "--save", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"plot": str(tmp_path / "a.png")}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

    again = ["frontier", "evaluate", str(out), "--receivers", "passive-tap", "--encodings", "real"]
    assert main([*again, "--tested-symbols", "1e8", "--json"]) == 0
    names = [part["name"] for part in json.loads(capsys.readouterr().out)["frontiers"]]
    assert names == ["asymptotic", "certified"]
    assert main(["frontier", "show", str(out)]) == 0
    assert "certified from 1e+08 tested symbols" in capsys.readouterr().out


def test_network_is_reported_as_failed_when_its_training_diverges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(_command(out, 2, "4")) == 0
    assert main([*_command(out, 2, "4"), "--learning-rate", "1e30"]) == 0
    text = capsys.readouterr().out
    assert "Failed: F^2 = 4, 4: training: the loss became" in text
    assert "1 network trained on digits (SHA-256" in text
    assert "1 failed" in text


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--signal-to-noise", "0"], 2),
        (["--hidden", "16x0"], 2),
        (["--receivers", "mirror"], 2),
        (["--transmittance", "1.5"], 2),
        (["--data", "nowhere"], 3),
        (["--network", "mill"], 2),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], 2),
        (["--x-share", "1"], 2),
        (["--budget", "nan"], 2),
        (["--budget", "0"], 2),
    ],
    ids=[
        "f2",
        "hidden",
        "receiver",
        "transmittance",
        "data",
        "network",
        "workers",
        "x-share",
        "budget-nan",
        "budget-zero",
    ],
)
def test_command_is_refused_when_an_option_is_wrong(
    options: list[str], code: int, tmp_path: Path
) -> None:
    assert main(["frontier", "run", "--out", str(tmp_path / "out"), *options]) == code
    assert not list(tmp_path.rglob("*.json"))


def test_folder_is_refused_when_it_has_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("show", "plot", "evaluate"):
        assert main(["frontier", command, str(tmp_path)]) in (2, 3)
    assert "veilight frontier run" in capsys.readouterr().err
    assert main(["frontier", "evaluate", str(tmp_path / "nowhere")]) == 3
    assert "nowhere: no such folder" in capsys.readouterr().err
    (tmp_path / "frontier.json").write_text('{"format": "shopping-list"}')
    assert main(["frontier", "show", str(tmp_path)]) == 3
    assert "not the report of a frontier" in capsys.readouterr().err
