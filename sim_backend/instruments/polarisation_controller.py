"""The simulated polarisation controller."""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.instruments import PolarisationController, PolarisationLimits, Range
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene import polarisation as scene_polarisation

__all__ = ["POLARISATION_LIMITS", "SimulatedPolarisationController"]

POLARISATION_LIMITS = PolarisationLimits(
    channels=4, angle_rad=Range(lowest=-4 * math.pi, highest=4 * math.pi)
)


class SimulatedPolarisationController(SimulatedInstrument, PolarisationController):
    """A controller of fibre squeezers that answers when they have moved.

    Args:
        name: role in the bench.
        limits: what may be set; as many channels as the component has retarders.
        remote: link to the instrument.
        controller: the component of the scene.
        settle_s: simulated time from the setting to its effect.

    Raises:
        ConfigurationError: the channels do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: PolarisationLimits,
        remote: RemoteControl,
        controller: scene_polarisation.PolarisationController,
        settle_s: float = 1e-3,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        retarders = controller.settings.channels
        if retarders != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {retarders} retarders; give one channel "
                "to each"
            )
        self._remote = remote
        self._controller = controller
        self._settle_s = settle_s

    def _set_angles(self, rad: NDArray[np.float64]) -> None:
        taken = self._remote.takes()
        self._remote.clock.sleep(self._settle_s)
        if taken:
            self._controller.set_angles(rad)

    def _get_angles(self) -> NDArray[np.float64]:
        self._remote.ask()
        return self._controller.angles()
