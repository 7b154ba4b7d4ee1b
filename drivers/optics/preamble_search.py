"""Search for the preamble: the best starting sample and its evidence.

Owns the detection statistic and its threshold.

Detection. The matched filter's outputs u of neighbouring slots are multiplied, d_k = u_(k+1)
conj(u_k), which turns any frequency offset into one common phase and leaves only a slot's worth
of laser phase noise; D = sum c_k d_k with the preamble's sign changes c_k. The statistic is
T = |D|^2 / sum |d_k|^2, between 0 and the number of terms K. On noise alone the signs of u_k are
independent of their sizes, so that D is a sum of given complex numbers with independent random
signs, and Pinelis' inequality (Ann. Probab. 22, 1679 (1994)) holds whatever the distribution of the
sizes:  P(T > t) <= 2 exp(-t/2). (The sum in T's denominator is the largest of those at the position
and half a slot to either side, which only lowers T: between slots neighbours cancel in patterns of
their own.) With M positions searched, the threshold t = 2 ln(2 M / p) keeps the probability of any
false detection below p (1e-6): 47 for 1e4 positions, 61 for 8e6. With a slot's signal to noise
ratio g = A^2 / (2 N) (A pilot amplitude, N noise per quadrature) the mean of T is K g^2 / (1 + g)^2
and its root has a standard deviation of 0.53 at g = 1 and 0.59 at g = 0.8 (2e4 draws, K = 510):
with T = 128 and 101 on average a preamble is missed with a probability of 1e-10 and 6e-5. Pilots of
g = 0.8, amplitude 1.3 at N = 1, are enough; 2000 photons over a transmittance of 0.3 give g = 600.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from drivers.optics.burst import BurstFormat
from drivers.optics.slot_filter import Record

__all__ = ["PreamblePeak", "detection_threshold", "find_peak"]

# Starting slots tried at a time: 131,072 samples at 8 per slot.
_SEARCH_SLOTS: Final = 16_384


@dataclass(frozen=True, kw_only=True)
class PreamblePeak:
    """The best candidate for the preamble.

    Attributes:
        sample: First sample of its first slot.
        statistic: T there.
        sidelobe: Largest T two slots or more away.
        turn: Phase step from slot to slot, in turns.
        brightness: Largest over smallest energy of the searched positions.
    """

    sample: int
    statistic: float
    sidelobe: float
    turn: float
    brightness: float


def detection_threshold(positions: int, false_alarm: float) -> float:
    """Least T that counts as a preamble: 2 ln(2 M / p) (Pinelis, Ann. Probab. 22, 1679 (1994)).

    Args:
        positions: Number M of starting samples searched.
        false_alarm: Probability p of any false detection on noise.

    Returns:
        Threshold of T.
    """
    return float(2 * np.log(2 * max(positions, 1) / false_alarm))


def find_peak(
    record: Record, burst: BurstFormat, cycles: float, low: int, high: int, threshold: float
) -> PreamblePeak:
    """The best preamble among the starting samples `low` to `high`, blockwise.

    Args:
        record: Samples in volts.
        burst: The format with the preamble.
        cycles: Nominal cycles of the light against the oscillator per sample.
        low: First starting sample.
        high: Last starting sample.
        threshold: Least T that counts; among those the largest |D| is the peak.

    Returns:
        The best candidate, which may be below the threshold.
    """
    per_slot = burst.samples_per_symbol
    bins: list[NDArray[np.float64]] = []
    best = (-1.0, low, 0.0, 0j)
    energies: list[float] = []
    for first in range(low, high + 1, _SEARCH_SLOTS * per_slot):
        count = min(_SEARCH_SLOTS * per_slot, high + 1 - first)
        before = min(per_slot // 2, first - burst.pulse.lead)
        after = min(per_slot // 2, record.size - first - count - _reach(burst))
        found = _statistics(record, burst, cycles, first - before, before + count + max(after, 0))
        correlation, statistic, energy = (part[before : before + count] for part in found)
        # Above the threshold T is flat where the pulse is only partly met: |D| finds the centre.
        merit = np.abs(correlation)
        merit[statistic < threshold] = 0.0
        if not merit.any():
            merit = 1e-30 * statistic
        place = int(np.argmax(merit))
        if merit[place] > best[0]:
            best = (
                float(merit[place]),
                first + place,
                float(statistic[place]),
                complex(correlation[place]),
            )
        padded = np.zeros(-(-count // per_slot) * per_slot)
        padded[:count] = statistic
        bins.append(padded.reshape(-1, per_slot).max(axis=1))
        energies += [float(energy.min()), float(energy.max())]
    highest = np.concatenate(bins)
    near = (best[1] - low) // per_slot
    elsewhere = np.concatenate((highest[: max(near - 2, 0)], highest[near + 3 :], [0.0]))
    return PreamblePeak(
        sample=best[1],
        statistic=best[2],
        sidelobe=float(elsewhere.max()),
        turn=float(np.angle(best[3]) / (2 * np.pi)),
        brightness=float(max(energies) / max(min(energies), 1e-300)),
    )


def _statistics(
    record: Record, burst: BurstFormat, cycles: float, first: int, count: int
) -> tuple[NDArray[np.complex64], NDArray[np.float64], NDArray[np.float64]]:
    """D, T and the sum of |d|^2 for `count` starting samples from `first`."""
    per_slot, pulse = burst.samples_per_symbol, burst.pulse
    begin = first - pulse.lead
    stop = first + count - 1 + _reach(burst)
    turns = (cycles * np.arange(stop - begin)) % 1.0
    base = record[begin:stop] * np.exp(-2j * np.pi * turns).astype(np.complex64)
    filtered = np.convolve(base, pulse.taps[::-1], mode="valid")
    products = filtered[per_slot:] * np.conj(filtered[:-per_slot])
    changes = burst.preamble_signs[1:] * burst.preamble_signs[:-1]
    rows = -(-count // per_slot)
    grid = np.zeros((rows + changes.size - 1, per_slot), dtype=np.complex64)
    grid.reshape(-1)[: products.size] = products
    correlation = oaconvolve(grid, changes[::-1, None], mode="valid", axes=0)
    power = grid.real.astype(np.float64) ** 2 + grid.imag.astype(np.float64) ** 2
    sums = np.concatenate((np.zeros((1, per_slot)), np.cumsum(power, axis=0)))
    energy = (sums[changes.size :] - sums[: -changes.size]).reshape(-1)[:count]
    flat = np.asarray(correlation, dtype=np.complex64).reshape(-1)[:count]
    # Round-off of the transform must not look like a signal where the record is exactly dark.
    floor = 1e-10 * changes.size * max(float(power.max()), 1e-300)
    largest = np.maximum(energy, floor)
    half = per_slot // 2
    largest[half:] = np.maximum(largest[half:], energy[:-half])
    largest[:-half] = np.maximum(largest[:-half], energy[half:])
    return flat, np.abs(flat.astype(np.complex128)) ** 2 / largest, energy


def _reach(burst: BurstFormat) -> int:
    """Samples from the preamble's first to the end of its last pulse."""
    pulse = burst.pulse
    return (burst.preamble_slots - 1) * burst.samples_per_symbol + pulse.length - pulse.lead
