"""What every phase driver must do."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.instruments import PhaseDriver
from tests.contract.instruments.common import OUTSIDE, at, over
from tests.contract.instruments.implementations import PHASE_DRIVERS
from tests.contract.instruments.vectors import (
    Vector,
    VectorContract,
    check_reads_back,
    check_refusal_keeps,
)

VOLTAGES = Vector(
    quantity="volts",
    set_="set_voltages",
    get="voltages",
    limits=lambda driver: driver.limits.volts,
    tolerance=lambda driver: driver.voltage_tolerance_v,
)


class TestPhaseDriverContract(VectorContract):
    kind = PhaseDriver
    implementations = PHASE_DRIVERS
    vector = VOLTAGES
    sets: ClassVar = VOLTAGES.sets()
    queries: ClassVar = {"voltages": VOLTAGES.take}
    refused: ClassVar = VOLTAGES.refused()
    rivals: ClassVar = VOLTAGES.rivals()

    def test_voltages_are_zero_when_opened(self, instrument: PhaseDriver) -> None:
        assert np.all(np.abs(instrument.voltages()) <= instrument.voltage_tolerance_v)

    def test_driver_is_not_safe_when_a_single_channel_is_up(self, instrument: PhaseDriver) -> None:
        volts = np.zeros(instrument.limits.channels)
        volts[-1] = at(instrument.limits.volts, 0.9)
        instrument.set_voltages(volts)
        assert not instrument.is_safe()


@over(PHASE_DRIVERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_voltages_read_back_when_anywhere_in_the_limits(
    make: Callable[[], PhaseDriver], data: st.DataObject
) -> None:
    check_reads_back(VOLTAGES, make, data)


@over(PHASE_DRIVERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_voltages_are_refused_and_kept_when_one_is_outside_the_limits(
    make: Callable[[], PhaseDriver], fraction: float
) -> None:
    check_refusal_keeps(VOLTAGES, make, fraction)
