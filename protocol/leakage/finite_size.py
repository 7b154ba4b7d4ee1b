"""Weight leakage certified from a finite number of tested symbols.

The test gives estimates of T and eps with statistical errors; the certificate replaces each by its
worst value at a stated failure probability and feeds those into `protocol.leakage.verified`, which
grows with eps and with loss. Failure probabilities add: a certificate from three bounds that each
fail with 1e-6 fails with up to 3e-6. `confidence_multiplier` splits a joint confidence.

Assumes on top of `protocol.leakage.verified`: the tested symbols are a fair sample, their noise is
Gaussian and independent from symbol to symbol. Parameter estimation only: no composable proof.
Source: Leverrier, Grosshans, Grangier, Phys. Rev. A 81, 062343 (2010), arXiv 1005.0339.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.verified import (
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
)

__all__ = [
    "ChannelBounds",
    "ChannelEstimate",
    "VarianceLaw",
    "channel_bounds",
    "confidence_multiplier",
    "excess_noise_upper_bound_snu",
    "weight_bits_client_certified_complex",
    "weight_bits_client_certified_real",
]

VarianceLaw: TypeAlias = Literal["normal", "chi_square"]


@dataclass(frozen=True, kw_only=True)
class ChannelEstimate:
    """What the server's test of the returned light found; point estimates, errors not included.

    Attributes:
        transmittance: power transmittance of the mean, the squared slope of the return on the
            known means; >= 0, and by chance above 1.
        excess_noise_x_snu: returned X variance around the known mean, less 1; above -1, and by
            chance below 0.
        excess_noise_p_snu: the same for P.
        tested_symbols_x: symbols whose X was tested; 0 for channel values that are not from a
            test (a prediction), which give asymptotic figures only.
        tested_symbols_p: symbols whose P was tested; 0 when P was not tested.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    transmittance: float = 1.0
    excess_noise_x_snu: float = 0.0
    excess_noise_p_snu: float = 0.0
    tested_symbols_x: int = 0
    tested_symbols_p: int = 0

    def __post_init__(self) -> None:
        _checks.non_negative("estimated transmittance", self.transmittance)
        _checks.positive("estimated variance of X", 1 + self.excess_noise_x_snu, "SNU")
        _checks.positive("estimated variance of P", 1 + self.excess_noise_p_snu, "SNU")
        _checks.count("number of tested X symbols", self.tested_symbols_x, minimum=0)
        _checks.count("number of tested P symbols", self.tested_symbols_p, minimum=0)


@dataclass(frozen=True, kw_only=True)
class ChannelBounds:
    """Worst-case channel compatible with a test.

    Attributes:
        transmittance: lower bound of T, in [0, 1].
        excess_noise_x_snu: upper bound of eps of X at the channel's output, >= 0.
        excess_noise_p_snu: the same for P; None when P was not tested.
    """

    transmittance: float
    excess_noise_x_snu: float
    excess_noise_p_snu: float | None


