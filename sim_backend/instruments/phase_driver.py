"""The simulated driver of phase shifters: those of a mesh, or the one of an oscillator."""

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.instruments import PhaseDriver, PhaseDriverLimits, Range
from sim_backend.instruments.parts import PhasePart
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument

__all__ = ["OSCILLATOR_PHASE_LIMITS", "PHASE_DRIVER_LIMITS", "SimulatedPhaseDriver"]

PHASE_DRIVER_LIMITS = PhaseDriverLimits(channels=16, volts=Range(lowest=0.0, highest=10.0))
OSCILLATOR_PHASE_LIMITS = PhaseDriverLimits(channels=1, volts=Range(lowest=0.0, highest=12.0))
"""Limits of the driver of the one phase shifter in an oscillator's path."""


class SimulatedPhaseDriver(SimulatedInstrument, PhaseDriver):
    """Voltages on phase shifters; answers when they have settled.

    Args:
        name: role in the bench.
        limits: what may be set; as many channels as there are shifters.
        remote: link to the instrument.
        part: the shifters.
        settle_s: simulated time from the setting to its effect.

    Raises:
        ConfigurationError: the channels do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: PhaseDriverLimits,
        remote: RemoteControl,
        part: PhasePart,
        settle_s: float = 1e-4,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        if part.channels != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {part.channels} phase shifters; give one "
                "channel to each"
            )
        self._remote = remote
        self._part = part
        self._settle_s = settle_s

    def _set_voltages(self, volts: NDArray[np.float64]) -> None:
        taken = self._remote.takes()
        self._remote.clock.sleep(self._settle_s)
        if taken:
            self._part.set_voltages(volts)

    def _get_voltages(self) -> NDArray[np.float64]:
        self._remote.ask()
        return self._part.voltages()
