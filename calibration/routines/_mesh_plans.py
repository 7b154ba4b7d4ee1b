"""Plans of both meshes for many data vectors at once, by the fitted model.

Owns the batched form of `drivers.optics.mesh_programming`: the same damped Gauss-Newton steps for
all targets together. A few data vectors are hard for a worn mesh and make most of a mean square
error, so that thousands are needed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.optics.mesh_model import Complexes, MeshModel
from drivers.optics.mesh_programming import decompose

__all__ = ["collecting_all", "undoing_all"]

Floats = NDArray[np.float64]

_CHUNK: Final = 256
"""Targets in one step, for the sake of memory."""
_STEPS: Final = 12
_GOOD: Final = 1e-7
_SETTLED: Final = 0.99
_DAMPING: Final = 1e-3
_DAMPING_FACTOR: Final = 8.0


def collecting_all(model: MeshModel, vectors: Floats) -> Floats:
    """Phases that bring each data vector to port 0, as `collecting` does.

    Args:
        model: the mesh.
        vectors: unit vectors, shape (vectors, ports).

    Returns:
        Phases in radians, shape (vectors, channels).
    """
    data = vectors.astype(np.complex128)
    axes = np.broadcast_to(np.eye(model.ports), (len(data), model.ports, model.ports))
    basis = np.linalg.qr(np.concatenate([data[:, :, None], axes], axis=2))[0]
    basis[:, :, 0] = data
    return _program_all(model, basis.conj().swapaxes(1, 2), rows=1)


def undoing_all(model: MeshModel, unitaries: Complexes) -> Floats:
    """Phases that undo each unitary, up to a phase of each port behind, as `undoing` does.

    Args:
        model: the mesh behind.
        unitaries: of the mesh in front, shape (vectors, ports, ports).

    Returns:
        Phases in radians, shape (vectors, channels).
    """
    return _program_all(model, unitaries.conj().swapaxes(1, 2), rows=model.ports)


def _program_all(model: MeshModel, targets: Complexes, *, rows: int) -> Floats:
    chunks = range(0, len(targets), _CHUNK)
    return np.concatenate([_program(model, targets[at : at + _CHUNK], rows) for at in chunks])


def _program(model: MeshModel, targets: Complexes, rows: int) -> Floats:
    phases = np.stack([decompose(target) for target in targets])
    damping = np.full(len(targets), _DAMPING)
    missing, slopes = _distance(model, phases, targets, rows)
    going = np.abs(missing).max(axis=1) >= _GOOD
    for _ in range(_STEPS):
        if not going.any():
            break
        normal = slopes.swapaxes(1, 2) @ slopes + damping[:, None, None] * np.eye(model.channels)
        downhill = slopes.swapaxes(1, 2) @ missing[:, :, None]
        tried = phases + np.linalg.solve(normal, downhill)[:, :, 0]
        left, steeper = _distance(model, tried, targets, rows)
        share = (left**2).sum(axis=1) / np.maximum((missing**2).sum(axis=1), 1e-300)
        better = going & (share < 1)
        phases[better], missing[better] = tried[better], left[better]
        slopes[better] = steeper[better]
        damping *= np.where(better, 1 / _DAMPING_FACTOR, _DAMPING_FACTOR)
        going &= ~(better & (share > _SETTLED)) & (np.abs(missing).max(axis=1) >= _GOOD)
    return phases


def _distance(
    model: MeshModel, phases: Floats, targets: Complexes, rows: int
) -> tuple[Floats, Floats]:
    """What rows miss, their phases free: (targets, numbers), and slopes (.., channels)."""
    found = model.slopes(phases)
    unitary, slopes = found.unitary[:, :rows], found.by_phase[:, :, :rows]
    turn = np.sum(unitary.conj() * targets[:, :rows], axis=2, keepdims=True)
    missing = targets[:, :rows] * (turn / np.maximum(np.abs(turn), 1e-30)).conj() - unitary
    free = (unitary.conj()[:, None] * slopes).sum(axis=3, keepdims=True).imag
    slopes = slopes - 1j * free * unitary[:, None]
    flat, columns = missing.reshape(len(phases), -1), slopes.reshape(*slopes.shape[:2], -1)
    return (
        np.concatenate([flat.real, flat.imag], axis=1),
        np.concatenate([columns.real, columns.imag], axis=2).swapaxes(1, 2),
    )
