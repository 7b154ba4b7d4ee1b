"""What an instrument does when something goes wrong: safe first, the first error on top."""

import logging
import time
from typing import NoReturn

import pytest

from drivers.errors import InstrumentError, ReadbackError, SafetyError
from drivers.instruments import Clock, Identity, Instrument, SystemClock
from tests.contract.instruments.paper import (
    BrokenLaser,
    DeafLaser,
    PaperLaser,
    StuckLaser,
)
from tests.wire.scripted import ScriptedClock


class Unplugged(PaperLaser):
    """Cannot be connected to."""

    def _open(self) -> Identity:
        raise ConnectionError("nobody there")


class Clinging(PaperLaser):
    """Cannot be disconnected from."""

    def _close(self) -> None:
        super()._close()
        raise OSError("still busy")


class Interrupted(PaperLaser):
    """Somebody presses Ctrl-C in the middle of a set."""

    def _set_power(self, power_w: float) -> None:
        raise KeyboardInterrupt


class InterruptedWhileMadeSafe(PaperLaser):
    """Somebody presses Ctrl-C while the laser is being made safe."""

    def _make_safe(self) -> None:
        raise KeyboardInterrupt


class Slow(PaperLaser):
    """Needs some looks until it reads back as safe."""

    looks = 3

    def _is_safe(self) -> bool:
        self.looks -= 1
        return self.looks <= 0 and super()._is_safe()


class StoppedClock:
    """A clock whose time never passes."""

    def now(self) -> float:
        return 7.0

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0


class OversleepingClock(ScriptedClock):
    """A clock on which every sleep takes ten times as long as asked."""

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        super().sleep(10 * duration_s)


