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


class TestPowerMeterContract(InstrumentContract):
    kind = PowerMeter
    implementations = POWER_METERS
    always_safe = True
    sets: ClassVar = {
        "set_wavelength": Setting(
            call=lambda i: i.set_wavelength(at(i.limits.wavelength_m, 0.25)),
            vendor="_set_wavelength",
            prepare=lambda i: i.set_wavelength(at(i.limits.wavelength_m, 0.75)),
        ),
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
        "wavelength above": lambda i: i.set_wavelength(i.limits.wavelength_m.highest * 1.001),
        "wavelength below": lambda i: i.set_wavelength(i.limits.wavelength_m.lowest * 0.999),
        "wavelength NaN": lambda i: i.set_wavelength(math.nan),
        "averaging NaN": lambda i: i.set_averaging(math.nan),
        "averaging infinite": lambda i: i.set_averaging(math.inf),
        "averaging negative": lambda i: i.set_averaging(-0.1),
    }
    rivals: ClassVar = (
        lambda i: i.set_wavelength(at(i.limits.wavelength_m, 0.25)),
        lambda i: i.set_wavelength(at(i.limits.wavelength_m, 0.75)),
    )

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
        wavelength_m = at(meter.limits.wavelength_m, fraction)
        meter.set_wavelength(wavelength_m)
        assert meter.wavelength_m() == pytest.approx(
            wavelength_m, rel=0, abs=meter.wavelength_tolerance_m
        )


@over(POWER_METERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_wavelength_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], PowerMeter], fraction: float
) -> None:
    with make() as meter:
        before_m = meter.wavelength_m()
        with pytest.raises(LimitError):
            meter.set_wavelength(at(meter.limits.wavelength_m, fraction))
        assert meter.wavelength_m() == before_m
