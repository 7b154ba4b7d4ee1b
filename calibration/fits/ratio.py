"""The ratio of two noisy means, with Fieller's interval."""

import math

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, critical_value
from drivers.errors import CalibrationError

__all__ = ["fieller", "ratio_of_means"]


def fieller(
    numerator: float,
    denominator: float,
    *,
    variance_numerator: float,
    variance_denominator: float,
    covariance: float = 0.0,
    degrees_of_freedom: float | None = None,
) -> Estimate:
    """Ratio of two jointly normal estimates (Fieller, J. R. Stat. Soc. B 16, 175 (1954)).

    The interval holds every ratio r for which numerator - r denominator is within its own error of
    0: exact for normal estimates, asymmetric, never symmetric by assumption.

    Args:
        numerator: its estimate.
        denominator: its estimate.
        variance_numerator: squared standard uncertainty.
        variance_denominator: squared standard uncertainty.
        covariance: of both.
        degrees_of_freedom: of the estimated variances; None where they are known.

    Raises:
        CalibrationError: the denominator cannot be told from 0 at 95 %.
    """
    critical = critical_value(degrees_of_freedom)
    lead = denominator**2 - critical**2 * variance_denominator
    if not lead > 0:
        raise CalibrationError(
            f"the denominator {denominator:.6g} is within {critical:.3g} x its uncertainty "
            f"{math.sqrt(variance_denominator):.3g} of 0, so the ratio has no bounds; "
            "average longer"
        )
    middle = numerator * denominator - critical**2 * covariance
    last = numerator**2 - critical**2 * variance_numerator
    half = math.sqrt(max(middle**2 - lead * last, 0.0))
    ratio = numerator / denominator
    spread = variance_numerator - 2 * ratio * covariance + ratio**2 * variance_denominator
    return Estimate(
        value=ratio,
        uncertainty=math.sqrt(max(spread, 0.0)) / abs(denominator),
        interval95=((middle - half) / lead, (middle + half) / lead),
    )


def ratio_of_means(numerator: ArrayLike, denominator: ArrayLike, *, paired: bool) -> Estimate:
    """Ratio of the means of two sets of readings, their noise estimated from their scatter.

    Args:
        numerator: readings, shape (readings,).
        denominator: readings, shape (readings,), of equal number if paired.
        paired: True if reading i of both was taken together, so that common changes cancel.

    Raises:
        CalibrationError: fewer than 3 readings, pairs incomplete, or the mean of the denominator
            cannot be told from 0.
    """
    top = checked("numerator", numerator, least=3)
    bottom = checked("denominator", denominator, least=3)
    if paired and top.size != bottom.size:
        raise CalibrationError(
            f"{top.size} readings over {bottom.size}: pairs need as many of each; measure in pairs"
        )
    var_top = float(top.var(ddof=1)) / top.size
    var_bottom = float(bottom.var(ddof=1)) / bottom.size
    common = float(np.cov(top, bottom)[0, 1]) / top.size if paired else 0.0
    freedom: float = top.size - 1
    if not paired:
        freedom = _satterthwaite(
            top.size, bottom.size, var_top, var_bottom, top.mean() / bottom.mean()
        )
    return fieller(
        float(top.mean()),
        float(bottom.mean()),
        variance_numerator=var_top,
        variance_denominator=var_bottom,
        covariance=common,
        degrees_of_freedom=freedom,
    )


def _satterthwaite(
    count_top: int, count_bottom: int, var_top: float, var_bottom: float, ratio: float
) -> float:
    """Effective degrees of freedom of numerator - ratio denominator (Biometrics 2, 110 (1946))."""
    parts = (var_top, ratio**2 * var_bottom)
    weight = parts[0] ** 2 / (count_top - 1) + parts[1] ** 2 / (count_bottom - 1)
    return sum(parts) ** 2 / weight if weight > 0 else float(count_top + count_bottom - 2)
