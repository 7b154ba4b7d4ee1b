"""Slopes of the general bound, and the unseen gain of P at its worst.

Oracles: differences of the bound in 50-digit arithmetic for the entropy, of the bound itself, and a
golden section over the unseen gain.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from protocol.leakage._entropies import two_mode_slopes
from protocol.leakage.entropy import two_mode_entropy_bits
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_and_slopes,
    weight_bits_general,
    weight_bits_general_untested,
)
from protocol.leakage.joint_state import JointState

_DIGITS = 60
_STEP = Decimal("1e-20")


def _decimal_entropy(total: Decimal, product: Decimal) -> Decimal:
    """Bits of both modes, every digit kept."""
    apart = (total * total - 4 * product).sqrt()
    bits = Decimal(0)
    for excess in ((total + apart) / 2, (total - apart) / 2):
        photons = ((1 + excess).sqrt() - 1) / 2
        bits += (photons + 1) * (photons + 1).ln() - photons * photons.ln()
    return bits / Decimal(2).ln()


@pytest.mark.parametrize("larger", [1e-8, 1e-3, 0.7, 1.5, 300.0])
@pytest.mark.parametrize("ratio", [1e-12, 1e-3, 0.4, 0.6, 0.999, 1 - 1e-7])
def test_entropy_slopes_are_those_of_every_digit_when_modes_are_alike_or_not(
    larger: float, ratio: float
) -> None:
    total, product = larger * (1 + ratio), larger * larger * ratio
    found = two_mode_slopes(total, product)
    with localcontext() as context:
        context.prec = _DIGITS
        one, two = Decimal(total), Decimal(product)
        for index, scale in enumerate((one, two)):
            step = scale * _STEP
            ends = [
                _decimal_entropy(one + sign * step * (index == 0), two + sign * step * (index == 1))
                for sign in (1, -1)
            ]
            slope = float((ends[0] - ends[1]) / (2 * step))
            # The two modes' difference is known to half the digits where they are alike.
            assert found[index] == pytest.approx(slope, rel=1e-8 if ratio > 0.99 else 1e-11)


def test_entropy_slopes_are_limits_when_modes_are_equal_or_one_is_vacuum() -> None:
    for excess in (1e-6, 0.3, 40.0):
        equal = two_mode_slopes(2 * excess, excess**2)
        nearly = two_mode_slopes(2 * excess, excess**2 * (1 - 1e-10))
        assert equal == pytest.approx(nearly, rel=1e-9)
        by_total, by_product = two_mode_slopes(excess, 0.0)
        assert by_product == math.inf
        rise = two_mode_entropy_bits(excess * (1 + 1e-6), 0.0) - two_mode_entropy_bits(excess, 0.0)
        assert by_total == pytest.approx(rise / (1e-6 * excess), rel=1e-5)
    assert two_mode_slopes(0.0, 0.0) == (math.inf, math.inf)


def _bits(m_x: float, m_p: float, point: Sequence[float], *, gain_p_seen: bool) -> float:
    return weight_bits_general(
        m_x,
        m_p,
        ReturnedChannel(
            gain_x=point[0],
            excess_noise_x_snu=point[1],
            gain_p=point[2] if len(point) == 4 else 0.0,
            excess_noise_p_snu=point[3] if len(point) == 4 else None,
        ),
        gain_p_seen=gain_p_seen,
    )


@pytest.mark.parametrize(
    ("modulations", "point", "seen"),
    [
        ((0.4, 0.0), (0.9, 0.02), False),
        ((0.4, 0.3), (0.9, 0.02), False),
        ((0.4, 0.0), (0.9, 0.02, 0.5, 0.05), False),
        ((30.0, 0.0), (0.9999, 1e-4, 0.5, 3e-5), False),
        ((1.7, 0.0), (0.1, 3.0, 0.5, 0.2), False),
        ((0.4, 0.0), (0.5, -0.5, 0.5, 1.5), False),
        ((0.4, 0.0), (0.9, 0.02, 0.88, 0.05), True),
        ((0.4, 0.4), (0.95, 0.02, 0.94, 0.03), False),
        ((2.0, 0.1), (0.2, 0.3, 0.6, 0.4), False),
        ((50.0, 50.0), (1.1, 0.5, 1.05, 0.6), False),
    ],
    ids=[
        "x-only",
        "p-never-tested",
        "unseen",
        "unseen-next-to-no-loss",
        "unseen-noisy",
        "unseen-squeezed",
        "dither",
        "complex",
        "unequal",
        "amplified",
    ],
)
def test_slopes_are_differences_of_the_bound_when_moments_move(
    modulations: tuple[float, float], point: tuple[float, ...], seen: bool
) -> None:
    bits, slopes = weight_bits_and_slopes(*modulations, point, gain_p_seen=seen)
    assert bits == _bits(*modulations, point, gain_p_seen=seen)
    for index, slope in enumerate(slopes):
        # Small beside the noise, on whose scale the bound bends.
        step = 1e-4 * min(abs(point[k]) for k in range(1, len(point), 2))
        ends = []
        for sign in (1, -1):
            moved = list(point)
            moved[index] += sign * step
            ends.append(_bits(*modulations, moved, gain_p_seen=seen))
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


def test_slopes_are_those_of_the_largest_value_when_the_worst_gain_is_next_to_the_edge() -> None:
    """Half the light lost and hardly any noise: the distance from the edge is below 1e-100."""
    m_x, point = 0.4, (math.sqrt(0.5), 3e-6, 0.0, 2e-6)
    worst = JointState(m_x=m_x, m_p=0.0, h_x=point[0], e_x=point[1], e_p=point[3]).worst_gain()
    assert worst.quality < 1e-100
    _, slopes = weight_bits_and_slopes(m_x, 0.0, point)
    for index in (0, 1, 3):
        step = 1e-3 * point[3]
        ends = []
        for sign in (1, -1):
            moved = list(point)
            moved[index] += sign * step
            ends.append(_bits(m_x, 0.0, moved, gain_p_seen=False))
        assert slopes[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_slopes_are_infinite_when_there_is_no_noise_at_all() -> None:
    bits, slopes = weight_bits_and_slopes(0.4, 0.0, (0.9, 0.0, 0.0, 0.0))
    assert bits == _bits(0.4, 0.0, (0.9, 0.0, 0.0, 0.0), gain_p_seen=False)
    assert not math.isfinite(slopes[1])
    assert slopes[2] == 0.0


def test_slopes_are_refused_when_no_channel_has_the_moments() -> None:
    with pytest.raises(ConfigurationError, match="below that of vacuum"):
        weight_bits_and_slopes(0.4, 0.0, (0.5, -0.1, 0.0, 0.0))
    with pytest.raises(ConfigurationError, match="brighter"):
        weight_bits_and_slopes(0.4, 0.0, (1.1, 0.0, 0.0, 0.1))
    with pytest.raises(ConfigurationError, match="uncertainty principle"):
        weight_bits_and_slopes(0.4, 0.4, (1.0, 0.0, 0.5, 0.0))


def _golden(function: Callable[[float], float], low: float, high: float) -> float:
    """Largest value of a concave function, the slow way."""
    ratio = (math.sqrt(5) - 1) / 2
    best = max(function(low), function(high))
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        one, two = function(left), function(right)
        best = max(best, one, two)
        low, high = (left, high) if one < two else (low, right)
    return best


@settings(max_examples=150, deadline=None)
@given(
    st.floats(1e-3, 1e3),
    st.floats(0, 1),
    st.one_of(st.just(0.0), st.floats(1e-12, 3)),
    st.one_of(st.just(0.0), st.floats(1e-12, 3)),
)
@example(0.4, 0.5, 0.0, 1e-250)
@example(1.0, 0.0, 0.1, 0.1)
@example(1e3, 1 - 1e-9, 1e-9, 0.0)
def test_worst_gain_has_the_largest_entropy_when_all_possible_gains_are_tried(
    m_x: float, t: float, e_x: float, e_p: float
) -> None:
    state = JointState(m_x=m_x, m_p=0.0, h_x=math.sqrt(t), e_x=e_x, e_p=e_p)
    noisy, added = 1 + e_x, 1 + e_x - t
    reach = math.sqrt(state.noise_product * max(0.0, added)) / noisy
    centre = state.h_x / noisy

    def entropy(offset: float) -> float:
        return state.entropy(centre + offset, noisy * (reach - offset) * (reach + offset))

    worst = state.worst_gain()
    assert worst.quality >= 0
    assert abs(worst.gain - centre) <= reach + 1e-7
    found, slow = state.entropy(worst.gain, worst.quality), _golden(entropy, -reach, reach)
    assert found == pytest.approx(slow, rel=1e-10, abs=1e-12 * (1 + m_x))


def test_bound_with_slopes_is_the_untested_one_when_p_is_sent_and_never_tested() -> None:
    bits, slopes = weight_bits_and_slopes(0.4, 0.3, (0.9, 0.02))
    assert bits == weight_bits_general_untested(0.4, 0.3)
    assert slopes == (0.0, 0.0)
