"""Twin of the OZ Optics EPC-400 (EPC04) polarisation controller: four fibre squeezers."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from drivers.errors import ConfigurationError
from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import PolarisationPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "OZOpticsEPCTwin"]

_CHANNELS: Final = 4
_HIGHEST_MV: Final = 5000
_HIGHEST_HZ: Final = 100
_ANSWER_S: Final = 5e-3
_LONGEST_LINE: Final = 256
_WAVES: Final = {"1": "Sine", "2": "Triangle"}
_WHOLE: Final = re.compile(r"[+-]?\d{1,6}")
_REFUSED: Final = "Error!"


class OZOpticsEPCTwin(Twin):
    """Squeezers whose retardance follows the voltage, or swings when it scrambles.

    Args:
        clock: simulated time.
        controller: part of the scene; None for a controller without a fibre.
        rad_per_volt: retardance in rad that a volt makes, by channel.
    """

    line = SerialSettings(baud=9600)

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        controller: PolarisationPart | None,
        rad_per_volt: Sequence[float] = (2.0, 2.0, 2.0, 2.0),
    ) -> None:
        if controller is not None and controller.settings.channels < _CHANNELS:
            raise ConfigurationError(
                f"the scene's polarisation controller has {controller.settings.channels} "
                f"retarders; the twin of the EPC needs at least {_CHANNELS} of them"
            )
        self.model = "OZ Optics EPC-400"
        self.clock = clock
        self.millivolts = [0] * _CHANNELS
        self.scrambles = False
        self._hertz = [7, 17, 37, 71]
        self._wave = "1"
        self._mixed = False
        self._swings = [True] * _CHANNELS
        self._scales = tuple(rad_per_volt)
        self._controller = controller
        clock.on_advance(lambda _: self._drive() if self.scrambles else None)
        self._drive()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def answer(self, text: str) -> str:
        """The lines that a command is answered with, without the last mark where it is done."""
        plain: dict[str, Callable[[], str]] = {
            "V?": self._voltages,
            "F?": self._frequencies,
            "M?": self._mode,
            "MDC": lambda: self._scramble(False),
            "MAC": lambda: self._scramble(True),
            "VF?": self._mixture,
            "WF1": lambda: self._shape("1"),
            "WF2": lambda: self._shape("2"),
            "WF?": lambda: f"AC Waveform: {_WAVES[self._wave]}",
            "ENVF0": lambda: self._allow(False),
            "ENVF1": lambda: self._allow(True),
            "SAVE": lambda: "Write Setting to Flash memory",
        }
        if text in plain:
            return plain[text]()
        found = re.fullmatch(r"(VF|VH|VL|VZ|V|F)([1-4])(?:,(.+))?", text)
        if found is None:
            return _REFUSED
        return self._of_channel(found[1], int(found[2]) - 1, found[3])

    def _of_channel(self, name: str, index: int, value: str | None) -> str:
        if name in ("V", "F"):
            if value is None or _WHOLE.fullmatch(value) is None:
                return _REFUSED
            number = int(value)
            return self._put(index, number) if name == "V" else self._swing(index, number)
        if value is not None:
            return _REFUSED
        if name == "VF":
            return self._toggle(index)
        return self._put(index, {"VH": _HIGHEST_MV, "VL": -_HIGHEST_MV, "VZ": 0}[name])

    def _put(self, index: int, millivolts: int) -> str:
        if not -_HIGHEST_MV <= millivolts <= _HIGHEST_MV:
            return _REFUSED
        self.millivolts[index] = millivolts
        self._drive()
        return f"Set CH{index + 1} DC Voltage at: {millivolts}mV"

    def _swing(self, index: int, hertz: int) -> str:
        if not 0 <= hertz <= _HIGHEST_HZ:
            return _REFUSED
        self._hertz[index] = hertz
        return f"Set CH{index + 1} AC Frequency at: {hertz}Hz"

    def _toggle(self, index: int) -> str:
        if not self._mixed:
            return _REFUSED
        self._swings[index] = not self._swings[index]
        self._drive()
        kind = "Frequency" if self._swings[index] else "Volt"
        return f"Set CH{index + 1} output to: {kind} (if possible)"

    def _voltages(self) -> str:
        listed = (f"CH{index} {value:+05d}" for index, value in enumerate(self.millivolts, start=1))
        return f"Voltage(mV): {' '.join(listed)}"

    def _frequencies(self) -> str:
        listed = (f"CH{index} {value:03d}" for index, value in enumerate(self._hertz, start=1))
        return f"Frequency(Hz): {'  '.join(listed)}"

    def _mode(self) -> str:
        return f"Work Mode: AC({_WAVES[self._wave]})" if self.scrambles else "Work Mode: DC"

    def _mixture(self) -> str:
        listed = (
            f"CH{index}-{'F' if swings else 'V'}"
            for index, swings in enumerate(self._swings, start=1)
        )
        state = "enabled" if self._mixed else "disabled"
        return f"Hz<->Volt at AC Mode is {state}: {','.join(listed)}"

    def _scramble(self, on: bool) -> str:
        self.scrambles = on
        self._drive()
        return "Set To AC Mode" if on else "Set To DC Mode"

    def _shape(self, wave: str) -> str:
        self._wave = wave
        return f"Set AC Waveform at: {_WAVES[wave]}"

    def _allow(self, mixed: bool) -> str:
        self._mixed = mixed
        if not mixed:
            self._swings = [True] * _CHANNELS
        return f"{'Enable' if mixed else 'Disable'} DC Voltage Output at AC Mode"

    def _drive(self) -> None:
        """Give the squeezers their voltages of now."""
        if self._controller is None:
            return
        angles = np.zeros(self._controller.settings.channels)
        for index, scale in enumerate(self._scales):
            volts = self.millivolts[index] / 1e3
            if self.scrambles and self._swings[index]:
                volts = max(-5.0, min(5.0, volts + 5 * self._wave_at(self._hertz[index])))
            angles[index] = scale * volts
        self._controller.set_angles(angles)

    def _wave_at(self, hertz: int) -> float:
        sine = math.sin(2 * math.pi * hertz * self.clock.now())
        return sine if self._wave == "1" else 2 / math.pi * math.asin(sine)


class _Line(Session):
    """The serial line: commands that end with a carriage return and a line feed."""

    def __init__(self, twin: OZOpticsEPCTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        *lines, self._input = (self._input + data).split(b"\r\n")
        self._input = self._input[-_LONGEST_LINE:]
        for line in lines:
            said = self._twin.answer(line.decode("latin-1"))
            end = "" if said == _REFUSED else "Done\r\n"
            self.say(f"{said}\r\n{end}".encode("ascii"), after_s=_ANSWER_S)


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    own = place.settings.get(1, {})

    def scale(channel: int) -> float:
        value = own.get(f"rad_per_volt_{channel}") or own.get("rad_per_volt", 2.0)
        return float(value) if isinstance(value, int | float) else 2.0

    return OZOpticsEPCTwin(
        clock=place.clock,
        controller=part if isinstance(part, PolarisationPart) else None,
        rad_per_volt=[scale(channel) for channel in range(1, _CHANNELS + 1)],
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"OZ Optics EPC-400": _make}
