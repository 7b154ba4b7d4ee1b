"""Gain and noise of an optical amplifier from its output power against its seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, normal
from calibration.fits.line import LineFit, fit_line
from drivers.errors import CalibrationError

__all__ = ["AmplifierFit", "fit_amplifier"]

_PLANCK_J_S = 6.62607015e-34
_LIGHT_M_S = 299792458.0


@dataclass(frozen=True, kw_only=True, eq=False)
class AmplifierFit:
    """output = gain seed + spontaneous emission.

    Args:
        gain: power gain, linear.
        emission_w: spontaneous emission behind the filter, in W.
        inversion: spontaneous-emission factor n_sp, 1 for an ideal amplifier.
        added_noise_snu: noise at the output above vacuum per quadrature, 2 n_sp (gain - 1).
        line: the fit behind it.
    """

    gain: Estimate
    emission_w: Estimate
    inversion: Estimate
    added_noise_snu: Estimate
    line: LineFit


def fit_amplifier(
    seed_w: ArrayLike,
    output_w: ArrayLike,
    uncertainty_w: ArrayLike,
    *,
    wavelength_m: float,
    bandwidth_hz: float,
    polarisations: int = 2,
) -> AmplifierFit:
    """Gain from the slope, noise from the light that comes out without seed.

    Spontaneous emission fills each mode with n_sp (gain - 1) photons: power n_sp (gain - 1) h f B
    per polarisation in bandwidth B (Desurvire, Erbium-Doped Fiber Amplifiers, 1994, section 2.6).
    A quadrature of such a mode has variance 1 + 2 n_sp (gain - 1) in shot-noise units. The seeds
    must be weak enough not to saturate the gain: the goodness of the line says so.

    Args:
        seed_w: powers at the input, shape (points,), in W, exact.
        output_w: powers at the output behind the filter, shape (points,), in W.
        uncertainty_w: one standard deviation of each output, in W.
        wavelength_m: of the light, in m.
        bandwidth_hz: of the filter for noise, in Hz.
        polarisations: that pass the filter, 1 or 2.

    Raises:
        CalibrationError: too few points, a setting out of range, or no gain above 1.
    """
    if not (wavelength_m > 0 and bandwidth_hz > 0 and polarisations in {1, 2}):
        raise CalibrationError(
            f"wavelength {wavelength_m} m and bandwidth {bandwidth_hz} Hz must be above 0, "
            f"polarisations {polarisations} must be 1 or 2"
        )
    line = fit_line(seed_w, output_w, uncertainty_w)
    gain, emission = line.slope.value, line.intercept.value
    if not line.slope.interval95[0] > 1:
        raise CalibrationError(
            f"gain is {gain:.4g} +- {line.slope.uncertainty:.2g}, not to be told from 1; raise the "
            "pump or average longer"
        )
    quantum_w = polarisations * _PLANCK_J_S * _LIGHT_M_S / wavelength_m * bandwidth_hz
    inversion = emission / (quantum_w * (gain - 1))
    slope = np.array([1 / (quantum_w * (gain - 1)), -inversion / (gain - 1)])
    return AmplifierFit(
        gain=line.slope,
        emission_w=line.intercept,
        inversion=normal(inversion, line.fit.uncertainty(slope)),
        added_noise_snu=line.intercept.scaled(2 / quantum_w),
        line=line,
    )
