"""Weight leakage when the light is not tested: the server's secret against client or thief.

Bits per weight symbol for an adversary who holds the light of a row, or a part of it, and a
memory good enough for any collective measurement.
Holevo's bound with the closed forms for coherent states (Weedbrook et al., arXiv 1110.3234).

Assumed throughout: ideal coherent states; the server's own devices are trusted and leak nothing
else; weights independent from symbol to symbol. `mu` is the mean photon number per symbol at
launch (`protocol.leakage.conventions`). Among all weight distributions of the same mean photon
number the Gaussian one leaks most, so the Gaussian figures bound every other alphabet.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.entropy import (
    binary_entropy_bits,
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    thermal_entropy_bits,
)

__all__ = [
    "PhotonLeakage",
    "photons_for_weight_bits",
    "transmissions_for_weight_bits",
    "weight_bits_client_homodynes_all_real",
    "weight_bits_client_keeps_all_bpsk",
    "weight_bits_client_keeps_all_gaussian_complex",
    "weight_bits_client_keeps_all_gaussian_real",
    "weight_bits_client_keeps_all_uniform_levels",
    "weight_bits_client_keeps_fraction_complex",
    "weight_bits_client_keeps_fraction_real",
    "weight_bits_client_repeated",
]

PhotonLeakage: TypeAlias = Callable[[float], float]
"""A leakage in bits per symbol as a growing function of the mean photon number per symbol."""

_MOST_PHOTONS = 1e30
_BISECTIONS = 200


def weight_bits_client_keeps_all_gaussian_real(photons_per_symbol: float) -> float:
    """Client or thief who keeps all the light: chi(mu) = g((sqrt(1 + 4 mu) - 1)/2), per weight.

    Assumes: Gaussian weights on X (variance 4 mu), any collective measurement of one
    transmission, nothing returned or tested, asymptotic. An upper bound for every real alphabet
    with the same mu.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.

    Raises:
        ConfigurationError: mu is not above 0.
    """
    variance = signal_variance_snu(photons_per_symbol, "real")
    return thermal_entropy_bits(excess_noise_to_thermal_photons(variance, 0.0))


def weight_bits_client_keeps_all_gaussian_complex(photons_per_symbol: float) -> float:
    """Client or thief who keeps all the light: g(mu) bits per complex symbol (two weights).

    Assumes: Gaussian weights on X and P (variance 2 mu each), any collective measurement of one
    transmission, nothing returned or tested, asymptotic. Halve it for one real weight.

    Args:
        photons_per_symbol: mu, mean photons per complex symbol at launch, above 0.

    Raises:
        ConfigurationError: mu is not above 0.
    """
    return thermal_entropy_bits(_checks.positive("mean photons per symbol", photons_per_symbol))


def weight_bits_client_keeps_all_bpsk(photons_per_symbol: float) -> float:
    """Client or thief who keeps all the light: h2((1 - exp(-2 mu))/2), per weight.

    Assumes: weights of two equally likely signs (BPSK) and one magnitude, any collective
    measurement of one transmission, nothing returned or tested.

    Args:
        photons_per_symbol: mu, photons per symbol at launch, above 0.

    Raises:
        ConfigurationError: mu is not above 0.
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    return binary_entropy_bits(-math.expm1(-2 * mu) / 2)


def weight_bits_client_keeps_all_uniform_levels(photons_per_symbol: float, levels: int) -> float:
    """Client or thief who keeps all the light, weights on L equally likely, equally spaced levels.

    The entropy of the Gram matrix exp(-(a_i - a_j)^2/2)/L of the coherent states, per weight.
    Assumes: amplitudes a_i symmetric about 0 with mean square mu, any collective measurement of
    one transmission, nothing returned or tested.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        levels: L, at least 2.

    Raises:
        ConfigurationError: mu is not above 0, or fewer than 2 levels.
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    count = _checks.count("number of weight levels", levels, minimum=2)
    largest = math.sqrt(3 * mu * (count - 1) / (count + 1))
    amplitudes = np.linspace(-largest, largest, count)
    gram = np.exp(-((amplitudes[:, None] - amplitudes[None, :]) ** 2) / 2) / count
    eigenvalues = np.linalg.eigvalsh(gram)
    # A Gram matrix has no negative eigenvalue; what is below zero here is rounding.
    kept = eigenvalues[eigenvalues > 0]
    return float(-np.sum(kept * np.log2(kept)))


def weight_bits_client_homodynes_all_real(photons_per_symbol: float) -> float:
    """Client or thief who homodynes X of all the light: 0.5 log2(1 + 4 mu), per weight.

    Assumes: Gaussian weights on X, an ideal homodyne detector and no quantum memory. Not an upper
    bound: a collective measurement of the same light gets
    `weight_bits_client_keeps_all_gaussian_real`.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.

    Raises:
        ConfigurationError: mu is not above 0.
    """
    return gaussian_channel_bits(signal_variance_snu(photons_per_symbol, "real"))


def weight_bits_client_keeps_fraction_real(
    photons_per_symbol: float, kept_fraction: float
) -> float:
    """Client or thief who keeps a fraction f and sends the rest on uncompensated: chi(f mu).

    Per weight. Assumes: a passive tap of a lossless line (so the return is dimmed by 1 - f),
    Gaussian weights on X, any collective measurement of the tapped light.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        kept_fraction: f, in [0, 1].

    Raises:
        ConfigurationError: mu is not above 0 or f not in [0, 1].
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    kept = _checks.fraction("kept fraction of the light", kept_fraction) * mu
    return weight_bits_client_keeps_all_gaussian_real(kept) if kept > 0 else 0.0


