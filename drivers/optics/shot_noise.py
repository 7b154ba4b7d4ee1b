"""Shot-noise units: the one place where volts become quadratures.

Owns the measurement of N0, the variance of a quadrature of vacuum, on slots of the same record.
The variance of a vacuum slot holds shot noise and electronic noise; that of a dark slot (oscillator
off) or a calibrated value is taken off:  N0 = var(vacuum) - var(dark). Values in shot-noise units
are volts / sqrt(N0); recorded vacuum then has the variance 1 + v_el (arXiv 2408.05629 and
Laudenbach et al., Adv. Quantum Technol. 1, 1800011 (2018), section 6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import OpticsError, TraceError

__all__ = ["ShotNoise", "check_shot_noise", "measure_shot_noise", "pool_shot_noise"]

_SIGNIFICANCE: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class ShotNoise:
    """Noise of a record, per quadrature, in squared volts.

    Attributes:
        vacuum: Variance of the vacuum slots, mean of both quadratures.
        vacuum_parts: The same for each quadrature.
        electronic: Variance without oscillator.
        shot: N0, their difference.
        uncertainty: Standard deviation of N0.
        vacuum_slots: Number of vacuum slots.
        leak: Mean of the vacuum slots in shot-noise units: light that the modulator lets through.
    """

    vacuum: float
    vacuum_parts: tuple[float, float]
    electronic: float
    shot: float
    uncertainty: float
    vacuum_slots: int
    leak: complex

    @property
    def electronic_snu(self) -> float:
        """Electronic noise v_el in shot-noise units."""
        return self.electronic / self.shot

    @property
    def clearance_db(self) -> float:
        """Vacuum noise above electronic noise, in decibels."""
        if self.electronic == 0.0:
            return float("inf")
        return float(10 * np.log10(self.vacuum / self.electronic))

    @property
    def relative_uncertainty(self) -> float:
        """Standard deviation of N0 relative to N0."""
        return self.uncertainty / self.shot


def measure_shot_noise(
    vacuum: NDArray[np.complex64],
    *,
    dark: NDArray[np.complex64] | None = None,
    electronic_noise: float | None = None,
    instrument: str = "receiver",
) -> ShotNoise:
    """Measures N0 on the vacuum slots of a record.

    The mean of the vacuum slots is taken off first, so that derotated values do not count light
    that leaks through the modulator as noise.

    Args:
        vacuum: Derotated values of the vacuum slots in volts, shape (slots,).
        dark: Values of the slots with the oscillator off; or leave out and give
        electronic_noise: the calibrated variance per quadrature in squared volts.
        instrument: Name for messages.

    Returns:
        N0 with its uncertainty (Gaussian: var(s^2) = 2 s^4 / (values - 1)).

    Raises:
        OpticsError: Neither or both of dark and electronic_noise given, or fewer than two slots.
        TraceError: Vacuum has fallen to the level of the electronic noise.
    """
    if (dark is None) == (electronic_noise is None):
        raise OpticsError(
            f"{instrument}: give either dark slots or a calibrated electronic noise, one of both"
        )
    if vacuum.size < 2 or (dark is not None and dark.size < 2):
        raise OpticsError(
            f"{instrument}: {vacuum.size} vacuum slots and "
            f"{'no' if dark is None else dark.size} dark slots; at least 2 are needed for a "
            "variance: lengthen the burst"
        )
    parts = _variances(vacuum)
    level = 0.5 * (parts[0] + parts[1])
    spread = level**2 / (vacuum.size - 1)
    if dark is not None:
        electronic = float(np.mean(_variances(dark)))
        spread += electronic**2 / (dark.size - 1)
    else:
        electronic = _checked_electronic(electronic_noise, instrument)
    shot = level - electronic
    uncertainty = float(np.sqrt(spread))
    if not shot > _SIGNIFICANCE * uncertainty:
        raise TraceError(
            f"{instrument}: oscillator lost: vacuum noise is {level:.4g} V^2 and electronic noise "
            f"{electronic:.4g} V^2 (uncertainty of the difference {uncertainty:.2g} V^2 over "
            f"{vacuum.size} vacuum slots): check the oscillator's power and its path"
        )
    return ShotNoise(
        vacuum=level,
        vacuum_parts=parts,
        electronic=electronic,
        shot=shot,
        uncertainty=uncertainty,
        vacuum_slots=vacuum.size,
        leak=complex(np.mean(vacuum, dtype=np.complex128)) / np.sqrt(shot),
    )


def pool_shot_noise(measured: Sequence[ShotNoise]) -> tuple[float, float]:
    """N0 of several records of one setting, weighted by their vacuum slots.

    Args:
        measured: At least one measurement.

    Returns:
        N0 and its standard deviation in squared volts. A systematic error of one calibrated
        electronic noise is common to all and not part of it.

    Raises:
        OpticsError: Nothing to pool.
    """
    if not measured:
        raise OpticsError("shot noise: no record to pool; give at least one")
    weights = np.array([one.vacuum_slots for one in measured], dtype=np.float64)
    weights /= weights.sum()
    shot = float(weights @ [one.shot for one in measured])
    return shot, float(np.sqrt(weights**2 @ [one.uncertainty**2 for one in measured]))


def check_shot_noise(
    measured: Sequence[ShotNoise],
    calibrated: float,
    *,
    limit: float = 0.01,
    instrument: str = "receiver",
) -> float:
    """Compares N0 of one or more records with the calibration.

    Refuses a deviation above the limit that is also five standard deviations from chance (false
    alarm 6e-7). Pooled records see what one record cannot: 5e5 vacuum slots resolve 1 %.

    Args:
        measured: Records of one setting.
        calibrated: N0 of the calibration in squared volts.
        limit: Largest relative deviation.
        instrument: Name for messages.

    Returns:
        Relative deviation.

    Raises:
        TraceError: The shot noise has changed, and with it the oscillator's power.
        OpticsError: No record, or a calibrated value that is not positive.
    """
    if not (np.isfinite(calibrated) and calibrated > 0):
        raise OpticsError(
            f"{instrument}: calibrated shot noise is {calibrated} V^2; it must be positive: "
            "calibrate the shot noise again"
        )
    shot, uncertainty = pool_shot_noise(measured)
    deviation = shot / calibrated - 1
    significant = _SIGNIFICANCE * uncertainty / calibrated
    if abs(deviation) > max(limit, significant):
        raise TraceError(
            f"{instrument}: shot noise is {deviation * 100:+.2f} % from its calibration "
            f"({shot:.4g} against {calibrated:.4g} V^2, uncertainty "
            f"{uncertainty / calibrated * 100:.2f} %); the limit is {limit * 100:g} %: the "
            "oscillator's power or the detector's gain has changed, check and calibrate again"
        )
    return deviation


def _variances(values: NDArray[np.complex64]) -> tuple[float, float]:
    return (
        float(np.var(values.real, dtype=np.float64, ddof=1)),
        float(np.var(values.imag, dtype=np.float64, ddof=1)),
    )


def _checked_electronic(value: float | None, instrument: str) -> float:
    if value is None or not (np.isfinite(value) and value >= 0):
        raise OpticsError(
            f"{instrument}: electronic noise is {value} V^2; give a finite variance, 0 or more"
        )
    return float(value)
