"""A server that probes P of a feed-forward tap at the client's limit, beside what is stated."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import FeedForwardTap, Receiver
from protocol.leakage.data import data_bits_server_homodynes_rows
from protocol.leakage.entropy import gaussian_channel_bits
from protocol.leakage.probing import data_bits_server_probes_feed_forward_tap
from sim_backend.reconstruction import (
    bits_of_squared_overlaps,
    count_found_by_probing,
    identified_bits,
    probed_directions,
    restored_deficit,
)
from veilight.reconstruct_bounds import DEVIATIONS, fano_success, hold, share_low
from veilight.reconstruct_series import Pictures

__all__ = ["ProbingPoint", "measure_probing", "probing_pictures"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ProbingPoint:
    """What a probe in P gave after some rows.

    Attributes:
        rows: M.
        trials: how often.
        probe_photons_per_mode: the client's limit.
        found: share of trials in which the likeliest of the dictionary was the truth.
        found_low: its lower confidence limit, at 1e-9.
        found_bound: Fano's bound on it with `found_bits_cap`.
        found_bits: that the identification holds at least.
        found_bits_low: the same at `found_low`.
        found_bits_cap: most bits that the probe's light can bring, M E|signal|^2/2 nats at most.
        overlap: mean squared overlap of the likeliest direction of all with the truth.
        bits: per data value, that those directions hold at least.
        bits_low: the same, `DEVIATIONS` standard errors lower.
        bits_stated: for a probe along the data, 0.5 log2(1 + 4 M n c^2), which covers less light.
        bits_without: what homodyning honest light gives, for comparison.
    """

    rows: int
    trials: int
    probe_photons_per_mode: float
    found: float
    found_low: float
    found_bound: float
    found_bits: float
    found_bits_low: float
    found_bits_cap: float
    overlap: float
    bits: float
    bits_low: float
    bits_stated: float
    bits_without: float

    def hold(self) -> None:
        """Hold the gains against the bounds.

        Raises:
            VerificationError: a gain is above its bound by more than its measurement allows.
        """
        what = f"{self.rows} rows probed"
        hold(f"{what}: input found", self.found_low, self.found_bound)
        hold(f"{what}: bits of the identification", self.found_bits_low, self.found_bits_cap)
        hold(f"{what}: bits per data value", self.bits_low, self.bits_stated)


def measure_probing(
    receiver: Receiver,
    candidates: Array,
    *,
    probe_photons_per_mode: float,
    rows: Sequence[int],
    trials: int,
    seed: int,
    on_point: Callable[[], None] | None = None,
) -> list[ProbingPoint]:
    """Play both attacks: a dictionary, and any direction.

    Args:
        receiver: the client's, a feed-forward tap.
        candidates: unit data vectors, the server's dictionary, `(candidates, modes)`.
        probe_photons_per_mode: the client's limit n on the mean photons in P per mode, above 0.
        rows: numbers of rows M.
        trials: repetitions, at least 2.
        seed: of all draws.
        on_point: called after each number of rows.

    Raises:
        ConfigurationError: an argument is out of range, or the receiver restores P.
    """
    tap = _tap(receiver)
    if trials < 2:
        raise ConfigurationError(f"reconstruction: {trials} trials; at least 2 are needed")
    generator, (number, modes) = np.random.default_rng(seed), candidates.shape
    # E[(p.x^)^2] c^2 is the most signal that a probe along any direction can get.
    strongest = float(np.linalg.eigvalsh(candidates.T @ candidates / number)[-1])
    signal = restored_deficit(tap.tap_fraction) ** 2 * 4 * probe_photons_per_mode * modes
    points = []
    for count in rows:
        found = count_found_by_probing(
            generator,
            candidates,
            tap_fraction=tap.tap_fraction,
            probe_photons_per_mode=probe_photons_per_mode,
            rows=count,
            trials=trials,
        )
        truths = generator.standard_normal((trials, modes))
        truths /= np.linalg.norm(truths, axis=1, keepdims=True)
        directions = probed_directions(
            generator,
            truths,
            tap_fraction=tap.tap_fraction,
            probe_photons_per_mode=probe_photons_per_mode,
            rows=count,
        )
        squared = np.square(np.sum(directions * truths, axis=1))
        nats = count * signal * strongest / 2
        low = share_low(found, trials)
        points.append(
            ProbingPoint(
                rows=count,
                trials=trials,
                probe_photons_per_mode=probe_photons_per_mode,
                found=found / trials,
                found_low=low,
                found_bound=fano_success(nats, number),
                found_bits=identified_bits(found / trials, number),
                found_bits_low=identified_bits(low, number),
                found_bits_cap=min(math.log2(number), nats / math.log(2)),
                overlap=float(squared.mean()),
                bits=bits_of_squared_overlaps(squared, modes) / modes,
                bits_low=bits_of_squared_overlaps(squared, modes, DEVIATIONS) / modes,
                bits_stated=min(
                    data_bits_server_probes_feed_forward_tap(
                        tap.tap_fraction, probe_photons_per_mode, count, modes
                    ),
                    # All rows' light as if each brought the most that its power can carry.
                    count * gaussian_channel_bits(signal / modes),
                ),
                bits_without=data_bits_server_homodynes_rows(tap.excess_noise_x_snu, count, modes),
            )
        )
        if on_point is not None:
            on_point()
    return points


def probing_pictures(
    receiver: Receiver,
    candidates: Array,
    *,
    probe_photons_per_mode: float,
    rows: Sequence[int],
    seed: int,
) -> Pictures:
    """One input as probes show it.

    Args:
        receiver: the client's, a feed-forward tap.
        candidates: unit data vectors; the first is the truth.
        probe_photons_per_mode: the client's limit, above 0.
        rows: numbers of rows.
        seed: of the noise.

    Raises:
        ConfigurationError: an argument is out of range, or the receiver restores P.
    """
    tap, truth, counts = _tap(receiver), candidates[0], tuple(sorted(set(rows)))
    estimates, likeliest = [], []
    for count in counts:
        (direction,) = probed_directions(
            np.random.default_rng(seed),
            truth[None, :],
            tap_fraction=tap.tap_fraction,
            probe_photons_per_mode=probe_photons_per_mode,
            rows=count,
        )
        estimates.append(direction if direction @ truth >= 0 else -direction)
        likeliest.append(candidates[int(np.argmax(np.square(candidates @ direction)))])
    return Pictures(
        truth=truth, rows=counts, estimates=np.array(estimates), likeliest=np.array(likeliest)
    )


def _tap(receiver: Receiver) -> FeedForwardTap:
    if not isinstance(receiver, FeedForwardTap):
        raise ConfigurationError(
            f"reconstruction: a probe in P shows nothing behind the receiver {receiver.kind}; "
            "take feed-forward-tap"
        )
    return receiver
