"""A server that counts photons, beside what is stated for any measurement.

Two attacks: one input out of a dictionary, and the last unknown part of an input that the server
nearly knows, for which the stated figure is a Cramer-Rao bound that counting reaches.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from protocol.leakage.data import fisher_server_any_measurement
from protocol.leakage.entropy import (
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    thermal_entropy_bits,
)
from sim_backend.reconstruction import (
    count_found_by_photons,
    counted_photons,
    counting_log_likelihoods,
    estimate_locally,
    identified_bits,
    weight_gain,
)
from veilight.reconstruct_bounds import DEVIATIONS, fano_success, hold, share_low
from veilight.reconstruct_series import Pictures

__all__ = ["CountingPoint", "counting_pictures", "dictionary_bits_cap", "measure_counting"]

Array = NDArray[np.float64]

_SPREAD = 0.1
_LOCAL_TRIALS = 300


@dataclass(frozen=True, kw_only=True)
class CountingPoint:
    """What counting gave after some rows.

    Attributes:
        rows: M.
        trials: how often.
        photons: expected in all rows.
        found: share of trials in which the likeliest of the dictionary was the truth.
        found_low: its lower confidence limit, at 1e-9.
        found_bound: Fano's bound on it with `bits_cap`.
        bits: that the identification holds at least.
        bits_low: the same at `found_low`.
        bits_cap: Holevo's bound for this dictionary, at most log2 of its size.
        variance_ratio: of the local estimate's errors, over the Cramer-Rao bound: 1 is the best.
        local_bits: per data value, on the part that the server did not know.
        local_bits_error: its standard error.
        local_bits_bound: stated for any measurement: 0.5 log2(1 + M (ell_x + ell_p) s^2/N).
    """

    rows: int
    trials: int
    photons: float
    found: float
    found_low: float
    found_bound: float
    bits: float
    bits_low: float
    bits_cap: float
    variance_ratio: float
    local_bits: float
    local_bits_error: float
    local_bits_bound: float

    def hold(self) -> None:
        """Hold the gains against the bounds.

        Raises:
            VerificationError: a gain is above its bound by more than its measurement allows.
        """
        what = f"photons counted in {self.rows} rows"
        hold(f"{what}: input found", self.found_low, self.found_bound)
        hold(f"{what}: bits of the identification", self.bits_low, self.bits_cap)
        least = self.local_bits - DEVIATIONS * self.local_bits_error
        hold(f"{what}: bits per data value, locally", least, self.local_bits_bound)


def dictionary_bits_cap(receiver: Receiver, candidates: Array, rows: int) -> float:
    """Most bits that any measurement of M rows holds on which candidate it is.

    Holevo's bound: M (S(mean state) - S(state)), the mean state's entropy no more than that of the
    Gaussian state of its covariance I + ell mean(c c^T) (Wolf, Giedke, Cirac, Phys. Rev. Lett. 96,
    080502 (2006)); at most log2 R.

    Args:
        receiver: the client's.
        candidates: `(candidates, modes)`, of unit length, equally likely.
        rows: M.
    """
    x, p = receiver.excess_noise_x_snu, receiver.excess_noise_p_snu
    shares = np.linalg.eigvalsh(candidates.T @ candidates / len(candidates))
    mean = math.fsum(_entropy(x * share, p * share) for share in np.maximum(0.0, shares).tolist())
    return min(math.log2(len(candidates)), rows * max(0.0, mean - _entropy(x, p)))


def measure_counting(
    receiver: Receiver,
    candidates: Array,
    *,
    rows: Sequence[int],
    trials: int,
    seed: int,
    on_point: Callable[[], None] | None = None,
) -> list[CountingPoint]:
    """Play both attacks.

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
    x, p = receiver.excess_noise_x_snu, receiver.excess_noise_p_snu
    number, modes = candidates.shape
    fisher = fisher_server_any_measurement(x, p)
    points = []
    for count in rows:
        found = count_found_by_photons(
            generator,
            candidates,
            rows=count,
            excess_noise_x_snu=x,
            excess_noise_p_snu=p,
            trials=trials,
        )
        local = estimate_locally(
            generator,
            rows=count,
            modes=modes,
            excess_noise_x_snu=x,
            excess_noise_p_snu=p,
            spread=_SPREAD,
            trials=_LOCAL_TRIALS,
        )
        gain = weight_gain(local.estimate, local.truth) if fisher > 0 else None
        errors = float(np.square(local.estimate - local.truth).mean()) * modes / (modes - 1)
        cap = dictionary_bits_cap(receiver, candidates, count)
        low = share_low(found, trials)
        points.append(
            CountingPoint(
                rows=count,
                trials=trials,
                photons=count * (x + p) / 4,
                found=found / trials,
                found_low=low,
                found_bound=fano_success(cap * math.log(2), number),
                bits=identified_bits(found / trials, number),
                bits_low=identified_bits(low, number),
                bits_cap=cap,
                variance_ratio=errors * fisher * count,
                local_bits=0.0 if gain is None else gain.bits,
                local_bits_error=0.0 if gain is None else gain.bits_error,
                local_bits_bound=gaussian_channel_bits(count * fisher * _SPREAD**2 / modes),
            )
        )
        if on_point is not None:
            on_point()
    return points


def counting_pictures(
    receiver: Receiver, candidates: Array, *, rows: Sequence[int], seed: int
) -> Pictures:
    """One input as counted photons show it: the root of each mode's share.

    Args:
        receiver: the client's.
        candidates: unit data vectors; the first is the truth.
        rows: numbers of rows.
        seed: of the light.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    generator, truth = np.random.default_rng(seed), candidates[0]
    total, before = np.zeros(len(truth), dtype=np.int64), 0
    estimates, likeliest = [], []
    for count in sorted(set(rows)):
        total += counted_photons(
            generator,
            truth,
            rows=count - before,
            excess_noise_x_snu=receiver.excess_noise_x_snu,
            excess_noise_p_snu=receiver.excess_noise_p_snu,
        )
        before = count
        estimates.append(np.sqrt(total / max(1, int(total.sum()))))
        scores = counting_log_likelihoods(total, candidates)
        best = np.flatnonzero(scores == scores.max())
        likeliest.append(candidates[int(generator.choice(best))])
    return Pictures(
        truth=truth,
        rows=tuple(sorted(set(rows))),
        estimates=np.array(estimates),
        likeliest=np.array(likeliest),
    )


def _entropy(excess_x: float, excess_p: float) -> float:
    return thermal_entropy_bits(excess_noise_to_thermal_photons(excess_x, excess_p))
