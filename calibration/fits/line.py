"""A straight line through points with errors in y."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, normal
from calibration.fits.least_squares import Array, Fit, fit_linear
from drivers.errors import CalibrationError

__all__ = ["LineFit", "fit_line"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LineFit:
    """y = intercept + slope x.

    Args:
        slope: in units of y per unit of x.
        intercept: in units of y.
        covariance: of slope with intercept.
        fit: all of the fit; parameters are (intercept, slope).
    """

    slope: Estimate
    intercept: Estimate
    covariance: float
    fit: Fit

    def at(self, x: float) -> Estimate:
        """The line at a place, with the interval of the line (not of a new point)."""
        value = self.intercept.value + self.slope.value * x
        return normal(value, self.fit.uncertainty(np.array([1.0, x])))


def fit_line(x: ArrayLike, y: ArrayLike, uncertainty: ArrayLike) -> LineFit:
    """Weighted straight line (Bevington and Robinson, 3rd ed., section 6.3).

    Args:
        x: where it was measured, shape (points,), exact.
        y: what was measured, shape (points,).
        uncertainty: one standard deviation of each y, shape (points,), above 0.

    Raises:
        CalibrationError: fewer than 3 points, all at one x, or not finite.
    """
    places = checked("x of the line", x, least=3)
    measured = checked("y of the line", y, least=3)
    noise = checked("uncertainty of the line", uncertainty, least=3, above=0.0)
    same_length("line", places, measured, noise)
    fit = fit_linear(np.stack([np.ones_like(places), places], axis=1), measured, noise)
    errors = np.sqrt(np.diag(fit.covariance))
    return LineFit(
        slope=normal(fit.parameters[1], errors[1]),
        intercept=normal(fit.parameters[0], errors[0]),
        covariance=float(fit.covariance[0, 1]),
        fit=fit,
    )


def same_length(what: str, *arrays: Array) -> None:
    """Refuse arrays of different lengths.

    Raises:
        CalibrationError: they differ.
    """
    if len({array.size for array in arrays}) > 1:
        sizes = ", ".join(str(array.size) for array in arrays)
        raise CalibrationError(f"{what}: {sizes} points; give as many of each")
