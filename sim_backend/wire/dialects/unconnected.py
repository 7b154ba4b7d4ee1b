"""Parts that lead nowhere, behind the channels of a box that are not in the scene."""

import numpy as np

from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings

__all__ = ["unconnected_laser"]


def unconnected_laser(clock: SimulatedClock, number: int = 1) -> LaserPart:
    """A laser whose light goes nowhere.

    Args:
        clock: simulated time.
        number: tells the lasers of a box apart.
    """
    return LaserPart(LaserSettings(), rng=np.random.default_rng(number), clock=clock)
