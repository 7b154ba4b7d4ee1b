"""Benches drawn at random for the routines with light in the fibre, and what their owners know.

The results that those routines rest on are drawn around the scene's truth.
"""

import math
from dataclasses import dataclass

import numpy as np

from calibration.fits.estimates import normal
from calibration.result import Quantity, Result, Setting
from calibration.routines._stage import PARTIES, Party
from drivers.optics.burst import BurstFormat
from sim_backend.scene import truth
from sim_backend.scene.converters import AdcSettings, DacSettings
from sim_backend.scene.detectors import BalancedDetectorSettings, PowerHeadSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m
from tests.calibration_access import simulated_result
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

__all__ = [
    "EFFICIENCY_ERROR",
    "SHOT_ERROR",
    "V_PI_ERROR",
    "Drawn",
    "converters",
    "detector_of",
    "draw",
    "electronic_v2",
    "known_result",
    "modulator",
    "open_drawn",
    "shot_v2",
]

RATE_HZ = BurstFormat().sample_rate_hz
ON_THE_GRID_M = 5.0
"""Below this length the scene rounds a fibre's delay to a sample: it is drawn on that grid."""
V_PI_ERROR, SHOT_ERROR, EFFICIENCY_ERROR = 1e-3, 2e-3, 0.02


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A scene and what its owners know of it."""

    settings: ReferenceSettings
    head: PowerHeadSettings
    known: dict[str, Setting]


def fibre(rng: np.random.Generator) -> FibreSettings:
    """A spool of 1 m to 20 km, every order of magnitude as likely."""
    length_m = float(10 ** rng.uniform(0, math.log10(20e3)))
    if length_m < ON_THE_GRID_M:
        sample_m = SPEED_OF_LIGHT_M_PER_S / FibreSettings().group_index / RATE_HZ
        length_m = round(length_m / sample_m) * sample_m
    return FibreSettings(length_m=length_m, connector_loss_db=float(rng.uniform(0.2, 1.0)))


def detector(rng: np.random.Generator) -> BalancedDetectorSettings:
    # The saturation is the affair of the detector's own routine: here it is out of the way.
    return BalancedDetectorSettings(
        efficiency=float(rng.uniform(0.6, 0.9)),
        mode_match=float(rng.uniform(0.93, 0.99)),
        common_mode_rejection_db=float(rng.uniform(40, 60)),
        electronic_noise_v_per_sqrt_hz=float(rng.uniform(1.5e-8, 3e-8)),
        bandwidth_hz=float(rng.uniform(0.8e9, 3e9)),
        saturation_current_a=20e-3,
    )


def modulator(rng: np.random.Generator) -> MachZehnderSettings:
    return MachZehnderSettings(
        half_wave_v=float(rng.uniform(2.5, 4.5)),
        extinction_db=float(rng.uniform(30, 45)),
        insertion_loss_db=float(rng.uniform(3, 5)),
    )


def laser(rng: np.random.Generator, low_w: float, high_w: float, offset_hz: float) -> LaserSettings:
    return LaserSettings(
        power_w=float(rng.uniform(low_w, high_w)),
        linewidth_hz=float(10 ** rng.uniform(3, 5)),
        wavelength_m=wavelength_at_offset_m(offset_hz),
    )


def converters(rng: np.random.Generator) -> tuple[DacSettings, AdcSettings]:
    """Generator and digitiser of one party, which share a clock."""
    ppm = float(rng.uniform(-50, 50))
    jitter = [float(rng.uniform(10e-12, 50e-12)) for _ in range(2)]
    return (
        DacSettings(clock_offset_ppm=ppm, trigger_jitter_s=jitter[0]),
        AdcSettings(clock_offset_ppm=ppm, trigger_jitter_s=jitter[1]),
    )


def draw(rng: np.random.Generator) -> Drawn:
    """A bench that nobody has seen before."""
    weight_dac, server_adc = converters(rng)
    data_dac, client_adc = converters(rng)
    tap = float(rng.uniform(0.05, 0.6))
    settings = ReferenceSettings(
        server_laser=laser(rng, 5e-3, 15e-3, 0.0),
        client_oscillator_laser=laser(rng, 3e-3, 8e-3, -200e6),
        server_oscillator_laser=laser(rng, 1e-3, 3e-3, -200e6),
        weight_modulator=modulator(rng),
        data_modulator=modulator(rng),
        monitor_tap=0.01 * (1 + 0.005 * float(rng.standard_normal())),
        launch_attenuator=AttenuatorSettings(error_db=0.03 * float(rng.standard_normal())),
        forward_fibre=fibre(rng),
        return_fibre=fibre(rng),
        tap=tap,
        client_detector=detector(rng),
        server_detector=detector(rng),
        weight_dac=weight_dac,
        data_dac=data_dac,
        client_adc=client_adc,
        server_adc=server_adc,
    )
    forward = settings.forward_fibre
    loss_db = forward.loss_db_per_km * forward.length_m / 1000 + forward.connector_loss_db + 0.8
    client_match = settings.client_detector.mode_match + 0.005 * float(rng.standard_normal())
    known: dict[str, Setting] = {
        "server_laser_w": settings.server_laser.power_w,
        "client_oscillator_w": settings.client_oscillator_laser.power_w,
        "server_oscillator_w": settings.server_oscillator_laser.power_w,
        "tap_fraction": tap + 0.005 * float(rng.standard_normal()),
        "forward_loss_db": loss_db + 0.2 * float(rng.standard_normal()),
        "mode_match": client_match,
        "client_mode_match": client_match,
        "server_mode_match": settings.server_detector.mode_match
        + 0.005 * float(rng.standard_normal()),
    }
    head = PowerHeadSettings(relative_error=0.01 * float(rng.standard_normal()))
    return Drawn(settings=settings, head=head, known=known)


def low_passed(scene_settings: ReferenceSettings, party: Party) -> float:
    """Power response of a detector's discrete low-pass at a quarter of the sample rate."""
    chosen = detector_of(scene_settings, party)
    pole = math.exp(-2 * math.pi * chosen.bandwidth_hz / RATE_HZ)
    return (1 - pole) ** 2 / (1 + pole**2) if pole >= 1e-4 else 1.0


