"""Weight leakage when the server tests the returned light: asymptotic bounds.

The server knows the means it sent, so the return shows it a transmittance T and excess noises
eps. The secret is the server's weights; the adversary is the client, or an eavesdropper on either
fibre, who made the channel and holds its purification.

Common assumptions: collective Gaussian attacks (the best collective attack on Gaussian weights, for
the observed covariances), infinitely many tested symbols, T and eps known exactly, channel the
same for every symbol, all loss and all excess noise given to the adversary, the server's
transmitter and detectors trusted and ideal, Gaussian weights. Another alphabet of the same
covariance leaks no more to the same Gaussian attack; attacks made to measure for a small alphabet
(unambiguous discrimination), coherent attacks and a composable proof are not covered.

Conventions: shot-noise units. T is the power transmittance of the mean from launch to return;
**eps is referred to the channel's output**: the returned variance around the known mean is 1 + eps
in that quadrature. The excess noise of a receiver that puts ell on one data mode of N is ell/N per
symbol.

Method: entanglement-based picture, direct reconciliation, Holevo's chi = S(AB) - S(B | weights).
Complex encoding: Weedbrook et al., Rev. Mod. Phys. 84, 621 (2012), arXiv 1110.3234. Real encoding:
one modulated quadrature as in Usenko and Grosshans, Phys. Rev. A 92, 062337 (2015),
arXiv 1504.07093.
"""

import math
from collections.abc import Callable

from protocol.leakage import _checks
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.entropy import (
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    thermal_entropy_bits,
    two_mode_entropy_bits,
)

__all__ = [
    "weight_bits_client_verified_complex",
    "weight_bits_client_verified_real",
    "weight_bits_client_x_only_tested_real",
]

_SEARCH_STEPS = 100


def weight_bits_client_verified_real(
    photons_per_symbol: float,
    transmittance: float,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
) -> float:
    """Client or eavesdropper whose return passed the test in X and P; real encoding; per weight.

    The purification is an entangled pair of variance V = sqrt(1 + 4 mu) whose sent half is
    squeezed to variances (V^2, 1). The X correlation is observed, sqrt(T V (V^2 - 1)); the P
    correlation c_p is not, because P carries no signal: S(AB) takes its largest value over every
    c_p that a physical state allows. S(B|w) = g((sqrt((1 + eps_x)(1 + eps_p)) - 1)/2).

    Assumes: see the module (asymptotic, collective Gaussian, loss and noise not trusted). P must
    really have been tested, on symbols picked after the return; otherwise use
    `weight_bits_client_x_only_tested_real`.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        transmittance: T of the X mean, in [0, 1]; 0 is a client who returns nothing.
        excess_noise_x_snu: eps of X at the channel's output, >= 0.
        excess_noise_p_snu: eps of P at the channel's output, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    modulation = signal_variance_snu(photons_per_symbol, "real")
    t, eps_x, eps_p = _channel(transmittance, excess_noise_x_snu, excess_noise_p_snu)
    entangled = math.sqrt(1 + modulation)
    # Everything is written for nu^2 - 1, with c_p = -centre + offset and |offset| <= reach the
    # physical range, so that nothing cancels when mu and eps are small.
    noise_product = eps_x + eps_p + eps_x * eps_p
    determinant_x = entangled * (1 + eps_x)
    correlation_x = math.sqrt(t * entangled * modulation)
    added_x = (1 - t) + eps_x
    reach = math.sqrt(entangled * modulation * added_x * noise_product) / determinant_x
    centre_sum = modulation * ((1 - t) + t * (eps_p + 2 * eps_x / (1 + eps_x))) + noise_product

    def joint_entropy(offset: float) -> float:
        total = centre_sum + 2 * correlation_x * offset
        product = determinant_x * (reach - offset) * (reach + offset)
        # Both are >= 0 for a physical state; rounding at the edge may say -1e-20.
        return two_mode_entropy_bits(max(0.0, total), max(0.0, product))

    joint = _largest_of_concave(joint_entropy, -reach, reach)
    return _holevo(joint, eps_x, eps_p)


def weight_bits_client_verified_complex(
    photons_per_symbol: float,
    transmittance: float,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
) -> float:
    """Client or eavesdropper whose return passed the test in X and P; complex encoding.

    Bits per complex symbol; halve it for one real weight. Entangled pair of variance
    V = 1 + 2 mu, both correlations observed as sqrt(T (V^2 - 1)) up to sign, heterodyne on the
    kept half: S(B|w) = g((sqrt((1 + eps_x)(1 + eps_p)) - 1)/2). With eps_x = eps_p this is the
    entangling cloner.

    Assumes: see the module (asymptotic, collective Gaussian, loss and noise not trusted); the same
    T in both quadratures.

    Args:
        photons_per_symbol: mu, mean photons per complex symbol at launch, above 0.
        transmittance: T of the mean, in [0, 1].
        excess_noise_x_snu: eps of X at the channel's output, >= 0.
        excess_noise_p_snu: eps of P at the channel's output, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    m = signal_variance_snu(photons_per_symbol, "complex")
    t, eps_x, eps_p = _channel(transmittance, excess_noise_x_snu, excess_noise_p_snu)
    eps_sum, eps_product, loss = eps_x + eps_p, eps_x * eps_p, 1 - t
    # Delta - 2 and det - Delta + 1, expanded by hand: every term is >= 0.
    total = m * m * loss * loss + 2 * m * loss + eps_sum * (1 + t * m) + eps_product
    product = m * (m + 2) * (loss * eps_sum + eps_product)
    return _holevo(two_mode_entropy_bits(total, product), eps_x, eps_p)


