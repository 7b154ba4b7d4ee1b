"""What every bias controller must do."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given, settings

from drivers.errors import InstrumentError
from drivers.instruments import BiasController, BiasPoint
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.hardware import only_hardware
from tests.contract.instruments.implementations import BIAS_CONTROLLERS
from tests.contract.instruments.scalars import Scalar

VOLTAGE = Scalar(
    put=lambda i, value: i.set_voltage(0, value),
    take=lambda i: i.voltage(0),
    limits=lambda i: i.limits.volts,
    tolerance=lambda i, _: i.voltage_tolerance_v,
    vendor="_set_voltage",
    fractions=(0.7, 0.9),
)


def lock(controller: BiasController) -> None:
    """Lock channel 0 and wait until it holds."""
    controller.lock(0, BiasPoint.NULL)
    for _ in range(1000):
        if controller.is_locked(0):
            return
        controller._clock.sleep(0.01)
    if only_hardware():
        pytest.skip("channel 0 does not lock: let light into its modulator")
    raise AssertionError("channel 0 did not lock within 10 s")


class TestBiasControllerContract(InstrumentContract):
    kind = BiasController
    implementations = BIAS_CONTROLLERS
    sets: ClassVar = {
        "set_voltage": VOLTAGE.setting(),
        "lock": Setting(
            call=lambda i: i.lock(0, BiasPoint.NULL), vendor="_lock_to", reads_back=False
        ),
        "unlock": Setting(call=lambda i: i.unlock(0), vendor="_unlock", prepare=lock),
    }
    queries: ClassVar = {
        "voltage": lambda i: i.voltage(0),
        "is_locked": lambda i: i.is_locked(0),
    }
    refused: ClassVar = {
        **VOLTAGE.refused(),
        "no channel to set": lambda i: i.set_voltage(i.limits.channels, 0.0),
        "no channel to read": lambda i: i.voltage(-1),
        "no channel to lock": lambda i: i.lock(i.limits.channels, BiasPoint.NULL),
        "no channel to ask": lambda i: i.is_locked(-1),
        "no channel to unlock": lambda i: i.unlock(i.limits.channels),
    }
    rivals: ClassVar = VOLTAGE.rivals()

    def activate(self, instrument: BiasController) -> None:
        instrument.set_voltage(0, at(instrument.limits.volts, 0.9))

    def state(self, instrument: BiasController) -> object:
        channels = range(instrument.limits.channels)
        return [(instrument.voltage(c), instrument.is_locked(c)) for c in channels]

    def test_all_channels_are_unlocked_at_zero_when_opened(
        self, instrument: BiasController
    ) -> None:
        for channel in range(instrument.limits.channels):
            assert abs(instrument.voltage(channel)) <= instrument.voltage_tolerance_v
            assert not instrument.is_locked(channel)

    def test_controller_is_not_safe_when_any_single_channel_is_up(
        self, instrument: BiasController
    ) -> None:
        for channel in range(instrument.limits.channels):
            instrument.make_safe()
            instrument.set_voltage(channel, at(instrument.limits.volts, 0.9))
            assert not instrument.is_safe()

    def test_controller_is_not_safe_when_locked_and_is_made_so(
        self, instrument: BiasController
    ) -> None:
        lock(instrument)
        assert not instrument.is_safe()
        instrument.make_safe()
        assert not instrument.is_locked(0)

    def test_controller_is_not_safe_when_a_loop_happens_to_hold_zero_volts(
        self, instrument: BiasController
    ) -> None:
        replace(instrument, "_is_locked", lambda channel: channel == 0)
        assert not instrument.is_safe()
        del vars(instrument)["_is_locked"]

    def test_voltage_is_refused_and_not_sent_when_a_loop_holds_the_channel(
        self, instrument: BiasController
    ) -> None:
        instrument.lock(0, BiasPoint.NULL)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"unlock\(0\) first"):
            instrument.set_voltage(0, 0.0)
        assert called == []

    def test_voltage_can_be_set_when_unlocked_again(self, instrument: BiasController) -> None:
        lock(instrument)
        instrument.unlock(0)
        volts = at(instrument.limits.volts, 0.7)
        instrument.set_voltage(0, volts)
        assert instrument.voltage(0) == pytest.approx(volts, abs=instrument.voltage_tolerance_v)

    def test_voltage_can_be_set_when_made_safe_after_a_lock(
        self, instrument: BiasController
    ) -> None:
        lock(instrument)
        instrument.make_safe()
        instrument.set_voltage(0, at(instrument.limits.volts, 0.7))
        assert not instrument.is_locked(0)

    def test_voltage_stays_near_where_it_was_when_unlocked(
        self, instrument: BiasController
    ) -> None:
        lock(instrument)
        held_v = instrument.voltage(0)
        instrument.unlock(0)
        assert instrument.voltage(0) == pytest.approx(held_v, abs=0.1)


@over(BIAS_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(fraction=INSIDE)
def test_voltage_reads_back_when_anywhere_in_the_limits(
    make: Callable[[], BiasController], fraction: float
) -> None:
    with make() as controller:
        VOLTAGE.check_reads_back(controller, fraction)


@over(BIAS_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_voltage_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], BiasController], fraction: float
) -> None:
    VOLTAGE.check_refusal_keeps(make, fraction)
