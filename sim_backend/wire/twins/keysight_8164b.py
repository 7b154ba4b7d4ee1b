"""Twins of Keysight's N7776C and N7778C, and of an 8164B mainframe with tunable lasers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.bench.units import dbm_from_si, si_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin, n77xx_checked, n77xx_number
from sim_backend.wire.dialects.keysight_sweep import (
    SWEEP_WAVELENGTHS_M,
    KeysightSweep,
    asked_limit,
    sweep_table,
)
from sim_backend.wire.dialects.scpi_values import (
    FREQUENCY_UNITS,
    LENGTH_UNITS,
    POWER_UNITS,
)
from sim_backend.wire.dialects.unconnected import unconnected_laser
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "Keysight8164BTwin"]

_SLOTS: Final = {"8164B": 5, "N7776C": 1, "N7778C": 1}
_POWERS_W = (si_from_dbm(-14.0), si_from_dbm(13.0))
_PASSWORD = "1234"
_MOVE_NM_PER_S = 50.0
_MOVE_LEAST_S = 0.1
_POWER_UNITS: Final = {"DBM": 1.0, **POWER_UNITS}


@dataclass
class _Module:
    """The settings of one laser."""

    part: LaserPart
    slot: int
    sweep: KeysightSweep
    on: bool = False
    watts: bool = False
    modulation: bool = True


class Keysight8164BTwin(N77xxTwin):
    """A box with lasers in its slots, counted from 0.

    Args:
        model: `8164B`, `N7776C` or `N7778C`.
        clock: simulated time.
        serial: serial number.
        lasers: of the scene, by channel: the slot plus one. The laser in slot 0 is there in any
            case; other slots without a part are empty.
    """

    def __init__(
        self, *, model: str, clock: SimulatedClock, serial: str, lasers: Mapping[int, LaserPart]
    ) -> None:
        used = [slot for slot in range(_SLOTS[model]) if slot == 0 or slot + 1 in lasers]
        names = tuple(model if slot in used else "" for slot in range(_SLOTS[model]))
        super().__init__(model=model, serial=serial, clock=clock, slots=names)
        self._modules = {
            slot: self._module(slot, lasers.get(slot + 1) or unconnected_laser(clock, slot))
            for slot in used
        }
        self._locked = True
        self._routing = "DEF"
        clock.on_advance(self._age)
        self.preset()

    def preset(self) -> None:
        """All lasers off; the lock stays as it is."""
        for slot, module in self._modules.items():
            module.part.set_emission(False)
            self._modules[slot] = self._module(slot, module.part)

    def is_busy(self, slot: int | None = None) -> bool:
        """Whether a laser moves."""
        chosen = [one for number, one in self._modules.items() if slot in (None, number)]
        moving = any(one.on and not one.part.is_settled() for one in chosen)
        return moving or super().is_busy(slot)

    def table(self) -> Mapping[str, Handler]:
        """See `N77xxTwin.table`."""
        source = ":SOURce#[:CHANnel#]"
        return {
            ":LOCK": self._lock,
            ":LOCK?": lambda _: f"{self._locked:d}",
            ":SLOT#:IDN?": self._at(lambda _, one: self._identity(one)),
            ":TRIGger:CONFiguration": self._set_routing,
            ":TRIGger:CONFiguration?": lambda _: self._routing,
            f"{source}:POWer:STATe": self._at(self._switch),
            f"{source}:POWer:STATe?": self._at(lambda _, one: f"{one.on:+d}"),
            f"{source}:POWer[:LEVel]": self._at(self._set_power),
            f"{source}:POWer[:LEVel]?": self._at(self._power),
            f"{source}:POWer:UNIT": self._at(self._set_unit),
            f"{source}:POWer:UNIT?": self._at(lambda _, one: f"{one.watts:+d}"),
            f"{source}:WAVelength[:CW]": self._at(self._set_wavelength),
            f"{source}:WAVelength[:CW]?": self._at(self._wavelength),
            f"{source}:WAVelength:FREQuency": self._at(self._set_difference),
            f"{source}:AM:STATe": self._at(self._set_modulation),
            f"{source}:AM:STATe?": self._at(lambda _, one: f"{one.modulation:+d}"),
            f"{source}:WAVelength:SWEep:PMAX?": self._at(
                lambda _call, _one: n77xx_number(_POWERS_W[1])
            ),
            **sweep_table(source, lambda call: self._find(call).sweep),
        }

    def _at(self, do: "Callable[[Call, _Module], Answer]") -> Handler:
        """A command to the laser of its first suffix."""
        return lambda call: do(call, self._find(call))

    def _find(self, call: Call) -> _Module:
        return self._modules[self.need_slot(call.suffixes[0], tuple(self._modules))]

    def _module(self, slot: int, part: LaserPart) -> _Module:
        sweep = KeysightSweep(
            self.clock,
            move=lambda wavelength_m: self._move(self._modules[slot], wavelength_m),
            here_m=part.wavelength_setpoint_m,
            modulated=lambda: self._modules[slot].modulation,
        )
        return _Module(part=part, slot=slot, sweep=sweep)

    def _identity(self, one: _Module) -> str:
        return f"Keysight Technologies,{self.model},{self._serial}-{one.slot},1.0"

    def _lock(self, call: Call) -> None:
        wanted = call.flag()
        if call.argument(1) != _PASSWORD:
            raise Complaint(-220, "Parameter error (wrong password)")
        self._locked = wanted
        if wanted:
            for one in self._modules.values():
                self._light(one, on=False)

    def _set_routing(self, call: Call) -> None:
        self._routing = call.word(
            {"DEFault": "DEF", "1": "DEF", "LOOPback": "LOOP", "3": "LOOP", "DISabled": "DIS"}
        )

    def _switch(self, call: Call, one: _Module) -> None:
        wanted = call.flag()
        if wanted and self._locked:
            raise Complaint(-221, "Settings conflict (laser is locked)")
        self._light(one, on=wanted)

    def _light(self, one: _Module, *, on: bool) -> None:
        one.on = on
        one.part.set_emission(on)

    def _set_power(self, call: Call, one: _Module) -> None:
        text = call.argument().upper()
        value = call.number(_POWER_UNITS)
        in_dbm = text.endswith("DBM") or not (text[-1].isalpha() or one.watts)
        power_w = si_from_dbm(value) if in_dbm else value
        one.part.set_power_w(n77xx_checked(power_w, *_POWERS_W))

    def _power(self, _: Call, one: _Module) -> str:
        power_w = one.part.power_setpoint_w()
        return n77xx_number(power_w if one.watts else dbm_from_si(max(power_w, 1e-12)))

    def _set_unit(self, call: Call, one: _Module) -> None:
        words = {"DBM": "", "0": "", "W": "watts", "WATT": "watts", "1": "watts"}
        one.watts = bool(call.word(words))

    def _set_modulation(self, call: Call, one: _Module) -> None:
        one.modulation = call.flag()

    def _set_wavelength(self, call: Call, one: _Module) -> None:
        self._move(one, call.number(LENGTH_UNITS))

    def _move(self, one: _Module, wavelength_m: float) -> None:
        n77xx_checked(wavelength_m, *SWEEP_WAVELENGTHS_M)
        way_nm = abs(wavelength_m - one.part.wavelength_setpoint_m()) * 1e9
        one.part.set_wavelength_m(wavelength_m)
        self.keep_busy(one.slot, way_nm / _MOVE_NM_PER_S + _MOVE_LEAST_S)

    def _wavelength(self, call: Call, one: _Module) -> str:
        found = asked_limit(call)
        return n77xx_number(one.part.wavelength_setpoint_m() if found is None else found)

    def _set_difference(self, call: Call, one: _Module) -> None:
        """A difference in Hz from where the laser is, as the guide has it."""
        here_hz = SPEED_OF_LIGHT_M_PER_S / one.part.wavelength_setpoint_m()
        there_hz = here_hz + call.number(FREQUENCY_UNITS)
        if there_hz <= 0:
            raise Complaint(-222, "Data out of range (StatParmTooSmall)")
        self._move(one, SPEED_OF_LIGHT_M_PER_S / there_hz)

    def _age(self, _: float) -> None:
        for one in self._modules.values():
            one.sweep.age()


def _make(model: str, place: TwinPlace) -> Twin:
    return Keysight8164BTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        lasers={n: part for n, part in place.parts.items() if isinstance(part, LaserPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    "Keysight 8164B laser": partial(_make, "8164B"),
    "Keysight N7776C": partial(_make, "N7776C"),
    "Keysight N7778C": partial(_make, "N7778C"),
}