def weight_bits_client_x_only_tested_real(
    photons_per_symbol: float, transmittance: float = 1.0, excess_noise_x_snu: float = 0.0
) -> float:
    """Client or eavesdropper when only X of the return is tested; real encoding; per weight.

    With P untested a quantum non-demolition measurement of X (or homodyne and resend of
    X-squeezed light) passes every test at T = 1 and eps = 0 and reads 0.5 log2(1 + 4 mu). The
    bound is the limit eps_p -> infinity of `weight_bits_client_verified_real`:
    0.5 log2(1 + 4 mu T/(1 + eps)) + g((sqrt(1 + q) - 1)/2),
    q = 4 mu (1 - T + eps)/(1 + eps + 4 mu T).

    Assumes: see the module (asymptotic, collective Gaussian); nothing whatever known about P.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        transmittance: T of the X mean, in [0, 1].
        excess_noise_x_snu: eps of X at the channel's output, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    modulation = signal_variance_snu(photons_per_symbol, "real")
    t, eps_x, _ = _channel(transmittance, excess_noise_x_snu, 0.0)
    returned = modulation * t
    hidden = modulation * ((1 - t) + eps_x) / (1 + eps_x + returned)
    return gaussian_channel_bits(returned / (1 + eps_x)) + thermal_entropy_bits(
        excess_noise_to_thermal_photons(hidden, 0.0)
    )


def _channel(transmittance: float, eps_x: float, eps_p: float) -> tuple[float, float, float]:
    return (
        _checks.fraction("transmittance of the return", transmittance),
        _checks.non_negative("excess noise of the returned X", eps_x, "SNU"),
        _checks.non_negative("excess noise of the returned P", eps_p, "SNU"),
    )


def _holevo(joint_entropy_bits: float, eps_x: float, eps_p: float) -> float:
    conditional = thermal_entropy_bits(excess_noise_to_thermal_photons(eps_x, eps_p))
    # Holevo's quantity is never negative; the difference can round to -1e-17.
    return max(0.0, joint_entropy_bits - conditional)


def _largest_of_concave(function: Callable[[float], float], low: float, high: float) -> float:
    """Largest value of a concave function on [low, high], ends included, by ternary search.

    The entropy of a Gaussian state is concave in its covariance matrix, so there is one maximum.
    """
    largest = max(function(low), function(high))
    for _ in range(_SEARCH_STEPS):
        third = (high - low) / 3
        left, right = function(low + third), function(high - third)
        largest = max(largest, left, right)
        if left < right:
            low += third
        else:
            high -= third
    return largest
