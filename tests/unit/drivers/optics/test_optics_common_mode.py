"""What an unbalanced detector shows of the oscillator's steps, and how it is taken off."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.optics.common_mode import remove_common_mode
from drivers.optics.slot_filter import SlotTiming

SLOTS = 6000
CYCLES = 0.25
NOISE = 0.02


def steps(
    levels: NDArray[np.float32], timing: SlotTiming, before: complex, after: complex
) -> NDArray[np.complex64]:
    """The model, slot by slot: steps to both neighbours in the frame of the slot's own start."""
    power = levels.astype(float) ** 2
    values = np.zeros(SLOTS, dtype=complex)
    for k in range(SLOTS):
        lower, upper = power[max(k - 1, 0)], power[min(k + 1, SLOTS - 1)]
        local = before * (lower - power[k]) + after * (upper - power[k])
        start = timing.start + k * timing.samples_per_slot
        values[k] = local * np.exp(-2j * np.pi * CYCLES * round(start))
    return values.astype(np.complex64)


def random_levels(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.uniform(0, 1, SLOTS).astype(np.float32)


@pytest.mark.parametrize("start", [3.0, 3.3], ids=["on-the-grid", "between-samples"])
def test_steps_are_taken_off_when_they_stand_above_the_noise(start: float) -> None:
    rng = np.random.default_rng(1)
    levels = random_levels(rng)
    timing = SlotTiming(start=start, samples_per_slot=8.0)
    pattern = steps(levels, timing, 0.3 + 0.1j, -0.2j)
    noise = (NOISE * (rng.standard_normal((SLOTS, 2)) @ [1, 1j])).astype(np.complex64)
    values = pattern + noise
    removed = remove_common_mode(values, 0, levels, np.arange(SLOTS), timing, CYCLES)
    assert removed == pytest.approx(float(np.mean(np.abs(pattern) ** 2)) / 2, rel=0.01)
    # Six complex terms fitted to 6000 slots take 0.1 % of the noise's power with them.
    left = float(np.mean(np.abs(values - noise) ** 2))
    assert left < 0.01 * NOISE**2


def test_nothing_is_taken_off_when_the_level_is_constant() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal(SLOTS).astype(np.complex64)
    before = values.copy()
    timing = SlotTiming(start=0.0, samples_per_slot=8.0)
    levels = np.full(SLOTS, 0.7, dtype=np.float32)
    assert remove_common_mode(values, 0, levels, np.arange(SLOTS), timing, CYCLES) == 0.0
    np.testing.assert_array_equal(values, before)


def test_bright_slots_do_not_disturb_the_fit_when_they_are_left_out() -> None:
    rng = np.random.default_rng(3)
    levels = random_levels(rng)
    timing = SlotTiming(start=0.0, samples_per_slot=8.0)
    pattern = steps(levels, timing, 0.1, 0.1)
    bright = np.arange(0, SLOTS, 8)
    values = pattern.copy()
    values[bright] += 50
    dim = np.setdiff1d(np.arange(SLOTS), bright)
    remove_common_mode(values, 0, levels, dim, timing, CYCLES)
    assert float(np.abs(values[dim]).max()) < 1e-4
    assert values[bright] == pytest.approx(np.full(bright.size, 50), abs=1e-3)


def test_slots_are_counted_from_the_burst_when_values_begin_later() -> None:
    rng = np.random.default_rng(4)
    levels = random_levels(rng)
    timing = SlotTiming(start=0.0, samples_per_slot=8.0)
    values = steps(levels, timing, 0.2, 0.1)[64:-64].copy()
    fitted = np.arange(100, SLOTS - 100)
    remove_common_mode(values, 64, levels, fitted, timing, CYCLES)
    assert float(np.abs(values).max()) < 1e-4
