"""Programming a mesh: phases that collect a data vector in port 0, and phases that undo them.

Owns the way from a vector to phases. An errorless mesh is programmed in closed form (Clements et
al., Optica 3, 1460 (2016)); a calibrated one starts there and is brought to its target by damped
Gauss-Newton steps on its model (Levenberg, Q. Appl. Math. 2, 164 (1944)). Phases of whole rows are
free: nothing behind the port depends on them.
"""

import math
from typing import Final

import numpy as np

from drivers.errors import ConfigurationError
from drivers.optics.mesh_model import Complexes, MeshModel, Phases, interferometer_ports

__all__ = ["collecting", "decompose", "error_rad", "program", "undoing"]

_STEPS: Final = 12
_GOOD: Final = 1e-7
_SETTLED: Final = 0.99
"""A step that leaves this share of the squared distance is the last."""
_DAMPING: Final = 1e-3
_DAMPING_FACTOR: Final = 8.0
_Angles = tuple[int, float, float]


def collecting(model: MeshModel, vector: Complexes) -> Phases:
    """Phases that bring the mode `vector` to port 0: the first row becomes its conjugate.

    Args:
        model: the mesh.
        vector: unit vector, real or complex, shape (ports,).

    Returns:
        Phases in radians, shape (channels,).

    Raises:
        ConfigurationError: wrong shape, or not of unit norm.
    """
    length = float(np.linalg.norm(vector))
    if vector.shape != (model.ports,) or not abs(length - 1) < 1e-3:
        raise ConfigurationError(
            f"mesh: a vector of shape {vector.shape} and norm {length:.4g} cannot be collected; "
            f"give a unit vector of {model.ports} entries"
        )
    unit = vector.astype(np.complex128) / length
    basis = np.linalg.qr(np.column_stack([unit, np.eye(model.ports)]))[0]
    basis[:, 0] = unit  # the decomposition leaves its phase open
    return program(model, basis.conj().T, rows=1)


def undoing(model: MeshModel, unitary: Complexes) -> Phases:
    """Phases that undo a unitary, up to a phase of each port behind.

    Args:
        model: the mesh behind.
        unitary: of the mesh in front, shape (ports, ports).

    Returns:
        Phases in radians, shape (channels,).
    """
    return program(model, unitary.conj().T, rows=model.ports)


def program(model: MeshModel, target: Complexes, *, rows: int) -> Phases:
    """Phases at which the first rows of the mesh are those of a unitary, up to a phase each.

    Args:
        model: the mesh.
        target: unitary, shape (ports, ports).
        rows: how many rows matter.

    Raises:
        ConfigurationError: the target is no unitary of this size.
    """
    phases = decompose(target)
    damping = _DAMPING
    missing, jacobian = _distance(model, phases, target, rows)
    for _ in range(_STEPS):
        if float(np.abs(missing).max()) < _GOOD:
            break
        normal = jacobian.T @ jacobian
        normal[np.diag_indices_from(normal)] += damping
        tried = phases + np.linalg.solve(normal, jacobian.T @ missing)
        left, slopes = _distance(model, tried, target, rows)
        if left @ left < missing @ missing:
            settled = left @ left > _SETTLED * (missing @ missing)
            phases, missing, jacobian = tried, left, slopes
            damping /= _DAMPING_FACTOR
            if settled:
                break
        else:
            damping *= _DAMPING_FACTOR
    return np.mod(phases, 2 * math.pi)


def _distance(
    model: MeshModel, phases: Phases, target: Complexes, rows: int
) -> tuple[Phases, Phases]:
    """What the first rows miss and their derivatives by the phases."""
    slopes = model.slopes(phases[None])
    return _without_row_phases(
        slopes.unitary[0, :rows], target[:rows], slopes.by_phase[0, :, :rows]
    )


def _without_row_phases(
    found: Complexes, target: Complexes, slopes: Complexes
) -> tuple[Phases, Phases]:
    """What is missing to the target and its derivatives, as real numbers, row phases taken out."""
    turn = np.sum(found.conj() * target, axis=1, keepdims=True)
    turn /= np.maximum(np.abs(turn), 1e-30)
    missing = target * turn.conj() - found
    turning = 1j * found
    share = np.sum((turning.conj() * slopes).real, axis=-1, keepdims=True)
    free = slopes - share / np.sum(np.abs(turning) ** 2, axis=-1, keepdims=True) * turning
    columns = free.reshape(free.shape[0], -1).T
    flat = missing.reshape(-1)
    return (
        np.concatenate([flat.real, flat.imag]),
        np.concatenate([columns.real, columns.imag]),
    )


