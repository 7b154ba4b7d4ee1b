"""Ranges and argument checks: the messages name device, quantity, value, unit, limit and remedy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import ConfigurationError, LimitError
from drivers.instruments import (
    BiasLimits,
    DigitiserLimits,
    GeneratorLimits,
    PhaseDriverLimits,
    PolarisationLimits,
    Range,
    SwitchLimits,
)
from drivers.instruments.limits import check_channel, check_not_negative, check_vector

VOLTS = Range(lowest=-1.0, highest=2.0)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("value", [-1.0, 0, 0.5, 2.0, np.float32(2.0), np.float64(-1.0)])
def test_range_allows_value_when_inside_or_at_an_end(value: float) -> None:
    VOLTS.check("bias", "voltage", "V", value)
    assert value in VOLTS


@given(value=st.floats().filter(lambda v: not -1 <= v <= 2))
def test_range_refuses_value_when_outside_infinite_or_nan(value: float) -> None:
    assert value not in VOLTS
    with pytest.raises(LimitError):
        VOLTS.check("bias", "voltage", "V", value)


def test_range_names_everything_when_it_refuses() -> None:
    with pytest.raises(LimitError) as raised:
        VOLTS.check("client bias", "voltage of channel 1", "V", 2.5)
    assert str(raised.value) == (
        "client bias: voltage of channel 1 2.5 V is outside the limits -1.0 to 2.0 V; "
        "choose a value inside them"
    )


@pytest.mark.parametrize("value", [math.nan, np.float32("nan")])
def test_range_names_nan_when_it_refuses_it(value: float) -> None:
    with pytest.raises(LimitError, match=r"voltage is NaN \(not a number\).*-1\.0 to 2\.0 V"):
        VOLTS.check("bias", "voltage", "V", value)


@pytest.mark.parametrize(
    ("lowest", "highest"), [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan), (0.0, math.inf)]
)
def test_range_cannot_be_made_when_an_end_is_wrong(lowest: float, highest: float) -> None:
    with pytest.raises(ConfigurationError):
        Range(lowest=lowest, highest=highest)


@given(values=st.lists(st.floats(width=32), max_size=20))
def test_check_all_names_the_first_wrong_element_when_there_is_one(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    wrong = [index for index, value in enumerate(values) if not -1 <= value <= 2]
    if not wrong:
        VOLTS.check_all("generator", "waveform", "V", array)
        return
    with pytest.raises(LimitError, match=rf"waveform\[{wrong[0]}\]"):
        VOLTS.check_all("generator", "waveform", "V", array)


def test_check_all_allows_float32_when_it_is_the_limit_rounded() -> None:
    limits = Range(lowest=-0.1, highest=0.1)  # float32(0.1) is above 0.1
    limits.check_all("generator", "waveform", "V", np.array([-0.1, 0.1], dtype=np.float32))
    above = np.nextafter(np.float32(0.1), np.float32(1))
    with pytest.raises(LimitError, match=r"waveform\[0\]"):
        limits.check_all("generator", "waveform", "V", np.array([above]))


@given(ends=st.lists(FINITE, min_size=4, max_size=4))
def test_narrowed_gives_the_other_or_refuses_when_it_sticks_out(ends: list[float]) -> None:
    outer = Range(lowest=min(ends[:2]), highest=max(ends[:2]))
    other = Range(lowest=min(ends[2:]), highest=max(ends[2:]))
    if outer.lowest <= other.lowest and other.highest <= outer.highest:
        assert outer.narrowed(other) is other
    else:
        with pytest.raises(ConfigurationError, match="narrowed, not widened"):
            outer.narrowed(other)


@pytest.mark.parametrize("value", [-1e-9, math.inf, -math.inf])
def test_check_not_negative_names_the_value_when_it_refuses(value: float) -> None:
    with pytest.raises(LimitError, match=rf"delay {value} s must be a finite number"):
        check_not_negative("generator", "delay", "s", value)


def test_check_not_negative_names_nan_when_it_refuses() -> None:
    with pytest.raises(LimitError, match="delay is NaN"):
        check_not_negative("generator", "delay", "s", math.nan)
    check_not_negative("generator", "delay", "s", 0.0)


@pytest.mark.parametrize("channel", [-1, 2, 1000])
def test_check_channel_names_the_channels_when_there_is_no_such(channel: int) -> None:
    check_channel("generator", 1, 2)
    with pytest.raises(LimitError, match=rf"no channel {channel}; the channels are 0 to 1"):
        check_channel("generator", channel, 2)


@pytest.mark.parametrize(
    "values",
    [np.zeros(2, dtype=np.float32), np.zeros((3, 1)), np.float64(0.0) * np.ones(()), np.zeros(4)],
    ids=["type", "two axes", "no axis", "length"],
)
def test_check_vector_says_what_it_got_when_it_refuses(values: NDArray[np.float64]) -> None:
    check_vector("mesh", "volts", np.zeros(3), np.float64, 3)
    with pytest.raises(LimitError) as raised:
        check_vector("mesh", "volts", values, np.float64, 3)
    assert "(3,) of float64" in str(raised.value)
    assert str(values.shape) in str(raised.value)


UNIT = Range(lowest=0.0, highest=1.0)
POSITIVE = Range(lowest=0.5, highest=1.0)
WRONG_LIMITS: dict[str, Callable[[], object]] = {
    "bias without channels": lambda: BiasLimits(channels=0, volts=UNIT),
    "bias without 0 V": lambda: BiasLimits(channels=1, volts=POSITIVE),
    "phases without channels": lambda: PhaseDriverLimits(channels=0, volts=UNIT),
    "phases without 0 V": lambda: PhaseDriverLimits(channels=1, volts=POSITIVE),
    "polarisation without channels": lambda: PolarisationLimits(channels=0, angle_rad=UNIT),
    "generator without channels": lambda: GeneratorLimits(
        channels=0, volts=UNIT, sample_rate_hz=UNIT, samples=1, bits=1
    ),
    "generator without samples": lambda: GeneratorLimits(
        channels=1, volts=UNIT, sample_rate_hz=UNIT, samples=0, bits=1
    ),
    "generator without bits": lambda: GeneratorLimits(
        channels=1, volts=UNIT, sample_rate_hz=UNIT, samples=1, bits=0
    ),
    "digitiser without channels": lambda: DigitiserLimits(
        channels=0, sample_rate_hz=UNIT, samples=1, range_v=UNIT, bits=1
    ),
    "digitiser without samples": lambda: DigitiserLimits(
        channels=1, sample_rate_hz=UNIT, samples=0, range_v=UNIT, bits=1
    ),
    "digitiser without bits": lambda: DigitiserLimits(
        channels=1, sample_rate_hz=UNIT, samples=1, range_v=UNIT, bits=0
    ),
    "switch with a position twice": lambda: SwitchLimits(positions=("a", "a"), safe_position="a"),
    "switch with an unknown safe position": lambda: SwitchLimits(
        positions=("a", "b"), safe_position="c"
    ),
    "switch without positions": lambda: SwitchLimits(positions=(), safe_position=""),
}


@pytest.mark.parametrize("make", WRONG_LIMITS.values(), ids=WRONG_LIMITS)
def test_limits_cannot_be_made_when_they_contradict_the_kind(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()
