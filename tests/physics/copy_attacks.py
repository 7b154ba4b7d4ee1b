"""Adversaries on many copies of a weight, written out mode by mode.

Every copy, every ancilla and whatever the adversary keeps is a mode of its own; what it learns is
Holevo's information of its own modes, S(E) - S(E | w), with no entangled pair and no bound of
`protocol.leakage` in between. The light starts as vacuum displaced by the weight, all ancillas as
vacuum, so that the state is pure and E is everything but what was returned.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from protocol.leakage.covariance import covariance_entropy_bits, symplectic_form
from protocol.leakage.general_bound import ReturnedChannel

__all__ = [
    "Seen",
    "apart",
    "attacked",
    "merge",
    "merged_channel",
    "one_memory",
    "random_unitary",
    "tapped_and_hidden",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the server's sums say of the returns, and what the adversary has.

    Attributes:
        gain: amplitude gain of X, mean over the copies.
        gain_p: likewise of P; 0 where nothing is sent in P.
        excess_x: variance about that gain's mean less 1, mean over the copies.
        excess_p: likewise of P.
        bits: Holevo's information of all that was not returned.
    """

    gain: float
    gain_p: float
    excess_x: float
    excess_p: float
    bits: float

    def channel(self, share: float) -> ReturnedChannel:
        """The channel of the returns where the share of the copies came back."""
        return ReturnedChannel(
            gain_x=abs(self.gain) * math.sqrt(share),
            gain_p=abs(self.gain_p) * math.sqrt(share),
            excess_noise_x_snu=self.excess_x,
            excess_noise_p_snu=self.excess_p,
        )


def attacked(
    unitary: Array,
    copies: int,
    returned: int,
    modulation: float,
    modulation_p: float = 0.0,
) -> Seen:
    """Play an attack: copies come first, of them the first `returned` go back."""
    covariance = unitary @ unitary.T
    # Columns: what a weight on X, and one on P, moves.
    response = np.stack(
        [unitary[:, start : 2 * copies : 2].sum(axis=1) for start in (0, 1)], axis=1
    )
    power = np.array([modulation, modulation_p])
    x, p = response[0 : 2 * returned : 2], response[1 : 2 * returned : 2]
    gain, gain_p = float(x[:, 0].mean()), float(p[:, 1].mean()) if modulation_p else 0.0
    own = covariance.diagonal()
    moved_x = ((x - np.array([gain, 0.0])) ** 2 @ power).mean()
    moved_p = ((p - np.array([0.0, gain_p])) ** 2 @ power).mean()
    noise, means = covariance[2 * returned :, 2 * returned :], response[2 * returned :]
    everything = covariance_entropy_bits(noise + (means * power) @ means.T)
    return Seen(
        gain=gain,
        gain_p=gain_p,
        excess_x=float(own[0 : 2 * returned : 2].mean() - 1 + moved_x),
        excess_p=float(own[1 : 2 * returned : 2].mean() - 1 + moved_p),
        bits=everything - covariance_entropy_bits(noise),
    )


def random_unitary(rng: np.random.Generator, modes: int, strength: float) -> Array:
    """exp(Omega H) of a random quadratic Hamiltonian."""
    generator = rng.normal(scale=strength, size=(2 * modes, 2 * modes))
    return np.asarray(expm(symplectic_form(modes) @ (generator + generator.T) / 2))


def apart(rng: np.random.Generator, copies: int, returned: int, strength: float) -> Array:
    """Every returned copy meets two ancillas of its own, each in another way."""
    modes = copies + 2 * returned
    whole = np.eye(2 * modes)
    for copy in range(returned):
        involved = [copy, copies + 2 * copy, copies + 2 * copy + 1]
        places = [2 * mode + quadrature for mode in involved for quadrature in (0, 1)]
        whole[np.ix_(places, places)] = random_unitary(rng, 3, strength)
    return whole


def one_memory(copies: int, coupling: float) -> Array:
    """The same memory mode meets all copies, one after the other: H = k x_copy x_memory each.

    A measurement of X without demolition: the memory's P collects the sum of all X, and each copy's
    P is kicked by k times the memory's X, which stays what it is.
    """
    whole = np.eye(2 * (copies + 1))
    for copy in range(copies):
        whole[2 * copy + 1, 2 * copies] = coupling
        whole[2 * copies + 1, 2 * copy] = coupling
    return whole


