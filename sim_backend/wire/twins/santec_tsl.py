"""Twins of Santec's TSL-570, TSL-770 and TSL-550 lasers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.bench.units import dbm_from_si, si_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.dialects.santec_numbers import SantecNumbers
from sim_backend.wire.dialects.santec_sweep import SantecSweep
from sim_backend.wire.dialects.scpi_values import checked_value
from sim_backend.wire.dialects.unconnected import unconnected_laser
from sim_backend.wire.scpi_session import (
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    ScpiSession,
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "SantecTSLTwin"]

_WAVELENGTHS_M = (1480e-9, 1640e-9)
_POWERS_DBM = (-15.0, 13.0)
_MOVE_NM_PER_S = 100.0
_MOVE_LEAST_S = 0.02
_DARK_DBM = -60.0
_FIRMWARE = "0026.0026.0011"
_ALERTS: Final = {"No07": "Inter lock detection", "No23": "Ongoing Warm up"}


@dataclass
class _State:
    """Everything that can be set."""

    power_unit_mw: bool = False
    wavelength_unit_thz: bool = False
    automatic: bool = False
    attenuation_db: float = 0.0
    coherence_control: bool = False
    fine: float = 0.0
    shutter_closed: bool = True
    diode: bool = False
    modulation: bool = False


class SantecTSLTwin(Twin):
    """One laser.

    Args:
        model: `TSL-570`, `TSL-770` or `TSL-550`.
        clock: simulated time.
        serial: serial number.
        laser: of the scene; without one its light leads nowhere.
        warm_up_s: how long it reports that it warms up.
        interlock_closed: whether it may emit.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        laser: LaserPart | None,
        warm_up_s: float = 0.0,
        interlock_closed: bool = True,
    ) -> None:
        self.model = model
        self.interlock_closed = interlock_closed
        self._clock = clock
        self._serial = serial
        self._part = unconnected_laser(clock) if laser is None else laser
        self._warm_at_s = clock.now() + warm_up_s
        self._busy_until_s = 0.0
        self._alert_index = 0
        self._numbers = SantecNumbers()
        self._errors = ErrorQueue(empty='0,"No error"', plus=False)
        self._separate_shutter = model == "TSL-550"
        self._state = _State()
        self._sweep = SantecSweep(self._numbers, clock, self._move, _WAVELENGTHS_M)
        self._preset()

    def session(self) -> Session:
        """See `Twin.session`."""
        return ScpiSession(self._clock, self._table(), self._errors, ends=b"\r", end=b"\r")

    def _preset(self) -> None:
        self._state = _State()
        self._sweep.preset()
        self._part.set_emission(False)

    def _table(self) -> Mapping[str, Handler]:
        whole = self._numbers.whole
        return {
            "*IDN?": lambda _: f"SANTEC,{self.model},{self._serial},{_FIRMWARE}",
            "*OPC?": lambda _: "0" if self._is_busy() else "1",
            "*RST": lambda _: self._preset(),
            ":SYSTem:COMMunicate:CODe": self._choose_set,
            ":SYSTem:COMMunicate:CODe?": lambda _: whole(self._numbers.scpi),
            ":SYSTem:LOCK?": lambda _: whole(not self.interlock_closed),
            ":SYSTem:ALERt?": lambda _: self._next_alert(),
            ":SYSTem:VERSion?": lambda _: _FIRMWARE,
            ":SYSTem:CODe?": lambda _: self.model,
            **self._power_table(),
            **self._wavelength_table(),
            **self._sweep.table(),
        }

    def _power_table(self) -> Mapping[str, Handler]:
        power = "[:SOURce#][:CHANnel#]:POWer"
        whole, plain = self._numbers.whole, self._numbers.plain
        return {
            f"{power}:STATe": self._switch,
            f"{power}:STATe?": lambda _: whole(self._is_on()),
            f"{power}:SHUTter": self._shut,
            f"{power}:SHUTter?": lambda _: whole(self._is_shut()),
            f"{power}[:LEVel]": self._set_power,
            f"{power}[:LEVel]?": self._power,
            f"{power}:MINimum?": lambda _: self._legacy(plain(self._in_unit(_POWERS_DBM[0]))),
            f"{power}:MAXimum?": lambda _: self._legacy(plain(self._in_unit(_POWERS_DBM[1]))),
            f"{power}:ACTual[:LEVel]?": lambda _: plain(self._in_unit(self._actual_dbm())),
            f"{power}:UNIT": self._set_power_unit,
            f"{power}:UNIT?": lambda _: whole(self._state.power_unit_mw),
            f"{power}:ATTenuation": self._set_attenuation,
            f"{power}:ATTenuation?": lambda _: plain(self._state.attenuation_db),
            f"{power}:ATTenuation:AUTo": self._set_automatic,
            f"{power}:ATTenuation:AUTo?": lambda _: whole(self._state.automatic),
        }

    def _wavelength_table(self) -> Mapping[str, Handler]:
        source = "[:SOURce#][:CHANnel#]"
        low_m, high_m = _WAVELENGTHS_M
        numbers, light = self._numbers, SPEED_OF_LIGHT_M_PER_S
        return {
            f"{source}:WAVelength": self._set_wavelength,
            f"{source}:WAVelength?": self._wavelength,
            f"{source}:WAVelength:MINimum?": lambda _: self._legacy(numbers.wavelength(low_m)),
            f"{source}:WAVelength:MAXimum?": lambda _: self._legacy(numbers.wavelength(high_m)),
            f"{source}:WAVelength:UNIT": self._set_wavelength_unit,
            f"{source}:WAVelength:UNIT?": lambda _: numbers.whole(self._state.wavelength_unit_thz),
            f"{source}:WAVelength:FINe": self._set_fine,
            f"{source}:WAVelength:FINe?": lambda _: numbers.plain(self._state.fine),
            f"{source}:WAVelength:FINetuning:DISable": self._end_fine,
            f"{source}:WAVelength:FINe:DISable": self._end_fine,
            f"{source}[:WAVelength]:FREQuency": self._set_frequency,
            f"{source}[:WAVelength]:FREQuency?": self._frequency,
            f"{source}[:WAVelength]:FREQuency:MINimum?": lambda _: self._legacy(
                numbers.frequency(light / high_m)
            ),
            f"{source}[:WAVelength]:FREQuency:MAXimum?": lambda _: self._legacy(
                numbers.frequency(light / low_m)
            ),
            f"{source}:COHC": self._set_coherence,
            f"{source}:COHC?": lambda _: numbers.whole(self._state.coherence_control),
            f"{source}:AM:STATe": self._set_modulation,
            f"{source}:AM:STATe?": lambda _: numbers.whole(self._state.modulation),
        }

    def _choose_set(self, call: Call) -> None:
        self._numbers.scpi = call.flag()

    def _legacy(self, answer: str) -> str:
        if self._numbers.scpi:
            raise Complaint(-113, "Undefined header")
        return answer

    def _next_alert(self) -> str:
        """One alert a time, then that there are no more."""
        present = [] if self.interlock_closed else ["No07"]
        if self._clock.now() < self._warm_at_s:
            present.append("No23")
        if self._alert_index >= len(present):
            self._alert_index = 0
            return "No alerts."
        number = present[self._alert_index]
        self._alert_index += 1
        return f"{number}.,{_ALERTS[number]}"

    def _is_on(self) -> bool:
        return self._state.diode

    def _is_shut(self) -> bool:
        return self._state.shutter_closed if self._separate_shutter else not self._state.diode

    def _switch(self, call: Call) -> None:
        self._light(diode=call.flag())

    def _shut(self, call: Call) -> None:
        if self._separate_shutter:
            self._state.shutter_closed = call.flag()
            self._light(diode=self._state.diode)
        else:
            self._light(diode=not call.flag())

    def _light(self, *, diode: bool) -> None:
        if diode and not self.interlock_closed:
            raise Complaint(-200, "Execution error")
        self._state.diode = diode
        self._part.set_emission(diode and not self._is_shut())

    def _in_unit(self, dbm: float) -> float:
        return 10 ** (dbm / 10) if self._state.power_unit_mw else dbm

    def _actual_dbm(self) -> float:
        power_w = self._part.power_w()
        return dbm_from_si(power_w) if power_w > 1e-9 else _DARK_DBM

    def _set_power(self, call: Call) -> None:
        text = call.argument().upper()
        value = call.number({"DBM": 1.0, "MW": 1.0})
        in_mw = text.endswith("MW") or (self._state.power_unit_mw and not text.endswith("DBM"))
        if in_mw and value <= 0:
            raise Complaint(-222, "Data out of range")
        power_dbm = dbm_from_si(value * 1e-3) if in_mw else value
        lowest, highest = _POWERS_DBM
        if not lowest - 1e-9 <= power_dbm <= highest + 0.011:  # 20 mW are 13.01 dBm
            raise Complaint(-222, "Data out of range")
        self._part.set_power_w(si_from_dbm(round(power_dbm, 2)))

    def _power(self, call: Call) -> str:
        dbm = self._named(call, dict(zip(("MIN", "MAX"), _POWERS_DBM, strict=True)))
        if dbm is None:
            dbm = dbm_from_si(max(self._part.power_setpoint_w(), 1e-12))
        return self._numbers.plain(self._in_unit(dbm))

    def _named(self, call: Call, limits: dict[str, float]) -> float | None:
        """The limit that a query of the SCPI set asks for."""
        if not call.arguments:
            return None
        word = call.argument().upper()[:3]
        if not self._numbers.scpi or word not in limits:
            raise Complaint(-108, "Parameter not allowed")
        return limits[word]

    def _set_power_unit(self, call: Call) -> None:
        self._state.power_unit_mw = call.flag()

    def _set_attenuation(self, call: Call) -> None:
        self._state.attenuation_db = checked_value(call.number({"DB": 1.0}), 0.0, 30.0)

    def _set_automatic(self, call: Call) -> None:
        self._state.automatic = call.flag()

    def _set_wavelength(self, call: Call) -> None:
        self._move(round(self._numbers.read_wavelength(call), 13))

    def _move(self, wavelength_m: float) -> None:
        target_m = checked_value(wavelength_m, *_WAVELENGTHS_M)
        way_nm = abs(target_m - self._part.wavelength_setpoint_m()) * 1e9
        self._part.set_wavelength_m(target_m)
        duration_s = way_nm / _MOVE_NM_PER_S + _MOVE_LEAST_S
        self._busy_until_s = self._clock.now() + duration_s

    def _wavelength(self, call: Call) -> str:
        found = self._named(call, dict(zip(("MIN", "MAX"), _WAVELENGTHS_M, strict=True)))
        return self._numbers.wavelength(
            self._part.wavelength_setpoint_m() if found is None else found
        )

    def _set_frequency(self, call: Call) -> None:
        frequency_hz = round(self._numbers.read_frequency(call), -7)
        if frequency_hz <= 0:
            raise Complaint(-222, "Data out of range")
        self._move(SPEED_OF_LIGHT_M_PER_S / frequency_hz)

    def _frequency(self, call: Call) -> str:
        low_m, high_m = _WAVELENGTHS_M
        limits = {"MIN": SPEED_OF_LIGHT_M_PER_S / high_m, "MAX": SPEED_OF_LIGHT_M_PER_S / low_m}
        found = self._named(call, limits)
        if found is None:
            found = SPEED_OF_LIGHT_M_PER_S / self._part.wavelength_setpoint_m()
        return self._numbers.frequency(found)

    def _set_wavelength_unit(self, call: Call) -> None:
        self._state.wavelength_unit_thz = call.flag()

    def _set_fine(self, call: Call) -> None:
        self._state.fine = round(checked_value(call.number(), -100.0, 100.0), 2)

    def _end_fine(self, _: Call) -> None:
        self._state.fine = 0.0

    def _set_coherence(self, call: Call) -> None:
        self._state.coherence_control = call.flag()

    def _set_modulation(self, call: Call) -> None:
        self._state.modulation = call.flag()

    def _is_busy(self) -> bool:
        unsettled = self._part.emission() and not self._part.is_settled()
        return unsettled or self._clock.now() < self._busy_until_s - 1e-12


def _make(model: str, place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return SantecTSLTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        laser=part if isinstance(part, LaserPart) else None,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Santec {model}": partial(_make, model) for model in ("TSL-550", "TSL-570", "TSL-770")
}
