"""A simulated bench with an amplifier, all instruments open, dressed for calibration routines."""

from dataclasses import dataclass

from drivers.instruments import Instrument
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.detectors import PowerHeadSettings
from tests.calibration_access import RoutineBench, open_access

__all__ = ["AmplifierCalibrationBench", "open_amplifier_calibration"]


@dataclass(frozen=True, kw_only=True)
class AmplifierCalibrationBench(RoutineBench):
    """An open bench and what routines see of it."""

    bench: SimulatedAmplifierBench


def open_amplifier_calibration(
    settings: AmplifierBenchSettings | None = None,
    *,
    seed: int = 1,
    head: PowerHeadSettings | None = None,
) -> AmplifierCalibrationBench:
    """Open every instrument of the scene, the launch power meter with a head of one's own."""
    bench = SimulatedAmplifierBench(settings, seed=seed)
    instruments: dict[str, Instrument] = {
        "server.laser": bench.laser("server", "laser"),
        "server.return_oscillator": bench.laser("server", "return_oscillator"),
        "server.weight_generator": bench.weight_generator(),
        "server.weight_bias": bench.weight_bias(),
        "server.attenuator": bench.attenuator(),
        "server.launch_power_meter": bench.launch_power_meter(head),
        "server.return_digitiser": bench.return_digitiser(),
        "client.oscillator": bench.laser("client", "oscillator"),
        "client.seed_laser": bench.laser("client", "seed_laser"),
        "client.mesh_driver": bench.mesh_driver("mesh_driver"),
        "client.return_mesh_driver": bench.mesh_driver("return_mesh_driver"),
        "client.amplifier": bench.optical_amplifier(),
        "client.tap_digitiser": bench.tap_digitiser(),
    }
    access = open_access(instruments, bench.clock, seed=seed)
    return AmplifierCalibrationBench(bench=bench, access=access)
