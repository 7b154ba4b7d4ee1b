"""Thorlabs PM100D, PM100USB and PM101 power meters.

Wavelengths go over the wire in nanometres. The meter takes one query at a time, so its error queue
is asked in a message of its own. Source: the SCPI chapter of the PM100D manual.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    PowerMeter,
    PowerMeterLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.scpi import Scpi, parse_number
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["LINE", "METER_LIMITS", "MODELS", "PM100Settings", "ThorlabsPM100"]

LINE = SerialSettings(baud=115200)
METER_LIMITS = PowerMeterLimits(
    wavelength_m=Range(lowest=800e-9, highest=1700e-9), power_w=Range(lowest=1e-10, highest=20e-3)
)
_NM: Final = 1e-9
_OVER_RANGE: Final = 9.8e37
_MEASURES_POWER: Final = 1
_WAVELENGTH_CAN_BE_SET: Final = 32
_RANGING_S: Final = 1.5
_ZERO_S: Final = 30.0
_SLOWEST_SAMPLE_S: Final = 3e-3


@dataclass(frozen=True, kw_only=True)
class PM100Settings:
    """How the meter averages.

    Args:
        sample_s: time of one of the samples that a reading averages, in s; it depends on the
            model: 0.0003 as the manual has it, 0.003 have been found too.
    """

    sample_s: float = 3e-4

    def __post_init__(self) -> None:
        if not 1e-5 <= self.sample_s <= 1:
            raise ConfigurationError(f"sample_s is {self.sample_s}; it must be 1e-5 to 1 s")


@dataclass(frozen=True, kw_only=True)
class _Sensor:
    """The head on the meter."""

    name: str
    serial: str
    flags: int


class ThorlabsPM100(Wired, PowerMeter):
    """A power meter with a photodiode head, in watts and with automatic range.

    Args:
        name: role in the bench.
        limits: what can be measured.
        link: to the meter.
        clock: for polling.
        models: regular expression for the models that may answer.
        settings: how the meter averages.
        simulated: whether an emulator answers.
    """

    poll_interval_s: ClassVar[float] = 0.05

    def __init__(
        self,
        name: str,
        *,
        limits: PowerMeterLimits,
        link: Link,
        clock: Clock | None = None,
        models: str = "PM100D|PM100USB|PM101",
        settings: PM100Settings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._models = models
        self._sample_s = (PM100Settings() if settings is None else settings).sample_s
        self._scpi = Scpi(link, joined=False)
        self._calibrated_m = Range(lowest=0.0, highest=1.0)
        self._samples = 1  # for the deadline of a reading only

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        pattern = f"Thorlabs,(?:{self._models})$"
        refuse_stranger(self.name, identity, pattern, f"Thorlabs {self._models}")
        sensor = self._sensor()
        for order in ("CONF:POW", "SENS:POW:UNIT W", "SENS:POW:RANG:AUTO 1"):
            self._scpi.set(order)
        self._calibrated_m = Range(
            lowest=self._scpi.number("SENS:CORR:WAV? MIN") * _NM,
            highest=self._scpi.number("SENS:CORR:WAV? MAX") * _NM,
        )
        self._get_averaging()
        return Identity(
            maker="Thorlabs",
            model=identity.model,
            serial=identity.serial,
            firmware=f"{identity.firmware}, head {sensor.name} {sensor.serial}",
        )

    def _set_wavelength(self, wavelength_m: float) -> None:
        # A hair of rounding on the way from nanometres must not refuse an end of the range.
        if (
            not self._calibrated_m.lowest - 1e-15
            <= wavelength_m
            <= self._calibrated_m.highest + 1e-15
        ):
            raise LimitError(
                f"{self.name}: wavelength {wavelength_m / _NM:.10g} nm is outside what the head is "
                f"calibrated for, {self._calibrated_m.lowest / _NM:.10g} to "
                f"{self._calibrated_m.highest / _NM:.10g} nm; use another head"
            )
        self._scpi.set(f"SENS:CORR:WAV {wavelength_m / _NM:.10G}")

    def _get_wavelength(self) -> float:
        return self._scpi.number("SENS:CORR:WAV?") * _NM

    def _set_averaging(self, duration_s: float) -> None:
        samples = round(duration_s / self._sample_s)
        if samples < 1:
            raise LimitError(
                f"{self.name}: averaging {duration_s} s is shorter than one sample of the meter, "
                f"{self._sample_s} s; choose a longer one"
            )
        self._scpi.set(f"SENS:AVER:COUN {samples}")

    def _get_averaging(self) -> float:
        self._samples = self._scpi.integer("SENS:AVER:COUN?")
        return self._samples * self._sample_s

    def _get_power(self) -> float:
        """A new reading; a head with too much light reads as infinite."""
        unit = self._scpi.query("SENS:POW:UNIT?").strip()
        if unit != "W":  # somebody pressed a key
            raise InstrumentError(
                f"{self.name}: measures in {unit}, not in W; close and open it again, and leave "
                "its front panel alone"
            )
        sample_s = max(self._sample_s, _SLOWEST_SAMPLE_S)
        timeout_s = self._link.timeout_s + self._samples * sample_s + _RANGING_S
        power_w = self._scpi.numbers("READ?", timeout_s)[0]
        return math.copysign(math.inf, power_w) if abs(power_w) > _OVER_RANGE else power_w

    def _zero(self) -> None:
        self._scpi.set("SENS:CORR:COLL:ZERO:INIT")
        if not self._poll(lambda: not self._scpi.flag("SENS:CORR:COLL:ZERO:STAT?"), _ZERO_S):
            self._scpi.set("SENS:CORR:COLL:ZERO:ABOR")
            raise InstrumentError(
                f"{self.name}: zeroing was not done within {_ZERO_S:g} s and was broken off; make "
                "the head dark first"
            )

    def _sensor(self) -> _Sensor:
        """The head; the fields after its calibration message count from the end."""
        text = self._scpi.query("SYST:SENS:IDN?")
        fields = [field.strip().strip('"') for field in text.split(",")]
        if len(fields) < 6 or fields[0].lower() == "no sensor":
            raise InstrumentError(
                f"{self.name}: no head is plugged into the meter (it says {text!r}); plug one in"
            )
        flags = parse_number(fields[-1].encode())
        if not flags.is_integer() or not 0 <= flags < 1 << 16:
            raise garbled("a head with its flags", text.encode())
        wanted = _MEASURES_POWER | _WAVELENGTH_CAN_BE_SET
        if int(flags) & wanted != wanted:
            raise InstrumentError(
                f"{self.name}: the head {fields[0]!r} (flags {int(flags)}) does not measure power "
                "at a wavelength that can be set; plug in a photodiode head"
            )
        return _Sensor(name=fields[0], serial=fields[1], flags=int(flags))


def _meter(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PowerMeterLimits)
    return ThorlabsPM100(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE),
        clock=context.clock,
        models=entry.model.removeprefix("Thorlabs "),
        settings=own_settings(PM100Settings(), entry),
        simulated=context.simulated,
    )


_SETTINGS = {"sample_s": "time of one of the samples that are averaged, by model (0.0003)"}

MODELS = (
    *(
        DriverModel(
            model=f"Thorlabs {name}",
            backend="visa",
            kind=PowerMeter,
            limits=METER_LIMITS,
            make=_meter,
            confidence="high",
            identity=f"Thorlabs,{name}$",
            source="PM100D manual, SCPI commands",
            settings=_SETTINGS,
        )
        for name in ("PM100D", "PM100USB", "PM101")
    ),
    DriverModel(
        model="Thorlabs PM101",
        backend="serial",
        kind=PowerMeter,
        limits=METER_LIMITS,
        make=_meter,
        confidence="medium",
        identity="Thorlabs,PM101$",
        source="PM100D manual, SCPI commands; the serial line as in pylablib",
        serial=LINE,
        settings=_SETTINGS,
    ),
)
