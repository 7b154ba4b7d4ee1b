"""The client's data from the returned noise: what a curious server gets of x^ over M rows.

A row comes back as t w + noise whose covariance is I + ell x^ x^T: ell on the mode of the data,
vacuum elsewhere (arXiv 2408.05629). The server knows its weights w, so it subtracts them and looks
for the direction of the excess noise: by principal components, which need no prior, or by the
likelihood of each of a list of candidates. The sign of x^ cannot be had from noise.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar
from scipy.special import betaln

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = [
    "bits_of_squared_overlaps",
    "candidates_with_cosine",
    "count_found",
    "expected_squared_overlap",
    "log_likelihoods",
    "principal_direction",
    "residual_rows",
    "returned_rows",
    "squared_overlaps",
]

Array = NDArray[np.float64]


def returned_rows(
    generator: np.random.Generator,
    *,
    direction: Array,
    means_snu: Array,
    excess_noise_snu: float,
    mean_gain: float = 1.0,
) -> Array:
    """One measured quadrature of returned rows: t w + e + sqrt(ell) n x^.

    Args:
        generator: of the noise.
        direction: x^, `(modes,)`, of unit length.
        means_snu: the rows as sent, `(rows, modes)`.
        excess_noise_snu: ell of the measured quadrature, >= 0.
        mean_gain: t, what the return does to the means.

    Raises:
        ConfigurationError: ell is out of range, or x^ has no unit length.
    """
    ell = _checks.within("excess noise in SNU", excess_noise_snu, 0)
    _check_unit(direction.reshape(1, -1))
    noise = generator.standard_normal(means_snu.shape)
    spike = math.sqrt(ell) * generator.standard_normal((means_snu.shape[0], 1))
    return np.asarray(mean_gain * means_snu + noise + spike * direction, dtype=np.float64)


def residual_rows(values: Array, means_snu: Array, mean_gain: float = 1.0) -> Array:
    """What is left of returned rows when the server takes off its own weights; `(rows, modes)`."""
    return values - mean_gain * means_snu


def principal_direction(residuals: Array) -> Array:
    """The unit vector along which the residuals vary most, an estimate of +-x^.

    Args:
        residuals: `(rows, modes)`; rows of X and of P may be stacked.
    """
    rows, modes = residuals.shape
    if rows >= modes:
        last = modes - 1
        _, vectors = eigh(residuals.T @ residuals, subset_by_index=(last, last))
        return np.asarray(vectors[:, 0], dtype=np.float64)
    _, vectors = eigh(residuals @ residuals.T, subset_by_index=(rows - 1, rows - 1))
    direction = residuals.T @ vectors[:, 0]
    return np.asarray(direction / np.linalg.norm(direction), dtype=np.float64)


def expected_squared_overlap(excess_noise_snu: float, rows: int, modes: int) -> float:
    """Squared overlap of the principal direction with x^ for many rows and modes.

    (1 - r/ell^2)/(1 + r/ell) with r = modes/rows where ell^2 > r, else 0: Paul, Statistica Sinica
    17, 1617 (2007). Below that threshold a finite sample keeps an overlap of a few over `modes`.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = _checks.within("excess noise in SNU", excess_noise_snu, 0)
    ratio = _checks.count("number of modes", modes) / _checks.count("number of rows", rows)
    return (1 - ratio / ell**2) / (1 + ratio / ell) if ell**2 > ratio else 0.0


