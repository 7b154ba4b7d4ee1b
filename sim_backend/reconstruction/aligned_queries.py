"""Weights from the light of K queries that came in disguise: rows matched first, then averaged.

A server that permutes and rescales its rows and mixes dummies among them sends the same weights all
the same. The attacker homodynes what it kept of every query, takes the rows of the first query as
its own numbering (any numbering is as good: the network is the same), finds for every later query
which row is which and at what scale, and averages. Two ways: one assignment at a time (Kuhn, Naval
Res. Logist. Q. 2, 83 (1955)), or the probabilities of all of them (expectation maximisation, with
doubly stochastic probabilities after Sinkhorn and Knopp, Pacific J. Math. 21, 343 (1967)). Each row
is scored against what all other queries say, so that it does not vote for itself.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from sim_backend.reconstruction import _checks

__all__ = [
    "AlignmentKnowledge",
    "AlignmentWay",
    "DisguisedCopies",
    "align_and_average",
    "average_in_place",
    "disguised_copies",
]

Array = NDArray[np.float64]
AlignmentWay: TypeAlias = Literal["assignment", "probabilities"]

_SINKHORN_ROUNDS = 30
_SCALES = 11
"""Points of the grid of scales."""

_EDGE_ROUNDS = 10

_LEAST_VARIANCE = 0.01
"""Of the mean one, so that no direction is given up for good."""


@dataclass(frozen=True, kw_only=True)
class DisguisedCopies:
    """What an attacker kept of K queries.

    Attributes:
        light: homodyned quadratures `(queries, rows, modes)`, SNU, noise variance 1.
        first_means: the rows of the weights as the first query sent them, `(units, modes)`: the
            truth in the attacker's numbering and scale.
        first_places: where they stand in the first query, `(units,)`.
        places: where each of these units stands in every query, `(queries, units)`.
        energies: photons of every query over the mean, `(queries,)`.
    """

    light: Array
    first_means: Array
    first_places: NDArray[np.int64]
    places: NDArray[np.int64]
    energies: Array


@dataclass(frozen=True, kw_only=True)
class AlignmentKnowledge:
    """What the attacker knows beforehand: all of the server's settings.

    Attributes:
        fraction: f of the light that it kept.
        signal_variance_snu: of a weight's mean at launch, 4 mu.
        rescale: largest factor of a row.
        photons: largest factor of a query's photon number.
    """

    fraction: float
    signal_variance_snu: float
    rescale: float = 1.0
    photons: float = 1.0


def disguised_copies(
    generator: np.random.Generator,
    means_snu: Array,
    known: AlignmentKnowledge,
    *,
    queries: int,
    permute: bool,
    dummies: int,
) -> DisguisedCopies:
    """The kept light of K queries, homodyned.

    Args:
        generator: of all draws.
        means_snu: the rows `(units, modes)` as they are sent without defences.
        known: fraction kept, and the largest factors of the defences.
        queries: K.
        permute: rows in a random order.
        dummies: fresh random rows at random places.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    _checks.count("number of queries", queries)
    _checks.count("number of dummies", dummies, 0)
    fraction = _checks.within("fraction of the light", known.fraction, 0, 1, open_low=True)
    units, modes = means_snu.shape
    rows = units + dummies
    rms = math.sqrt(float(np.mean(means_snu**2)))
    light = np.empty((queries, rows, modes))
    first = np.empty_like(means_snu)
    places = np.empty((queries, units), dtype=np.int64)
    energies = np.empty(queries)
    for query in range(queries):
        chosen = generator.permutation(rows)[:units]
        places[query] = chosen if permute else np.sort(chosen)
        scales = known.rescale ** generator.uniform(-1, 1, units)
        common = math.sqrt(known.photons ** generator.uniform(-1, 1))
        # The server keeps the layer's mean photon number, whatever the scales are.
        energy = float(np.mean((scales[:, None] * means_snu) ** 2))
        scales *= common * rms / math.sqrt(energy)
        energies[query] = common**2
        sent = rms * common * generator.standard_normal((rows, modes))
        sent[places[query]] = scales[:, None] * means_snu
        if query == 0:
            first = sent[places[0]]
        light[query] = math.sqrt(fraction) * sent + generator.standard_normal(sent.shape)
    return DisguisedCopies(
        light=light, first_means=first, first_places=places[0], places=places, energies=energies
    )


def average_in_place(copies: DisguisedCopies, known: AlignmentKnowledge) -> Array:
    """The naive estimate `(units, modes)`: row by row where it stands, as if nothing had moved."""
    mean = copies.light.mean(axis=0)
    return np.asarray(mean[copies.first_places] / math.sqrt(known.fraction))