def merge(copies: int, modes: int) -> Array:
    """A passive interferometer that puts the mean of the copies on mode 0."""
    first = np.eye(copies)
    first[:, 0] = 1.0
    rotated = np.linalg.qr(first)[0].T
    rotated[0] *= math.copysign(1.0, rotated[0, 0])
    whole = np.eye(2 * modes)
    whole[: 2 * copies, : 2 * copies] = np.kron(rotated, np.eye(2))
    return whole


def merged_channel(copies: int, gains: tuple[float, float], merged: Array, other_x: float) -> Array:
    """A Gaussian channel between the merged modes, squeezed vacuum in place of the other returns.

    Squeeze, mix with half of an entangled pair, squeeze: every channel whose gains have a product
    below 1.

    Args:
        copies: K, all returned.
        gains: of X and P from the merged launch to the merged return.
        merged: variances of the merged return's X and P.
        other_x: variance of X of the other returns.
    """
    modes = 2 * copies + 1
    added = merged - np.array(gains) ** 2
    passed = gains[0] * gains[1]
    after = (added[0] / added[1]) ** 0.25
    thermal = math.sqrt(added[0] * added[1]) / (1 - passed)
    forth = merge(copies, modes)
    whole = _squeezed(modes, 0, gains[0] / (after * math.sqrt(passed))) @ forth
    whole = _entangled(modes, copies, copies + 1, math.acosh(thermal) / 2) @ whole
    whole = _mixed(modes, 0, copies, passed) @ whole
    whole = _squeezed(modes, 0, after) @ whole
    for other in range(1, copies):
        whole = _squeezed(modes, copies + 1 + other, math.sqrt(other_x)) @ whole
        whole = _mixed(modes, other, copies + 1 + other, 0.0) @ whole
    return np.asarray(forth.T @ whole)


def tapped_and_hidden(copies: int, fraction: float) -> Array:
    """Tap the merged light, make up for it in X alone, and hide that in the other returns.

    The merged return is squeezed by r with exp(-r) = 1 - f. The others are squeezed the other way
    by q, sinh(r) = (K - 1) sinh(q), so that X and P of a copy have the same noise, of the second
    order in f. K = 2: X of the returns is correlated, P against each other.
    """
    modes = 2 * copies
    forth = merge(copies, modes)
    whole = _mixed(modes, 0, copies, 1 - fraction) @ forth
    whole = _squeezed(modes, 0, 1 / math.sqrt(1 - fraction)) @ whole
    hidden = math.exp(-math.asinh(math.sinh(-math.log1p(-fraction)) / (copies - 1)))
    for other in range(1, copies):
        whole = _squeezed(modes, copies + other, math.sqrt(hidden)) @ whole
        whole = _mixed(modes, other, copies + other, 0.0) @ whole
    return np.asarray(forth.T @ whole)


def _squeezed(modes: int, mode: int, factor: float) -> Array:
    whole = np.eye(2 * modes)
    whole[2 * mode, 2 * mode], whole[2 * mode + 1, 2 * mode + 1] = factor, 1 / factor
    return whole


def _mixed(modes: int, one: int, two: int, transmittance: float) -> Array:
    """A beam splitter."""
    c, s = math.sqrt(transmittance), math.sqrt(1 - transmittance)
    whole = np.eye(modes)
    whole[one, one] = whole[two, two] = c
    whole[one, two], whole[two, one] = s, -s
    return np.asarray(np.kron(whole, np.eye(2)), dtype=np.float64)


def _entangled(modes: int, one: int, two: int, strength: float) -> Array:
    """Two-mode squeezing."""
    whole = np.eye(2 * modes)
    for sign, quadrature in ((1, 0), (-1, 1)):
        a, b = 2 * one + quadrature, 2 * two + quadrature
        whole[a, a] = whole[b, b] = math.cosh(strength)
        whole[a, b] = whole[b, a] = sign * math.sinh(strength)
    return whole
