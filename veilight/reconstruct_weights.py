"""What a client gets of the weights, measured beside what is stated.

Simulated outcomes of `sim_backend.reconstruction` against the formulas of `protocol.leakage`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.receivers import Receiver
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.entropy import gaussian_channel_bits
from protocol.leakage.extraction import client_least_squares_weight_snr
from protocol.leakage.weights import (
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_real,
)
from sim_backend.reconstruction import (
    WeightGain,
    kept_light_estimate,
    least_squares,
    orthogonal_queries,
    posterior_mean,
    query_outcomes,
    weight_gain,
)

__all__ = ["WeightPoint", "measure_weights", "picture_row"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeightPoint:
    """What a client measured of the weights.

    Attributes:
        way: "queries inside the rules" or "light kept".
        copies: queries or copies.
        gain: measured.
        snr_stated: signal-to-noise ratio per weight as stated for the best set of queries.
        bits_bound: stated for this way.
        bits_holevo: stated for a client that could measure all of that light in any way.
    """

    way: str
    copies: int
    gain: WeightGain
    snr_stated: float
    bits_bound: float
    bits_holevo: float


def measure_weights(
    receiver: Receiver,
    *,
    photons_per_symbol: float,
    modes: int,
    rows: int,
    copies: Sequence[int],
    fraction: float,
    seed: int,
) -> list[WeightPoint]:
    """What a client gets of Gaussian weights by K queries, and from a fraction of K copies kept.

    Args:
        receiver: the client's.
        photons_per_symbol: mu at launch, real encoding.
        modes: N.
        rows: weight rows to measure with, which make the statistics.
        copies: numbers of queries, and of copies that are tapped.
        fraction: f of the light kept.
        seed: of all draws.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    generator = np.random.default_rng(seed)
    variance = signal_variance_snu(photons_per_symbol, "real")
    means = math.sqrt(variance) * generator.standard_normal((rows, modes))
    points = []
    for count in copies:
        snr = client_least_squares_weight_snr(photons_per_symbol, receiver.snr_factor, count, modes)
        points.append(
            WeightPoint(
                way="queries inside the rules",
                copies=count,
                gain=weight_gain(_queried(generator, receiver, means, variance, count), means),
                snr_stated=snr,
                bits_bound=gaussian_channel_bits(snr),
                bits_holevo=weight_bits_client_keeps_all_gaussian_real(count * photons_per_symbol),
            )
        )
    for count in copies:
        worth = fraction * count * photons_per_symbol
        kept = kept_light_estimate(generator, means, fraction=fraction, copies=count)
        points.append(
            WeightPoint(
                way="light kept",
                copies=count,
                gain=weight_gain(kept, means),
                snr_stated=4 * worth,
                bits_bound=weight_bits_client_homodynes_all_real(worth),
                bits_holevo=weight_bits_client_keeps_all_gaussian_real(worth),
            )
        )
    return points


def picture_row(
    receiver: Receiver,
    rows: Array,
    *,
    photons_per_symbol: float,
    copies: Sequence[int],
    fraction: float,
    seed: int,
) -> list[tuple[str, list[tuple[int, Array]]]]:
    """The first of some rows as a client gets it, by way and number of queries or copies.

    Args:
        receiver: the client's.
        rows: weights on any scale, `(rows, modes)`.
        photons_per_symbol: mu at launch, real encoding.
        copies: numbers of queries, and of copies that are tapped.
        fraction: f of the light kept.
        seed: of all draws.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    generator = np.random.default_rng(seed)
    variance = signal_variance_snu(photons_per_symbol, "real")
    means = math.sqrt(variance / float(np.mean(np.square(rows)))) * rows[:1]
    queried, kept = [], []
    for count in copies:
        queried.append((count, _queried(generator, receiver, means, variance, count)[0]))
        estimate = kept_light_estimate(generator, means, fraction=fraction, copies=count)
        kept.append((count, estimate[0]))
    return [("queries inside the rules", queried), ("light kept", kept)]


def _queried(
    generator: np.random.Generator,
    receiver: Receiver,
    means: Array,
    variance_snu: float,
    count: int,
) -> Array:
    """Estimates from `count` queries: least squares where they span the modes."""
    queries = orthogonal_queries(generator, count, means.shape[1])
    a, v = receiver.signal_gain, receiver.outcome_variance_snu
    outcomes = query_outcomes(generator, queries, means, signal_gain=a, outcome_variance_snu=v)
    if count >= means.shape[1]:
        return least_squares(queries, outcomes, signal_gain=a)
    return posterior_mean(
        queries,
        outcomes,
        signal_gain=a,
        outcome_variance_snu=v,
        weight_variance_snu=variance_snu,
    )
