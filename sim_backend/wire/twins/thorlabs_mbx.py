"""Twin of the Thorlabs MBX modulator bias controllers."""

import re
from collections.abc import Callable
from typing import Final

from drivers.instruments import BiasPoint
from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import BiasPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "ThorlabsMBXTwin"]

_LOOPS: Final = {1: BiasPoint.PEAK, 2: BiasPoint.NULL, 3: BiasPoint.QUADRATURE}
_OFF, _MANUAL, _HIGHEST_MODE = 0, 7, 9
_CALIBRATION_S = 10.0
_LONGEST_LINE = 256
_SET: Final = re.compile(r"([A-Z]+(?::[A-Z]+)*): (\S+)")
_LAMP: Final = {"POWER": 2, "RED": 100, "GREEN": 100, "BLUE": 100, "WHITE": 100}


class ThorlabsMBXTwin(Twin):
    """A bias controller with its output attenuator, which is in no way of the scene's light.

    It answers queries, the order to calibrate, and `VOA:MODE:`; everything else is silent.

    Args:
        clock: simulated time.
        bias: part of the scene; None for a controller without a modulator.
        attenuation_db: of the output attenuator at power-up.
    """

    line = SerialSettings(baud=115200)

    def __init__(
        self, *, clock: SimulatedClock, bias: BiasPart | None, attenuation_db: float = 20.0
    ) -> None:
        self.model = "Thorlabs MBX"
        self.clock = clock
        self._bias = bias
        self._mode = _OFF
        self._hold_mv = 0
        self._ratio = 250
        self._calibrated_s = clock.now()
        self._attenuator = {"POWER": 0, "MODE": 0}
        self._attenuation_db = attenuation_db
        self._output_mw = 1.0
        self._lamp = dict.fromkeys(_LAMP, 0)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def answer(self, text: str) -> str | None:
        """What is said to a line; None for silence."""
        if text == "MZM:RESET":
            self._calibrated_s = self.clock.now() + _CALIBRATION_S
            self._leave_loop()
            return "1"
        if text.endswith("?"):
            query = self._queries().get(text[:-1])
            return None if query is None else query()
        order = _SET.fullmatch(text)
        return None if order is None else self._set(order[1], order[2])

    def _queries(self) -> dict[str, Callable[[], str]]:
        lamp: dict[str, Callable[[], str]] = {
            f"RGB:{name}": lambda name=name: str(self._lamp[name])  # type: ignore[misc]
            for name in self._lamp
        }
        return lamp | {
            "MZM:CALIBRATING": lambda: str(int(self._is_calibrating())),
            "MZM:SETPOINT": lambda: str(int(self._at_set_point())),
            "MZM:MODE": lambda: str(self._mode),
            "MZM:HOLD:RATIO": lambda: str(self._ratio),
            "MZM:HOLD:VOLTAGE": lambda: str(self._hold_mv),
            "MZM:VOLTAGE": lambda: f"{self._voltage_v():.3f}",
            "MZM:TAP:MW": lambda: f"{self._tap_w() * 1e3:.6g}",
            "VOA:POWER": lambda: str(self._attenuator["POWER"]),
            "VOA:MODE": lambda: str(self._attenuator["MODE"]),
            "VOA:ATTEN": lambda: f"{self._attenuation_db:g}",
            "VOA:MEASURED": lambda: f"{self._attenuation_db:g}",
            "VOA:SETPOINT": lambda: "1",
            "VOA:ERROR": lambda: "0",
            "VOA:OUTPUT:MW": lambda: f"{self._output_mw:g}",
            "VOA:TAP:MW": lambda: f"{self._tap_w() * 1e3 * 10 ** (-self._attenuation_db / 10):.6g}",
        }

    def _set(self, name: str, value: str) -> str | None:
        if name == "VOA:ATTEN":
            self._attenuation_db = _within(value, 0.5, 20.0, self._attenuation_db)
            return None
        if name == "VOA:OUTPUT:MW":
            self._output_mw = _within(value, 0.01, 100.0, self._output_mw)
            return None
        if re.fullmatch(r"[+-]?\d{1,6}", value) is None:
            return None
        number = int(value)
        if name == "MZM:MODE" and 0 <= number <= _HIGHEST_MODE:
            self._enter(number)
        elif name == "MZM:HOLD:VOLTAGE" and -10000 <= number <= 10000:
            self._hold_mv = number
            self._drive()
        elif name == "MZM:HOLD:RATIO" and 250 <= number <= 10000:
            self._ratio = number
        elif name in ("VOA:POWER", "VOA:MODE") and number in (0, 1):
            self._attenuator[name.partition(":")[2]] = number
            return "1" if name == "VOA:MODE" else None
        elif name.startswith("RGB:") and 0 <= number <= _LAMP.get(name[4:], -1):
            self._lamp[name[4:]] = number
        return None

    def _enter(self, mode: int) -> None:
        self._mode = mode
        if self._bias is None:
            return
        if mode in _LOOPS:
            self._bias.lock(_LOOPS[mode])
        else:
            self._leave_loop()
            self._drive()

    def _leave_loop(self) -> None:
        if self._bias is not None:
            self._bias.unlock()

    def _drive(self) -> None:
        """Manual mode gives the voltage that was set, mode 0 none."""
        if self._bias is not None and self._mode in (_OFF, _MANUAL):
            self._bias.voltage_v = self._hold_mv / 1e3 if self._mode == _MANUAL else 0.0

    def _is_calibrating(self) -> bool:
        return self.clock.now() < self._calibrated_s

    def _at_set_point(self) -> bool:
        if self._is_calibrating() or self._mode == _OFF:
            return False
        if self._mode in _LOOPS:
            return self._bias is not None and self._bias.is_locked()
        return self._mode == _MANUAL

    def _voltage_v(self) -> float:
        if self._bias is not None:
            return self._bias.voltage_v
        return self._hold_mv / 1e3 if self._mode == _MANUAL else 0.0

    def _tap_w(self) -> float:
        return 0.0 if self._bias is None else self._bias.tap_power_w()


class _Line(Session):
    """The serial line: commands that end with a carriage return."""

    def __init__(self, twin: ThorlabsMBXTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        *lines, self._input = (self._input + data).split(b"\r")
        self._input = self._input[-_LONGEST_LINE:]
        for line in lines:
            answer = self._twin.answer(line.decode("latin-1").strip("\n"))
            if answer is not None:
                self.say(answer.encode() + b"\r")


def _within(value: str, lowest: float, highest: float, before: float) -> float:
    """The number if it is in the range, else what was before: there is no error report."""
    try:
        number = float(value)
    except ValueError:
        return before
    return number if lowest <= number <= highest else before


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return ThorlabsMBXTwin(clock=place.clock, bias=part if isinstance(part, BiasPart) else None)


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Thorlabs MBX": _make}
