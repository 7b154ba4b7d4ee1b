"""The worst channel of an ellipsoid by its climb, against a slow search; the plane there."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from protocol.leakage.certified_search import FIRST_PLACE, worst_by_search
from protocol.leakage.certified_worst import Touch
from protocol.leakage.general_bound import possible_other_gains, weight_bits_and_slopes
from tests.physics.certified_sessions import honest_channel, modulation_of

_LIMIT = 0.98
"""How near to the edge of all channels the search goes."""

CASES = {
    "amplifier": ("amplifier", "complex", 0.1, 0.0, 1e-4),
    "amplifier-few-symbols": ("amplifier", "complex", 1.0, 0.0, 1e-2),
    "tap-hardly-any-dither": ("feed-forward-tap", "real", 0.1, 0.02, 1e-5),
    "tap-dither": ("feed-forward-tap", "real", 0.5, 0.5, 1e-4),
    "passive-tap-complex": ("passive-tap", "complex", 0.05, 0.0, 1e-3),
    "passive tap-dither": ("passive-tap", "real", 2.0, 0.1, 1e-3),
}


class _Case:
    """The bound around an honest channel, and an ellipsoid as errors of n symbols make it."""

    def __init__(self, name: str) -> None:
        receiver, encoding, mu, dither, noise = CASES[name]
        self.modulations = modulation_of(mu, encoding)
        self.seen = dither > 0
        channel = honest_channel(receiver, encoding, dither_p=dither)
        assert channel.excess_noise_p_snu is not None
        self.centre = [
            channel.gain_x,
            channel.excess_noise_x_snu,
            channel.gain_p,
            channel.excess_noise_p_snu,
        ]
        sent = (self.modulations[0], self.modulations[1] + dither)
        self.reach = [noise / math.sqrt(2 * sent[0]), noise, noise / math.sqrt(2 * sent[1]), noise]

    def bound(self, point: Sequence[float]) -> tuple[float, tuple[float, ...]]:
        return weight_bits_and_slopes(*self.modulations, point, gain_p_seen=self.seen)

    def certified(self, touch: Touch) -> float:
        """The plane's value at the centre, and its largest rise."""
        rise = math.hypot(*(s * r for s, r in zip(touch.slopes, self.reach, strict=True)))
        there = zip(touch.slopes, self.centre, touch.point, strict=True)
        back = math.fsum(slope * (c - x) for slope, c, x in there)
        return touch.bits + back + rise

    def distance(self, point: Sequence[float]) -> float:
        away = zip(point, self.centre, self.reach, strict=True)
        return math.hypot(*((x - c) / axis for x, c, axis in away))

    def at(self, place: Sequence[float]) -> list[float] | None:
        """The channel of a place, pulled onto the ellipsoid by all but the place between edges."""

        def point(share: float) -> list[float]:
            h_x = self.centre[0] - share * place[0] * self.reach[0]
            e_x = self.centre[1] + share * place[1] * self.reach[1]
            e_p = self.centre[3] + share * place[3] * self.reach[3]
            low, high = possible_other_gains(h_x, e_x, e_p) or (0.0, 0.0)
            return [h_x, e_x, (low + high + (high - low) * place[2]) / 2, e_p]

        shares = np.linspace(0.0, 2.0, 41)[1:]
        inside = [share for share in shares if self.distance(point(share)) <= 1]
        if not inside:
            return None
        low, high = float(inside[-1]), float(inside[-1]) + 0.05
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.distance(point(middle)) <= 1 else (low, middle)
        return point(low)


def _slow_search(case: _Case) -> float:
    """Largest bound on the ellipsoid that random places, ever closer to the best one, find."""
    generator = np.random.default_rng(3)
    best, place, step = 0.0, np.array([0.3, 0.5, 0.0, 0.5]), 0.5
    for draw in range(3000):
        tried = place + step * generator.normal(size=4) * generator.choice([0.1, 1.0], size=4)
        tried[[0, 1, 3]] = np.clip(tried[[0, 1, 3]], 1e-6, 1.0)
        tried[2] = np.clip(tried[2], -_LIMIT, _LIMIT)
        point = case.at(tried.tolist())
        if point is None:
            continue
        value = case.bound(point)[0]
        if value > best:
            best, place = value, tried
        elif draw % 200 == 199:
            step *= 0.6
    return best


@pytest.mark.parametrize("name", CASES)
def test_climb_finds_the_worst_channel_when_a_slow_search_looks_for_a_worse_one(name: str) -> None:
    case = _Case(name)
    touch, place = worst_by_search(case.bound, case.centre, case.reach)
    assert case.distance(touch.point) == pytest.approx(1.0, abs=1e-8)
    assert abs(place[2]) <= _LIMIT
    value, slow = case.bound(touch.point)[0], _slow_search(case)
    assert value >= slow * (1 - 1e-9)
    assert value == pytest.approx(slow, rel=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_climb_finds_the_same_plane_when_it_starts_elsewhere(name: str) -> None:
    case = _Case(name)
    certified = case.certified(worst_by_search(case.bound, case.centre, case.reach)[0])
    for start in ((0.9, 0.1, 0.5, 0.1), (0.05, 0.05, -0.9, 0.9), (0.5, 0.9, 0.9, 0.2)):
        assert start != FIRST_PLACE
        other, _ = worst_by_search(case.bound, case.centre, case.reach, start)
        assert case.certified(other) == pytest.approx(certified, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_plane_certifies_no_less_when_more_or_less_of_the_edge_is_added(name: str) -> None:
    """Of all sums of the bound's plane and that of the channels' edge it is the best."""
    case = _Case(name)
    touch, place = worst_by_search(case.bound, case.centre, case.reach)
    h_x, e_x, _, e_p = touch.point
    possible = possible_other_gains(h_x, e_x, e_p)
    assert possible is not None
    h_p = possible[1] if place[2] > 0 else possible[0]
    room_x, room_p, apart = 1 + e_x - h_x**2, 1 + e_p - h_p**2, 1 - h_x * h_p
    normal = (2 * (apart * h_p - h_x * room_p), room_p, 2 * (apart * h_x - h_p * room_x), room_x)
    height = normal[2] * (touch.point[2] - h_p)
    own = case.bound(touch.point)[0]
    much = (touch.bits - own) / height
    assert much >= 0

    def with_much(amount: float) -> float:
        slopes = tuple(s + (amount - much) * n for s, n in zip(touch.slopes, normal, strict=True))
        bits = own + amount * height
        return case.certified(Touch(point=touch.point, bits=bits, slopes=slopes))

    best = with_much(much)
    assert best == pytest.approx(case.certified(touch), rel=1e-9)
    scale = math.hypot(*touch.slopes) / math.hypot(*normal)
    for amount in (0.0, 0.5 * much, 2 * much, much + 0.01 * scale, much + scale):
        assert with_much(amount) >= best * (1 - 1e-12)
    assert with_much(much + 10 * scale) > best * 1.001


def test_climb_ends_when_errors_are_larger_than_what_is_measured() -> None:
    """A dozen symbols: no gain is left in most of the ellipsoid."""
    case = _Case("amplifier")
    reach = [40.0, 30.0, 40.0, 30.0]
    touch, _ = worst_by_search(case.bound, case.centre, reach)
    assert all(math.isfinite(value) for value in (touch.bits, *touch.slopes))
    assert abs(touch.point[0]) <= case.centre[0]
