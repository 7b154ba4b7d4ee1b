"""Tangent planes of the general bound: linear in the covariance matrix, and nowhere below it.

In the covariance matrix the entries that a test sees are the correlation, which goes with the gain
h, and the variance of the return, h^2 m + v with m the modulation and v the variance about the
known mean. A plane through the bound F at (h_0, v_0) is therefore, per quadrature,

F_0 + F_h (h - h_0) + F_v (v - v_0) + F_v m (h - h_0)^2.

For P that carries a known displacement and no weight, v is the variance about that displacement
and m = 0: the plane is linear in h.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.errors import ConfigurationError
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general

__all__ = ["LeakagePlane", "QuadratureTangent", "worst_plane"]

_RELATIVE_STEPS = (1e-3, 1e-4, 1e-5)
_STEPS = 24
_ENOUGH = 1e-4
_INSIDE = 0.01
_SPREAD = 0.5


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


def worst_plane(
    expected: ReturnedChannel,
    modulation_x_snu: float,
    modulation_p_snu: float,
    reach: Sequence[float],
    *,
    gain_p_seen: bool = False,
) -> LeakagePlane:
    """The plane at the worst channel of an ellipsoid around the expected one.

    Of all planes it has the smallest value at the centre plus its largest rise in the ellipsoid:
    no linear statistic certifies less (minimax, because the bound is concave).

    Args:
        expected: centre, a channel that quantum mechanics allows.
        modulation_x_snu: m_x, all copies.
        modulation_p_snu: m_p, all copies; 0 for the real encoding.
        reach: half axes: gain and variance of X, then gain and variance of P if P is tested.
        gain_p_seen: whether the gain of P is seen by a known displacement alone.

    Raises:
        ConfigurationError: no quantum channel is as expected.
    """
    tests_p = len(reach) == 4
    centre = [expected.gain_x, expected.excess_noise_x_snu]
    if tests_p:
        centre += [expected.gain_p, expected.excess_noise_p_snu or 0.0]

    def bits(point: Sequence[float]) -> float:
        return weight_bits_general(
            modulation_x_snu,
            modulation_p_snu,
            ReturnedChannel(
                gain_x=point[0],
                excess_noise_x_snu=point[1],
                gain_p=point[2] if tests_p else 0.0,
                excess_noise_p_snu=point[3] if tests_p else None,
            ),
            gain_p_seen=gain_p_seen,
        )

    both = tests_p and (gain_p_seen or modulation_p_snu > 0)
    point, slopes = (_worst_by_search if both else _worst_by_slopes)(bits, centre, reach)
    modulations = (modulation_x_snu, modulation_p_snu)
    return LeakagePlane(
        bits=bits(point),
        tangents=tuple(
            QuadratureTangent(
                gain=point[2 * index],
                variance=1 + point[2 * index + 1],
                per_gain=slopes[2 * index],
                per_variance=slopes[2 * index + 1],
                modulation=modulations[index],
                expected_gain=centre[2 * index],
            )
            for index in range(len(reach) // 2)
        ),
    )


def _worst_by_slopes(
    bits: Callable[[Sequence[float]], float], centre: Sequence[float], reach: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Where the plane touches, and its slopes: fixed point of the direction of steepest rise.

    For gains of P that nothing shows: any noise and loss are then a channel.
    """
    direction = _least_degraded(reach)
    best, least = None, math.inf
    for _ in range(_STEPS):
        point = _degraded(centre, reach, direction)
        slopes = _gradient(bits, point, reach)
        rise = [slope * r for slope, r in zip(slopes, reach, strict=True)]
        length = math.hypot(*rise)
        here = _for_the_centre(bits, centre, reach, point, slopes)
        if best is not None and here >= least * (1 - _ENOUGH):
            break
        best, least = (point, slopes), here
        if length == 0:
            break
        mixed = [(a + b / length) / 2 for a, b in zip(direction, rise, strict=True)]
        norm = math.hypot(*mixed)
        direction = [value / norm for value in mixed]
    assert best is not None
    return best


