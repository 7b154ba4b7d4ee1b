"""The simulated digitiser."""

import math

import numpy as np

from drivers.errors import InstrumentError
from drivers.instruments import Digitiser, DigitiserLimits, DigitiserSettings, Range, Trigger
from drivers.instruments import Recording as FetchedRecording
from sim_backend.instruments.converters import DigitiserUnit
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.instruments.trigger_line import TriggerLine

__all__ = ["DIGITISER_LIMITS", "SimulatedDigitiser"]

DIGITISER_LIMITS = DigitiserLimits(
    channels=1,
    sample_rate_hz=Range(lowest=1e6, highest=4e9),
    samples=1 << 27,
    range_v=Range(lowest=0.02, highest=10.0),
    bits=12,
)

_RANGE_STEP_V = 1e-3
"""Resolution of the input amplifier's gain; the next larger range is taken."""
_RATE_STEP_HZ = 1e-2
"""Resolution of the sample clock's synthesiser."""
_SAMPLES_PER_S = 500e6
"""Speed of a download."""


class SimulatedDigitiser(SimulatedInstrument, Digitiser):
    """A digitiser that records the volts of a detector of the scene.

    Args:
        name: role in the bench.
        limits: what may be set.
        remote: link to the instrument.
        unit: its memory.
        line: the trigger line that it listens to.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        remote: RemoteControl,
        unit: DigitiserUnit,
        line: TriggerLine,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._unit = unit
        self._line = line

    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        if self._remote.takes():
            self._unit.settings = DigitiserSettings(
                sample_rate_hz=round(sample_rate_hz / _RATE_STEP_HZ) * _RATE_STEP_HZ,
                samples=samples,
                range_v=math.ceil(range_v / _RANGE_STEP_V - 1e-6) * _RANGE_STEP_V,
            )

    def _get_settings(self) -> DigitiserSettings:
        self._remote.ask()
        return self._unit.settings

    def _arm(self, trigger: Trigger) -> None:
        if not self._remote.takes():
            return
        self._unit.record = None
        self._unit.armed = trigger
        if trigger is Trigger.IMMEDIATE:
            self._line.record_now(self._unit)

    def _is_armed(self) -> bool:
        self._remote.ask()
        return self._unit.armed is not None

    def _is_done(self) -> bool:
        self._remote.ask()
        return self._unit.record is not None

    def _fetch(self) -> FetchedRecording:
        record = self._unit.record
        if record is None:
            raise InstrumentError(f"{self.name}: there is no record; arm it and wait for its end")
        self._remote.ask(record.volts.size / _SAMPLES_PER_S)
        self._unit.record = None
        return FetchedRecording(
            volts=np.expand_dims(record.volts, 0), step_v=record.step_v, clipped=record.clipped
        )

    def _abort(self) -> None:
        if self._remote.takes():
            self._unit.armed = None
            self._unit.record = None
