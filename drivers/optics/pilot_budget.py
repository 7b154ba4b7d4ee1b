"""How bright pilots must be, and how dense, for a path's loss and the lasers' linewidths.

Owns the recommendation and the link budget behind it: the probability that the preamble is missed
and the phase error that tracking leaves. With the amplitude gain g of a recorded quadrature and n
photons at launch a pilot has the amplitude A = 2 g sqrt(n) over a noise of variance N per
quadrature, hence the phase variance R = N/A^2. Between pilots every s slots a phase that walks by
q = 2 pi linewidth / symbol rate per slot has, beside what the pilots' noise leaves, the mean error
of a Brownian bridge, q (s + 1)/6 (mean of k (s - k)/s over the slots 1 .. s - 1). The spacing is
the widest for which this is at most two thirds of the target; the photons are the fewest with which
the smoothed error (`phase.smoothed_variance`) meets it, or comes within a quarter of what the
brightest would reach.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import norm

from drivers.errors import ConfigurationError
from drivers.optics.phase import smoothed_variance
from drivers.optics.preamble_search import detection_threshold

__all__ = [
    "LEAST_POWER_SNU",
    "PILOT_SPACINGS",
    "TARGET_VARIANCE_RAD2",
    "PilotAdvice",
    "missed_preamble_probability",
    "phase_error_variance",
    "recommend_pilots",
]

PILOT_SPACINGS = (16, 8, 4, 2)
"""Spacings that are recommended: 6 % to half of the slots are pilots."""

TARGET_VARIANCE_RAD2 = 3e-3
"""Phase error that is aimed at: it adds 3e-3 of the light's X to P and takes 1.5e-3 off a mean."""

LEAST_POWER_SNU = 20.0
"""A^2 that timing and clock need with a margin, at a noise of 1; the search alone needs 1.3."""

_WALK_SHARE = 2 / 3
_NEAR_BEST = 1.25
# Standard deviation of the root of the preamble's statistic, for dim pilots.
_ROOT_DEVIATION = 0.7


@dataclass(frozen=True, kw_only=True)
class PilotAdvice:
    """Pilots for a path.

    Args:
        photons: mean photons of pilot and preamble slots at launch.
        spacing: a pilot every so many slots.
        phase_variance_rad2: predicted error of the phase between pilots.
        amplitude_snu: of a recorded pilot.
        meets_target: False where even the brightest and densest pilots leave a larger error.
    """

    photons: float
    spacing: int
    phase_variance_rad2: float
    amplitude_snu: float
    meets_target: bool


def phase_error_variance(
    *,
    gain: float,
    photons: float,
    spacing: int,
    linewidth_hz: float,
    symbol_rate_hz: float,
    noise_snu: float = 1.0,
) -> float:
    """Mean variance in rad^2 of the phase error between pilots.

    Args:
        gain: mean of a recorded quadrature per launched mean, all losses in.
        photons: of a pilot at launch.
        spacing: slots from pilot to pilot.
        linewidth_hz: of light and oscillator together; 0 where they share a laser.
        symbol_rate_hz: slots per second.
        noise_snu: variance of a recorded vacuum, electronic noise in.
    """
    walk = 2 * math.pi * linewidth_hz / symbol_rate_hz
    # A shared laser still walks by its fibre: the smoother needs a walk to be defined.
    pilot = noise_snu / (4 * gain**2 * photons)
    return float(smoothed_variance(max(walk, 1e-9 * pilot), pilot, spacing)[1:].mean())


def missed_preamble_probability(
    power_snu: float,
    *,
    noise_snu: float = 1.0,
    preamble_slots: int = 511,
    positions: int = 513,
    false_alarm: float = 1e-6,
) -> float:
    """Probability that the search misses a preamble that is there, an upper bound where it matters.

    The root of the statistic T is normal around sqrt(K) r/(1 + r), r = A^2/(2 N) the signal to
    noise ratio of a slot and K products of neighbours. Its standard deviation is 0.53 at r = 1
    and grows to 0.7 at r = 0.45, where one in five is missed; 0.7 is used throughout. The root
    must reach that of the threshold.

    Args:
        power_snu: A^2, square of a preamble slot's mean.
        noise_snu: N, variance of a recorded vacuum per quadrature.
        preamble_slots: K + 1.
        positions: starting samples that are searched.
        false_alarm: of the threshold.
    """
    ratio = power_snu / (2 * noise_snu)
    root = math.sqrt(preamble_slots - 1) * ratio / (1 + ratio)
    threshold = math.sqrt(detection_threshold(positions, false_alarm))
    return float(norm.cdf((threshold - root) / _ROOT_DEVIATION))


def recommend_pilots(
    *,
    gain: float,
    linewidth_hz: float,
    symbol_rate_hz: float,
    noise_snu: float = 1.1,
    target_rad2: float = TARGET_VARIANCE_RAD2,
    brightest_photons: float = 1e6,
    spacings: Sequence[int] = PILOT_SPACINGS,
) -> PilotAdvice:
    """Pilot photons and spacing for a path; the module says by which formula.

    Args:
        gain: mean of a recorded quadrature per launched mean: of the weaker end, which is the
            server's, sqrt(forward (1 - tap) return efficiency), efficiency with its 1/2.
        linewidth_hz: of light and oscillator together; 0 where they share a laser.
        symbol_rate_hz: slots per second.
        noise_snu: variance of a recorded vacuum, electronic noise in.
        target_rad2: phase error that is aimed at.
        brightest_photons: what laser and digitisers allow.
        spacings: to choose from, the widest first.

    Raises:
        ConfigurationError: a value is not a positive number (the linewidth may be 0).
    """
    for name, value in (
        ("gain", gain),
        ("symbol_rate_hz", symbol_rate_hz),
        ("noise_snu", noise_snu),
        ("target_rad2", target_rad2),
        ("brightest_photons", brightest_photons),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"pilots: {name} is {value}, it must be finite and above 0")
    if not (math.isfinite(linewidth_hz) and linewidth_hz >= 0):
        raise ConfigurationError(
            f"pilots: linewidth_hz is {linewidth_hz}, it must be finite and at least 0"
        )

    def error(photons: float, spacing: int) -> float:
        return phase_error_variance(
            gain=gain,
            photons=photons,
            spacing=spacing,
            linewidth_hz=linewidth_hz,
            symbol_rate_hz=symbol_rate_hz,
            noise_snu=noise_snu,
        )

    walk = 2 * math.pi * linewidth_hz / symbol_rate_hz
    wide = [
        spacing for spacing in spacings if walk * (spacing + 1) / 6 <= target_rad2 * _WALK_SHARE
    ]
    spacing = wide[0] if wide else spacings[-1]
    least = min(LEAST_POWER_SNU * noise_snu / (4 * gain**2), brightest_photons)
    aim = max(target_rad2, _NEAR_BEST * error(brightest_photons, spacing))
    photons = _fewest(lambda count: error(count, spacing) <= aim, least, brightest_photons)
    variance = error(photons, spacing)
    return PilotAdvice(
        photons=photons,
        spacing=spacing,
        phase_variance_rad2=variance,
        amplitude_snu=2 * gain * math.sqrt(photons),
        meets_target=variance <= target_rad2 * (1 + 1e-6),
    )


def _fewest(suffice: Callable[[float], bool], least: float, most: float) -> float:
    """The fewest photons that suffice, `most` where none do: bisection on their logarithm."""
    if suffice(least):
        return least
    for _ in range(60):
        middle = math.sqrt(least * most)
        if suffice(middle):
            most = middle
        else:
            least = middle
    return most
