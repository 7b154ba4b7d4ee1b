"""Twins of the Keysight N7711A and N7714A lasers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.bench.units import dbm_from_si, si_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin, n77xx_checked, n77xx_number
from sim_backend.wire.dialects.scpi_values import FREQUENCY_UNITS, LENGTH_UNITS
from sim_backend.wire.dialects.unconnected import unconnected_laser
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "KeysightN771xTwin"]

_PORTS: Final = {"N7711A": 1, "N7714A": 4}
_POWERS_W = (si_from_dbm(6.0), si_from_dbm(15.5))
_WAVELENGTHS_M = (1527.60e-9, 1565.50e-9)
_OFFSET_HZ = 6e9
_GRIDS_HZ = (1e9, 1e13)
_MOST_CHANNELS = 1e5
_BLANK_S = 1.0
_SHORTEST_BUSY_S = 0.3
_LASER_ON = "Not allowed while laser is on"
_AUTO_ON = "Not allowed while frequency auto mode is on"
_AUTO_OFF = "Not allowed while frequency auto mode is off"


@dataclass
class _Port:
    """The settings of one laser."""

    part: LaserPart
    on: bool = False
    watts: bool = False
    auto: bool = True
    reference_hz: float = 193.1e12
    grid_hz: float = 50e9
    channel: int = 0
    offset_hz: float = 0.0
    dither: bool = True
    blank_until_s: float | None = None


class KeysightN771xTwin(N77xxTwin):
    """A box with one or four lasers.

    Args:
        model: such as `N7714A`.
        clock: simulated time.
        serial: serial number.
        lasers: of the scene, by port; other ports have lasers that lead nowhere.
    """

    def __init__(
        self, *, model: str, clock: SimulatedClock, serial: str, lasers: Mapping[int, LaserPart]
    ) -> None:
        count = _PORTS[model]
        super().__init__(model=model, serial=serial, clock=clock, slots=tuple([model] * count))
        self._ports = {
            number: _Port(part=lasers.get(number) or unconnected_laser(clock, number))
            for number in range(1, count + 1)
        }
        clock.on_advance(self._age)
        self.preset()

    def preset(self) -> None:
        """All lasers off."""
        for number, port in self._ports.items():
            port.part.set_emission(False)
            self._ports[number] = _Port(part=port.part)

    def is_busy(self, slot: int | None = None) -> bool:
        """Whether a laser is tuning, or was just told something."""
        chosen = self._ports.values() if slot is None else [self._ports[slot]]
        moving = any(port.on and not port.part.is_settled() for port in chosen)
        return moving or super().is_busy(slot)

    def table(self) -> Mapping[str, Handler]:
        """See `N77xxTwin.table`."""
        source = "[:SOURce#][:CHANnel#]"
        return {
            ":OUTPut#[:CHANnel#][:STATe]": self._at(self._switch),
            ":OUTPut#[:CHANnel#][:STATe]?": self._at(lambda _, port: f"{port.on:+d}"),
            f"{source}:POWer:STATe": self._at(self._switch),
            f"{source}:POWer:STATe?": self._at(lambda _, port: f"{port.on:+d}"),
            f"{source}:POWer[:LEVel]": self._at(self._set_power),
            f"{source}:POWer[:LEVel]?": self._at(self._power),
            f"{source}:POWer:UNIT": self._at(self._set_unit),
            f"{source}:POWer:UNIT?": self._at(lambda _, port: f"{port.watts:+d}"),
            f"{source}:MODUlation:INTernal": self._at(self._set_dither),
            f"{source}:MODUlation:INTernal?": self._at(lambda _, port: f"{port.dither:+d}"),
            f"{source}:MODUlation:INTernal:WAVeform?": self._at(lambda _c, _p: "SIN"),
            ":STATus#:QUEStionable:CONDition?": self._at(
                lambda _, port: f"{4096 * (port.offset_hz != 0):+d}"
            ),
            **self._tuning_table(source),
        }

    def _tuning_table(self, source: str) -> Mapping[str, Handler]:
        return {
            f"{source}:WAVelength[:CW]": self._at(self._set_wavelength),
            f"{source}:WAVelength[:CW]?": self._at(self._wavelength),
            f"{source}:FREQuency": self._at(self._set_frequency),
            f"{source}:FREQuency?": self._at(lambda _, port: n77xx_number(_frequency_hz(port))),
            f"{source}:WAVelength:AUTO": self._at(self._set_auto),
            f"{source}:WAVelength:AUTO?": self._at(lambda _, port: f"{port.auto:+d}"),
            f"{source}:FREQuency:AUTO": self._at(self._set_auto),
            f"{source}:FREQuency:AUTO?": self._at(lambda _, port: f"{port.auto:+d}"),
            f"{source}:FREQuency:REFerence": self._at(self._set_reference),
            f"{source}:FREQuency:REFerence?": self._at(lambda _, p: n77xx_number(p.reference_hz)),
            f"{source}:FREQuency:GRID": self._at(self._set_grid),
            f"{source}:FREQuency:GRID?": self._at(lambda _, port: n77xx_number(port.grid_hz)),
            f"{source}:FREQuency:CHANnel": self._at(self._set_channel),
            f"{source}:FREQuency:CHANnel?": self._at(lambda _, port: f"{port.channel:+d}"),
            f"{source}:FREQuency:OFFSet": self._at(self._set_offset),
            f"{source}:FREQuency:OFFSet?": self._at(lambda _, p: n77xx_number(p.offset_hz)),
            f"{source}:WAVelength:TOGRid": self._at(self._to_grid),
            f"{source}:FREQuency:TOGRid": self._at(self._to_grid),
        }

    def _at(self, do: "Callable[[Call, _Port], Answer]") -> Handler:
        """A command to the laser of its first suffix."""

        def handle(call: Call) -> Answer:
            return do(call, self._ports[self.need_slot(call.suffixes[0], tuple(self._ports))])

        return handle

    def _switch(self, call: Call, port: _Port) -> None:
        port.on = call.flag()
        port.blank_until_s = None
        port.part.set_emission(port.on)
        self._touched(port)

    def _set_power(self, call: Call, port: _Port) -> None:
        lowest_w, highest_w = _POWERS_W
        text = call.argument().upper()
        named = {"MIN": lowest_w, "MAX": highest_w, "DEF": 10e-3}
        if text in named:
            power_w = named[text]
        else:
            value = call.number({"DBM": 1.0, "MW": 1e-3, "W": 1.0, "WATT": 1.0})
            plain = not text[-1].isalpha()
            in_dbm = text.endswith("DBM") or (plain and not port.watts)
            power_w = si_from_dbm(value) if in_dbm else value
        n77xx_checked(power_w, *_POWERS_W)
        port.part.set_power_w(power_w)
        self._touched(port)

    def _power(self, call: Call, port: _Port) -> str:
        lowest_w, highest_w = _POWERS_W
        named = {"MIN": lowest_w, "MAX": highest_w, "DEF": 10e-3}
        word = call.arguments[0].upper() if call.arguments else ""
        power_w = named.get(word, port.part.power_setpoint_w())
        return n77xx_number(power_w if port.watts else dbm_from_si(power_w))

    def _set_unit(self, call: Call, port: _Port) -> None:
        words = {"DBM": "", "0": "", "W": "watts", "WATT": "watts", "1": "watts"}
        port.watts = bool(call.word(words))

    def _set_dither(self, call: Call, port: _Port) -> None:
        port.dither = call.flag()

    def _set_wavelength(self, call: Call, port: _Port) -> None:
        lowest_m, highest_m = _WAVELENGTHS_M
        named = {"MIN": lowest_m, "MAX": highest_m, "DEF": 1550e-9}
        word = call.argument().upper()
        wavelength_m = named[word] if word in named else call.number(LENGTH_UNITS)
        if not port.auto:
            raise _conflict(_AUTO_OFF)
        self._tune(port, wavelength_m)

    def _wavelength(self, call: Call, port: _Port) -> str:
        lowest_m, highest_m = _WAVELENGTHS_M
        word = call.arguments[0].upper() if call.arguments else ""
        named = {"MIN": lowest_m, "MAX": highest_m}
        return n77xx_number(named.get(word, port.part.wavelength_setpoint_m()))

    def _set_frequency(self, call: Call, port: _Port) -> None:
        frequency_hz = call.number(FREQUENCY_UNITS)
        if not port.auto:
            raise _conflict(_AUTO_OFF)
        if frequency_hz <= 0:
            raise Complaint(-222, "Data out of range (StatParmTooSmall)")
        self._tune(port, SPEED_OF_LIGHT_M_PER_S / frequency_hz)

    def _set_auto(self, call: Call, port: _Port) -> None:
        port.auto = call.flag()
        if not port.auto:
            self._to_grid(call, port)

    def _set_reference(self, call: Call, port: _Port) -> None:
        value = call.number(FREQUENCY_UNITS)
        self._need_grid(port, dark=True)
        self._tune_grid(port, value, port.grid_hz, port.channel, port.offset_hz)

    def _set_grid(self, call: Call, port: _Port) -> None:
        value = call.number(FREQUENCY_UNITS)
        self._need_grid(port, dark=True)
        n77xx_checked(value, *_GRIDS_HZ)
        self._tune_grid(port, port.reference_hz, value, port.channel, port.offset_hz)

    def _set_channel(self, call: Call, port: _Port) -> None:
        value = call.number()
        self._need_grid(port)
        n77xx_checked(value, -_MOST_CHANNELS, _MOST_CHANNELS)
        self._tune_grid(port, port.reference_hz, port.grid_hz, int(value), port.offset_hz)

    def _set_offset(self, call: Call, port: _Port) -> None:
        value = call.number(FREQUENCY_UNITS)
        self._need_grid(port)
        n77xx_checked(value, -_OFFSET_HZ, _OFFSET_HZ)
        self._tune_grid(port, port.reference_hz, port.grid_hz, port.channel, value)

    def _to_grid(self, _: Call, port: _Port) -> None:
        steps = (_frequency_hz(port) - port.reference_hz) / port.grid_hz
        port.auto = False
        self._tune_grid(port, port.reference_hz, port.grid_hz, round(steps), 0.0)

    def _need_grid(self, port: _Port, *, dark: bool = False) -> None:
        # The sheet's example asks for a grid with the laser on and gets the first complaint.
        if dark and port.on:
            raise _conflict(_LASER_ON)
        if port.auto:
            raise _conflict(_AUTO_ON)

    def _tune_grid(
        self, port: _Port, reference_hz: float, grid_hz: float, channel: int, offset_hz: float
    ) -> None:
        frequency_hz = reference_hz + channel * grid_hz + offset_hz
        if frequency_hz <= 0:
            raise Complaint(-222, "Data out of range (StatParmTooSmall)")
        self._tune(port, SPEED_OF_LIGHT_M_PER_S / frequency_hz)
        port.reference_hz, port.grid_hz = reference_hz, grid_hz
        port.channel, port.offset_hz = channel, offset_hz

    def _tune(self, port: _Port, wavelength_m: float) -> None:
        n77xx_checked(wavelength_m, *_WAVELENGTHS_M)
        port.part.set_wavelength_m(wavelength_m)
        self._touched(port)
        if port.on:  # the light is blanked while the laser tunes
            port.part.set_emission(False)
            port.blank_until_s = self.clock.now() + _BLANK_S

    def _touched(self, port: _Port) -> None:
        number = next(number for number, one in self._ports.items() if one is port)
        if port.on:
            self.keep_busy(number, _SHORTEST_BUSY_S)

    def _age(self, _: float) -> None:
        for port in self._ports.values():
            if port.blank_until_s is not None and self.clock.now() >= port.blank_until_s:
                port.blank_until_s = None
                port.part.set_emission(True)


def _conflict(why: str) -> Complaint:
    return Complaint(-221, f"Settings conflict ({why})")


def _frequency_hz(port: _Port) -> float:
    return SPEED_OF_LIGHT_M_PER_S / port.part.wavelength_setpoint_m()


def _make(model: str, place: TwinPlace) -> Twin:
    return KeysightN771xTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        lasers={n: part for n, part in place.parts.items() if isinstance(part, LaserPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _PORTS
}
