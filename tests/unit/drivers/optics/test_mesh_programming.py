"""The model of a mesh and its programming, against the simulated mesh and exact algebra."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import unitary_group

from drivers.errors import ConfigurationError
from drivers.optics.mesh_model import MeshModel
from drivers.optics.mesh_programming import collecting, decompose, error_rad, program, undoing
from sim_backend.scene.mesh_algebra import compose

PORTS = [2, 3, 4, 8]


def worn(ports: int, seed: int = 0) -> MeshModel:
    rng = np.random.default_rng(seed)
    perfect = MeshModel.perfect(ports, 4.0)
    return replace(
        perfect,
        phase_offsets_rad=0.5 * rng.standard_normal(perfect.channels),
        coupler_errors_rad=0.01 * rng.standard_normal(perfect.coupler_errors_rad.shape),
    )


def unit(ports: int, seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(ports) + 1j * rng.standard_normal(ports)
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("ports", PORTS, ids=str)
def test_model_is_the_simulated_mesh_when_both_have_the_same_errors(ports: int) -> None:
    model = worn(ports)
    phases = np.random.default_rng(1).uniform(0, 6.0, model.channels)
    expected = compose(ports, phases, model.coupler_errors_rad)
    np.testing.assert_allclose(model.transfer(phases), expected, atol=1e-13)
    np.testing.assert_allclose(model.slopes(phases[None]).unitary[0], expected, atol=1e-13)


@pytest.mark.parametrize("ports", [2, 3, 4], ids=str)
def test_slopes_are_the_differences_of_the_transfer(ports: int) -> None:
    model, step = worn(ports), 1e-6
    phases = np.random.default_rng(2).uniform(0, 6.0, model.channels)
    slopes = model.slopes(phases[None])
    for channel in range(model.channels):
        move = step * np.eye(model.channels)[channel]
        difference = model.transfer(phases + move) - model.transfer(phases - move)
        np.testing.assert_allclose(slopes.by_phase[0, channel], difference / 2 / step, atol=1e-8)
    for unit_number, side in np.ndindex(*model.coupler_errors_rad.shape):
        move = np.zeros_like(model.coupler_errors_rad)
        move[unit_number, side] = step
        above = replace(model, coupler_errors_rad=model.coupler_errors_rad + move)
        below = replace(model, coupler_errors_rad=model.coupler_errors_rad - move)
        difference = above.transfer(phases) - below.transfer(phases)
        np.testing.assert_allclose(
            slopes.by_coupler[0, unit_number, side], difference / 2 / step, atol=1e-8
        )


def test_volts_give_the_phases_they_were_asked_for() -> None:
    model = worn(4)
    phases = np.random.default_rng(3).uniform(-10, 10, model.channels)
    volts = model.volts(phases)
    assert volts.min() >= 0
    assert volts.max() <= 4.0 * 2**0.5
    np.testing.assert_allclose(np.exp(1j * model.phases(volts)), np.exp(1j * phases), atol=1e-12)


@pytest.mark.parametrize("ports", [*PORTS, 16], ids=str)
def test_decompose_realises_a_unitary(ports: int) -> None:
    model = MeshModel.perfect(ports, 4.0)
    for target in (
        unitary_group.rvs(ports, random_state=ports),
        np.eye(ports, dtype=np.complex128),
    ):
        np.testing.assert_allclose(model.transfer(decompose(target)), target, atol=1e-12)


@pytest.mark.parametrize("ports", PORTS, ids=str)
def test_collecting_brings_a_vector_to_port_0_and_undoing_takes_it_back(ports: int) -> None:
    model = MeshModel.perfect(ports, 4.0)
    for vector in (unit(ports, 5), unit(ports, 6).real, *np.eye(ports)):
        data = (vector / np.linalg.norm(vector)).astype(np.complex128)
        forward = model.transfer(collecting(model, data))
        np.testing.assert_allclose(np.abs(forward @ data), np.eye(ports)[0], atol=1e-6)
        back = model.transfer(undoing(model, forward))
        assert error_rad(back @ forward, data) < 1e-6


def test_calibrated_errors_are_taken_out_when_meshes_are_worn() -> None:
    front, behind = worn(8, 1), worn(8, 2)
    naive = MeshModel.perfect(8, 4.0)
    for seed in range(6):
        data = unit(8, seed)
        forward = front.transfer(collecting(front, data))
        assert abs(forward[0] @ data) > 1 - 1e-4
        back = behind.transfer(undoing(behind, forward))
        assert error_rad(back @ forward, data) < 5e-3
        blind = front.phases(naive.volts(collecting(naive, data)))
        assert abs(front.transfer(blind)[0] @ data) < 0.99


def test_program_reaches_the_best_row_when_splitters_forbid_the_target() -> None:
    """A basis vector needs full extinction: splitters of 0.01 rad leave about that much."""
    model = worn(4, 3)
    target = np.eye(4, dtype=np.complex128)
    missed = model.transfer(program(model, target, rows=1))[0] - target[0]
    straight = model.transfer(decompose(target))[0] - target[0]
    assert np.linalg.norm(np.abs(missed[1:])) <= np.linalg.norm(np.abs(straight[1:])) + 1e-9
    assert np.linalg.norm(np.abs(missed[1:])) < 0.05


def test_error_is_the_angle_of_a_rotation_and_blind_to_phases_of_rows() -> None:
    angle = 0.07
    rotation = np.eye(3, dtype=np.complex128)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned = np.exp(1j * np.array([0.3, 2.0, -1.0]))[:, None] * rotation
    assert error_rad(turned, np.eye(3)[0].astype(np.complex128)) == pytest.approx(angle)
    assert error_rad(turned, np.eye(3)[2].astype(np.complex128)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "vector", [np.ones(4), np.eye(3)[0], np.full(4, np.nan), np.zeros(4)], ids=repr
)
def test_collecting_refuses_when_the_vector_is_no_unit_vector(vector: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigurationError, match="unit vector of 4 entries"):
        collecting(MeshModel.perfect(4, 4.0), vector.astype(np.complex128))


@pytest.mark.parametrize("matrix", [np.ones((3, 3)), np.eye(4)[:3]], ids=["ones", "oblong"])
def test_decompose_refuses_when_the_matrix_is_not_unitary(matrix: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigurationError, match="not unitary"):
        decompose(matrix.astype(np.complex128))


def test_model_refuses_when_shapes_or_values_are_wrong() -> None:
    good = MeshModel.perfect(4, 4.0)
    with pytest.raises(ConfigurationError, match="mesh of 4 ports: offsets"):
        replace(good, phase_offsets_rad=np.zeros(15))
    with pytest.raises(ConfigurationError, match="calibrate the mesh again"):
        replace(good, phase_offsets_rad=np.full(16, np.nan))
    with pytest.raises(ConfigurationError, match="V_pi is 0"):
        replace(good, half_wave_v=0.0)
