"""What every attenuator must do."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given, settings

from drivers.errors import SafetyError
from drivers.instruments import Attenuator
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    over,
    replace,
)
from tests.contract.instruments.implementations import ATTENUATORS
from tests.contract.instruments.scalars import Scalar

ATTENUATION = Scalar(
    put=lambda i, value: i.set_attenuation_db(value),
    take=lambda i: i.attenuation_db(),
    limits=lambda i: i.limits.attenuation_db,
    tolerance=lambda i, _: i.attenuation_tolerance_db,
    vendor="_set_attenuation_db",
)


class TestAttenuatorContract(InstrumentContract):
    kind = Attenuator
    implementations = ATTENUATORS
    sets: ClassVar = {
        "set_attenuation_db": ATTENUATION.setting(),
        "set_shutter": Setting(call=lambda i: i.set_shutter(True), vendor="_set_shutter"),
    }
    queries: ClassVar = {
        "attenuation_db": lambda i: i.attenuation_db(),
        "shutter_open": lambda i: i.shutter_open(),
    }
    refused: ClassVar = ATTENUATION.refused()
    rivals: ClassVar = ATTENUATION.rivals()

    def activate(self, instrument: Attenuator) -> None:
        ATTENUATION.put_at(instrument, 0.5)
        instrument.set_shutter(True)

    def activate_for(self, instrument: Attenuator, setting: Setting) -> None:
        self.activate(instrument)

    def state(self, instrument: Attenuator) -> object:
        return instrument.attenuation_db(), instrument.shutter_open()

    def test_attenuator_is_shut_and_darkest_when_opened(self, instrument: Attenuator) -> None:
        assert not instrument.shutter_open()
        assert instrument.attenuation_db() == pytest.approx(
            instrument.limits.attenuation_db.highest, abs=instrument.attenuation_tolerance_db
        )

    def test_attenuator_is_not_safe_when_only_one_half_is(self, instrument: Attenuator) -> None:
        ATTENUATION.put_at(instrument, 0.5)
        assert not instrument.is_safe()
        instrument.make_safe()
        instrument.set_shutter(True)
        assert not instrument.is_safe()

    def test_attenuation_still_goes_to_the_highest_when_the_shutter_fails(
        self, instrument: Attenuator
    ) -> None:
        self.activate(instrument)
        shut = instrument._set_shutter

        def jammed(open_: bool) -> None:
            raise OSError("the shutter is jammed")

        replace(instrument, "_set_shutter", jammed)
        with pytest.raises(SafetyError, match="jammed"):
            instrument.make_safe()
        assert instrument.attenuation_db() == pytest.approx(
            instrument.limits.attenuation_db.highest, abs=instrument.attenuation_tolerance_db
        )
        replace(instrument, "_set_shutter", shut)


@over(ATTENUATORS)
@settings(max_examples=25, deadline=None)
@given(fraction=INSIDE)
def test_attenuation_reads_back_when_anywhere_in_the_limits(
    make: Callable[[], Attenuator], fraction: float
) -> None:
    with make() as attenuator:
        ATTENUATION.check_reads_back(attenuator, fraction)
        assert not attenuator.shutter_open()


@over(ATTENUATORS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_attenuation_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], Attenuator], fraction: float
) -> None:
    ATTENUATION.check_refusal_keeps(make, fraction)
