"""What curious parties reconstruct, measured on simulated light beside the bounds that are stated.

Owns the comparison: gains come from `sim_backend.reconstruction`, which knows no bound, and bounds
from `protocol.leakage`, which simulates nothing. A gain above its bound is an error, here and not
in some table that nobody reads.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError, DataError
from drivers.receivers import Receiver
from protocol.leakage.data import (
    data_bits_server_homodynes_rows,
    data_bits_server_homodynes_rows_cap,
)
from protocol.leakage.dictionary import (
    dictionary_nats_per_row_server_homodynes,
    dictionary_rows_server_homodynes,
)
from protocol.leakage.receivers import noisier_quadrature_snu
from sim_backend.reconstruction import (
    DictionaryLaw,
    Geometry,
    bits_of_squared_overlaps,
    count_found,
    expected_squared_overlap,
    identified_bits,
    principal_direction,
    residual_rows,
    returned_rows,
    squared_overlaps,
)
from veilight.reconstruct_bounds import DEVIATIONS, fano_success, hold, share_low
from veilight.reconstruct_counting import CountingPoint
from veilight.reconstruct_model import ModelPoint
from veilight.reconstruct_probing import ProbingPoint
from veilight.reconstruct_series import Pictures
from veilight.reconstruct_weights import WeightPoint

__all__ = [
    "DEVIATIONS",
    "DictionaryAttack",
    "InputPoint",
    "Pictures",
    "SuccessPoint",
    "attack_dictionary",
    "measure_inputs",
    "picture_series",
    "refuse_gains_above_bounds",
    "unit_vectors",
]

_CURVE = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SuccessPoint:
    """One point of a success curve.

    Attributes:
        rows: M.
        success: probability that the truth is the likeliest candidate.
        at_least: the same by the union bound.
        bound: Fano's upper bound with the stated relative entropy per row.
        bits: that the identification holds at least.
        bits_bound: stated relative entropy of the rows, in bits.
    """

    rows: int
    success: float
    at_least: float
    bound: float
    bits: float
    bits_bound: float


@dataclass(frozen=True, kw_only=True)
class DictionaryAttack:
    """One receiver against a server with a dictionary.

    Attributes:
        receiver: the client's.
        excess_noise_snu: of the noisier returned quadrature.
        stated_rows: ln R over the relative entropy per row, as `veilight leakage` states it.
        fano_rows_half: rows below which no server is right half of the time.
        rows_half: rows for a success of 50 %.
        rows_sure: rows for a success of 99 %.
        curve: success against rows; empty where the return does not depend on the data.
    """

    receiver: Receiver
    excess_noise_snu: float
    stated_rows: float
    fano_rows_half: float
    rows_half: float
    rows_sure: float
    curve: tuple[SuccessPoint, ...]


@dataclass(frozen=True, kw_only=True)
class InputPoint:
    """What was measured with real inputs after some rows.

    Attributes:
        rows: M.
        trials: how often.
        found: share of trials in which the likeliest of all inputs was the truth.
        found_low: lower confidence limit of `found`, at 1e-9.
        found_bound: Fano's bound on it.
        overlap_x: mean squared overlap of the principal component of the returned X.
        overlap_p: the same of the returned P.
        overlap_theory: of the noisier quadrature, for large numbers.
        bits: per data value that the noisier quadrature's component holds at least.
        bits_low: the same, `DEVIATIONS` standard errors lower.
        bits_cap: stated as at most.
        bits_estimate: stated as estimate.
    """

    rows: int
    trials: int
    found: float
    found_low: float
    found_bound: float
    overlap_x: float
    overlap_p: float
    overlap_theory: float
    bits: float
    bits_low: float
    bits_cap: float
    bits_estimate: float


def attack_dictionary(
    receiver: Receiver, *, candidates: int, cosine: float = 0.5, geometry: Geometry = "pairwise"
) -> DictionaryAttack:
    """Rows that a homodyning server needs to single out one input, beside what is stated.

    Args:
        receiver: the client's.
        candidates: R, of any size.
        cosine: between candidates.
        geometry: see `sim_backend.reconstruction.Geometry`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = noisier_quadrature_snu(receiver)
    law = DictionaryLaw(
        excess_noise_snu=ell, candidates=candidates, cosine=cosine, geometry=geometry
    )
    nats = dictionary_nats_per_row_server_homodynes(ell, cosine)
    stated = dictionary_rows_server_homodynes(ell, candidates, cosine)
    curve: list[SuccessPoint] = []
    rows_list = [] if math.isinf(stated) else [max(2, round(stated * part)) for part in _CURVE]
    for rows in sorted(set(rows_list)):
        found = law.success(rows)
        curve.append(
            SuccessPoint(
                rows=rows,
                success=found.value,
                at_least=found.at_least,
                bound=fano_success(rows * nats, candidates),
                bits=identified_bits(found.value, candidates),
                bits_bound=rows * nats / math.log(2),
            )
        )
    half = max(0.0, 0.5 * math.log(candidates) - math.log(2))
    return DictionaryAttack(
        receiver=receiver,
        excess_noise_snu=ell,
        stated_rows=stated,
        fano_rows_half=half / nats if nats > 0 else math.inf,
        rows_half=law.rows_for(0.5) if candidates > 2 else 0.0,
        rows_sure=law.rows_for(0.99),
        curve=tuple(curve),
    )


