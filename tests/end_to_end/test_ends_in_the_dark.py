"""Commands that end before they are done: a stop that fails, and signals from outside."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import veilight
import veilight.bench_session
from drivers.bench import Bench, BenchFile, ModelRegistry
from drivers.bench.safety import Safety
from drivers.instruments import Laser
from veilight.benches import build_benches
from veilight.cli import main

ROOT = Path(veilight.__file__).resolve().parent.parent
BENCHES = ["--bench", "server.toml", "--bench", "client.toml"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (ROOT / "examples" / "benches").glob("*.toml"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)


def test_command_ends_with_9_and_all_others_safe_when_a_stop_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benches: list[Bench] = []
    dark: dict[str, bool] = {}

    def build(
        files: Sequence[BenchFile], registry: ModelRegistry | None = None
    ) -> tuple[Bench, ...]:
        benches.extend(build_benches(files, registry))
        return tuple(benches)

    armed = Safety.rearm

    def rearm(safety: Safety, operator: str) -> None:
        """From now on the server's laser cannot be stopped, and closing shows what is safe."""
        armed(safety, operator)
        for bench in benches:
            for role, one in bench.instruments.items():
                place = f"{bench.file.party}.{role}"
                monkeypatch.setattr(
                    one, "_close", lambda one=one, place=place: dark.update({place: one._is_safe()})
                )
        laser = benches[0].get("laser", Laser)
        monkeypatch.setattr(laser, "_make_safe", lambda: 1 / 0)
        monkeypatch.setattr(laser, "_is_safe", lambda: False)

    monkeypatch.setattr(veilight.bench_session, "build_benches", build)
    monkeypatch.setattr(Safety, "rearm", rearm)
    assert main(["calibrate", "electronic_noise", *BENCHES]) == 9
    assert "the bench is NOT safe, 1 instrument did not reach" in capsys.readouterr().err
    unsafe = [place for place, safe in dark.items() if not safe]
    assert unsafe == ["server.laser"]
    assert len(dark) == sum(len(bench.instruments) for bench in benches)


PROGRAM = """
import signal, sys
from calibration.runner import Runner
from drivers.bench import Bench
from drivers.instruments import Laser
from veilight.cli import main

def run(*_, **__):
    print("running", flush=True)
    sys.stdin.read()

def close(bench):
    # Somebody is impatient while the bench is brought to its safe state.
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    usual(bench)
    dark = not any(one.is_open for one in bench.instruments.values())
    print(bench.file.party, "dark" if dark else "NOT DARK", flush=True)

usual, Bench.close, Runner.run = Bench.close, close, run
# A program that a shell started in the background ignores Ctrl-C: take it as a terminal does.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
    ids=["int", "term", "hup"],
)
def test_command_ends_in_the_dark_when_it_is_told_to_end_again_and_again(
    number: signal.Signals, status: int, word: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, "calibrate", "all", *BENCHES],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        said, errors = process.stdout.read(), process.stderr.read()
    assert said == "client dark\nserver dark\n"
    assert process.returncode == status
    *again, last = errors.splitlines()
    assert last == f"veilight: {word}; nothing is left half-written"
    assert len(again) == 4
    assert all("already stopping, on the way to the safe state" in line for line in again)
