"""Tests of what records say beside the data: rates, powers, and what an honest bench may do."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from drivers.record_watch import BINS, RecordWatch, ShiftedMeans, VacuumSlots, shifted_means
from protocol.verification.expected import ReturnExpectation
from protocol.verification.record_tests import RecordTests
from protocol.verification.session_limits import AlarmShares, SessionLimits, session_limits
from protocol.verification.session_score import SessionScore
from tests.unit.protocol.verification.test_session_monitor import expectation, plan_of

Array = NDArray[np.float64]
LAW: ReturnExpectation = replace(expectation(), white_variance=1.1, variance_uncertainty=0.005)
GAIN = LAW.gain
MOSTLY_RECORDS = AlarmShares(
    blocks=0.02, running=0.02, fourth_moment=0.02, rails=0.02, audits=0.02, records=0.9
)


def limits_of(blocks: int = 1, false_alarm: float = 1e-6) -> SessionLimits:
    return session_limits(
        plan_of(), 5 * blocks, LAW, false_alarm=false_alarm, shares=MOSTLY_RECORDS
    )


def nothing_shifted() -> ShiftedMeans:
    none = np.zeros(len(BINS))
    return ShiftedMeans(
        cross_snu=none,
        overlap_snu=none,
        shifted_energy_snu=none,
        energy_snu=0.0,
        projection_snu=0.0,
    )


def watch(
    *,
    vacuum: VacuumSlots | None = None,
    shifted: ShiftedMeans | None = None,
    rails: int = 0,
) -> RecordWatch:
    return RecordWatch(
        vacuum=vacuum or VacuumSlots(values=0, energy=0.0),
        shifted=shifted or nothing_shifted(),
        rail_samples=rails,
        rails_allowed=1e-3,
    )


def score(scores: tuple[SessionScore, ...], name: str) -> SessionScore:
    (found,) = (one for one in scores if one.name == name)
    return found


def vacuum_of(values: int, scale: float, random: np.random.Generator) -> VacuumSlots:
    return VacuumSlots(values=values, energy=scale * random.chisquare(values))


def test_optics_without_slots_leave_their_tests_out() -> None:
    found = RecordTests(limits_of()).of_block(watch(), LAW)
    assert [one.name for one in found] == ["record rails"]
    assert found[0].passed


@pytest.mark.parametrize("scale", [1.1, 1.04, 0.95], ids=["raised", "little", "blinded"])
def test_vacuum_slots_are_refused_with_the_power_of_the_f_test(scale: float) -> None:
    """400 blocks of 4000 values at a rate of 0.04, with a unit that was itself off by chance."""
    tests, random = RecordTests(limits_of(1, 0.4)), np.random.default_rng(1)
    values, reference, rate = 4000, 80_000, 0.9 * 0.4 / 6
    low, high = (float(stats.f.ppf(side, values, reference)) for side in (rate / 2, 1 - rate / 2))
    stated = stats.f.cdf(low / scale, values, reference) + stats.f.sf(
        high / scale, values, reference
    )
    assert 0.1 < stated < 1
    caught = 0
    for _ in range(400):
        unit = random.chisquare(reference) / reference
        slots = vacuum_of(values, scale / unit, random)
        caught += not score(tests.of_block(watch(vacuum=slots), LAW), "vacuum slots").passed
    # Two-sided binomial interval of 1 - 1e-9.
    assert stats.binom.ppf(5e-10, 400, stated) <= caught <= stats.binom.isf(5e-10, 400, stated)


def test_sums_of_vacuum_slots_show_over_a_session_what_no_block_shows() -> None:
    """4 % in 40 blocks of 4000 values: a score of 6.8 or so, against 5.0 at a rate of 1e-6 or so.

    By itself a block has a score of 1.7: 40 of them reach the limit with a probability below 2e-3,
    and the seed is fixed.
    """
    limits = limits_of(40)
    tests, random = RecordTests(limits), np.random.default_rng(2)
    for number in range(1, 41):
        one = watch(vacuum=vacuum_of(4000, 1.04, random))
        assert all(score.passed for score in tests.of_block(one, LAW))
        tests.add(one, LAW, number)
    found = score(tests.scores, "vacuum slots")
    spread = math.sqrt(2 / 160_000 + 2 / 80_000)
    assert found.score == pytest.approx(0.04 / spread, abs=1.5)
    assert found.symbols == 160_000
    assert not found.passed


def sent(random: np.random.Generator, like: float) -> Array:
    """Means of one burst whose neighbours have the correlation `like`."""
    white = random.standard_normal((1, 3000, 1))
    for place in range(1, white.shape[1]):
        white[0, place] = like * white[0, place - 1] + math.sqrt(1 - like**2) * white[0, place]
    return np.asarray(0.6 * white)


def returned(
    random: np.random.Generator, means: Array, *, lag: int = 0, gain: float = GAIN
) -> ShiftedMeans:
    noise = math.sqrt(LAW.white_variance) * random.standard_normal(means.shape)
    values = gain * np.roll(means, lag, axis=1) + noise
    return shifted_means(values, means, random.random(means.shape) < 0.5)


@pytest.mark.parametrize("like", [0.0, 0.9])
def test_honest_returns_raise_no_more_alarms_than_agreed_however_alike_neighbours_are(
    like: float,
) -> None:
    """A gain that is off by a fifth is the gain's test's; 300 blocks at 0.06 (surprise 1e-9)."""
    tests, random = RecordTests(limits_of(1, 0.4)), np.random.default_rng(3)
    means = sent(random, like)
    alarms = sum(
        not score(
            tests.of_block(watch(shifted=returned(random, means, gain=0.8 * GAIN)), LAW),
            "frame shift",
        ).passed
        for _ in range(300)
    )
    assert alarms <= stats.binom.isf(1e-9, 300, 0.06)


@pytest.mark.parametrize("lag", [1, -3, 8])
def test_shifted_frames_are_caught_with_the_power_of_their_energy(lag: int) -> None:
    """z = 0.95 g sqrt(E/v) on average, with a standard deviation of 1, for 100 returns.

    E is the energy of the means that were measured in X, about half of 3000 times 0.36.
    """
    tests, random = RecordTests(limits_of()), np.random.default_rng(4)
    scores = []
    for _ in range(100):
        means = sent(random, 0.0)
        found = returned(random, means, lag=lag)
        one = score(tests.of_block(watch(shifted=found), LAW), "frame shift")
        place = BINS.index(lag)
        energy = found.shifted_energy_snu[place]
        scores.append(one.score - 0.95 * GAIN * math.sqrt(energy / LAW.white_variance))
        assert not one.passed
        assert one.limit == pytest.approx(stats.norm.isf(0.9e-6 / 6 / 32))
    assert abs(np.mean(scores)) < 6.5 * 0.1 + 0.1
    assert np.std(scores) == pytest.approx(1, abs=0.5)


def test_an_inverted_shift_counts_and_a_little_crosstalk_does_not() -> None:
    random = np.random.default_rng(5)
    means = sent(random, 0.0)
    tests = RecordTests(limits_of())
    for share, passes in ((0.04, True), (0.5, False), (-0.5, False)):
        mixed = GAIN * (means + share * np.roll(means, 1, axis=1))
        # Without noise: what is left over chance is the crosstalk alone.
        found = shifted_means(mixed, means, np.ones(means.shape, dtype=np.bool_))
        assert score(tests.of_block(watch(shifted=found), LAW), "frame shift").passed is passes


def test_constant_means_say_nothing_of_their_place() -> None:
    means = np.full((2, 500, 1), 0.5)
    found = shifted_means(means, means, np.ones(means.shape, dtype=np.bool_))
    one = RecordTests(limits_of()).of_block(watch(shifted=found), LAW)
    # Only the ends of the bursts differ, by which nothing can be told.
    assert score(one, "frame shift").passed


def test_rails_of_records_add_up_over_a_session() -> None:
    limits = limits_of(50)
    tests = RecordTests(limits)
    for number in range(1, 51):
        one = watch(rails=number % 2)
        assert all(score.passed for score in tests.of_block(one, LAW))
        tests.add(one, LAW, number)
    found = score(tests.scores, "record rails")
    assert found.score == 25
    assert found.limit == stats.poisson.isf(limits.record_look_rates[-1], 0.05)
    assert not found.passed


def test_limits_of_records_spend_their_share_and_no_more() -> None:
    limits = session_limits(plan_of(), 150, LAW, false_alarm=1e-6)
    share = limits.shares.records * 1e-6
    spent = 3 * (limits.blocks * limits.record_rate + sum(limits.record_look_rates))
    assert spent == pytest.approx(share)
    assert limits.vacuum_reference_values == 80_000
    sure = replace(LAW, variance_uncertainty=0.0)
    assert session_limits(plan_of(), 150, sure, false_alarm=1e-6).vacuum_reference_values == 10**12
