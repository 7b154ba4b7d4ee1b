"""Power that falls exponentially with length, number of connectors or set attenuation."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, log_normal, normal
from calibration.fits.least_squares import Fit, PowerNoise, fit_curve, fit_linear
from calibration.fits.line import same_length
from drivers.errors import CalibrationError

__all__ = ["LossFit", "fit_loss"]

_DB = math.log(10) / 10


@dataclass(frozen=True, kw_only=True, eq=False)
class LossFit:
    """power = launched 10^(-loss x/10).

    Args:
        launched_w: power at x = 0, in W.
        loss_db: loss per unit of x, in dB.
        fit: all of the fit; parameters are (ln launched, loss_db).
    """

    launched_w: Estimate
    loss_db: Estimate
    fit: Fit

    def transmittance(self, x: float) -> Estimate:
        """Power at x over power at 0, linear."""
        value = math.exp(-_DB * self.loss_db.value * x)
        low, high = sorted(math.exp(-_DB * end * x) for end in self.loss_db.interval95)
        return Estimate(
            value=value,
            uncertainty=value * _DB * abs(x) * self.loss_db.uncertainty,
            interval95=(low, high),
        )


def fit_loss(x: ArrayLike, power_w: ArrayLike, noise: PowerNoise) -> LossFit:
    """Fit the exponential to the powers themselves, so that a reading below 0 W is no trouble.

    Args:
        x: length or number of pieces, shape (points,), exact.
        power_w: powers, shape (points,), in W.
        noise: of the power meter, per reading, in W.

    Raises:
        CalibrationError: fewer than 3 points, or fewer than 2 clearly above the meter's floor.
    """
    places = checked("x of the loss", x, least=3)
    measured = checked("power in W", power_w, least=3)
    same_length("loss", places, measured)
    clear = measured > 3 * noise.floor
    if np.unique(places[clear]).size < 2:
        raise CalibrationError(
            f"only {int(clear.sum())} powers are above three times the meter's floor of "
            f"{noise.floor:.3g} W; launch more light or average longer"
        )
    design = np.stack([np.ones_like(places), -_DB * places], axis=1)
    # Two equal points more than parameters keep the first guess solvable for two clear points.
    first = fit_linear(
        np.repeat(design[clear], 2, axis=0),
        np.log(np.repeat(measured[clear], 2)),
        np.repeat(noise.at(measured[clear]) / measured[clear], 2),
    )
    fit = fit_curve(
        lambda parameters: np.exp(design @ parameters),
        lambda parameters: np.exp(design @ parameters)[:, None] * design,
        first.parameters,
        measured,
        noise.at,
    )
    errors = np.sqrt(np.diag(fit.covariance))
    launched = math.exp(float(fit.parameters[0]))
    return LossFit(
        launched_w=log_normal(launched, launched * errors[0]),
        loss_db=normal(fit.parameters[1], errors[1]),
        fit=fit,
    )
