"""Entropy of the weights and the returned light together, and how it changes with the channel.

`protocol.leakage.general_bound` has the model, the formulas and the symbols. What is here is their
evaluation: nothing near vacuum is subtracted, the slopes are exact, and the gain of P that nothing
shows is at its worst.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import ConfigurationError
from protocol.leakage._entropies import two_mode_bits, two_mode_slopes

__all__ = ["ROUNDING", "JointState", "UnseenGain", "impossible_moments"]

ROUNDING = 1e-12
"""How far beyond vacuum moments may be before they are refused, over their size."""

_STEPS = 60
_FARTHEST = -400.0
_FIRST_STEP = -3.0
_ROOT_ERROR = 1e-13
_NO_ROOM = 1e-100


def impossible_moments(what: str, value: float) -> ConfigurationError:
    """The refusal of moments that no quantum channel has.

    Args:
        what: what is wrong with them.
        value: by how much, below 0.
    """
    return ConfigurationError(
        f"leakage: {what} by {-value:.3g} SNU: no quantum channel has these moments. They are "
        "estimates with errors: certify them with a confidence region, or repeat the shot-noise "
        "calibration."
    )


@dataclass(frozen=True, kw_only=True)
class UnseenGain:
    """The gain of P at which the joint entropy is largest.

    Attributes:
        gain: h_p.
        quality: Q there, >= 0.
        by_product: slope of the entropy by the product of the two nu^2 - 1 as the condition of a
            maximum has it, where the edge is too close to tell; else None.
    """

    gain: float
    quality: float
    by_product: float | None = None


@dataclass(frozen=True, kw_only=True)
class JointState:
    """The kept halves and the return, by the moments of `protocol.leakage.general_bound`.

    Attributes:
        m_x: modulation of X, >= 0.
        m_p: modulation of P, >= 0.
        h_x: gain of X, >= 0.
        e_x: excess noise of X, above -1.
        e_p: excess noise of P, above -1.
    """

    m_x: float
    m_p: float
    h_x: float
    e_x: float
    e_p: float

    @property
    def noise_product(self) -> float:
        """nu^2 - 1 of the return once the weights are known."""
        return self.e_x + self.e_p + self.e_x * self.e_p

    def quality(self, h_p: float) -> float:
        """Q at a gain of P, 0 for a channel without noise of its own.

        Raises:
            ConfigurationError: no quantum channel has this gain.
        """
        h_x, e_x, e_p = self.h_x, self.e_x, self.e_p
        room_x, room_p = (1 - h_x) * (1 + h_x), (1 - h_p) * (1 + h_p)
        quality = e_x * room_p + e_p * room_x + e_x * e_p - (h_x - h_p) ** 2
        if quality < -ROUNDING * (1 + h_x**2 + h_p**2) * (1 + abs(self.noise_product)):
            raise impossible_moments(
                "gain and noise of the return break the uncertainty principle", quality
            )
        return max(0.0, quality)

    def entropy(self, h_p: float, quality: float) -> float:
        """S(AB) in bits at a gain of P and the Q that goes with it."""
        return two_mode_bits(self._total(h_p), self._delta * quality)

    def slopes(
        self, h_p: float, quality: float, by_product: float | None = None
    ) -> tuple[float, float, float, float]:
        """Derivatives of S(AB) by h_x, e_x, h_p and e_p; infinite ones where Q is 0.

        At the worst unseen gain of P those by the other three are the slopes of the largest value
        itself: a maximum does not move to first order.

        Args:
            h_p: gain of P.
            quality: Q there.
            by_product: as `UnseenGain` has it.
        """
        m_x, m_p, h_x, e_x, e_p = self.m_x, self.m_p, self.h_x, self.e_x, self.e_p
        by_total, by_own_product = two_mode_slopes(self._total(h_p), self._delta * quality)
        by_quality = self._delta * (by_own_product if by_product is None else by_product)
        both = m_x * m_p * _complement(h_x, h_p)
        apart = h_x - h_p
        return (
            2 * by_total * (m_x * (apart + e_p * h_x) - m_p * h_p - both * h_p)
            - 2 * by_quality * (e_p * h_x + apart),
            by_total * (1 + e_p + h_p**2 * m_p) + by_quality * (1 + e_p - h_p**2),
            2 * by_total * (m_p * (e_x * h_p - apart) - m_x * h_x - both * h_x)
            - 2 * by_quality * (e_x * h_p - apart),
            by_total * (1 + e_x + h_x**2 * m_x) + by_quality * (1 + e_x - h_x**2),
        )

    def worst_gain(self) -> UnseenGain:
        """The gain of P with the largest S(AB) where nothing is sent in P (m_p = 0).

        Q = noisy (reach^2 - offset^2) around its centre, so that nothing cancels at the edges. The
        entropy is concave in the offset and rises towards the edge below: the root of its slope is
        looked for by the logarithm of the distance from there, in which the slope is nearly
        straight however close the edge is.

        Raises:
            ConfigurationError: no quantum channel has this gain of X.
        """
        noisy, m_x, h_x = 1 + self.e_x, self.m_x, self.h_x
        added = noisy - h_x**2
        if added < -ROUNDING * noisy:
            raise impossible_moments("the return is brighter than its noise allows", added)
        reach = math.sqrt(max(0.0, self.noise_product) * max(0.0, added)) / noisy
        centre, most = h_x / noisy, noisy * reach * reach

        def at(exponent: float) -> tuple[float, float, float, float]:
            """Gain, Q and both slopes of the entropy."""
            inwards = math.exp(exponent)
            gain = centre + reach * math.expm1(exponent) if exponent else centre
            quality = most * inwards * (2 - inwards)
            return gain, quality, *two_mode_slopes(self._total(gain), m_x * quality)

        def slope(exponent: float) -> float:
            """Over 2 m_x reach, by the distance from the edge over the reach."""
            _, _, by_total, by_product = at(exponent)
            return noisy * reach * -math.expm1(exponent) * by_product - h_x * by_total

        if m_x == 0 or h_x == 0:
            return UnseenGain(gain=centre, quality=most)
        if most < _NO_ROOM:
            return UnseenGain(gain=centre, quality=most, by_product=math.inf)
        exponent = _falling_root(slope, h_x * at(0.0)[2])
        gain, quality, by_total, _ = at(exponent)
        if exponent > _FARTHEST:
            return UnseenGain(gain=gain, quality=quality)
        return UnseenGain(gain=gain, quality=quality, by_product=h_x * by_total / (noisy * reach))

    @property
    def _delta(self) -> float:
        return self.m_x + self.m_p + self.m_x * self.m_p

    def _total(self, h_p: float) -> float:
        """Sum of nu^2 - 1."""
        m_x, m_p, h_x = self.m_x, self.m_p, self.h_x
        missing = _complement(h_x, h_p)
        total = (
            m_x * (missing + h_x * (h_x - h_p))
            + m_p * (missing + h_p * (h_p - h_x))
            + m_x * m_p * missing**2
            + self.noise_product
            + self.e_x * h_p**2 * m_p
            + self.e_p * h_x**2 * m_x
        )
        # It is >= 0 for a physical state; rounding at the edge may say -1e-20.
        return max(0.0, total)


def _complement(one: float, two: float) -> float:
    """1 - a b, exact to rounding where both are near 1."""
    return (1 - one) + one * (1 - two)


def _falling_root(function: Callable[[float], float], scale: float) -> float:
    """Where a falling function of [_FARTHEST, 0] is 0, by the method of Anderson and Bjorck.

    BIT 13, 253 (1973). _FARTHEST if the function is not above 0 even there.
    """
    high, at_high = 0.0, function(0.0)
    low, at_low = _FIRST_STEP, function(_FIRST_STEP)
    while at_low <= 0:
        if low == _FARTHEST:
            return low
        fall = (at_low - at_high) / (high - low)
        beyond = low + at_low / fall - 1 if fall > 0 else 2 * low
        high, at_high = low, at_low
        low = max(_FARTHEST, min(beyond, low - 1))
        at_low = function(low)
    for _ in range(_STEPS):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if abs(value) <= _ROOT_ERROR * scale or not low < middle < high:
            return middle
        if value > 0:
            kept = 1 - value / at_low
            at_high *= kept if kept > 0 else 0.5
            low, at_low = middle, value
        else:
            kept = 1 - value / at_high
            at_low *= kept if kept > 0 else 0.5
            high, at_high = middle, value
    return high
