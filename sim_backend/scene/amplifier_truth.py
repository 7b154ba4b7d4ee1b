"""What only the simulation knows about the bench with an amplifier: answers for tests.

No instrument may import this module. Nothing here moves time or draws a random number.
"""

import math

import numpy as np

from sim_backend.scene.amplifier_bench import AmplifierBench
from sim_backend.scene.light import PHOTON_ENERGY_J
from sim_backend.scene.mesh_algebra import Unitary

__all__ = [
    "detection_efficiency",
    "forward_transmittance",
    "full_photons",
    "return_transmittance",
    "returned_amplitude",
    "round_trip",
]


def forward_transmittance(scene: AmplifierBench) -> float:
    """Power from the launch of a port to the amplifier's input, for light along mode x."""
    loss_db = scene.settings.mesh.insertion_loss_db
    return scene.forward_fibres[0].transmission() * float(10.0 ** (-loss_db / 10))


def return_transmittance(scene: AmplifierBench) -> float:
    """Power from the client's tap to a detector of the server."""
    loss_db = scene.settings.mesh.insertion_loss_db
    return scene.return_fibres[0].transmission() * float(10.0 ** (-loss_db / 10))


def detection_efficiency(scene: AmplifierBench) -> float:
    """Quantum efficiency times mode match squared; a heterodyne quadrature gets half of it."""
    settings = scene.settings.server_detector
    return settings.efficiency * settings.mode_match**2


def full_photons(scene: AmplifierBench, *, slot_rate_hz: float) -> tuple[float, ...]:
    """Photons per slot into each fibre with the modulators fully open and the shutter open."""
    attenuator = scene.launch_attenuator
    loss_db = attenuator.attenuation_db() + attenuator.settings.insertion_loss_db
    loss_db += attenuator.settings.error_db
    loss_db += scene.settings.weight_modulator.insertion_loss_db
    power_w = scene.server_laser.power_w() / scene.ports * 10.0 ** (-loss_db / 10)
    return (power_w / PHOTON_ENERGY_J / slot_rate_hz,) * scene.ports


def returned_amplitude(scene: AmplifierBench) -> float:
    """Amplitude of mode x behind the tap over that before the amplifier; 1 for matched gain."""
    return math.sqrt(scene.amplifier.gain() * scene.tap.transmission())


def round_trip(scene: AmplifierBench) -> Unitary:
    """U_return diag(returned amplitude, 1, ...) U_forward at the present voltages, lossless."""
    inside = np.ones(scene.ports)
    inside[0] = returned_amplitude(scene)
    return np.asarray(scene.return_mesh.unitary() @ (inside[:, None] * scene.forward_mesh.unitary()))
