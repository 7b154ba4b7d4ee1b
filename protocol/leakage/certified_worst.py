"""The worst channel within some errors of the expected one, and the plane above it.

A point is (h_x, e_x), or (h_x, e_x, h_p, e_p) if P is tested; an ellipsoid has an axis for each.
Of all planes above the bound the one wanted has the smallest value at the centre plus its largest
rise in the ellipsoid.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from drivers.errors import ConfigurationError

__all__ = ["Bound", "Touch", "plane_with_edge", "tangent_at", "worst_by_slopes"]

Bound: TypeAlias = Callable[[Sequence[float]], tuple[float, tuple[float, ...]]]
"""Bits at a point, and their slopes by each coordinate."""

_STEPS = 24
_ENOUGH = 1e-4
_INSIDE = 0.01


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


def worst_by_slopes(bound: Bound, centre: Sequence[float], reach: Sequence[float]) -> Touch:
    """Where no gain of P is seen: fixed point of the direction of steepest rise.

    Any noise and loss are then a channel.

    Args:
        bound: at a point.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
    """
    # The same loss in both quadratures, and noise.
    direction = [1 / math.sqrt(len(reach)) * (-1) ** (index + 1) for index in range(len(reach))]
    best: Touch | None = None
    least = math.inf
    for _ in range(_STEPS):
        point = _degraded(centre, reach, direction)
        bits, slopes = tangent_at(bound, point)
        rise = [slope * r for slope, r in zip(slopes, reach, strict=True)]
        length = math.hypot(*rise)
        here = _for_the_centre(bits, centre, reach, point, slopes)
        if best is not None and here >= least * (1 - _ENOUGH):
            break
        best, least = Touch(point=tuple(point), bits=bits, slopes=slopes), here
        if length == 0:
            break
        mixed = [(a + b / length) / 2 for a, b in zip(direction, rise, strict=True)]
        norm = math.hypot(*mixed)
        direction = [value / norm for value in mixed]
    assert best is not None
    return best


def tangent_at(bound: Bound, point: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """The bound and its slopes at a channel.

    More noise tells more; where the bound hardly depends on it rounding may say less.

    Args:
        bound: at a point, with slopes.
        point: a channel.

    Raises:
        ConfigurationError: a slope is infinite: the point is at the edge of all channels.
    """
    bits, slopes = bound(point)
    if not all(math.isfinite(slope) for slope in slopes):
        raise ConfigurationError(
            f"leakage: {tuple(point)} is at the edge of all channels; without losses and noise "
            "nothing can be planned"
        )
    return bits, tuple(
        max(0.0, slope) if index % 2 else slope for index, slope in enumerate(slopes)
    )


def plane_with_edge(
    bound: Bound,
    centre: Sequence[float],
    reach: Sequence[float],
    worst: Sequence[float],
    edge: Sequence[float],
) -> Touch:
    """The tangent plane, and as much of the plane at the edge as makes it better.

    With k of it the plane certifies a + b k + |r + k q|, r and q the two rises along the half axes.
    This is smallest at k = -r.q/q^2 - b d/(q sqrt(q^2 - b^2)), d the length of the part of r that
    is across q, over q.

    Args:
        bound: at a point, with slopes.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
        worst: where the bound's plane touches.
        edge: next to it, where channels end.

    Raises:
        ConfigurationError: the first is at the edge itself.
    """
    (here, slopes), normal = tangent_at(bound, worst), _normal_of_channels(edge)
    rise = [slope * axis for slope, axis in zip(slopes, reach, strict=True)]
    edge_rise = [n * axis for n, axis in zip(normal, reach, strict=True)]
    steep = math.hypot(*edge_rise)
    away = math.fsum(n * (c - x) for n, c, x in zip(normal, centre, edge, strict=True))
    much = 0.0
    if abs(away) < steep:
        along = math.fsum(a * b for a, b in zip(rise, edge_rise, strict=True)) / steep**2
        across = math.hypot(*(a - along * b for a, b in zip(rise, edge_rise, strict=True))) / steep
        much = max(0.0, -along - away * across / math.sqrt(steep**2 - away**2))
    height = math.fsum(n * (a - b) for n, a, b in zip(normal, worst, edge, strict=True))
    mixed = tuple(s + much * n for s, n in zip(slopes, normal, strict=True))
    return Touch(point=tuple(worst), bits=here + much * height, slopes=mixed)


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
