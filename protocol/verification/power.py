"""Power of the tests: how many symbols show a deviation, with which probability.

Every function is the law of the statistic under the attack, cut at the limits of the honest law
with the false-alarm probability alpha. Two-sided unless it says otherwise.
Lehmann and Romano, Testing Statistical Hypotheses, chapter 3; chi-square and F laws as in Johnson,
Kotz and Balakrishnan, Continuous Univariate Distributions.
"""

import math
from collections.abc import Callable

from scipy.special import ndtr, ndtri
from scipy.stats import binom, chi2
from scipy.stats import f as f_law

from drivers.errors import ConfigurationError

__all__ = [
    "allowed_count",
    "count_power",
    "gain_power",
    "symbols_for_gain",
    "symbols_for_power",
    "symbols_for_vacuum",
    "vacuum_power",
    "variance_power",
]

_LARGEST = 1 << 50


def gain_power(
    symbols: float,
    gain: float,
    photons_per_symbol: float,
    alpha: float,
    *,
    variance_snu: float = 1.0,
) -> float:
    """Power of the regression of the returned on the launched X.

    The estimate has the variance v/(4 mu n) around the gain; the limit is set for v = 1.

    Args:
        symbols: n, tested in X.
        gain: of the tampered light, relative to the honest one.
        photons_per_symbol: mu at launch, real encoding.
        alpha: two-sided false-alarm probability.
        variance_snu: v of the tampered light.
    """
    _check_alpha(alpha)
    limit = -ndtri(alpha / 2)
    shift = (gain - 1) * math.sqrt(4 * photons_per_symbol * symbols)
    scale = math.sqrt(variance_snu)
    return float(ndtr((shift - limit) / scale) + ndtr((-shift - limit) / scale))


def variance_power(
    symbols: float,
    ratio: float,
    alpha: float,
    *,
    lower_tail_only: bool = False,
) -> float:
    """Power of the chi-square test of a variance.

    Args:
        symbols: n, degrees of freedom.
        ratio: variance over the honest one, 1 + eps.
        alpha: false-alarm probability.
        lower_tail_only: only a variance below the honest one is an alarm.
    """
    _check_alpha(alpha)
    if not ratio > 0:
        raise ConfigurationError(f"variance ratio is {ratio}, it must be above 0")
    tail = alpha if lower_tail_only else alpha / 2
    power = float(chi2.cdf(chi2.ppf(tail, symbols) / ratio, symbols))
    if not lower_tail_only:
        power += float(chi2.sf(chi2.isf(tail, symbols) / ratio, symbols))
    return power


def vacuum_power(slots: float, ratio: float, alpha: float) -> float:
    """Power of the F test of interleaved vacuum slots against as many reference ones.

    Args:
        slots: of either kind.
        ratio: variance of the interleaved over that of the reference slots.
        alpha: two-sided false-alarm probability.
    """
    _check_alpha(alpha)
    low = f_law.cdf(f_law.ppf(alpha / 2, slots, slots) / ratio, slots, slots)
    high = f_law.sf(f_law.isf(alpha / 2, slots, slots) / ratio, slots, slots)
    return float(low + high)


def count_power(trials: int, honest_rate: float, rate: float, alpha: float) -> float:
    """Power of counting events, such as values at the rails of the digitiser, binomial.

    Args:
        trials: chances for an event.
        honest_rate: probability of an event for an honest party.
        rate: likewise under the attack.
        alpha: false-alarm probability; counts are whole, so the true one is at most this.
    """
    _check_alpha(alpha)
    return float(binom.sf(allowed_count(trials, honest_rate, alpha), trials, rate))


def allowed_count(trials: int, honest_rate: float, alpha: float) -> int:
    """Largest count that is no alarm: more than this has a probability of at most alpha.

    Args:
        trials: chances for an event.
        honest_rate: probability of an event for an honest party.
        alpha: false-alarm probability.
    """
    _check_alpha(alpha)
    if not 0 <= honest_rate <= 1:
        raise ConfigurationError(f"honest_rate is {honest_rate}, it must lie in [0, 1]")
    return int(binom.isf(alpha, trials, honest_rate))


def symbols_for_power(power_at: Callable[[float], float], power: float) -> float:
    """Smallest whole number of symbols with at least `power`.

    Args:
        power_at: power as a growing function of the number.
        power: wanted, in (0, 1).

    Raises:
        ConfigurationError: `power` out of range, or no number below 2^50 has it.
    """
    if not 0 < power < 1:
        raise ConfigurationError(f"power is {power}, it must lie in (0, 1)")
    high = 2
    while power_at(high) < power:
        high *= 2
        if high > _LARGEST:
            raise ConfigurationError(
                f"no number of symbols up to {_LARGEST:.2g} reaches the power {power}: the test "
                "does not see this deviation"
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return float(high)


def symbols_for_gain(
    gain: float, photons_per_symbol: float, *, alpha: float, power: float
) -> float:
    """Symbols of the one-sided mean test, (z_alpha + z_beta)^2/((1 - gain)^2 4 mu)."""
    _check_alpha(alpha)
    scores = ndtri(1 - alpha) + ndtri(power)
    return float(scores**2 / ((1 - gain) ** 2 * 4 * photons_per_symbol))


def symbols_for_vacuum(ratio: float, *, alpha: float, power: float) -> float:
    """Vacuum slots of the one-sided F test, 4 (z_alpha + z_beta)^2/ln(ratio)^2."""
    _check_alpha(alpha)
    scores = ndtri(1 - alpha) + ndtri(power)
    return float(4 * scores**2 / math.log(ratio) ** 2)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in (0, 0.5)")
