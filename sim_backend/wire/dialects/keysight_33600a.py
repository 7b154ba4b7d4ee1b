"""One output of a twin of the Keysight 33500 and 33600 series: its settings and what comes out.

Source: pymeasure, QCoDeS and pyLabLib drivers of the family and their tests.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import Trigger
from sim_backend.instruments.parts import GeneratorPart
from sim_backend.wire.scpi_session import Complaint, ErrorQueue

__all__ = ["FULL_CODE", "Output", "divided"]

FULL_CODE = 32767
_SOURCE_OHM = 50.0
_PEAK_V = 10.0
"""Highest magnitude behind the source's own resistance: 5 V into 50 ohm."""
_LEAST_VPP = 1e-3


def divided(load_ohm: float) -> float:
    """Share of the source's voltage that a load gets."""
    return 1.0 if math.isinf(load_ohm) else load_ohm / (load_ohm + _SOURCE_OHM)


@dataclass
class Output:
    """An output.

    Args:
        errors: of the box.
        part: of the scene; None where nothing is connected.
        real_load_ohm: what is connected, whatever `load_ohm` says.
    """

    errors: ErrorQueue
    part: GeneratorPart | None = None
    real_load_ohm: float = 50.0
    function: str = "SIN"
    frequency_hz: float = 1e3
    volts_pp: float = 0.1
    offset_v: float = 0.0
    unit: str = "VPP"
    autorange: str = "1"
    on: bool = False
    load_ohm: float = 50.0
    inverted: bool = False
    rate_hz: float = 40e3
    filter: str = "NORM"
    advance: str = "SRAT"
    phase: float = 0.0
    burst: bool = False
    burst_mode: str = "TRIG"
    cycles: float = 1.0
    burst_phase: float = 0.0
    burst_period_s: float = 10e-3
    gate: str = "NORM"
    trigger: str = "IMM"
    slope: str = "POS"
    delay_s: float = 0.0
    timer_s: float = 1.0
    count: float = 1.0
    selected: str = ""
    waveforms: dict[str, NDArray[np.int16]] = field(default_factory=dict)
    played: int = 0
    _cached: tuple[NDArray[np.int16], float, float, NDArray[np.float32]] | None = None

    def reset(self) -> None:
        """Back to the state after `*RST`; the waveforms stay."""
        fresh = Output(errors=self.errors)
        kept = ("errors", "part", "real_load_ohm", "waveforms", "played", "_cached")
        for name in self.__dataclass_fields__:
            if name not in kept:
                setattr(self, name, getattr(fresh, name))

    @property
    def peak_v(self) -> float:
        """Highest magnitude into the load that was named."""
        return _PEAK_V * divided(self.load_ohm)

    def most_vpp(self) -> float:
        """Largest amplitude with the present offset."""
        return 2 * (self.peak_v - abs(self.offset_v))

    def set_amplitude(self, volts_pp: float) -> None:
        """New amplitude; the offset gives way."""
        if not _LEAST_VPP <= volts_pp <= 2 * self.peak_v * (1 + 1e-9):
            raise Complaint(-222, "Data out of range; value clipped to limit")
        self.volts_pp = volts_pp
        room = max(0.0, self.peak_v - volts_pp / 2)
        if abs(self.offset_v) > room + 1e-9 and self.function != "DC":
            self.offset_v = math.copysign(room, self.offset_v)
            raise Complaint(-221, "Settings conflict; offset changed due to amplitude")

    def set_offset(self, volts: float) -> None:
        """New offset; the amplitude gives way."""
        if not abs(volts) <= self.peak_v * (1 + 1e-9):
            raise Complaint(-222, "Data out of range; value clipped to limit")
        self.offset_v = volts
        self._make_room("Settings conflict; amplitude changed due to offset")

    def set_function(self, function: str) -> None:
        """Another function; a direct voltage has no amplitude."""
        self.function = function
        self._make_room("Settings conflict; amplitude changed due to function")

    def set_load(self, load_ohm: float) -> None:
        """Another assumption on the load: other numbers for the same output."""
        factor = divided(load_ohm) / divided(self.load_ohm)
        self.load_ohm = load_ohm
        self.volts_pp *= factor
        self.offset_v *= factor

    def waits(self) -> bool:
        """Whether it is to play its waveform once on a trigger."""
        return (
            self.function == "ARB"
            and self.burst
            and self.burst_mode == "TRIG"
            and self.cycles == 1
            and self.selected in self.waveforms
        )

    def volts(self) -> NDArray[np.float32]:
        """The selected waveform at the real load, float32, shape (samples,)."""
        points = self.waveforms.get(self.selected)
        if points is None:
            return np.zeros(1, dtype=np.float32)
        gain, offset = self._gain(), self._offset()
        cached = self._cached
        if cached is not None and cached[0] is points and cached[1:3] == (gain, offset):
            return cached[3]
        values = points.astype(np.float32)
        values *= np.float32(gain / FULL_CODE)
        values += np.float32(offset)
        self._cached = (points, gain, offset, values)
        return values

    def apply(self) -> None:
        """Let the scene have what the settings are."""
        if self.part is None:
            return
        unit, index = self.part.unit, self.part.channel
        waits = self.waits()
        unit.sample_rate_hz = self.rate_hz
        unit.delay_s = self.delay_s
        unit.outputs[index] = self.on
        unit.waveforms[index] = self.volts() if waits else np.empty(0, dtype=np.float32)
        unit.idle_v[index] = self._level()
        unit.armed = Trigger.EXTERNAL if waits and self.trigger == "EXT" else None
        unit.rest()

    def _level(self) -> float:
        """A burst rests at its first point; what never rests counts by its mean."""
        if self.function != "ARB":
            return self._offset()
        volts = self.volts()
        return float(volts[0] if self.burst else volts.mean())

    def _gain(self) -> float:
        return (-1 if self.inverted else 1) * self.volts_pp / 2 * self._excess()

    def _offset(self) -> float:
        return self.offset_v * self._excess()

    def _excess(self) -> float:
        return divided(self.real_load_ohm) / divided(self.load_ohm)

    def _make_room(self, text: str) -> None:
        if self.function == "DC" or self.volts_pp <= self.most_vpp() + 1e-9:
            return
        self.volts_pp = max(_LEAST_VPP, self.most_vpp())
        raise Complaint(-221, text)
