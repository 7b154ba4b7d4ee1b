"""A variance with its chi-square interval."""

import math

from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked
from drivers.errors import CalibrationError

__all__ = ["sample_variance", "variance_estimate"]


def variance_estimate(variance: float, degrees_of_freedom: float) -> Estimate:
    """Interval of a variance of normal noise, from nu s2/sigma2 being chi-square distributed.

    Args:
        variance: sample variance, at least 0.
        degrees_of_freedom: nu, above 0; independent samples less fitted parameters.

    Raises:
        CalibrationError: a number is out of range.
    """
    from scipy.special import chdtri

    if not (variance >= 0 and math.isfinite(variance) and degrees_of_freedom > 0):
        raise CalibrationError(
            f"variance {variance} with {degrees_of_freedom} degrees of freedom; record more samples"
        )
    total = variance * degrees_of_freedom
    return Estimate(
        value=float(variance),
        uncertainty=variance * math.sqrt(2 / degrees_of_freedom),
        interval95=(
            float(total / chdtri(degrees_of_freedom, 0.025)),
            float(total / chdtri(degrees_of_freedom, 0.975)),
        ),
    )


def sample_variance(samples: ArrayLike) -> Estimate:
    """Variance of independent normal samples around their own mean.

    Args:
        samples: shape (samples,).

    Raises:
        CalibrationError: fewer than 2 samples, or not finite.
    """
    values = checked("samples", samples, least=2)
    return variance_estimate(float(values.var(ddof=1)), values.size - 1)
