"""The client's data from counted photons: a server that takes its weights off the light itself.

The server displaces a returned row by minus its own means. Left is vacuum in every mode but the one
shaped like the data, which holds a coherent amplitude that is random from row to row: in X with the
variance ell_x/4, in P with ell_p/4 (arXiv 2408.05629 for the receiver; Glauber's P function of a
Gaussian state with no squeezing). Behind a passive interferometer the photons of mode k are Poisson
with the mean W b_k^2, W the row's intensities added up and b the data in that basis: each photon is
a draw of a mode with the probability b_k^2, and how many there are says nothing about the data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = [
    "LocalEstimates",
    "count_found_by_photons",
    "counted_photons",
    "counting_log_likelihoods",
    "estimate_locally",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LocalEstimates:
    """What a server that nearly knows the data makes of the counts.

    Attributes:
        truth: what it does not know of x^, at right angles to what it does, `(trials, modes)`.
        estimate: of the same.
    """

    truth: Array
    estimate: Array


def counted_photons(
    generator: np.random.Generator,
    direction: Array,
    *,
    rows: int,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
) -> NDArray[np.int64]:
    """Photons per mode over all rows, own means taken off; `(modes,)`.

    Args:
        generator: of the light and of the detection.
        direction: x^ in the counters' basis, `(modes,)`, of unit length.
        rows: M >= 1.
        excess_noise_x_snu: ell of the returned X, >= 0.
        excess_noise_p_snu: ell of the returned P, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    count = _checks.count("number of rows", rows)
    x = _checks.within("excess noise of X in SNU", excess_noise_x_snu, 0)
    p = _checks.within("excess noise of P in SNU", excess_noise_p_snu, 0)
    length = float(np.sum(np.square(direction)))
    if not abs(length - 1) < 1e-6:  # also refuses NaN
        raise ConfigurationError(
            f"reconstruction: the data vector has the squared length {length}; divide it by its "
            "length"
        )
    intensity = (x * generator.chisquare(count) + p * generator.chisquare(count)) / 4
    return np.asarray(generator.poisson(intensity * np.square(direction)), dtype=np.int64)


def counting_log_likelihoods(photons: NDArray[np.int64], candidates: Array) -> Array:
    """Log-likelihood of each candidate, in nats, up to a number that all share.

    sum_k n_k ln c_k^2: minus infinity where a photon came in a mode that the candidate leaves dark.

    Args:
        photons: `(modes,)`.
        candidates: `(candidates, modes)`, of unit length.
    """
    return np.asarray(xlogy(photons, np.square(candidates)).sum(axis=1), dtype=np.float64)


def count_found_by_photons(
    generator: np.random.Generator,
    candidates: Array,
    *,
    rows: int,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
    trials: int,
) -> int:
    """How often the likeliest candidate is the truth: every candidate's score worked out.

    Args:
        generator: of the truth, the light and the detection.
        candidates: `(candidates, modes)`, of unit length; each is the truth equally often.
        rows: M >= 1.
        excess_noise_x_snu: ell of the returned X, >= 0.
        excess_noise_p_snu: ell of the returned P, >= 0.
        trials: how often; each with new light.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    found = 0
    for _ in range(_checks.count("number of trials", trials)):
        truth = int(generator.integers(len(candidates)))
        photons = counted_photons(
            generator,
            candidates[truth],
            rows=rows,
            excess_noise_x_snu=excess_noise_x_snu,
            excess_noise_p_snu=excess_noise_p_snu,
        )
        scores = counting_log_likelihoods(photons, candidates)
        ties = np.flatnonzero(scores == scores.max())
        found += int(generator.choice(ties) == truth)
    return found


def estimate_locally(
    generator: np.random.Generator,
    *,
    rows: int,
    modes: int,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
    spread: float,
    trials: int,
) -> LocalEstimates:
    """A server that knows x^ but for a small part, and chooses its interferometer by what it knows.

    In the basis in which the known part is flat, a mode with the unknown part d gets the share
    (1/sqrt(N) + d)^2 of the photons, so d is about (share - 1/N) sqrt(N)/2, with its sign and the
    variance 1/(4 photons).

    Args:
        generator: of the data and the light.
        rows: M >= 1.
        modes: N >= 2.
        excess_noise_x_snu: ell of the returned X, >= 0.
        excess_noise_p_snu: ell of the returned P, >= 0.
        spread: of each component of the unknown part, times sqrt(N); small against 1.
        trials: how often; each with new data and light.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    width = _checks.within("spread of the unknown part", spread, 0, 1, open_low=True)
    number = _checks.count("number of modes", modes, 2)
    shape = (_checks.count("number of trials", trials), number)
    unknown = width / np.sqrt(number) * generator.standard_normal(shape)
    unknown -= unknown.mean(axis=1, keepdims=True)
    vectors = 1 / np.sqrt(number) + unknown
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    estimate = np.zeros(shape)
    for trial, vector in enumerate(vectors):
        photons = counted_photons(
            generator,
            vector,
            rows=rows,
            excess_noise_x_snu=excess_noise_x_snu,
            excess_noise_p_snu=excess_noise_p_snu,
        )
        if photons.any():
            estimate[trial] = (photons / photons.sum() - 1 / number) * np.sqrt(number) / 2
    return LocalEstimates(truth=vectors - vectors.mean(axis=1, keepdims=True), estimate=estimate)