def error_rad(round_trip: Complexes, vector: Complexes) -> float:
    """Angle by which a round trip turns a mode away from itself, in radians.

    Args:
        round_trip: U_return U_forward, shape (ports, ports); phases of rows do not count, since
            every port is measured against its own pilots.
        vector: the mode, a unit vector of shape (ports,).
    """
    diagonal = np.diag(round_trip)
    turned = round_trip * (diagonal.conj() / np.abs(diagonal))[:, None]
    image = turned @ vector
    along = np.vdot(vector, image)
    return math.atan2(float(np.linalg.norm(image - along * vector)), abs(along))


def decompose(unitary: Complexes) -> Phases:
    """Phases of an errorless mesh that realises a unitary.

    Args:
        unitary: shape (ports, ports).

    Returns:
        Phases in [0, 2 pi), shape (channels,), in the order of `MeshModel`.

    Raises:
        ConfigurationError: not square or not unitary to 1e-6.
    """
    ports = unitary.shape[0]
    square = unitary.shape == (ports, ports)
    if not square or not np.allclose(unitary.conj().T @ unitary, np.eye(ports), atol=1e-6):
        raise ConfigurationError(f"mesh: a matrix of shape {unitary.shape} is not unitary")
    rest = unitary.astype(np.complex128, copy=True)
    first: list[_Angles] = []
    last: list[_Angles] = []
    for diagonal in range(ports - 1):
        for step in range(diagonal + 1):
            if diagonal % 2 == 0:
                first.append(_null_from_right(rest, ports - 1 - step, diagonal - step))
            else:
                last.append(_null_from_left(rest, ports - 1 - diagonal + step, step))
    phases = np.diag(rest).copy()
    for port, internal, external in reversed(last):
        # T^-1 D = D' T': the inverse of a late interferometer moves behind the diagonal.
        block = _interferometer(internal, external).conj().T @ np.diag(phases[port : port + 2])
        moved = _angles_of(block)
        phases[port : port + 2] = np.diag(block @ _interferometer(*moved).conj().T)
        first.append((port, *moved))
    return _in_order(ports, first, phases)


def _interferometer(internal: float, external: float) -> Complexes:
    """T = i e^{i theta/2} [[e^{i phi} s, c], [e^{i phi} c, -s]], s, c = sin, cos of theta/2."""
    sine, cosine = math.sin(internal / 2), math.cos(internal / 2)
    turn = np.exp(1j * external)
    block = np.array([[turn * sine, cosine], [turn * cosine, -sine]])
    return np.asarray(1j * np.exp(0.5j * internal) * block)


def _null_from_right(rest: Complexes, row: int, port: int) -> _Angles:
    """Null rest[row, port] by an interferometer in front: first e^{-i phi} s + second c = 0."""
    one, two = complex(rest[row, port]), complex(rest[row, port + 1])
    internal = 2 * math.atan2(abs(two), abs(one))
    external = float(np.angle(one) - np.angle(two) + math.pi) if one and two else 0.0
    rest[:, port : port + 2] = (
        rest[:, port : port + 2] @ _interferometer(internal, external).conj().T
    )
    return port, internal, external


def _null_from_left(rest: Complexes, row: int, column: int) -> _Angles:
    """Null rest[row, column] by an interferometer behind: upper e^{i phi} c = lower s."""
    upper, lower = complex(rest[row - 1, column]), complex(rest[row, column])
    internal = 2 * math.atan2(abs(upper), abs(lower))
    external = float(np.angle(lower) - np.angle(upper)) if upper and lower else 0.0
    rest[row - 1 : row + 1] = _interferometer(internal, external) @ rest[row - 1 : row + 1]
    return row - 1, internal, external


def _angles_of(block: Complexes) -> tuple[float, float]:
    """Angles of the interferometer T with block = diagonal T."""
    internal = 2 * math.atan2(abs(block[0, 0]), abs(block[0, 1]))
    if abs(block[0, 0]) > 0 and abs(block[0, 1]) > 0:
        return internal, float(np.angle(block[0, 0]) - np.angle(block[0, 1]))
    return internal, 0.0


def _in_order(ports: int, found: list[_Angles], diagonal: Complexes) -> Phases:
    """Sort interferometers, given as light meets them, into the places of the mesh."""
    places = interferometer_ports(ports)
    waiting = {port: [unit for unit, at in enumerate(places) if at == port] for port in places}
    phases = np.zeros(2 * len(places) + ports)
    for port, internal, external in found:
        unit = waiting[port].pop(0)
        phases[unit], phases[len(places) + unit] = internal, external
    phases[2 * len(places) :] = np.angle(diagonal)
    return np.mod(phases, 2 * math.pi)
