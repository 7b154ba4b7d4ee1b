"""Benches without drift and noise beyond that of light, and shots on them, for the tests beside."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import Trace, Trigger
from sim_backend.instruments import Fault, FaultPlan, SimulatedBench
from sim_backend.instruments.attenuator import SimulatedAttenuator
from sim_backend.instruments.bias_controller import SimulatedBiasController
from sim_backend.instruments.digitiser import SimulatedDigitiser
from sim_backend.instruments.laser import SimulatedLaser
from sim_backend.instruments.switch import SimulatedSwitch
from sim_backend.instruments.waveform_generator import SimulatedWaveformGenerator
from sim_backend.scene.converters import AdcSettings, DacSettings
from sim_backend.scene.detectors import BalancedDetectorSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m

__all__ = [
    "QUIET",
    "RATE_HZ",
    "Rig",
    "edge",
    "lit_rig",
    "quiet_bench",
    "rig",
    "step_waveform",
]

RATE_HZ = 800e6
_LASER = LaserSettings(
    linewidth_hz=0.0,
    intensity_noise_db_per_hz=-250.0,
    power_settling_s=0.01,
    wavelength_settling_s=0.01,
    frequency_drift_hz=0.0,
)
_FIBRE = FibreSettings(
    length_m=0.0,
    thermal_phase_rad_per_sqrt_s=0.0,
    polarisation_rad_per_sqrt_s=0.0,
    polarisation_scrambled=False,
)
_MODULATOR = MachZehnderSettings(bias_drift_v=0.0)
_DETECTOR = BalancedDetectorSettings(saturation_current_a=1.0)
_ADC = AdcSettings(bits=16, effective_bits=None)
QUIET = ReferenceSettings(
    server_laser=_LASER,
    client_oscillator_laser=_LASER,
    server_oscillator_laser=_LASER,
    forward_fibre=_FIBRE,
    return_fibre=_FIBRE,
    weight_modulator=_MODULATOR,
    data_modulator=_MODULATOR,
    client_detector=_DETECTOR,
    server_detector=_DETECTOR,
    weight_dac=DacSettings(),
    data_dac=DacSettings(),
    client_adc=_ADC,
    server_adc=_ADC,
    tap=0.5,
)
"""Only vacuum noise and electronic noise; all lasers on one frequency."""


def quiet_bench(
    *faults: Fault, settings: ReferenceSettings = QUIET, seed: int = 11
) -> SimulatedBench:
    """A bench on `QUIET`, with faults."""
    return SimulatedBench(settings, seed=seed, faults=FaultPlan(faults))


@dataclass(frozen=True, kw_only=True)
class Rig:
    """The open instruments of a bench that a shot needs."""

    bench: SimulatedBench
    laser: SimulatedLaser
    oscillator: SimulatedLaser
    return_oscillator: SimulatedLaser
    attenuator: SimulatedAttenuator
    signal_switch: SimulatedSwitch
    return_switch: SimulatedSwitch
    weight_bias: SimulatedBiasController
    data_bias: SimulatedBiasController
    weight_generator: SimulatedWaveformGenerator
    data_generator: SimulatedWaveformGenerator
    tap_digitiser: SimulatedDigitiser
    return_digitiser: SimulatedDigitiser

    def tune(self, beat_hz: float) -> None:
        """Put both oscillators `beat_hz` below the light."""
        for oscillator in (self.oscillator, self.return_oscillator):
            oscillator.set_wavelength(wavelength_at_offset_m(-beat_hz))

    def light(self, signal_w: float, oscillator_w: float, attenuation_db: float) -> None:
        """Switch everything on and wait; the modulators stand at null and at peak."""
        self.laser.set_power(signal_w)
        for oscillator in (self.oscillator, self.return_oscillator):
            oscillator.set_power(oscillator_w)
        for laser in (self.laser, self.oscillator, self.return_oscillator):
            laser.set_emission(True)
            laser.wait_settled(10.0)
        settings = self.bench.scene.settings
        self.weight_bias.set_voltage(0, settings.weight_modulator.null_v)
        data = settings.data_modulator
        self.data_bias.set_voltage(0, data.null_v + data.bias_half_wave_v)
        self.attenuator.set_attenuation_db(attenuation_db)
        self.attenuator.set_shutter(True)
        self.signal_switch.select("light")
        self.return_switch.select("light")

    def load(self, volts: NDArray[np.float32]) -> None:
        """Load the weights' waveform."""
        self.weight_generator.set_sample_rate(RATE_HZ)
        self.weight_generator.load(0, volts)
        self.weight_generator.set_output(0, True)

    def shoot(
        self,
        samples: int,
        *,
        delay_s: float = 0.0,
        range_v: float = 2.0,
        digitisers: Sequence[SimulatedDigitiser] | None = None,
    ) -> list[Trace]:
        """Play what is loaded and record it, at the client by default."""
        recorders = [self.tap_digitiser] if digitisers is None else list(digitisers)
        for digitiser in recorders:
            digitiser.configure(RATE_HZ, samples, range_v)
            digitiser.arm(Trigger.EXTERNAL)
        self.weight_generator.arm(Trigger.SOFTWARE, delay_s)
        self.weight_generator.trigger()
        for digitiser in recorders:
            digitiser.wait(1.0)
        return [digitiser.fetch() for digitiser in recorders]

    def record(self, samples: int, range_v: float = 2.0) -> NDArray[np.float32]:
        """What the client's digitiser sees now, nothing playing; shape (samples,)."""
        self.tap_digitiser.configure(RATE_HZ, samples, range_v)
        self.tap_digitiser.arm(Trigger.IMMEDIATE)
        volts: NDArray[np.float32] = self.tap_digitiser.fetch().volts[0]
        return volts


