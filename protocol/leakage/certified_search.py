"""The worst channel of an ellipsoid where both gains are seen.

Gains that are unlike each other are no channel at all unless there is noise: the set of channels
ends inside the ellipsoid, and the bound is steep there. A channel is therefore given by a place:
the loss of X, the noise of X, where h_p is between its edges (-1 to 1) and the noise of P, losses
and noises over the half axes. Places of the ellipsoid's surface are climbed by Newton's method,
slopes exact and their changes from differences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from protocol.leakage.certified_worst import Bound, Touch, plane_with_edge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FIRST_PLACE", "Place", "worst_by_search"]

_Limits: TypeAlias = tuple[tuple[float, float], ...]

Place: TypeAlias = tuple[float, float, float, float]
"""Loss of X, noise of X, where h_p is between its edges, noise of P."""

FIRST_PLACE: Place = (0.3, 0.5, 0.0, 0.5)
"""Where a search begins of which nothing is known."""

_LEAST = 1e-6
_EDGE = 0.98
_DIFFERENCE = 1e-6
_CLIMBS = 40
_HALVINGS = 20
_FLATTEST = 1e-9
_NEAR = 1e-8
_LONGEST = 0.3
_NOISE = 1e-9
_RETURNS = 12
_ON_SURFACE = 1e-10


def worst_by_search(
    bound: Bound, centre: Sequence[float], reach: Sequence[float], start: Place = FIRST_PLACE
) -> tuple[Touch, Place]:
    """The plane above the bound at the worst channel of an ellipsoid, where both gains are seen.

    The worst channel may lie next to where channels end. The plane that supports the set of
    channels there, which is convex, may then be added to that of the bound.

    Args:
        bound: at a point, with slopes.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
        start: place where the search begins; that of a like ellipsoid saves half of it.

    Returns:
        The plane, and the place of the worst channel.

    Raises:
        ConfigurationError: no quantum channel is as expected.
    """
    noise = (_LEAST, 1.0)
    # Beyond the mirror image of the expected gain there need not be channels.
    loss = (_LEAST, max(_LEAST, min(1.0, 2 * centre[0] / reach[0])))
    limits = (loss, noise, (-_EDGE, _EDGE), noise)
    place = _Search(bound=bound, centre=centre, reach=reach, limits=limits).worst_place(start)
    worst, edge = (
        _Channel.of((place[0], place[1], between, place[3]), centre, reach).point
        for between in (place[2], math.copysign(1.0, place[2]))
    )
    return plane_with_edge(bound, centre, reach, worst, edge), place


@dataclass(frozen=True, slots=True)
class _Channel:
    """A channel by its place.

    Attributes:
        point: h_x, e_x, h_p, e_p.
        own: how h_x, e_x and e_p move with their own numbers of the place.
        with_gain_p: how h_p moves with each of the four.
    """

    point: tuple[float, float, float, float]
    own: tuple[float, float, float]
    with_gain_p: tuple[float, float, float, float]

    @classmethod
    def of(
        cls, place: Sequence[float], centre: Sequence[float], reach: Sequence[float]
    ) -> "_Channel":
        """Edges of h_p as `general_bound.possible_other_gains` has them.

        Gains may be below 0, in the mirror image of a channel. The bound falls again there; held
        at 0 instead, they would have no slope that leads back.
        """
        loss, noise_x, between, noise_p = place
        h_x = centre[0] - reach[0] * loss
        e_x, e_p = centre[1] + reach[1] * noise_x, centre[3] + reach[3] * noise_p
        own = (-reach[0], reach[1], reach[3])
        noisy = 1 + e_x
        product, added = max(0.0, e_x + e_p * noisy), max(0.0, noisy - h_x * h_x)
        width = math.sqrt(product * added)
        h_p = (h_x + width * between) / noisy
        per = between / (2 * width * noisy) if width > 0 else 0.0
        moves = (
            own[0] * (1 / noisy - 2 * per * product * h_x),
            own[1] * (per * ((1 + e_p) * added + product) - h_p / noisy),
            width / noisy,
            own[2] * per * noisy * added,
        )
        return cls((h_x, e_x, h_p, e_p), own, moves)

    def by_place(self, by_point: Sequence[float]) -> list[float]:
        """Slopes by the place from slopes by the point."""
        moves, of_gain_p = self.with_gain_p, by_point[2]
        return [
            self.own[0] * by_point[0] + moves[0] * of_gain_p,
            self.own[1] * by_point[1] + moves[1] * of_gain_p,
            moves[2] * of_gain_p,
            self.own[2] * by_point[3] + moves[3] * of_gain_p,
        ]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place, the bound there and how far inside it is, with their slopes by the place."""

    place: list[float]
    bits: float
    rise: list[float]
    inside: float
    inwards: list[float]


