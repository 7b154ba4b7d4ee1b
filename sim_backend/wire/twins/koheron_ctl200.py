"""Twin of the Koheron CTL200 with a laser diode on it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings, LaserSource
from sim_backend.scene.slow import Settling
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "Diode", "KoheronCTL200Twin"]

_LONGEST = 200
_ANSWER_S = 3e-3
_OVERFLOW, _EARLY, _TOO_LOW, _TOO_HIGH, _UNKNOWN, _INVALID, _REFUSED, _TRIGGERED = (
    1 << bit for bit in range(8)
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_UNKNOWN_TEXT = "Unknown command"
_THERMAL_S = 3.0
_AMBIENT = 0.98
"""Thermistor at room temperature over its set point after power-up."""


@dataclass(frozen=True, kw_only=True)
class Diode:
    """What is on the controller.

    Args:
        slope_w_per_a: power per current above the threshold.
        threshold_a: threshold current.
        wavelength_m: at the reference temperature.
        thermistor_ohm: resistance there; 0 for a diode whose wavelength stays.
        temperature_c: reference temperature.
        beta_k: of the thermistor.
        tuning_m_per_k: wavelength per temperature.
    """

    slope_w_per_a: float = 0.2
    threshold_a: float = 0.01
    wavelength_m: float = 1550e-9
    thermistor_ohm: float = 0.0
    temperature_c: float = 25.0
    beta_k: float = 0.0
    tuning_m_per_k: float = 0.0

    def emitted_w(self, current_a: float) -> float:
        """Power at a current."""
        return max(0.0, current_a - self.threshold_a) * self.slope_w_per_a

    def wavelength_at(self, resistance_ohm: float) -> float:
        """Wavelength at the temperature of a resistance, by the beta equation."""
        if not (self.thermistor_ohm and self.beta_k):
            return self.wavelength_m
        reference_k = self.temperature_c + 273.15
        ratio = math.log(resistance_ohm / self.thermistor_ohm)
        present_k = self.beta_k * reference_k / (self.beta_k + reference_k * ratio)
        return self.wavelength_m + self.tuning_m_per_k * (present_k - reference_k)


@dataclass(frozen=True, kw_only=True)
class _Value:
    """A number that can be set: its range and its decimals."""

    lowest: float
    highest: float
    usual: float
    decimals: int = 3


_VALUES: Final = {
    "ilaser": _Value(lowest=0, highest=1000, usual=0),
    "ilmax": _Value(lowest=0, highest=1000, usual=1000),
    "ldelay": _Value(lowest=10, highest=100_000, usual=1000),
    "lmodgain": _Value(lowest=-100_000, highest=100_000, usual=0),
    "tecon": _Value(lowest=0, highest=1, usual=0, decimals=0),
    "rtset": _Value(lowest=500, highest=200_000, usual=10_000),
    "pgain": _Value(lowest=0, highest=0.1, usual=0.001, decimals=6),
    "igain": _Value(lowest=0, highest=0.1, usual=0.0001, decimals=6),
    "dgain": _Value(lowest=0, highest=0.1, usual=0.001, decimals=6),
    "tprot": _Value(lowest=0, highest=1, usual=1, decimals=0),
    "rtmin": _Value(lowest=500, highest=200_000, usual=5000),
    "rtmax": _Value(lowest=500, highest=200_000, usual=15_000),
    "vtmin": _Value(lowest=-3, highest=0, usual=-2),
    "vtmax": _Value(lowest=0, highest=3, usual=2),
    "tmodgain": _Value(lowest=-100_000, highest=100_000, usual=0),
    "lckon": _Value(lowest=0, highest=1, usual=0, decimals=0),
    "brate": _Value(lowest=9600, highest=460_800, usual=115_200, decimals=0),
    "lason": _Value(lowest=0, highest=1, usual=0, decimals=0),
}
_SWITCHES: Final = ("tecon", "tprot", "lckon", "lason")
_ALIASES: Final = {"modelno": "model", "modelnumber": "model", "configuration": "config"}


class KoheronCTL200Twin(Twin):
    """A controller with a diode.

    Attributes:
        interlock_closed: whether the interlock's contact is closed; it counts with `lckon 1`.

    Args:
        clock: simulated time.
        serial: serial number.
        laser: of the scene; one of its own where there is none.
        diode: on the controller.
        answers_sets: whether a value line follows a set; sources differ.
        model: as `model` answers.
    """

    model = "CTL200"
    line = SerialSettings(baud=115200)

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        laser: LaserPart | None = None,
        diode: Diode | None = None,
        answers_sets: bool = True,
        model: str = "CTL200-0-B-200",
    ) -> None:
        self.clock = clock
        self.interlock_closed = True
        self._serial = serial
        self._laser = _own_laser(clock) if laser is None else laser
        self._diode = (
            Diode(wavelength_m=self._laser.wavelength_setpoint_m()) if diode is None else diode
        )
        self._answers_sets = answers_sets
        self._model = model
        self._numbers = {name: value.usual for name, value in _VALUES.items()}
        self._errors = 0
        self._userdata = ""
        room_ohm = _AMBIENT * self._numbers["rtset"]
        self._thermistor = Settling(room_ohm, time_constant_s=_THERMAL_S, clock=clock)
        self._room_ohm = room_ohm
        self._apply()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _ConsoleSession(self)

    def note(self, bit: int) -> None:
        """An error bit is set until it is cleared."""
        self._errors |= bit

    def execute(self, line: str) -> str:
        """The answer to a line, without echo and prompt; several words are a set."""
        self._protect()
        words = line.split()
        if not words:
            return ""
        name = _ALIASES.get(words[0], words[0])
        if name in _VALUES:
            return self._value(name, words[1:])
        if name == "userdata":
            return self._user_data(words[1:])
        reading = self._readings().get(name)
        if reading is None:
            self.note(_UNKNOWN)
            return _UNKNOWN_TEXT
        return reading()

    def _value(self, name: str, arguments: list[str]) -> str:
        if arguments:
            if len(arguments) > 1 or not self._set(name, arguments[0]):
                self.note(_INVALID)
            if not self._answers_sets:
                return ""
        return f"{self._numbers[name]:.{_VALUES[name].decimals}f}"

    def _set(self, name: str, text: str) -> bool:
        """Whether the argument was good."""
        if _NUMBER.fullmatch(text) is None:
            return False
        number, known = float(text), _VALUES[name]
        highest = min(known.highest, self._numbers["ilmax"]) if name == "ilaser" else known.highest
        if not known.lowest <= number <= highest:
            return False
        if name in _SWITCHES and number not in (0.0, 1.0):
            return False
        if name == "lason" and number and not self._may_emit():
            self.note(_REFUSED)
            return True
        self._numbers[name] = number
        self._numbers["ilaser"] = min(self._numbers["ilaser"], self._numbers["ilmax"])
        self._apply()
        self._protect()
        return True

    def _apply(self) -> None:
        """Everything that has an effect on the light."""
        wanted_ohm = self._numbers["rtset"] if self._numbers["tecon"] else self._room_ohm
        if wanted_ohm != self._thermistor.target:
            self._thermistor.set(wanted_ohm)
        wavelength_m = self._diode.wavelength_at(wanted_ohm)
        if wavelength_m != self._laser.wavelength_setpoint_m():
            self._laser.set_wavelength_m(wavelength_m)
        power_w = self._diode.emitted_w(1e-3 * self._numbers["ilaser"])
        if power_w != self._laser.power_setpoint_w():
            self._laser.set_power_w(power_w)
        self._laser.set_emission(bool(self._numbers["lason"]))

    def _may_emit(self) -> bool:
        return self.interlock_closed or not self._numbers["lckon"]

    def _protect(self) -> None:
        """Switch the laser off where the interlock or the temperature ask for it."""
        if not self._numbers["lason"]:
            return
        present_ohm = self._thermistor.value()
        reason = 0
        if not self._may_emit():
            reason = _TRIGGERED
        elif self._numbers["tprot"] and present_ohm < self._numbers["rtmin"]:
            reason = _TOO_LOW
        elif self._numbers["tprot"] and present_ohm > self._numbers["rtmax"]:
            reason = _TOO_HIGH
        if reason:
            self.note(reason)
            self._numbers["lason"] = 0.0
            self._apply()

    def _user_data(self, arguments: list[str]) -> str:
        if arguments:
            if len(arguments) != 2 or arguments[0] != "write" or len(arguments[1]) > 31:
                self.note(_INVALID)
            else:
                self._userdata = arguments[1]
        return self._userdata

    def _readings(self) -> dict[str, Callable[[], str]]:
        return {
            "version": lambda: "V0.17",
            "model": lambda: self._model,
            "serial": lambda: self._serial,
            "status": self._status,
            "rtact": lambda: f"{self._thermistor.value():.3f}",
            "vlaser": lambda: f"{self._voltage():.5f}",
            "iphd": lambda: f"{self._photodiode():.3f}",
            "itec": lambda: f"{self._tec_current():.3f}",
            "vtec": lambda: f"{2.5 * self._tec_current():.3f}",
            "ain1": lambda: "0.001",
            "ain2": lambda: "0.002",
            "tboard": lambda: "31.250",
            "config": self._config,
            "calibration": lambda: "1.000000 0.000000",
            "save": lambda: "config saved",
            "err": lambda: f"{self._errors:x}",
            "errclr": self._clear,
        }

    def _status(self) -> str:
        numbers = (self._voltage(), self._tec_current(), 2.5 * self._tec_current())
        middle = " ".join(f"{number:.3f}" for number in numbers)
        rest = f"{self._thermistor.value():.3f} {self._photodiode():.3f} 0.001 0.002"
        return f"{self._numbers['lason']:.0f} {middle} {rest}"

    def _config(self) -> str:
        names = ["tecon", "ilaser", "rtset", "pgain", "igain", "dgain", "rtmin", "rtmax"]
        shown = [f"{self._numbers[name]:.{_VALUES[name].decimals}f}" for name in names]
        return " ".join([*shown, f"{self._numbers['vtmin']:.2f}", f"{self._numbers['vtmax']:.2f}"])

    def _clear(self) -> str:
        self._errors = 0
        return "ffffffff"

    def _voltage(self) -> float:
        on = bool(self._numbers["lason"])
        return 0.9 + 2e-3 * self._numbers["ilaser"] if on else 0.0

    def _photodiode(self) -> float:
        """Monitor current in mA, 100 mA per W."""
        return min(100.0 * self._laser.power_w(), 2.5)

    def _tec_current(self) -> float:
        off_ohm = self._thermistor.value() - self._thermistor.target
        return 1e-3 * off_ohm / 10 + 0.02 if self._numbers["tecon"] else 0.0


class _ConsoleSession(Session):
    """A connection: echo, line, value, prompt."""

    def __init__(self, twin: KoheronCTL200Twin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._line = bytearray()
        self._prompt_at_s = -math.inf

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        for byte in data:
            self._take(byte)

    def _take(self, byte: int) -> None:
        if byte in (0x00, 0x0A):  # a line feed after the carriage return is dropped
            return
        if self._clock.now() < self._prompt_at_s - 1e-12:
            self._twin.note(_EARLY)
            return
        if byte == 0x0D:
            self._finish()
        elif len(self._line) >= _LONGEST:
            self._twin.note(_OVERFLOW)
        else:
            self._line.append(byte)
            self.say(bytes((byte,)))

    def _finish(self) -> None:
        value = self._twin.execute(self._line.decode("latin-1"))
        self._line.clear()
        self.say(b"\r\n")
        self.say((f"{value}\r\n" if value else "").encode("latin-1") + b">>", after_s=_ANSWER_S)
        self._prompt_at_s = self._clock.now() + _ANSWER_S


def _own_laser(clock: SimulatedClock) -> LaserSource:
    """A laser that shines nowhere."""
    return LaserSource(LaserSettings(), rng=np.random.default_rng(1), clock=clock)


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    own = place.settings.get(1, {})
    known = {
        name: float(value)
        for name, value in own.items()
        if name in Diode.__dataclass_fields__ and isinstance(value, int | float)
    }
    return KoheronCTL200Twin(
        clock=place.clock,
        serial=place.serial,
        laser=part if isinstance(part, LaserSource) else None,
        diode=Diode(**known) if known else None,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Koheron CTL200": _make}
