"""What every laser must do."""

import math
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given, settings

from drivers.errors import InstrumentError, LimitError
from drivers.instruments import Laser
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import LASERS
from tests.contract.instruments.scalars import Scalar

POWER = Scalar(
    put=lambda i, value: i.set_power(value),
    take=lambda i: i.power_w(),
    limits=lambda i: i.limits.power_w,
    tolerance=lambda i, value: i.power_tolerance * value,
    vendor="_set_power",
)
WAVELENGTH = Scalar(
    put=lambda i, value: i.set_wavelength(value),
    take=lambda i: i.wavelength_m(),
    limits=lambda i: i.limits.wavelength_m,
    tolerance=lambda i, _: i.wavelength_tolerance_m,
    vendor="_set_wavelength",
)


class TestLaserContract(InstrumentContract):
    kind = Laser
    implementations = LASERS
    sets: ClassVar = {
        "set_power": POWER.setting(),
        "set_wavelength": WAVELENGTH.setting(),
        "set_emission": Setting(call=lambda i: i.set_emission(True), vendor="_set_emission"),
    }
    queries: ClassVar = {
        "power_w": lambda i: i.power_w(),
        "wavelength_m": lambda i: i.wavelength_m(),
        "emission": lambda i: i.emission(),
        "interlock_closed": lambda i: i.interlock_closed(),
        "is_settled": lambda i: i.is_settled(),
        "wait_settled": lambda i: i.wait_settled(1.0),
    }
    refused: ClassVar = {
        **POWER.refused("power"),
        **WAVELENGTH.refused("wavelength"),
        "timeout NaN": lambda i: i.wait_settled(math.nan),
        "timeout infinite": lambda i: i.wait_settled(math.inf),
        "timeout negative": lambda i: i.wait_settled(-1.0),
    }
    rivals: ClassVar = POWER.rivals()

    def activate(self, instrument: Laser) -> None:
        instrument.set_emission(True)

    def activate_for(self, instrument: Laser, setting: Setting) -> None:
        super().activate_for(instrument, setting)
        instrument.set_emission(True)

    def state(self, instrument: Laser) -> object:
        return instrument.power_w(), instrument.wavelength_m(), instrument.emission()

    def test_emission_stays_on_when_a_limit_refuses(self, instrument: Laser) -> None:
        instrument.set_emission(True)
        with pytest.raises(LimitError, match="NaN"):
            instrument.set_power(math.nan)
        assert instrument.emission()

    def test_emission_follows_when_switched(self, instrument: Laser) -> None:
        for on in (True, False, True):
            instrument.set_emission(on)
            assert instrument.emission() is on

    def test_wait_settled_returns_when_settled_in_time(self, instrument: Laser) -> None:
        answers = iter([False, False, True])
        replace(instrument, "_is_settled", lambda: next(answers))
        instrument.wait_settled(1.0)
        assert next(answers, None) is None

    def test_wait_settled_gives_up_when_the_deadline_passes(self, instrument: Laser) -> None:
        replace(instrument, "_is_settled", lambda: False)
        before_s = instrument._clock.now()
        with pytest.raises(InstrumentError, match=r"settling.*within 0\.5 s"):
            instrument.wait_settled(0.5)
        assert instrument._clock.now() - before_s >= 0.5 * (1 - 1e-9)


@over(LASERS)
@settings(max_examples=25, deadline=None)
@given(power=INSIDE, wavelength=INSIDE)
def test_set_points_read_back_when_anywhere_in_the_limits(
    make: Callable[[], Laser], power: float, wavelength: float
) -> None:
    with make() as laser:
        power_w = at(laser.limits.power_w, power)
        wavelength_m = at(laser.limits.wavelength_m, wavelength)
        laser.set_power(power_w)
        laser.set_wavelength(wavelength_m)
        assert laser.power_w() == pytest.approx(power_w, rel=laser.power_tolerance)
        assert laser.wavelength_m() == pytest.approx(
            wavelength_m, rel=0, abs=laser.wavelength_tolerance_m
        )
        assert not laser.emission()


@over(LASERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_power_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], Laser], fraction: float
) -> None:
    POWER.check_refusal_keeps(make, fraction)