@dataclass(frozen=True, kw_only=True)
class _Search:
    """Climbs to the worst channel of an ellipsoid, worse than the centre in three numbers.

    Attributes:
        bound: at a point, with slopes.
        centre: the expected channel.
        reach: half axes of the ellipsoid.
        limits: least and most of each number of the place.
    """

    bound: Bound
    centre: Sequence[float]
    reach: Sequence[float]
    limits: _Limits

    def worst_place(self, start: Place) -> Place:
        """The place of the largest bound, as near as the precision of its slopes allows."""
        spot = self._spot(self._returned(start))
        multiplier = 0.0
        for _ in range(_CLIMBS):
            free = [
                index
                for index, (low, high) in enumerate(self.limits)
                if not self._held(spot, index, multiplier, low, high)
            ]
            steepness = _product(spot.inwards, spot.inwards, free)
            if steepness == 0:
                break
            multiplier = -_product(spot.rise, spot.inwards, free) / steepness
            step, gain = self._newton(spot, free, multiplier)
            found = self._climbed(spot, step)
            if found is None:
                break
            spot = found
            if gain < _NEAR * abs(spot.bits):
                break
        loss, noise_x, between, noise_p = spot.place
        return loss, noise_x, between, noise_p

    @staticmethod
    def _held(spot: _Spot, index: int, multiplier: float, low: float, high: float) -> bool:
        """Whether a number of the place is at its limit and would go on."""
        push = spot.rise[index] + multiplier * spot.inwards[index]
        value = spot.place[index]
        return (value <= low and push < 0) or (value >= high and push > 0)

    def _spot(self, place: list[float]) -> _Spot:
        channel = _Channel.of(place, self.centre, self.reach)
        bits, slopes = self.bound(channel.point)
        inside, inwards = self._inside(channel)
        return _Spot(place, bits, channel.by_place(slopes), inside, inwards)

    def _inside(self, channel: _Channel) -> tuple[float, list[float]]:
        """1 less the squared distance from the centre over the half axes."""
        square, by_point = 0.0, []
        for x, c, axis in zip(channel.point, self.centre, self.reach, strict=True):
            away = (x - c) / axis
            square += away * away
            by_point.append(-2 * away / axis)
        return 1 - square, channel.by_place(by_point)

    def _returned(self, start: Sequence[float]) -> list[float]:
        """The place on the surface that is next, straight along the slopes of the distance."""
        place = list(start)
        for _ in range(_RETURNS):
            place = self._limited(place)
            inside, inwards = self._inside(_Channel.of(place, self.centre, self.reach))
            if abs(inside) < _ON_SURFACE:
                break
            # What is at its limit stays there: only the step itself moves it back.
            along = [
                slope if low < value < high else 0.0
                for value, slope, (low, high) in zip(place, inwards, self.limits, strict=True)
            ]
            square = math.fsum(slope * slope for slope in along)
            if square == 0:
                break
            place = [
                value - inside * slope / square for value, slope in zip(place, along, strict=True)
            ]
        return self._limited(place)

    def _limited(self, place: Sequence[float]) -> list[float]:
        return [
            min(max(value, low), high)
            for value, (low, high) in zip(place, self.limits, strict=True)
        ]

    def _newton(
        self, spot: _Spot, free: Sequence[int], multiplier: float
    ) -> tuple[list[float], float]:
        """Newton's step within the surface, uphill even where the bound bends up; and its gain."""
        import numpy as np

        normal = np.array([spot.inwards[index] for index in free])
        normal /= math.sqrt(normal @ normal)
        across = np.outer(normal, normal)
        along = np.eye(len(free)) - across
        rise = along @ np.array([spot.rise[index] for index in free])
        bends = along @ self._bends(spot, free, multiplier) @ along
        if not (np.isfinite(bends).all() and np.isfinite(rise).all()):
            return [0.0] * len(spot.place), 0.0  # at the edge of all channels, to rounding
        # Away from the surface, where the step does not go, any curvature will do.
        steepest = float(np.abs(bends).max()) or 1.0
        curvatures, axes = np.linalg.eigh(bends - steepest * across)
        size = np.maximum(np.abs(curvatures), _FLATTEST * steepest)
        by_axis = axes.T @ rise
        moved = axes @ (by_axis / size)
        step = [0.0] * len(spot.place)
        for index, value in zip(free, moved.tolist(), strict=True):
            step[index] = value
        return step, float(by_axis @ (by_axis / size))

    def _bends(self, spot: _Spot, free: Sequence[int], multiplier: float) -> "NDArray[np.float64]":
        """Second derivatives of the bound plus the multiplier times the inside."""
        import numpy as np

        rows = []
        for index in free:
            place, value = list(spot.place), spot.place[index]
            # Towards 0, away from the limits and from the edge of all channels.
            step = math.copysign(_DIFFERENCE, -value) if index == 2 else -_DIFFERENCE * value
            place[index] = value + step
            moved = place[index] - value
            other = self._spot(place)
            rows.append(
                [
                    (
                        other.rise[k]
                        - spot.rise[k]
                        + multiplier * (other.inwards[k] - spot.inwards[k])
                    )
                    / moved
                    for k in free
                ]
            )
        matrix: NDArray[np.float64] = np.array(rows)
        return (matrix + matrix.T) / 2

    def _climbed(self, spot: _Spot, step: Sequence[float]) -> _Spot | None:
        """The end of the step, or of a part of it, that is no lower; None if there is none."""
        share = min(1.0, _LONGEST / max(_LONGEST, *map(abs, step)))
        for _ in range(_HALVINGS):
            aim = [value + share * part for value, part in zip(spot.place, step, strict=True)]
            found = self._spot(self._returned(aim))
            if found.bits >= spot.bits * (1 - _NOISE) and abs(found.inside) < _NOISE:
                return found
            share /= 2
        return None


def _product(one: Sequence[float], two: Sequence[float], at: Sequence[int]) -> float:
    return math.fsum(one[index] * two[index] for index in at)
