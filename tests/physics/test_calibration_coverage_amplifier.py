"""Coverage of the mesh and amplifier routines on randomly drawn amplifier benches of four ports."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from calibration.routines.amplifier import AmplifierCalibration
from calibration.routines.mesh import MeshCalibration
from sim_backend.scene.amplifier import OpticalAmplifierSettings
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.mesh import MeshSettings
from tests.amplifier_calibration import open_amplifier_calibration

PORTS = 4
SCENES = 200
EFFICIENCY = 0.85 * 0.98**2
"""Quantum efficiency times the square of the mode match of the scene's detectors."""


def inside(seed: int) -> dict[str, bool]:
    """Whether each interval holds the truth of one scene."""
    rng = np.random.default_rng(seed)
    gain_db, inversion = rng.uniform(2.0, 6.0), rng.uniform(1.0, 2.0)
    gain = 10 ** (gain_db / 10)
    usual = AmplifierBenchSettings(mesh=MeshSettings(ports=PORTS))
    scene = replace(
        usual,
        patch=replace(usual.patch, thermal_phase_rad_per_sqrt_s=0.0),
        amplifier=OpticalAmplifierSettings(inversion=inversion),
        tap=1 - 1 / gain,
    )
    bench = open_amplifier_calibration(scene, seed=seed)
    short = {"gain_db": gain_db, "dark_frames": 1024}
    bench.run(MeshCalibration(), {**short, "settings_of_meshes": 20, "model_vectors": 64}, seed=1)
    found = bench.run(
        AmplifierCalibration(),
        {
            **short,
            "settings_of_meshes": 6,
            # Data sheets are right within their own uncertainties, not exactly.
            "tap_fraction": 1 - 1 / gain + 1e-3 * rng.standard_normal(),
            "tap_uncertainty": 1e-3,
            "client_efficiency": EFFICIENCY + 0.01 * rng.standard_normal(),
            "client_efficiency_uncertainty": 0.01,
            "noise_samples": 1 << 18,
        },
        seed=2,
    )
    noise = 2 * inversion * (gain - 1)
    truths = {
        "gain": gain,
        "added_noise_snu": noise,
        "inversion": inversion,
        "noise_figure": (1 + noise) / gain,
    }
    return {
        name: found[name].interval95[0] <= value <= found[name].interval95[1]
        for name, value in truths.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_amplifier_routine_holds_the_truth_when_scenes_are_drawn() -> None:
    """An honest 95 % interval leaves 90 to 99 % of 200 scenes with a probability of 0.5 %."""
    held: defaultdict[str, list[bool]] = defaultdict(list)
    for seed in range(SCENES):
        for name, value in inside(seed).items():
            held[name].append(value)
    for name, values in held.items():
        tail = binom.cdf(sum(values), len(values), 0.95)
        print(f"{name:20s} {100 * np.mean(values):5.1f} %  (tail {tail:.2g})")
    for name, values in held.items():
        assert 0.90 <= np.mean(values) <= 0.99, name
