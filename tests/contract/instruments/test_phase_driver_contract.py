"""What every phase driver must do."""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import LimitError, ReadbackError
from drivers.instruments import PhaseDriver
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import PHASE_DRIVERS


def level(driver: PhaseDriver, fraction: float) -> NDArray[np.float64]:
    """One voltage on all channels."""
    return np.full(driver.limits.channels, at(driver.limits.volts, fraction))


def with_last(driver: PhaseDriver, volts: float) -> NDArray[np.float64]:
    """Good voltages but for the last."""
    values = level(driver, 0.5)
    values[-1] = volts
    return values


class TestPhaseDriverContract(InstrumentContract):
    kind = PhaseDriver
    implementations = PHASE_DRIVERS
    sets: ClassVar = {
        "set_voltages": Setting(
            call=lambda i: i.set_voltages(level(i, 0.75)),
            vendor="_set_voltages",
            prepare=lambda i: i.set_voltages(level(i, 0.9)),
        )
    }
    queries: ClassVar = {"voltages": lambda i: i.voltages()}
    refused: ClassVar = {
        "one above": lambda i: i.set_voltages(with_last(i, i.limits.volts.highest + 0.001)),
        "one below": lambda i: i.set_voltages(with_last(i, i.limits.volts.lowest - 0.001)),
        "one NaN": lambda i: i.set_voltages(with_last(i, math.nan)),
        "one infinite": lambda i: i.set_voltages(with_last(i, -math.inf)),
        "too short": lambda i: i.set_voltages(np.zeros(i.limits.channels - 1)),
        "too long": lambda i: i.set_voltages(np.zeros(i.limits.channels + 1)),
        "two axes": lambda i: i.set_voltages(np.zeros((1, i.limits.channels))),
        "float32": lambda i: i.set_voltages(np.zeros(i.limits.channels, dtype=np.float32)),
    }
    rivals: ClassVar = (
        lambda i: i.set_voltages(level(i, 0.75)),
        lambda i: i.set_voltages(level(i, 0.9)),
    )

    def activate(self, instrument: PhaseDriver) -> None:
        instrument.set_voltages(level(instrument, 0.9))

    def state(self, instrument: PhaseDriver) -> object:
        return instrument.voltages().tolist()

    def test_voltages_are_zero_when_opened(self, instrument: PhaseDriver) -> None:
        assert instrument.voltages().shape == (instrument.limits.channels,)
        assert np.all(np.abs(instrument.voltages()) <= instrument.voltage_tolerance_v)

    def test_driver_is_not_safe_when_a_single_channel_is_up(self, instrument: PhaseDriver) -> None:
        volts = np.zeros(instrument.limits.channels)
        volts[-1] = at(instrument.limits.volts, 0.9)
        instrument.set_voltages(volts)
        assert not instrument.is_safe()

    def test_voltages_stay_when_the_caller_changes_its_array(self, instrument: PhaseDriver) -> None:
        volts = level(instrument, 0.75)
        instrument.set_voltages(volts)
        volts[:] = math.nan
        np.testing.assert_allclose(
            instrument.voltages(), level(instrument, 0.75), atol=instrument.voltage_tolerance_v
        )

    def test_refusal_names_the_channel_when_one_is_nan(self, instrument: PhaseDriver) -> None:
        last = instrument.limits.channels - 1
        with pytest.raises(LimitError, match=rf"volts\[{last}\] is NaN"):
            instrument.set_voltages(with_last(instrument, math.nan))

    def test_readback_is_refused_when_it_has_another_number_of_channels(
        self, instrument: PhaseDriver
    ) -> None:
        volts = level(instrument, 0.75)
        replace(instrument, "_get_voltages", lambda: volts[1:])
        with pytest.raises(ReadbackError, match="disagree on the channels"):
            instrument.set_voltages(volts)
        del vars(instrument)["_get_voltages"]


@over(PHASE_DRIVERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_voltages_read_back_when_anywhere_in_the_limits(
    make: Callable[[], PhaseDriver], data: st.DataObject
) -> None:
    with make() as driver:
        channels = driver.limits.channels
        fractions = data.draw(st.lists(INSIDE, min_size=channels, max_size=channels))
        volts = np.array([at(driver.limits.volts, fraction) for fraction in fractions])
        driver.set_voltages(volts)
        np.testing.assert_allclose(
            driver.voltages(), volts, rtol=0, atol=driver.voltage_tolerance_v
        )


@over(PHASE_DRIVERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_voltages_are_refused_and_kept_when_one_is_outside_the_limits(
    make: Callable[[], PhaseDriver], fraction: float
) -> None:
    with make() as driver:
        before = driver.voltages()
        with pytest.raises(LimitError):
            driver.set_voltages(with_last(driver, at(driver.limits.volts, fraction)))
        np.testing.assert_array_equal(driver.voltages(), before)
