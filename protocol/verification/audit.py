"""Audit rounds: the client opens the data vector of a dummy input, the server looks along it.

All excess noise of an honest receiver is one number per row along the data. The projection of the
returned deviations on it has the variance v + ell, all other directions have v: a receiver at a
higher gain than agreed shows after a thousand rows, where row sums need a hundred thousand.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from drivers.errors import ConfigurationError

__all__ = ["AuditLimits", "audit_limits", "projected_energy"]

Array = NDArray[np.float64]
AuditLimits = tuple[float, float]

_UNIT_TOLERANCE = 1e-6


def projected_energy(deviations: Array, data: Array) -> float:
    """Sum over the rows of (deviation . data)^2.

    Args:
        deviations: returned values minus what was expected, `(rows, modes)`, one quadrature, SNU.
        data: the opened vector, `(modes,)`, of unit norm.

    Raises:
        ConfigurationError: shapes do not fit, or the vector is not of unit norm.
    """
    if deviations.ndim != 2 or data.shape != deviations.shape[1:]:
        raise ConfigurationError(
            f"deviations of shape {deviations.shape} do not fit audited data of shape {data.shape}"
        )
    norm = float(np.linalg.norm(data))
    if not abs(norm - 1) <= _UNIT_TOLERANCE:
        raise ConfigurationError(f"audited data has norm {norm}, it must be 1")
    return float(np.square(deviations @ data).sum())


def audit_limits(
    rows: int, white_variance_snu: float, excess_noise_snu: float, alpha: float
) -> AuditLimits:
    """Lowest and highest accepted energy of the projection, (v + ell) chi^2_rows, two-sided.

    Args:
        rows: audited rows.
        white_variance_snu: v, variance of every mode.
        excess_noise_snu: ell, agreed excess noise of the data mode in this quadrature.
        alpha: false-alarm probability.

    Raises:
        ConfigurationError: a number out of range.
    """
    if rows < 1 or not white_variance_snu > 0 or not excess_noise_snu >= 0:
        raise ConfigurationError(
            f"audit of {rows} rows at {white_variance_snu} SNU with {excess_noise_snu} SNU of "
            "excess noise: rows and variance must be above 0, the excess at least 0"
        )
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in (0, 0.5)")
    variance = white_variance_snu + excess_noise_snu
    low = variance * float(chi2.ppf(alpha / 2, rows))
    return low, variance * float(chi2.isf(alpha / 2, rows))
