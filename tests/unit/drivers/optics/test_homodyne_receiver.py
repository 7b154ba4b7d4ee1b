"""The homodyne receiver on records that are made sample by sample."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import OpticsError, TraceError
from drivers.optics.burst import BurstLayout, compose_oscillator, compose_weights
from drivers.optics.common_mode import own_and_steps
from drivers.optics.homodyne_receiver import (
    around_zero,
    homodyne_slots,
    measure_pilots,
    scrambling,
    take_echo,
    vacuum_noise,
)
from drivers.optics.slot_filter import SlotTiming
from tests.homodyne_bench import FORMAT

LAYOUT = BurstLayout(format=FORMAT, data_symbols=400)
GUARD = FORMAT.guard_slots
PILOT_V, NOISE_V, LEVEL_V = 0.2, 5e-3, 0.06
START = 37.0


def record(
    means: NDArray[np.float32] | None = None, *, seed: int = 1, level_v: float = LEVEL_V
) -> NDArray[np.float32]:
    """Light in X on a level, in white noise, after a start."""
    given = np.zeros(LAYOUT.data_symbols, dtype=np.float32) if means is None else means
    light = compose_weights(LAYOUT, given, PILOT_V)
    volts = np.random.default_rng(seed).normal(level_v, NOISE_V, int(START) + light.size + 64)
    volts[int(START) : int(START) + light.size] += light
    return volts.astype(np.float32)


TIMING = SlotTiming(start=START, samples_per_slot=8.0)


def test_slots_hold_the_whole_amplitude_and_the_noise_of_one_sample() -> None:
    means = np.full(LAYOUT.data_symbols, 0.1, dtype=np.float32)
    slots = homodyne_slots(record(means), LAYOUT, TIMING)
    level = LEVEL_V * float(FORMAT.pulse.taps.sum())
    data = slots[LAYOUT.data - GUARD]
    # 400 values: the mean to 2.5e-4, six of them; the deviation to 3.5 %.
    assert abs(float(data.mean()) - level - 0.1) < 1.5e-3
    assert abs(float(data.std()) / NOISE_V - 1) < 0.21


def test_pilots_and_level_are_told_apart() -> None:
    found = measure_pilots(homodyne_slots(record(), LAYOUT, TIMING), LAYOUT)
    assert found.uncertainty_v == pytest.approx(
        NOISE_V / np.sqrt(LAYOUT.preamble.size + LAYOUT.pilots.size), rel=0.1
    )
    assert abs(found.mean_v - PILOT_V) < 6 * found.uncertainty_v
    assert found.level_v == pytest.approx(LEVEL_V * float(FORMAT.pulse.taps.sum()), rel=0.01)
    assert found.noise_v2 == pytest.approx(NOISE_V**2, rel=0.3)


def test_echo_is_taken_off_the_slots_after_bright_ones() -> None:
    slots = homodyne_slots(record(), LAYOUT, TIMING)
    level = measure_pilots(slots, LAYOUT).level_v
    slots -= level
    slots[1:] += 0.05 * slots[:-1]
    after = LAYOUT.pilots[:-1] + 1 - GUARD
    signs = LAYOUT.pilot_signs[:-1]
    assert float((slots[after] * signs).mean()) > 0.04 * PILOT_V
    echo = take_echo(slots, LAYOUT)
    assert echo.share.real == pytest.approx(0.05, abs=0.01)
    assert abs(float((slots[after] * signs).mean())) < 0.01 * PILOT_V


def test_vacuum_noise_is_what_the_oscillator_adds() -> None:
    vacuum = np.random.default_rng(2).normal(0.0, 2.0, 40_000)
    found = vacuum_noise(vacuum, 1.0, "detector")
    # Of 4.0 the standard deviation is 0.028.
    assert abs(found.shot - 3.0) < 6 * 0.0284
    assert found.uncertainty == pytest.approx(4 * np.sqrt(2 / 40_000), rel=0.1)


def test_vacuum_noise_refuses_a_lost_oscillator() -> None:
    vacuum = np.random.default_rng(3).normal(0.0, 1.0, 1000)
    with pytest.raises(TraceError, match="detector: oscillator lost"):
        vacuum_noise(vacuum, 1.0, "detector")
    with pytest.raises(OpticsError, match="at least 2"):
        vacuum_noise(vacuum[:1], 0.0, "detector")


def test_around_zero_takes_the_level_off() -> None:
    found = around_zero(np.array([1.0, 2.0], dtype=np.float32), 0.5)
    assert found.dtype == np.complex64
    assert found.tolist() == [0.5, 1.5]


def test_even_terms_explain_the_oscillators_power_and_not_the_light() -> None:
    rng = np.random.default_rng(4)
    levels = np.ones(LAYOUT.total_slots, dtype=np.float32)
    levels[LAYOUT.data] = rng.uniform(-1, 1, LAYOUT.data.size)
    power = np.square(compose_oscillator(LAYOUT, levels[LAYOUT.data]))
    volts = np.concatenate((np.zeros(int(START)), 0.3 * power, np.zeros(64))).astype(np.float32)
    seen = homodyne_slots(volts, LAYOUT, TIMING)
    every = np.arange(GUARD, LAYOUT.total_slots - GUARD)
    terms = own_and_steps(levels, every, TIMING, moving=False)
    weights = np.linalg.lstsq(terms.T, seen, rcond=None)[0]
    left = seen - weights @ terms
    assert float(seen.std()) > 0.05
    assert float(np.abs(left).max()) < 1e-3 * float(np.abs(seen).max())
    # Of light under the same oscillator with its known signs they take next to nothing.
    inside = np.isin(every, LAYOUT.data)
    light = levels[every].copy()
    light[inside] *= scrambling(LAYOUT)
    share = np.linalg.lstsq(terms[:, inside].T, light[inside], rcond=None)[0] @ terms[:, inside]
    assert float(share.var() / light[inside].var()) < 6 * 6 / LAYOUT.data.size
