"""A scene for the twins of digitisers whose detectors see a ramp that crosses 0 V at the trigger.

So a record says by itself when each of its samples was taken.
"""

from collections.abc import Mapping

import numpy as np

from drivers.instruments import DigitiserSettings
from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import Drive, Record, Recording

__all__ = ["RampScene"]


class RampScene:
    """One trigger line, one generator on it and digitisers that see ramps.

    Args:
        slopes: slope of the ramp of each port in V/s.
    """

    def __init__(self, **slopes: float) -> None:
        self.clock = SimulatedClock()
        self.line = TriggerLine(self, self.clock)
        self.generator = GeneratorUnit(
            ports=[None], sample_rate_hz=1e9, fault=lambda _: None, rest=lambda *_: None
        )
        self.line.generators["generator"] = self.generator
        self._slopes = slopes
        for port in slopes:
            self.line.digitisers[port] = DigitiserUnit(
                port=port,
                settings=DigitiserSettings(sample_rate_hz=1e6, samples=1, range_v=1.0),
                fault=lambda _: None,
            )

    def part(self, port: str) -> DigitiserPart:
        """The part behind an input."""
        return DigitiserPart(unit=self.line.digitisers[port], line=self.line)

    def fire(self) -> None:
        """An edge on the trigger line."""
        self.line.fire(self.generator)

    def play(
        self, drives: Mapping[str, Drive], records: Mapping[str, Recording]
    ) -> dict[str, Record]:
        """See `sim_backend.instruments.trigger_line.Playable`."""
        del drives
        return {port: self._record(self._slopes[port], one) for port, one in records.items()}

    @staticmethod
    def _record(slope: float, asked: Recording) -> Record:
        time_s = asked.delay_s + np.arange(asked.samples) / asked.rate_hz
        volts = np.clip(slope * time_s, -asked.range_v, asked.range_v)
        return Record(
            volts=volts.astype(np.float32),
            rate_hz=asked.rate_hz,
            range_v=asked.range_v,
            step_v=asked.range_v / 2048,
            clipped=0,
        )