def unit_vectors(inputs: NDArray[np.float32], number: int, seed: int) -> Array:
    """Unit data vectors of some inputs, `(number, modes)`; raw values, as of a layer without bias.

    Args:
        inputs: raw values, `(samples, *shape)`.
        number: how many, taken in an order that `seed` fixes.
        seed: of the order.

    Raises:
        DataError: too few different inputs that are not all zero.
    """
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    flat = np.unique(flat[np.any(flat != 0, axis=1)], axis=0)
    if len(flat) < number or number < 2:
        raise DataError(
            f"reconstruction: {number} inputs are asked for, the data hold {len(flat)} different "
            "ones that are not zero; take at least 2 and no more than that"
        )
    chosen = np.random.default_rng(seed).permutation(len(flat))[:number]
    vectors = flat[chosen]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def measure_inputs(
    receiver: Receiver,
    candidates: Array,
    *,
    rows: Sequence[int],
    trials: int,
    seed: int,
    on_point: Callable[[], None] | None = None,
) -> list[InputPoint]:
    """Play both attacks on real inputs, every score worked out.

    Args:
        receiver: the client's.
        candidates: unit data vectors, the server's dictionary, `(candidates, modes)`.
        rows: numbers of rows M.
        trials: repetitions, at least 2.
        seed: of all draws.
        on_point: called after each number of rows.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    if trials < 2:
        raise ConfigurationError(f"reconstruction: {trials} trials; at least 2 are needed")
    generator = np.random.default_rng(seed)
    noises = (receiver.excess_noise_x_snu, receiver.excess_noise_p_snu)
    ell, (number, modes) = noisier_quadrature_snu(receiver), candidates.shape
    cosines = np.square(candidates @ candidates.T)
    # The mean over pairs bounds the information; a candidate with itself differs by nothing.
    cosine = math.sqrt(min(1.0, float(cosines.mean())))
    nats = dictionary_nats_per_row_server_homodynes(ell, cosine)
    points = []
    for count in rows:
        found = count_found(generator, candidates, excess_noise_snu=ell, rows=count, trials=trials)
        x, p = (
            squared_overlaps(
                generator, excess_noise_snu=noise, rows=count, modes=modes, trials=trials
            )
            for noise in noises
        )
        best = x if noises[0] >= noises[1] else p
        points.append(
            InputPoint(
                rows=count,
                trials=trials,
                found=found / trials,
                found_low=share_low(found, trials),
                found_bound=fano_success(count * nats, number),
                overlap_x=float(x.mean()),
                overlap_p=float(p.mean()),
                overlap_theory=expected_squared_overlap(ell, count, modes),
                bits=bits_of_squared_overlaps(best, modes) / modes,
                bits_low=bits_of_squared_overlaps(best, modes, DEVIATIONS) / modes,
                bits_cap=data_bits_server_homodynes_rows_cap(ell, count, modes),
                bits_estimate=data_bits_server_homodynes_rows(ell, count, modes),
            )
        )
        if on_point is not None:
            on_point()
    return points


def picture_series(
    receiver: Receiver, candidates: Array, *, rows: Sequence[int], seed: int
) -> Pictures:
    """One input as the server sees it after more and more of the same rows.

    Args:
        receiver: the client's.
        candidates: unit data vectors; the first is the truth.
        rows: numbers of rows, of which the largest are drawn once.
        seed: of the noise.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    generator = np.random.default_rng(seed)
    truth, counts = candidates[0], tuple(sorted(rows))
    means = generator.standard_normal((counts[-1], candidates.shape[1]))
    values = returned_rows(
        generator,
        direction=truth,
        means_snu=means,
        excess_noise_snu=noisier_quadrature_snu(receiver),
        mean_gain=math.sqrt(receiver.returned_transmittance),
    )
    left = residual_rows(values, means, math.sqrt(receiver.returned_transmittance))
    estimates, likeliest = [], []
    for count in counts:
        direction = principal_direction(left[:count])
        estimates.append(direction if direction @ truth >= 0 else -direction)
        scores = np.square(candidates @ left[:count].T).sum(axis=1)
        likeliest.append(candidates[int(np.argmax(scores))])
    return Pictures(
        truth=truth, rows=counts, estimates=np.array(estimates), likeliest=np.array(likeliest)
    )


def refuse_gains_above_bounds(
    attacks: Sequence[DictionaryAttack] = (),
    inputs: Sequence[InputPoint] = (),
    weights: Sequence[WeightPoint] = (),
    counting: Sequence[CountingPoint] = (),
    probing: Sequence[ProbingPoint] = (),
    models: Sequence[ModelPoint] = (),
) -> None:
    """Hold every measured gain against what veilight states.

    Raises:
        VerificationError: a gain is above its bound by more than its measurement allows.
    """
    for attack in attacks:
        name = f"{attack.receiver.kind} at {attack.receiver.setting:.4g}"
        hold(
            f"{name}: stated least rows against rows for 99 %", attack.stated_rows, attack.rows_sure
        )
        for point in attack.curve:
            hold(f"{name}: success after {point.rows} rows", point.success, point.bound)
            hold(f"{name}: bits after {point.rows} rows", point.bits, point.bits_bound)
    for seen in inputs:
        hold(f"input found after {seen.rows} rows", seen.found_low, seen.found_bound)
        hold(f"bits per data value after {seen.rows} rows", seen.bits_low, seen.bits_cap)
    for weight in weights:
        least = weight.gain.bits - DEVIATIONS * weight.gain.bits_error
        what = f"bits per weight from {weight.copies} copies, {weight.way}"
        hold(what, least, weight.bits_bound)
        hold(f"{what}, any measurement", least, weight.bits_holevo)
    for counted in counting:
        counted.hold()
    for probed in probing:
        probed.hold()
    for model in models:
        model.hold()
