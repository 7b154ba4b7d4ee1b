"""Making an instrument safe in a hurry: a motor is not waited for, a pump is."""

from typing import Any

import pytest

from drivers.errors import AnswerError, ReadbackError, SafetyError
from drivers.instruments import Laser, OpticalAmplifier
from tests.contract.instruments.paper import PaperLaser, PaperOpticalAmplifier

HURRY_S = 0.025
NEEDS_S = 0.08


def slow(instrument: Laser | OpticalAmplifier) -> Any:
    """It reads back as safe only a while after the order."""
    clock = instrument._clock
    ordered_s: list[float] = []
    make_safe = instrument._make_safe

    def order() -> None:
        ordered_s.append(clock.now())
        make_safe()

    vars(instrument)["_make_safe"] = order
    vars(instrument)["_is_safe"] = lambda: clock.now() - ordered_s[0] >= NEEDS_S
    return clock


def test_slow_instrument_is_left_after_the_hurry_and_waited_for_at_leisure() -> None:
    with PaperLaser() as laser:
        clock = slow(laser)
        begin_s = clock.now()
        with pytest.raises(SafetyError, match=rf"not the safe state {HURRY_S} s after the order"):
            laser.make_safe(HURRY_S)
        assert clock.now() - begin_s == pytest.approx(HURRY_S, abs=2e-3)
        laser.make_safe()
        assert clock.now() - begin_s == pytest.approx(NEEDS_S, abs=2e-3)


def test_pump_is_waited_for_when_there_is_a_hurry() -> None:
    with PaperOpticalAmplifier() as amplifier:
        clock = slow(amplifier)
        begin_s = clock.now()
        amplifier.make_safe(HURRY_S)
        assert clock.now() - begin_s == pytest.approx(NEEDS_S, abs=2e-3)


def test_order_is_given_once_when_the_hurry_is_over_and_twice_when_it_is_not() -> None:
    with PaperLaser() as laser:
        orders: list[float] = []
        clock = laser._clock
        make_safe = laser._make_safe

        def garbled(after_s: float) -> None:
            orders.append(after_s)
            clock.sleep(after_s)
            raise AnswerError("rubbish")

        vars(laser)["_make_safe"] = lambda: garbled(2 * HURRY_S)
        with pytest.raises(SafetyError, match="rubbish"):
            laser.make_safe(HURRY_S)
        assert len(orders) == 1
        vars(laser)["_make_safe"] = lambda: garbled(0.0)
        with pytest.raises(SafetyError, match="rubbish"):
            laser.make_safe(HURRY_S)
        assert len(orders) == 3
        vars(laser)["_make_safe"] = make_safe


def test_attempt_after_an_error_is_short_when_the_instrument_is_one_of_several() -> None:
    with PaperLaser() as laser:
        clock = slow(laser)
        laser.hurry_after_errors(HURRY_S)
        vars(laser)["_set_power"] = lambda _: 1 / 0
        begin_s = clock.now()
        with pytest.raises(ZeroDivisionError) as caught:
            laser.set_power(laser.limits.power_w.highest)
        assert clock.now() - begin_s == pytest.approx(HURRY_S, abs=2e-3)
        assert "its readback is not the safe state" in caught.value.__notes__[0]
        clock.sleep(NEEDS_S)


def test_order_that_was_heard_is_no_forgotten_setting_when_the_link_is_cleaned_behind_it() -> None:
    with PaperLaser() as laser:
        laser.set_emission(True)
        ordered: list[bool] = []
        make_safe = laser._make_safe

        def order() -> None:
            ordered.append(True)
            make_safe()
            laser._restore()

        vars(laser)["_make_safe"] = order
        laser.make_safe()
        assert len(ordered) == 1
        vars(laser)["_make_safe"] = make_safe
        laser.set_emission(True)
        make_safe()
        with pytest.raises(ReadbackError, match="had forgotten emission after a reconnection"):
            laser._restore()