def _worst_by_search(
    bits: Callable[[Sequence[float]], float], centre: Sequence[float], reach: Sequence[float]
) -> tuple[list[float], list[float]]:
    """The same where both gains are seen, so that many points of the ellipsoid are no channel."""
    import numpy as np
    from numpy.typing import NDArray
    from scipy.optimize import minimize

    first = np.array(_least_degraded(reach))

    def point(place: NDArray[np.float64]) -> list[float]:
        inside = place / max(1.0, float(np.linalg.norm(place)))
        moved = [c + axis * float(x) for c, axis, x in zip(centre, reach, inside, strict=True)]
        return [max(0.0, x) if index % 2 == 0 else x for index, x in enumerate(moved)]

    def slopes_at(place: NDArray[np.float64]) -> list[float]:
        return _gradient(bits, point(place), reach)

    def depth(place: NDArray[np.float64]) -> float:
        try:
            return -bits(point(place)) / scale
        except ConfigurationError:  # no channel is like that: gains of X and P too unlike
            return 0.0

    def certified(place: NDArray[np.float64]) -> float:
        try:
            return _for_the_centre(bits, centre, reach, point(place), slopes_at(place)) / scale
        except ConfigurationError:
            return math.inf

    scale = bits(point(first))
    worst = first
    # The bound is so flat at its largest that its slopes are wrong there: two searches.
    for aim, floor in ((depth, 0.0), (certified, certified(first))):
        corners = np.vstack([worst, worst * (1 - _SPREAD * np.eye(len(reach)))])
        options = {"initial_simplex": corners, "xatol": 1e-4, "fatol": 1e-5, "maxfev": 400}
        found = minimize(aim, worst, method="Nelder-Mead", options=options)
        worst = found.x if found.fun < floor else first
    return point(worst), slopes_at(worst)


def _for_the_centre(
    bits: Callable[[Sequence[float]], float],
    centre: Sequence[float],
    reach: Sequence[float],
    point: Sequence[float],
    slopes: Sequence[float],
) -> float:
    """What the plane certifies for the expected channel: no plane less than the best."""
    rise = math.hypot(*(slope * axis for slope, axis in zip(slopes, reach, strict=True)))
    back = math.fsum(s * (c - x) for s, c, x in zip(slopes, centre, point, strict=True))
    return bits(point) + back + rise


def _least_degraded(reach: Sequence[float]) -> list[float]:
    """A direction that quantum mechanics allows: the same loss in both quadratures, and noise."""
    direction = [-1.0, 1.0, -1.0, 1.0][: len(reach)]
    gains = [reach[index] for index in range(0, len(reach), 2) if reach[index] > 0]
    for index, axis in enumerate(reach):
        if axis == 0:
            direction[index] = 0.0
        elif index % 2 == 0:
            direction[index] = -min(gains) / axis
    length = math.hypot(*direction)
    return [value / length for value in direction]


def _degraded(
    centre: Sequence[float], reach: Sequence[float], direction: Sequence[float]
) -> list[float]:
    """A point of the ellipsoid, a little worse than the centre in everything.

    So that the point and its neighbours are channels that quantum mechanics allows, as the centre
    is: less gain and more noise can always be made.
    """
    point = []
    for index, (start, axis, share) in enumerate(zip(centre, reach, direction, strict=True)):
        if index % 2 == 0:
            point.append(max(0.0, start + axis * min(share, -_INSIDE)))
        else:
            point.append(start + axis * max(share, _INSIDE))
    return point


def _gradient(
    bits: Callable[[Sequence[float]], float], point: Sequence[float], reach: Sequence[float]
) -> list[float]:
    """Central differences, on a scale much smaller than that on which the bound bends."""
    refusal = None
    for share in _RELATIVE_STEPS:
        try:
            return [_slope(bits, point, index, share * axis) for index, axis in enumerate(reach)]
        except ConfigurationError as error:  # a neighbour is no channel: look closer
            refusal = error
    assert refusal is not None
    raise refusal


def _slope(
    bits: Callable[[Sequence[float]], float], point: Sequence[float], index: int, step: float
) -> float:
    if index % 2 == 0:
        step = min(step, point[index])
    if step == 0:
        return 0.0
    above, below = list(point), list(point)
    above[index] += step
    below[index] -= step
    return (bits(above) - bits(below)) / (above[index] - below[index])