def weight_bits_client_keeps_fraction_complex(
    photons_per_symbol: float, kept_fraction: float
) -> float:
    """Client or thief who keeps a fraction f uncompensated: g(f mu) bits per complex symbol.

    Assumes: a passive tap of a lossless line, Gaussian weights on X and P, any collective
    measurement of the tapped light. Halve it for one real weight.

    Args:
        photons_per_symbol: mu, mean photons per complex symbol at launch, above 0.
        kept_fraction: f, in [0, 1].

    Raises:
        ConfigurationError: mu is not above 0 or f not in [0, 1].
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    kept = _checks.fraction("kept fraction of the light", kept_fraction) * mu
    return weight_bits_client_keeps_all_gaussian_complex(kept) if kept > 0 else 0.0


def weight_bits_client_repeated(
    leakage: PhotonLeakage,
    photons_per_symbol: float,
    repetitions: int,
    *,
    weight_entropy_bits: float | None = None,
) -> float:
    """The adversary of `leakage` after K identical transmissions: leakage(K mu), capped.

    A passive interferometer merges K copies of a coherent state of mu photons into one of K mu,
    so K transmissions are one at K mu: exact for an adversary who keeps light, and the collective
    attack for one under verification. Capped by K times the single value and by the entropy of a
    weight.

    Args:
        leakage: bits per symbol as a function of mu, such as
            `weight_bits_client_keeps_all_gaussian_real`.
        photons_per_symbol: mu of one transmission, above 0.
        repetitions: K >= 1, transmissions of the same weights, over all clients who may collude.
        weight_entropy_bits: H(w) in the unit of `leakage`, above 0; None when it is not known.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    copies = _checks.count("number of repetitions", repetitions)
    bits = min(leakage(copies * mu), copies * leakage(mu))
    if weight_entropy_bits is None:
        return bits
    return min(bits, _checks.positive("entropy of a weight", weight_entropy_bits, "bit"))


def photons_for_weight_bits(bits: float, leakage: PhotonLeakage) -> float:
    """Mean photons per symbol at which the adversary of `leakage` learns `bits`; by bisection.

    Args:
        bits: bits per symbol, above 0.
        leakage: bits per symbol as a growing function of mu.

    Raises:
        ConfigurationError: `bits` is not above 0, or `leakage` never reaches it.
    """
    target = _checks.positive("leakage asked for", bits, "bit")
    low, high = 0.0, 1.0
    while leakage(high) < target:
        low, high = high, 4 * high
        if high > _MOST_PHOTONS:
            raise ConfigurationError(
                f"leakage: {target} bit per symbol is out of reach: the leakage stays below it at "
                f"{_MOST_PHOTONS:.0e} photons. Ask for fewer bits than the alphabet carries."
            )
    for _ in range(_BISECTIONS):
        # Geometric steps once the bracket has left zero: photon numbers span many decades.
        middle = math.sqrt(low * high) if low > 0 else high / 16
        if not low < middle < high:
            break
        if leakage(middle) < target:
            low = middle
        else:
            high = middle
    return high


def transmissions_for_weight_bits(
    bits: float, leakage: PhotonLeakage, photons_per_symbol: float
) -> float:
    """Transmissions K of the same weights after which the adversary of `leakage` has `bits`.

    Not rounded: a budget must take the floor. Uses the accumulation law of
    `weight_bits_client_repeated` without its caps.

    Args:
        bits: bits per symbol, above 0.
        leakage: bits per symbol as a growing function of mu.
        photons_per_symbol: mu of one transmission, above 0.

    Raises:
        ConfigurationError: an argument is out of range or `bits` is never reached.
    """
    mu = _checks.positive("mean photons per symbol", photons_per_symbol)
    return photons_for_weight_bits(bits, leakage) / mu
