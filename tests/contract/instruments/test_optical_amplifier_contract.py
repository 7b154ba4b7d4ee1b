"""What every optical amplifier must do: above all, never pump without a seed."""

import math
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import SafetyError
from drivers.instruments import OpticalAmplifier
from tests.contract.instruments.common import (
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import OPTICAL_AMPLIFIERS
from tests.contract.instruments.scalars import Scalar

GAIN = Scalar(
    put=lambda i, value: i.set_gain_db(value),
    take=lambda i: i.gain_db(),
    limits=lambda i: i.limits.gain_db,
    tolerance=lambda i, _: i.gain_tolerance_db,
    vendor="_set_gain_db",
)

SEEDS_OUT_OF_RANGE = {
    "none": lambda limits: 0.0,
    "too little": lambda limits: limits.lowest * 0.99,
    "too much": lambda limits: limits.highest * 1.01,
    "NaN": lambda limits: math.nan,
}


def seed(amplifier: OpticalAmplifier, power_w: float) -> None:
    """Let the amplifier's monitor read a seed."""
    replace(amplifier, "_get_seed_power", lambda: power_w)


def seed_well(amplifier: OpticalAmplifier) -> None:
    seed(amplifier, at(amplifier.limits.seed_power_w, 0.5))


class TestOpticalAmplifierContract(InstrumentContract):
    kind = OpticalAmplifier
    implementations = OPTICAL_AMPLIFIERS
    sets: ClassVar = {
        "set_gain_db": GAIN.setting(),
        "set_pump": Setting(
            call=lambda i: i.set_pump(True),
            vendor="_set_pump",
            prepare=seed_well,
        ),
    }
    queries: ClassVar = {
        "interlock_closed": lambda i: i.interlock_closed(),
        "gain_db": lambda i: i.gain_db(),
        "seed_power_w": lambda i: i.seed_power_w(),
        "check_seed": lambda i: i.check_seed(),
        "pump": lambda i: i.pump(),
        "output_power_w": lambda i: i.output_power_w(),
    }
    refused: ClassVar = GAIN.refused("gain")
    rivals: ClassVar = GAIN.rivals()

    def activate(self, instrument: OpticalAmplifier) -> None:
        seed_well(instrument)
        instrument.set_pump(True)

    def activate_for(self, instrument: OpticalAmplifier, setting: Setting) -> None:
        super().activate_for(instrument, setting)
        self.activate(instrument)

    def state(self, instrument: OpticalAmplifier) -> object:
        return instrument.gain_db(), instrument.pump()

    @pytest.mark.parametrize("power_of", SEEDS_OUT_OF_RANGE.values(), ids=SEEDS_OUT_OF_RANGE)
    def test_pump_is_refused_and_never_ordered_when_the_seed_is_out_of_range(
        self, instrument: OpticalAmplifier, power_of: Callable[..., float]
    ) -> None:
        seed(instrument, power_of(instrument.limits.seed_power_w))
        ordered: list[bool] = []
        switch = instrument._set_pump

        def record(on: bool) -> None:
            ordered.append(on)
            switch(on)

        replace(instrument, "_set_pump", record)
        with pytest.raises(SafetyError, match=r"seed power is .* W, pumping needs .* to .* W"):
            instrument.set_pump(True)
        assert True not in ordered
        assert not instrument.pump()

    @pytest.mark.parametrize("power_of", SEEDS_OUT_OF_RANGE.values(), ids=SEEDS_OUT_OF_RANGE)
    def test_check_seed_switches_the_pump_off_when_the_seed_has_gone(
        self, instrument: OpticalAmplifier, power_of: Callable[..., float]
    ) -> None:
        self.activate(instrument)
        assert instrument.pump()
        seed(instrument, power_of(instrument.limits.seed_power_w))
        with pytest.raises(SafetyError, match="seed power"):
            instrument.check_seed()
        assert not instrument.pump()

    def test_check_seed_leaves_the_pump_on_when_the_seed_is_there(
        self, instrument: OpticalAmplifier
    ) -> None:
        self.activate(instrument)
        assert instrument.check_seed() == at(instrument.limits.seed_power_w, 0.5)
        assert instrument.pump()

    def test_check_seed_switches_the_pump_off_when_the_monitor_fails(
        self, instrument: OpticalAmplifier
    ) -> None:
        self.activate(instrument)

        def fail() -> float:
            raise OSError("no answer")

        replace(instrument, "_get_seed_power", fail)
        with pytest.raises(OSError, match="no answer"):
            instrument.check_seed()
        assert not instrument.pump()

    def test_gain_is_not_sent_and_the_pump_goes_off_when_pumped_without_seed(
        self, instrument: OpticalAmplifier
    ) -> None:
        self.activate(instrument)
        seed(instrument, 0.0)
        called = self.watch(instrument)
        with pytest.raises(SafetyError, match="seed power"):
            instrument.set_gain_db(at(instrument.limits.gain_db, 0.5))
        assert "_set_gain_db" not in called
        assert not instrument.pump()

    def test_gain_can_be_set_when_there_is_neither_pump_nor_seed(
        self, instrument: OpticalAmplifier
    ) -> None:
        seed(instrument, 0.0)
        gain_db = at(instrument.limits.gain_db, 0.5)
        instrument.set_gain_db(gain_db)
        assert instrument.gain_db() == pytest.approx(gain_db, abs=instrument.gain_tolerance_db)

    def test_pump_goes_off_when_asked_without_a_seed(self, instrument: OpticalAmplifier) -> None:
        self.activate(instrument)
        seed(instrument, 0.0)
        instrument.set_pump(False)
        assert not instrument.pump()


@over(OPTICAL_AMPLIFIERS)
@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.sampled_from(["on", "off", "seed", "dark", "gain", "check"])))
def test_pump_is_never_switched_on_without_seed_when_called_in_any_order(
    make: Callable[[], OpticalAmplifier], steps: list[str]
) -> None:
    with make() as amplifier:
        seeded = [False]
        power_w = at(amplifier.limits.seed_power_w, 0.5)
        replace(amplifier, "_get_seed_power", lambda: power_w if seeded[0] else 0.0)
        switch = amplifier._set_pump

        def guarded(on: bool) -> None:
            assert seeded[0] or not on, "pump without seed"
            switch(on)

        replace(amplifier, "_set_pump", guarded)
        actions: dict[str, Callable[[], object]] = {
            "on": lambda: amplifier.set_pump(True),
            "off": lambda: amplifier.set_pump(False),
            "seed": lambda: seeded.__setitem__(0, True),
            "dark": lambda: seeded.__setitem__(0, False),
            "gain": lambda: amplifier.set_gain_db(at(amplifier.limits.gain_db, 0.5)),
            "check": amplifier.check_seed,
        }
        for step in steps:
            try:
                actions[step]()
            except SafetyError:
                assert not seeded[0]
                assert not amplifier.pump()


@over(OPTICAL_AMPLIFIERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_gain_is_refused_and_kept_when_anywhere_outside_the_limits(
    make: Callable[[], OpticalAmplifier], fraction: float
) -> None:
    GAIN.check_refusal_keeps(make, fraction)
