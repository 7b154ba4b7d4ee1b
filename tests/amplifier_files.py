"""The example benches with an amplifier, of fewer ports, open and calibrated for tests.

Light is switched by the benches' own safety, as in the program.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from calibration.access import BenchAccess, access_of
from calibration.result import Result, Setting
from calibration.routine import Context, Routine, settings_of
from calibration.routines import amplifier_routines
from drivers.bench import Bench, ModelRegistry, parse_bench
from sim_backend.instruments import register_amplifier_models
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.clock import SimulatedClock

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
class FileBenches:
    """Open, armed benches and what routines see of them."""

    simulated: SimulatedAmplifierBench
    server: Bench
    client: Bench
    access: BenchAccess
    results: dict[str, Result] = field(default_factory=dict)

    def run(self, routine: Routine, settings: dict[str, Setting] | None = None) -> Result:
        """Run a routine as the runner does, on the results so far, and keep its result."""
        context = Context(
            routine=routine,
            bench=self.access,
            results={name: self.results[name] for name in routine.needs},
            rng=np.random.default_rng(5),
            seed=5,
            progress=lambda done, total, text: None,
            settings=settings_of(routine, settings or {}),
        )
        try:
            result = routine.run(context)
        finally:
            self.access.switch_off()
        self.results[routine.name] = result
        return result


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
    return FileBenches(simulated=simulated, server=benches[0], client=benches[1], access=access)


@cache
def amplifier_results() -> FileBenches:
    """Benches on which every routine has been run once; leave them as they are."""
    benches = open_file_benches()
    for routine in amplifier_routines().ordered():
        benches.run(routine, SHORT.get(routine.name))
    return benches
