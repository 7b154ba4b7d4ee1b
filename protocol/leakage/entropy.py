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
from protocol.leakage._entropies import thermal_bits, thermal_photons, two_mode_bits

__all__ = [
    "binary_entropy_bits",
    "excess_noise_to_thermal_photons",
    "gaussian_channel_bits",
    "log1p_minus_argument",
    "thermal_entropy_bits",
    "two_mode_entropy_bits",
]

_SERIES_BELOW = 1e-2


def thermal_entropy_bits(thermal_photons: float) -> float:
    """Entropy of a thermal mode, g(n) = (n+1) log2(n+1) - n log2 n.

    Args:
        thermal_photons: mean photon number n = (nu - 1)/2 >= 0, nu the symplectic eigenvalue in
            shot-noise units. Not nu.

    Raises:
        ConfigurationError: negative, infinite or NaN.
    """
    return thermal_bits(_checks.non_negative("mean thermal photon number", thermal_photons))


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
    return thermal_photons(x + p + x * p)


def two_mode_entropy_bits(sum_of_excess: float, product_of_excess: float) -> float:
    """Entropy of a two-mode Gaussian state from its two values of nu^2 - 1.

    Args:
        sum_of_excess: (nu_1^2 - 1) + (nu_2^2 - 1) >= 0, which is Delta - 2 with Delta the
            seralian det A + det B + 2 det C.
        product_of_excess: (nu_1^2 - 1)(nu_2^2 - 1) >= 0, which is det(gamma) - Delta + 1.

    Raises:
        ConfigurationError: an argument is negative, infinite or NaN (an unphysical state).
    """
    return two_mode_bits(
        _checks.non_negative("sum of nu^2 - 1", sum_of_excess),
        _checks.non_negative("product of nu^2 - 1", product_of_excess),
    )


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
