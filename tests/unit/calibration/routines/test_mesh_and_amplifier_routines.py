"""Mesh and amplifier routines on a simulated bench of four ports, against what the scene knows.

Intervals are widened to seven of their own standard deviations, so that a failure is no chance.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm

from calibration.fits.mesh import MeshPoint
from calibration.result import Result
from calibration.routines.amplifier import AmplifierCalibration
from calibration.routines.mesh import MeshCalibration, _Judged, _Planned, meshes_of
from drivers.errors import CalibrationError, SynchronisationError
from drivers.optics.mesh_programming import collecting, error_rad, undoing
from sim_backend.scene import amplifier_truth as truth
from sim_backend.scene.amplifier import OpticalAmplifierSettings
from sim_backend.scene.amplifier_bench import AmplifierBench, AmplifierBenchSettings
from sim_backend.scene.mesh import MeshSettings
from tests.amplifier_bench import open_amplifier_bench
from tests.amplifier_calibration import AmplifierCalibrationBench, open_amplifier_calibration

PORTS, INVERSION, GAIN_DB = 4, 1.3, 4.0
GAIN = 10 ** (GAIN_DB / 10)
SHORT = {"gain_db": GAIN_DB, "dark_frames": 1024, "settings_of_meshes": 20}


def scene_settings() -> AmplifierBenchSettings:
    usual = AmplifierBenchSettings(mesh=MeshSettings(ports=PORTS))
    return replace(
        usual,
        # What the scene knows of its meshes does not hold the phases of the fibres between.
        patch=replace(usual.patch, thermal_phase_rad_per_sqrt_s=0.0),
        amplifier=OpticalAmplifierSettings(inversion=INVERSION),
        tap=1 - 1 / GAIN,
    )


@pytest.fixture(scope="module")
def bench() -> AmplifierCalibrationBench:
    opened = open_amplifier_calibration(scene_settings(), seed=4)
    opened.run(MeshCalibration(), {**SHORT, "model_vectors": 64}, seed=5)
    opened.run(
        AmplifierCalibration(),
        {**SHORT, "settings_of_meshes": 6, "tap_fraction": 1 - 1 / GAIN, "noise_samples": 1 << 19},
        seed=6,
    )
    return opened


def true_errors(scene: AmplifierBench, result: Result) -> tuple[float, float]:
    """Root-mean-square errors of the round trip and of the collected mode, without any noise."""
    mesh, return_mesh = meshes_of(result, 4.0, PORTS)
    rng = np.random.default_rng(9)
    scene.amplifier.pump = True
    scene.amplifier.set_gain_db(GAIN_DB)
    round_trips, collected = [], []
    for _ in range(100):
        vector = rng.standard_normal(PORTS)
        vector /= np.linalg.norm(vector)
        data = vector.astype(np.complex128)
        forward = collecting(mesh, data)
        scene.forward_mesh.set_voltages(mesh.volts(forward))
        back = undoing(return_mesh, mesh.transfer(forward))
        scene.return_mesh.set_voltages(return_mesh.volts(back))
        round_trips.append(error_rad(truth.round_trip(scene), data))
        collected.append(math.acos(min(1.0, abs(scene.forward_mesh.unitary()[0] @ data))))
    scene.amplifier.pump = False
    for mesh_of_scene in (scene.forward_mesh, scene.return_mesh):
        mesh_of_scene.set_voltages(np.zeros(mesh_of_scene.channels))
    return float(np.sqrt(np.mean(np.square(round_trips)))), float(
        np.sqrt(np.mean(np.square(collected)))
    )


def holds(result: Result, name: str, value: float) -> bool:
    found = result[name]
    return abs(found.value - value) < 7 * found.uncertainty


def test_mesh_routine_makes_meshes_that_do_what_they_are_told(
    bench: AmplifierCalibrationBench,
) -> None:
    """0.5 rad of unknown offsets leave errors of about a radian; the routine, a hundredth."""
    result = bench.results["mesh"]
    round_trip, collected = true_errors(bench.bench.scene, result)
    assert round_trip < 0.01
    assert collected < 0.01
    assert result["unitary_error_rad"].interval95[0] <= round_trip + 0.003
    assert result["unitary_error_rad"].interval95[1] >= round_trip - 0.003
    assert result["unitary_error_rad"].interval95[1] < 0.02
    assert holds(result, "returned_amplitude", 1.0)
    assert result.goodness is not None
    assert result.goodness.reduced_chi_square < 2


def test_squared_errors_of_two_looks_have_neither_noise_nor_leaked_light_in_their_mean() -> None:
    """Noise of 0.01 would add 2.5e-4 to the square of an error of 0.02, light that leaks as much.

    Seven standard deviations are allowed.
    """
    rng = np.random.default_rng(3)
    vector = rng.standard_normal(PORTS)
    vector /= np.linalg.norm(vector)
    data = vector.astype(np.complex128)
    turn = 0.02 * rng.standard_normal((PORTS, PORTS))
    trip = expm(0.5j * (turn + turn.T)) * np.exp(1j * rng.uniform(0, 6, PORTS))[:, None]
    row = data + 0.02 * rng.standard_normal(PORTS)
    planned = _Planned(
        vector=vector, forward=np.zeros(1), back=np.zeros(1), round_trip=0.0, collected=0.0
    )

    leak = 0.01 * rng.standard_normal((PORTS + 1, PORTS))

    def look(sign: int) -> MeshPoint:
        noise = rng.standard_normal((2, PORTS + 1, PORTS))
        seen = np.vstack([row / np.linalg.norm(row), trip]) + 0.01 * (noise[0] + 1j * noise[1])
        seen += sign * leak
        return MeshPoint(
            volts=np.zeros(1),
            return_volts=np.zeros(1),
            collected=seen[0],
            returned=seen[1:],
            collected_noise=0.0,
            returned_noise=np.zeros(PORTS),
        )

    judged = [_Judged.of(planned, [(look(1), look(-1)), (look(1), look(-1))]) for _ in range(1000)]
    along = abs(complex(row @ data)) / float(np.linalg.norm(row))
    for found, angle in (
        ([one.round_trip for one in judged], error_rad(trip, data)),
        ([one.collected for one in judged], math.acos(along)),
    ):
        sigma = float(np.std(found)) / math.sqrt(len(found))
        assert abs(float(np.mean(found)) - angle**2) < 7 * sigma < 1e-4


def test_mesh_routine_leaves_the_bench_to_be_made_safe(bench: AmplifierCalibrationBench) -> None:
    for instrument in bench.access.instruments.values():
        assert instrument.is_safe()  # type: ignore[attr-defined]


def test_amplifier_routine_finds_gain_and_noise(bench: AmplifierCalibrationBench) -> None:
    result = bench.results["amplifier"]
    assert holds(result, "gain", GAIN)
    assert holds(result, "added_noise_snu", 2 * INVERSION * (GAIN - 1))
    assert holds(result, "inversion", INVERSION)
    assert holds(result, "noise_figure", (1 + 2 * INVERSION * (GAIN - 1)) / GAIN)
    assert result["gain"].uncertainty < 0.02 * GAIN
    assert result["inversion"].uncertainty < 0.05
    plot = result.fit_data[0]
    assert plot.fitted is not None
    np.testing.assert_allclose(plot.measured.values, plot.fitted.values, rtol=0.03)


def test_calibrated_meshes_serve_the_optics(bench: AmplifierCalibrationBench) -> None:
    """The same specimens, opened anew: known weights come back along known data."""
    import torch

    from drivers.backend import Block

    models = meshes_of(bench.results["mesh"], 4.0, PORTS)
    opened = open_amplifier_bench(scene_settings(), seed=4, gain=GAIN, models=models)
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=2, first_row=0, rows=400, modes=PORTS
    )
    generator = torch.Generator().manual_seed(1)
    data = torch.randn(2, PORTS, generator=generator)
    data /= torch.linalg.vector_norm(data, dim=1, keepdim=True)
    means = 4 * torch.randn(1, 400, PORTS, generator=generator)
    opened.link.client.load(block, data)
    opened.link.server.send(block, means)
    outcomes = opened.link.client.measure(block)
    expected = opened.link.client.describe().signal_gain * (data @ means[0].T)
    # Noise of 1.5 on 800 outcomes of size 3: slope known to 0.018; 0.13 is seven of these.
    slope = float((outcomes * expected).sum() / expected.square().sum())
    assert abs(slope - 1) < 0.13
    returned = opened.link.server.collect_full(block, torch.zeros(2, 400, dtype=torch.bool))
    assert float(torch.corrcoef(torch.stack([returned[0].flatten(), means.flatten()]))[0, 1]) > 0.6


def test_mesh_routine_refuses_when_a_detector_is_dark() -> None:
    opened = open_amplifier_calibration(scene_settings(), seed=4)
    with pytest.raises(SynchronisationError, match="client: no light"):
        opened.run(MeshCalibration(), {**SHORT, "attenuation_db": 100.0})


def test_mesh_routine_refuses_too_few_check_vectors() -> None:
    opened = open_amplifier_calibration(scene_settings(), seed=4)
    with pytest.raises(CalibrationError, match="at least 4"):
        opened.run(MeshCalibration(), {**SHORT, "check_vectors": 3})


def test_amplifier_routine_refuses_when_nothing_goes_back(
    bench: AmplifierCalibrationBench,
) -> None:
    with pytest.raises(CalibrationError, match="must be below 1"):
        bench.run(
            AmplifierCalibration(),
            {**SHORT, "settings_of_meshes": 1, "tap_fraction": 1.0, "noise_samples": 1 << 17},
        )
