"""The simulated waveform generator."""

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import GeneratorLimits, Range, Trigger, WaveformGenerator
from sim_backend.instruments.converters import GeneratorUnit
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.instruments.trigger_line import TriggerLine

__all__ = ["GENERATOR_LIMITS", "SimulatedWaveformGenerator"]

GENERATOR_LIMITS = GeneratorLimits(
    channels=2,
    volts=Range(lowest=-5.0, highest=5.0),
    sample_rate_hz=Range(lowest=1e6, highest=4e9),
    samples=1 << 27,
    bits=14,
)

_RATE_STEP_HZ = 1e-2
"""Resolution of the sample clock's synthesiser."""
_SAMPLES_PER_S = 250e6
"""Speed of an upload."""


class SimulatedWaveformGenerator(SimulatedInstrument, WaveformGenerator):
    """A generator whose play goes through the scene.

    `trigger` fires the bench's trigger line and returns, in simulated time, when the play is over.

    Args:
        name: role in the bench.
        limits: what may be set.
        remote: link to the instrument.
        unit: its memory and outputs, one per channel of the limits.
        line: the trigger line that it drives and listens to.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: GeneratorLimits,
        remote: RemoteControl,
        unit: GeneratorUnit,
        line: TriggerLine,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._unit = unit
        self._line = line

    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        if self._remote.takes():
            self._unit.sample_rate_hz = round(sample_rate_hz / _RATE_STEP_HZ) * _RATE_STEP_HZ

    def _get_sample_rate(self) -> float:
        self._remote.ask()
        return self._unit.sample_rate_hz

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        if self._remote.takes(volts.size / _SAMPLES_PER_S):
            self._unit.waveforms[channel] = volts

    def _set_idle(self, channel: int, volts: float) -> None:
        if self._remote.takes():
            self._unit.idle_v[channel] = volts
            self._unit.rest()

    def _set_output(self, channel: int, on: bool) -> None:
        if self._remote.takes():
            self._unit.outputs[channel] = on
            self._unit.rest()

    def _get_output(self, channel: int) -> bool:
        self._remote.ask()
        return self._unit.outputs[channel]

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        if self._remote.takes():
            self._unit.delay_s = delay_s
            self._unit.armed = trigger

    def _trigger(self) -> None:
        if self._remote.takes():
            self._line.fire(self._unit)

    def _is_armed(self) -> bool:
        self._remote.ask()
        return self._unit.armed is not None

    def _stop(self) -> None:
        if self._remote.takes():
            self._unit.armed = None
