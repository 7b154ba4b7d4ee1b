"""Signals on the way to the safe state: kept, delivered afterwards, once."""

import signal
import threading
from collections.abc import Iterator

import pytest

from drivers.bench.shield import uninterrupted
from drivers.errors import SafetyError
from tests.unit.drivers.bench.paper_bench import Paper, paper_bench, server_table


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers as in a program that listens to Ctrl-C alone."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_uninterrupted_delivers_a_signal_when_the_work_is_done() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted("work"):
            signal.raise_signal(signal.SIGINT)
            done.append("first")
            signal.raise_signal(signal.SIGINT)
            done.append("second")
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["first", "second"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_uninterrupted_waits_for_the_outermost_work() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted("outer"):
            with uninterrupted("inner"):
                signal.raise_signal(signal.SIGINT)
            done.append("between")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["between"]


def test_uninterrupted_lets_the_error_of_the_work_go_first() -> None:
    def work() -> None:
        with uninterrupted("work"):
            signal.raise_signal(signal.SIGINT)
            raise SafetyError("not safe")

    with pytest.raises(SafetyError, match="not safe"):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_uninterrupted_keeps_only_signals_that_python_handles() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with uninterrupted("work"):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.raise_signal(signal.SIGTERM)


def test_uninterrupted_changes_nothing_outside_the_main_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        with uninterrupted("work"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_make_safe_reads_everything_back_when_signals_come_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paper = Paper()
    take, asked = paper.take, set()

    def interrupt(role: str, call: str, key: str, default: object) -> object:
        asked.add(role)
        signal.raise_signal(signal.SIGINT)
        return take(role, call, key, default)

    with paper_bench(server_table(), paper) as bench:
        bench.safety.rearm("operator")
        bench.safety.switch_on_laser("laser", 1e-3)
        paper.calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(paper, "take", interrupt)
            with pytest.raises(KeyboardInterrupt):
                bench.make_safe()
        assert {"laser", "return_oscillator", "attenuator", "weight_bias"} <= asked
        # Nothing was broken off, so nothing had to be done again.
        assert paper.calls.count("laser._set_emission") == 1
        assert bench.safety.is_safe()
        assert bench.safety.is_latched


@pytest.mark.parametrize("call", ["attenuator._set_shutter", "laser._close", "laser._set_emission"])
def test_bench_closes_everything_when_signals_come_at_any_time_meanwhile(call: str) -> None:
    paper = Paper()
    bench = paper_bench(server_table(), paper)
    count = 0

    def interrupt() -> None:
        nonlocal count
        if paper.calls[-1] == call:
            count += 1
            signal.raise_signal(signal.SIGINT)

    bench.open()
    bench.safety.rearm("operator")
    bench.safety.switch_on_laser("laser", 1e-3)
    paper.after_call = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.close()
    assert count > 0
    assert paper.lit("laser") == 0
    assert not any(instrument.is_open for instrument in bench.instruments.values())
    assert sum(name.endswith("._close") for name in paper.calls) == len(bench.instruments)
