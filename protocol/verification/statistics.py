"""Tail probabilities of sums of chi-squares, as normal scores."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["tail_score"]

Array = NDArray[np.float64]

_NEWTON_STEPS = 30


def tail_score(value: ArrayLike, weights: ArrayLike, degrees: ArrayLike) -> Array:
    """Normal score of `value` under the sum of weighted chi-squares.

    The score z has the tail probability of a standard normal that `value` has under
    sum_k w_k chi^2(d_k); positive above the median. Saddlepoint approximation of Lugannani and Rice
    in Barndorff-Nielsen's form r* = r + ln(u/r)/r (Daniels, Int. Stat. Rev. 55, 37 (1987)), whose
    relative error in the tail stays small where a normal approximation fails.

    Args:
        value: observed sums, any shape, above 0.
        weights: non-negative, the same shape with one more axis in front for the terms k.
        degrees: likewise, degrees of freedom, 0 switches a term off.

    Returns:
        Scores, of the shape of `value`; minus infinity for a value of 0 or less.
    """
    x = np.atleast_1d(np.asarray(value, dtype=np.float64))
    w = np.asarray(weights, dtype=np.float64)
    d = np.asarray(degrees, dtype=np.float64)
    w = np.broadcast_to(w.reshape(w.shape + (1,) * (x.ndim + 1 - w.ndim)), (len(w), *x.shape))
    d = np.broadcast_to(d.reshape(d.shape + (1,) * (x.ndim + 1 - d.ndim)), w.shape)
    used = (w > 0) & (d > 0)
    terms = used.reshape(len(used), -1).any(axis=1)
    w, d = np.where(used, w, 0.0)[terms], np.where(used, d, 0.0)[terms]
    positive = x > 0
    safe = np.where(positive, x, 1.0)
    t = _saddlepoint(safe, w, d)
    shift = 2 * w * t
    mean, variance = (d * w).sum(0), (2 * d * w**2).sum(0)
    # t x - K(t) without the difference of two large numbers.
    r = np.sign(t) * np.sqrt((d * _excess_entropy(shift)).sum(0))
    u = t * np.sqrt((2 * d * w**2 / (1 - shift) ** 2).sum(0))
    near = np.abs(r) < 1e-3  # at the mean the formula is 0/0; its limit is the skewness term
    third = (8 * d * w**3).sum(0)
    limit = (safe - mean) / np.sqrt(variance) + third / (6 * variance**1.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(near, limit, r + np.log(u / r) / r)
    return np.where(positive, score, -np.inf)


def _excess_entropy(shift: Array) -> Array:
    """s/(1 - s) + ln(1 - s), by its series where that cancels."""
    small = np.abs(shift) < 1e-3
    s = np.where(small, 0.0, shift)
    series = shift**2 * (1 / 2 + shift * (2 / 3 + shift * (3 / 4 + shift * (4 / 5))))
    values: Array = np.where(small, series, s / (1 - s) + np.log1p(-s))
    return values


def _saddlepoint(x: Array, w: Array, d: Array) -> Array:
    """Solve sum_k d_k w_k / (1 - 2 w_k t) = x below the pole of the cumulant, by guarded Newton."""
    low = -d.sum(0) / (2 * x)
    high = 1 / (2 * w.max(0))
    mean: Array = (d * w).sum(0)
    even: Array = mean / d.sum(0)
    t: Array = np.clip((1 - mean / x) / (2 * even), low, None)
    t = np.where(t < high, t, (low + high) / 2)
    for _ in range(_NEWTON_STEPS):
        shrink = 1 - 2 * w * t
        excess = (2 * d * w**2 * t / shrink).sum(0) - (x - mean)
        low, high = np.where(excess < 0, t, low), np.where(excess > 0, t, high)
        step = t - excess / (2 * d * w**2 / shrink**2).sum(0)
        new = np.where((step > low) & (step < high), step, (low + high) / 2)
        done = np.max(np.abs(new - t) / (np.abs(t) + 1e-9 / even)) < 1e-12
        t = new
        if done:
            break
    return t
