"""The simulated driver of a mesh's phase shifters."""

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.instruments import PhaseDriver, PhaseDriverLimits, Range
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.mesh import Mesh

__all__ = ["PHASE_DRIVER_LIMITS", "SimulatedPhaseDriver"]

PHASE_DRIVER_LIMITS = PhaseDriverLimits(channels=16, volts=Range(lowest=0.0, highest=10.0))


class SimulatedPhaseDriver(SimulatedInstrument, PhaseDriver):
    """Voltages on the heaters of a mesh; answers when they have their temperature.

    Args:
        name: role in the bench.
        limits: what may be set; as many channels as the mesh has shifters.
        remote: link to the instrument.
        mesh: component of the scene.
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
        mesh: Mesh,
        settle_s: float = 1e-4,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        if mesh.channels != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {mesh.channels} phase shifters; give one "
                "channel to each"
            )
        self._remote = remote
        self._mesh = mesh
        self._settle_s = settle_s

    def _set_voltages(self, volts: NDArray[np.float64]) -> None:
        taken = self._remote.takes()
        self._remote.clock.sleep(self._settle_s)
        if taken:
            self._mesh.set_voltages(volts)

    def _get_voltages(self) -> NDArray[np.float64]:
        self._remote.ask()
        return self._mesh.voltages()
