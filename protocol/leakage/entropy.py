"""Entropies, in bits, that the leakage formulas are built from, safe at tiny arguments.

All for Gaussian states in shot-noise units (vacuum variance 1). The entropy of a mode with
symplectic eigenvalue nu is g((nu - 1)/2): feeding nu itself to g is a known mistake, which turns
0.0874 bit into 2.020 bit. The functions here take the mean thermal photon number (nu - 1)/2, or
nu^2 - 1, by name, because near vacuum the 1 must never be added and taken off again.

Source: Weedbrook et al., Gaussian quantum information, Rev. Mod. Phys. 84, 621 (2012),
arXiv 1110.3234.
"""

import math

from protocol.leakage import _checks

__all__ = [
    "binary_entropy_bits",
    "excess_noise_to_thermal_photons",
    "gaussian_channel_bits",
    "log1p_minus_argument",
    "mode_entropy_slope",
    "thermal_entropy_bits",
    "two_mode_entropy_bits",
    "two_mode_entropy_slopes",
    "two_mode_entropy_unchecked",
]

_SERIES_BELOW = 1e-2
_LN_2 = math.log(2)
_TWO_LN_2 = 2 * _LN_2


def thermal_entropy_bits(thermal_photons: float) -> float:
    """Entropy of a thermal mode, g(n) = (n+1) log2(n+1) - n log2 n.

    Args:
        thermal_photons: mean photon number n = (nu - 1)/2 >= 0, nu the symplectic eigenvalue in
            shot-noise units. Not nu.

    Raises:
        ConfigurationError: negative, infinite or NaN.
    """
    return _thermal_bits(_checks.non_negative("mean thermal photon number", thermal_photons))


def excess_noise_to_thermal_photons(excess_x_snu: float, excess_p_snu: float) -> float:
    """Thermal photons (nu - 1)/2 of a mode with covariance diag(1 + excess_x, 1 + excess_p).

    nu = sqrt((1 + excess_x)(1 + excess_p)); evaluated without forming nu - 1.

    Args:
        excess_x_snu: variance of X above vacuum, >= 0, in shot-noise units.
        excess_p_snu: variance of P above vacuum, >= 0, in shot-noise units.

    Raises:
        ConfigurationError: either is negative, infinite or NaN.
    """
    x = _checks.non_negative("excess noise of X", excess_x_snu, "SNU")
    p = _checks.non_negative("excess noise of P", excess_p_snu, "SNU")
    return _thermal_photons(x + p + x * p)


def two_mode_entropy_bits(sum_of_excess: float, product_of_excess: float) -> float:
    """Entropy of a two-mode Gaussian state from its two values of nu^2 - 1.

    Args:
        sum_of_excess: (nu_1^2 - 1) + (nu_2^2 - 1) >= 0, which is Delta - 2 with Delta the
            seralian det A + det B + 2 det C.
        product_of_excess: (nu_1^2 - 1)(nu_2^2 - 1) >= 0, which is det(gamma) - Delta + 1.

    Raises:
        ConfigurationError: an argument is negative, infinite or NaN (an unphysical state).
    """
    return two_mode_entropy_unchecked(
        _checks.non_negative("sum of nu^2 - 1", sum_of_excess),
        _checks.non_negative("product of nu^2 - 1", product_of_excess),
    )


def two_mode_entropy_unchecked(sum_of_excess: float, product_of_excess: float) -> float:
    """`two_mode_entropy_bits` for searches whose arguments are finite and >= 0 by construction."""
    larger, smaller, _ = _excesses(sum_of_excess, product_of_excess)
    return _thermal_bits(_thermal_photons(larger)) + _thermal_bits(_thermal_photons(smaller))


