"""The example benches with an amplifier, of fewer ports, open and calibrated for tests.

Light is switched by the benches' own safety, as in the program.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from calibration.access import access_of
from calibration.result import Setting
from calibration.routines import amplifier_routines
from drivers.bench import Bench, ModelRegistry, parse_bench
from sim_backend.instruments import register_amplifier_models
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.clock import SimulatedClock
from tests.calibration_access import RoutineBench

__all__ = [
    "EXAMPLES",
    "INVERSION",
    "PORTS",
    "SHORT",
    "FileBenches",
    "amplifier_results",
    "example_table",
    "open_file_benches",
]

EXAMPLES = Path(__file__).parents[1] / "examples" / "benches"
PORTS = 4
INVERSION = 1.2
SHORT: dict[str, dict[str, Setting]] = {
    "port_noise": {"samples": 1 << 18},
    "mesh": {"dark_frames": 1024, "settings_of_meshes": 20, "model_vectors": 64},
    "amplifier": {"dark_frames": 1024, "settings_of_meshes": 6, "noise_samples": 1 << 19},
    "port_loss": {"vectors": 12},
}
"""Settings that make the routines quick."""


@dataclass(frozen=True, kw_only=True)
class FileBenches(RoutineBench):
    """Open, armed benches and what routines see of them."""

    simulated: SimulatedAmplifierBench
    server: Bench
    client: Bench


def example_table(party: str) -> dict[str, Any]:
    """The example file of a party, as a table to change."""
    return tomllib.loads((EXAMPLES / f"amplifier-{party}.toml").read_text())


def open_file_benches(**parameters: Any) -> FileBenches:
    """The example benches with four ports and an amplifier with more than the least noise.

    Args:
        parameters: of the scene, in place of those.
    """
    scene = {
        "seed": 4,
        "mesh": {"ports": PORTS},
        "amplifier": {"inversion": INVERSION},
        **parameters,
    }
    files = []
    for party in ("server", "client"):
        table = example_table(party)
        table["scene"]["parameters"] = scene
        files.append(parse_bench(table, f"bench file {party}.toml"))
    registry = ModelRegistry(SimulatedClock())
    simulated = register_amplifier_models(registry, files)
    benches = [Bench.build(file, registry) for file in files]
    for bench in benches:
        bench.open()
        bench.safety.rearm("tester")
    access = access_of(benches, name="amplifier", clock_id="test")
    return FileBenches(
        simulated=simulated, server=benches[0], client=benches[1], access=access, seed=5
    )


@cache
def amplifier_results() -> FileBenches:
    """Benches on which every routine has been run once; leave them as they are."""
    benches = open_file_benches()
    for routine in amplifier_routines().ordered():
        benches.run(routine, SHORT.get(routine.name))
    return benches
