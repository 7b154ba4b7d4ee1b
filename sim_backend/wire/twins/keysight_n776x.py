"""Twins of Keysight's N7751A to N7764A attenuators; the N7752A has power meter inputs as well."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.bench.units import dbm_from_si, si_from_dbm
from sim_backend.instruments.parts import AttenuatorPart, PowerPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin, n77xx_checked, n77xx_number
from sim_backend.wire.dialects.keysight_n77xx_meter import MeterInputs
from sim_backend.wire.dialects.scpi_values import LENGTH_UNITS, POWER_UNITS, TIME_UNITS
from sim_backend.wire.dialects.travelling_filter import (
    DARK_DB,
    FULL_SPEED_DB_PER_S,
    TravellingFilter,
)
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "KeysightN776xTwin"]

_ATTENUATORS: Final = {"N7751A": 1, "N7752A": 2, "N7761A": 1, "N7762A": 2, "N7764A": 4}
_METERS: Final = {"N7752A": (5, 6)}
_HIGHEST_DB = 45.0
_LOSS_DB = 1.2
_FASTEST_SET_DB_PER_S = 80.0
_WAVELENGTHS_M = (1260e-9, 1640e-9)
_ZERO_S = 2.0
_UNIT_WORDS: Final = {"DBM": "", "0": "", "WATT": "watts", "W": "watts", "1": "watts"}


@dataclass
class _Attenuator:
    """The settings of one attenuator."""

    filter: TravellingFilter
    attenuation_db: float = 0.0
    offset_db: float = 0.0
    speed_db_per_s: float = FULL_SPEED_DB_PER_S
    wavelength_m: float = 1550e-9
    open: bool = False
    opens_at_power_on: bool = False
    watts: bool = False
    power_offset_db: float = 0.0
    averaging_s: float = 0.1
    control: bool = False
    power_dbm: float = 0.0
    out_of_reach: bool = False
    zero_failed: bool = False


class KeysightN776xTwin(N77xxTwin):
    """A box with attenuators in the odd slots, and perhaps inputs of power meters.

    Args:
        model: such as `N7752A`.
        clock: simulated time.
        serial: serial number.
        attenuators: of the scene, by slot.
        sensors: of the scene, by slot.
        input_w: light at the inputs of the attenuators, for their own output monitors.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        attenuators: Mapping[int, AttenuatorPart],
        sensors: Mapping[int, PowerPart],
        input_w: float = 1e-3,
    ) -> None:
        meters = _METERS.get(model, ())
        names = [model, ""] * _ATTENUATORS[model] + [model] * len(meters)
        super().__init__(model=model, serial=serial, clock=clock, slots=tuple(names))
        self._input_dbm = dbm_from_si(input_w)
        self._filters = {
            slot: TravellingFilter(attenuators.get(slot), clock)
            for slot in range(1, 2 * _ATTENUATORS[model], 2)
        }
        self._odd = tuple(self._filters)
        self._channels: dict[int, _Attenuator] = {}
        self._inputs = MeterInputs(self, sensors, meters)
        self.preset()

    def preset(self) -> None:
        """All shutters closed, all filters at 0 dB."""
        self._inputs.preset()
        for slot, moved in self._filters.items():
            self._channels[slot] = _Attenuator(filter=moved)
            moved.light(False)
            moved.go(DARK_DB, FULL_SPEED_DB_PER_S)

    def table(self) -> Mapping[str, Handler]:
        """See `N77xxTwin.table`."""
        return {
            **self._inputs.table(),
            **self._input_table(),
            **self._output_table(),
            ":READ#[:CHANnel#]:POWer?": lambda call: self._read(call, fresh=True),
            ":FETCh#[:CHANnel#]:POWer?": lambda call: self._read(call, fresh=False),
            ":STATus#:OPERation:CONDition?": self._operation,
            ":STATus#:QUEStionable:CONDition?": self._questionable,
        }

    def _input_table(self) -> Mapping[str, Handler]:
        inp = ":INPut#[:CHANnel#]"
        return {
            ":INPut:ATTenuation:ALL": self._each(self._attenuate),
            f"{inp}:ATTenuation": self._at(self._attenuate),
            f"{inp}:ATTenuation?": self._at(self._attenuation),
            f"{inp}:ATTenuation:SPEed": self._at(self._set_speed),
            f"{inp}:ATTenuation:SPEed?": self._at(lambda _, one: n77xx_number(one.speed_db_per_s)),
            f"{inp}:OFFSet": self._at(self._set_offset),
            f"{inp}:OFFSet?": self._at(lambda _, one: n77xx_number(one.offset_db)),
            f"{inp}:OFFSet:DISPlay": self._at(self._display_as_zero),
            f"{inp}:OFFSet:POWermeter": self._at(self._offset_from_meter),
            f"{inp}:WAVelength": self._at(self._set_wavelength),
            ":INPut:WAVelength:ALL": self._each(self._set_wavelength),
            f"{inp}:WAVelength?": self._at(self._wavelength),
        }

    def _output_table(self) -> Mapping[str, Handler]:
        out = ":OUTPut#[:CHANnel#]"
        return {
            f"{out}[:STATe]": self._at(self._switch),
            f"{out}[:STATe]?": self._at(lambda _, one: f"{one.open:d}"),
            ":OUTPut:STATe:ALL": self._each(self._switch),
            f"{out}:APOWeron": self._at(self._set_at_power_on),
            f"{out}:APOWeron?": self._at(lambda _, one: f"{one.opens_at_power_on:d}"),
            f"{out}:APMode": self._at(lambda call, _: _nothing(call.flag())),
            f"{out}:POWer": self._at(self._set_power),
            ":OUTPut:POWer:ALL": self._each(self._set_power),
            f"{out}:POWer?": self._at(lambda _, one: self._in_unit(one, one.power_dbm)),
            f"{out}:POWer:CONTRol": self._at(self._set_control),
            f"{out}:POWer:CONTRol?": self._at(lambda _, one: f"{one.control:d}"),
            f"{out}:POWer:UNit": self._at(self._set_unit),
            f"{out}:POWer:UNit?": self._at(lambda _, one: f"{one.watts:d}"),
            f"{out}:POWer:OFFSet": self._at(self._set_power_offset),
            f"{out}:POWer:OFFSet?": self._at(lambda _, one: n77xx_number(one.power_offset_db)),
            f"{out}:ATIMe": self._at(self._set_averaging),
            f"{out}:ATIMe?": self._at(lambda _, one: n77xx_number(one.averaging_s)),
            ":OUTPut#:CORRection:COLLect:ZERO[:ALL]": self._zero,
            ":OUTPut#:CORRection:COLLect:ZERO[:ALL]?": lambda _: "0",
        }

    def _at(self, do: "Callable[[Call, _Attenuator], Answer]") -> Handler:
        """A command to the attenuator of its first suffix."""
        return lambda call: do(call, self._channels[self.need_slot(call.suffixes[0], self._odd)])

    def _each(self, do: Callable[[Call, _Attenuator], None]) -> Handler:
        def handle(call: Call) -> None:
            for one in self._channels.values():
                do(call, one)

        return handle

    def _slot_of(self, wanted: _Attenuator) -> int:
        return next(slot for slot, one in self._channels.items() if one is wanted)

    def _attenuate(self, call: Call, one: _Attenuator) -> None:
        word = call.argument().upper()
        named = {"MIN": one.offset_db, "DEF": one.offset_db, "MAX": one.offset_db + _HIGHEST_DB}
        shown_db = named[word] if word in named else call.number({"DB": 1.0})
        self._move(one, n77xx_checked(shown_db - one.offset_db, 0.0, _HIGHEST_DB))
        one.control = False

    def _move(self, one: _Attenuator, attenuation_db: float) -> None:
        one.attenuation_db = attenuation_db
        if one.open:
            duration_s = one.filter.go(attenuation_db, one.speed_db_per_s)
            self.keep_busy(self._slot_of(one), duration_s)

    def _attenuation(self, call: Call, one: _Attenuator) -> str:
        named = {"MIN": one.offset_db, "DEF": one.offset_db, "MAX": one.offset_db + _HIGHEST_DB}
        word = call.arguments[0].upper() if call.arguments else ""
        return n77xx_number(named.get(word, one.attenuation_db + one.offset_db))

    def _set_speed(self, call: Call, one: _Attenuator) -> None:
        speed = n77xx_checked(call.number({"DB/S": 1.0}), 0.1, FULL_SPEED_DB_PER_S)
        one.speed_db_per_s = speed if speed <= _FASTEST_SET_DB_PER_S else FULL_SPEED_DB_PER_S

    def _set_offset(self, call: Call, one: _Attenuator) -> None:
        one.offset_db = n77xx_checked(call.number({"DB": 1.0}), -200.0, 200.0)

    def _display_as_zero(self, _: Call, one: _Attenuator) -> None:
        one.offset_db = -one.attenuation_db

    def _offset_from_meter(self, call: Call, one: _Attenuator) -> None:
        reading_w = self._inputs.reading_w(int(call.number()))
        if reading_w <= 0:
            raise Complaint(-261, "Math error in expression")
        seen_dbm = dbm_from_si(reading_w)
        one.offset_db = n77xx_checked(self._output_dbm(one) - seen_dbm, -200.0, 200.0)

    def _set_wavelength(self, call: Call, one: _Attenuator) -> None:
        low_m, high_m = _WAVELENGTHS_M
        named = {"MIN": low_m, "MAX": high_m, "DEF": 1550e-9}
        word = call.argument().upper()
        wavelength_m = named[word] if word in named else call.number(LENGTH_UNITS)
        one.wavelength_m = n77xx_checked(wavelength_m, low_m, high_m)

    def _wavelength(self, call: Call, one: _Attenuator) -> str:
        low_m, high_m = _WAVELENGTHS_M
        word = call.arguments[0].upper() if call.arguments else ""
        return n77xx_number({"MIN": low_m, "MAX": high_m}.get(word, one.wavelength_m))

    def _switch(self, call: Call, one: _Attenuator) -> None:
        wanted, was = call.flag(), one.open
        one.open = wanted
        if wanted == was:
            return
        if wanted:
            one.filter.light(True)
            duration_s = one.filter.go(one.attenuation_db, one.speed_db_per_s)
        else:
            duration_s = one.filter.shut()
        self.keep_busy(self._slot_of(one), duration_s)

    def _set_at_power_on(self, call: Call, one: _Attenuator) -> None:
        one.opens_at_power_on = call.flag()

    def _set_unit(self, call: Call, one: _Attenuator) -> None:
        one.watts = bool(call.word(_UNIT_WORDS))

    def _set_power_offset(self, call: Call, one: _Attenuator) -> None:
        one.power_offset_db = n77xx_checked(call.number({"DB": 1.0}), -200.0, 200.0)

    def _set_averaging(self, call: Call, one: _Attenuator) -> None:
        one.averaging_s = n77xx_checked(call.number(TIME_UNITS), 2e-3, 1.0)

    def _set_power(self, call: Call, one: _Attenuator) -> None:
        text = call.argument().upper()
        value = call.number({**POWER_UNITS, "DBM": 1.0})
        in_watts = not text.endswith("DBM") and (one.watts or text[-1].isalpha())
        if in_watts and value <= 0:
            raise Complaint(-222, "Data out of range (StatParmTooSmall)")
        one.power_dbm = n77xx_checked(dbm_from_si(value) if in_watts else value, -100.0, 40.0)
        self._hold_power(one)

    def _set_control(self, call: Call, one: _Attenuator) -> None:
        one.control = call.flag()
        if one.control:
            self._hold_power(one)

    def _hold_power(self, one: _Attenuator) -> None:
        wanted_db = self._input_dbm - _LOSS_DB + one.power_offset_db - one.power_dbm
        one.out_of_reach = not 0 <= wanted_db <= _HIGHEST_DB
        self._move(one, min(max(wanted_db, 0.0), _HIGHEST_DB))

    def _zero(self, _: Call) -> None:
        for slot, one in self._channels.items():
            self.keep_busy(slot, _ZERO_S)
            if one.open:
                one.filter.blink(_ZERO_S)

    def _output_dbm(self, one: _Attenuator) -> float:
        return self._input_dbm - _LOSS_DB - one.filter.depth_db() + one.power_offset_db

    def _in_unit(self, one: _Attenuator, dbm: float) -> str:
        return n77xx_number(si_from_dbm(dbm) if one.watts else dbm)

    def _read(self, call: Call, *, fresh: bool) -> Answer:
        slot = call.suffixes[0]
        if self._inputs.is_input(slot):
            return self._inputs.read(slot, fresh=fresh)
        one = self._channels[self.need_slot(slot, self._odd)]
        return self._in_unit(one, self._output_dbm(one))

    def _operation(self, call: Call) -> str:
        one = self._channels[self.need_slot(call.suffixes[0], self._odd)]
        return f"{16 * one.open:+d}"

    def _questionable(self, call: Call) -> str:
        one = self._channels[self.need_slot(call.suffixes[0], self._odd)]
        return f"{one.out_of_reach + 2 * one.zero_failed:+d}"


def _nothing(_: object) -> None:
    """For what is taken without effect."""


def _make(model: str, place: TwinPlace) -> Twin:
    parts = place.parts.items()
    return KeysightN776xTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        attenuators={n: part for n, part in parts if isinstance(part, AttenuatorPart)},
        sensors={n: part for n, part in parts if isinstance(part, PowerPart)},
    )


_BOXES: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _ATTENUATORS
}
MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    **_BOXES,
    "Keysight N7752A power meter": _BOXES["Keysight N7752A"],
}
