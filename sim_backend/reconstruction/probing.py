"""The client's data from a probe in P: a server that uses what a feed-forward tap does not restore.

Real weights are on X; the server adds means p on P. The tap gives back P of the data's mode smaller
by sqrt(1 - tau), so the return less p is -c (p . x^) x^ and vacuum, c = 1 - sqrt(1 - tau). The
client's detector of X sees none of it; its limit on the light in P is what bounds the attack. The
log-likelihood of a candidate v is v^T L v, L = -c sum sym(p r^T) - c^2/2 sum p p^T over the rows: a
quadratic form, whose largest eigenvector is the likeliest direction of all.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = ["count_found_by_probing", "probed_directions", "restored_deficit"]

Array = NDArray[np.float64]

_STAGES = 8


def restored_deficit(tap_fraction: float) -> float:
    """What the tap takes of P of the data's mode: c = 1 - sqrt(1 - tau), without cancellation.

    Raises:
        ConfigurationError: the tap fraction is not in (0, 1].
    """
    tau = _checks.within("tap fraction", tap_fraction, 0, 1, open_low=True)
    return tau / (1 + math.sqrt(1 - tau))


def probed_directions(
    generator: np.random.Generator,
    directions: Array,
    *,
    tap_fraction: float,
    probe_photons_per_mode: float,
    rows: int,
) -> Array:
    """The likeliest directions for probes that follow what was learnt; `(trials, modes)`.

    The first stage probes at random, every later one along the likeliest direction so far, with
    all the light that the client lets through. The sign cannot be had.

    Args:
        generator: of the probes and the noise.
        directions: x^ of each trial, `(trials, modes)`, of unit length.
        tap_fraction: tau, in (0, 1].
        probe_photons_per_mode: the client's limit n on the mean photons in P per mode, above 0.
        rows: M >= 1.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    probe = _Probe(tap_fraction, probe_photons_per_mode, directions.shape[1])
    found = np.empty_like(directions)
    for trial, truth in enumerate(directions):
        form = np.zeros((len(truth), len(truth)))
        for stage, count in enumerate(_stages(rows)):
            if stage == 0:
                for _ in range(count):
                    form += probe.seen(generator, truth, generator.standard_normal(len(truth)), 1)
            else:
                form += probe.seen(generator, truth, _largest(form), count)
        found[trial] = _largest(form)
    return found


def count_found_by_probing(
    generator: np.random.Generator,
    candidates: Array,
    *,
    tap_fraction: float,
    probe_photons_per_mode: float,
    rows: int,
    trials: int,
) -> int:
    """How often the likeliest candidate is the truth, for probes chosen by what is likely so far.

    Args:
        generator: of the truth and the noise.
        candidates: `(candidates, modes)`, of unit length; each is the truth equally often.
        tap_fraction: tau, in (0, 1].
        probe_photons_per_mode: the client's limit n, above 0.
        rows: M >= 1.
        trials: how often; each with new noise.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    probe = _Probe(tap_fraction, probe_photons_per_mode, candidates.shape[1])
    found = 0
    for _ in range(_checks.count("number of trials", trials)):
        truth = int(generator.integers(len(candidates)))
        form = np.zeros((candidates.shape[1],) * 2)
        scores = np.zeros(len(candidates))
        for count in _stages(rows):
            likely = np.exp((scores - scores.max()) / 2)[:, None] * candidates
            form += probe.seen(generator, candidates[truth], _largest(likely.T @ likely), count)
            scores = np.einsum("cn,cn->c", candidates @ form, candidates)
        ties = np.flatnonzero(scores == scores.max())
        found += int(generator.choice(ties) == truth)
    return found


class _Probe:
    def __init__(self, tap_fraction: float, photons: float, modes: int) -> None:
        self._deficit = restored_deficit(tap_fraction)
        limit = _checks.within("probe photons per mode", photons, 0, open_low=True)
        self._length = math.sqrt(4 * limit * modes)

    def seen(self, generator: np.random.Generator, truth: Array, along: Array, rows: int) -> Array:
        """The part of L that `rows` rows with one probe give."""
        p = self._length * along / np.linalg.norm(along)
        mean = -self._deficit * float(p @ truth) * truth
        returned = mean + generator.standard_normal(len(truth)) / math.sqrt(rows)
        cross = np.outer(p, returned)
        own = self._deficit**2 / 2 * np.outer(p, p)
        return np.asarray(-rows * (self._deficit * (cross + cross.T) / 2 + own))


def _stages(rows: int) -> list[int]:
    """Rows of each stage: evenly, none empty."""
    count = _checks.count("number of rows", rows)
    stages = min(_STAGES, count)
    return [count // stages + (index < count % stages) for index in range(stages)]


def _largest(form: Array) -> Array:
    last = len(form) - 1
    if not np.all(np.isfinite(form)):
        raise ConfigurationError(
            "reconstruction: the probe's likelihood is not finite; check the data vectors"
        )
    return np.asarray(eigh(form, subset_by_index=(last, last))[1][:, 0], dtype=np.float64)