def detector_of(settings: ReferenceSettings, party: Party) -> BalancedDetectorSettings:
    return settings.client_detector if party == "client" else settings.server_detector


def shot_v2(bench: CalibrationBench, party: Party) -> float:
    settings = bench.scene.settings
    if party == "client":
        kept = 10 ** (-settings.data_modulator.insertion_loss_db / 10)
        power_w = settings.client_oscillator_laser.power_w * kept
    else:
        power_w = settings.server_oscillator_laser.power_w
    found = truth.shot_variance_v2(bench.scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ)
    return found * low_passed(settings, party)


def electronic_v2(bench: CalibrationBench, party: Party) -> float:
    settings = bench.scene.settings
    adc = settings.client_adc if party == "client" else settings.server_adc
    converter = (2 / 2 ** (adc.effective_bits or adc.bits)) ** 2 / 12
    noise = truth.electronic_variance_v2(bench.scene, party, rate_hz=RATE_HZ)
    return noise * low_passed(settings, party) + converter


def known_result(
    bench: CalibrationBench, name: str, values: dict[str, tuple[float, float]], seed: int
) -> Result:
    """A result whose values lie off the truth as far as their uncertainties say."""
    rng = np.random.default_rng(seed)
    quantities: list[Quantity] = []
    for quantity, (value, relative) in values.items():
        error = value * relative
        off = value + error * float(rng.standard_normal())
        quantities.append(normal(off, error).quantity(quantity, "1"))
    return simulated_result(bench, name, tuple(quantities), seed=seed)


def open_drawn(drawn: Drawn, seed: int) -> CalibrationBench:
    """A bench on which other routines have found what these ones need."""
    bench = open_calibration_bench(
        drawn.settings, seed=seed, heads={"server.launch_power_meter": drawn.head}
    )
    settings = bench.scene.settings
    inputs: dict[str, dict[str, tuple[float, float]]] = {
        "modulators": {
            "weight_v_pi_v": (settings.weight_modulator.half_wave_v, V_PI_ERROR),
            "data_v_pi_v": (settings.data_modulator.half_wave_v, V_PI_ERROR),
        },
        "electronic_noise": {
            f"{p}_electronic_v2": (electronic_v2(bench, p), 1e-3) for p in PARTIES
        },
        "shot_noise": {f"{p}_shot_v2": (shot_v2(bench, p), SHOT_ERROR) for p in PARTIES},
        "detector": {
            f"{p}_efficiency": (detector_of(settings, p).efficiency, EFFICIENCY_ERROR)
            for p in PARTIES
        },
    }
    for index, (name, values) in enumerate(inputs.items()):
        bench.results[name] = known_result(bench, name, values, 10 * seed + index)
    return bench