def two_mode_entropy_slopes(sum_of_excess: float, product_of_excess: float) -> tuple[float, float]:
    """Derivatives of `two_mode_entropy_bits` by its sum and by its product; unchecked as well.

    With s(x) the entropy of a mode with nu^2 - 1 = x and x_1 >= x_2 the two of them, they are
    (x_1 s'(x_1) - x_2 s'(x_2))/(x_1 - x_2) and (s'(x_2) - s'(x_1))/(x_1 - x_2), where
    s'(x) = artanh(1/nu)/(2 nu ln 2).

    Args:
        sum_of_excess: finite and >= 0.
        product_of_excess: finite and >= 0; at 0 the slope by it is infinite.
    """
    larger, smaller, apart = _excesses(sum_of_excess, product_of_excess)
    if smaller == 0:
        return mode_entropy_slope(larger), math.inf
    of_larger, of_smaller = mode_entropy_slope(larger), mode_entropy_slope(smaller)
    if apart > larger / 2:
        by_product = (of_smaller - of_larger) / apart
    else:
        # Two slopes almost alike: artanh(a) - artanh(b) = artanh((a - b)/(1 - a b)).
        one, two = math.sqrt(1 + larger), math.sqrt(1 + smaller)
        per_apart = (one * two + 1) / ((one + two) * (sum_of_excess + product_of_excess))
        step = per_apart * apart
        per_apart *= math.atanh(step) / step if step > 0 else 1.0
        by_product = per_apart / one / _TWO_LN_2 + of_smaller / ((one + two) * one)
    return of_larger - smaller * by_product, by_product


def mode_entropy_slope(excess: float) -> float:
    """Derivative of a mode's entropy by nu^2 - 1 = x, artanh(1/nu)/(2 nu ln 2); unchecked.

    Args:
        excess: x, finite and >= 0, where the slope is infinite.
    """
    if excess == 0:
        return math.inf
    nu = math.sqrt(1 + excess)
    # artanh(1/nu) = ln((1 + nu)^2/x)/2; each form where nothing cancels.
    if excess > 1:
        return math.atanh(1 / nu) / (nu * _TWO_LN_2)
    return (math.log1p(nu) - math.log(excess) / 2) / (nu * _TWO_LN_2)


def binary_entropy_bits(probability: float) -> float:
    """Entropy of a coin, h2(p) = -p log2 p - (1-p) log2(1-p), exact also at tiny p.

    Raises:
        ConfigurationError: `probability` is not in [0, 1].
    """
    p = _checks.fraction("probability", probability)
    if p in (0.0, 1.0):
        return 0.0
    return -(p * math.log(p) + (1 - p) * math.log1p(-p)) / math.log(2)


def gaussian_channel_bits(snr: float) -> float:
    """Shannon's capacity of a real Gaussian channel, 0.5 log2(1 + SNR), bits per use.

    Raises:
        ConfigurationError: `snr` is negative, infinite or NaN.
    """
    return math.log1p(_checks.non_negative("signal-to-noise ratio", snr)) / (2 * math.log(2))


def log1p_minus_argument(value: float) -> float:
    """ln(1 + z) - z for z >= 0, by its series where the difference would cancel.

    Raises:
        ConfigurationError: `value` is negative, infinite or NaN.
    """
    z = _checks.non_negative("argument of ln(1 + z) - z", value)
    if z > _SERIES_BELOW:
        return math.log1p(z) - z
    return math.fsum((-1) ** (k + 1) * z**k / k for k in range(2, 10))


def _thermal_photons(nu_squared_minus_one: float) -> float:
    """(nu - 1)/2 from nu^2 - 1 >= 0."""
    return nu_squared_minus_one / (1 + math.sqrt(1 + nu_squared_minus_one)) / 2


def _excesses(total: float, product: float) -> tuple[float, float, float]:
    """The larger and the smaller nu^2 - 1, and how far they are apart."""
    # Rounding can push the discriminant of two equal eigenvalues just below zero.
    apart = math.sqrt(max(0.0, total * total - 4 * product))
    larger = (total + apart) / 2
    return larger, product / larger if larger > 0 else 0.0, apart


def _thermal_bits(photons: float) -> float:
    """g(n) for a finite n >= 0."""
    if photons == 0:
        return 0.0
    # log1p(1/n) would overflow for subnormal n; the difference of logarithms would cancel at
    # large n. Both forms equal ln((n + 1)/n).
    n = photons
    ratio = math.log1p(1 / n) if n > 1 else math.log1p(n) - math.log(n)
    return (math.log1p(n) + n * ratio) / _LN_2