@contextmanager
def rig(bench: SimulatedBench) -> Iterator[Rig]:
    """All instruments of a shot, open and dark."""
    with ExitStack() as stack:
        enter = stack.enter_context
        yield Rig(
            bench=bench,
            laser=enter(bench.laser("server", "laser")),
            oscillator=enter(bench.laser("client", "oscillator")),
            return_oscillator=enter(bench.laser("server", "return_oscillator")),
            attenuator=enter(bench.attenuator("server", "attenuator")),
            signal_switch=enter(bench.switch("client", "signal_switch")),
            return_switch=enter(bench.switch("server", "return_switch")),
            weight_bias=enter(bench.bias_controller("server", "weight_bias")),
            data_bias=enter(bench.bias_controller("client", "data_bias")),
            weight_generator=enter(bench.waveform_generator("server", "weight_generator")),
            data_generator=enter(bench.waveform_generator("client", "data_generator")),
            tap_digitiser=enter(bench.digitiser("client", "tap_digitiser")),
            return_digitiser=enter(bench.digitiser("server", "return_digitiser")),
        )


@contextmanager
def lit_rig(
    *faults: Fault, settings: ReferenceSettings = QUIET, beat_hz: float = 0.0
) -> Iterator[Rig]:
    """A rig with strong signal light and a step of 4000 dark and 4000 bright samples loaded."""
    with rig(quiet_bench(*faults, settings=settings)) as ready:
        ready.tune(beat_hz)
        ready.light(10e-3, 5e-3, 30.0)
        ready.load(step_waveform(4000, 4000))
        yield ready


def step_waveform(dark: int, bright: int) -> NDArray[np.float32]:
    """0 V and then V_pi, shape (dark + bright,)."""
    volts = np.zeros(dark + bright, dtype=np.float32)
    volts[dark:] = QUIET.weight_modulator.half_wave_v
    return volts


def edge(trace: Trace) -> int:
    """First sample of the bright part: above half of its level, either sign."""
    volts = trace.volts[0].astype(np.float64)
    floor, level = np.mean(volts[:2000]), np.mean(volts[6000:7000])
    assert abs(level - floor) > 20 * np.std(volts[6000:7000])
    return int(np.argmax((volts - floor) / (level - floor) > 0.5))