class AlwaysSettling(PaperLaser):
    """Never settles."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("laser")
        self._clock = clock

    def _is_settled(self) -> bool:
        return False


def test_set_raises_readback_error_and_emission_is_off_when_the_laser_ignores_it() -> None:
    with DeafLaser("server laser") as laser:
        laser.set_emission(True)
        with pytest.raises(ReadbackError) as raised:
            laser.set_power(15e-3)
        assert str(raised.value) == (
            "server laser: power was set to 0.015 W but reads back as 0.01 W, more than 0.0003 W "
            "away; the setting was not applied"
        )
        assert not laser.emission()


def test_set_is_accepted_when_the_readback_is_within_the_tolerance() -> None:
    with DeafLaser("server laser") as laser:
        laser.set_power(10e-3 / (1 - 0.9 * laser.power_tolerance))
        with pytest.raises(ReadbackError):
            laser.set_power(10e-3 / (1 - 1.1 * laser.power_tolerance))


def test_set_raises_readback_error_when_the_readback_is_nan() -> None:
    with PaperLaser() as laser:
        vars(laser)["_get_power"] = lambda: float("nan")
        with pytest.raises(ReadbackError, match="reads back as nan W"):
            laser.set_power(10e-3)


def test_set_passes_the_error_on_and_emission_is_off_when_the_link_fails() -> None:
    with BrokenLaser() as laser:
        laser.set_emission(True)
        with pytest.raises(TimeoutError, match="no answer within 1 s"):
            laser.set_power(10e-3)
        assert not laser.emission()


def test_set_makes_safe_when_interrupted() -> None:
    with Interrupted() as laser:
        laser.set_emission(True)
        with pytest.raises(KeyboardInterrupt):
            laser.set_power(10e-3)
        assert not laser.emission()


def test_set_notes_and_logs_the_failure_when_it_cannot_be_made_safe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    laser = StuckLaser("server laser")
    laser.open()
    laser.set_emission(True)
    with pytest.raises(ReadbackError, match="emission was set to False") as raised:
        laser.set_emission(False)
    assert any("not the safe state" in note for note in raised.value.__notes__)
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.ERROR, logging.CRITICAL]
    assert all("server laser" in record.getMessage() for record in caplog.records)
    with pytest.raises(SafetyError):
        laser.close()
    assert not laser.connected


def test_make_safe_tells_what_to_do_when_the_laser_goes_on_emitting() -> None:
    laser = StuckLaser("server laser")
    laser.open()
    laser.set_emission(True)
    with pytest.raises(SafetyError, match=r"server laser: .* switch it off by hand"):
        laser.make_safe()
    assert laser.is_open
    assert not laser.is_safe()


def test_with_passes_the_error_of_the_body_on_with_a_note_when_closing_fails() -> None:
    laser = StuckLaser()
    error = RuntimeError("in the body")

    def body() -> NoReturn:
        with laser:
            laser.set_emission(True)
            raise error

    with pytest.raises(RuntimeError) as raised:
        body()
    assert raised.value is error
    assert any("closing failed too" in note for note in error.__notes__)
    assert not laser.connected


def test_with_raises_safety_error_when_closing_fails_after_a_good_body() -> None:
    laser = StuckLaser()

    def body() -> None:
        with laser:
            laser.set_emission(True)

    with pytest.raises(SafetyError):
        body()
    assert not laser.is_open


def test_open_passes_the_error_on_and_stays_closed_when_nobody_answers() -> None:
    laser = Unplugged()
    with pytest.raises(ConnectionError, match="nobody there"):
        laser.open()
    assert not laser.is_open
    laser.close()


def test_close_raises_but_is_closed_when_disconnecting_fails() -> None:
    laser = Clinging()
    laser.open()
    laser.set_emission(True)
    with pytest.raises(InstrumentError, match="is safe, but disconnecting failed") as raised:
        laser.close()
    assert isinstance(raised.value.__cause__, OSError)
    assert not isinstance(raised.value, SafetyError)
    assert not laser.is_open
    assert not laser.emitting


@pytest.mark.parametrize("opened", [False, True], ids=["open", "close"])
def test_link_is_given_back_when_making_safe_is_interrupted(opened: bool) -> None:
    laser = InterruptedWhileMadeSafe()
    if opened:
        vars(laser)["_make_safe"] = lambda: laser._set_emission(False)
        laser.open()
        del vars(laser)["_make_safe"]
    with pytest.raises(KeyboardInterrupt):
        laser.close() if opened else laser.open()
    assert not laser.is_open
    assert not laser.connected


def test_safety_error_of_close_has_a_note_when_disconnecting_fails_too() -> None:
    laser = Clinging()
    laser.open()
    vars(laser)["_is_safe"] = lambda: False
    with pytest.raises(SafetyError) as raised:
        laser.close()
    assert any("still busy" in note for note in raised.value.__notes__)


def test_make_safe_waits_for_the_readback_when_it_comes_within_the_deadline() -> None:
    clock = ScriptedClock()
    laser = Slow()
    vars(laser)["_clock"] = clock
    with laser:
        assert clock.time_s == pytest.approx(2 * laser.poll_interval_s)


def test_make_safe_gives_up_when_the_readback_comes_after_the_deadline() -> None:
    clock = ScriptedClock()
    laser = Slow()
    laser.looks = 1000
    vars(laser)["_clock"] = clock
    with pytest.raises(SafetyError):
        laser.open()
    assert clock.time_s == pytest.approx(laser.safe_deadline_s)


def test_wait_gives_up_when_the_clock_stands_still() -> None:
    laser = AlwaysSettling(StoppedClock())
    with laser, pytest.raises(InstrumentError, match="did not happen within"):
        laser.wait_settled(0.1)


def test_wait_gives_up_at_the_deadline_when_sleeping_takes_too_long() -> None:
    clock = OversleepingClock()
    laser = AlwaysSettling(clock)
    with laser, pytest.raises(InstrumentError, match="did not happen within"):
        laser.wait_settled(0.1)
    assert 0.1 <= clock.time_s < 0.1 + 10 * laser.poll_interval_s * 1.001


def test_wait_looks_again_at_the_deadline_when_it_comes_before_the_next_look() -> None:
    clock = ScriptedClock()
    laser = PaperLaser()
    vars(laser)["_clock"] = clock
    timeout_s = 0.4 * laser.poll_interval_s
    vars(laser)["_is_settled"] = lambda: clock.time_s >= timeout_s
    with laser:
        laser.wait_settled(timeout_s)
    assert clock.time_s == timeout_s


def test_every_step_is_taken_and_the_first_failure_raised_when_steps_fail() -> None:
    taken: list[int] = []

    def step(index: int) -> None:
        taken.append(index)
        if index % 2:
            raise OSError(f"step {index}")

    with pytest.raises(OSError, match="step 1") as raised:
        Instrument._attempt_all([lambda i=index: step(i) for index in range(4)])  # type: ignore[misc]
    assert taken == [0, 1, 2, 3]
    assert raised.value.__notes__ == ["another step failed too: step 3"]


def test_identity_is_one_line_when_asked_for_text() -> None:
    identity = Identity(maker="Maker", model="M 1", serial="007", firmware="1.2")
    assert identity.text == "Maker M 1 007 1.2"


def test_system_clock_follows_the_monotonic_clock_when_asked() -> None:
    clock = SystemClock()
    before_s = time.monotonic()
    clock.sleep(0.0)
    assert before_s <= clock.now() <= time.monotonic()


def test_instrument_uses_the_system_clock_when_none_is_given() -> None:
    limits = PaperLaser().limits

    class Timed(PaperLaser):
        def __init__(self) -> None:
            super(PaperLaser, self).__init__("laser", limits=limits)

    assert isinstance(Timed()._clock, SystemClock)
