"""The unbalance of a detector under an oscillator that changes its level from slot to slot.

Two diodes are never quite alike: a part of the oscillator's power gets through to the difference
current. Within a slot it is constant and the matched filter does not see it; its step at the slot's
edges it does, and after a filter of finite length it is worth some per cent of the shot noise. The
levels are known to who set them, so the steps are fitted and taken off.

On the way from level a to level b the power is that of (1 - s) a + s b, s from 0 to 1:
(1 - s) a^2 + s b^2 - s (1 - s) (a - b)^2. It steps, and it dips where the level changes sign. In
the frame of the slot's own start the contribution to slot k is therefore
A (P_(k-1) - P_k) + B (P_(k+1) - P_k) + C (l_(k-1) - l_k)^2 + D (l_(k+1) - l_k)^2, l the level and P
its square, A to D complex numbers that follow the fraction of a sample by which the slots lie
beside the sample grid: here a parabola each.
"""

import numpy as np
from numpy.typing import NDArray

from drivers.optics.slot_filter import SlotTiming

__all__ = ["own_and_steps", "remove_common_mode"]

_BLOCK_SLOTS = 65_536
_TERMS = 12


def remove_common_mode(
    values: NDArray[np.complex64],
    first_slot: int,
    levels: NDArray[np.float32],
    fitted: NDArray[np.intp],
    timing: SlotTiming,
    cycles_per_sample: float,
) -> float:
    """Fit the oscillator's steps and take them off, in place.

    Args:
        values: matched-filter outputs of consecutive slots, volts, shape (slots,).
        first_slot: index of the first of them in the burst.
        levels: oscillator level in every slot of the burst, shape (total slots,).
        fitted: slots of the burst, without bright light, that the fit may use.
        timing: where the slots lie.
        cycles_per_sample: frequency at which the filter looked.

    Returns:
        Mean square of what was taken off, V^2 per quadrature.
    """
    gram = np.zeros((_TERMS, _TERMS), dtype=np.float64)
    right = np.zeros(_TERMS, dtype=np.complex128)
    for start in range(0, fitted.size, _BLOCK_SLOTS):
        slots = fitted[start : start + _BLOCK_SLOTS]
        terms = _terms(levels, slots, timing)
        local = values[slots - first_slot] * _turn(slots, timing, cycles_per_sample)
        gram += terms @ terms.T
        right += terms @ local
    # The levels may be equal in all slots: then there is nothing to fit.
    weights = np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ right
    removed = 0.0
    for start in range(0, values.size, _BLOCK_SLOTS):
        slots = np.arange(start, min(start + _BLOCK_SLOTS, values.size)) + first_slot
        found = weights @ _terms(levels, slots, timing)
        removed += float(np.vdot(found, found).real)
        found *= _turn(slots, timing, cycles_per_sample).conj()
        values[start : start + _BLOCK_SLOTS] -= found.astype(np.complex64)
    return removed / values.size / 2


def own_and_steps(
    levels: NDArray[np.float32], slots: NDArray[np.intp], timing: SlotTiming, *, moving: bool
) -> NDArray[np.float64]:
    """What a filter around 0 Hz sees of the oscillator's power: that of the slot, and a constant.

    Args:
        levels: oscillator level in every slot of the burst, shape (total slots,).
        slots: the slots that are asked for.
        timing: where the slots lie.
        moving: the slots wander against the samples, so that every term may follow f.

    Returns:
        Terms, shape (6 or 16, slots).
    """
    steps = _terms(levels, slots, timing)
    power = np.square(levels[slots].astype(np.float64))
    if not moving:
        return np.concatenate((np.ones((1, slots.size)), power[None], steps[:4]))
    starts = timing.starts(slots)
    fraction = starts - np.rint(starts)
    own = np.stack((np.ones(slots.size), power, power * fraction, power * fraction**2))
    return np.concatenate((own, steps))


def _terms(
    levels: NDArray[np.float32], slots: NDArray[np.intp], timing: SlotTiming
) -> NDArray[np.float64]:
    """Steps and dips to both neighbours times 1, f, f^2 of the slot's fraction f, (12, slots)."""
    starts = timing.starts(slots)
    fraction = starts - np.rint(starts)
    own = levels[slots].astype(np.float64)
    before = levels[np.maximum(slots - 1, 0)].astype(np.float64)
    after = levels[np.minimum(slots + 1, levels.size - 1)].astype(np.float64)
    changes = np.stack(
        (before**2 - own**2, after**2 - own**2, (before - own) ** 2, (after - own) ** 2)
    )
    return np.concatenate((changes, changes * fraction, changes * fraction**2))


def _turn(
    slots: NDArray[np.intp], timing: SlotTiming, cycles_per_sample: float
) -> NDArray[np.complex128]:
    """From the record's frame to the slot's own."""
    turns = np.remainder(cycles_per_sample * np.rint(timing.starts(slots)), 1.0)
    return np.asarray(np.exp(2j * np.pi * turns))
