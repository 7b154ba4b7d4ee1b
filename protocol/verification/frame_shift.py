"""Shifted frames: does the returned light follow the launched means a few bins off?

A slipped clock, or somebody who plays one, leaves the regression at gain 0. The correlation with
the means of neighbouring bins then says that it was a shift, which is a fault to repair and never
to re-align in silence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from drivers.errors import ConfigurationError

__all__ = ["BINS", "FrameShift", "find_frame_shift"]

Array = NDArray[np.float64]

BINS = tuple(shift for shift in range(-8, 9) if shift)
"""Shifts that are looked at unless told otherwise, in bins."""


@dataclass(frozen=True, kw_only=True)
class FrameShift:
    """The likeliest shift.

    Args:
        bins: by how many bins the return lags behind the means.
        gain: amplitude gain at that shift.
        score: normal score of the largest gain among all shifts that were looked at.
    """

    bins: int
    gain: float
    score: float


def find_frame_shift(
    values: Array, means_snu: Array, variance_snu: float, bins: Sequence[int] = BINS
) -> FrameShift:
    """Correlate the return with shifted means.

    At every shift the gain sum m_(i-s) y_i/sum m^2 has the variance v/sum m^2 if nothing is there;
    the largest score is judged against the largest of as many normal numbers (Sidak).

    Args:
        values: returned X, `(frames, modes)`.
        means_snu: launched means, the same shape.
        variance_snu: v, variance of a returned value, means that do not belong to it included.
        bins: shifts to look at, none of them 0; frames are sent one after another.

    Raises:
        ConfigurationError: shapes differ, nothing was launched, or a shift does not fit.
    """
    if values.shape != means_snu.shape or not values.size:
        raise ConfigurationError(
            f"values of shape {values.shape} do not fit means of shape {means_snu.shape}"
        )
    sequence, launched = values.ravel(), means_snu.ravel()
    energy = float(launched @ launched)
    if not energy > 0 or not variance_snu > 0:
        raise ConfigurationError(
            f"means with an energy of {energy} SNU and a variance of {variance_snu} SNU show no "
            "shift: both must be above 0"
        )
    if not bins or 0 in bins or max(abs(shift) for shift in bins) >= launched.size:
        raise ConfigurationError(
            f"shifts {list(bins)} do not fit {launched.size} bins: each must be another bin"
        )
    gains = [float(np.roll(launched, shift) @ sequence) / energy for shift in bins]
    best = int(np.argmax(gains))
    score = gains[best] * math.sqrt(energy / variance_snu)
    tail = np.log(-np.expm1(np.minimum(len(bins) * log_ndtr(score), -1e-300)))
    return FrameShift(bins=bins[best], gain=gains[best], score=float(-ndtri_exp(tail)))
