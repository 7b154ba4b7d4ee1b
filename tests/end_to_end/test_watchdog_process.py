"""The watchdog from outside: programs with light on that are killed, stopped, hang, or end.

Each program is a process of its own with instruments of paper, and so is its watchdog. Both write
to one pipe of standard error, whose end says that both have ended.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers.bench import load_bench
from drivers.bench.ownership import Ownership
from sim_backend.scene.path import LightSwitch
from sim_backend.wire.twin_bench import TwinBench

DEADLINE_S = 20.0
PROGRAM = "tests.end_to_end.watched_program"
OVER_THE_WIRE = "tests.end_to_end.watched_twins"
BENCH = """
[bench]
name = "a switch"
party = "server"
twin = true

[instruments.return_switch]
model = "Keysight N7734A"
backend = "visa"
address = "TCPIP::192.168.0.7::5025::SOCKET"

[safety]
watchdog = true
watchdog_timeout_s = 0.5
"""


@dataclass
class Program:
    """A program with light on, and the number of its watchdog."""

    process: "subprocess.Popen[str]"
    watchdog: int
    folder: Path

    def hear(self, text: str | None) -> str:
        """What both write to the standard error, up to a text, or up to its end."""
        assert self.process.stderr is not None
        descriptor = self.process.stderr.fileno()
        said = ""
        while text is None or text not in said:
            assert select.select([descriptor], [], [], DEADLINE_S)[0], f"silence after {said!r}"
            data = os.read(descriptor, 1 << 16)
            if not data:
                break
            said += data.decode()
        return said

    def end(self) -> str:
        """Wait until program and watchdog have ended; what both wrote to the standard error."""
        said = self.hear(None)
        self.process.wait(DEADLINE_S)
        return said

    def finish(self) -> str:
        """Let the program end in order; see `end`."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.end()

    @property
    def report(self) -> dict[str, Any]:
        found = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    @property
    def was_made_safe(self) -> bool:
        """Whether the watchdog did what stands for the safe state, owning the instruments."""
        return (self.folder / "marker").exists()


class Programs:
    """Starts programs in a folder; ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Program] = []

    def start(self, **options: object) -> Program:
        """A program on paper."""
        return self.run(PROGRAM, str(self._folder), json.dumps(options))

    def run(self, module: str, *arguments: str) -> Program:
        """Any program that says when it is lit."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "XDG_RUNTIME_DIR": str(self._folder),
            },
        )
        assert process.stdout is not None
        word, _, number = process.stdout.readline().partition(" ")
        assert word == "lit"
        program = Program(process=process, watchdog=int(number), folder=self._folder)
        self._started.append(program)
        return program

    def clean(self) -> None:
        for program in self._started:
            program.process.kill()
            program.process.wait(DEADLINE_S)
            for stream in (program.process.stdin, program.process.stdout, program.process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    made.clean()


def test_watchdog_makes_the_bench_safe_at_once_when_the_program_is_killed(
    programs: Programs,
) -> None:
    # The longest silence is longer than the test may take: only the end of the pipe can tell.
    program = programs.start(timeout_s=60.0)
    program.process.kill()
    said = program.end()
    assert program.was_made_safe
    report = program.report
    assert (report["reason"], report["ended"]) == ("the program has died", "")
    assert (report["safe"], report["failures"], report["attempts"]) == (True, {}, 1)
    assert report["pid"] == program.process.pid
    assert "the program has died (process" in said
    assert "all is in the safe state, read back; see " in said
    claim = Ownership(program.folder / "locks").claim("GPIB0::laser", role="laser", bench="next")
    claim.release()


def test_watchdog_notices_at_once_when_only_a_fork_of_the_program_is_left(
    programs: Programs,
) -> None:
    program = programs.start(timeout_s=60.0, forks=True)
    program.process.kill()
    program.hear("all is in the safe state, read back")
    assert program.was_made_safe
    program.finish()


def test_watchdog_ends_the_program_when_it_is_stopped(programs: Programs) -> None:
    program = programs.start(timeout_s=0.5, grace_s=0.2)
    os.kill(program.process.pid, signal.SIGSTOP)
    program.end()
    assert program.process.returncode == -signal.SIGKILL
    assert program.was_made_safe
    assert (program.report["reason"], program.report["ended"]) == ("the program hangs", "SIGKILL")


def test_watchdog_ends_the_program_when_it_gives_no_sign_of_life_in_the_light(
    programs: Programs,
) -> None:
    program = programs.start(timeout_s=0.5, hang_s=0.5)
    assert program.process.wait(DEADLINE_S) == -signal.SIGTERM
    program.end()
    assert program.was_made_safe
    assert (program.report["reason"], program.report["ended"]) == ("the program hangs", "SIGTERM")


def test_program_that_hangs_ends_in_order_when_it_handles_signals(programs: Programs) -> None:
    program = programs.start(timeout_s=0.5, hang_s=0.5, handles_signals=True, grace_s=DEADLINE_S)
    said = program.end()
    assert "veilight.signals.Terminated" in said
    assert "after SIGTERM it reached the safe state" in said
    assert not program.was_made_safe


def test_watchdog_says_that_it_is_not_safe_when_it_cannot_make_it_so(programs: Programs) -> None:
    program = programs.start(safe="fail")
    program.process.kill()
    said = program.end()
    assert "NOT SAFE: laser: no answer to 1 benches. Use the key switch or the interlock" in said
    assert (program.report["safe"], len(program.report["failures"])) == (False, 1)


def test_watchdog_does_nothing_when_the_program_ends_in_order(programs: Programs) -> None:
    program = programs.start()
    assert program.finish() == ""
    assert program.process.returncode == 0
    assert not program.was_made_safe
    assert not (program.folder / "report.json").exists()


def test_watchdog_outlives_the_signals_of_a_terminal(programs: Programs) -> None:
    program = programs.start()
    assert os.getsid(program.watchdog) != os.getsid(program.process.pid)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(program.watchdog, number)
    program.process.kill()
    program.end()
    assert program.was_made_safe


def test_program_goes_on_in_the_dark_when_its_watchdog_is_killed(programs: Programs) -> None:
    program = programs.start()
    os.kill(program.watchdog, signal.SIGKILL)
    assert "the watchdog has ended" in program.hear("the watchdog has ended")
    program.finish()
    assert program.process.returncode == 0
    assert not program.was_made_safe


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_switch_over_the_wire_is_closed_when_the_program_is_gone(
    programs: Programs, tmp_path: Path, way: signal.Signals
) -> None:
    # The usual driver, bench file and action; only the box at the other end is an emulator.
    path = tmp_path / "bench.toml"
    path.write_text(BENCH, encoding="utf-8")
    with TwinBench([load_bench(path, complete=False)]) as twins:
        text = BENCH.replace("TCPIP::192.168.0.7::5025::SOCKET", twins.served[0].address)
        path.write_text(text, encoding="utf-8")
        switch = twins.scene.part("server", "return_switch")
        assert isinstance(switch, LightSwitch)
        program = programs.run(OVER_THE_WIRE, str(path))
        with twins.server.lock:
            assert switch.selected() == "light"
        os.kill(program.process.pid, way)
        said = program.end()
        with twins.server.lock:
            assert switch.selected() == "blocked"
    assert f"(process {program.process.pid}); all is in the safe state, read back; see " in said
    report = tmp_path / "veilight" / f"watchdog-{program.process.pid}.json"
    assert json.loads(report.read_text(encoding="utf-8"))["safe"]
