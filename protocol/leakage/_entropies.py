"""Entropies of one and of two modes and their slopes, for searches: nothing is checked here.

Arguments are finite and >= 0 by construction where these are called. The same entropies with their
checks, and the conventions, are in `protocol.leakage.entropy`.
"""

import math

_LN_2 = math.log(2)
_TWO_LN_2 = 2 * _LN_2


def thermal_bits(photons: float) -> float:
    """g(n) of a mean thermal photon number n."""
    if photons == 0:
        return 0.0
    # log1p(1/n) would overflow for subnormal n; the difference of logarithms would cancel at
    # large n. Both forms equal ln((n + 1)/n).
    n = photons
    ratio = math.log1p(1 / n) if n > 1 else math.log1p(n) - math.log(n)
    return (math.log1p(n) + n * ratio) / _LN_2


def thermal_photons(nu_squared_minus_one: float) -> float:
    """(nu - 1)/2 from nu^2 - 1."""
    return nu_squared_minus_one / (1 + math.sqrt(1 + nu_squared_minus_one)) / 2


def mode_slope(excess: float) -> float:
    """Derivative of a mode's entropy by nu^2 - 1 = x: artanh(1/nu)/(2 nu ln 2), infinite at 0."""
    if excess == 0:
        return math.inf
    nu = math.sqrt(1 + excess)
    # artanh(1/nu) = ln((1 + nu)^2/x)/2; each form where nothing cancels.
    if excess > 1:
        return math.atanh(1 / nu) / (nu * _TWO_LN_2)
    return (math.log1p(nu) - math.log(excess) / 2) / (nu * _TWO_LN_2)


def two_mode_bits(total: float, product: float) -> float:
    """Entropy of two modes from the sum and the product of their nu^2 - 1."""
    larger, smaller, _ = _excesses(total, product)
    return thermal_bits(thermal_photons(larger)) + thermal_bits(thermal_photons(smaller))


def two_mode_slopes(total: float, product: float) -> tuple[float, float]:
    """Derivatives of `two_mode_bits` by the sum and by the product, infinite where that is 0.

    With s(x) the entropy of a mode with nu^2 - 1 = x and x_1 >= x_2 the two of them, they are
    (x_1 s'(x_1) - x_2 s'(x_2))/(x_1 - x_2) and (s'(x_2) - s'(x_1))/(x_1 - x_2).
    """
    larger, smaller, apart = _excesses(total, product)
    if smaller == 0:
        return mode_slope(larger), math.inf
    of_larger, of_smaller = mode_slope(larger), mode_slope(smaller)
    if apart > larger / 2:
        by_product = (of_smaller - of_larger) / apart
    else:
        # Two slopes almost alike: artanh(a) - artanh(b) = artanh((a - b)/(1 - a b)).
        one, two = math.sqrt(1 + larger), math.sqrt(1 + smaller)
        per_apart = (one * two + 1) / ((one + two) * (total + product))
        step = per_apart * apart
        per_apart *= math.atanh(step) / step if step > 0 else 1.0
        by_product = per_apart / one / _TWO_LN_2 + of_smaller / ((one + two) * one)
    return of_larger - smaller * by_product, by_product


def _excesses(total: float, product: float) -> tuple[float, float, float]:
    """The larger and the smaller nu^2 - 1, and how far they are apart."""
    # Rounding can push the discriminant of two equal eigenvalues just below zero.
    apart = math.sqrt(max(0.0, total * total - 4 * product))
    larger = (total + apart) / 2
    return larger, product / larger if larger > 0 else 0.0, apart
