"""A simulated bench with all instruments open, dressed as what calibration routines may touch."""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.instruments import Instrument
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.calibration_access import RoutineBench, open_access

__all__ = ["CalibrationBench", "open_calibration_bench"]


@dataclass(frozen=True, kw_only=True)
class CalibrationBench(RoutineBench):
    """An open simulated bench and what routines see of it.

    Attributes:
        bench: the simulated bench; `scene` is its scene.
    """

    bench: SimulatedBench

    @property
    def scene(self) -> ReferenceScene:
        """The scene, for `sim_backend.scene.truth`."""
        return self.bench.scene


def open_calibration_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 1,
    heads: Mapping[str, PowerHeadSettings] | None = None,
) -> CalibrationBench:
    """Open every instrument of the reference scene.

    Args:
        settings: of the scene; what tests draw at random.
        seed: of the scene.
        heads: errors of power meters, by "party.role".
    """
    chosen = settings or ReferenceSettings()
    bench = SimulatedBench(chosen, seed=seed)
    access = open_access(_instruments(bench, heads or {}), bench.clock, seed=seed)
    return CalibrationBench(bench=bench, access=access)


def _instruments(
    bench: SimulatedBench, heads: Mapping[str, PowerHeadSettings]
) -> dict[str, Instrument]:
    """Every instrument of a passive-tap bench by "party.role", closed."""

    def meter(party: str, role: str) -> Instrument:
        return bench.power_meter(party, role, settings=heads.get(f"{party}.{role}"))

    made: dict[str, Instrument] = {
        "server.laser": bench.laser("server", "laser"),
        "server.weight_generator": bench.waveform_generator("server", "weight_generator"),
        "server.weight_bias": bench.bias_controller("server", "weight_bias"),
        "server.attenuator": bench.attenuator("server", "attenuator"),
        "server.launch_power_meter": meter("server", "launch_power_meter"),
        "server.return_polarisation": bench.polarisation_controller(
            "server", "return_polarisation"
        ),
        "server.return_switch": bench.switch("server", "return_switch"),
        "server.return_digitiser": bench.digitiser("server", "return_digitiser"),
        "server.oscillator_power_meter": meter("server", "oscillator_power_meter"),
        "client.polarisation": bench.polarisation_controller("client", "polarisation"),
        "client.signal_switch": bench.switch("client", "signal_switch"),
        "client.data_generator": bench.waveform_generator("client", "data_generator"),
        "client.data_bias": bench.bias_controller("client", "data_bias"),
        "client.tap_digitiser": bench.digitiser("client", "tap_digitiser"),
        "client.oscillator_power_meter": meter("client", "oscillator_power_meter"),
    }
    if bench.scene.settings.detection == "homodyne":
        made["client.tap_phase"] = bench.oscillator_phase("client", "tap_phase")
        made["server.return_phase"] = bench.oscillator_phase("server", "return_phase")
    if bench.scene.settings.oscillators == "own":
        made["client.oscillator"] = bench.laser("client", "oscillator")
        made["server.return_oscillator"] = bench.laser("server", "return_oscillator")
    return made
