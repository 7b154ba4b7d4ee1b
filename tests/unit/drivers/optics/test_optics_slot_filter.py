"""The blockwise matched filter against the sum that defines it, slot by slot.

Statistical limits are six standard deviations (2e-9 each), seeds fixed.
"""

import numpy as np
import pytest

from drivers.errors import OpticsError
from drivers.optics.pulses import PulseShape, hann_pulse, root_raised_cosine_pulse
from drivers.optics.slot_filter import Record, SlotTiming, filter_all_slots, filter_slots

PULSES = [hann_pulse(8), root_raised_cosine_pulse(4)]
NAMES = ["hann", "rrc"]


def noise(samples: int, complex_record: bool) -> Record:
    rng = np.random.default_rng(4)
    real = rng.standard_normal(samples)
    if complex_record:
        return (real + 1j * rng.standard_normal(samples)).astype(np.complex64)
    return np.asarray(real, dtype=np.float32)


def slow_slot(
    record: Record, timing: SlotTiming, pulse: PulseShape, cycles: float, slot: int
) -> complex:
    """The defining sum of one slot."""
    start = timing.start + timing.samples_per_slot * slot
    whole = round(start)
    places = whole - pulse.lead + np.arange(pulse.length)
    weights = pulse.shifted(start - whole) * np.exp(-2j * np.pi * cycles * places)
    if np.iscomplexobj(record):
        return complex(np.sum(weights * record[places]))
    # A real record's level, constant over the slot, is not to be seen.
    weights -= np.mean(weights)
    return complex(np.sqrt(2) * np.sum(weights * record[places]))


@pytest.mark.parametrize("pulse", PULSES, ids=NAMES)
@pytest.mark.parametrize("complex_record", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("ppm", [0.0, 0.2, -50.0, 50.0])
def test_filters_agree_with_the_defining_sum(
    pulse: PulseShape, complex_record: bool, ppm: float
) -> None:
    slots = 40_000
    per_slot = pulse.samples_per_symbol
    timing = SlotTiming(start=100.37, samples_per_slot=per_slot * (1 + ppm * 1e-6))
    record = noise(slots * per_slot + 300, complex_record)
    cycles = 0.2537 if not complex_record else 0.0037
    found = filter_all_slots(record, timing, pulse, cycles, 20, slots - 20)
    assert found.dtype == np.complex64
    assert found.shape == (slots - 40,)
    chosen = np.array([20, 21, 170, 9999, 16_403, 16_404, 33_000, slots - 21])
    wanted = [slow_slot(record, timing, pulse, cycles, int(slot)) for slot in chosen]
    # Within a block the pulse moves along a line: up to 2e-3 of the noise's size of 1.4.
    np.testing.assert_allclose(found[chosen - 20], wanted, atol=2e-4 if ppm == 0.0 else 0.03)
    gathered, slopes, later = filter_slots(record, timing, pulse, cycles, chosen, with_slope=True)
    for place, slot in enumerate(chosen):
        at = SlotTiming(start=timing.start + later[place], samples_per_slot=timing.samples_per_slot)
        assert gathered[place] == pytest.approx(
            slow_slot(record, at, pulse, cycles, int(slot)), abs=2e-4
        )
    assert np.max(np.abs(later)) <= 1 / 16
    assert slopes.shape == chosen.shape


@pytest.mark.parametrize("pulse", PULSES, ids=NAMES)
@pytest.mark.parametrize("complex_record", [False, True], ids=["real", "complex"])
def test_white_noise_keeps_its_variance_in_both_quadratures(
    pulse: PulseShape, complex_record: bool
) -> None:
    per_slot = pulse.samples_per_symbol
    record = noise(100_000 * per_slot + 100, complex_record)
    cycles = 0.0 if complex_record else 0.25
    timing = SlotTiming(start=30.0, samples_per_slot=per_slot * (1 + 50e-6))
    values = filter_all_slots(record, timing, pulse, cycles, 0, 99_000)
    limit = 6 * np.sqrt(2 / 99_000)
    assert float(np.var(values.real)) == pytest.approx(1.0, abs=limit)
    assert float(np.var(values.imag)) == pytest.approx(1.0, abs=limit)
    assert abs(float(np.mean(values.real * values.imag))) < limit
    assert abs(complex(np.mean(values[1:] * np.conj(values[:-1])))) < 2 * limit


def test_slope_is_the_change_of_the_value_with_the_delay() -> None:
    pulse = hann_pulse(8)
    record = noise(5000, False)
    slots = np.array([3, 50, 400])
    values, slopes, _ = filter_slots(
        record,
        SlotTiming(start=10.0, samples_per_slot=8.0),
        pulse,
        0.25,
        slots,
        with_slope=True,
    )
    moved, _, _ = filter_slots(
        record, SlotTiming(start=10.01, samples_per_slot=8.0), pulse, 0.25, slots
    )
    np.testing.assert_allclose((moved - values) / 0.01, slopes, atol=0.02)


def test_values_of_a_tone_stand_still_when_the_frequency_is_right() -> None:
    index = np.arange(400_000)
    cycles = 0.2537
    record = np.cos(2 * np.pi * cycles * index + 0.7).astype(np.float32)
    timing = SlotTiming(start=12.3, samples_per_slot=8 * (1 + 40e-6))
    values = filter_all_slots(record, timing, hann_pulse(8), cycles, 0, 49_000)
    size = np.sqrt(0.5) * float(hann_pulse(8).taps.sum())
    np.testing.assert_allclose(values, size * np.exp(0.7j), rtol=0.02)
    assert np.angle(np.mean(values)) == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("pulse", PULSES, ids=NAMES)
def test_constant_level_is_not_seen_at_any_frequency(pulse: PulseShape) -> None:
    record = np.full(20_000, 3.0, dtype=np.float32)
    timing = SlotTiming(start=30.3, samples_per_slot=pulse.samples_per_symbol * (1 + 50e-6))
    values = filter_all_slots(record, timing, pulse, 0.2637, 0, 2000)
    assert float(np.max(np.abs(values))) < 1e-4


@pytest.mark.parametrize("pulse", PULSES, ids=NAMES)
@pytest.mark.parametrize(("start", "slots"), [(-1.0, 10), (20.0, 1000)], ids=["before", "after"])
def test_filter_refuses_when_slots_leave_the_record(
    pulse: PulseShape, start: float, slots: int
) -> None:
    record = noise(1000 * pulse.samples_per_symbol, False)
    timing = SlotTiming(start=start, samples_per_slot=float(pulse.samples_per_symbol))
    with pytest.raises(OpticsError, match="record longer"):
        filter_all_slots(record, timing, pulse, 0.25, 0, slots)
