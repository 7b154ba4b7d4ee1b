"""Linewidth from phases that were measured with noise at equal intervals."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, log_normal, normal
from calibration.fits.least_squares import Array, fit_curve
from calibration.result import Goodness
from drivers.errors import CalibrationError

__all__ = ["LinewidthFit", "fit_linewidth"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinewidthFit:
    """Random walk of the phase plus white noise of its measurement.

    Args:
        linewidth_hz: full width at half maximum of the Lorentzian line, in Hz.
        measurement_variance_rad2: variance of one phase reading, in rad^2; may come out below 0.
        frequency_offset_hz: mean drift of the phase over 2 pi, in Hz.
        frequencies_hz: middle of each bin of the spectrum of the steps, in Hz, shape (bins,).
        spectrum_rad2: mean power of the steps in each bin, in rad^2, shape (bins,).
        expected_rad2: what the fit says, shape (bins,).
        spread_rad2: one standard deviation of `spectrum_rad2` by the fit, shape (bins,).
        goodness: of the bins.
    """

    linewidth_hz: Estimate
    measurement_variance_rad2: Estimate
    frequency_offset_hz: Estimate
    frequencies_hz: Array
    spectrum_rad2: Array
    expected_rad2: Array
    spread_rad2: Array
    goodness: Goodness


def fit_linewidth(phase_rad: ArrayLike, interval_s: float, *, bins: int = 16) -> LinewidthFit:
    """Maximum likelihood of a Wiener phase under white measurement noise.

    A Lorentzian line of width D makes the phase walk by variance 2 pi D t in time t. The steps
    between readings are a moving average of order 1 with a tridiagonal covariance, which the sine
    transform turns into independent numbers of variance q + 4 r sin^2(pi k/(2 n + 2)), q = 2 pi D
    times the interval and r the variance of one reading (eigenvalues of a tridiagonal Toeplitz
    matrix: Golub and Van Loan, Matrix Computations, 4th ed., section 4.8). The chi-square
    likelihood is maximised together with the mean drift.

    Args:
        phase_rad: unwrapped phases, shape (readings,), in rad.
        interval_s: time between readings, in s, above 0.
        bins: of the spectrum that is kept for the plot and the goodness of fit.

    Raises:
        CalibrationError: fewer than 64 readings, or the walk cannot be told from the noise.
    """
    from scipy.fft import dst

    phases = checked("phase in rad", phase_rad, least=max(64, 2 * bins))
    if not 0 < interval_s < math.inf:
        raise CalibrationError(f"interval is {interval_s} s, it must be finite and above 0 s")
    steps = np.diff(phases)
    count = steps.size
    angles = np.pi * np.arange(1, count + 1) / (2 * (count + 1))
    design = np.stack([np.ones(count), 4 * np.sin(angles) ** 2], axis=1)
    lines = dst(steps, type=1, norm="ortho")
    drift_lines = dst(np.ones(count), type=1, norm="ortho")
    drift, drift_error, parameters, covariance = _maximise(steps, lines, drift_lines, design)
    errors = np.sqrt(np.diag(covariance))
    walk, reading = (float(value) for value in parameters)
    if not walk > 3 * errors[0]:
        raise CalibrationError(
            f"the phase walks by {walk:.3g} +- {errors[0]:.2g} rad^2 per reading, too little to be "
            f"told from measurement noise of {reading:.3g} rad^2; record longer, or read the phase "
            "less often"
        )
    per_hertz = 2 * math.pi * interval_s
    expected = design @ parameters
    binned = _binned(
        (lines - drift * drift_lines) ** 2, expected, angles / np.pi / interval_s, bins
    )
    return LinewidthFit(
        linewidth_hz=log_normal(walk, errors[0]).scaled(1 / per_hertz),
        measurement_variance_rad2=normal(reading, errors[1]),
        frequency_offset_hz=normal(drift, drift_error).scaled(1 / per_hertz),
        frequencies_hz=binned[0],
        spectrum_rad2=binned[1],
        expected_rad2=binned[2],
        spread_rad2=binned[3],
        goodness=Goodness(
            chi_square=float((((binned[1] - binned[2]) / binned[3]) ** 2).sum()),
            degrees_of_freedom=bins - 2,
        ),
    )


def _maximise(
    steps: Array, lines: Array, drift_lines: Array, design: Array
) -> tuple[float, float, Array, Array]:
    """Drift with its error, (walk, reading variance) with their covariance, in turns."""
    centred = steps - steps.mean()
    reading = max(-float((centred[1:] * centred[:-1]).mean()), 0.0)
    variance = float(centred.var())
    parameters = np.array([max(variance - 2 * reading, 0.05 * variance), reading])
    covariance = np.zeros((2, 2))
    drift, weight = float(steps.mean()), 1.0
    if not variance > 0:
        raise CalibrationError("all phase steps are equal; no laser does that, check the record")
    for _ in range(3):
        power = (lines - drift * drift_lines) ** 2
        # A step of the fit may pass through variances below 0.
        fit = fit_curve(
            lambda values: design @ values,
            lambda values: design,  # noqa: ARG005
            parameters,
            power,
            lambda mean: math.sqrt(2) * np.maximum(mean, 1e-4 * variance),
        )
        parameters, covariance = fit.parameters, fit.covariance
        precision = 1 / np.maximum(fit.fitted, 1e-4 * variance)
        weight = float((drift_lines**2 * precision).sum())
        drift = float((drift_lines * lines * precision).sum()) / weight
    return drift, 1 / math.sqrt(weight), parameters, covariance


def _binned(power: Array, expected: Array, frequencies: Array, bins: int) -> tuple[Array, ...]:
    """Mean frequency, power, expected power and its standard deviation in bins of equal width."""

    def means(values: Array) -> Array:
        return np.array([part.mean() for part in np.array_split(values, bins)])

    sizes = np.array([part.size for part in np.array_split(power, bins)])
    spread = np.sqrt(2 * means(expected**2) / sizes)
    return means(frequencies), means(power), means(expected), spread
