"""Signals become one interruption; a second one does not break off what the first began."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.unit.drivers.bench.paper_bench import Paper, paper_bench, server_table
from veilight.cli import main
from veilight.signals import Terminated, signals_as_interrupts

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers as in a program that was started from a terminal."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "error", "terminated"),
    [
        (signal.SIGINT, KeyboardInterrupt, False),
        (signal.SIGTERM, Terminated, True),
        (signal.SIGHUP, Terminated, True),
    ],
    ids=["int", "term", "hup"],
)
def test_first_signal_interrupts_and_the_others_are_acknowledged(
    number: signal.Signals,
    error: type[BaseException],
    terminated: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stopped: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            for other in HANDLED:
                signal.raise_signal(other)
            stopped.append("in order")

    with signals_as_interrupts() as interruption:
        with pytest.raises(error) as caught:
            work()
        assert type(caught.value) is error
        assert (interruption.signal, interruption.terminated) == (number, terminated)
    assert stopped == ["in order"]
    assert capfd.readouterr().err.count("veilight: already stopping, on the way to the safe") == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signals_that_are_ignored_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals_as_interrupts() as interruption:
        signal.raise_signal(signal.SIGHUP)
        assert not interruption.terminated
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_nothing_changes_outside_the_main_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        with signals_as_interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


@pytest.mark.parametrize("call", ["laser._set_emission", "attenuator._set_shutter", "laser._close"])
def test_bench_ends_in_the_dark_when_signals_keep_coming(call: str) -> None:
    paper = Paper()
    bench = paper_bench(server_table(), paper)

    def interrupt() -> None:
        if paper.calls[-1] == call:
            signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        with bench:
            bench.safety.rearm("operator")
            paper.after_call = interrupt
            bench.safety.switch_on_laser("laser", 1e-3)

    with signals_as_interrupts(), pytest.raises(Terminated):
        work()
    assert paper.lit("laser") == 0
    assert not any(instrument.is_open for instrument in bench.instruments.values())


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["int", "term"],
)
def test_command_says_how_it_was_ended(
    number: signal.Signals,
    status: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Through the package that reads the command line, which has a way of its own with Ctrl-C.
    def run(*_: object) -> int:
        signal.raise_signal(number)
        return 0

    monkeypatch.setattr("veilight.cli._bench.run_bench_show", run)
    assert main(["bench", "show", os.devnull]) == status
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        f"veilight: {word}; nothing is left half-written"
    )
