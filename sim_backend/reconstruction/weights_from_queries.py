"""The server's weights from queries inside the rules, and from light that was kept.

Query k asks with the unit data vector x_k; the client's outcome for a row of means q is
a (q . x_k) + noise of variance v (arXiv 2408.05629). Least squares, and the posterior mean for
Gaussian weights, which is the maximum of the posterior as well and needs no full set of queries.
Kept light is homodyned: sqrt(f) q + vacuum, K copies averaged.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = [
    "WeightGain",
    "kept_light_estimate",
    "least_squares",
    "orthogonal_queries",
    "posterior_mean",
    "query_outcomes",
    "random_queries",
    "weight_gain",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeightGain:
    """What estimates of weights are worth, measured against the weights.

    Attributes:
        signal_to_noise: r^2/(1 - r^2) with the correlation r of estimate and weight, that of a
            Gaussian channel as good; a factor on the estimate does not change it.
        bits: per weight, -0.5 log2(1 - r^2): what jointly Gaussian numbers hold, and for Gaussian
            weights at most what the estimates hold.
        bits_error: its standard error.
    """

    signal_to_noise: float
    bits: float
    bits_error: float


def orthogonal_queries(generator: np.random.Generator, queries: int, modes: int) -> Array:
    """K unit data vectors that go round a random orthonormal basis; `(queries, modes)`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    count = _checks.count("number of queries", queries)
    square = generator.standard_normal((_checks.count("number of modes", modes), modes))
    basis, _ = np.linalg.qr(square)
    return np.asarray(basis[np.arange(count) % modes], dtype=np.float64)


def random_queries(generator: np.random.Generator, queries: int, modes: int) -> Array:
    """K unit data vectors in random directions; `(queries, modes)`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    shape = (_checks.count("number of queries", queries), _checks.count("number of modes", modes))
    vectors = generator.standard_normal(shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


def query_outcomes(
    generator: np.random.Generator,
    queries: Array,
    means_snu: Array,
    *,
    signal_gain: float,
    outcome_variance_snu: float,
) -> Array:
    """The client's outcomes, `(queries, rows)`: a (q . x) and noise of variance v.

    Args:
        generator: of the noise.
        queries: `(queries, modes)`.
        means_snu: `(rows, modes)`.
        signal_gain: a, above 0.
        outcome_variance_snu: v, above 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    a = _checks.within("signal gain", signal_gain, 0, open_low=True)
    v = _checks.within("variance of the outcome in SNU", outcome_variance_snu, 0, open_low=True)
    exact = a * queries @ means_snu.T
    return np.asarray(exact + math.sqrt(v) * generator.standard_normal(exact.shape))


def least_squares(queries: Array, outcomes: Array, *, signal_gain: float) -> Array:
    """Means of the rows by least squares, `(rows, modes)`; needs queries that span the modes.

    Raises:
        ConfigurationError: fewer queries than modes, or some that do not span them.
    """
    solution, _, rank, _ = np.linalg.lstsq(signal_gain * queries, outcomes, rcond=None)
    if rank < queries.shape[1]:
        raise ConfigurationError(
            f"reconstruction: {len(queries)} queries span {rank} of {queries.shape[1]} modes; ask "
            "more, or take the posterior mean"
        )
    return np.asarray(solution.T, dtype=np.float64)


def posterior_mean(
    queries: Array,
    outcomes: Array,
    *,
    signal_gain: float,
    outcome_variance_snu: float,
    weight_variance_snu: float,
) -> Array:
    """Means of the rows as the posterior mean for Gaussian weights, `(rows, modes)`.

    (f X^T X + 1/V)^-1 X^T y a/v with f = a^2/v and the variance V of the weights' means.
    """
    ratio = signal_gain / outcome_variance_snu
    precision = signal_gain * ratio * queries.T @ queries
    precision[np.diag_indices_from(precision)] += 1 / weight_variance_snu
    return np.asarray(np.linalg.solve(precision, ratio * queries.T @ outcomes).T, dtype=np.float64)


def kept_light_estimate(
    generator: np.random.Generator, means_snu: Array, *, fraction: float, copies: int
) -> Array:
    """Means of the rows from the fraction f of K copies, homodyned and averaged; `(rows, modes)`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    f = _checks.within("fraction of the light", fraction, 0, 1, open_low=True)
    noise = 1 / math.sqrt(f * _checks.count("number of copies", copies))
    return np.asarray(means_snu + noise * generator.standard_normal(means_snu.shape))


def weight_gain(estimate: Array, means_snu: Array) -> WeightGain:
    """What an estimate of the rows is worth.

    Args:
        estimate: `(rows, modes)`.
        means_snu: the truth, `(rows, modes)`, of mean 0.

    Raises:
        ConfigurationError: the shapes differ.
    """
    if estimate.shape != means_snu.shape:
        raise ConfigurationError(
            f"reconstruction: the estimate has the shape {estimate.shape}, the weights "
            f"{means_snu.shape}; they must be the same"
        )
    power, energy = np.mean(means_snu**2), np.mean(estimate**2)
    squared = float(np.mean(estimate * means_snu) ** 2 / (power * energy))
    number = means_snu.size
    # Of a correlation of Gaussian pairs: (1 - r^2)/sqrt(n); and 1/(2 n) nats at r = 0.
    spread = math.sqrt(squared / number + 1 / (2 * number**2))
    return WeightGain(
        signal_to_noise=squared / (1 - squared),
        bits=-0.5 * math.log1p(-squared) / math.log(2),
        bits_error=spread / math.log(2),
    )
