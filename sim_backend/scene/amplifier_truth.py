"""What only the simulation knows about the bench with an amplifier: answers for tests.

No instrument may import this module. Nothing here moves time or draws a random number.
"""

import math
from typing import Literal

import numpy as np

from sim_backend.scene.amplifier_bench import AmplifierBench
from sim_backend.scene.light import ELEMENTARY_CHARGE_C, PHOTON_ENERGY_J
from sim_backend.scene.mesh_algebra import Unitary

__all__ = [
    "detection_efficiency",
    "electronic_variance_v2",
    "forward_transmittance",
    "full_photons",
    "return_transmittance",
    "returned_amplitude",
    "round_trip",
    "shot_variance_v2",
]

Party = Literal["client", "server"]


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
    return np.asarray(
        scene.return_mesh.unitary() @ (inside[:, None] * scene.forward_mesh.unitary())
    )


def shot_variance_v2(scene: AmplifierBench, party: Party, *, rate_hz: float) -> float:
    """Variance per sample that vacuum gives at one detector of a party, in V^2.

    Args:
        scene: the scene.
        party: whose detector.
        rate_hz: sample rate of the scene; the detectors must be much faster.
    """
    client = party == "client"
    detector = scene.settings.client_detector if client else scene.settings.server_detector
    laser = scene.client_oscillator_laser if client else scene.server_oscillator_laser
    power_w = laser.power_w() if client else laser.power_w() / scene.ports
    gain = detector.transimpedance_v_per_a * ELEMENTARY_CHARGE_C
    return gain**2 * detector.efficiency * power_w / PHOTON_ENERGY_J * rate_hz


def electronic_variance_v2(
    scene: AmplifierBench, party: Party, *, rate_hz: float, range_v: float
) -> float:
    """Variance per sample without light, the digitiser's included, in V^2.

    Args:
        scene: the scene.
        party: whose detector.
        rate_hz: as above.
        range_v: of the digitiser.
    """
    client = party == "client"
    detector = scene.settings.client_detector if client else scene.settings.server_detector
    dark = 2 * ELEMENTARY_CHARGE_C * detector.dark_current_a * detector.transimpedance_v_per_a**2
    density = detector.electronic_noise_v_per_sqrt_hz**2 + dark
    bits = scene.settings.adc.effective_bits or scene.settings.adc.bits
    return density * rate_hz / 2 + (2 * range_v / 2**bits) ** 2 / 12
