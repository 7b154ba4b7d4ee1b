"""The instruments that the contract suites run over, by kind.

Drivers of real instruments on their twins come from `tests.contract.instruments.wired`. To have
another instrument tested, add a function that makes a fresh, unopened one. It may be in any
state before `open`; the suites set it up through its public methods, and replace readings (a seed,
a power) on the object itself where a suite needs a certain one.
"""

from collections.abc import Callable

from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    PolarisationController,
    PowerMeter,
    Switch,
    WaveformGenerator,
)
from sim_backend.instruments import SimulatedBench
from tests.contract.instruments.paper import (
    PaperAttenuator,
    PaperBiasController,
    PaperDigitiser,
    PaperLaser,
    PaperOpticalAmplifier,
    PaperPhaseDriver,
    PaperPolarisationController,
    PaperPowerMeter,
    PaperSwitch,
    PaperWaveformGenerator,
)
from tests.contract.instruments.wired import chosen

__all__ = [
    "ATTENUATORS",
    "BIAS_CONTROLLERS",
    "DIGITISERS",
    "LASERS",
    "OPTICAL_AMPLIFIERS",
    "PHASE_DRIVERS",
    "POLARISATION_CONTROLLERS",
    "POWER_METERS",
    "SWITCHES",
    "WAVEFORM_GENERATORS",
]


def _lit_bias_controller() -> BiasController:
    """A controller with light in its modulator: it cannot lock in the dark."""
    bench = SimulatedBench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(10.0)
    return bench.bias_controller("server", "weight_bias")


LASERS: dict[str, Callable[[], Laser]] = chosen(
    Laser,
    {
        "paper": PaperLaser,
        "simulated": lambda: SimulatedBench().laser("server", "laser"),
    },
)
WAVEFORM_GENERATORS: dict[str, Callable[[], WaveformGenerator]] = chosen(
    WaveformGenerator,
    {
        "paper": PaperWaveformGenerator,
        "simulated": lambda: SimulatedBench().waveform_generator("server", "weight_generator"),
    },
)
BIAS_CONTROLLERS: dict[str, Callable[[], BiasController]] = chosen(
    BiasController,
    {
        "paper": PaperBiasController,
        "simulated": _lit_bias_controller,
    },
)
ATTENUATORS: dict[str, Callable[[], Attenuator]] = chosen(
    Attenuator,
    {
        "paper": PaperAttenuator,
        "simulated": lambda: SimulatedBench().attenuator("server", "attenuator"),
    },
)
OPTICAL_AMPLIFIERS: dict[str, Callable[[], OpticalAmplifier]] = chosen(
    OpticalAmplifier,
    {
        "paper": PaperOpticalAmplifier,
        "simulated": lambda: SimulatedBench().optical_amplifier("client", "amplifier"),
    },
)
PHASE_DRIVERS: dict[str, Callable[[], PhaseDriver]] = chosen(
    PhaseDriver,
    {
        "paper": PaperPhaseDriver,
        "simulated": lambda: SimulatedBench().phase_driver("client", "mesh_driver"),
    },
)
DIGITISERS: dict[str, Callable[[], Digitiser]] = chosen(
    Digitiser,
    {
        "paper": PaperDigitiser,
        "simulated": lambda: SimulatedBench().digitiser("client", "tap_digitiser"),
    },
)
POWER_METERS: dict[str, Callable[[], PowerMeter]] = chosen(
    PowerMeter,
    {
        "paper": PaperPowerMeter,
        "simulated": lambda: SimulatedBench().power_meter("server", "launch_power_meter"),
    },
)
POLARISATION_CONTROLLERS: dict[str, Callable[[], PolarisationController]] = chosen(
    PolarisationController,
    {
        "paper": PaperPolarisationController,
        "simulated": lambda: SimulatedBench().polarisation_controller("client", "polarisation"),
    },
)
SWITCHES: dict[str, Callable[[], Switch]] = chosen(
    Switch,
    {
        "paper": PaperSwitch,
        "simulated": lambda: SimulatedBench().switch("client", "signal_switch"),
    },
)
