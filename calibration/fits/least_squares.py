"""Weighted least squares, linear and not, with noise that is known or follows the mean."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.result import Goodness
from drivers.errors import CalibrationError

__all__ = ["Array", "Fit", "PowerNoise", "fit_curve", "fit_linear"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Parameters of a fit.

    Args:
        parameters: shape (parameters,).
        covariance: shape (parameters, parameters).
        fitted: the model at the points, shape (points,).
        noise: one standard deviation of each point, shape (points,).
        goodness: chi-square of the residuals against `noise`.
    """

    parameters: Array
    covariance: Array
    fitted: Array
    noise: Array
    goodness: Goodness

    def uncertainty(self, gradient: Array) -> float:
        """Standard uncertainty of a function of the parameters, by propagation.

        Args:
            gradient: its derivative by each parameter, shape (parameters,).
        """
        return math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))


@dataclass(frozen=True, kw_only=True)
class PowerNoise:
    """Noise of a power meter: a part proportional to the reading and a floor.

    Args:
        relative: standard deviation per reading, at least 0.
        floor: standard deviation in the dark, in the unit of the readings, above 0.
    """

    relative: float
    floor: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.relative) and self.relative >= 0):
            raise CalibrationError(
                f"relative noise is {self.relative}, it must be finite and at least 0"
            )
        if not (math.isfinite(self.floor) and self.floor > 0):
            raise CalibrationError(f"noise floor is {self.floor}, it must be finite and above 0")

    def at(self, power: Array) -> Array:
        """Standard deviation at a power, in its unit."""
        return np.hypot(self.relative * power, self.floor)


def fit_linear(design: Array, measured: Array, noise: Array) -> Fit:
    """Best linear unbiased fit of `measured` = `design` . parameters + noise (Gauss-Markov).

    Args:
        design: shape (points, parameters), of full rank.
        measured: shape (points,).
        noise: one standard deviation of each point, shape (points,), above 0.

    Raises:
        CalibrationError: fewer points than parameters plus one, or the points do not tell the
            parameters apart.
    """
    points, count = design.shape
    scale = np.linalg.norm(design / noise[:, None], axis=0)
    if points <= count or not (scale > 0).all():
        raise CalibrationError(_undetermined(points, count))
    # Columns of length 1, so that parameters in watt and in volt are told apart alike.
    weighted = design / noise[:, None] / scale
    left, singular, right = np.linalg.svd(weighted, full_matrices=False)
    if singular[-1] < 1e-12 * singular[0]:
        raise CalibrationError(_undetermined(points, count))
    parameters = right.T @ ((left.T @ (measured / noise)) / singular) / scale
    root = right.T / singular / scale[:, None]
    fitted = design @ parameters
    return Fit(
        parameters=parameters,
        covariance=root @ root.T,
        fitted=fitted,
        noise=noise,
        goodness=_goodness(measured - fitted, noise, count),
    )


def fit_curve(
    model: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    start: Array,
    measured: Array,
    noise: Callable[[Array], Array],
    *,
    steps: int = 60,
) -> Fit:
    """Quasi-likelihood fit of a curve: least squares whose weights follow the fitted mean.

    Gauss-Newton steps, halved while they worsen the fit at the weights of the step (McCullagh and
    Nelder, Generalized Linear Models, 2nd ed., section 9.2).

    Args:
        model: parameters -> mean at the points, shape (points,).
        jacobian: parameters -> derivatives, shape (points, parameters).
        start: first guess, shape (parameters,).
        measured: shape (points,).
        noise: mean at the points -> standard deviation at the points, above 0.
        steps: most steps.

    Raises:
        CalibrationError: it does not converge, or the points do not tell the parameters apart.
    """
    parameters = start.astype(np.float64)
    for _ in range(steps):
        fitted = model(parameters)
        sigma = noise(fitted)
        step = fit_linear(jacobian(parameters), measured - fitted, sigma)
        scale = _damping(model, parameters, step.parameters, measured, sigma)
        parameters = parameters + scale * step.parameters
        errors = np.sqrt(np.diag(step.covariance))
        if (np.abs(step.parameters) <= 1e-6 * errors + 1e-14 * np.abs(parameters)).all():
            break
    else:
        raise CalibrationError(
            f"the fit did not converge in {steps} steps; look at the data, widen the range or "
            "measure at more points"
        )
    fitted = model(parameters)
    return Fit(
        parameters=parameters,
        covariance=step.covariance,
        fitted=fitted,
        noise=noise(fitted),
        goodness=_goodness(measured - fitted, noise(fitted), start.size),
    )


def _damping(
    model: Callable[[Array], Array], start: Array, step: Array, measured: Array, sigma: Array
) -> float:
    """Largest of 1, 1/2, 1/4, ... by which the step does not worsen the fit."""

    def misfit(parameters: Array) -> float:
        return float((((measured - model(parameters)) / sigma) ** 2).sum())

    before = misfit(start)
    scale = 1.0
    while misfit(start + scale * step) > before * (1 + 1e-9) and scale > 1e-4:
        scale /= 2
    return scale


def _goodness(residual: Array, noise: Array, parameters: int) -> Goodness:
    return Goodness(
        chi_square=float(((residual / noise) ** 2).sum()),
        degrees_of_freedom=residual.size - parameters,
    )


def _undetermined(points: int, parameters: int) -> str:
    return (
        f"{points} points do not determine {parameters} parameters and their goodness of fit; "
        "measure at more and at more different settings"
    )
