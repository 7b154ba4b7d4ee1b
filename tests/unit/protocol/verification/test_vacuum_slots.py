"""The F test of vacuum slots."""

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from drivers.errors import ConfigurationError
from protocol.verification.vacuum import VacuumRecord, vacuum_limits, vacuum_score


def test_limits_have_their_rate_when_the_oscillator_is_steady() -> None:
    random = np.random.default_rng(1)
    low, high = vacuum_limits(300, 500, 1e-3)
    ratio = random.chisquare(300, 200_000) / 300 * 500 / random.chisquare(500, 200_000)
    alarms = int(((ratio < low) | (ratio > high)).sum())
    assert binom.sf(alarms - 1, 200_000, 1e-3) > 1e-9
    assert binom.cdf(alarms, 200_000, 1e-3) > 1e-9


def test_score_is_at_the_threshold_when_the_ratio_is_at_the_limit() -> None:
    low, high = vacuum_limits(400, 400, 1e-6)
    reference = VacuumRecord(slots=400, energy_snu=400.0)
    for ratio, sign in ((low, -1), (high, 1)):
        record = VacuumRecord(slots=400, energy_snu=400 * ratio)
        assert vacuum_score(record, reference) == pytest.approx(-sign * ndtri(5e-7))
    assert low == pytest.approx(1 / high)


def test_score_is_normal_when_many_slots_are_seen() -> None:
    # ln(ratio) has the standard deviation sqrt(4/n).
    reference = VacuumRecord(slots=10**6, energy_snu=1e6)
    louder = VacuumRecord(slots=10**6, energy_snu=1.01e6)
    assert vacuum_score(louder, reference) == pytest.approx(math.log(1.01) / 2e-3, rel=1e-3)


def test_empty_records_and_wrong_rates_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 vacuum slots"):
        VacuumRecord(slots=0, energy_snu=1.0)
    with pytest.raises(ConfigurationError, match="nan SNU"):
        VacuumRecord(slots=1, energy_snu=math.nan)
    with pytest.raises(ConfigurationError, match="at least 1"):
        vacuum_limits(0, 5, 0.1)
    with pytest.raises(ConfigurationError, match="alpha"):
        vacuum_limits(5, 5, 0.5)
