"""An estimate with its uncertainty and interval, and checks that all fits share."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.result import Quantity
from drivers.errors import CalibrationError

__all__ = ["Estimate", "checked", "critical_value", "log_normal", "normal"]

_COVERAGE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that a fit found.

    Args:
        value: best estimate.
        uncertainty: one standard deviation.
        interval95: 95 % confidence interval (low, high).
    """

    value: float
    uncertainty: float
    interval95: tuple[float, float]

    def quantity(self, name: str, unit: str, *, claimed: float | None = None) -> Quantity:
        """This estimate under a name.

        Args:
            name: of the quantity.
            unit: of value, uncertainty and interval.
            claimed: what someone says it is.

        Raises:
            CalibrationError: a number is not a number.
        """
        return Quantity(
            name=name,
            value=self.value,
            uncertainty=self.uncertainty,
            unit=unit,
            interval95=self.interval95,
            claimed=claimed,
        )

    def scaled(self, factor: float) -> "Estimate":
        """This estimate times an exact factor."""
        low, high = sorted(factor * end for end in self.interval95)
        return Estimate(
            value=factor * self.value,
            uncertainty=abs(factor) * self.uncertainty,
            interval95=(low, high),
        )


def critical_value(degrees_of_freedom: float | None = None) -> float:
    """Half width of a 95 % interval in standard uncertainties.

    Args:
        degrees_of_freedom: of the estimated noise, for Student's t; None where the noise is known.
    """
    from scipy.special import ndtri, stdtrit

    tail = (1 + _COVERAGE) / 2
    if degrees_of_freedom is None:
        return float(ndtri(tail))
    return float(stdtrit(degrees_of_freedom, tail))


def normal(
    value: float, uncertainty: float, *, degrees_of_freedom: float | None = None
) -> Estimate:
    """An estimate with a symmetric interval.

    Args:
        value: best estimate.
        uncertainty: one standard deviation, at least 0.
        degrees_of_freedom: of the estimated noise, for Student's t; None where the noise is known.
    """
    half = critical_value(degrees_of_freedom) * uncertainty
    return Estimate(
        value=float(value),
        uncertainty=float(uncertainty),
        interval95=(float(value - half), float(value + half)),
    )


def log_normal(
    value: float, uncertainty: float, *, degrees_of_freedom: float | None = None
) -> Estimate:
    """An estimate of something that cannot be negative, symmetric in its logarithm.

    Args:
        value: best estimate, above 0.
        uncertainty: one standard deviation, at least 0.
        degrees_of_freedom: as in `normal`.
    """
    ratio = math.exp(critical_value(degrees_of_freedom) * uncertainty / value)
    return Estimate(
        value=float(value),
        uncertainty=float(uncertainty),
        interval95=(float(value / ratio), float(value * ratio)),
    )


def checked(
    what: str, values: ArrayLike, *, least: int, above: float | None = None
) -> NDArray[np.float64]:
    """Values as a flat array of finite floats.

    Args:
        what: name and unit for the message.
        values: shape (points,).
        least: fewest points that will do.
        above: bound that every value must exceed.

    Raises:
        CalibrationError: too few, not one-dimensional, not finite, or not above the bound.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < least:
        raise CalibrationError(
            f"{what}: shape {array.shape}, the fit needs one dimension of at least {least} points; "
            "measure more"
        )
    if not np.isfinite(array).all():
        raise CalibrationError(
            f"{what}: {int((~np.isfinite(array)).sum())} of {array.size} points are not finite; "
            "measure again"
        )
    if above is not None and not (array > above).all():
        raise CalibrationError(
            f"{what}: lowest point is {array.min():.6g}, all must be above {above:g}; measure again"
        )
    return array
