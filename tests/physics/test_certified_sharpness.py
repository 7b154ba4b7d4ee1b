"""How tight the certificate is: against the asymptotic value, and against what is possible."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from protocol.leakage import LayerLight, LeakageFigure, weight_figures_for_layer
from protocol.leakage.certified import certification_design, normal_multiplier
from protocol.leakage.certified_plane import worst_planes
from protocol.leakage.general_bound import (
    ReturnedChannel,
    possible_other_gains,
    weight_bits_general,
)
from tests.physics.certified_sessions import (
    AMPLIFIER,
    CASES,
    honest_channel,
    modulation_of,
    without_luck,
)


@pytest.mark.parametrize(
    ("mu", "encoding"),
    [
        (0.02, "real"),
        (0.1, "real"),
        (0.64, "real"),
        (6.0, "real"),
        (0.05, "complex"),
        (0.1, "complex"),
        (1.0, "complex"),
    ],
)
def test_certificate_is_at_most_twice_the_asymptotic_value_when_1e9_symbols_are_tested(
    mu: float, encoding: str
) -> None:
    """Amplifier at G = 1.3, N = 784, 1e-6; half of the 1e9 symbols in each quadrature."""
    certified, asymptotic = without_luck("amplifier", encoding, mu, 500_000_000, 1e-6)
    assert asymptotic < certified.bits_per_symbol < 2 * asymptotic


def test_faint_light_is_certified_at_twice_the_asymptotic_value_when_its_gain_is_seen() -> None:
    """At 0.01 photons it is the gain that is badly known: three ways to know it better.

    With as many symbols in each quadrature and no dither no linear statistic does better than 2.2.
    """
    plain, asymptotic = without_luck("amplifier", "real", 0.01, 500_000_000, 1e-6)
    assert 2.1 < plain.bits_per_symbol / asymptotic < 2.3
    more_x, _ = without_luck("amplifier", "real", 0.01, 880_000_000, 1e-6, symbols_p=120_000_000)
    assert more_x.bits_per_symbol < 2 * asymptotic
    on_x, _ = without_luck("amplifier", "real", 0.01, 500_000_000, 1e-6, dither=(0.2, 0.0))
    assert on_x.bits_per_symbol < 1.7 * asymptotic
    on_p, known = without_luck("amplifier", "real", 0.01, 500_000_000, 1e-6, dither=(0.0, 4.0))
    assert on_p.bits_per_symbol < min(2 * known, 0.5 * asymptotic)


@pytest.mark.parametrize(
    ("dither", "most"), [(0.0, 0.0277), (0.05, 0.0236), (0.2, 0.0181), (1.0, 0.0118)]
)
def test_dither_of_p_certifies_less_when_the_receiver_is_a_feed_forward_tap(
    dither: float, most: float
) -> None:
    """tau = 0.1 at F^2 = 0.25, 1e8 symbols, 1e-6."""
    certified, _ = without_luck(
        "feed-forward-tap", "real", 0.625, 50_000_000, 1e-6, dither=(0.0, dither)
    )
    assert 0.95 * most < certified.bits_per_symbol < most


def test_certificate_tends_to_the_asymptotic_value_when_symbols_are_many() -> None:
    ratios = []
    for symbols in (10**5, 10**7, 10**9, 10**11, 10**13):
        certified, asymptotic = without_luck("amplifier", "real", 0.1, symbols, 1e-6)
        ratios.append(certified.bits_per_symbol / asymptotic)
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 1.03


@pytest.mark.parametrize(
    ("name", "encoding", "mu", "dither"),
    [
        ("amplifier", "real", 0.1, 0.0),
        ("amplifier", "complex", 0.05, 0.0),
        ("feed-forward-tap", "real", 0.5, 0.05),
        ("feed-forward-tap", "real", 0.5, 0.5),
        ("amplifier", "real", 0.01, 4.0),
    ],
)
def test_certificate_is_the_worst_of_the_joint_region_when_nothing_better_can_be(
    name: str, encoding: str, mu: float, dither: float
) -> None:
    """Minimax: the largest bound among channels within the quantile, looked for at random.

    No linear statistic certifies less; the plane certifies no more than 3 % above it.
    """
    symbols, failure = 50_000_000, 1e-6
    certified, _ = without_luck(name, encoding, mu, symbols, failure, dither=(0.0, dither))
    modulations = modulation_of(mu, encoding)
    centre, z = honest_channel(name, encoding, dither_p=dither), normal_multiplier(0.9 * failure)
    assert centre.excess_noise_p_snu is not None
    noise = math.sqrt(2 / symbols)
    in_p = modulations[1] + dither
    errors = np.array([1 / math.sqrt(symbols * modulations[0]), noise, 0.0, noise])
    errors[2] = 1 / math.sqrt(symbols * in_p) if in_p else 0.0
    generator = np.random.default_rng(4)
    best, place, step = 0.0, np.array([-0.3, 0.3, -0.3, 0.3]), 0.3
    for draw in range(6000):
        tried = place + step * generator.normal(size=4)
        tried /= max(1.0, float(np.linalg.norm(tried[errors > 0])))
        moved = z * errors * tried
        channel = ReturnedChannel(
            gain_x=centre.gain_x + moved[0],
            gain_p=centre.gain_p + moved[2],
            excess_noise_x_snu=centre.excess_noise_x_snu + moved[1],
            excess_noise_p_snu=centre.excess_noise_p_snu + moved[3],
        )
        try:
            value = weight_bits_general(*modulations, channel, gain_p_seen=dither > 0)
        except ConfigurationError:
            continue
        if value > best:
            best, place = value, tried
        elif draw % 500 == 499:
            step /= 2
    assert best < certified.bits_per_symbol < 1.03 * best


def test_joint_region_beats_the_box_when_both_are_asked_for_1e_6() -> None:
    """The box is the older finite-test figure, one bound per parameter."""
    from protocol.leakage import ChannelEstimate

    symbols = 500_000_000
    channel = honest_channel("amplifier", "real")
    certified, _ = without_luck("amplifier", "real", 0.1, symbols, 1e-6)
    figures = weight_figures_for_layer(
        LayerLight(rows=784, modes=784, photons_per_symbol=0.1),
        AMPLIFIER,
        channel=ChannelEstimate(
            excess_noise_x_snu=channel.excess_noise_x_snu,
            excess_noise_p_snu=channel.excess_noise_x_snu,
            tested_symbols_x=symbols,
            tested_symbols_p=symbols,
        ),
    )
    assert certified.bits_per_symbol < 0.9 * _finite_test(figures).bits_per_symbol


def _finite_test(figures: tuple[LeakageFigure, ...]) -> LeakageFigure:
    return next(f for f in figures if f.adversary == "client under verification, finite test")


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(CASES),
    st.floats(0.01, 100),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.floats(1e-5, 0.05),
    st.floats(0.1, 10),
    st.floats(-1, 1),
    st.booleans(),
)
def test_plane_lies_above_the_bound_when_the_channel_is_any_other(
    case: tuple[str, str],
    mu: float,
    t: float,
    excess_x: float,
    excess_p: float,
    reach: float,
    unlike: float,
    between: float,
    seen: bool,
) -> None:
    m_x, m_p = modulation_of(mu, case[1])
    seen = seen and m_p == 0
    of_gain = reach if m_p > 0 or seen else 0.0
    axes = [reach, reach, of_gain * unlike, reach]
    (plane,) = worst_planes(honest_channel(*case), m_x, m_p, axes, (1.0,), gain_p_seen=seen)
    gain = math.sqrt(t)
    possible = possible_other_gains(gain, excess_x, excess_p)
    assert possible is not None
    gain_p = possible[0] + (0.5 + 0.499 * between) * (possible[1] - possible[0])
    channel = ReturnedChannel(
        gain_x=gain,
        gain_p=max(0.0, gain_p),
        excess_noise_x_snu=excess_x,
        excess_noise_p_snu=excess_p,
    )
    bound = weight_bits_general(m_x, m_p, channel, gain_p_seen=seen)
    assert plane.at(channel) >= bound * (1 - 1e-6) - 1e-9


def test_planes_lie_above_the_bound_when_the_expected_channel_is_at_the_edge_of_all() -> None:
    """A passive tap that takes nearly all of the light: next to it there are no channels at all."""
    m, gain = 0.2502159605767261, 0.029378507917119105
    expected = ReturnedChannel(
        gain_x=gain, gain_p=gain, excess_noise_x_snu=0.0, excess_noise_p_snu=0.0
    )
    symbols = 49_370_277
    design = certification_design(
        expected,
        modulation_x_snu=m,
        modulation_p_snu=m,
        copies=1,
        symbols_x=symbols,
        symbols_p=symbols,
        failure=5e-7,
    )
    generator = np.random.default_rng(11)
    for scale in (1e-6, 1e-4, 1e-2, 0.3):
        for _ in range(50):
            excess_x, excess_p = generator.uniform(0, scale, size=2)
            gain_x = min(1.0, gain + generator.uniform(0, scale))
            possible = possible_other_gains(gain_x, excess_x, excess_p)
            assert possible is not None
            low, high = max(0.0, possible[0]), possible[1]
            channel = ReturnedChannel(
                gain_x=gain_x,
                gain_p=low + generator.uniform(0.001, 0.999) * (high - low),
                excess_noise_x_snu=excess_x,
                excess_noise_p_snu=excess_p,
            )
            bound = weight_bits_general(m, m, channel)
            assert min(plane.at(channel) for plane in design.planes) >= bound * (1 - 1e-6) - 1e-9


@pytest.mark.parametrize("symbols", [101, 1000, 20_000])
def test_planes_lie_above_the_bound_when_errors_are_as_large_as_the_gains(symbols: int) -> None:
    """Few symbols of faint light: a plane that is level at no gain would be too low."""
    m, dither = 4.959591553511751e-4, 5.4272332576948825
    design = certification_design(
        ReturnedChannel(
            gain_x=1.0,
            gain_p=0.999977749713306,
            excess_noise_x_snu=1.1128238428218095e-05,
            excess_noise_p_snu=6.717222262757919e-08,
        ),
        modulation_x_snu=m,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=symbols,
        symbols_p=symbols,
        failure=1e-10,
        dither_p_snu=dither,
    )
    generator = np.random.default_rng(5)
    for _ in range(300):
        excess_x, excess_p = 10.0 ** generator.uniform(-6, 0, size=2)
        gain = generator.uniform(0, 1)
        possible = possible_other_gains(gain, excess_x, excess_p)
        assert possible is not None
        low, high = max(0.0, possible[0]), possible[1]
        channel = ReturnedChannel(
            gain_x=gain,
            gain_p=low + generator.uniform(0.001, 0.999) * (high - low),
            excess_noise_x_snu=excess_x,
            excess_noise_p_snu=excess_p,
        )
        bound = weight_bits_general(m, 0.0, channel, gain_p_seen=True)
        assert min(plane.at(channel) for plane in design.planes) >= bound * (1 - 1e-6) - 1e-9
