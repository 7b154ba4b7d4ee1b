"""Algebra of rectangular interferometer meshes: from phases to a unitary and back.

Every interferometer is B(after) diag(exp(i theta), 1) B(before) diag(exp(i phi), 1) on two
neighbouring ports, B a splitter [[cos a, i sin a], [i sin a, cos a]] with a = pi/4 + error; a last
column of phases follows.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = [
    "Phases",
    "Unitary",
    "compose",
    "mesh_places",
    "phases_for_unitary",
    "unitary_with_row",
]

Unitary = NDArray[np.complex128]
Phases = NDArray[np.float64]


def mesh_places(ports: int) -> tuple[tuple[int, int], ...]:
    """Column and upper port of every interferometer, in the order that light meets them.

    The rectangle of Clements et al., Optica 3, 1460 (2016): `ports` columns, in column c the
    pairs that start at c mod 2; ports (ports - 1)/2 interferometers in all.
    """
    return tuple(
        (column, port) for column in range(ports) for port in range(column % 2, ports - 1, 2)
    )


def _splitter(error_rad: float = 0.0) -> Unitary:
    angle = math.pi / 4 + error_rad
    cosine, sine = math.cos(angle), 1j * math.sin(angle)
    return np.array([[cosine, sine], [sine, cosine]], dtype=np.complex128)


def _interferometer(internal: float, external: float, before: float, after: float) -> Unitary:
    """Splitter, internal phase, splitter, with an external phase in front, on the upper arm."""
    outer = np.diag([np.exp(1j * external), 1.0])
    inner = np.diag([np.exp(1j * internal), 1.0])
    return np.asarray(_splitter(after) @ inner @ _splitter(before) @ outer)


def compose(ports: int, phases: Phases, errors: NDArray[np.float64] | None = None) -> Unitary:
    """Unitary of a mesh.

    Args:
        ports: number of ports.
        phases: radians, (all theta, all phi, output phases), places as in `mesh_places`; shape
            (ports (ports - 1) + ports,).
        errors: angles of the splitters beyond 45 degrees, (before, after), shape
            (ports (ports - 1)/2, 2); None for none.
    """
    if errors is None:
        errors = np.zeros((len(mesh_places(ports)), 2))
    total: Unitary = np.eye(ports, dtype=np.complex128)
    places = mesh_places(ports)
    for index, (_, port) in enumerate(places):
        block = _interferometer(
            float(phases[index]),
            float(phases[len(places) + index]),
            float(errors[index, 0]),
            float(errors[index, 1]),
        )
        total[port : port + 2] = block @ total[port : port + 2]
    return np.asarray(np.exp(1j * phases[2 * len(places) :])[:, None] * total)


def phases_for_unitary(unitary: Unitary) -> Phases:
    """Phases of an errorless mesh that realises a unitary.

    Clements et al., Optica 3, 1460 (2016), with every interferometer as above.

    Args:
        unitary: shape (ports, ports).

    Returns:
        Phases in [0, 2 pi), shape (ports (ports - 1) + ports,), in the order of `compose`.

    Raises:
        ConfigurationError: not square or not unitary to 1e-9.
    """
    ports = unitary.shape[0]
    if unitary.shape != (ports, ports) or not np.allclose(
        unitary.conj().T @ unitary, np.eye(ports), atol=1e-9
    ):
        raise ConfigurationError(f"mesh: a matrix of shape {unitary.shape} is not unitary")
    rest, first, last = _eliminate(unitary.astype(np.complex128, copy=True))
    found, diagonal = list(first), np.diag(rest).copy()
    for port, internal, external in reversed(last):
        # T^-1 D = D' T': move the inverse of a left interferometer behind the diagonal.
        block = _interferometer(internal, external, 0, 0).conj().T @ np.diag(
            diagonal[port : port + 2]
        )
        moved = _angles_of(block)
        remaining = block @ _interferometer(*moved, 0, 0).conj().T
        diagonal[port : port + 2] = np.diag(remaining)
        found.append((port, *moved))
    return _ordered(ports, found, diagonal)


def _eliminate(
    rest: Unitary,
) -> tuple[Unitary, list[tuple[int, float, float]], list[tuple[int, float, float]]]:
    """Null the lower triangle from the right (light's first side) and from the left in turn."""
    ports = rest.shape[0]
    right: list[tuple[int, float, float]] = []
    left: list[tuple[int, float, float]] = []
    for diagonal in range(ports - 1):
        for step in range(diagonal + 1):
            if diagonal % 2 == 0:
                row, port = ports - 1 - step, diagonal - step
                internal, external = _null_right(rest[row, port], rest[row, port + 1])
                block = _interferometer(internal, external, 0, 0).conj().T
                rest[:, port : port + 2] = rest[:, port : port + 2] @ block
                right.append((port, internal, external))
            else:
                row, column = ports - 1 - diagonal + step, step
                internal, external = _null_left(rest[row - 1, column], rest[row, column])
                block = _interferometer(internal, external, 0, 0)
                rest[row - 1 : row + 1] = block @ rest[row - 1 : row + 1]
                left.append((row - 1, internal, external))
    return rest, right, left


def _null_right(first: complex, second: complex) -> tuple[float, float]:
    """Angles of T with ([first, second] T^-1)[0] = 0.

    T = i e^{i theta/2} [[e^{i phi} s, c], [e^{i phi} c, -s]], s, c = sin, cos of theta/2, so the
    condition is first e^{-i phi} s + second c = 0.
    """
    internal = 2 * math.atan2(abs(second), abs(first))
    external = float(np.angle(first) - np.angle(second) + math.pi) if first and second else 0.0
    return internal, external


def _null_left(upper: complex, lower: complex) -> tuple[float, float]:
    """Angles of T with (T [upper, lower])[1] = 0: upper e^{i phi} c = lower s."""
    internal = 2 * math.atan2(abs(upper), abs(lower))
    external = float(np.angle(lower) - np.angle(upper)) if upper and lower else 0.0
    return internal, external


def _angles_of(block: Unitary) -> tuple[float, float]:
    """Angles of the T with block = diagonal T."""
    internal = 2 * math.atan2(abs(block[0, 0]), abs(block[0, 1]))
    if abs(block[0, 0]) > 0 and abs(block[0, 1]) > 0:
        return internal, float(np.angle(block[0, 0]) - np.angle(block[0, 1]))
    return internal, 0.0


def _ordered(ports: int, found: list[tuple[int, float, float]], diagonal: Unitary) -> Phases:
    """Sort interferometers, given in the order light meets them, into the places of the mesh."""
    places = mesh_places(ports)
    index = {place: number for number, place in enumerate(places)}
    phases = np.zeros(2 * len(places) + ports)
    used = [0] * ports
    for port, internal, external in found:
        # The k-th interferometer on a pair of ports stands in the pair's k-th column.
        number = index[(port % 2 + 2 * used[port], port)]
        used[port] += 1
        phases[number], phases[len(places) + number] = internal, external
    phases[2 * len(places) :] = np.angle(diagonal)
    return np.mod(phases, 2 * math.pi)


def unitary_with_row(row: NDArray[np.float64]) -> Unitary:
    """A unitary whose first row is a real unit vector: it collects that mode in port 0.

    The Householder reflection that exchanges the vector with the first axis.

    Args:
        row: shape (ports,), not zero; it is normalised.

    Raises:
        ConfigurationError: zero or not finite.
    """
    length = float(np.linalg.norm(row))
    if not (math.isfinite(length) and length > 0):
        raise ConfigurationError(f"mesh: a row of length {length} has no direction")
    unit = row / length
    normal = unit.copy()
    normal[0] -= 1.0
    square = float(normal @ normal)
    if square < 1e-30:
        return np.eye(row.size, dtype=np.complex128)
    reflection = np.eye(row.size) - 2 * np.outer(normal, normal) / square
    return reflection.astype(np.complex128)
