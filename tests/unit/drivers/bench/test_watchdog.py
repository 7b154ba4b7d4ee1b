"""The watchdog from inside: signs of life, its words, what it refuses, and what its loss does."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.bench import LightPlan
from drivers.bench.life import LifeSigns
from drivers.bench.processes import is_running, start_of
from drivers.bench.watchdog import Watchdog, WatchdogSpec
from drivers.bench.watchdog_process import Channel, Reason, attend, drive, end_program
from drivers.bench.watchdog_spec import WatchdogOrders
from drivers.errors import ConfigurationError, SafetyError, WatchdogError
from tests.unit.drivers.bench.paper_bench import (
    Paper,
    client_table,
    paper_bench,
    server_table,
)
from tests.unit.drivers.bench.real_paper import real_bench
from tests.wire.scripted import ScriptedClock

ACTIONS = "tests.unit.drivers.bench.watchdog_actions"
DEADLINE_S = 10.0


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


@pytest.fixture
def spec(marker: Path) -> WatchdogSpec:
    return WatchdogSpec(
        files=((str(marker), "a bench"),),
        safe=f"{ACTIONS}:mark",
        report=str(marker.with_name("report.json")),
        end_hung=False,  # the program is the one that runs the tests
    )


@pytest.fixture
def watchdog(spec: WatchdogSpec) -> Iterator[Watchdog]:
    """With silence allowed for so long that a busy machine makes no difference."""
    made = Watchdog(spec, interval_s=0.05, timeout_s=5.0)
    yield made
    for bench in ("a", "client paper client", "server paper server"):
        made.let_go(bench, safe=True)


@pytest.fixture
def pipes() -> Iterator[tuple[Channel, int, int]]:
    """A watchdog's channel, and the program's ends of it: one to write to, one to read from."""
    to_read, to_write = os.pipe()
    answers, sink = os.pipe()
    yield Channel(to_read, sink), to_write, answers
    for descriptor in (to_read, answers, sink):
        os.close(descriptor)
    with suppress(OSError):  # a test may have closed it
        os.close(to_write)


def _pid(watchdog: Watchdog) -> int:
    assert watchdog.pid is not None
    return watchdog.pid


def test_life_signs_hang_when_there_is_light_and_silence() -> None:
    clock = ScriptedClock()
    life = LifeSigns(60.0, clock)
    clock.sleep(1000.0)
    assert not life.hangs()  # silence in the dark harms nobody
    life.set_light("server", True)
    clock.sleep(60.0)
    assert not life.hangs()
    clock.sleep(0.1)
    assert life.hangs()
    life.alive()
    assert not life.hangs()
    clock.sleep(60.1)
    life.set_light("client", True)
    clock.sleep(60.1)
    life.set_light("server", False)
    assert life.hangs()
    life.set_light("client", False)
    assert not life.hangs()


def test_life_signs_take_a_busy_program_for_alive_as_long_as_it_said() -> None:
    clock = ScriptedClock()
    life = LifeSigns(60.0, clock)
    life.set_light("server", True)
    life.alive(busy_s=600.0)
    life.alive()
    clock.sleep(660.0)
    assert not life.hangs()
    clock.sleep(0.1)
    assert life.hangs()


def test_attend_answers_every_heartbeat_until_the_program_is_done(
    pipes: tuple[Channel, int, int],
) -> None:
    channel, to_write, answers = pipes
    for piece in (b"1\n2", b"\n3\ndone\n"):
        os.write(to_write, piece)
    assert attend(channel, DEADLINE_S) is Reason.DONE
    assert os.read(answers, 100) == b"1\n2\n3\n"


def test_attend_says_why_when_the_program_is_silent_asks_for_help_or_dies(
    pipes: tuple[Channel, int, int],
) -> None:
    channel, to_write, _ = pipes
    os.write(to_write, b"1\n")
    assert attend(channel, 0.02) is Reason.HUNG
    os.write(to_write, b"help\n")
    assert attend(channel, DEADLINE_S) is Reason.HELP
    os.write(to_write, b"2\n3\nnot a whole li")
    os.close(to_write)
    assert attend(channel, DEADLINE_S) is Reason.DIED


def _orders(spec: WatchdogSpec, pid: int, grace_s: float = DEADLINE_S) -> WatchdogOrders:
    start = start_of(pid) or "?"
    return WatchdogOrders(spec=replace(spec, grace_s=grace_s), pid=pid, start=start, timeout_s=1.0)


@pytest.mark.parametrize(
    ("stubborn", "ended"), [(False, "SIGTERM"), (True, "SIGKILL")], ids=["obeys", "stubborn"]
)
def test_end_program_kills_only_what_does_not_end_in_order(
    pipes: tuple[Channel, int, int], spec: WatchdogSpec, stubborn: bool, ended: str
) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
    code = f"import signal, sys; {ignore}print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        orders = _orders(spec, program.pid, grace_s=0.1 if stubborn else DEADLINE_S)
        assert end_program(pipes[0], orders) == ended
        assert program.wait(DEADLINE_S) == -signal.Signals[ended]


def test_end_program_leaves_a_stranger_with_the_same_number_alone(
    pipes: tuple[Channel, int, int], spec: WatchdogSpec
) -> None:
    orders = replace(_orders(spec, os.getpid()), start="another process")
    assert not is_running(orders.pid, orders.start)
    assert end_program(pipes[0], orders) == ""


def test_end_program_hears_that_the_program_reached_the_safe_state(
    pipes: tuple[Channel, int, int], spec: WatchdogSpec
) -> None:
    # The word lies ready: nothing is sent to the program, which is this one.
    os.write(pipes[1], b"7\ndone\n")
    assert end_program(pipes[0], _orders(spec, os.getpid())) == "done"


def test_start_of_is_none_when_a_process_has_ended_and_nobody_has_asked(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as program:
        start = start_of(program.pid)
        assert start is not None
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(program.pid, start)  # a zombie until `with` ends


@pytest.mark.parametrize("outcomes", [("", ""), ("late", ""), ("late", "late")])
def test_drive_tries_again_and_reports_what_is_left(
    spec: WatchdogSpec, outcomes: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("drivers.bench.watchdog_process.time.sleep", waits.append)
    left = list(outcomes)

    def action(files: Sequence[tuple[str, str]]) -> dict[str, str]:
        assert files == spec.files
        text = left.pop(0)
        if text and len(left) == 1:
            raise OSError(text)
        return {"laser": text} if text else {}

    orders = _orders(replace(spec, attempts=2), os.getpid())
    report = drive(action, orders, Reason.DIED, "")
    tried = 2 - len(left)
    assert (report.attempts, len(waits)) == (tried, tried - 1)
    assert report.safe == (outcomes[tried - 1] == "")
    assert dict(report.failures) == ({} if report.safe else {"laser": "late"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": ()}, "needs the text of every bench file"),
        ({"files": (("a.toml", " "),)}, "needs the text of every bench file"),
        ({"hang_s": float("nan")}, "hang_s nan s"),
        ({"grace_s": 0.0}, "must be above 0"),
        ({"safe": "veilight.benches"}, "write module:name"),
    ],
    ids=["no file", "no text", "nan", "no grace", "no name"],
)
def test_spec_refuses_what_cannot_work(
    spec: WatchdogSpec, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(spec, **change)  # type: ignore[arg-type]


def test_orders_are_the_same_after_the_pipe(spec: WatchdogSpec) -> None:
    orders = _orders(spec, os.getpid())
    assert "\n" not in orders.to_json()
    assert WatchdogOrders.from_json(orders.to_json()) == orders
    for line in ("", "1", "{}", '{"spec": {"files": [1]}}', '{"spec": {"files": []}, "x": 1}'):
        with pytest.raises(ConfigurationError):
            WatchdogOrders.from_json(line)


@pytest.mark.parametrize("interval_s", [0.0, 0.6, float("nan")])
def test_watchdog_refuses_times_that_do_not_fit(spec: WatchdogSpec, interval_s: float) -> None:
    with pytest.raises(ConfigurationError, match="at most half of its timeout_s 1 s"):
        Watchdog(spec, interval_s=interval_s, timeout_s=1.0)


def test_watchdog_lives_from_the_first_bench_to_the_last(watchdog: Watchdog, marker: Path) -> None:
    assert not watchdog.fresh()
    with pytest.raises(WatchdogError, match="does not run: nothing would switch the light off"):
        watchdog.require_fresh()
    watchdog.hold("a", lambda _: None)
    pid = _pid(watchdog)
    watchdog.hold("b", lambda _: None)
    watchdog.let_go("b", safe=True)
    assert _pid(watchdog) == pid
    watchdog.require_fresh()
    assert watchdog.fresh()
    assert watchdog.age_s() < 5.0
    # What ends programs does not end it: it must outlive the one that it watches.
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    watchdog.beat()
    watchdog.require_fresh()
    assert watchdog.let_go("a", safe=True) is None
    assert watchdog.pid is None
    assert start_of(pid) is None
    assert not marker.exists()
    watchdog.hold("a", lambda _: None)
    watchdog.require_fresh()


def test_watchdog_says_what_it_lacks_when_it_cannot_start(
    spec: WatchdogSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog(replace(spec, safe="drivers.bench:missing"))
    with pytest.raises(
        WatchdogError, match=r"did not start: it said failed: drivers\.bench:missing"
    ):
        watchdog.hold("a", lambda _: None)
    assert watchdog.pid is None
    assert capfd.readouterr() == ("", "")


def test_watchdog_is_not_confused_by_what_its_action_writes(
    spec: WatchdogSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    action = "tests.unit.drivers.bench.noisy_action:act"
    watchdog = Watchdog(replace(spec, safe=action), timeout_s=5.0)
    watchdog.hold("a", lambda _: None)
    watchdog.require_fresh()
    watchdog.let_go("a", safe=True)
    assert capfd.readouterr() == ("", "1\nnot for you\n")


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_watchdog_that_is_lost_is_noticed_and_refused(spec: WatchdogSpec, way: int) -> None:
    watchdog = Watchdog(spec, interval_s=0.05, timeout_s=1.0)
    noticed = threading.Event()
    said: list[str] = []

    def lost(what: str) -> None:
        said.append(what)
        noticed.set()

    watchdog.hold("a", lost)
    pid = _pid(watchdog)
    os.kill(pid, way)
    assert noticed.wait(DEADLINE_S)
    with pytest.raises(WatchdogError, match=rf"\(process {pid}\) has (ended|not answered for)"):
        watchdog.require_fresh()
    assert not watchdog.fresh()
    text = "has ended" if way == signal.SIGKILL else "does not answer for 1"
    assert said[0].startswith(f"the watchdog {text}")
    if way == signal.SIGSTOP:
        os.kill(pid, signal.SIGKILL)
    watchdog.let_go("a", safe=True)
    assert start_of(pid) is None


@pytest.mark.parametrize(("name", "helped"), [("mark", True), ("fail", False)])
def test_watchdog_tries_over_its_own_connections_when_a_bench_is_closed_unsafe(
    spec: WatchdogSpec,
    marker: Path,
    name: str,
    helped: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = replace(spec, safe=f"{ACTIONS}:{name}", attempts=1, end_hung=True)
    watchdog = Watchdog(asked, timeout_s=5.0)
    # Who asks for help is not ended for it: that would be the program that runs the tests.
    watchdog.hold("a", lambda _: None)
    watchdog.hold("b", lambda _: None)
    assert watchdog.let_go("a", safe=False) is None
    assert watchdog.let_go("b", safe=True) is helped
    assert marker.exists() is helped
    report = json.loads(Path(spec.report).read_text(encoding="utf-8"))
    assert report["reason"] == "the program could not reach the safe state"
    assert (report["safe"], report["ended"]) == (helped, "")
    said = "all is in the safe state" if helped else "NOT SAFE: laser: no answer to 1 benches"
    assert said in capfd.readouterr().err


def test_real_bench_cannot_be_armed_when_it_has_no_watchdog(tmp_path: Path) -> None:
    with real_bench(server_table(), Paper(), tmp_path / "locks") as bench:
        with pytest.raises(WatchdogError, match="real instruments need a watchdog"):
            bench.safety.rearm("operator")
        with pytest.raises(SafetyError, match="has not been armed"):
            bench.safety.switch_on_laser("laser", 1e-3)
    table = server_table()
    table["safety"]["watchdog"] = False
    with real_bench(table, Paper(), tmp_path / "locks") as bench:
        bench.safety.rearm("operator")


def test_real_bench_has_light_when_its_watchdog_lives(tmp_path: Path, watchdog: Watchdog) -> None:
    paper = Paper()
    with real_bench(server_table(), paper, tmp_path / "locks", watchdog) as bench:
        bench.safety.rearm("operator")
        bench.safety.switch_on_laser("laser", 1e-3)
        bench.safety.check()
        assert paper.lit("laser") == 1e-3
    assert watchdog.pid is None


def test_armed_bench_goes_dark_and_stays_so_when_its_watchdog_is_killed(
    tmp_path: Path, spec: WatchdogSpec
) -> None:
    watchdog = Watchdog(spec, interval_s=0.05, timeout_s=1.0)
    paper, dark = Paper(), threading.Event()
    with real_bench(server_table(), paper, tmp_path / "locks", watchdog) as bench:
        bench.safety.rearm("operator")
        bench.safety.switch_on(LightPlan(power_w={"laser": 1e-3, "return_oscillator": 1e-3}))

        def look() -> None:
            if paper.lit("laser") == 0 and paper.lit("return_oscillator") == 0:
                dark.set()

        paper.after_call = look
        os.kill(_pid(watchdog), signal.SIGKILL)
        assert dark.wait(DEADLINE_S)
        with pytest.raises(SafetyError, match="latched in its safe state: the watchdog has ended"):
            bench.safety.switch_on_laser("laser", 1e-3)
        with pytest.raises(WatchdogError, match="has ended, allowed are 1 s: no light without it"):
            bench.safety.rearm("operator")
        assert bench.safety.is_latched


class _Dying:
    """A watchdog that answers so often and never again."""

    def __init__(self, answers: int) -> None:
        self._answers = answers

    def require(self) -> None:
        self._answers -= 1
        if self._answers < 0:
            raise WatchdogError("it does not answer")

    def alive(self, busy_s: float = 0.0) -> None: ...

    def set_light(self, on: bool) -> None: ...


def test_check_makes_the_bench_safe_when_the_watchdog_does_not_answer() -> None:
    paper = Paper()
    with paper_bench(server_table(), paper) as bench:
        bench.safety.rearm("operator")
        bench.safety.switch_on_laser("laser", 1e-3)
        bench.safety._guard = _Dying(1)
        bench.safety.check()
        assert paper.lit("laser") == 1e-3
        with pytest.raises(WatchdogError):
            bench.safety.check()
        assert paper.lit("laser") == 0
        assert bench.safety.is_latched
        # What is dark and latched needs nobody to watch over it.
        bench.safety.check()


def test_step_makes_the_bench_safe_when_the_watchdog_does_not_answer() -> None:
    paper = Paper()
    with paper_bench(server_table(), paper) as bench:
        bench.safety._guard = _Dying(3)
        bench.safety.rearm("operator")
        with pytest.raises(WatchdogError):
            bench.safety.switch_on_laser("laser", 1e-3)
        # It was on its way: the first power was set, then nobody watched any more.
        assert "laser._set_power" in paper.calls
        assert "laser._set_emission" in paper.calls
        assert bench.safety.is_latched
        assert bench.safety.is_safe()


def test_simulated_bench_honours_a_watchdog_that_it_is_given(watchdog: Watchdog) -> None:
    paper = Paper()
    bench = paper_bench(client_table(), paper)
    given = type(bench)(bench.file, bench.instruments, bench.clock, watchdog=watchdog)
    with pytest.raises(SafetyError, match="closed or not in the safe state"):
        given.safety.rearm("operator")
    with given:
        assert watchdog.pid is not None
        given.safety.rearm("operator")
    assert watchdog.pid is None


def test_bench_asks_its_watchdog_for_help_when_it_cannot_become_safe(
    tmp_path: Path, spec: WatchdogSpec, marker: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paper = Paper()
    bench = real_bench(server_table(), paper, tmp_path / "locks", Watchdog(spec, timeout_s=5.0))
    bench.open()
    paper.fail = {"laser._set_emission"}
    with pytest.raises(SafetyError) as caught:
        bench.close()
    text = str(caught.value)
    assert text.startswith("the bench is NOT safe, 1 instrument did not reach the safe state: lase")
    assert text.endswith("The watchdog tried too, and reached the safe state")
    # It claimed the laser as a real one would: the bench had let go of everything before.
    assert marker.exists()
    assert "could not reach the safe state" in capfd.readouterr().err


def test_every_use_of_an_instrument_is_a_sign_of_life(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(watchdog, "alive", lambda busy_s=0.0: seen.append("alive"))
    bench = real_bench(server_table(), Paper(), tmp_path / "locks", watchdog)
    for instrument in bench.instruments.values():
        with instrument:
            seen.clear()
            instrument.is_safe()
            assert seen == ["alive"]


def test_signs_of_life_come_from_steps_checks_and_instruments(tmp_path: Path) -> None:
    paper = Paper()
    table = server_table()
    table["safety"]["watchdog"] = False
    seen: list[str] = []

    class Listening:
        def require(self) -> None: ...

        def alive(self, busy_s: float = 0.0) -> None:
            seen.append("alive")

        def set_light(self, on: bool) -> None:
            seen.append(f"light {on}")

    with real_bench(table, paper, tmp_path / "locks") as bench:
        bench.safety._guard = Listening()
        bench.safety.rearm("operator")
        assert seen == []
        bench.safety.check()
        bench.safety.alive(5.0)
        assert seen == ["alive", "alive"]
        bench.safety.switch_on_laser("laser", 1e-3)
        assert seen.count("alive") > 5
        assert "light False" not in seen
        bench.safety.switch_off()
        assert seen[-1] == "light False"
        bench.safety.switch_on_laser("laser", 1e-3)
        bench.make_safe()
        assert seen[-1] == "light False"
