"""Finding bursts: timing, clock and frequency against the truth, and every refusal by name.

Statistical limits are six standard deviations or more (2e-9 each), seeds fixed.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import SynchronisationError
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.preamble_search import detection_threshold
from drivers.optics.pulses import root_raised_cosine_pulse
from drivers.optics.slot_filter import Record
from drivers.optics.synchronisation import (
    SearchSettings,
    Synchronisation,
    synchronise,
)
from tests.unit.drivers.optics.synthetic_records import Conditions, record_of

HANN = BurstFormat(least_vacuum_slots=64)
COSINE = BurstFormat(
    least_vacuum_slots=64,
    samples_per_symbol=4,
    if_cycles_per_symbol=1.0,
    pulse=root_raised_cosine_pulse(4),
)
SMALL = BurstLayout(format=HANN, data_symbols=2000)
PILOT = 34.6


def burst_record(
    layout: BurstLayout, conditions: Conditions, seed: int, pilot: float = PILOT
) -> Record:
    rng = np.random.default_rng(seed)
    means = 0.8 * rng.standard_normal(layout.data_symbols)
    return record_of(layout, means, pilot, conditions, rng)


def noise(samples: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (0.01 * rng.standard_normal(samples)).astype(np.float32)


def assert_found(found: Synchronisation, conditions: Conditions, slots: int) -> None:
    """Start, last slot and clock within six standard deviations (and a floor for the model)."""
    stretch = 1 + conditions.clock_ppm * 1e-6
    nominal = found.timing.samples_per_slot / (1 + found.clock_offset)
    wanted_end = conditions.delay_samples + slots * nominal * stretch
    end = found.timing.start + slots * found.timing.samples_per_slot
    floor = 6 * found.timing_uncertainty_samples + 0.01
    spread = 6 * found.clock_uncertainty
    assert abs(found.timing.start - conditions.delay_samples) < floor + spread * 800 * nominal
    assert abs(end - wanted_end) < floor + spread * slots * nominal
    assert abs(found.clock_offset - conditions.clock_ppm * 1e-6) < spread + 1e-9


@pytest.mark.parametrize("burst", [HANN, COSINE], ids=["hann", "rrc"])
@pytest.mark.parametrize(
    ("delay", "ppm", "offset_hz", "linewidth_hz"),
    [
        (0.0, 0.0, 0.0, 20e3),
        (137.3, 50.0, 5e6, 20e3),
        (1500.77, -50.0, -5e6, 200e3),
        (64.5, 13.0, 1.3e6, 200.0),
    ],
    ids=["aligned", "fast", "slow-noisy", "narrow"],
)
def test_synchronise_finds_timing_clock_and_frequency(
    burst: BurstFormat, delay: float, ppm: float, offset_hz: float, linewidth_hz: float
) -> None:
    layout = BurstLayout(format=burst, data_symbols=20_000)
    conditions = Conditions(
        delay_samples=delay, clock_ppm=ppm, offset_hz=offset_hz, linewidth_hz=linewidth_hz
    )
    found = synchronise(burst_record(layout, conditions, 3), layout)
    assert_found(found, conditions, layout.total_slots)
    assert found.clock_uncertainty < 0.2e-6
    # Walk over the preamble of 5 us, seen as a slope, and the pilots' noise.
    spread = np.sqrt(linewidth_hz / (2 * np.pi * 5.11e-6)) + 500
    assert abs(found.frequency_offset_hz - offset_hz) < 7 * spread
    assert found.statistic > 5 * found.threshold
    assert found.slip_resolved


def test_synchronise_finds_dim_pilots_at_the_stated_limit() -> None:
    # Amplitude sqrt(2 * 1.1): signal to noise 1. A miss has a probability of 1e-10 per record.
    layout = BurstLayout(format=HANN, data_symbols=300)
    for seed in range(40):
        conditions = Conditions(delay_samples=300.4, linewidth_hz=2e3, extra_samples=1000)
        record = burst_record(layout, conditions, seed, pilot=float(np.sqrt(2.2)))
        found = synchronise(record, layout)
        assert found.timing.start == pytest.approx(300.4, abs=1.5)


def test_noise_alone_stays_far_below_the_threshold() -> None:
    # 5e5 positions: the bound gives the largest T, 28, a probability of 1/2; 60 one of 1e-7.
    layout = BurstLayout(format=HANN, data_symbols=100)
    record = noise(510_000, 1)
    with pytest.raises(SynchronisationError, match="no light") as error:
        synchronise(record, layout)
    statistic = float(str(error.value).split("statistic ")[1].split(",")[0])
    assert 8.0 < statistic < 28.0


def test_threshold_is_the_bound_solved_for_the_false_alarm() -> None:
    threshold = detection_threshold(10_000, 1e-6)
    assert 10_000 * 2 * np.exp(-threshold / 2) == pytest.approx(1e-6)


def test_synchronise_says_too_low_when_the_format_differs() -> None:
    other = BurstLayout(format=BurstFormat(preamble_slots=127), data_symbols=2500)
    record = burst_record(SMALL, Conditions(delay_samples=50.0, extra_samples=40_000), 4)
    with pytest.raises(SynchronisationError, match="peak is too low"):
        synchronise(record, other)


def test_synchronise_refuses_when_there_are_two_preambles() -> None:
    one = burst_record(SMALL, Conditions(delay_samples=50.0, extra_samples=100), 5)
    two = burst_record(SMALL, Conditions(delay_samples=50.0, extra_samples=100), 6)
    with pytest.raises(SynchronisationError, match="two preambles"):
        synchronise(np.concatenate((one, two)), SMALL)


def test_search_window_finds_the_burst_inside_and_names_one_outside() -> None:
    record = burst_record(SMALL, Conditions(delay_samples=1000.0, extra_samples=3000), 7)
    begin = 1000 + 64 * 8
    found = synchronise(record, SMALL, search=(begin - 100, begin + 100))
    assert found.timing.start == pytest.approx(1000.0, abs=0.05)
    with pytest.raises(SynchronisationError, match=f"sample {begin}, outside the search window"):
        synchronise(record, SMALL, search=(0, begin - 200))
    with pytest.raises(SynchronisationError, match="leaves no room"):
        synchronise(record, SMALL, search=(10**6, 10**6 + 5))


def test_pattern_between_slots_is_not_taken_for_a_preamble() -> None:
    # Half-way between slots neighbours cancel, and 129.5 slots on what is left repeats the pattern.
    record = burst_record(SMALL, Conditions(delay_samples=1000.0, extra_samples=3000), 7)
    begin = 1000 + 64 * 8
    with pytest.raises(SynchronisationError, match=f"sample {begin}, outside the search window"):
        synchronise(record, SMALL, search=(begin + 1000, begin + 1100))


@pytest.mark.parametrize("lost", [1, -1], ids=["lost", "repeated"])
@pytest.mark.parametrize("data", [2000, 30_000])
def test_synchronise_refuses_when_a_sample_slips(lost: int, data: int) -> None:
    layout = BurstLayout(format=HANN, data_symbols=data)
    record = burst_record(layout, Conditions(delay_samples=70.2, linewidth_hz=20e3), 8)
    middle = int(0.6 * layout.total_samples)
    slipped = np.concatenate((record[:middle], record[middle + lost :]))
    with pytest.raises(SynchronisationError, match=r"timing steps by [+-]|clocks differ"):
        synchronise(slipped, layout)


def test_synchronise_names_the_place_when_a_sample_slips() -> None:
    layout = BurstLayout(format=HANN, data_symbols=30_000)
    record = burst_record(layout, Conditions(linewidth_hz=20e3), 8)
    slot = layout.total_slots // 2
    slipped = np.concatenate((record[: slot * 8], record[slot * 8 + 1 :]))
    with pytest.raises(SynchronisationError, match=r"steps by -\d\.\d") as error:
        synchronise(slipped, layout)
    named = int(str(error.value).split("near slot ")[1].split(";")[0])
    assert abs(named - slot) < 1000


def test_synchronise_refuses_when_whole_slots_are_lost_between_pilots() -> None:
    # Eight slots of eight samples: pilots fall on pilots again, only their signs betray it.
    layout = BurstLayout(format=HANN, data_symbols=10_000)
    record = burst_record(layout, Conditions(), 9)
    slipped = np.concatenate((record[:40_000], record[40_064:]))
    with pytest.raises(SynchronisationError, match="pilots vanish"):
        synchronise(slipped, layout)


def test_synchronise_refuses_when_the_light_goes_in_mid_burst() -> None:
    layout = BurstLayout(format=HANN, data_symbols=10_000)
    record = burst_record(layout, Conditions(), 10)
    record[60_000:] = noise(record.size - 60_000, 11)
    with pytest.raises(SynchronisationError, match=r"pilots vanish from slot 7[45]\d\d"):
        synchronise(record, layout)


@pytest.mark.parametrize("ppm", [-120.0, 80.0])
def test_synchronise_refuses_when_the_clock_is_beyond_its_limit(ppm: float) -> None:
    layout = BurstLayout(format=HANN, data_symbols=10_000)
    record = burst_record(layout, Conditions(clock_ppm=ppm), 12)
    with pytest.raises(SynchronisationError, match=rf"clocks differ by {ppm:.0f}\.\d"):
        synchronise(record, layout)


def test_short_burst_keeps_the_nominal_clock_within_its_uncertainty() -> None:
    layout = BurstLayout(format=HANN, data_symbols=50)
    conditions = Conditions(clock_ppm=20.0, delay_samples=3.3)
    found = synchronise(burst_record(layout, conditions, 13, pilot=3.0), layout)
    assert found.clock_uncertainty > 5e-6
    assert abs(found.clock_offset - 20e-6) < 6 * found.clock_uncertainty


def test_synchronise_refuses_when_the_frequency_is_beyond_its_limit() -> None:
    record = burst_record(SMALL, Conditions(offset_hz=7e6), 14)
    settings = SearchSettings(frequency_limit_hz=5e6)
    with pytest.raises(SynchronisationError, match=r"differ by 7\.0\d MHz.*limit is 5 MHz"):
        synchronise(record, SMALL, settings=settings)


def test_synchronise_refuses_when_the_record_is_too_short() -> None:
    record = burst_record(SMALL, Conditions(extra_samples=0), 15)
    with pytest.raises(SynchronisationError, match="server detector: the record has 9999 samples"):
        synchronise(record[:9999], SMALL, instrument="server detector")
