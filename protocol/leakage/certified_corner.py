"""The bound at the worst channel of a box of guard intervals, one per estimated number.

More noise is worse, and so is more loss in both quadratures alike: an adversary can make either. So
the worst channel has the most noise, and at least one of its gains is the smallest: any other
could lose light until one is. Unlike gains need not be worse, and some no channel has: where both
are seen, the two edges are searched.
"""

import math
from collections.abc import Callable

from drivers.errors import ConfigurationError
from protocol.leakage.certified_statistics import EstimatedQuadrature
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general

__all__ = ["worst_corner_bits"]

_POINTS = 17
_ROUNDS = 4


def worst_corner_bits(
    modulation_x_snu: float,
    modulation_p_snu: float,
    x: EstimatedQuadrature,
    p: EstimatedQuadrature | None,
    *,
    gain_p_seen: bool = False,
) -> float:
    """Bits per optical symbol, at most, while all guard intervals hold.

    Args:
        modulation_x_snu: all copies.
        modulation_p_snu: all copies; 0 for the real encoding.
        x: what was estimated of X.
        p: of P; None where P was never tested.
        gain_p_seen: whether known displacements of P showed its gain.

    Raises:
        ConfigurationError: no quantum channel lies in the box.
    """
    if not all(math.isfinite(part.variance_error) for part in (x, p) if part is not None):
        return math.inf

    def bits(gain_x: float, gain_p: float) -> float:
        channel = ReturnedChannel(
            gain_x=gain_x,
            gain_p=gain_p,
            excess_noise_x_snu=x.excess_noise_region[1],
            excess_noise_p_snu=None if p is None else p.excess_noise_region[1],
        )
        return weight_bits_general(
            modulation_x_snu, modulation_p_snu, channel, gain_p_seen=gain_p_seen
        )

    (low_x, high_x), both = x.gain_interval, modulation_p_snu > 0 or gain_p_seen
    if p is None or not both:
        return bits(low_x, 0.0)
    low_p, high_p = p.gain_interval
    return max(
        _largest(lambda gain: bits(gain, low_p), low_x, high_x),
        _largest(lambda gain: bits(low_x, gain), low_p, high_p),
    )


def _largest(function: Callable[[float], float], low: float, high: float) -> float:
    """Largest value on [low, high], looked for ever closer; where no channel is, nothing."""
    best, refusal = -math.inf, None
    for _ in range(_ROUNDS):
        step = (high - low) / (_POINTS - 1)
        centre = low
        for index in range(_POINTS):
            gain = low + index * step
            try:
                value = function(gain)
            except ConfigurationError as error:
                refusal = error
                continue
            if value > best:
                best, centre = value, gain
        low, high = max(low, centre - step), min(high, centre + step)
    if refusal is not None and not math.isfinite(best):
        raise refusal
    return best
