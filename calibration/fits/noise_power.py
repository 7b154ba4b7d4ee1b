"""Variance of a detector's record against the power of its local oscillator.

Electronic noise does not depend on the power, shot noise is proportional to it, relative intensity
noise that the balance leaves goes with its square.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, log_normal, normal
from calibration.fits.least_squares import Array, Fit, fit_curve, fit_linear
from calibration.fits.line import same_length
from calibration.fits.ratio import fieller
from drivers.errors import CalibrationError

__all__ = ["NoisePowerFit", "fit_noise_power"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisePowerFit:
    """variance = floor + slope power + excess power^2.

    Args:
        floor: electronic noise, in V^2.
        slope: shot noise per power, in V^2/W.
        excess: relative intensity noise that is left, in V^2/W^2; may come out below 0 by noise.
        fit: all of the fit; parameters are (floor, slope, excess).
    """

    floor: Estimate
    slope: Estimate
    excess: Estimate
    fit: Fit

    def shot_variance(self, power_w: float) -> Estimate:
        """The shot-noise unit at a power, in V^2."""
        return self.slope.scaled(power_w)

    def electronic_noise_snu(self, power_w: float) -> Estimate:
        """Electronic noise in shot-noise units at a power, with Fieller's interval.

        Raises:
            CalibrationError: the slope cannot be told from 0.
        """
        covariance = self.fit.covariance
        return fieller(
            float(self.fit.parameters[0]),
            float(self.fit.parameters[1] * power_w),
            variance_numerator=float(covariance[0, 0]),
            variance_denominator=float(covariance[1, 1] * power_w**2),
            covariance=float(covariance[0, 1] * power_w),
        )

    def clearance_db(self, power_w: float) -> Estimate:
        """Shot noise over electronic noise at a power, in dB.

        Raises:
            CalibrationError: slope or floor cannot be told from 0.
        """
        ratio = self.electronic_noise_snu(power_w)
        low, high = ratio.interval95
        if low <= 0:
            raise CalibrationError(
                f"electronic noise is {ratio.value:.3g} [{low:.3g}, {high:.3g}] SNU, not to be "
                "told from 0; record longer in the dark"
            )
        return Estimate(
            value=-10 * math.log10(ratio.value),
            uncertainty=10 / math.log(10) * ratio.uncertainty / ratio.value,
            interval95=(-10 * math.log10(high), -10 * math.log10(low)),
        )

    def excess_noise_snu(self, power_w: float) -> Estimate:
        """Intensity noise in shot-noise units at a power.

        Raises:
            CalibrationError: the slope cannot be told from 0.
        """
        covariance = self.fit.covariance
        return fieller(
            float(self.fit.parameters[2] * power_w),
            float(self.fit.parameters[1]),
            variance_numerator=float(covariance[2, 2] * power_w**2),
            variance_denominator=float(covariance[1, 1]),
            covariance=float(covariance[1, 2] * power_w),
        )


def fit_noise_power(
    power_w: ArrayLike,
    variance: ArrayLike,
    degrees_of_freedom: ArrayLike,
    *,
    power_uncertainty_w: ArrayLike = 0.0,
) -> NoisePowerFit:
    """Fit the three terms, weighted by the chi-square statistics of sample variances.

    The variance of a sample variance s2 with nu degrees of freedom is 2 s2^2/nu; taken at the
    fitted mean, the fit is the maximum-likelihood one for chi-square data (McCullagh and Nelder,
    Generalized Linear Models, 2nd ed., chapter 8). Record lengths must count independent samples:
    a detector's low-pass makes neighbours alike.

    Args:
        power_w: oscillator power at each point, shape (points,), at least 0.
        variance: sample variance of the record, in V^2, shape (points,), above 0.
        degrees_of_freedom: of each sample variance, shape (points,) or one for all, above 0.
        power_uncertainty_w: random error of each power, one standard deviation, in W.

    Raises:
        CalibrationError: fewer than 4 points, or they do not tell the terms apart.
    """
    power = checked("oscillator power in W", power_w, least=4)
    measured = checked("variance in V^2", variance, least=4, above=0.0)
    same_length("noise against power", power, measured)
    freedom = np.broadcast_to(np.asarray(degrees_of_freedom, dtype=np.float64), power.shape)
    checked("degrees of freedom", freedom, least=4, above=0.0)
    spread = np.broadcast_to(np.asarray(power_uncertainty_w, dtype=np.float64), power.shape)
    design = np.stack([np.ones_like(power), power, power**2], axis=1)
    first = fit_linear(design, measured, measured * np.sqrt(2 / freedom))
    steepness = np.abs(first.parameters[1] + 2 * first.parameters[2] * power)

    def noise(mean: Array) -> Array:
        # A step of the fit may pass through means below 0, which no variance has.
        safe = np.maximum(mean, 1e-3 * measured)
        statistics: Array = safe * np.sqrt(2 / freedom)
        return np.asarray(np.sqrt(statistics**2 + (steepness * spread) ** 2))

    fit = fit_curve(
        lambda parameters: design @ parameters,
        lambda parameters: design,  # noqa: ARG005
        first.parameters,
        measured,
        noise,
    )
    errors = np.sqrt(np.diag(fit.covariance))
    floor = float(fit.parameters[0])
    return NoisePowerFit(
        floor=log_normal(floor, errors[0]) if floor > 0 else normal(floor, errors[0]),
        slope=normal(fit.parameters[1], errors[1]),
        excess=normal(fit.parameters[2], errors[2]),
        fit=fit,
    )
