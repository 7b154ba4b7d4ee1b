"""Tangent planes of the general bound: linear in the covariance matrix, and nowhere below it.

In the covariance matrix the entries that a test sees are the correlation, which goes with the gain
h, and the variance of the return, h^2 m + v with m the modulation and v the variance about the
known mean. A plane through the bound F at (h_0, v_0) is therefore, per quadrature,

F_0 + F_h (h - h_0) + F_v (v - v_0) + F_v m (h - h_0)^2.

For P that carries a known displacement and no weight, v is the variance about that displacement
and m = 0: the plane is linear in h.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.leakage.certified_search import FIRST_PLACE, worst_by_search
from protocol.leakage.certified_worst import Touch, worst_by_slopes
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_and_slopes

__all__ = ["LeakagePlane", "QuadratureTangent", "worst_planes"]


@dataclass(frozen=True, kw_only=True)
class QuadratureTangent:
    """One quadrature's part of a plane.

    Attributes:
        gain: h_0, where the plane touches.
        variance: v_0, in shot-noise units.
        per_gain: F_h, bits per unit of gain.
        per_variance: F_v, bits per shot-noise unit, >= 0.
        modulation: m, all copies.
        expected_gain: of the honest channel; the slope there is the one errors are weighed with.
    """

    gain: float
    variance: float
    per_gain: float
    per_variance: float
    modulation: float
    expected_gain: float

    def at(self, gain: float) -> float:
        """The part of the plane that depends on the gain, in bits."""
        moved = gain - self.gain
        return self.per_gain * moved + self.per_variance * self.modulation * moved**2

    @property
    def slope(self) -> float:
        """Its derivative at the expected gain: fixed beforehand, as the plane is."""
        moved = self.expected_gain - self.gain
        return self.per_gain + 2 * self.per_variance * self.modulation * moved


@dataclass(frozen=True, kw_only=True)
class LeakagePlane:
    """A plane: the bound where it touches and one tangent per tested quadrature, X first."""

    bits: float
    tangents: tuple[QuadratureTangent, ...]

    def at(self, channel: ReturnedChannel) -> float:
        """The plane's value for a channel: at least the bound, for every channel."""
        seen = [(channel.gain_x, 1 + channel.excess_noise_x_snu)]
        if channel.excess_noise_p_snu is not None:
            seen.append((channel.gain_p, 1 + channel.excess_noise_p_snu))
        return self.bits + math.fsum(
            tangent.at(gain) + tangent.per_variance * (variance - tangent.variance)
            for (gain, variance), tangent in zip(seen, self.tangents, strict=True)
        )


def worst_planes(
    expected: ReturnedChannel,
    modulation_x_snu: float,
    modulation_p_snu: float,
    reach: Sequence[float],
    scales: Sequence[float],
    *,
    gain_p_seen: bool = False,
) -> tuple[LeakagePlane, ...]:
    """The planes at the worst channels of ellipsoids around the expected one.

    Of all planes each has the smallest value at the centre plus its largest rise in its ellipsoid:
    no linear statistic certifies less (minimax, because the bound is concave).

    Args:
        expected: centre, a channel that quantum mechanics allows.
        modulation_x_snu: m_x, all copies.
        modulation_p_snu: m_p, all copies; 0 for the real encoding.
        reach: half axes: gain and variance of X, then gain and variance of P if P is tested.
        scales: sizes of the ellipsoids, in half axes.
        gain_p_seen: whether the gain of P is seen by a known displacement alone.

    Raises:
        ConfigurationError: no quantum channel is as expected.
    """
    tests_p = len(reach) == 4
    centre = [expected.gain_x, expected.excess_noise_x_snu]
    if tests_p:
        centre += [expected.gain_p, expected.excess_noise_p_snu or 0.0]

    def bound(point: Sequence[float]) -> tuple[float, tuple[float, ...]]:
        return weight_bits_and_slopes(
            modulation_x_snu, modulation_p_snu, point, gain_p_seen=gain_p_seen
        )

    both = tests_p and (gain_p_seen or modulation_p_snu > 0)
    planes, place = [], FIRST_PLACE
    for scale in scales:
        axes = [scale * axis for axis in reach]
        if both:
            touch, place = worst_by_search(bound, centre, axes, place)
        else:
            touch = worst_by_slopes(bound, centre, axes)
        planes.append(_plane(touch, (modulation_x_snu, modulation_p_snu), centre))
    return tuple(planes)


def _plane(touch: Touch, modulations: tuple[float, float], centre: Sequence[float]) -> LeakagePlane:
    point, slopes = touch.point, touch.slopes
    return LeakagePlane(
        bits=touch.bits,
        tangents=tuple(
            QuadratureTangent(
                gain=point[2 * index],
                variance=1 + point[2 * index + 1],
                per_gain=slopes[2 * index],
                per_variance=slopes[2 * index + 1],
                modulation=modulations[index],
                expected_gain=centre[2 * index],
            )
            for index in range(len(point) // 2)
        ),
    )
