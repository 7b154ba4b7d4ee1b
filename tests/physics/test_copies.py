"""The bound for one memory over all copies, as a function: against a grid, and its limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)

CHANNEL = ReturnedChannel(gain_x=0.95, excess_noise_x_snu=0.02, excess_noise_p_snu=0.03)
NOISY = ReturnedChannel(gain_x=0.7, gain_p=0.6, excess_noise_x_snu=0.3, excess_noise_p_snu=0.1)
QUIET = ReturnedChannel(gain_x=1.0, gain_p=1.0, excess_noise_x_snu=1e-3, excess_noise_p_snu=1e-3)
NOISELESS = ReturnedChannel(gain_x=0.9, gain_p=0.9, excess_noise_x_snu=0.0, excess_noise_p_snu=0.0)


def _largest_on_a_grid(m_x: float, m_p: float, channel: ReturnedChannel, copies: int) -> float:
    """Every merged pair of variances in the room that the averages leave, whatever lies inside."""
    assert channel.excess_noise_p_snu is not None
    whole_x = copies * (1 + channel.excess_noise_x_snu)
    whole_p = copies * (1 + channel.excess_noise_p_snu)
    largest = 0.0
    for v_x in np.linspace(0.02, whole_x - 0.01, 120):
        most = whole_p - (copies - 1) ** 2 / (whole_x - v_x)
        for v_p in (most, 0.9 * most):
            if v_p <= 0:
                continue
            merged = ReturnedChannel(
                gain_x=channel.gain_x,
                gain_p=channel.gain_p,
                excess_noise_x_snu=v_x - 1,
                excess_noise_p_snu=v_p - 1,
            )
            try:
                bits = weight_bits_general(copies * m_x, copies * m_p, merged)
            except ConfigurationError:
                continue  # no channel
            largest = max(largest, bits)
    return largest


@pytest.mark.parametrize("copies", [2, 3, 10])
@pytest.mark.parametrize(
    ("m_x", "m_p", "channel"),
    [(0.4, 0.0, CHANNEL), (0.4, 0.0, NOISY), (0.2, 0.2, NOISY)],
    ids=["real", "real, noisy", "complex"],
)
def test_bound_is_the_largest_of_a_grid_when_all_merged_channels_are_tried(
    copies: int, m_x: float, m_p: float, channel: ReturnedChannel
) -> None:
    bound = weight_bits_with_memory(m_x, m_p, channel, copies)
    on_grid = _largest_on_a_grid(m_x, m_p, channel, copies)
    assert 0.98 * bound < on_grid <= bound * (1 + 1e-9)


@pytest.mark.parametrize("channel", [CHANNEL, NOISY, QUIET], ids=["small", "noisy", "quiet"])
@pytest.mark.parametrize("m_p", [0.0, 0.3], ids=["real", "complex"])
def test_one_copy_is_the_general_bound(channel: ReturnedChannel, m_p: float) -> None:
    if m_p and channel is CHANNEL:
        channel = NOISELESS
    assert weight_bits_with_memory(0.3, m_p, channel, 1) == weight_bits_general(0.3, m_p, channel)


@pytest.mark.parametrize("m_p", [0.0, 0.01], ids=["real", "complex"])
def test_bound_grows_with_copies_up_to_all_of_the_light(m_p: float) -> None:
    m_x, found = 0.01, []
    for copies in (1, 2, 3, 10, 100, 10_000, 1_000_000):
        bits = weight_bits_with_memory(m_x, m_p, QUIET, copies)
        assert bits <= weight_bits_general_untested(copies * m_x, copies * m_p)
        assert bits >= weight_bits_general(copies * m_x, copies * m_p, QUIET)
        found.append(bits)
    assert found == sorted(found)
    assert found[-1] > 0.999 * weight_bits_general_untested(1e6 * m_x, 1e6 * m_p)


@pytest.mark.parametrize("m_p", [0.0, 0.3], ids=["real", "complex"])
def test_memory_gains_nothing_when_the_returns_are_pure(m_p: float) -> None:
    """Loss without noise: every return is in a pure state, and holds nothing that is shared."""
    found = weight_bits_with_memory(0.3, m_p, NOISELESS, 50)
    assert found == pytest.approx(weight_bits_general(15.0, 50 * m_p, NOISELESS), rel=1e-6)


def test_bound_follows_a_squeezed_average_when_all_copies_are_squeezed_alike() -> None:
    """Squeezing in front of the server's detector, and its inverse, change nothing."""
    factor = 1.3
    squeezed = ReturnedChannel(
        gain_x=math.sqrt(factor) * CHANNEL.gain_x,
        excess_noise_x_snu=factor * 1.02 - 1,
        excess_noise_p_snu=1.03 / factor - 1,
    )
    assert weight_bits_with_memory(0.2, 0.0, squeezed, 7) == pytest.approx(
        weight_bits_with_memory(0.2, 0.0, CHANNEL, 7), rel=1e-9
    )


def test_bound_is_the_limit_of_much_noise_when_p_is_untested() -> None:
    untested = ReturnedChannel(gain_x=0.9, excess_noise_x_snu=0.1)
    noisy = ReturnedChannel(gain_x=0.9, excess_noise_x_snu=0.1, excess_noise_p_snu=1e6)
    found = weight_bits_with_memory(0.2, 0.0, untested, 5)
    assert found >= weight_bits_with_memory(0.2, 0.0, noisy, 5)
    assert found == pytest.approx(weight_bits_with_memory(0.2, 0.0, noisy, 5), rel=1e-3)
    assert found > weight_bits_general(1.0, 0.0, untested)
    assert weight_bits_with_memory(0.2, 0.1, untested, 5) == weight_bits_general_untested(1.0, 0.5)