def align_and_average(
    copies: DisguisedCopies,
    known: AlignmentKnowledge,
    *,
    way: AlignmentWay,
    second_moments: bool = False,
    rounds: int = 8,
) -> tuple[Array, float]:
    """The estimate after matching rows: `(units, modes)`, and the share matched rightly.

    Args:
        copies: what was kept.
        known: the server's settings.
        way: one assignment at a time, or the probabilities of all.
        second_moments: weigh the modes by what all rows of all queries say of the weights'
            covariance, which no permutation hides; worth it where the weights do not fill their
            space evenly.
        rounds: how often every query is matched anew, the first time in its turn.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    _checks.count("number of rounds", rounds)
    variances, basis = _principal_axes(copies.light, known, second_moments)
    light = (copies.light @ basis).astype(np.float32)
    queries, rows, modes = light.shape
    factors, prior = _scale_grid(known)
    amplitudes = math.sqrt(known.fraction) * factors
    base = 1 / variances[None, :]
    sums = np.zeros((queries, rows, modes), dtype=np.float32)
    weights = np.zeros((queries, rows))
    sums[0], weights[0] = math.sqrt(known.fraction) * light[0], known.fraction
    total, weight = sums[0].astype(np.float64), weights[0].copy()
    shares = np.ones(queries)
    for _ in range(rounds):
        for query in range(1, queries):
            total -= sums[query]
            weight -= weights[query]
            templates = total / (base + weight[:, None])
            spread = 1 / (base[0] + weight.mean())
            scores, mean, square = _scores(light[query], templates, spread, amplitudes, prior)
            match = _match(scores, way)
            sums[query] = ((match * mean).T @ light[query]).astype(np.float32)
            weights[query] = (match * square).sum(axis=0)
            total += sums[query]
            weight += weights[query]
            shares[query] = float(np.mean(match[copies.places[query], copies.first_places]))
    estimate = (total / (base + weight[:, None])) @ basis.T
    return np.asarray(estimate[copies.first_places]), float(
        shares[1:].mean()
    ) if queries > 1 else 1.0


def _principal_axes(
    light: Array, known: AlignmentKnowledge, second_moments: bool
) -> tuple[Array, Array]:
    """Variances of the weights along the principal axes of all rows, and these axes.

    Sample variances beyond the edge of what noise alone spreads are taken for real, less what noise
    added to them; the others are one, their mean (Donoho, Gavish and Johnstone, arXiv 1311.0851).
    """
    modes = light.shape[-1]
    if not second_moments:
        return np.full(modes, known.signal_variance_snu), np.eye(modes)
    rows = light.reshape(-1, modes)
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    shape = modes / len(rows)
    edge = (1 + math.sqrt(shape)) ** 2
    level, beyond = float(values.mean()), np.zeros(modes, dtype=np.bool_)
    for _ in range(_EDGE_ROUNDS):
        beyond = values > edge * level
        level = float(values[~beyond].mean()) if not beyond.all() else float(values.min())
    found = np.full(modes, level)
    ratio = values[beyond] / level + 1 - shape
    root = np.sqrt(np.maximum(ratio**2 - 4 * values[beyond] / level, 0.0))
    found[beyond] = level * (ratio + root) / 2
    lowest = _LEAST_VARIANCE * known.signal_variance_snu
    return np.maximum((found - 1) / known.fraction, lowest), axes


def _scale_grid(known: AlignmentKnowledge) -> tuple[Array, Array]:
    """Factors between a row and the same row of the first query, and their log-probabilities."""
    widest = 2 * math.log(known.rescale) + math.log(known.photons)
    if not widest:
        return np.ones(1), np.zeros(1)
    logs = np.linspace(-widest, widest, _SCALES + 2)[1:-1]
    # A difference of two uniform numbers is triangular.
    weights = 1 - np.abs(logs) / widest
    return np.exp(logs), np.log(weights / weights.sum())


def _scores(
    rows: NDArray[np.float32],
    templates: Array,
    spread: Array,
    amplitudes: Array,
    prior: Array,
) -> tuple[Array, Array, Array]:
    """Log-likelihood of every row under every template, and its amplitude's first two moments.

    y = a (t + e) + noise with e of the variance `spread` of each mode, summed over the grid of a.
    """
    logs = np.empty((len(amplitudes), len(rows), len(templates)))
    squares = rows**2
    for index, a in enumerate(amplitudes):
        variance = 1 + a**2 * spread
        weighted = (templates / variance).astype(np.float32)
        products = rows @ weighted.T
        own = (squares @ (1 / variance).astype(np.float32))[:, None]
        norms = np.sum(templates * weighted, axis=1)[None, :]
        distance = own - 2 * a * products + a**2 * norms
        logs[index] = prior[index] - 0.5 * (distance + np.sum(np.log(variance)))
    if len(amplitudes) == 1:
        one = np.ones_like(logs[0])
        return logs[0], amplitudes[0] * one, amplitudes[0] ** 2 * one
    scores = logsumexp(logs, axis=0)
    share = np.exp(logs - scores)
    a = amplitudes[:, None, None]
    return scores, np.sum(share * a, axis=0), np.sum(share * a**2, axis=0)


def _match(scores: Array, way: AlignmentWay) -> Array:
    """Which row is which template: a permutation, or doubly stochastic probabilities."""
    if way == "assignment":
        found = np.zeros_like(scores)
        found[linear_sum_assignment(scores, maximize=True)] = 1.0
        return found
    log = scores - scores.max()
    for _ in range(_SINKHORN_ROUNDS):
        log = log - logsumexp(log, axis=1, keepdims=True)
        log = log - logsumexp(log, axis=0, keepdims=True)
    return np.asarray(np.exp(log))
