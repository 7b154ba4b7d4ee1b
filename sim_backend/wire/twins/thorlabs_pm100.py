"""Twins of the Thorlabs PM100D, PM100USB and PM101 power meters with a photodiode head."""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import PowerPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.scpi_session import Call, Complaint, ErrorQueue, Handler, Later, ScpiSession
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "ThorlabsPM100Twin"]

_OVER_RANGE: Final = 9.9e37
_SAMPLE_S: Final = 3e-4
_RANGING_S: Final = 0.05
_ZERO_S: Final = 1.0
_LOWEST_NM, _HIGHEST_NM = 800.0, 1700.0
_RANGES_W: Final = tuple(20e-3 / 10**step for step in range(6, -1, -1))
_MOST_SAMPLES: Final = 10000
_AMPERES_PER_WATT: Final = 1.0
_LINES: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_OUT_OF_RANGE: Final = Complaint(-222, "Data out of range")
_WATTS: Final = {"W": 1.0, "MW": 1e-3, "UW": 1e-6, "NW": 1e-9}
_LENGTHS: Final = {"NM": 1.0, "UM": 1e3, "M": 1e9}


class ThorlabsPM100Twin(Twin):
    """A meter with an InGaAs head for 800 to 1700 nm and 20 mW.

    Args:
        model: such as `PM100D`.
        clock: simulated time.
        serial: serial number.
        head: part of the scene; None for a head in the dark.
        sensor: whether a head is plugged in.
    """

    line = SerialSettings(baud=115200)

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        head: PowerPart | None,
        sensor: bool = True,
    ) -> None:
        self.model = f"Thorlabs {model}"
        self.clock = clock
        self.errors = ErrorQueue(size=10)
        self._identity = f"Thorlabs,{model},{serial},2.4.0"
        self._head = head
        self._sensor = sensor
        self._dark_nm = 1550.0
        self._range = len(_RANGES_W) - 1
        self._last_w = 0.0
        self._ready_s = 0.0
        self._zeroed_s = 0.0
        self._zeroes = False
        self._transitions = {"PTR": 32767, "NTR": 0}
        self._numbers: dict[str, float] = {}
        self._flags: dict[str, bool] = {}
        self.unit = "W"
        self.preset()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _OneQuery(self.clock, self.table(), self.errors)

    def preset(self) -> None:
        """Back to the state after `*RST`; the wavelength stays."""
        self.unit = "W"
        self._numbers = {"samples": 1.0, "loss": 0.0, "beam": 3.0, "reference": 0.0}
        self._flags = {"auto": True, "filter": False, "delta": False}

    def press_unit_key(self) -> None:
        """Somebody presses the key of the front panel that exchanges W and dBm."""
        self.unit = "DBM" if self.unit == "W" else "W"

    def table(self) -> Mapping[str, Handler]:
        """All commands."""
        correction = "[:SENSe]:CORRection"
        power = "[:SENSe]:POWer[:DC]"
        return {
            "*IDN?": lambda _: self._identity,
            "*RST": lambda _: self.preset(),
            "*OPT?": lambda _: "0",
            ":SYSTem:SENSor:IDN?": lambda _: self._sensor_text(),
            ":SYSTem:BEEPer[:IMMediate]": lambda _: None,
            f"{correction}:WAVelength": self._set_wavelength,
            f"{correction}:WAVelength?": self._wavelength,
            **self._number(f"{correction}[:LOSS][:INPut][:MAGNitude]", "loss", -60.0, 60.0),
            **self._number(f"{correction}:BEAMdiameter", "beam", 0.1, 50.0),
            f"{correction}:COLLect:ZERO[:INITiate]": lambda _: self._begin_zero(),
            f"{correction}:COLLect:ZERO:ABORt": lambda _: self._end_zero(),
            f"{correction}:COLLect:ZERO:STATe?": lambda _: str(int(self._is_zeroing())),
            f"{correction}:COLLect:ZERO:MAGNitude?": lambda _: _said(0.0),
            f"{power}:RANGe[:UPPer]": self._set_range,
            f"{power}:RANGe[:UPPer]?": self._asked_range,
            **self._flag(f"{power}:RANGe:AUTO", "auto"),
            f"{power}:UNIT": self._set_unit,
            f"{power}:UNIT?": lambda _: self.unit,
            **self._number(f"{power}:REFerence", "reference", -1.0, 1.0, _WATTS),
            **self._flag(f"{power}:REFerence:STATe", "delta"),
            "[:SENSe]:AVERage[:COUNt]": self._set_samples,
            "[:SENSe]:AVERage[:COUNt]?": lambda _: str(int(self._numbers["samples"])),
            **self._flag("INPut[:PDIode]:FILTer[:LPASs][:STATe]", "filter"),
            ":CONFigure[:SCALar]:POWer": lambda _: None,
            ":CONFigure[:SCALar]?": lambda _: "POW",
            ":MEASure[:SCALar][:POWer]?": lambda _: self._reading(),
            ":MEASure[:SCALar]:CURRent?": lambda _: self._current(),
            ":MEASure[:SCALar]:TEMPerature?": lambda _: _said(25.0),
            ":READ?": lambda _: self._reading(),
            ":INITiate[:IMMediate]": lambda _: self._begin(),
            ":FETCh?": lambda _: self._fetched(),
            ":ABORt": lambda _: None,
            ":STATus:OPERation[:EVENt]?": lambda _: "0",
            ":STATus:OPERation:CONDition?": lambda _: "0",
            ":STATus:OPERation:PTRansition": partial(self._transition, "PTR"),
            ":STATus:OPERation:NTRansition": partial(self._transition, "NTR"),
            ":STATus:OPERation:PTRansition?": lambda _: str(self._transitions["PTR"]),
            ":STATus:OPERation:NTRansition?": lambda _: str(self._transitions["NTR"]),
        }

    def _sensor_text(self) -> str:
        if not self._sensor:
            return "no sensor,,,0,0,0"
        return "S155C,12345,01-JAN-2020,1,18,289"

    def _number(
        self, pattern: str, name: str, low: float, high: float, units: Mapping[str, float] = {}
    ) -> dict[str, Handler]:
        def put(call: Call) -> None:
            ends = {"MINimum": str(low), "MAXimum": str(high), "DEFault": str(self._default(name))}
            try:
                value = float(call.word(ends))
            except Complaint:
                value = call.number(units)
            if not low <= value <= high:
                raise _OUT_OF_RANGE
            self._numbers[name] = value

        return {pattern: put, f"{pattern}?": lambda _: _said(self._numbers[name])}

    @staticmethod
    def _default(name: str) -> float:
        return {"beam": 3.0}.get(name, 0.0)

    def _flag(self, pattern: str, name: str) -> dict[str, Handler]:
        def put(call: Call) -> None:
            self._flags[name] = call.flag()

        return {pattern: put, f"{pattern}?": lambda _: str(int(self._flags[name]))}

    def _set_samples(self, call: Call) -> None:
        count = call.number()
        if not 1 <= count <= _MOST_SAMPLES:
            raise _OUT_OF_RANGE
        self._numbers["samples"] = float(round(count))

    def _set_unit(self, call: Call) -> None:
        self.unit = call.word({"W": "W", "DBM": "DBM"})

    def _set_wavelength(self, call: Call) -> None:
        try:
            ends = {"MINimum": str(_LOWEST_NM), "MAXimum": str(_HIGHEST_NM), "DEFault": "1550"}
            wavelength_nm = float(call.word(ends))
        except Complaint:
            wavelength_nm = call.number(_LENGTHS)
        if not _LOWEST_NM - 1e-6 <= wavelength_nm <= _HIGHEST_NM + 1e-6:
            raise _OUT_OF_RANGE
        if self._head is None:
            self._dark_nm = wavelength_nm
        else:
            self._head.wavelength_m = wavelength_nm * 1e-9

    def _wavelength(self, call: Call) -> str:
        if call.arguments:
            ends = {"MINimum": _LOWEST_NM, "MAXimum": _HIGHEST_NM, "DEFault": 1550.0}
            return _said(ends[call.word({name: name for name in ends})])
        return _said(self._dark_nm if self._head is None else self._head.wavelength_m * 1e9)

    def _set_range(self, call: Call) -> None:
        """The next larger range; it is then set by hand."""
        try:
            ends = {"MINimum": str(_RANGES_W[0]), "MAXimum": str(_RANGES_W[-1])}
            wanted_w = float(call.word(ends))
        except Complaint:
            wanted_w = call.number(_WATTS)
        if not 0 <= wanted_w <= _RANGES_W[-1]:
            raise _OUT_OF_RANGE
        self._range = _range_for(wanted_w)
        self._flags["auto"] = False

    def _asked_range(self, call: Call) -> str:
        if call.arguments:
            ends = {"MINimum": _RANGES_W[0], "MAXimum": _RANGES_W[-1]}
            return _said(ends[call.word({name: name for name in ends})])
        return _said(_RANGES_W[self._range])

    def _transition(self, name: str, call: Call) -> None:
        value = call.number()
        if not 0 <= value <= 65535:
            raise _OUT_OF_RANGE
        self._transitions[name] = int(value)

    def _begin_zero(self) -> None:
        self._need_sensor()
        self._zeroed_s = self.clock.now() + _ZERO_S
        self._zeroes = True

    def _end_zero(self) -> None:
        self._zeroes = False

    def _is_zeroing(self) -> bool:
        if self._zeroes and self.clock.now() >= self._zeroed_s:
            self._zeroes = False
            if self._head is not None:
                self._head.zero(_ZERO_S)
        return self._zeroes

    def _need_sensor(self) -> None:
        if not self._sensor:
            raise Complaint(-231, "Data questionable")

    def _begin(self) -> None:
        """Begin a measurement: as long as it averages, and longer where the range changes."""
        self._need_sensor()
        self._is_zeroing()
        duration_s = _SAMPLE_S * self._numbers["samples"]
        if self._head is None:
            self._last_w = 0.0
        else:
            loss = 10 ** (self._numbers["loss"] / 10)
            self._last_w = self._head.read_w(duration_s) * loss
        if self._flags["auto"]:
            wanted = _range_for(abs(self._last_w))
            duration_s += _RANGING_S * abs(wanted - self._range)
            self._range = wanted
        self._ready_s = self.clock.now() + duration_s

    def _reading(self) -> Later:
        self._begin()
        return self._fetched()

    def _fetched(self) -> Later:
        self._need_sensor()
        ready_s = self._ready_s
        return Later(
            until=lambda: self.clock.now() >= ready_s - 1e-12, answer=self._shown, at_s=ready_s
        )

    def _shown(self) -> str:
        """The reading as it is written; over-range and the logarithm of no light have a value."""
        power_w = self._last_w - (self._numbers["reference"] if self._flags["delta"] else 0.0)
        if abs(self._last_w) > 1.1 * _RANGES_W[self._range]:
            return _said(math.copysign(_OVER_RANGE, self._last_w))
        if self.unit == "W":
            return _said(power_w)
        return _said(10 * math.log10(power_w / 1e-3) if power_w > 0 else _OVER_RANGE)

    def _current(self) -> str:
        self._begin()
        return _said(self._last_w * _AMPERES_PER_WATT)


class _OneQuery(ScpiSession):
    """A meter that is asked anew before its answer was fetched complains and keeps the old one."""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        for piece in _LINES.findall(data):
            if b"?" in piece and (self._answers or self._waiting is not None):
                self.errors.add(-410, "Query INTERRUPTED")
            else:
                super().feed(piece)


def _range_for(power_w: float) -> int:
    """Index of the smallest range that holds a power, of the largest where none does."""
    return next((i for i, top in enumerate(_RANGES_W) if power_w <= top), len(_RANGES_W) - 1)


def _said(value: float) -> str:
    """A number as the meter writes it, such as `1.550000E+03`."""
    return f"{value:.6E}"


def _make(model: str, place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return ThorlabsPM100Twin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        head=part if isinstance(part, PowerPart) else None,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Thorlabs {model}": partial(_make, model) for model in ("PM100D", "PM100USB", "PM101")
}