def test_all_of_the_light_leaks_when_nothing_comes_back() -> None:
    vacuum = ReturnedChannel(gain_x=0.0, excess_noise_x_snu=0.0, excess_noise_p_snu=0.0)
    assert weight_bits_with_memory(0.2, 0.0, vacuum, 9) == weight_bits_general_untested(1.8)
    assert weight_bits_with_memory(0.2, 0.2, vacuum, 9) == weight_bits_general_untested(1.8, 1.8)


@settings(max_examples=60, deadline=None)
@given(
    share=st.floats(0.0, 1.0),
    gain=st.floats(0.0, 1.5),
    noise_x=st.floats(0.0, 20.0),
    noise_p=st.floats(0.0, 20.0),
    copies=st.integers(2, 10**9),
    complex_encoding=st.booleans(),
)
def test_bound_is_between_its_limits_when_the_channel_is_any_amplifier_or_loss(
    share: float,
    gain: float,
    noise_x: float,
    noise_p: float,
    copies: int,
    complex_encoding: bool,
) -> None:
    least = abs(1 - gain**2) - (1 - gain**2)
    channel = ReturnedChannel(
        gain_x=gain,
        gain_p=gain,
        excess_noise_x_snu=least + noise_x,
        excess_noise_p_snu=least + noise_p,
    )
    m_x = 10 ** (4 * share - 3)
    m_p = m_x if complex_encoding else 0.0
    found = weight_bits_with_memory(m_x, m_p, channel, copies)
    assert found <= weight_bits_general_untested(copies * m_x, copies * m_p)
    assert found >= weight_bits_general(copies * m_x, copies * m_p, channel) * (1 - 1e-9)


def test_averages_of_a_single_channel_are_not_asked_for_when_a_memory_makes_more() -> None:
    """Returns that are squeezed in all but the merged mode: brighter than one copy can be."""
    bright = ReturnedChannel(gain_x=1.01, excess_noise_x_snu=0.0, excess_noise_p_snu=0.2)
    with pytest.raises(ConfigurationError, match="brighter"):
        weight_bits_general(0.4, 0.0, bright)
    assert 0 < weight_bits_with_memory(0.1, 0.0, bright, 4) < weight_bits_general_untested(0.4)


@pytest.mark.parametrize(
    ("m_x", "m_p", "channel", "copies", "match"),
    [
        (math.nan, 0.0, CHANNEL, 2, "modulation of X"),
        (0.1, -1.0, CHANNEL, 2, "modulation of P"),
        (0.1, 0.0, CHANNEL, 0, "copies"),
        (
            0.1,
            0.0,
            ReturnedChannel(gain_x=0.9, excess_noise_x_snu=-0.5, excess_noise_p_snu=0.0),
            2,
            "below that of vacuum",
        ),
        (
            0.1,
            0.0,
            ReturnedChannel(gain_x=3.0, excess_noise_x_snu=0.0, excess_noise_p_snu=0.1),
            2,
            "brighter",
        ),
        (
            0.1,
            0.1,
            ReturnedChannel(gain_x=1.5, gain_p=1.5, excess_noise_x_snu=0.1, excess_noise_p_snu=0.1),
            2,
            "brighter",
        ),
        (
            0.1,
            0.1,
            ReturnedChannel(gain_x=1.0, gain_p=5.0, excess_noise_x_snu=0.1, excess_noise_p_snu=0.1),
            2,
            "brighter",
        ),
    ],
    ids=["nan", "negative", "no copies", "below vacuum", "bright X", "bright both", "bright P"],
)
def test_bound_is_refused_when_an_argument_is_impossible(
    m_x: float, m_p: float, channel: ReturnedChannel, copies: int, match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        weight_bits_with_memory(m_x, m_p, channel, copies)


@pytest.mark.parametrize(
    ("copies", "charged", "at_most", "everything"),
    [
        (1, 0.00040, 0.00040, 0.080),
        (2, 0.00079, 0.0086, 0.140),
        (10, 0.0038, 0.089, 0.454),
        (100, 0.031, 1.04, 1.55),
        (1000, 0.21, 2.98, 3.12),
    ],
    ids=["1", "2", "10", "100", "1000"],
)
def test_bound_has_the_published_values_when_an_amplifier_of_gain_1_3_returns_faint_light(
    copies: int, charged: float, at_most: float, everything: float
) -> None:
    """The table of the page on leakage: mu = 0.01, 784 modes."""
    m_x, noise = 0.04, 2 * (1 - 1 / 1.3) / 784
    channel = ReturnedChannel(gain_x=1.0, excess_noise_x_snu=noise, excess_noise_p_snu=noise)
    assert weight_bits_general(copies * m_x, 0.0, channel) == pytest.approx(charged, rel=0.02)
    found = weight_bits_with_memory(m_x, 0.0, channel, copies)
    assert found == pytest.approx(at_most, rel=0.01)
    assert weight_bits_general_untested(copies * m_x) == pytest.approx(everything, rel=0.01)
