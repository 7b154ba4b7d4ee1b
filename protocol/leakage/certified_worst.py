"""The worst channel within some errors of the expected one, and the plane above it.

A point is (h_x, e_x), or (h_x, e_x, h_p, e_p) if P is tested; an ellipsoid has an axis for each.
Of all planes above the bound the one wanted has the smallest value at the centre plus its largest
rise in the ellipsoid.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage.general_bound import possible_other_gains

__all__ = ["Bound", "Touch", "worst_by_search", "worst_by_slopes"]

Bound: TypeAlias = Callable[[Sequence[float]], float]
"""Bits at a point."""

_RELATIVE_STEP = 1e-5
_STEPS = 24
_ENOUGH = 1e-4
_INSIDE = 0.01
_LEAST = 1e-6
_EDGE = 0.98


@dataclass(frozen=True, kw_only=True)
class Touch:
    """A plane above the bound.

    Attributes:
        point: where it is given, next to where it touches: h_x, e_x, and h_p, e_p if P is tested.
        bits: its value there.
        slopes: by each coordinate.
    """

    point: tuple[float, ...]
    bits: float
    slopes: tuple[float, ...]


def worst_by_slopes(bits: Bound, centre: Sequence[float], reach: Sequence[float]) -> Touch:
    """Where no gain of P is seen: fixed point of the direction of steepest rise.

    Any noise and loss are then a channel.

    Args:
        bits: the bound at a point.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
    """
    # The same loss in both quadratures, and noise.
    direction = [1 / math.sqrt(len(reach)) * (-1) ** (index + 1) for index in range(len(reach))]
    best, least = None, math.inf
    for _ in range(_STEPS):
        point = _degraded(centre, reach, direction)
        slopes = _gradient(bits, point, reach)
        rise = [slope * r for slope, r in zip(slopes, reach, strict=True)]
        length = math.hypot(*rise)
        here = _for_the_centre(bits(point), centre, reach, point, slopes)
        if best is not None and here >= least * (1 - _ENOUGH):
            break
        best, least = (point, slopes), here
        if length == 0:
            break
        mixed = [(a + b / length) / 2 for a, b in zip(direction, rise, strict=True)]
        norm = math.hypot(*mixed)
        direction = [value / norm for value in mixed]
    assert best is not None
    point, slopes = best
    return Touch(point=tuple(point), bits=bits(point), slopes=tuple(slopes))


def worst_by_search(bits: Bound, centre: Sequence[float], reach: Sequence[float]) -> Touch:
    """The same where both gains are seen.

    Gains that are unlike each other are no channel at all unless there is noise. The worst channel
    may lie at that edge; the plane that supports the set of channels there, which is convex, may
    then be added to that of the bound.

    Args:
        bits: the bound at a point.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
    """
    import numpy as np
    from numpy.typing import NDArray
    from scipy.optimize import Bounds, minimize

    axes, middle = np.array(reach), np.array(centre)

    def point(place: NDArray[np.float64]) -> list[float]:
        """Worse than the centre in three; h_p by its place between the edges."""
        loss, noise_x, between, noise_p = place.tolist()
        h_x = max(0.0, centre[0] - reach[0] * loss)
        e_x, e_p = centre[1] + reach[1] * noise_x, centre[3] + reach[3] * noise_p
        low, high = possible_other_gains(h_x, e_x, e_p) or (0.0, 0.0)
        return [h_x, e_x, max(0.0, (high + low + (high - low) * between) / 2), e_p]

    def inside(place: NDArray[np.float64]) -> float:
        return 1 - float(np.sum(np.square((np.array(point(place)) - middle) / axes)))

    start: NDArray[np.float64] = np.array([0.3, 0.5, 0.0, 0.5])
    scale = bits(point(start))

    def height(place: NDArray[np.float64]) -> float:
        return -bits(point(place)) / scale

    limits = [_LEAST, _LEAST, -_EDGE, _LEAST], [1.0, 1.0, _EDGE, 1.0]
    constraint: Any = {"type": "ineq", "fun": inside}
    options: Any = {"ftol": 1e-12, "maxiter": 200, "eps": 1e-7}
    found = minimize(
        height,
        start,
        method="SLSQP",
        bounds=Bounds(*limits),
        constraints=constraint,
        options=options,
    )
    place = np.clip(found.x, *limits)
    worst, edge = point(place), np.copy(place)
    edge[2] = math.copysign(1.0, place[2])
    return _with_the_edge(bits, centre, reach, worst, point(edge))


def _with_the_edge(
    bits: Bound,
    centre: Sequence[float],
    reach: Sequence[float],
    worst: Sequence[float],
    edge: Sequence[float],
) -> Touch:
    """The tangent plane, and as much of the plane at the edge as makes it better."""
    from scipy.optimize import minimize_scalar

    here, slopes, normal = bits(worst), _gradient(bits, worst, reach), _normal_of_channels(edge)
    height = math.fsum(n * (a - b) for n, a, b in zip(normal, worst, edge, strict=True))
    scale = math.hypot(*slopes) / math.hypot(*normal)

    def mixed(much: float) -> list[float]:
        return [s + much * n for s, n in zip(slopes, normal, strict=True)]

    def certified(much: float) -> float:
        return _for_the_centre(here + much * height, centre, reach, worst, mixed(much))

    found = minimize_scalar(
        lambda exponent: certified(scale * math.exp(exponent)), bounds=(-16, 8), method="bounded"
    )
    much = scale * math.exp(float(found.x))
    clamped = min(edge[::2]) == 0.0  # no edge of the channels, only of the gains
    if clamped or certified(much) >= certified(0.0):
        much = 0.0
    return Touch(point=tuple(worst), bits=here + much * height, slopes=tuple(mixed(much)))


def _normal_of_channels(point: Sequence[float]) -> list[float]:
    """Gradient of (1 + e_x - h_x^2)(1 + e_p - h_p^2) - (1 - h_x h_p)^2, 0 where channels end."""
    h_x, e_x, h_p, e_p = point
    room_x, room_p, apart = 1 + e_x - h_x**2, 1 + e_p - h_p**2, 1 - h_x * h_p
    return [
        2 * (apart * h_p - h_x * room_p),
        room_p,
        2 * (apart * h_x - h_p * room_x),
        room_x,
    ]


def _for_the_centre(
    bits: float,
    centre: Sequence[float],
    reach: Sequence[float],
    point: Sequence[float],
    slopes: Sequence[float],
) -> float:
    """What the plane certifies for the expected channel: no plane less than the best."""
    rise = math.hypot(*(slope * axis for slope, axis in zip(slopes, reach, strict=True)))
    back = math.fsum(s * (c - x) for s, c, x in zip(slopes, centre, point, strict=True))
    return bits + back + rise


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


def _gradient(bits: Bound, point: Sequence[float], reach: Sequence[float]) -> list[float]:
    """Central differences, on a scale much smaller than that on which the bound bends."""
    return [
        _slope(bits, point, index, _RELATIVE_STEP * half_axis)
        for index, half_axis in enumerate(reach)
    ]


def _slope(bits: Bound, point: Sequence[float], index: int, step: float) -> float:
    if index % 2 == 0:
        step = min(step, point[index])
    if step == 0:
        return 0.0
    above, below = _moved(bits, point, index, step), _moved(bits, point, index, -step)
    if above[0] == below[0]:
        raise ConfigurationError(
            f"leakage: no channel is near {point}; without losses and noise nothing can be planned"
        )
    return (above[1] - below[1]) / (above[0] - below[0])


def _moved(bits: Bound, point: Sequence[float], index: int, step: float) -> tuple[float, float]:
    """A coordinate a step away and the bound there; no step where no channel is so.

    At the edge of all channels the slope on its inner side supports a concave bound.
    """
    moved = list(point)
    moved[index] += step
    try:
        return moved[index], bits(moved)
    except ConfigurationError:
        return point[index], bits(point)
