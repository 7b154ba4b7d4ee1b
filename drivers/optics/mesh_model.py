"""A rectangular mesh of interferometers as its owner knows it: from shifters' phases to a unitary.

Owns the model that is fitted to a mesh and programmed with. Every interferometer is
B(after) diag(exp(i theta), 1) B(before) diag(exp(i phi), 1) on two neighbouring ports, with
splitters B(e) = exp(i (pi/4 + e) X), X the exchange of the two ports; a last column of phases
follows (Clements et al., Optica 3, 1460 (2016)). Phases are ordered (all theta, all phi, output
phases), interferometers as light meets them, column by column, upper ports first.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = ["Complexes", "MeshModel", "Phases", "Slopes", "interferometer_ports"]

Complexes = NDArray[np.complex128]
Phases = NDArray[np.float64]


def interferometer_ports(ports: int) -> tuple[int, ...]:
    """Upper port of every interferometer, in the order that light meets them."""
    return tuple(port for column in range(ports) for port in range(column % 2, ports - 1, 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class Slopes:
    """A unitary and its derivatives.

    Args:
        unitary: shape (settings, ports, ports).
        by_phase: derivative by each phase, shape (settings, channels, ports, ports).
        by_coupler: derivative by each splitter's error (before, after), shape (settings, units, 2,
            ports, ports).
    """

    unitary: Complexes
    by_phase: Complexes
    by_coupler: Complexes


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshModel:
    """A mesh with its errors.

    Args:
        ports: number of ports, at least 2.
        half_wave_v: voltage of a phase of pi; a shifter's phase is pi (V/half_wave_v)^2.
        phase_offsets_rad: phases at 0 V, shape (channels,).
        coupler_errors_rad: angles of the splitters (before, after) beyond 45 degrees, shape
            (units, 2).

    Raises:
        ConfigurationError: shapes that do not belong together, or a value that is not finite.
    """

    ports: int
    half_wave_v: float
    phase_offsets_rad: Phases
    coupler_errors_rad: Phases

    def __post_init__(self) -> None:
        units = self.ports * (self.ports - 1) // 2
        shapes = (self.phase_offsets_rad.shape, self.coupler_errors_rad.shape)
        if self.ports < 2 or shapes != ((2 * units + self.ports,), (units, 2)):
            raise ConfigurationError(
                f"mesh of {self.ports} ports: offsets {shapes[0]} and couplers {shapes[1]} given, "
                f"expected {(2 * units + self.ports,)} and {(units, 2)}"
            )
        finite = np.isfinite(self.phase_offsets_rad).all()
        finite = finite and np.isfinite(self.coupler_errors_rad).all()
        if not (finite and math.isfinite(self.half_wave_v) and self.half_wave_v > 0):
            raise ConfigurationError(
                f"mesh of {self.ports} ports: V_pi is {self.half_wave_v} V, or an error is not "
                "finite; calibrate the mesh again"
            )

    @classmethod
    def perfect(cls, ports: int, half_wave_v: float) -> "MeshModel":
        """A mesh without errors."""
        units = ports * (ports - 1) // 2
        return cls(
            ports=ports,
            half_wave_v=half_wave_v,
            phase_offsets_rad=np.zeros(2 * units + ports),
            coupler_errors_rad=np.zeros((units, 2)),
        )

    @property
    def channels(self) -> int:
        """Number of shifters: ports^2."""
        return self.phase_offsets_rad.size

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Upper port of every interferometer."""
        return interferometer_ports(self.ports)

    def phases(self, volts: Phases) -> Phases:
        """Phases in radians at voltages of shape (..., channels)."""
        return np.asarray(math.pi * (volts / self.half_wave_v) ** 2 + self.phase_offsets_rad)

    def volts(self, phases_rad: Phases) -> Phases:
        """Voltages for phases of shape (..., channels): the least that give them, up to turns."""
        heat = np.mod(phases_rad - self.phase_offsets_rad, 2 * math.pi)
        return np.asarray(self.half_wave_v * np.sqrt(heat / math.pi))

    def transfer(self, phases_rad: Phases) -> Complexes:
        """Unitary at phases of shape (channels,), shape (ports, ports): out = transfer @ in."""
        total: Complexes = np.eye(self.ports, dtype=np.complex128)
        blocks = self._blocks(phases_rad[None])
        for port, block in zip(self.places, blocks, strict=True):
            total[port : port + 2] = block[0] @ total[port : port + 2]
        return np.asarray(np.exp(1j * phases_rad[2 * len(blocks) :])[:, None] * total)

    def slopes(self, phases_rad: Phases) -> Slopes:
        """Unitaries and derivatives at phases of shape (settings, channels)."""
        settings, units = phases_rad.shape[0], len(self.places)
        blocks = self._blocks(phases_rad)
        entering = np.empty((units, settings, 2, self.ports), dtype=np.complex128)
        total = np.tile(np.eye(self.ports, dtype=np.complex128), (settings, 1, 1))
        for unit, port in enumerate(self.places):
            entering[unit] = total[:, port : port + 2]
            total[:, port : port + 2] = blocks[unit] @ entering[unit]
        leaving = np.tile(np.eye(self.ports, dtype=np.complex128), (settings, 1, 1))
        leaving *= np.exp(1j * phases_rad[:, 2 * units :])[:, :, None]
        unitary = leaving @ total
        shape = (settings, self.channels, self.ports, self.ports)
        by_phase = np.zeros(shape, dtype=np.complex128)
        by_coupler = np.empty((settings, units, 2, *shape[2:]), dtype=np.complex128)
        inner = self._inner(phases_rad)
        for unit in reversed(range(units)):
            pair = slice(self.places[unit], self.places[unit] + 2)
            after = leaving[:, :, pair]
            for slot, change in enumerate(inner[unit]):
                found = after @ (change @ entering[unit])
                if slot < 2:
                    by_phase[:, slot * units + unit] = found
                else:
                    by_coupler[:, unit, slot - 2] = found
            leaving[:, :, pair] = after @ blocks[unit]
        for port in range(self.ports):
            by_phase[:, 2 * units + port, port] = 1j * unitary[:, port]
        return Slopes(unitary=unitary, by_phase=by_phase, by_coupler=by_coupler)

    def _parts(self, phases_rad: Phases) -> tuple[Complexes, Complexes, Complexes, Complexes]:
        """Splitters (units, 2, 2) before and after, phasors of theta and phi (settings, units)."""
        units = len(self.places)
        before = _splitters(self.coupler_errors_rad[:, 0])
        after = _splitters(self.coupler_errors_rad[:, 1])
        internal = np.exp(1j * phases_rad[:, :units])
        external = np.exp(1j * phases_rad[:, units : 2 * units])
        return before, after, internal, external

    def _blocks(self, phases_rad: Phases) -> list[Complexes]:
        """Every interferometer, each of shape (settings, 2, 2)."""
        before, after, internal, external = self._parts(phases_rad)
        found = []
        for unit in range(len(self.places)):
            first = _upper_columns(before[unit], external[:, unit])
            found.append(after[unit] @ _upper_rows(first, internal[:, unit]))
        return found

    def _inner(self, phases_rad: Phases) -> list[tuple[Complexes, ...]]:
        """Derivatives of every interferometer by theta, phi, and both splitters' errors."""
        before, after, internal, external = self._parts(phases_rad)
        exchange = np.array([[0, 1], [1, 0]], dtype=np.complex128)
        upper = np.diag([1j, 0j])
        found: list[tuple[Complexes, ...]] = []
        for unit in range(len(self.places)):
            first = _upper_columns(before[unit], external[:, unit])
            middle = _upper_rows(first, internal[:, unit])
            block = after[unit] @ middle
            turned = 1j * (exchange @ first)
            found.append(
                (
                    after[unit] @ (upper @ middle),
                    block @ upper,
                    after[unit] @ _upper_rows(turned, internal[:, unit]),
                    1j * (exchange @ block),
                )
            )
        return found


def _splitters(errors_rad: Phases) -> Complexes:
    angles = math.pi / 4 + errors_rad
    cosine, sine = np.cos(angles), 1j * np.sin(angles)
    return np.stack([np.stack([cosine, sine], -1), np.stack([sine, cosine], -1)], -2)


def _upper_columns(matrix: Complexes, phasors: Complexes) -> Complexes:
    """Product of a matrix and diag(phasor, 1), shape (settings, 2, 2)."""
    found = np.broadcast_to(matrix, (phasors.size, 2, 2)).copy()
    found[:, :, 0] *= phasors[:, None]
    return found


def _upper_rows(matrices: Complexes, phasors: Complexes) -> Complexes:
    """Product of diag(phasor, 1) and matrices, shape (settings, 2, 2)."""
    found = matrices.copy()
    found[:, 0] *= phasors[:, None]
    return found
