"""Keysight N7751A to N7764A attenuators with shutter, and the power meter inputs of the N7752A.

Source: Keysight N77xx Series Programming Guide, 7th edition, INPut and OUTPut commands. The channel
in a bench file is the slot of the box: every attenuator takes two slots and answers at the odd one,
1, 3, 5 and 7; the power meter inputs of the N7752A are 5 and 6. `OUTP ON` opens the shutter.
"""

from dataclasses import dataclass
from functools import partial

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.detectors.keysight_n7744a import METER_LIMITS, KeysightN7744A
from drivers.dialects.keysight_n77xx import N77xx, as_argument
from drivers.errors import ConfigurationError
from drivers.instruments import (
    Attenuator,
    AttenuatorLimits,
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

__all__ = ["MODELS", "KeysightN776x", "N776xSettings"]

_SOURCE = "Keysight N77xx Series Programming Guide, 7th edition"
_MODELS = "N77(51|52|61|62|64)A"
_HIGHEST_DB = 45.0
_DARK_DB = 80.0
"""Depth of the closed shutter: opening comes from there at the set speed."""
_MARGIN_S = 2.0
_CLOSED_S = 0.5


@dataclass(frozen=True, kw_only=True)
class N776xSettings:
    """What the attenuator is told when the session begins.

    Args:
        wavelength_m: of the light, for the calibration of the filter; 1260 to 1625 nm.
        speed_db_per_s: at which the filter moves and the shutter opens; 1 to 80 dB/s.
    """

    wavelength_m: float = 1550e-9
    speed_db_per_s: float = 80.0

    def __post_init__(self) -> None:
        if not 1260e-9 <= self.wavelength_m <= 1625e-9:
            raise ConfigurationError(
                f"wavelength_m is {self.wavelength_m}; it must be 1260e-9 to 1625e-9 m"
            )
        if not 1 <= self.speed_db_per_s <= 80:
            raise ConfigurationError(
                f"speed_db_per_s is {self.speed_db_per_s}; it must be 1 to 80 dB/s"
            )


class KeysightN776x(Wired, Attenuator):
    """One attenuator of a box.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the box.
        clock: for polling.
        channel: slot: 1, 3, 5 or 7.
        settings: wavelength and speed.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 0.5

    def __init__(
        self,
        name: str,
        *,
        limits: AttenuatorLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: N776xSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._settings = N776xSettings() if settings is None else settings
        self._slot = channel
        self._box = N77xx(name, link, self._clock, _MODELS)
        self._travel_s = _DARK_DB / self._settings.speed_db_per_s + _MARGIN_S

    def _greet(self) -> Identity:
        identity = self._box.greet()
        self._box.scpi.set(
            f":INP{self._slot}:WAV {as_argument(self._settings.wavelength_m)}",
            f":INP{self._slot}:ATT:SPE {as_argument(self._settings.speed_db_per_s)}",
        )
        return identity

    def _set_attenuation_db(self, attenuation_db: float) -> None:
        self._order_attenuation_db(attenuation_db)
        self._box.wait_idle(self._travel_s, self._slot)

    def _order_attenuation_db(self, attenuation_db: float) -> None:
        # The offset is part of the attenuation shown, and power control would move the filter.
        self._box.scpi.set(
            f":OUTP{self._slot}:POW:CONTR OFF",
            f":INP{self._slot}:OFFS 0",
            f":INP{self._slot}:ATT {as_argument(attenuation_db)}",
        )

    def _get_attenuation_db(self) -> float:
        """The attenuation shown less the offset: that of the filter."""
        shown_db, offset_db = self._box.numbers(f":INP{self._slot}:ATT?", f":INP{self._slot}:OFFS?")
        return shown_db - offset_db

    def _set_shutter(self, open_: bool) -> None:
        self._box.scpi.set(f":OUTP{self._slot} {'ON' if open_ else 'OFF'}")
        if open_:
            self._box.wait_idle(self._travel_s, self._slot)
        else:
            # It closes at full speed; whatever else is pending must not look like a failure.
            self._box.settles(_CLOSED_S, self._slot)

    def _get_shutter(self) -> bool:
        return self._box.scpi.flag(f":OUTP{self._slot}?")


def _attenuator(
    slots: tuple[int, ...], entry: InstrumentEntry, context: BuildContext
) -> Instrument:
    assert isinstance(context.limits, AttenuatorLimits)
    _refuse_slot(entry, slots)
    return KeysightN776x(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(N776xSettings(), entry),
        simulated=context.simulated,
    )


def _meter(slots: tuple[int, ...], entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PowerMeterLimits)
    _refuse_slot(entry, slots)
    own_settings(NoSettings(), entry)
    return KeysightN7744A(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        models="N7752A",
        simulated=context.simulated,
    )


def _refuse_slot(entry: InstrumentEntry, slots: tuple[int, ...]) -> None:
    if entry.channel not in slots:
        known = ", ".join(map(str, slots))
        raise ConfigurationError(
            f"instruments.{entry.role}.channel is {entry.channel}; {entry.model!r} is at the "
            f"slots {known} of its box"
        )


def _attenuators(name: str, count: int) -> DriverModel:
    slots = tuple(range(1, 2 * count, 2))
    return DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Attenuator,
        limits=AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=_HIGHEST_DB)),
        make=partial(_attenuator, slots),
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{name}",
        channels=slots[-1],
        source=_SOURCE,
        settings={
            "wavelength_m": "wavelength of the light in m (1550e-9)",
            "speed_db_per_s": "speed of filter and opening shutter, 1 to 80 dB/s (80)",
        },
    )


MODELS = (
    _attenuators("N7751A", 1),
    _attenuators("N7752A", 2),
    _attenuators("N7761A", 1),
    _attenuators("N7762A", 2),
    _attenuators("N7764A", 4),
    DriverModel(
        model="Keysight N7752A power meter",
        backend="visa",
        kind=PowerMeter,
        limits=METER_LIMITS,
        make=partial(_meter, (5, 6)),
        confidence="high",
        identity=r"(Keysight|Agilent) Technologies,N7752A",
        channels=6,
        source=_SOURCE,
    ),
)
