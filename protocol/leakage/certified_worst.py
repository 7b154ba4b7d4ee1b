"""The worst channel within some errors of the expected one, and the plane above it.

A point is (h_x, e_x), or (h_x, e_x, h_p, e_p) if P is tested; an ellipsoid has an axis for each.
Of all planes above the bound the one wanted has the smallest value at the centre plus its largest
rise in the ellipsoid.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Bound", "Touch", "worst_by_search", "worst_by_slopes"]

Bound: TypeAlias = Callable[[Sequence[float]], tuple[float, tuple[float, ...]]]
"""Bits at a point, and their slopes by each coordinate."""

_STEPS = 24
_ENOUGH = 1e-4
_INSIDE = 0.01
_LEAST = 1e-6
_SEARCH_ERROR = 1e-11
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
        bits, slopes = _tangent(bound, point)
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


def worst_by_search(bound: Bound, centre: Sequence[float], reach: Sequence[float]) -> Touch:
    """The same where both gains are seen.

    Gains that are unlike each other are no channel at all unless there is noise. The worst channel
    may lie at that edge; the plane that supports the set of channels there, which is convex, may
    then be added to that of the bound.

    Args:
        bound: at a point.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
    """
    import numpy as np
    from scipy.optimize import Bounds, minimize

    limits = (_LEAST, _LEAST, -_EDGE, _LEAST), (1.0, 1.0, _EDGE, 1.0)
    start = np.array([0.3, 0.5, 0.0, 0.5])
    scale = bound(_placed(start, centre, reach)[0])[0]

    def depth(place: "NDArray[np.float64]") -> "tuple[float, NDArray[np.float64]]":
        point, moves = _placed(place, centre, reach)
        bits, slopes = bound(point)
        return -bits / scale, -(moves @ slopes) / scale

    def inside(place: "NDArray[np.float64]") -> float:
        point, _ = _placed(place, centre, reach)
        return 1 - math.fsum(d * d for d in _distances(point, centre, reach))

    def inside_slopes(place: "NDArray[np.float64]") -> "NDArray[np.float64]":
        point, moves = _placed(place, centre, reach)
        inwards = [
            d / axis for d, axis in zip(_distances(point, centre, reach), reach, strict=True)
        ]
        return -2 * (moves @ inwards)

    constraint: Any = {"type": "ineq", "fun": inside, "jac": inside_slopes}
    options: Any = {"ftol": _SEARCH_ERROR, "maxiter": 200}
    found = minimize(
        depth,
        start,
        jac=True,
        method="SLSQP",
        bounds=Bounds(*limits),
        constraints=constraint,
        options=options,
    )
    place = np.clip(found.x, *limits)
    worst, edge = _placed(place, centre, reach)[0], np.copy(place)
    edge[2] = math.copysign(1.0, place[2])
    return _with_the_edge(bound, centre, reach, worst, _placed(edge, centre, reach)[0])


def _placed(
    place: "NDArray[np.float64]", centre: Sequence[float], reach: Sequence[float]
) -> tuple[list[float], "NDArray[np.float64]"]:
    """A point worse than the centre in three, and how it moves with each number of its place.

    The place is the loss of X, the noise of X, where h_p is between its edges (-1 to 1), and the
    noise of P. The edges are (h_x -+ R)/(1 + e_x), as in `possible_other_gains`.

    Returns:
        The point and the derivatives (numbers of the place, coordinates).
    """
    import numpy as np

    loss, noise_x, between, noise_p = place.tolist()
    h_x = max(0.0, centre[0] - reach[0] * loss)
    e_x, e_p = centre[1] + reach[1] * noise_x, centre[3] + reach[3] * noise_p
    noisy = 1 + e_x
    product, added = max(0.0, e_x + e_p * noisy), max(0.0, noisy - h_x**2)
    width = math.sqrt(product * added)
    h_p = (h_x + width * between) / noisy
    moves = np.zeros((4, 4))
    moves[0, 0], moves[1, 1], moves[3, 3] = -reach[0] if h_x > 0 else 0.0, reach[1], reach[3]
    if h_p <= 0:
        return [h_x, e_x, 0.0, e_p], moves
    per_width = between / (2 * width * noisy) if width > 0 else 0.0
    moves[0, 2] = moves[0, 0] * (1 / noisy - 2 * per_width * product * h_x)
    moves[1, 2] = reach[1] * (per_width * ((1 + e_p) * added + product) - h_p / noisy)
    moves[2, 2] = width / noisy
    moves[3, 2] = reach[3] * per_width * noisy * added
    return [h_x, e_x, h_p, e_p], moves


def _distances(
    point: Sequence[float], centre: Sequence[float], reach: Sequence[float]
) -> list[float]:
    """From the centre, over the half axes."""
    return [(x - c) / axis for x, c, axis in zip(point, centre, reach, strict=True)]


def _with_the_edge(
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
    """
    (here, slopes), normal = _tangent(bound, worst), _normal_of_channels(edge)
    rise = [slope * axis for slope, axis in zip(slopes, reach, strict=True)]
    edge_rise = [n * axis for n, axis in zip(normal, reach, strict=True)]
    steep = math.hypot(*edge_rise)
    away = math.fsum(n * (c - x) for n, c, x in zip(normal, centre, edge, strict=True))
    clamped = min(edge[::2]) == 0.0  # no edge of the channels, only of the gains
    much = 0.0
    if not clamped and abs(away) < steep:
        along = math.fsum(a * b for a, b in zip(rise, edge_rise, strict=True)) / steep**2
        across = math.hypot(*(a - along * b for a, b in zip(rise, edge_rise, strict=True))) / steep
        much = max(0.0, -along - away * across / math.sqrt(steep**2 - away**2))
    height = math.fsum(n * (a - b) for n, a, b in zip(normal, worst, edge, strict=True))
    mixed = tuple(s + much * n for s, n in zip(slopes, normal, strict=True))
    return Touch(point=tuple(worst), bits=here + much * height, slopes=mixed)


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


def _tangent(bound: Bound, point: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """The bound and its slopes; gains are never below 0, so that a level plane is enough there."""
    bits, slopes = bound(point)
    flat = tuple(
        0.0 if index % 2 == 0 and point[index] == 0 else slope for index, slope in enumerate(slopes)
    )
    if not all(math.isfinite(slope) for slope in flat):
        raise ConfigurationError(
            f"leakage: {tuple(point)} is at the edge of all channels; without losses and noise "
            "nothing can be planned"
        )
    return bits, flat
