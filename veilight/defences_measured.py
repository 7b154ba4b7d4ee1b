"""What each defence buys against an attacker who keeps light, measured beside what is stated.

Simulated light of `sim_backend.reconstruction.aligned_queries`, the best of its attacks each time,
against the bounds of `protocol.leakage` for K copies of the same weights, which hold with defences
as well.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import VeilightError
from protocol.defences.settings import Defences
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.weights import (
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_real,
)
from sim_backend.reconstruction import WeightGain, weight_gain
from sim_backend.reconstruction.aligned_queries import (
    AlignmentKnowledge,
    AlignmentWay,
    DisguisedCopies,
    align_and_average,
    average_in_place,
    disguised_copies,
)

__all__ = ["DefencePoint", "measure_defence", "refuse_points_above_bounds"]

Array = NDArray[np.float64]

_ATTACKS: tuple[tuple[AlignmentWay, bool], ...] = (
    ("probabilities", False),
    ("probabilities", True),
    ("assignment", False),
)


@dataclass(frozen=True, kw_only=True)
class DefencePoint:
    """What an attacker got of weights in disguise from K queries.

    Attributes:
        defence: the settings, "none" for the same weights every time.
        queries: K.
        naive: averaging row by row, as if nothing had moved.
        aligned: the best of the attacks that match rows first, and of the first query by itself.
        matched: share of the rows that the best attack matched rightly.
        snr_plain: signal-to-noise ratio of K copies with these photons and no defences, 4 K f mu.
        bits_homodyne: stated for a client that homodynes these.
        bits_holevo: stated for one that measures them in any way; holds with defences too.
    """

    defence: str
    queries: int
    naive: WeightGain
    aligned: WeightGain
    matched: float
    snr_plain: float
    bits_homodyne: float
    bits_holevo: float


def measure_defence(
    defences: Defences,
    *,
    photons_per_symbol: float,
    fraction: float,
    queries: Sequence[int],
    rows: int,
    modes: int,
    seed: int,
    weights: Array | None = None,
    on_point: Callable[[int], None] | None = None,
) -> list[DefencePoint]:
    """What the attacks get of a layer's rows, by number of queries.

    A row's own scale is not counted: another one with the next layer's inverse is the same network.

    Args:
        defences: of the server.
        photons_per_symbol: mu at launch, real encoding.
        fraction: f of the light of every query that is kept.
        queries: numbers of queries.
        rows: weight rows, where `weights` are not given.
        modes: weights per row, likewise.
        seed: of all draws.
        weights: rows to send `(rows, modes)`; None draws Gaussian ones.
        on_point: called with the number of points done.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    points: list[DefencePoint] = []
    variance = signal_variance_snu(photons_per_symbol, "real")
    known = AlignmentKnowledge(
        fraction=fraction,
        signal_variance_snu=variance,
        rescale=defences.rescale,
        photons=defences.photons,
    )
    generator = np.random.default_rng(seed)
    if weights is None:
        weights = generator.standard_normal((rows, modes))
    means = weights * math.sqrt(variance / float(np.mean(weights**2)))
    for count in queries:
        copies = disguised_copies(
            np.random.default_rng([seed, count]),
            means,
            known,
            queries=count,
            permute=defences.permute,
            dummies=defences.dummies,
        )
        aligned, matched = _best_attack(copies, known, moved=defences.active)
        # What was really sent: a query may take more than the mean.
        worth = fraction * photons_per_symbol * float(copies.energies.sum())
        points.append(
            DefencePoint(
                defence=defences.text,
                queries=count,
                naive=_gain(average_in_place(copies, known), copies),
                aligned=aligned,
                matched=matched,
                snr_plain=4 * worth,
                bits_homodyne=weight_bits_client_homodynes_all_real(worth),
                bits_holevo=weight_bits_client_keeps_all_gaussian_real(worth),
            )
        )
        if on_point is not None:
            on_point(len(points))
    return points


def refuse_points_above_bounds(points: Sequence[DefencePoint]) -> None:
    """Refuse measured gains that exceed what is stated, beyond their own error.

    Raises:
        VeilightError: a gain beats its bound: the bound or the measurement is wrong.
    """
    for point in points:
        for gain in (point.naive, point.aligned):
            if gain.bits > point.bits_holevo + 6 * gain.bits_error:
                raise VeilightError(
                    f"defence {point.defence}: {point.queries} queries gave {gain.bits:.4g} +- "
                    f"{gain.bits_error:.1g} bits per weight, stated is at most "
                    f"{point.bits_holevo:.4g}; report this with the command that you gave"
                )


def _best_attack(
    copies: DisguisedCopies, known: AlignmentKnowledge, *, moved: bool
) -> tuple[WeightGain, float]:
    """The largest gain: an attacker who always picks the attack that suits best."""
    if not moved:
        return _gain(average_in_place(copies, known), copies), 1.0
    first = copies.light[0][copies.first_places]
    found = [(_gain(first, copies), 0.0), (_gain(average_in_place(copies, known), copies), 0.0)]
    for way, second_moments in _ATTACKS:
        estimate, share = align_and_average(copies, known, way=way, second_moments=second_moments)
        found.append((_gain(estimate, copies), share))
    best = max(found, key=lambda entry: entry[0].bits)
    return best[0], max(share for _, share in found)


def _gain(estimate: Array, copies: DisguisedCopies) -> WeightGain:
    return weight_gain(_unit_rows(estimate), _unit_rows(copies.first_means))


def _unit_rows(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))
