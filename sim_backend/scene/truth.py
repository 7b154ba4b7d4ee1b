"""What only the simulation knows about the reference scene: the answers that tests compare with.

No instrument may import this module. Nothing here moves time or draws a random number.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim_backend.scene.detectors import BalancedDetector
from sim_backend.scene.light import (
    ELEMENTARY_CHARGE_C,
    PHOTON_ENERGY_J,
    FloatArray,
    horizontal,
)
from sim_backend.scene.polarisation import overlap
from sim_backend.scene.reference import ReferenceScene

__all__ = [
    "Party",
    "beat_frequency_hz",
    "detection_efficiency",
    "electronic_variance_v2",
    "launch_field",
    "null_error_v",
    "photons_per_slot",
    "shot_variance_v2",
    "signal_delay_s",
    "transmittance",
    "visibility",
]

Party = Literal["client", "server"]


def transmittance(scene: ReferenceScene, party: Party) -> float:
    """Power transmission from the launch into the fibre to the party's detector, its tap included.

    Excludes the detector's efficiency and visibility.
    """
    path = scene.forward_fibre.transmission() * scene.client_polarisation.transmission()
    path *= scene.client_switch.transmission()
    if party == "client":
        return path * scene.tap.tap_transmission()
    path *= scene.tap.transmission() * scene.return_fibre.transmission()
    return path * scene.server_polarisation.transmission() * scene.server_switch.transmission()


def beat_frequency_hz(scene: ReferenceScene, party: Party) -> float:
    """Frequency of the light minus that of the party's oscillator now."""
    if scene.settings.oscillators == "shared":
        client = scene.settings.client_shifter
        shifter = client if party == "client" else scene.settings.server_shifter
        return -shifter.shift_hz
    laser = scene.client_oscillator_laser if party == "client" else scene.server_oscillator_laser
    return scene.server_laser.frequency_hz() - laser.frequency_hz()


def visibility(scene: ReferenceScene, party: Party) -> float:
    """Amplitude overlap of light and oscillator on the party's detector, polarisation included."""
    arriving = scene.client_polarisation.matrix() @ scene.forward_fibre.matrix() @ horizontal()
    if party == "server":
        arriving = scene.return_fibre.matrix() @ arriving
        arriving = scene.server_polarisation.matrix() @ arriving
    match = _detector(scene, party).settings.mode_match
    return match * abs(overlap(horizontal(), arriving))


def detection_efficiency(scene: ReferenceScene, party: Party) -> float:
    """Quantum efficiency times visibility squared; a heterodyne quadrature gets half of it."""
    efficiency = _detector(scene, party).settings.efficiency
    return efficiency * visibility(scene, party) ** 2


def shot_variance_v2(
    scene: ReferenceScene, party: Party, *, oscillator_power_w: float, rate_hz: float
) -> float:
    """Variance per sample that vacuum gives at the detector's output, before its low-pass, in V^2.

    (gain q)^2 eta flux rate: the shot-noise unit of a record at this rate.

    Args:
        scene: the scene.
        party: whose detector.
        oscillator_power_w: light on the oscillator port.
        rate_hz: sample rate of the scene.
    """
    settings = _detector(scene, party).settings
    gain = settings.transimpedance_v_per_a * ELEMENTARY_CHARGE_C
    return gain**2 * settings.efficiency * oscillator_power_w / PHOTON_ENERGY_J * rate_hz


def electronic_variance_v2(scene: ReferenceScene, party: Party, *, rate_hz: float) -> float:
    """Variance per sample without any light, before low-pass and digitiser, in V^2."""
    settings = _detector(scene, party).settings
    dark = 2 * ELEMENTARY_CHARGE_C * settings.dark_current_a * settings.transimpedance_v_per_a**2
    return (settings.electronic_noise_v_per_sqrt_hz**2 + dark) * rate_hz / 2


def launch_field(scene: ReferenceScene, volts: FloatArray) -> NDArray[np.complex128]:
    """Field into the fibre for a drive of the weight port, relative to the laser's phase.

    Args:
        scene: the scene; bias, drift and attenuator as they are now.
        volts: drive, shape (samples,); the modulator's bandwidth and the converter are ignored.

    Returns:
        Field in sqrt(photons/s), shape (samples,).
    """
    modulator = scene.weight_modulator
    full_w = scene.idle_power_w("launch") / modulator.transmission(scene.idle_v["weight"])
    transfer = [modulator.transfer(float(volt)) for volt in volts]
    return np.asarray(transfer, dtype=np.complex128) * math.sqrt(full_w / PHOTON_ENERGY_J)


def photons_per_slot(
    scene: ReferenceScene, volts: FloatArray, *, rate_hz: float, samples_per_slot: int
) -> NDArray[np.float64]:
    """Mean photon number into the fibre in every slot of a drive.

    Args:
        scene: the scene.
        volts: drive of the weight port, shape (slots * samples_per_slot,).
        rate_hz: its sample rate.
        samples_per_slot: samples of a slot.

    Returns:
        Photons, shape (slots,).
    """
    flux = np.abs(launch_field(scene, volts)) ** 2
    return np.asarray(flux.reshape(-1, samples_per_slot).sum(axis=1) / rate_hz)


def null_error_v(scene: ReferenceScene, modulator: Literal["weight", "data"]) -> float:
    """Bias voltage minus that of least light."""
    unit = scene.weight_modulator if modulator == "weight" else scene.data_modulator
    return unit.bias_v - unit.null_v()


def signal_delay_s(scene: ReferenceScene, party: Party) -> float:
    """Time of flight from the weight modulator to the party's detector."""
    delay_s = scene.forward_fibre.settings.delay_s
    return delay_s if party == "client" else delay_s + scene.return_fibre.settings.delay_s


def _detector(scene: ReferenceScene, party: Party) -> BalancedDetector:
    return scene.client_detector if party == "client" else scene.server_detector
