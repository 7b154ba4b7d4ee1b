"""Sweeps of a modulator's voltages against a power meter, and what several sweeps say together.

The null of a modulator drifts while it is swept: that, and not the meter, limits a sweep. So each
sweep is fitted by itself and the scatter of the fits is the uncertainty, whatever its cause.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.least_squares import Array, PowerNoise, fit_linear
from calibration.fits.mach_zehnder import MachZehnderFit, fit_mach_zehnder
from drivers.errors import CalibrationError
from drivers.instruments import Range

__all__ = ["NullScan", "Sweep", "last_null", "mean_of", "places", "scan_null", "sweep"]

_WINDOW_AFTER = 2 / 7
_LIKENESS = 1.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One sweep over a modulator's range.

    Args:
        volts: shape (points,), in V.
        power_w: shape (points,), in W.
        fit: of the transfer.
    """

    volts: Array
    power_w: Array
    fit: MachZehnderFit


@dataclass(frozen=True, kw_only=True, eq=False)
class NullScan:
    """A fine scan around the null.

    Args:
        volts: shape (points,), in V.
        power_w: shape (points,), in W.
        fitted_w: the parabola, shape (points,), in W.
        null_v: its vertex, in V.
        null_w: power there, in W; noise may make it negative.
        begin_s: clock at the first point.
        end_s: clock at the last point.
    """

    volts: Array
    power_w: Array
    fitted_w: Array
    null_v: float
    null_w: float
    begin_s: float
    end_s: float


def places(within: Range, points: int, rng: np.random.Generator, *, downwards: bool) -> Array:
    """One voltage at random in each of equal parts of a range, so that converters' steps average.

    Args:
        within: the range, in V.
        points: number of parts.
        rng: source of the places.
        downwards: highest first.
    """
    steps = (np.arange(points) + rng.random(points)) / points
    volts = within.lowest + (within.highest - within.lowest) * steps
    return volts[::-1].copy() if downwards else volts


def sweep(volts: Array, read: Callable[[float], float], resolution: float) -> Sweep:
    """Measure and fit one sweep.

    Args:
        volts: to be set, shape (points,).
        read: sets a voltage and reads the power in W.
        resolution: deviation of a reading relative to the highest one, drift included.

    Raises:
        CalibrationError: the fit refuses.
    """
    power_w = np.array([read(float(volt)) for volt in volts])
    # Drift of the null weighs most between null and peak: all points count about alike.
    noise = PowerNoise(relative=0.0, floor=resolution * max(float(power_w.max()), 1e-15))
    return Sweep(volts=volts, power_w=power_w, fit=fit_mach_zehnder(volts, power_w, noise))


def scan_null(volts: Array, read: Callable[[float], float], now: Callable[[], float]) -> NullScan:
    """Measure a fine scan around a null and fit its parabola.

    Args:
        volts: to be set, within a few hundredths of V_pi around the null, shape (points,).
        read: sets a voltage and reads the power in W.
        now: the clock, in s.

    Raises:
        CalibrationError: there is no minimum within the scan.
    """
    begin_s = now()
    power_w = np.array([read(float(volt)) for volt in volts])
    middle, reach = float(volts.mean()), float(np.ptp(volts)) / 2
    scaled = (volts - middle) / reach
    design = np.stack([np.ones_like(scaled), scaled, scaled**2], axis=1)
    fit = fit_linear(design, power_w, np.ones_like(power_w))
    level, slope, bend = (float(value) for value in fit.parameters)
    if not (bend > 0 and abs(slope) < 2 * bend):
        raise CalibrationError(
            f"no least power between {volts.min():.4g} V and {volts.max():.4g} V of the bias; "
            "lock the modulator to its null again, or widen null_reach"
        )
    return NullScan(
        volts=volts,
        power_w=power_w,
        fitted_w=fit.fitted,
        null_v=middle - reach * slope / (2 * bend),
        null_w=level - slope**2 / (4 * bend),
        begin_s=begin_s,
        end_s=now(),
    )


def mean_of(values: Sequence[float]) -> Estimate:
    """Mean of what repeated sweeps found, with Student's interval from their scatter."""
    found = np.array(values)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    return normal(float(found.mean()), error, degrees_of_freedom=found.size - 1)


def last_null(scans: Sequence[NullScan], now_s: float) -> Estimate:
    """Where the null is now: the last scan's, with the drift since then.

    The null is taken to walk at random, with the rate that the scans show. The vertex of a parabola
    weighs the time in a scan of length T by 3 (2 t/T - 1)^2, so that it differs from the null at
    its end by the variance 2/7 of the rate times T, and two vertices by twice that and the time
    between the scans. Neighbouring differences are alike, which costs a fifth of their degrees of
    freedom.

    Args:
        scans: at least 4, in their order.
        now_s: the clock, in s.
    """
    nulls = np.array([scan.null_v for scan in scans])
    lengths = np.array([scan.end_s - scan.begin_s for scan in scans])
    gaps = np.array([scans[k + 1].begin_s - scans[k].end_s for k in range(len(scans) - 1)])
    spans = _WINDOW_AFTER * (lengths[:-1] + lengths[1:]) + gaps
    rate = float((np.diff(nulls) ** 2).sum() / spans.sum())
    since_s = _WINDOW_AFTER * float(lengths[-1]) + now_s - scans[-1].end_s
    return normal(
        float(nulls[-1]),
        math.sqrt(rate * since_s),
        degrees_of_freedom=(len(scans) - 1) / _LIKENESS,
    )
