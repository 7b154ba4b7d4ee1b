"""Benches and comparisons that the tests of the scene share.

`assert_variance` and `assert_mean` are z-tests at |z| < 7.8: 6.2e-15 chance of failure each.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import AdcSettings, DacSettings
from sim_backend.scene.detectors import BalancedDetectorSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import FloatArray, Light, Window
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings, SwitchSettings
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings

Z_LIMIT = 7.8
RATE_HZ = 8e8
SAMPLES_PER_SLOT = 8


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


def window(samples: int = 0, *, rate_hz: float = RATE_HZ, start_s: float = 0.0) -> Window:
    return Window(start_s=start_s, rate_hz=rate_hz, samples=samples)


def steady(amplitude: complex, samples: int) -> Light:
    return Light(field=np.full(samples, amplitude, dtype=np.complex64))


def assert_variance(samples: NDArray[np.floating], expected: float) -> None:
    """Gaussian samples have this variance."""
    found = float(np.var(samples, dtype=np.float64))
    error = expected * math.sqrt(2 / samples.size)
    assert abs(found - expected) < Z_LIMIT * error, (found, expected, error)


def assert_mean(samples: NDArray[np.floating], expected: float) -> None:
    """Independent samples have this mean."""
    found = float(np.mean(samples, dtype=np.float64))
    error = float(np.std(samples, dtype=np.float64)) / math.sqrt(samples.size)
    assert abs(found - expected) < Z_LIMIT * error, (found, expected, error)


def pulse() -> FloatArray:
    """Amplitude of one slot's pulse."""
    k = np.arange(SAMPLES_PER_SLOT)
    return np.asarray(np.sin(np.pi * (k + 0.5) / SAMPLES_PER_SLOT) ** 2, dtype=np.float32)


def calm_settings(**changes: object) -> ReferenceSettings:
    """The reference bench without drift, jitter, settling, fibre length or converter noise."""
    modulator = MachZehnderSettings(bias_drift_v=0.0, extinction_db=80.0, bandwidth_hz=100e9)
    fibre = FibreSettings(
        length_m=0.0,
        thermal_phase_rad_per_sqrt_s=0.0,
        polarisation_rad_per_sqrt_s=0.0,
        polarisation_scrambled=False,
    )
    laser = LaserSettings(
        power_settling_s=0.0, wavelength_settling_s=0.0, frequency_drift_hz=0.0, power_w=20e-3
    )
    detector = BalancedDetectorSettings(bandwidth_hz=100e9)
    values: dict[str, Any] = {
        "server_laser": laser,
        "client_oscillator_laser": laser,
        "server_oscillator_laser": laser,
        "oscillators": "shared",
        "weight_modulator": modulator,
        "data_modulator": modulator,
        "launch_attenuator": AttenuatorSettings(settling_s=0.0),
        "client_switch": SwitchSettings(settling_s=0.0),
        "server_switch": SwitchSettings(settling_s=0.0),
        "forward_fibre": fibre,
        "return_fibre": fibre,
        "client_detector": detector,
        "server_detector": detector,
        "weight_dac": DacSettings(bits=20),
        "data_dac": DacSettings(bits=20),
        "client_adc": AdcSettings(bits=20, effective_bits=None),
        "server_adc": AdcSettings(bits=20, effective_bits=None),
    }
    return dataclasses.replace(ReferenceSettings(), **(values | changes))


def ready_scene(
    settings: ReferenceSettings | None = None, *, seed: int = 1, attenuation_db: float = 60.0
) -> ReferenceScene:
    """A scene with all lasers on and settled, modulators at null, shutter open."""
    scene = ReferenceScene(settings or ReferenceSettings(), seed=seed, clock=SimulatedClock())
    for laser in (
        scene.server_laser,
        scene.client_oscillator_laser,
        scene.server_oscillator_laser,
    ):
        laser.set_emission(True)
    scene.launch_attenuator.shutter_open = True
    scene.launch_attenuator.set_attenuation_db(attenuation_db)
    scene.clock.advance(30.0)
    scene.weight_modulator.bias_v = scene.weight_modulator.null_v()
    scene.data_modulator.bias_v = scene.data_modulator.null_v()
    return scene


def drive_for(amplitudes: FloatArray, half_wave_v: float = 3.5) -> FloatArray:
    """Volts that make these relative amplitudes, each over one slot's pulse."""
    shape = (amplitudes[:, None] * pulse()).ravel()
    return np.asarray(2 * half_wave_v / np.pi * np.arcsin(shape), dtype=np.float32)
