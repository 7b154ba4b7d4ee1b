"""Power of the tests: published numbers of symbols, limits, and the false-alarm rate itself."""

import math

import pytest

from drivers.errors import ConfigurationError
from protocol.verification.power import (
    allowed_count,
    count_power,
    gain_power,
    symbols_for_gain,
    symbols_for_power,
    symbols_for_vacuum,
    vacuum_power,
    variance_power,
)

ALPHA, POWER = 1e-6, 0.999


@pytest.mark.parametrize(
    ("excess", "symbols"),
    [
        (0.01, 1.2e6),
        (0.02, 3.1e5),
        (0.05, 5.2e4),
        (0.1, 1.35e4),
        (0.5, 730),
        (1.0, 247),
        (2.0, 97),
    ],
)
def test_one_sided_variance_test_needs_the_published_symbols(excess: float, symbols: float) -> None:
    found = symbols_for_power(lambda n: variance_power(n, 1 + excess, 2 * ALPHA), POWER)
    # Stated to two or three digits.
    assert found == pytest.approx(symbols, rel=0.04)


@pytest.mark.parametrize(("decibel", "rows"), [(1, 1.05e4), (3, 1.5e3), (6, 581), (10, 362)])
def test_lower_tail_needs_the_published_rows_when_probes_are_squeezed(
    decibel: float, rows: float
) -> None:
    ratio = (1 + 10 ** (-decibel / 10)) / 2
    found = symbols_for_power(
        lambda n: variance_power(n, ratio, ALPHA, lower_tail_only=True), POWER
    )
    assert found == pytest.approx(rows, rel=0.02)


@pytest.mark.parametrize(
    ("kept", "photons", "symbols"),
    [(0.1, 0.01, 5.8e5), (0.1, 1.0, 5.8e3), (0.5, 0.05, 3.6e3), (1.0, 0.1, 154)],
)
def test_mean_test_needs_the_published_symbols(kept: float, photons: float, symbols: float) -> None:
    gain = math.sqrt(1 - kept)
    found = symbols_for_gain(gain, photons, alpha=ALPHA, power=POWER)
    assert found == pytest.approx(symbols, rel=0.01)
    exact = symbols_for_power(lambda n: gain_power(n, gain, photons, 2 * ALPHA), POWER)
    assert exact == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize(("ratio", "slots"), [(1.01, 2.5e6), (1.05, 1.0e5), (1.1, 2.7e4)])
def test_vacuum_test_needs_the_published_slots(ratio: float, slots: float) -> None:
    found = symbols_for_vacuum(ratio, alpha=ALPHA, power=POWER)
    assert found == pytest.approx(slots, rel=0.04)
    exact = symbols_for_power(lambda n: vacuum_power(n, ratio, 2 * ALPHA), POWER)
    assert exact == pytest.approx(found, rel=0.01)


def test_power_is_the_false_alarm_rate_when_nothing_is_wrong() -> None:
    assert gain_power(1e4, 1.0, 0.1, 1e-3) == pytest.approx(1e-3)
    assert variance_power(1e4, 1.0, 1e-3) == pytest.approx(1e-3)
    assert variance_power(100, 1.0, 1e-3, lower_tail_only=True) == pytest.approx(1e-3)
    assert vacuum_power(500, 1.0, 1e-3) == pytest.approx(1e-3)


def test_gain_above_one_is_seen_as_well_as_below() -> None:
    assert gain_power(1e5, 1.1, 0.1, ALPHA) == pytest.approx(gain_power(1e5, 0.9, 0.1, ALPHA))


def test_rails_are_allowed_rarely_when_the_range_is_six_sigma() -> None:
    # 2e-9 per value: three hits in a million values have the probability 1.3e-9.
    assert allowed_count(1_000_000, 2e-9, 1e-8) == 2
    assert count_power(1_000_000, 2e-9, 2e-9, 1e-8) == pytest.approx(1.3e-9, rel=0.03)
    assert count_power(1_000, 2e-9, 0.1, 1e-6) > 0.999999


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not see"):
        symbols_for_power(lambda n: 0.5, POWER)
    with pytest.raises(ConfigurationError, match="power is 1"):
        symbols_for_power(lambda n: 1.0, 1.0)
    with pytest.raises(ConfigurationError, match="alpha"):
        gain_power(10, 1.0, 0.1, math.nan)
    with pytest.raises(ConfigurationError, match="ratio"):
        variance_power(10, 0.0, 0.1)
    with pytest.raises(ConfigurationError, match="honest_rate"):
        allowed_count(10, 2.0, 0.1)
