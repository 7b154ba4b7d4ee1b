"""Power through a Mach-Zehnder modulator against the voltage on it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, normal
from calibration.fits.least_squares import Array, Fit, PowerNoise, fit_curve
from calibration.fits.line import same_length
from calibration.fits.ratio import fieller
from drivers.errors import CalibrationError

__all__ = ["MachZehnderFit", "fit_mach_zehnder"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MachZehnderFit:
    """power = null + swing sin^2(pi (V - null_bias)/(2 V_pi)).

    Args:
        v_pi_v: voltage from the null to the peak, in V.
        null_bias_v: voltage of the null that is nearest to 0 V, in V.
        peak_power_w: power at the peak, in W.
        null_transmission: power at the null over power at the peak, linear; may come out below 0
            by the noise of the meter.
        fit: all of the fit; parameters are (null, swing, null_bias, V_pi).
    """

    v_pi_v: Estimate
    null_bias_v: Estimate
    peak_power_w: Estimate
    null_transmission: Estimate
    fit: Fit

    @property
    def extinction_db(self) -> Estimate | None:
        """Peak over null in dB; None where the null's power cannot be told from 0."""
        low, high = self.null_transmission.interval95
        value = self.null_transmission.value
        if low <= 0:
            return None
        return Estimate(
            value=-10 * math.log10(value),
            uncertainty=10 / math.log(10) * self.null_transmission.uncertainty / value,
            interval95=(-10 * math.log10(high), -10 * math.log10(low)),
        )

    @property
    def extinction_at_least_db(self) -> float:
        """What the extinction exceeds at 97.5 % confidence, in dB."""
        return -10 * math.log10(self.null_transmission.interval95[1])

    def at(self, volts: ArrayLike) -> Array:
        """Power at voltages, in W."""
        return _power(self.fit.parameters, np.asarray(volts, dtype=np.float64))


def fit_mach_zehnder(volts: ArrayLike, power_w: ArrayLike, noise: PowerNoise) -> MachZehnderFit:
    """Fit the transfer, robust against any start: V_pi is searched on a grid first.

    The transfer of an unbalanced interferometer: two arms of unequal amplitude add up, the
    imbalance leaves light at the null (Saleh and Teich, Fundamentals of Photonics, 3rd ed.,
    section 21.1).

    Args:
        volts: voltages, shape (points,), exact; they should span 2 V_pi and must span V_pi.
        power_w: powers, shape (points,), in W.
        noise: of the power meter, per reading, in W.

    Raises:
        CalibrationError: fewer than 8 points, less than one V_pi spanned, or no modulation.
    """
    places = checked("bias in V", volts, least=8)
    measured = checked("power in W", power_w, least=8)
    same_length("transfer", places, measured)
    fit = fit_curve(
        lambda parameters: _power(parameters, places),
        lambda parameters: _slopes(parameters, places),
        _start(places, measured),
        measured,
        noise.at,
    )
    null, swing, bias, v_pi = (float(value) for value in fit.parameters)
    errors = np.sqrt(np.diag(fit.covariance))
    _check(places, v_pi, swing, float(errors[1]))
    turns = round(bias / (2 * v_pi))
    covariance = fit.covariance
    return MachZehnderFit(
        v_pi_v=normal(v_pi, errors[3]),
        null_bias_v=normal(
            bias - 2 * turns * v_pi, fit.uncertainty(np.array([0.0, 0.0, 1.0, -2.0 * turns]))
        ),
        peak_power_w=normal(null + swing, fit.uncertainty(np.array([1.0, 1.0, 0.0, 0.0]))),
        null_transmission=fieller(
            null,
            null + swing,
            variance_numerator=float(covariance[0, 0]),
            variance_denominator=float(covariance[:2, :2].sum()),
            covariance=float(covariance[0, :2].sum()),
        ),
        fit=fit,
    )


def _power(parameters: Array, volts: Array) -> Array:
    null, swing, bias, v_pi = parameters
    return np.asarray(null + swing * np.sin(np.pi * (volts - bias) / (2 * v_pi)) ** 2)


def _slopes(parameters: Array, volts: Array) -> Array:
    _, swing, bias, v_pi = parameters
    phase = np.pi * (volts - bias) / v_pi
    steep = swing * np.sin(phase) * np.pi / (2 * v_pi)
    return np.stack(
        [np.ones_like(volts), np.sin(phase / 2) ** 2, -steep, -steep * phase / np.pi], axis=1
    )


def _start(volts: Array, power: Array) -> Array:
    """Best of all V_pi from twice the spacing of the points to the span, each solved linearly."""
    span = float(np.ptp(volts))
    if not span > 0:
        raise CalibrationError("all points are at one bias voltage; sweep the bias over 2 V_pi")
    # In steps of an eighth of a fringe over the span, so that no minimum lies between two.
    v_pi = span / (2 * np.arange(0.4, volts.size / 4 + 0.4, 0.125))
    phase = np.pi * (volts - volts.mean()) / v_pi[:, None]
    designs = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=2)
    trials = np.linalg.pinv(designs) @ power
    misfits = ((power - (designs @ trials[:, :, None])[:, :, 0]) ** 2).sum(axis=1)
    best = int(misfits.argmin())
    level, cosine, sine = trials[best]
    half = math.hypot(cosine, sine)
    bias = volts.mean() + v_pi[best] / math.pi * math.atan2(-sine, -cosine)
    return np.array([level - half, 2 * half, bias, v_pi[best]])


def _check(volts: Array, v_pi: float, swing: float, swing_error: float) -> None:
    span = float(np.ptp(volts))
    if not 0 < v_pi <= span:
        raise CalibrationError(
            f"the sweep spans {span:.3g} V, V_pi comes out as {v_pi:.3g} V; sweep at least "
            "one V_pi, better two"
        )
    if swing < 5 * swing_error:
        raise CalibrationError(
            f"the power swings by {swing:.3g} W with an error of {swing_error:.3g} W; check that "
            "light passes the modulator and that the bias is connected"
        )