def squared_overlaps(
    generator: np.random.Generator, *, excess_noise_snu: float, rows: int, modes: int, trials: int
) -> Array:
    """Squared overlaps of the principal direction with the truth, `(trials,)`.

    Their law does not depend on x^ (the vacuum has no preferred direction), so x^ is the first mode
    and the weights, which the server takes off exactly, are 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    direction = np.zeros(_checks.count("number of modes", modes, 2))
    direction[0] = 1.0
    nothing = np.zeros((_checks.count("number of rows", rows), modes))
    found = np.empty(_checks.count("number of trials", trials))
    for trial in range(trials):
        values = returned_rows(
            generator, direction=direction, means_snu=nothing, excess_noise_snu=excess_noise_snu
        )
        found[trial] = principal_direction(residual_rows(values, nothing))[0] ** 2
    return found


def bits_of_squared_overlaps(squared: Array, modes: int, deviations: float = 0.0) -> float:
    """Bits on x^ that estimates with these squared overlaps hold at least, all components together.

    For x^ without any preferred direction. Donsker and Varadhan (Commun. Pure Appl. Math. 28, 1
    (1975)) with the function -a ln(1 - q): I >= a E[-ln(1 - q)] - ln E0[(1 - q)^-a], the best a;
    under chance q is Beta(1/2, (N - 1)/2). Guessing gives 0.

    Args:
        squared: q of independent trials.
        modes: N >= 3.
        deviations: standard errors taken off the measured mean, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    half = (_checks.count("number of modes", modes, 3) - 1) / 2
    off = _checks.within("number of standard errors", deviations, 0)
    logs = -np.log1p(-np.minimum(squared, 1 - 1e-15))
    error = logs.std(ddof=1) / math.sqrt(len(logs)) if off else 0.0
    mean = float(logs.mean() - off * error)

    def nats(a: float) -> float:
        return a * mean - float(betaln(0.5, half - a) - betaln(0.5, half))

    best = minimize_scalar(lambda a: -nats(a), bounds=(0, half * (1 - 1e-9)), method="bounded")
    return max(0.0, nats(float(best.x))) / math.log(2)


def log_likelihoods(residuals: Array, candidates: Array, excess_noise_snu: float) -> Array:
    """Log-likelihood of each candidate, in nats, up to a number that all share.

    ell/(2 (1 + ell)) sum_m (r_m . c)^2 for N(0, I + ell c c^T) and unit c.

    Args:
        residuals: `(rows, modes)`.
        candidates: `(candidates, modes)`, of unit length.
        excess_noise_snu: ell, >= 0.

    Raises:
        ConfigurationError: ell is out of range, or a candidate has no unit length.
    """
    ell = _checks.within("excess noise in SNU", excess_noise_snu, 0)
    _check_unit(candidates)
    rows, modes = residuals.shape
    if rows > modes:  # the same sums by way of the smaller matrix
        sums = np.einsum("cn,cn->c", candidates @ (residuals.T @ residuals), candidates)
    else:
        sums = np.square(candidates @ residuals.T).sum(axis=1)
    return np.asarray(ell / (2 * (1 + ell)) * sums, dtype=np.float64)


def count_found(
    generator: np.random.Generator,
    candidates: Array,
    *,
    excess_noise_snu: float,
    rows: int,
    trials: int,
) -> int:
    """How often the likeliest candidate is the truth: every candidate's score worked out.

    Args:
        generator: of the truth and of the noise.
        candidates: `(candidates, modes)`, of unit length; each is the truth equally often.
        excess_noise_snu: ell, >= 0.
        rows: M >= 1.
        trials: how often; each with new noise.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    nothing = np.zeros((_checks.count("number of rows", rows), candidates.shape[1]))
    found = 0
    for _ in range(_checks.count("number of trials", trials)):
        truth = int(generator.integers(len(candidates)))
        values = returned_rows(
            generator,
            direction=candidates[truth],
            means_snu=nothing,
            excess_noise_snu=excess_noise_snu,
        )
        scores = log_likelihoods(residual_rows(values, nothing), candidates, excess_noise_snu)
        # Without excess noise all are equally likely: then the server has to guess.
        ties = np.flatnonzero(scores == scores.max())
        found += int(generator.choice(ties) == truth)
    return found


def candidates_with_cosine(candidates: int, modes: int, cosine: float) -> Array:
    """Candidates of which any two have the cosine c: sqrt(c) m + sqrt(1 - c) u_i, u_i orthonormal.

    Args:
        candidates: R >= 2.
        modes: more than R.
        cosine: c in [0, 1).

    Raises:
        ConfigurationError: an argument is out of range.
    """
    c = _checks.within("cosine between candidates", cosine, 0, 1)
    _checks.count(
        "number of modes", modes, _checks.count("number of candidates", candidates, 2) + 1
    )
    array = np.zeros((candidates, modes))
    array[:, 0] = math.sqrt(c)
    array[np.arange(candidates), np.arange(1, candidates + 1)] = math.sqrt(1 - c)
    return array


def _check_unit(vectors: Array) -> None:
    squares = np.square(vectors).sum(axis=1)
    if not np.all(np.abs(squares - 1) < 1e-6):  # also refuses NaN
        worst = int(np.argmax(np.abs(squares - 1)))
        raise ConfigurationError(
            f"reconstruction: vector {worst} has the squared length {squares[worst]}; divide each "
            "by its length"
        )
