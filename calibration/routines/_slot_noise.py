"""Noise of a record without signal: what the matched filter sees, and the constant level."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.fits.estimates import Estimate, normal
from calibration.fits.variance import variance_estimate
from drivers.errors import CalibrationError
from drivers.optics.burst import BurstFormat
from drivers.optics.homodyne_receiver import around_zero
from drivers.optics.slot_filter import SlotTiming, filter_all_slots

__all__ = ["SlotNoise", "level_of", "slot_noise"]

_LAGS = 8
_BATCHES = 64
_LEAST_SLOTS = 256


@dataclass(frozen=True, kw_only=True)
class SlotNoise:
    """Noise of one record.

    Args:
        variance_v2: per quadrature of a matched-filter output, in V^2.
        degrees_of_freedom: of that variance; likeness of neighbouring slots taken into account.
        level: mean of the samples, in V.
    """

    variance_v2: float
    degrees_of_freedom: float
    level: Estimate

    @property
    def variance(self) -> Estimate:
        """The variance with its chi-square interval."""
        return variance_estimate(self.variance_v2, self.degrees_of_freedom)


def slot_noise(volts: NDArray[np.float32], burst: BurstFormat) -> SlotNoise:
    """Matched-filter variance and level of a record without signal.

    The mean of the filter's outputs is 0 without light, so it is not taken off; but around 0 Hz,
    where a homodyne record has one quadrature, it is what the diodes' unbalance lets through. For
    a complex Gaussian sequence with correlations r_k between slots, the variance of the mean square
    is that of 2 slots/(sum_k |r_k|^2) independent squares, half as many for a real one (Bartlett,
    J. R. Stat. Soc. Suppl. 8, 27 (1946)).

    Args:
        volts: record, float32, shape (samples,).
        burst: pulse, samples per slot and intermediate frequency.

    Raises:
        CalibrationError: fewer than 256 slots, or all samples are alike.
    """
    slots = volts.size // burst.samples_per_symbol
    homodyne = burst.if_cycles_per_symbol == 0
    if slots < _LEAST_SLOTS:
        raise CalibrationError(
            f"a record of {volts.size} samples has {slots} slots, {_LEAST_SLOTS} are needed for a "
            "variance; record longer"
        )
    values = filter_all_slots(
        around_zero(volts, float(np.mean(volts, dtype=np.float64))) if homodyne else volts,
        SlotTiming(start=0.0, samples_per_slot=burst.samples_per_symbol),
        burst.pulse,
        burst.if_cycles_per_symbol / burst.samples_per_symbol,
        0,
        slots,
    ).astype(np.complex128)
    power = float(np.mean(np.abs(values) ** 2))
    if not power > 0:
        raise CalibrationError(
            f"all {volts.size} samples of a record are alike, {float(volts[0]):g} V: the noise is "
            "below a code; choose a smaller range, and check that the detector is on"
        )
    likeness = 1.0
    for lag in range(1, _LAGS + 1):
        # |r|^2 estimated from noise has the mean 1/slots by chance alone.
        found = abs(complex(np.vdot(values[:-lag], values[lag:]))) / (slots * power)
        likeness += 2 * max(found**2 - 1 / slots, 0.0)
    return SlotNoise(
        variance_v2=power if homodyne else power / 2,
        degrees_of_freedom=(slots if homodyne else 2 * slots) / likeness,
        level=level_of(volts),
    )


def level_of(volts: NDArray[np.float32]) -> Estimate:
    """Mean of a record; its uncertainty is that of the means of 64 batches, whatever the spectrum.

    Args:
        volts: record, shape (samples,), at least 64 samples.
    """
    batches = volts[: volts.size // _BATCHES * _BATCHES].reshape(_BATCHES, -1)
    means = batches.mean(axis=1, dtype=np.float64)
    return normal(
        float(means.mean()),
        float(means.std(ddof=1)) / math.sqrt(_BATCHES),
        degrees_of_freedom=_BATCHES - 1,
    )
