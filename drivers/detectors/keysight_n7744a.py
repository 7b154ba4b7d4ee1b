"""Keysight N7744A and N7745A power meters, and the power meter inputs of other N77xx boxes.

Source: Keysight N77xx Series Programming Guide, 7th edition, SENSe and READ commands. Readings are
taken in watts and one by one: of a meter that measures continuously the last value may be older
than what was set before.
"""

import math
from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_n77xx import N77xx, as_argument
from drivers.errors import InstrumentError, LimitError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    PowerMeter,
    PowerMeterLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["METER_LIMITS", "MODELS", "KeysightN7744A"]

METER_LIMITS = PowerMeterLimits(
    wavelength_m=Range(lowest=1260e-9, highest=1625e-9), power_w=Range(lowest=1e-11, highest=10e-3)
)
_SHORTEST_AVERAGING_S = 1e-6
_OVER_RANGE = 1e20
"""Readings beyond this are no powers."""
_ZERO_S = 30.0


class KeysightN7744A(Wired, PowerMeter):
    """One input of a multiport power meter.

    Args:
        name: role in the bench.
        limits: what can be measured.
        link: to the box.
        clock: for polling.
        channel: slot of the input in the box.
        models: regular expression for the models that may answer.
        simulated: whether an emulator answers.
    """

    poll_interval_s: ClassVar[float] = 0.01

    def __init__(
        self,
        name: str,
        *,
        limits: PowerMeterLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        models: str = "N774[45]A",
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._slot = channel
        self._sense = f":SENS{channel}"
        self._box = N77xx(name, link, self._clock, models)
        self._averaging_s = 0.0  # for the deadline of a reading only

    def _greet(self) -> Identity:
        identity = self._box.greet()
        self._box.scpi.set(
            f"{self._sense}:POW:UNIT 1",
            f"{self._sense}:POW:RANG:AUTO 1",
            f":TRIG{self._slot}:INP IGN",
            f":INIT{self._slot}:CONT 0",
        )
        self._get_averaging()
        return identity

    def _set_wavelength(self, wavelength_m: float) -> None:
        self._box.scpi.set(f"{self._sense}:POW:WAV {as_argument(wavelength_m)}")

    def _get_wavelength(self) -> float:
        return self._box.scpi.number(f"{self._sense}:POW:WAV?")

    def _set_averaging(self, duration_s: float) -> None:
        if duration_s < _SHORTEST_AVERAGING_S:
            raise LimitError(
                f"{self.name}: averaging {duration_s} s is below the shortest that the meter has, "
                f"{_SHORTEST_AVERAGING_S} s; choose a longer one"
            )
        self._box.scpi.set(f"{self._sense}:POW:ATIM {as_argument(duration_s)}")

    def _get_averaging(self) -> float:
        self._averaging_s = self._box.scpi.number(f"{self._sense}:POW:ATIM?")
        return self._averaging_s

    def _get_power(self) -> float:
        """A new reading; an input with too much light reads as infinite."""
        timeout_s = self._link.timeout_s + self._averaging_s
        power_w = self._box.scpi.numbers(f":READ{self._slot}:POW?", timeout_s)[0]
        return math.inf if power_w > _OVER_RANGE else power_w

    def _zero(self) -> None:
        self._box.scpi.set(f"{self._sense}:CORR:COLL:ZERO", timeout_s=_ZERO_S)
        self._box.wait_idle(_ZERO_S, self._slot)
        failed = self._box.scpi.integer(f"{self._sense}:CORR:COLL:ZERO?")
        if failed:
            raise InstrumentError(
                f"{self.name}: zeroing failed (result {failed}, 0 is good); make the input dark "
                "first"
            )


def _meter(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PowerMeterLimits)
    own_settings(NoSettings(), entry)
    return KeysightN7744A(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        models=entry.model.removeprefix("Keysight "),
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=PowerMeter,
        limits=METER_LIMITS,
        make=_meter,
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{name}",
        channels=channels,
        source="Keysight N77xx Series Programming Guide, 7th edition",
    )
    for name, channels in (("N7744A", 4), ("N7745A", 8))
)
