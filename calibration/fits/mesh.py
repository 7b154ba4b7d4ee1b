"""Two meshes, one behind the other, from what known light becomes behind them.

Owns the fit of all phase offsets and splitter errors of both at once. A row of a measured transfer
is known up to a complex factor: every detector has its own efficiency and its own phase. What is
compared are directions of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.fits.estimates import Estimate
from calibration.fits.estimates import normal as normal_estimate
from calibration.fits.least_squares import Array
from calibration.result import Goodness
from drivers.errors import CalibrationError
from drivers.optics.mesh_model import MeshModel, Slopes

__all__ = ["MeshFit", "MeshPoint", "fit_meshes", "fit_returned_amplitude"]

Complexes = NDArray[np.complex128]

_PHASE_PRIOR_RAD: Final = 1.0
_COUPLER_PRIOR_RAD: Final = 0.03
_AMPLITUDE_PRIOR: Final = 0.3
_ROUGH: Final = 0.02
"""Noise that is assumed at first, so that far-off starts see a smooth valley."""
_STEPS: Final = 60
_CONVERGED: Final = 1e-5
_WORST: Final = 4.0
_AMPLITUDE_STEPS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshPoint:
    """What was seen at one setting of both meshes.

    Args:
        volts: of the first mesh, shape (channels,).
        return_volts: of the second mesh, shape (channels,).
        collected: amplitudes behind the first mesh's port 0 per input port, up to a factor, shape
            (ports,).
        returned: amplitudes behind the second mesh, (detector, input port), rows up to a factor
            each, shape (ports, ports).
        collected_noise: standard deviation of each part of an amplitude of `collected`.
        returned_noise: likewise of each row of `returned`, shape (ports,).
    """

    volts: Array
    return_volts: Array
    collected: Complexes
    returned: Complexes
    collected_noise: float
    returned_noise: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshFit:
    """Both meshes as found.

    Args:
        mesh: the first mesh.
        return_mesh: the second.
        returned_amplitude: of the light of port 0 between the meshes, relative to other ports.
        uncertainties: of all parameters in the order of both meshes (offsets, couplers (before,
            after) per unit) and the amplitude; what the data do not show keeps its prior's.
        goodness: of the fit.
    """

    mesh: MeshModel
    return_mesh: MeshModel
    returned_amplitude: float
    uncertainties: Array
    goodness: Goodness


def fit_meshes(points: Sequence[MeshPoint], start: MeshModel) -> MeshFit:
    """Fit both meshes (Levenberg-Marquardt from errorless ones, with normal priors).

    The priors, 1 rad for offsets and 0.03 rad for splitters, settle what no light can show, such as
    phases behind the last mesh.

    Args:
        points: at random voltages; 24 of 8 ports settle all 241 parameters.
        start: model that both meshes start from, with their V_pi.

    Raises:
        CalibrationError: too few points, or the meshes cannot be made to fit.
    """
    unknowns = 2 * (start.channels + start.coupler_errors_rad.size) + 1
    # A row of unit length up to a phase has 2 (ports - 1) numbers.
    seen = len(points) * (start.ports + 1) * 2 * (start.ports - 1)
    if seen <= unknowns:
        raise CalibrationError(
            f"{len(points)} settings of the meshes show {seen} numbers for {unknowns} unknowns; "
            "measure at more settings"
        )
    prior, errors = _prior(start), np.zeros(unknowns)
    problem = _Problem(points, start, start)
    for floor in (_ROUGH, 0.0):
        errors, chi_square, normal = _descend(problem, errors, prior, floor)
    if chi_square > _WORST * seen:
        raise CalibrationError(
            f"the meshes do not fit what was seen: chi-square {chi_square:.4g} for {seen} numbers; "
            "check V_pi of the shifters, and that nothing moves while measuring"
        )
    mesh, return_mesh, amplitude = problem.models(errors)
    goodness = Goodness(chi_square=chi_square, degrees_of_freedom=seen - unknowns)
    # Phases move within a round of pilots, which the scatter of the rounds does not show in full.
    widened = max(1.0, goodness.reduced_chi_square) ** 0.5
    return MeshFit(
        mesh=mesh,
        return_mesh=return_mesh,
        returned_amplitude=amplitude,
        uncertainties=widened * np.sqrt(np.diag(np.linalg.inv(normal))),
        goodness=goodness,
    )


def fit_returned_amplitude(
    points: Sequence[MeshPoint], mesh: MeshModel, return_mesh: MeshModel
) -> tuple[Estimate, Goodness]:
    """Amplitude of port 0's light between known meshes, relative to that of other ports.

    Args:
        points: at voltages that spread port 0's light over the detectors.
        mesh: the first mesh.
        return_mesh: the second.
    """
    problem = _Problem(points, mesh, return_mesh)
    errors = np.zeros(2 * (mesh.channels + mesh.coupler_errors_rad.size) + 1)
    for _ in range(_AMPLITUDE_STEPS):
        residual, slopes = problem.distance(errors, 0.0)
        steep = float(slopes[:, -1] @ slopes[:, -1])
        errors[-1] += float(slopes[:, -1] @ residual) / steep
    residual, _ = problem.distance(errors, 0.0)
    freedom = len(points) * mesh.ports * 2 * (mesh.ports - 1) - 1
    goodness = Goodness(chi_square=float(residual @ residual), degrees_of_freedom=freedom)
    # What the meshes' own errors add shows in the scatter.
    widened = max(1.0, goodness.reduced_chi_square) ** 0.5
    return normal_estimate(1 + float(errors[-1]), widened * steep**-0.5), goodness


def _prior(mesh: MeshModel) -> Array:
    """Standard deviation of every parameter before anything was seen."""
    one = np.concatenate(
        [
            np.full(mesh.channels, _PHASE_PRIOR_RAD),
            np.full(mesh.coupler_errors_rad.size, _COUPLER_PRIOR_RAD),
        ]
    )
    return np.concatenate([one, one, [_AMPLITUDE_PRIOR]])


class _Problem:
    """Residuals of all points and their derivatives at given errors of both meshes."""

    def __init__(
        self, points: Sequence[MeshPoint], mesh: MeshModel, return_mesh: MeshModel
    ) -> None:
        self._mesh, self._return_mesh = mesh, return_mesh
        self._volts = np.stack([point.volts for point in points])
        self._return_volts = np.stack([point.return_volts for point in points])
        collected = np.stack([point.collected for point in points])[:, None]
        rows = np.concatenate([collected, np.stack([point.returned for point in points])], axis=1)
        noise = np.stack(
            [np.concatenate([[point.collected_noise], point.returned_noise]) for point in points]
        )
        lengths = np.linalg.norm(rows, axis=-1)
        self._rows = rows / lengths[..., None]
        self._noise = noise / lengths

    def models(self, errors: Array) -> tuple[MeshModel, MeshModel, float]:
        """Both meshes and the amplitude between them."""
        one = self._mesh.channels + self._mesh.coupler_errors_rad.size
        return (
            _changed(self._mesh, errors[:one]),
            _changed(self._return_mesh, errors[one : 2 * one]),
            1 + float(errors[-1]),
        )

    def distance(self, errors: Array, floor: float) -> tuple[Array, Array]:
        """Residuals in standard deviations and their derivatives, shape (numbers, unknowns)."""
        mesh, return_mesh, amplitude = self.models(errors)
        first = mesh.slopes(mesh.phases(self._volts))
        second = return_mesh.slopes(return_mesh.phases(self._return_volts))
        rows, slopes = _predicted(first, second, amplitude)
        lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
        rows = rows / lengths
        slopes = slopes / lengths[:, None]
        along = np.sum(rows.conj()[:, None] * slopes, axis=-1, keepdims=True)
        slopes -= along * rows[:, None]
        turn = np.sum(rows.conj() * self._rows, axis=-1, keepdims=True)
        residual = self._rows * (turn.conj() / np.maximum(np.abs(turn), 1e-30)) - rows
        weight = 1 / np.hypot(self._noise, floor)[..., None]
        residual = (residual * weight).reshape(-1)
        columns = np.moveaxis(slopes * weight[:, None], 1, -1).reshape(residual.size, -1)
        return (
            np.concatenate([residual.real, residual.imag]),
            np.concatenate([columns.real, columns.imag]),
        )


def _predicted(first: Slopes, second: Slopes, amplitude: float) -> tuple[Complexes, Complexes]:
    """Rows (settings, 1 + ports, ports) and derivatives (settings, unknowns, 1 + ports, ports)."""
    inside = np.ones(first.unitary.shape[-1])
    inside[0] = amplitude
    entering = inside[:, None] * first.unitary
    leaving = second.unitary * inside
    rows = np.concatenate([first.unitary[:, :1], second.unitary @ entering], axis=1)
    by_first = _all_slopes(first)
    by_second = _all_slopes(second)
    collected = np.concatenate(
        [
            by_first[:, :, :1],
            np.zeros_like(by_second[:, :, :1]),
            np.zeros_like(by_first[:, :1, :1]),
        ],
        axis=1,
    )
    between = second.unitary[:, :, :1] @ first.unitary[:, :1]
    returned = np.concatenate(
        [leaving[:, None] @ by_first, by_second @ entering[:, None], between[:, None]], axis=1
    )
    return rows, np.concatenate([collected, returned], axis=2)


def _all_slopes(slopes: Slopes) -> Complexes:
    settings, ports = slopes.unitary.shape[0], slopes.unitary.shape[-1]
    couplers = slopes.by_coupler.reshape(settings, -1, ports, ports)
    return np.concatenate([slopes.by_phase, couplers], axis=1)


def _changed(mesh: MeshModel, errors: Array) -> MeshModel:
    return replace(
        mesh,
        phase_offsets_rad=mesh.phase_offsets_rad + errors[: mesh.channels],
        coupler_errors_rad=mesh.coupler_errors_rad + errors[mesh.channels :].reshape(-1, 2),
    )


def _descend(
    problem: _Problem, errors: Array, prior: Array, floor: float
) -> tuple[Array, float, Array]:
    """Least cost from a start; also chi-square there and the normal matrix, priors included."""
    damping = 1e-2
    residual, slopes = problem.distance(errors, floor)
    cost = float(residual @ residual + np.sum((errors / prior) ** 2))
    for _ in range(_STEPS):
        normal = slopes.T @ slopes + np.diag(prior**-2)
        downhill = slopes.T @ residual - errors / prior**2
        damped = normal + damping * np.diag(np.diag(normal))
        tried = errors + np.linalg.solve(damped, downhill)
        left, steeper = problem.distance(tried, floor)
        new = float(left @ left + np.sum((tried / prior) ** 2))
        if new < cost:
            gained, cost = cost - new, new
            errors, residual, slopes = tried, left, steeper
            damping = max(damping / 5, 1e-7)
            if gained < _CONVERGED * cost:
                break
        else:
            damping *= 4
    normal = slopes.T @ slopes + np.diag(prior**-2)
    return errors, float(residual @ residual), normal
