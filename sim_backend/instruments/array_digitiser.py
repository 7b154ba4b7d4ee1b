"""The simulated digitiser of several channels: one record of many detectors."""

import math
from collections.abc import Sequence

import numpy as np

from drivers.errors import ConfigurationError, InstrumentError
from drivers.instruments import Digitiser, DigitiserLimits, DigitiserSettings, Trigger
from drivers.instruments import Recording as FetchedRecording
from sim_backend.instruments.converters import DigitiserUnit
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.instruments.trigger_line import TriggerLine

__all__ = ["SimulatedArrayDigitiser"]

_RANGE_STEP_V = 1e-3
_RATE_STEP_HZ = 1e-2
_SAMPLES_PER_S = 500e6


class SimulatedArrayDigitiser(SimulatedInstrument, Digitiser):
    """A digitiser with a channel for each of several detectors, all on one trigger.

    With an immediate trigger the channels record one after the other.

    Args:
        name: role in the bench.
        limits: what may be set; as many channels as there are units.
        remote: link to the instrument.
        units: memory of each channel.
        line: the trigger line that it listens to.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        remote: RemoteControl,
        units: Sequence[DigitiserUnit],
        line: TriggerLine,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        if len(units) != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {len(units)} detectors; give one channel "
                "to each"
            )
        self._remote = remote
        self._units = tuple(units)
        self._line = line

    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        if not self._remote.takes():
            return
        settings = DigitiserSettings(
            sample_rate_hz=round(sample_rate_hz / _RATE_STEP_HZ) * _RATE_STEP_HZ,
            samples=samples,
            range_v=math.ceil(range_v / _RANGE_STEP_V - 1e-6) * _RANGE_STEP_V,
        )
        for unit in self._units:
            unit.settings = settings

    def _get_settings(self) -> DigitiserSettings:
        self._remote.ask()
        return self._units[0].settings

    def _arm(self, trigger: Trigger) -> None:
        if not self._remote.takes():
            return
        for unit in self._units:
            unit.record = None
            unit.armed = trigger
        if trigger is Trigger.IMMEDIATE:
            for unit in self._units:
                self._line.record_now(unit)

    def _is_armed(self) -> bool:
        self._remote.ask()
        return any(unit.armed is not None for unit in self._units)

    def _is_done(self) -> bool:
        self._remote.ask()
        return all(unit.record is not None for unit in self._units)

    def _fetch(self) -> FetchedRecording:
        records = [unit.record for unit in self._units if unit.record is not None]
        if len(records) < len(self._units):
            raise InstrumentError(f"{self.name}: there is no record; arm it and wait for its end")
        self._remote.ask(sum(record.volts.size for record in records) / _SAMPLES_PER_S)
        for unit in self._units:
            unit.record = None
        return FetchedRecording(
            volts=np.stack([record.volts for record in records]),
            step_v=records[0].step_v,
            clipped=sum(record.clipped for record in records),
        )

    def _abort(self) -> None:
        if self._remote.takes():
            for unit in self._units:
                unit.armed = None
                unit.record = None
