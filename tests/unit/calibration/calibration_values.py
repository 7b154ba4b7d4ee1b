"""A result, a bench and routines to take apart, without any instrument."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np

from calibration.access import BenchAccess
from calibration.moment import Moment, moments
from calibration.result import FitData, Goodness, Quantity, Result, Series
from calibration.routine import Context, Routine
from drivers.errors import CalibrationError

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def moment(seconds: float = 0.0, *, clock_s: float | None = None, clock_id: str = "boot") -> Moment:
    return Moment(
        utc=(START + timedelta(seconds=seconds)).isoformat(),
        clock_s=seconds if clock_s is None else clock_s,
        clock_id=clock_id,
    )


def quantity(name: str = "v_pi_v", value: float = 4.0) -> Quantity:
    return Quantity(
        name=name,
        value=value,
        uncertainty=0.1,
        unit="V",
        interval95=(value - 0.2, value + 0.3),
        claimed=4.2,
    )


def series(name: str, unit: str, *values: float) -> Series:
    return Series(name=name, unit=unit, values=np.array(values))


def sweep(name: str = "sweep") -> FitData:
    return FitData(
        name=name,
        x=series("bias", "V", -1, 0, 1),
        measured=series("power", "W", 1e-3, 1e-6, 1.1e-3),
        fitted=series("fit", "W", 1.05e-3, 1e-6, 1.05e-3),
        uncertainty=series("one sigma", "W", 1e-5, 1e-7, 1e-5),
        log_y=True,
    )


def result(
    routine: str = "transfer",
    *,
    version: int = 1,
    value: float = 4.0,
    at: Moment | None = None,
    simulated: bool = True,
    rests_on: dict[str, str] | None = None,
    window: tuple[float, float] | None = (19.0, 23.0),
    bench: str = "reference",
    identities: dict[str, str] | None = None,
) -> Result:
    return Result(
        routine=routine,
        version=version,
        quantities=(quantity("v_pi_v", value), quantity("bias_v", 1.0)),
        goodness=Goodness(chi_square=3.5, degrees_of_freedom=4),
        fit_data=(sweep(),),
        identities={"laser": "maker model 7 1.0"} if identities is None else identities,
        rests_on=rests_on or {},
        temperature_c=21.0,
        temperature_window_c=window,
        moment=at or moment(),
        validity_s=3600.0,
        bench=bench,
        backend="waveform",
        simulated=simulated,
        seed=2**70 + 1,
        settings={"points": 61, "span_v": 12.0, "fine": True, "note": "µ"},
    )


class FakeRoutine(Routine):
    """Finds the number that the bench holds for it."""

    duration_s = 10.0
    validity_s = 3600.0
    roles: ClassVar[tuple[str, ...]] = ("laser",)
    temperature_tolerance_c = 2.0

    def __init__(self, name: str, *needs: str, world: "World") -> None:
        self.name = name  # type: ignore[misc]
        self.needs = needs  # type: ignore[misc]
        self.defaults = {"points": 4, "span_v": 2.0}  # type: ignore[misc]
        self._world = world

    def run(self, context: Context) -> Result:
        self._world.ran.append(self.name)
        points = context.setting("points", int)
        for done in range(points + 1):
            context.progress(done, points, "sweeping")
            context.bench.sleep(1.0)
        if self.name in self._world.broken:
            raise self._world.broken[self.name]
        self._world.seen[self.name] = {need: found.id for need, found in context.results.items()}
        value = float(context.rng.normal(4.0))
        return context.result(quantities=[quantity("v_pi_v", value)])


@dataclass
class World:
    """What the fake bench is like, and what was done to it."""

    time_s: float = 0.0
    temperature_c: float | None = 21.0
    laser: str = "maker model 7 1.0"
    simulated: bool = True
    ran: list[str] = field(default_factory=list)
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    broken: dict[str, BaseException] = field(default_factory=dict)
    made_safe: int = 0
    safe_error: Exception | None = None

    def bench(self, instruments: dict[str, object] | None = None) -> BenchAccess:
        return BenchAccess(
            name="reference",
            backend="waveform",
            simulated=self.simulated,
            instruments=instruments or {},
            identities={"laser": self.laser},
            sleep=self._sleep,
            now=self._now(),
            temperature_c=lambda: self.temperature_c,
            switch_off=self._make_safe,
        )

    def _now(self) -> Callable[[], Moment]:
        return moments(
            lambda: self.time_s,
            clock_id="boot",
            wall=lambda: START + timedelta(seconds=self.time_s),
        )

    def _sleep(self, duration_s: float) -> None:
        self.time_s += duration_s

    def _make_safe(self) -> None:
        self.made_safe += 1
        if self.safe_error is not None:
            raise self.safe_error


def failure() -> CalibrationError:
    return CalibrationError("no light on the detector; open the shutter")
