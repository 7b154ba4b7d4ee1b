"""Steps that Ctrl-C waits for."""

import signal
import threading

import pytest

from protocol.uninterrupted import uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_has_its_effect_at_the_end_when_it_comes_inside(number: int) -> None:
    came: list[str] = []
    before = signal.signal(number, lambda *_: came.append("handled"))
    try:
        with uninterrupted():
            signal.raise_signal(number)
            came.append("done")
        assert came == ["done", "handled"]
        signal.raise_signal(number)
        assert came == ["done", "handled", "handled"]
    finally:
        signal.signal(number, before)


def test_interrupt_is_raised_at_the_end_when_it_comes_inside() -> None:
    done = []

    def step() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    # A program that was started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            step()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done


def test_error_inside_goes_on_when_no_signal_comes() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), uninterrupted():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_stay_when_it_is_another_thread() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def step() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert seen == [before]
