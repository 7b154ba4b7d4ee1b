"""How the false-alarm rate of a session is shared over its looks.

A rate per block is not a rate per session: 1e5 blocks at 1e-6 abort an honest session with 9.5 %.
Lan and DeMets, Biometrika 70, 659 (1983), for the spending functions.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from drivers.errors import ConfigurationError

__all__ = [
    "SpendingFunction",
    "honest_abort_probability",
    "obrien_fleming_spending",
    "per_block_rate",
    "pocock_spending",
    "spend",
]

Array = NDArray[np.float64]
SpendingFunction = Callable[[float, float], float]


def honest_abort_probability(alpha: float, blocks: int) -> float:
    """Probability that an honest session is aborted: 1 - (1 - alpha)^L.

    Args:
        alpha: false-alarm probability of one block, in [0, 1).
        blocks: L independent blocks.
    """
    _check(alpha, blocks)
    return -math.expm1(blocks * math.log1p(-alpha))


def per_block_rate(session_alpha: float, blocks: int) -> float:
    """Rate of each of L independent blocks for a session's rate, 1 - (1 - alpha)^(1/L) (Sidak).

    Args:
        session_alpha: false-alarm probability of the session, in [0, 1).
        blocks: L.
    """
    _check(session_alpha, blocks)
    return -math.expm1(math.log1p(-session_alpha) / blocks)


def pocock_spending(share: float, alpha: float) -> float:
    """Pocock's type: alpha ln(1 + (e - 1) t), spent early; `share` t of the session is done."""
    return alpha * math.log1p((math.e - 1) * share)


def obrien_fleming_spending(share: float, alpha: float) -> float:
    """O'Brien and Fleming's type: 2 - 2 Phi(z_(alpha/2)/sqrt t), kept for the end."""
    if share <= 0:
        return 0.0
    return 2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(share)))


def spend(spending: SpendingFunction, shares: Array, alpha: float) -> Array:
    """Rate of every look, so that all of them together stay within alpha (union bound).

    Args:
        spending: cumulative rate by (share of the session, alpha).
        shares: done at every look, growing, in (0, 1].
        alpha: of the session.

    Raises:
        ConfigurationError: shares that do not grow, or out of range.
    """
    _check(alpha, 1)
    steps = np.diff(shares, prepend=0.0)
    if not len(shares) or not np.all(steps > 0) or shares[-1] > 1:
        raise ConfigurationError("shares of the session must grow within (0, 1]")
    total = np.array([spending(float(share), alpha) for share in shares])
    rates: Array = np.diff(total, prepend=0.0)
    return rates


def _check(alpha: float, blocks: int) -> None:
    if not 0 <= alpha < 1:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in [0, 1)")
    if blocks < 1:
        raise ConfigurationError(f"blocks is {blocks}, a session has at least 1")
