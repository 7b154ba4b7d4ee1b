"""What every power meter must do."""

import math
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given, settings

from drivers.errors import InstrumentError, LimitError
from drivers.instruments import PowerMeter
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import POWER_METERS
from tests.contract.instruments.scalars import Scalar

WAVELENGTH = Scalar(
    put=lambda i, value: i.set_wavelength(value),
    take=lambda i: i.wavelength_m(),
    limits=lambda i: i.limits.wavelength_m,
    tolerance=lambda i, _: i.wavelength_tolerance_m,
    vendor="_set_wavelength",
)


class TestPowerMeterContract(InstrumentContract):
    kind = PowerMeter
    implementations = POWER_METERS
    always_safe = True
    sets: ClassVar = {
        "set_wavelength": WAVELENGTH.setting(),
        "set_averaging": Setting(
            call=lambda i: i.set_averaging(0.01),
            vendor="_set_averaging",
            prepare=lambda i: i.set_averaging(0.1),
        ),
        "zero": Setting(call=lambda i: i.zero(), vendor="_zero", reads_back=False),
    }
    queries: ClassVar = {
        "wavelength_m": lambda i: i.wavelength_m(),
        "power_w": lambda i: i.power_w(),
    }
    refused: ClassVar = {
        **WAVELENGTH.refused("wavelength"),
        "averaging NaN": lambda i: i.set_averaging(math.nan),
        "averaging infinite": lambda i: i.set_averaging(math.inf),
        "averaging negative": lambda i: i.set_averaging(-0.1),
    }
    rivals: ClassVar = WAVELENGTH.rivals()

    def activate(self, instrument: PowerMeter) -> None:
        return

    def state(self, instrument: PowerMeter) -> object:
        return instrument.wavelength_m()

    def test_power_is_given_when_in_range(self, instrument: PowerMeter) -> None:
        for fraction in (0.0, 0.5, 1.0):
            power_w = at(instrument.limits.power_w, fraction)
            replace(instrument, "_get_power", lambda power_w=power_w: power_w)
            assert instrument.power_w() == power_w

    def test_power_is_given_when_noise_makes_it_negative(self, instrument: PowerMeter) -> None:
        replace(instrument, "_get_power", lambda: -1e-12)
        assert instrument.power_w() == -1e-12

    @pytest.mark.parametrize("factor", [1.001, math.inf])
    def test_power_names_reading_and_limit_when_above_range(
        self, instrument: PowerMeter, factor: float
    ) -> None:
        highest_w = instrument.limits.power_w.highest
        replace(instrument, "_get_power", lambda: highest_w * factor)
        with pytest.raises(LimitError) as raised:
            instrument.power_w()
        assert f"{highest_w * factor} W" in str(raised.value)
        assert f"{highest_w} W" in str(raised.value)

    @pytest.mark.parametrize("reading_w", [math.nan, -math.inf])
    def test_power_is_an_error_when_the_reading_is_no_number(
        self, instrument: PowerMeter, reading_w: float
    ) -> None:
        replace(instrument, "_get_power", lambda: reading_w)
        with pytest.raises(InstrumentError, match="not a finite number"):
            instrument.power_w()


@over(POWER_METERS)
@settings(max_examples=25, deadline=None)
@given(fraction=INSIDE)
def test_wavelength_reads_back_when_anywhere_in_the_limits(
    make: Callable[[], PowerMeter], fraction: float
) -> None:
    with make() as meter:
        WAVELENGTH.check_reads_back(meter, fraction)


@over(POWER_METERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_wavelength_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], PowerMeter], fraction: float
) -> None:
    WAVELENGTH.check_refusal_keeps(make, fraction)
