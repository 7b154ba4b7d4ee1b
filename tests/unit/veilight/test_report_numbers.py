import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilight.report import _numbers as numbers


def spaced(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (-0.12345, "−0.123"),
        (9.996, "10.0"),
        (0.0009996, "0.00100"),
        (12_841.0, "12,800"),
        (999_600.0, "1.00 × 10⁶"),
        (1.234e-5, "1.23 × 10⁻⁵"),
        (-6.022e23, "−6.02 × 10²³"),
        (math.inf, "∞"),
        (math.nan, "not a number"),
    ],
)
def test_human_gives_three_digits_when_asked(value: float, expected: str) -> None:
    assert spaced(numbers.human(value)) == expected


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_human_is_never_below_the_value_when_rounded_up(value: float) -> None:
    text = spaced(numbers.human(value, up=True)).replace(",", "")
    mantissa, _, power = text.partition(" × 10")
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    shown = float(f"{mantissa}e{exponent or 0}")
    assert value <= shown <= value * 1.01


@pytest.mark.parametrize(
    ("value_s", "expected"),
    [
        (0.0, "0 s"),
        (2.41e-7, "241 ns"),
        (9.57e-4, "957 µs"),
        (1.5, "1.50 s"),
        (119.0, "119 s"),
        (180.0, "3.00 min"),
        (7200.0, "2.00 h"),
        (3 * 86400.0, "3.00 days"),
        (10 * 365.25 * 86400, "10.0 years"),
    ],
)
def test_duration_takes_the_unit_that_people_would(value_s: float, expected: str) -> None:
    assert spaced(numbers.duration(value_s)) == expected


def test_bits_take_a_prefix_when_they_are_many() -> None:
    assert spaced(numbers.bits(9816.1)) == "9.82 kbit"
    assert spaced(numbers.bits(9811.0, up=True)) == "9.82 kbit"
    assert spaced(numbers.bits(3.2e7)) == "32.0 Mbit"
    assert spaced(numbers.bits(0.0)) == "0 bit"


def test_rate_keeps_what_was_set() -> None:
    assert [spaced(numbers.rate(value)) for value in (50.0, 1e8, 2.5e9)] == [
        "50 Hz",
        "100 MHz",
        "2.5 GHz",
    ]


def test_count_keeps_all_digits_when_they_are_few() -> None:
    assert numbers.count(956_770) == "956,770"
    assert spaced(numbers.count(24_100_000)) == "24.1 million"
    assert spaced(numbers.count(6_538_560_000)) == "6.54 × 10⁹"


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0.5, "50 %"),
        (0.95, "95 %"),
        (0.999, "99.9 %"),
        (1 - 1e-6, "99.9999 %"),
        (1 - 2e-6, "99.9998 %"),
    ],
)
def test_confidence_shows_its_nines(confidence: float, expected: str) -> None:
    assert spaced(numbers.confidence_text(confidence)) == expected


def test_plain_writes_a_power_when_the_number_is_tiny() -> None:
    assert numbers.plain(1e-6) == "10⁻⁶"
    assert spaced(numbers.plain(2.5e-7)) == "2.5 × 10⁻⁷"
    assert numbers.plain(0.02) == "0.02"


def test_signed_says_so_when_a_score_is_not_a_number() -> None:
    assert numbers.signed(math.nan) == "not a number"
    assert numbers.signed(-78.64) == "−78.6"
    assert numbers.signed(2.0) == "+2.0"


@pytest.mark.parametrize(("hits", "trials"), [(246, 397), (1, 7), (9_700, 10_000)])
def test_binomial_interval_solves_the_score_equation(hits: int, trials: int) -> None:
    # At the ends p the count is 1.96 standard deviations of Binomial(n, p) off its mean.
    for end in numbers.binomial_interval(hits, trials):
        deviation = (hits / trials - end) / math.sqrt(end * (1 - end) / trials)
        assert abs(deviation) == pytest.approx(1.959963984540054, rel=1e-9)


def test_binomial_interval_stays_a_share_when_all_or_none_are_right() -> None:
    assert numbers.binomial_interval(0, 20)[0] == 0
    assert numbers.binomial_interval(20, 20)[1] == 1
    assert 0 < numbers.binomial_interval(20, 20)[0] < 1
