"""Audit rounds: the client opens the data vector of a dummy input, the server looks along it.

All excess noise of an honest receiver is one number per row along the data. The projection of the
returned deviations on it has the variance v + ell, all other directions have v: a receiver at a
higher gain than agreed shows after a thousand rows, where row sums need a hundred thousand.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2

from drivers.errors import ConfigurationError
from protocol.verification.statistics import tail_score

__all__ = ["AuditLimits", "AuditedSums", "audit_limits", "projected_energy"]

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


@dataclass(kw_only=True)
class AuditedSums:
    """Energies of all projections of a session on opened vectors, in one quadrature.

    In units of what was agreed. What a phase error makes of the mean is common to the frames that
    share the error: it has as many degrees of freedom as there were errors, not frames.

    Args:
        frames: how many.
        energy: sum of the energies.
        turned: part of it, on average, that phase errors make of the mean.
        phases: independent phase errors.
        uncertainty: standard uncertainty of `turned`.
    """

    frames: float = 0.0
    energy: float = 0.0
    turned: float = 0.0
    phases: float = 0.0
    uncertainty: float = 0.0

    def add(
        self,
        *,
        frames: int,
        energy_snu: float,
        variance_snu: float,
        phase_noise_snu: float,
        frames_per_phase: float,
        phase_uncertainty_snu: float,
    ) -> None:
        """Count the frames of a block in.

        Args:
            frames: how many.
            energy_snu: sum of the squared projections.
            variance_snu: agreed along the vectors.
            phase_noise_snu: part of it that a phase error makes of the mean.
            frames_per_phase: frames that share such an error.
            phase_uncertainty_snu: standard uncertainty of that part.
        """
        self.frames += frames
        self.energy += energy_snu / variance_snu
        self.turned += frames * phase_noise_snu / variance_snu
        self.phases += frames / frames_per_phase
        self.uncertainty += frames * phase_uncertainty_snu / variance_snu

    def ratio(self, alpha: float, slack: float, calibration_score: float) -> float:
        """How near the energy is to its limits: at most 1 for an honest client.

        Args:
            alpha: false-alarm probability, two-sided.
            slack: relative, for a unit of variance that is off.
            calibration_score: standard uncertainties of the phase error that are allowed for.
        """
        slack += calibration_score * self.uncertainty / self.frames
        if not self.turned > 0:
            low, high = audit_limits(int(self.frames), 1.0, 0.0, alpha)
            above, below = high * (1 + slack), low * (1 - slack)
            return max(self.energy / above, below / max(self.energy, 1e-300))
        bounds = self.energy / np.array([1 + slack, max(1 - slack, 1e-9)])
        above, below = (float(score) for score in self._scores(bounds))
        limit = -float(ndtri(alpha / 2))
        return math.nan if math.isnan(self.energy) else max(above, -below) / limit

    def _scores(self, energy: Array) -> Array:
        """Normal scores of energies under noise and the errors that turn the mean."""
        white = self.frames - self.turned
        spread = 2 * self.turned**2 / self.phases + 4 * self.turned * white / self.frames
        degrees = 2 * self.turned**2 / spread
        return tail_score(
            energy, [white / self.frames, self.turned / degrees], [self.frames, degrees]
        )
