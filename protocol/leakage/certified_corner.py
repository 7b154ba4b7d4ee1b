"""The bound at the worst channel of a box of guard intervals, one per estimated number.

More noise is worse, and so is more loss in both quadratures alike: an adversary can make either. So
the worst channel has the most noise, and at least one of its gains is the smallest: any other
could lose light until one is. Where both gains are seen, those two edges are searched.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from protocol.leakage.certified_statistics import EstimatedQuadrature
from protocol.leakage.general_bound import (
    ReturnedChannel,
    possible_other_gains,
    weight_bits_general,
)

__all__ = ["BitsOfChannel", "worst_corner_bits"]

BitsOfChannel: TypeAlias = Callable[[ReturnedChannel], float]
"""Bits per optical symbol that an adversary behind a channel has: no fewer with less gain of both
quadratures alike, no fewer with more noise."""

_POINTS = 17
_ROUNDS = 4
_EDGE = 1e-9


def worst_corner_bits(
    modulation_x_snu: float,
    modulation_p_snu: float,
    x: EstimatedQuadrature,
    p: EstimatedQuadrature | None,
    *,
    gain_p_seen: bool = False,
    enough: float = math.inf,
    leaked: BitsOfChannel | None = None,
) -> float:
    """Bits per optical symbol, at most, while all guard intervals hold.

    Args:
        modulation_x_snu: all copies.
        modulation_p_snu: all copies; 0 for the real encoding.
        x: what was estimated of X.
        p: of P; None where P was never tested.
        gain_p_seen: whether known displacements of P showed its gain.
        enough: bits above which the search ends: any such value says that a corner is no better.
        leaked: bits behind a channel of the gains and noises of `x` and `p`; None for
            `weight_bits_general` at these modulations.

    Raises:
        ConfigurationError: no quantum channel lies in the box.
    """
    if not all(math.isfinite(part.variance_error) for part in (x, p) if part is not None):
        return math.inf
    e_x = x.excess_noise_region[1]
    e_p = None if p is None else p.excess_noise_region[1]

    def bits(gain_x: float, gain_p: float) -> float:
        channel = ReturnedChannel(
            gain_x=gain_x, gain_p=gain_p, excess_noise_x_snu=e_x, excess_noise_p_snu=e_p
        )
        if leaked is not None:
            return leaked(channel)
        return weight_bits_general(
            modulation_x_snu, modulation_p_snu, channel, gain_p_seen=gain_p_seen
        )

    (low_x, high_x), both = x.gain_interval, modulation_p_snu > 0 or gain_p_seen
    if p is None or e_p is None or not both:
        return bits(low_x, 0.0)
    low_p, high_p = p.gain_interval
    beside_x = _possible(low_x, e_x, e_p, (low_p, high_p))
    beside_p = _possible(low_p, e_p, e_x, (low_x, high_x))
    if beside_x is None and beside_p is None:
        return bits(low_x, low_p)  # says what is wrong
    best = -math.inf
    if beside_x is not None:
        best = _largest(lambda gain: bits(low_x, gain), beside_x, enough)
    if beside_p is not None and best <= enough:
        best = max(best, _largest(lambda gain: bits(gain, low_p), beside_p, enough))
    return best


def _possible(
    gain: float, excess: float, other_excess: float, interval: tuple[float, float]
) -> tuple[float, float] | None:
    """The part of the other quadrature's interval that the uncertainty principle allows."""
    allowed = possible_other_gains(gain, excess, other_excess)
    if allowed is None:
        return None
    inwards = _EDGE * (allowed[1] - allowed[0])
    low, high = max(interval[0], allowed[0] + inwards), min(interval[1], allowed[1] - inwards)
    return (low, high) if low <= high else None


def _largest(
    function: Callable[[float], float], interval: tuple[float, float], enough: float
) -> float:
    """Largest value on an interval, looked for ever closer; or the first one above `enough`."""
    low, high = interval
    best, centre = -math.inf, low
    for _ in range(_ROUNDS):
        step = (high - low) / (_POINTS - 1)
        for index in range(_POINTS):
            gain = low + index * step
            value = function(gain)
            if value > best:
                best, centre = value, gain
            if best > enough:
                return best
        low, high = max(low, centre - step), min(high, centre + step)
    return best
