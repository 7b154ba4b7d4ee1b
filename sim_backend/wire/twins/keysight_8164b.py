"""Twins of Keysight's N7776C and N7778C, and of an 8164B mainframe with tunable lasers."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from drivers.dialects.power_units import dbm_from_watts, watts_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin, n77xx_number
from sim_backend.wire.dialects.keysight_n77xx_meter import LENGTH_UNITS
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler, block
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "Keysight8164BTwin"]

_SLOTS: Final = {"8164B": 5, "N7776C": 1, "N7778C": 1}
_WAVELENGTHS_M = (1480e-9, 1640e-9)
_POWERS_W = (watts_from_dbm(-14.0), watts_from_dbm(13.0))
_SPEEDS_NM_S = (0.5, 200.0)
_STEP_M = (1e-13, 1e-7)
_PASSWORD = "1234"
_MOVE_NM_PER_S = 50.0
_MOVE_LEAST_S = 0.1
_MOST_TRIGGERS = 100_001
_FASTEST_TRIGGERS_HZ = 40e3
_UNCONNECTED_SEED = 8164
_SPEED_UNITS: Final = {"NM/S": 1e-9, "PM/S": 1e-12, "UM/S": 1e-6, "M/S": 1.0}
_POWER_UNITS: Final = {
    "DBM": 1.0, "PW": 1e-12, "NW": 1e-9, "UW": 1e-6, "MW": 1e-3, "WATT": 1.0, "W": 1.0
}  # fmt: skip


@dataclass
class _Module:
    """The settings of one laser."""

    part: LaserPart
    slot: int
    on: bool = False
    watts: bool = False
    modulation: bool = True
    start_m: float = 1540e-9
    stop_m: float = 1560e-9
    step_m: float = 1e-12
    speed_m_s: float = 50e-9
    mode: str = "CONT"
    repeat: str = "ONEW"
    cycles: int = 1
    dwell_s: float = 0.1
    logging: bool = False
    trigger_output: str = "DIS"
    trigger_input: str = "IGN"
    running: int = 0
    waits: bool = False
    until_s: float = 0.0
    logged: int = 0


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
            slot: _Module(part=lasers.get(slot + 1) or _unconnected(slot, clock), slot=slot)
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
            self._modules[slot] = _Module(part=module.part, slot=slot)

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
            **self._sweep_settings(f"{source}:WAVelength:SWEep"),
            **self._sweep_actions(source),
        }

    def _sweep_settings(self, sweep: str) -> Mapping[str, Handler]:
        return {
            f"{sweep}:STARt": self._at(partial(self._set_end, "start_m")),
            f"{sweep}:STARt?": self._at(partial(self._end, "start_m")),
            f"{sweep}:STOP": self._at(partial(self._set_end, "stop_m")),
            f"{sweep}:STOP?": self._at(partial(self._end, "stop_m")),
            f"{sweep}:STEP[:WIDTh]": self._at(self._set_step),
            f"{sweep}:STEP[:WIDTh]?": self._at(lambda _, one: n77xx_number(one.step_m)),
            f"{sweep}:SPEed": self._at(self._set_speed),
            f"{sweep}:SPEed?": self._at(lambda _, one: n77xx_number(one.speed_m_s)),
            f"{sweep}:MODE": self._at(self._set_mode),
            f"{sweep}:MODE?": self._at(lambda _, one: one.mode),
            f"{sweep}:REPeat": self._at(self._set_repeat),
            f"{sweep}:REPeat?": self._at(lambda _, one: one.repeat),
            f"{sweep}:CYCLes": self._at(self._set_cycles),
            f"{sweep}:CYCLes?": self._at(lambda _, one: f"{one.cycles:+d}"),
            f"{sweep}:DWELl": self._at(self._set_dwell),
            f"{sweep}:DWELl?": self._at(lambda _, one: n77xx_number(one.dwell_s)),
            f"{sweep}:LLOGging": self._at(self._set_logging),
            f"{sweep}:LLOGging?": self._at(lambda _, one: f"{one.logging:+d}"),
            ":TRIGger#:OUTPut": self._at(self._set_trigger_output),
            ":TRIGger#:OUTPut?": self._at(lambda _, one: one.trigger_output),
            ":TRIGger#:INPut": self._at(self._set_trigger_input),
            ":TRIGger#:INPut?": self._at(lambda _, one: one.trigger_input),
        }

    def _sweep_actions(self, source: str) -> Mapping[str, Handler]:
        sweep = f"{source}:WAVelength:SWEep"
        return {
            f"{sweep}[:STATe]": self._at(self._run),
            f"{sweep}[:STATe]?": self._at(lambda _, one: f"{one.running:+d}"),
            f"{sweep}:SOFTtrigger": self._at(self._trigger),
            f"{sweep}:FLAG?": self._at(lambda _, one: f"{one.waits:+d}"),
            f"{sweep}:CHECkparams?": self._at(lambda _, one: _check(one)),
            f"{sweep}:EXPectedtriggernum?": self._at(lambda _, one: f"{_triggers(one):+d}"),
            f"{sweep}:PMAX?": self._at(lambda _c, _o: n77xx_number(_POWERS_W[1])),
            f"{sweep}:STEP:NEXT": self._at(partial(self._step, 1)),
            f"{sweep}:STEP:PREVious": self._at(partial(self._step, -1)),
            f"{source}:READout:POINts?": self._at(lambda _, one: f"{one.logged:+d}"),
            f"{source}:READout:DATA?": self._at(self._log),
        }

    def _at(self, do: "Callable[[Call, _Module], Answer]") -> Handler:
        """A command to the laser of its first suffix."""

        def handle(call: Call) -> Answer:
            return do(call, self._modules[self.need_slot(call.suffixes[0], tuple(self._modules))])

        return handle

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
        power_w = watts_from_dbm(min(value, 400.0)) if in_dbm else value
        one.part.set_power_w(_checked(power_w, _POWERS_W))

    def _power(self, _: Call, one: _Module) -> str:
        power_w = one.part.power_setpoint_w()
        return n77xx_number(power_w if one.watts else dbm_from_watts(max(power_w, 1e-12)))

    def _set_unit(self, call: Call, one: _Module) -> None:
        words = {"DBM": "", "0": "", "W": "watts", "WATT": "watts", "1": "watts"}
        one.watts = bool(call.word(words))

    def _set_modulation(self, call: Call, one: _Module) -> None:
        one.modulation = call.flag()

    def _set_wavelength(self, call: Call, one: _Module) -> None:
        self._move(one, call.number(LENGTH_UNITS))

    def _move(self, one: _Module, wavelength_m: float) -> None:
        way_nm = (
            abs(_checked(wavelength_m, _WAVELENGTHS_M) - one.part.wavelength_setpoint_m()) * 1e9
        )
        one.part.set_wavelength_m(wavelength_m)
        self.keep_busy(one.slot, way_nm / _MOVE_NM_PER_S + _MOVE_LEAST_S)

    def _wavelength(self, call: Call, one: _Module) -> str:
        found = _named(call)
        return n77xx_number(one.part.wavelength_setpoint_m() if found is None else found)

    def _set_difference(self, call: Call, one: _Module) -> None:
        """A difference in Hz from where the laser is, as the guide has it."""
        factors = {"HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9, "THZ": 1e12}
        here_hz = SPEED_OF_LIGHT_M_PER_S / one.part.wavelength_setpoint_m()
        there_hz = here_hz + call.number(factors)
        if there_hz <= 0:
            raise Complaint(-222, "Data out of range (StatParmTooSmall)")
        self._move(one, SPEED_OF_LIGHT_M_PER_S / there_hz)

    def _set_end(self, which: str, call: Call, one: _Module) -> None:
        setattr(one, which, _checked(call.number(LENGTH_UNITS), _WAVELENGTHS_M))

    def _end(self, which: str, call: Call, one: _Module) -> str:
        found = _named(call)
        return n77xx_number(getattr(one, which) if found is None else found)

    def _set_step(self, call: Call, one: _Module) -> None:
        one.step_m = _checked(call.number(LENGTH_UNITS), _STEP_M)

    def _set_speed(self, call: Call, one: _Module) -> None:
        lowest, highest = _SPEEDS_NM_S
        one.speed_m_s = _checked(call.number(_SPEED_UNITS), (lowest * 1e-9, highest * 1e-9))

    def _set_mode(self, call: Call, one: _Module) -> None:
        one.mode = call.word({"STEPped": "STEP", "MANual": "MAN", "CONTinuous": "CONT"})

    def _set_repeat(self, call: Call, one: _Module) -> None:
        one.repeat = call.word({"ONEWay": "ONEW", "TWOWay": "TWOW"})

    def _set_cycles(self, call: Call, one: _Module) -> None:
        one.cycles = int(_checked(call.number(), (0.0, 999.0)))

    def _set_dwell(self, call: Call, one: _Module) -> None:
        one.dwell_s = _checked(call.number({"S": 1.0, "MS": 1e-3}), (0.0, 1e3))

    def _set_logging(self, call: Call, one: _Module) -> None:
        one.logging = call.flag()

    def _set_trigger_output(self, call: Call, one: _Module) -> None:
        words = {"DISabled": "DIS", "STFinished": "STF", "SWFinished": "SWF", "SWSTarted": "SWST"}
        one.trigger_output = call.word(words)

    def _set_trigger_input(self, call: Call, one: _Module) -> None:
        one.trigger_input = call.word({"IGNore": "IGN", "NEXTstep": "NEXT", "SWStart": "SWS"})

    def _run(self, call: Call, one: _Module) -> None:
        words = {"0": "0", "STOP": "0", "1": "1", "STARt": "1", "2": "2", "PAUSe": "2"}
        wanted = int(call.word(words))
        if wanted == 1:
            if not _check(one).startswith("0,"):
                one.logging = False
                raise Complaint(-221, "Settings conflict (sweep parameters inconsistent)")
            self._move(one, one.start_m)
            one.waits = one.trigger_input == "SWS"
            one.until_s = self.clock.now() + _duration_s(one)
        one.running = wanted
        one.waits = one.waits and wanted == 1

    def _trigger(self, _: Call, one: _Module) -> None:
        if one.running and one.waits:
            one.waits = False
            one.until_s = self.clock.now() + _duration_s(one)

    def _step(self, direction: int, _: Call, one: _Module) -> None:
        if one.mode != "MAN":
            raise Complaint(-221, "Settings conflict (sweep mode is not manual)")
        self._move(one, one.part.wavelength_setpoint_m() + direction * one.step_m)

    def _log(self, _: Call, one: _Module) -> Answer:
        wavelengths_m = one.start_m + one.step_m * np.arange(one.logged)
        return block(struct.pack(f"<{one.logged}d", *wavelengths_m))

    def _age(self, _: float) -> None:
        """End the sweeps whose time is over; logging is off behind each."""
        for one in self._modules.values():
            if one.running == 1 and not one.waits and self.clock.now() >= one.until_s:
                one.running = 0
                one.logged = _triggers(one) if one.logging else 0
                one.logging = False
                self._move(one, one.stop_m)


def _triggers(one: _Module) -> int:
    return int((one.stop_m - one.start_m) / one.step_m + 1.5)


def _duration_s(one: _Module) -> float:
    if one.mode == "STEP":
        return _triggers(one) * one.dwell_s
    return (one.stop_m - one.start_m) / one.speed_m_s


def _check(one: _Module) -> str:
    """Whether a sweep can be started, with the codes of the maker's guide."""
    if one.stop_m <= one.start_m:
        return "368,LambdaStop <=LambdaStart"
    if one.logging:
        if one.mode != "CONT":
            return "376,lambda logging only in continuous sweep"
        if one.trigger_output != "STF":
            return "375,lambda logging needs trigger output step finished"
        if one.modulation:
            return "374,modulation must be coherence control or off"
        if _triggers(one) > _MOST_TRIGGERS:
            return "373,too many triggers"
    if one.trigger_output == "STF" and one.speed_m_s / one.step_m > _FASTEST_TRIGGERS_HZ:
        return "371,trigger frequency too high"
    return "0,OK"


def _named(call: Call) -> float | None:
    """The limit that a query asks for."""
    if not call.arguments:
        return None
    return {"MIN": _WAVELENGTHS_M[0], "MAX": _WAVELENGTHS_M[1]}[
        call.word({"MIN": "MIN", "MAX": "MAX"})
    ]


def _checked(value: float, limits: tuple[float, float]) -> float:
    # A value that was asked for may come back rounded to nine digits.
    lowest, highest = limits
    if value > highest + 1e-8 * abs(highest):
        raise Complaint(-222, "Data out of range (StatParmTooLarge)")
    if value < lowest - 1e-8 * abs(lowest):
        raise Complaint(-222, "Data out of range (StatParmTooSmall)")
    return value


def _unconnected(slot: int, clock: SimulatedClock) -> LaserPart:
    """A laser whose light goes nowhere."""
    rng = np.random.default_rng((_UNCONNECTED_SEED, slot))
    return LaserPart(LaserSettings(), rng=rng, clock=clock)


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
