"""Weight leakage from many copies of a weight to an adversary with one memory over all of them.

K copies of a weight may meet the same memory one after the other, so that the noise of their
returns is correlated. The server's tests see averages over copies: a mean gain, and the mean
variances v_x and v_p of a copy about the known mean. `general_bound` at K times the modulation and
these moments is what K copies tell behind a channel without memory from copy to copy, and what
they tell to any adversary if the moments are those of the merged return. What follows from the
averages alone is less.

A passive interferometer turns the K returns into the merged one, sum X_i/sqrt(K), and K - 1
others. Its gain from the merged launch is the mean gain h; gains that differ from copy to copy are
in v_x. With the variances V_x and V_p of the merged return about its mean,

traces do not change: V_x and those of the others add up to K v_x, and the same for P;
Heisenberg: the variances of each of the others have a product of at least 1;
Cauchy and Schwarz over the others: (K v_x - V_x)(K v_p - V_p) >= (K - 1)^2.

Relative entropy falls when a part is dropped, so that what the adversary has is bounded by the
merged return alone (as `general_bound` argues for the modes of a row), and never falls when the
adversary adds noise that it knows: the bound is `weight_bits_general` at the worst (V_x, V_p) on
this hyperbola. With s for the room that X gives to P, n = K - 1 and E = v_x v_p - 1,

V_x = v_x - n s,  V_p = v_p + n (E + v_p s)/(v_x + s),

and along it the bound is concave, being concave and growing in the variances. All of it is linear
in second moments, so a mean over weights leaks no more than the bound of the mean.

The bound is reached: a Gaussian channel between the merged modes, and K - 1 squeezed states,
variances v_x + s and its inverse, in place of the others. Two attacks show how. A measurement of X
without demolition (Grangier, Levenson and Poizat, Nature 396, 537 (1998)) by one meter that meets
all copies in turn: noise k^2 in the P of a copy, K k^2 in that of the merged return. And, far
better, for who can hold all copies at once: merge them, keep the fraction f, amplify X of the rest
without noise (the merged return is squeezed by r, exp(-r) = 1 - f), and squeeze the others the
other way. X and P of a copy then have the same noise, of the second order in f:
(cosh r + (K - 1) cosh q)/K - 1 with sinh r = (K - 1) sinh q, about f^2/(2 (K - 1)).

That a copy may have to be back before the next one is launched, which only attacks of the first
kind can do, is not made use of.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from protocol.leakage import _checks
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)
from protocol.leakage.joint_state import ROUNDING, impossible_moments

__all__ = ["weight_bits_with_memory"]

_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 80
_OFF_THE_ENDS = 1e-9


def weight_bits_with_memory(
    modulation_x_snu: float, modulation_p_snu: float, channel: ReturnedChannel, copies: int
) -> float:
    """Client or thief with one memory over all copies of a weight; bits per optical symbol.

    At most, for the averages that tests of single copies see. One copy is `weight_bits_general`;
    no number of them is above `weight_bits_general_untested` of all their light. Where u photons
    were kept beside v that came back, count the copies that came back and take the modulation of
    one times (v + u)/v and the gain times sqrt(v/(v + u)).

    Known displacements of P, which are fresh for every copy, show how the P of a copy answers to
    its own, and not the gain of the merged return: with nothing else sent in P its gain is at its
    worst, and the noise of P is the one about their mean.

    Args:
        modulation_x_snu: m_x of one copy, mean square of the sent X, >= 0.
        modulation_p_snu: m_p of one copy; 0 for the real encoding.
        channel: means over the copies, as the tests saw them.
        copies: K >= 1.

    Raises:
        ConfigurationError: a value is out of range, or no quantum channel has these moments.
    """
    number = _checks.count("number of copies", copies)
    m_x, m_p = number * modulation_x_snu, number * modulation_p_snu
    if number == 1:
        return weight_bits_general(m_x, m_p, channel)
    if channel.gain_x == 0 and (m_p == 0 or channel.gain_p == 0):
        return weight_bits_general_untested(m_x, m_p)
    if channel.excess_noise_p_snu is None:
        # P without a limit: the others may be squeezed until the merged X has all the variance.
        return weight_bits_general(m_x, m_p, _untested(channel, number))
    room = _Room(
        channel=channel,
        noise_p_snu=channel.excess_noise_p_snu,
        others=number - 1,
        gain_p_seen=m_p > 0,
    )

    def bits(given: float) -> float:
        return weight_bits_general(m_x, m_p, room.merged(given))

    low, high = room.ends()
    found = bits(0.0) if low <= 0 <= high else 0.0
    if low < high:
        found = max(found, _largest_of_concave(bits, low, high))
    # Where all of it leaks, rounding may say a little more than all.
    return min(found, weight_bits_general_untested(m_x, m_p))


def _untested(channel: ReturnedChannel, copies: int) -> ReturnedChannel:
    return ReturnedChannel(
        gain_x=channel.gain_x,
        excess_noise_x_snu=copies * (1 + channel.excess_noise_x_snu) - 1,
    )


@dataclass(frozen=True, kw_only=True)
class _Room:
    """Merged channels that the averages over copies leave room for.

    Attributes:
        channel: the averages.
        noise_p_snu: excess noise of P among them.
        others: n = K - 1, at least 1.
        gain_p_seen: whether the gain of P is among them.
    """

    channel: ReturnedChannel
    noise_p_snu: float
    others: int
    gain_p_seen: bool

    def merged(self, given: float) -> ReturnedChannel:
        """The merged channel where each of the others has the variance v_x + s in X.

        Args:
            given: s.
        """
        e_x, e_p = self.channel.excess_noise_x_snu, self.noise_p_snu
        noise = self._noise_product + (1 + e_p) * given
        return ReturnedChannel(
            gain_x=self.channel.gain_x,
            gain_p=self.channel.gain_p,
            excess_noise_x_snu=e_x - self.others * given,
            excess_noise_p_snu=e_p + self.others * noise / (1 + e_x + given),
        )

    def ends(self) -> tuple[float, float]:
        """Smallest and largest s that a quantum channel allows.

        With N the added noises v - h^2, and Q = N_x N_p - (1 - h_x h_p)^2 of the averages, the Q of
        the merged channel times v_x + s is F_0 + F_1 s - F_2 s^2,

        F_0 = v_x Q + n N_x E,  F_1 = Q - n^2 E + n (v_x h_p^2 - v_p h_x^2),
        F_2 = n (n v_p + N_p).

        Where the gain of P is not seen, V_x V_p >= 1 takes the place of Q >= 0, which is the same
        at gains of 0, and V_x >= h_x^2 is a limit of its own. The averages themselves (s = 0) need
        not be a channel's: a mean gain may be brighter than the mean noise of a copy allows.

        Raises:
            ConfigurationError: no quantum channel over the copies has these averages.
        """
        n, h_x, noise = self.others, self.channel.gain_x, self._noise_product
        v_x, v_p = 1 + self.channel.excess_noise_x_snu, 1 + self.noise_p_snu
        added = v_x - h_x**2
        if not self.gain_p_seen:
            low, high = _roots((n + 1) * v_x * noise, (1 - n**2) * noise, n * (n + 1) * v_p)
            # A return of which nothing was lost and nothing added has no room, rounding or not.
            high = min(high, added / n if abs(added) > ROUNDING * v_x else 0.0)
        else:
            h_p = self.channel.gain_p
            quality = noise - (v_x - 1) * h_p**2 - (v_p - 1) * h_x**2 - (h_x - h_p) ** 2
            if abs(quality) <= ROUNDING * (1 + h_x**2 + h_p**2) * (1 + noise):
                quality = 0.0
            low, high = _roots(
                v_x * quality + n * added * noise,
                quality - n**2 * noise + n * (v_x * h_p**2 - v_p * h_x**2),
                n * ((n + 1) * v_p - h_p**2),
            )
            high = min(high, added / n)
        if low > high:
            raise impossible_moments("the return is brighter than its noise allows", high - low)
        return low, high

    @property
    def _noise_product(self) -> float:
        """E, nu^2 - 1 of a copy's return once the weights are known."""
        e_x, e_p = self.channel.excess_noise_x_snu, self.noise_p_snu
        noise = e_x + e_p + e_x * e_p
        if noise < -ROUNDING:
            raise impossible_moments("the returned noise is below that of vacuum", noise)
        return max(0.0, noise)


def _roots(at_zero: float, slope: float, bend: float) -> tuple[float, float]:
    """Roots of F_0 + F_1 s - F_2 s^2, without differences of what is alike.

    Raises:
        ConfigurationError: it is below 0 everywhere, or not bent down.
    """
    square = slope**2 + 4 * at_zero * bend
    if bend <= 0 or square < 0:
        raise impossible_moments("the return is brighter than its noise allows", min(bend, square))
    far = (abs(slope) + math.sqrt(square)) / 2
    if far == 0:
        return 0.0, 0.0
    near = at_zero / far
    return (-near, far / bend) if slope >= 0 else (-far / bend, near)


def _largest_of_concave(function: Callable[[float], float], low: float, high: float) -> float:
    """Largest value of a concave function >= 0, by golden sections.

    It stays clear of the ends, where rounding leaves what is possible. That costs such a function
    no more than the same part of its largest value, which is given back.
    """
    margin = _OFF_THE_ENDS * (high - low)
    low, high = low + margin, high - margin
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    largest = max(at_left, at_right)
    for _ in range(_STEPS):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        largest = max(largest, at_left, at_right)
    return largest * (1 + 2 * _OFF_THE_ENDS)
