"""Imbalance of two quadrature records from the ellipse that their points lie on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, normal
from calibration.fits.least_squares import Array, Fit, fit_linear
from calibration.fits.line import same_length
from drivers.errors import CalibrationError

__all__ = ["EllipseFit", "fit_ellipse"]

_STEPS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class EllipseFit:
    """I = offset_i + amplitude cos(phase), Q = offset_q + ratio amplitude sin(phase + error).

    Args:
        offset_i: in the unit of the records.
        offset_q: in the unit of the records.
        amplitude: of I, in the unit of the records.
        gain_ratio: amplitude of Q over that of I.
        quadrature_error_rad: deviation from a right angle, in rad.
        noise: standard deviation of a point in each direction, in the unit of the records.
        distances: signed distance of each point to the ellipse, outside positive, shape (points,).
    """

    offset_i: Estimate
    offset_q: Estimate
    amplitude: Estimate
    gain_ratio: Estimate
    quadrature_error_rad: Estimate
    noise: float
    distances: Array


def fit_ellipse(in_phase: ArrayLike, quadrature: ArrayLike) -> EllipseFit:
    """Fit by orthogonal distance, with the bias of the curvature taken out.

    A point near a curve of curvature k with noise s in both directions lies s^2 k/2 outside of it
    on average, so plain distance fits make the ellipse too large (Kanatani, Sugaya and Kanazawa,
    Ellipse Fitting for Computer Vision, 2016, chapter 5). Phases may be anything, but must go
    round far enough to bend.

    Args:
        in_phase: I of each point, shape (points,).
        quadrature: Q of each point, shape (points,), with noise as large as that of I.

    Raises:
        CalibrationError: fewer than 12 points, or they do not lie on an ellipse.
    """
    first = checked("in-phase points", in_phase, least=12)
    second = checked("quadrature points", quadrature, least=12)
    same_length("ellipse", first, second)
    points = np.stack([first, second], axis=1)
    fit, noise, distances = _converge(_start(points), points)
    values = fit.parameters
    freedom = first.size - 5
    errors = np.sqrt(np.diag(fit.covariance))
    ratio = values[3] / values[2]
    spread = fit.uncertainty(np.array([0.0, 0.0, -ratio / values[2], 1 / values[2], 0.0]))

    def estimate(value: float, error: float) -> Estimate:
        return normal(value, error, degrees_of_freedom=freedom)

    return EllipseFit(
        offset_i=estimate(values[0], errors[0]),
        offset_q=estimate(values[1], errors[1]),
        amplitude=estimate(values[2], errors[2]),
        gain_ratio=estimate(ratio, spread),
        quadrature_error_rad=estimate(values[4], errors[4]),
        noise=noise,
        distances=distances,
    )


def _converge(values: Array, points: Array) -> tuple[Fit, float, Array]:
    """Gauss-Newton steps to the ellipse; its fit, the noise of a point, the distances."""
    noise = 0.0
    for number in range(_STEPS):
        distances, bends, slopes = _distances(values, points)
        noise = math.sqrt(float((distances**2).sum()) / (len(points) - 5))
        sigma = np.full(len(points), max(noise, 1e-9 * float(values[2])))
        step = fit_linear(slopes, distances - noise**2 * bends / 2, sigma)
        values = values + step.parameters
        if not (values[2] > 0 and values[3] > 0 and abs(values[4]) < math.pi / 2):
            break
        # A far point may change sides with every step, for ever, and moves the ellipse by little.
        near = 1e-3 if number < _STEPS // 2 else 0.1
        if (np.abs(step.parameters) <= near * np.sqrt(np.diag(step.covariance))).all():
            found = Fit(
                parameters=values,
                covariance=step.covariance,
                fitted=step.fitted,
                noise=sigma,
                goodness=step.goodness,
            )
            return found, noise, distances
    raise CalibrationError(
        f"the points do not lie on an ellipse: the last one was {np.round(values, 4).tolist()} "
        f"with noise {noise:.3g}; let the phase run through more of a turn, or raise the signal"
    )


def _distances(values: Array, points: Array) -> tuple[Array, Array, Array]:
    """Signed distance to the ellipse, curvature at the foot, derivatives of the foot outwards."""
    wide, high, error = values[2:]
    from_centre = points - values[:2]
    sine = (from_centre[:, 1] / high - from_centre[:, 0] / wide * math.sin(error)) / math.cos(error)
    phase = np.arctan2(sine, from_centre[:, 0] / wide)
    for _ in range(4):
        foot, along, bend = _curve(values, phase)
        short = foot - points
        slope = (along**2).sum(axis=1) + (short * bend).sum(axis=1)
        # Far inside, the second derivative changes sign; the first term alone still leads outwards.
        slope = np.where(slope > 0, slope, (along**2).sum(axis=1))
        phase = phase - (short * along).sum(axis=1) / slope
    foot, along, bend = _curve(values, phase)
    speed = np.hypot(along[:, 0], along[:, 1])
    normal_i, normal_q = along[:, 1] / speed, -along[:, 0] / speed
    distances = (points[:, 0] - foot[:, 0]) * normal_i + (points[:, 1] - foot[:, 1]) * normal_q
    curvature = (along[:, 0] * bend[:, 1] - along[:, 1] * bend[:, 0]) / speed**3
    slopes = np.stack(
        [
            normal_i,
            normal_q,
            np.cos(phase) * normal_i,
            np.sin(phase + error) * normal_q,
            high * np.cos(phase + error) * normal_q,
        ],
        axis=1,
    )
    return distances, curvature, slopes


def _curve(values: Array, phase: Array) -> tuple[Array, Array, Array]:
    """Points of the ellipse and their first and second derivatives by the phase."""
    centre_i, centre_q, wide, high, error = values
    cosine, sine = wide * np.cos(phase), wide * np.sin(phase)
    tilted_cosine, tilted_sine = high * np.cos(phase + error), high * np.sin(phase + error)
    return (
        np.stack([centre_i + cosine, centre_q + tilted_sine], axis=1),
        np.stack([-sine, tilted_cosine], axis=1),
        np.stack([-cosine, -tilted_sine], axis=1),
    )


def _start(points: Array) -> Array:
    """Algebraic fit of a conic to the points, moved and scaled to their size."""
    middle, size = points.mean(axis=0), float(points.std())
    if not size > 0:
        raise CalibrationError("all points are at one place; let the phase run")
    x, y = ((points - middle) / size).T
    conic = np.linalg.lstsq(
        np.stack([x**2, x * y, y**2, x, y], axis=1), np.ones_like(x), rcond=None
    )[0]
    form = np.array([[conic[0], conic[1] / 2], [conic[1] / 2, conic[2]]])
    if not np.linalg.det(form) > 0 or not conic[0] > 0:
        raise CalibrationError(
            "the points do not bend into an ellipse; let the phase run through more of a turn"
        )
    centre = -np.linalg.solve(form, conic[3:]) / 2
    spread = np.linalg.inv(form) * (1 + float(centre @ form @ centre))
    wide, high = math.sqrt(float(spread[0, 0])), math.sqrt(float(spread[1, 1]))
    error = math.asin(float(spread[0, 1]) / (wide * high))
    return np.array([*(middle + size * centre), size * wide, size * high, error])