def confidence_multiplier(confidence: float, bounds: int = 1) -> float:
    """One-sided normal multiplier z such that `bounds` bounds hold together with `confidence`.

    z = 4.75 for one bound at a failure probability of 1e-6. The failure probability is split
    evenly over the bounds.

    Args:
        confidence: joint confidence, in (0, 1), such as 1 - 1e-6.
        bounds: number of one-sided bounds that must all hold, at least 1.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    level = _checks.open_fraction("confidence", confidence)
    failure = (1 - level) / _checks.count("number of bounds", bounds)
    return -NormalDist().inv_cdf(failure)


def excess_noise_upper_bound_snu(
    excess_noise_snu: float,
    tested_symbols: int,
    multiplier: float,
    variance_law: VarianceLaw = "normal",
) -> float:
    """Upper bound of an excess noise estimated from n symbols with known mean.

    "normal": eps + z sqrt(2/n) (1 + eps), the usual large-n form; at n = 1e4 and z = 4.75 its
    shift is 5 % too small, so that it fails almost three times as often as stated. "chi_square",
    the safe one: the variance divided by (1 - 2/(9n) - z sqrt(2/(9n)))^3, its chi-square quantile
    over n in the approximation of Wilson and Hilferty (1931).

    Args:
        excess_noise_snu: estimate, above -1.
        tested_symbols: n >= 1.
        multiplier: z > 0 of `confidence_multiplier`.
        variance_law: which of the two.

    Raises:
        ConfigurationError: an argument is out of range, n is too small for any bound at z, or the
            bound is below vacuum (the shot-noise calibration is wrong).
    """
    variance = _checks.positive("estimated variance", 1 + excess_noise_snu, "SNU")
    n = _checks.count("number of tested symbols", tested_symbols)
    z = _checks.positive("confidence multiplier", multiplier)
    if variance_law not in ("normal", "chi_square"):
        raise ConfigurationError(
            f"leakage: variance law {variance_law!r} is unknown; use 'normal' or 'chi_square'."
        )
    if variance_law == "normal":
        bound = excess_noise_snu + z * math.sqrt(2 / n) * variance
    else:
        root = 1 - 2 / (9 * n) - z * math.sqrt(2 / (9 * n))
        if root <= 0:
            raise ConfigurationError(
                f"leakage: {n} tested symbols cannot bound an excess noise at z = {z:.2f}. "
                "Test more symbols or lower the confidence."
            )
        bound = variance / root**3 - 1
    if bound < 0:
        raise ConfigurationError(
            f"leakage: the returned light has an excess noise of at most {bound:.3g} SNU at "
            f"z = {z:.2f}, below vacuum (0 SNU). Repeat the shot-noise calibration of the "
            "verification receiver."
        )
    return bound


def channel_bounds(
    estimate: ChannelEstimate,
    photons_per_symbol: float,
    encoding: Encoding,
    *,
    multiplier: float,
    variance_law: VarianceLaw = "normal",
) -> ChannelBounds:
    """Worst-case T and eps from a test, each at the one-sided multiplier z.

    The slope sqrt(T) comes from the regression of the return on the known means: its standard
    deviation is sqrt((1 + eps)/(n var)), var = 4 mu over the X symbols for the real encoding,
    2 mu over the X and the P symbols together for the complex one (eps is the estimate with the
    normal law, its upper bound with the chi-square law). A lower bound below zero becomes T = 0,
    which certifies no more than a client who keeps everything.

    Args:
        estimate: the test's result, with at least one tested X symbol.
        photons_per_symbol: mu of one transmission, above 0 (not K mu).
        encoding: "real" or "complex"; complex needs tested P symbols.
        multiplier: z > 0 of `confidence_multiplier`.
        variance_law: see `excess_noise_upper_bound_snu`.

    Raises:
        ConfigurationError: an argument is out of range, too few symbols were tested, or the
            return is brighter than what was sent beyond its error.
    """
    n_x, n_p = estimate.tested_symbols_x, estimate.tested_symbols_p
    if n_x < 1 or (encoding == "complex" and n_p < 1):
        raise ConfigurationError(
            f"leakage: {n_x} X and {n_p} P symbols were tested; a certificate needs X symbols, "
            "and for the complex encoding P symbols too. Test some or quote asymptotic figures."
        )
    eps_x = excess_noise_upper_bound_snu(estimate.excess_noise_x_snu, n_x, multiplier, variance_law)
    eps_p = None
    if n_p > 0:
        eps_p = excess_noise_upper_bound_snu(
            estimate.excess_noise_p_snu, n_p, multiplier, variance_law
        )
    # The noise behind the slope's error: the estimate in the large-n form, else its bound.
    safe = variance_law == "chi_square"
    weight = n_x / (1 + (eps_x if safe else estimate.excess_noise_x_snu))
    if weights_per_mode(encoding) == 2 and eps_p is not None:
        weight += n_p / (1 + (eps_p if safe else estimate.excess_noise_p_snu))
    slope_error = 1 / math.sqrt(weight * signal_variance_snu(photons_per_symbol, encoding))
    slope = max(0.0, math.sqrt(estimate.transmittance) - multiplier * slope_error)
    if slope > 1:
        raise ConfigurationError(
            f"leakage: the return's transmittance is at least {slope**2:.4g} at "
            f"z = {multiplier:.2f}, above 1: brighter than what was sent. Repeat the calibration "
            "of the sent amplitudes, or treat the line as amplified and abort."
        )
    return ChannelBounds(transmittance=slope**2, excess_noise_x_snu=eps_x, excess_noise_p_snu=eps_p)


def weight_bits_client_certified_real(photons_per_symbol: float, bounds: ChannelBounds) -> float:
    """Client or eavesdropper under a finite test, real encoding; bits per weight.

    Holds with the confidence of `bounds`. Assumes: see the module. When P was not tested this is
    the bound against a client who measures X without demolition.

    Args:
        photons_per_symbol: mu at launch; K mu for K repetitions of the same weights.
        bounds: the result of `channel_bounds`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    if bounds.excess_noise_p_snu is None:
        return weight_bits_client_x_only_tested_real(
            photons_per_symbol, bounds.transmittance, bounds.excess_noise_x_snu
        )
    return weight_bits_client_verified_real(
        photons_per_symbol,
        bounds.transmittance,
        bounds.excess_noise_x_snu,
        bounds.excess_noise_p_snu,
    )


def weight_bits_client_certified_complex(photons_per_symbol: float, bounds: ChannelBounds) -> float:
    """Client or eavesdropper under a finite test, complex encoding; bits per complex symbol.

    Holds with the confidence of `bounds`; halve it for one real weight. Assumes: see the module.

    Args:
        photons_per_symbol: mu per complex symbol at launch; K mu for K repetitions.
        bounds: the result of `channel_bounds`, with P tested.

    Raises:
        ConfigurationError: an argument is out of range or P was not tested.
    """
    if bounds.excess_noise_p_snu is None:
        raise ConfigurationError(
            "leakage: P of the return was not tested; with the complex encoding half of the "
            "weights are on P. Test both quadratures."
        )
    return weight_bits_client_verified_complex(
        photons_per_symbol,
        bounds.transmittance,
        bounds.excess_noise_x_snu,
        bounds.excess_noise_p_snu,
    )
