"""The walk of a tone's phase, also where light and oscillator are too alike for one to be seen."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.linewidth import LinewidthFit, fit_linewidth
from calibration.routines._tones import Tone
from drivers.errors import CalibrationError

__all__ = ["PhaseWalk", "phase_walk"]

_LEAST_READINGS: Final = 64
# A walk of linewidth D over a time T leaves 2 pi D T/15 on average around its straight line; of one
# record in forty less than a sixth of that.
_LINE_SHARE: Final = 15.0 * 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseWalk:
    """How a tone's phase moves.

    Args:
        linewidth_hz: full width at half maximum; 0 with an upper end where no walk is seen.
        frequency_offset_hz: of the tone from its filter.
        fit: None where no walk is seen.
    """

    linewidth_hz: Estimate
    frequency_offset_hz: Estimate
    fit: LinewidthFit | None


def phase_walk(seen: Tone) -> PhaseWalk:
    """Linewidth and frequency of a tone.

    Light and oscillator of one laser over a short fibre have no walk against each other. Then the
    linewidth is 0 and its interval ends where a walk would bend the phase more than is seen.

    Raises:
        CalibrationError: fewer than 64 slots.
    """
    phase = seen.phase_rad
    try:
        fit = fit_linewidth(phase, seen.interval_s)
    except CalibrationError:
        if phase.size < _LEAST_READINGS:
            raise
        return _still(seen)
    return PhaseWalk(
        linewidth_hz=fit.linewidth_hz, frequency_offset_hz=fit.frequency_offset_hz, fit=fit
    )


def _still(seen: Tone) -> PhaseWalk:
    """The straight line through a phase without a walk."""
    phase = seen.phase_rad
    times = (np.arange(phase.size) - (phase.size - 1) / 2) * seen.interval_s
    spread = float(times @ times)
    slope = float(times @ phase) / spread
    left = float((phase - phase.mean() - slope * times).var())
    duration_s = phase.size * seen.interval_s
    most_hz = left * _LINE_SHARE / (2 * math.pi * duration_s)
    error_hz = math.hypot(
        math.sqrt(left / spread) / (2 * math.pi), math.sqrt(most_hz / (2 * math.pi * duration_s))
    )
    return PhaseWalk(
        linewidth_hz=Estimate(value=0.0, uncertainty=most_hz / 2, interval95=(0.0, most_hz)),
        frequency_offset_hz=normal(slope / (2 * math.pi), error_hz),
        fit=None,
    )
