"""The general bound: its special cases, its limits, brute force over covariance matrices."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from protocol.leakage import (
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_fraction_complex,
    weight_bits_client_keeps_fraction_real,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
)
from protocol.leakage.covariance import (
    after_heterodyne,
    after_homodyne_of_x,
    covariance_entropy_bits,
)
from protocol.leakage.general_bound import (
    MeasuredMoments,
    ReturnedChannel,
    TrustedDetector,
    channel_of_moments,
    possible_other_gains,
    weight_bits_general,
    weight_bits_general_untested,
)

Array = NDArray[np.float64]

_PHOTONS = st.floats(1e-4, 1e3)
_TRANSMITTANCE = st.floats(0, 1)
_EXCESS = st.one_of(st.just(0.0), st.floats(1e-7, 10))


def _channel(t: float, excess_x: float, excess_p: float | None) -> ReturnedChannel:
    gain = math.sqrt(t)
    return ReturnedChannel(
        gain_x=gain, gain_p=gain, excess_noise_x_snu=excess_x, excess_noise_p_snu=excess_p
    )


def _gamma(m_x: float, m_p: float, channel: ReturnedChannel, gain_p: float) -> Array:
    """Covariance of the kept half and the return, from the squeezed entangled pair."""
    variance = math.sqrt((1 + m_x) * (1 + m_p))
    squeeze = math.sqrt(math.sqrt((1 + m_x) / (1 + m_p)))
    pair = math.sqrt(variance**2 - 1)
    excess_p = channel.excess_noise_p_snu
    assert excess_p is not None
    c_x, c_p = channel.gain_x * pair * squeeze, -gain_p * pair / squeeze
    b_x = channel.gain_x**2 * m_x + 1 + channel.excess_noise_x_snu
    b_p = gain_p**2 * m_p + 1 + excess_p
    return np.array(
        [[variance, 0, c_x, 0], [0, variance, 0, c_p], [c_x, 0, b_x, 0], [0, c_p, 0, b_p]]
    )


_ROUNDING = 2e-8
"""Where hardly anything is missing a bound goes like the root of it: half the digits are lost."""


@settings(max_examples=200, deadline=None)
@given(_PHOTONS, _TRANSMITTANCE, _EXCESS, _EXCESS)
@example(1.0, 1 - 2**-53, 0.0, 1.0)
@example(0.1, 1.0, 0.0, 0.0)
@example(0.1, 0.0, 0.0, 0.0)
@example(1e3, 1 - 1e-9, 1e-7, 10.0)
def test_general_bound_equals_closed_forms_when_gains_are_equal(
    mu: float, t: float, excess_x: float, excess_p: float
) -> None:
    channel = _channel(t, excess_x, excess_p)
    real = weight_bits_general(4 * mu, 0.0, channel)
    assert real == pytest.approx(
        weight_bits_client_verified_real(mu, t, excess_x, excess_p), abs=_ROUNDING
    )
    both = weight_bits_general(2 * mu, 2 * mu, channel)
    assert both == pytest.approx(
        weight_bits_client_verified_complex(mu, t, excess_x, excess_p), abs=_ROUNDING
    )
    x_only = weight_bits_general(4 * mu, 0.0, _channel(t, excess_x, None))
    assert x_only == pytest.approx(
        weight_bits_client_x_only_tested_real(mu, t, excess_x), abs=_ROUNDING
    )


@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 1.0])
def test_general_bound_equals_a_tap_when_only_loss_is_seen(mu: float, kept: float) -> None:
    channel = _channel(1 - kept, 0.0, 0.0)
    assert weight_bits_general(4 * mu, 0.0, channel) == pytest.approx(
        weight_bits_client_keeps_fraction_real(mu, kept), abs=1e-9
    )
    assert weight_bits_general(2 * mu, 2 * mu, channel) == pytest.approx(
        weight_bits_client_keeps_fraction_complex(mu, kept), abs=1e-9
    )


@pytest.mark.parametrize("mu", [0.01, 1.0])
def test_untested_bound_equals_closed_forms_when_encoding_is_real_or_complex(mu: float) -> None:
    assert weight_bits_general_untested(4 * mu) == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(mu), rel=1e-12
    )
    assert weight_bits_general_untested(2 * mu, 2 * mu) == pytest.approx(
        weight_bits_client_keeps_all_gaussian_complex(mu), rel=1e-12
    )
    untested_p = weight_bits_general(2 * mu, 2 * mu, _channel(1.0, 0.0, None))
    assert untested_p == weight_bits_general_untested(2 * mu, 2 * mu)


@settings(max_examples=150, deadline=None)
@given(_PHOTONS, _TRANSMITTANCE, _EXCESS, _EXCESS, st.floats(0, 1), st.floats(0, 1))
def test_general_bound_grows_with_noise_and_loss_when_channel_gets_worse(
    mu: float, t: float, excess_x: float, excess_p: float, more: float, less: float
) -> None:
    for m_x, m_p in ((4 * mu, 0.0), (2 * mu, 2 * mu)):
        value = weight_bits_general(m_x, m_p, _channel(t, excess_x, excess_p))
        most = weight_bits_general_untested(m_x, m_p)
        assert 0 <= value <= most + 1e-9
        for worse in (
            _channel(t, excess_x + more, excess_p),
            _channel(t, excess_x, excess_p + more),
            _channel(t * less, excess_x, excess_p),
        ):
            assert weight_bits_general(m_x, m_p, worse) >= value - 1e-9


@settings(max_examples=100, deadline=None)
@given(
    st.floats(1e-3, 30),
    st.floats(1e-3, 30),
    st.floats(0, 1.5),
    st.floats(0, 1.5),
    st.floats(0.01, 3),
)
def test_general_bound_equals_matrix_entropies_when_quadratures_differ(
    m_x: float, m_p: float, h_x: float, h_p: float, extra: float
) -> None:
    """Different modulations, gains and noises in X and P against the matrices themselves."""
    # Enough noise for the gains: amplifying or squeezing needs some.
    least = abs(1 - h_x * h_p)
    excess_x = max(least + h_x**2 - 1, -0.5) + extra
    excess_p = (1 + least**2 + 3 * (1 + h_x**2) * (1 + h_p**2)) / (1 + excess_x) + extra
    channel = ReturnedChannel(
        gain_x=h_x, gain_p=h_p, excess_noise_x_snu=excess_x, excess_noise_p_snu=excess_p
    )
    value = weight_bits_general(m_x, m_p, channel)
    joint = covariance_entropy_bits(_gamma(m_x, m_p, channel, h_p))
    known = covariance_entropy_bits(np.diag([1 + excess_x, 1 + excess_p]))
    assert value == pytest.approx(max(0.0, joint - known), abs=1e-7)
    assert value <= weight_bits_general_untested(m_x, m_p) + 1e-9


def test_conditional_state_is_the_noise_alone_when_the_kept_half_is_measured() -> None:
    """Homodyne for the real encoding, heterodyne for the complex one."""
    channel = _channel(0.8, 0.1, 0.3)
    real = after_homodyne_of_x(_gamma(2.0, 0.0, channel, 0.7), 0)
    np.testing.assert_allclose(np.diag(real), [1.1, 1.3], rtol=1e-12)
    both = after_heterodyne(_gamma(2.0, 2.0, channel, channel.gain_x), 0)
    np.testing.assert_allclose(both, np.diag([1.1, 1.3]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_general_bound_is_the_worst_when_unseen_correlations_are_drawn(encoding: str) -> None:
    """Brute force: all entries that no test sees, X-P correlations included, drawn at random."""
    generator = np.random.default_rng(11)
    channel = _channel(0.9, 0.05, 0.2)
    m_x, m_p = (0.8, 0.0) if encoding == "real" else (0.4, 0.4)
    bound = weight_bits_general(m_x, m_p, channel)
    best, tried = 0.0, 0
    for _ in range(4000):
        gain_p = channel.gain_x * generator.uniform(0.7, 1.1) if m_p == 0 else channel.gain_p
        gamma = _gamma(m_x, m_p, channel, gain_p)
        scale = generator.choice([0.0, 0.01, 0.1])
        for row, column in ((0, 3), (1, 2), (2, 3)):
            gamma[row, column] = gamma[column, row] = scale * generator.normal()
        try:
            joint = covariance_entropy_bits(gamma)
            measured = after_homodyne_of_x(gamma, 0) if m_p == 0 else after_heterodyne(gamma, 0)
            known = covariance_entropy_bits(measured)
        except ConfigurationError:
            continue
        tried += 1
        best = max(best, joint - known)
    assert tried > 500
    assert best <= bound + 1e-9
    assert best > 0.97 * bound


@pytest.mark.parametrize("t", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("thermal", [1.0, 1.5, 20.0])
def test_bound_with_seen_gain_is_what_a_cloner_holds_when_its_modes_are_written_out(
    t: float, thermal: float
) -> None:
    """The entangling cloner's two modes: entropy with and without the weights on X, no P sent."""
    m_x = 1.7
    pair = math.sqrt(thermal**2 - 1)

    def held(sent_x: float) -> float:
        cross = math.sqrt(t) * pair
        x = [[(1 - t) * (1 + sent_x) + t * thermal, cross], [cross, thermal]]
        p = [[(1 - t) + t * thermal, -cross], [-cross, thermal]]
        gamma = np.zeros((4, 4))
        gamma[np.ix_([0, 2], [0, 2])], gamma[np.ix_([1, 3], [1, 3])] = x, p
        return covariance_entropy_bits(gamma)

    channel = _channel(t, (1 - t) * (thermal - 1), (1 - t) * (thermal - 1))
    seen = weight_bits_general(m_x, 0.0, channel, gain_p_seen=True)
    assert seen == pytest.approx(held(m_x) - held(0.0), abs=2e-6)
    assert seen <= weight_bits_general(m_x, 0.0, channel) * (1 + 1e-12)


@pytest.mark.parametrize("m_d", [1e-6, 0.01, 0.3, 5.0])
@pytest.mark.parametrize("kept", [0.05, 0.5, 1.0])
def test_bound_with_seen_gain_covers_a_thief_when_it_takes_some_symbols_only(
    m_d: float, kept: float
) -> None:
    """Not Gaussian: a fifth of the symbols loses a part of its light, which the thief knows.

    It gains a fifth of a tap; the server sees the mean gain of the dither, and as noise of either
    quadrature what the changing gain makes of that quadrature's own light.
    """
    m_x, share, gain = 0.8, 0.2, math.sqrt(1 - kept)
    mean = 1 - share + share * gain
    spread = share * (1 - share) * (1 - gain) ** 2
    channel = ReturnedChannel(
        gain_x=mean,
        gain_p=mean,
        excess_noise_x_snu=spread * m_x,
        excess_noise_p_snu=spread * m_d,
    )
    gained = share * weight_bits_client_keeps_fraction_real(m_x / 4, kept)
    assert weight_bits_general(m_x, 0.0, channel, gain_p_seen=True) >= gained


def test_possible_gains_end_where_the_bound_refuses_when_noise_is_small() -> None:
    for gain, e_x, e_p in ((1.0, 1e-3, 2e-3), (0.9, 0.0, 0.01), (0.8, 0.1, 0.0)):
        possible = possible_other_gains(gain, e_x, e_p)
        assert possible is not None
        for edge, away in zip(possible, (-1.0, 1.0), strict=True):
            width = possible[1] - possible[0]
            for step, allowed in ((-1e-3, True), (1e-3, False)):
                channel = ReturnedChannel(
                    gain_x=gain,
                    gain_p=edge + away * step * width,
                    excess_noise_x_snu=e_x,
                    excess_noise_p_snu=e_p,
                )
                if allowed:
                    assert weight_bits_general(0.4, 0.0, channel, gain_p_seen=True) >= 0
                else:
                    with pytest.raises(ConfigurationError, match="uncertainty principle"):
                        weight_bits_general(0.4, 0.0, channel, gain_p_seen=True)
    assert possible_other_gains(1.1, 0.0, 0.0) is None


@settings(max_examples=100, deadline=None)
@given(
    _PHOTONS,
    st.tuples(_TRANSMITTANCE, _EXCESS, _EXCESS),
    st.tuples(_TRANSMITTANCE, _EXCESS, _EXCESS),
    st.floats(0, 1),
)
def test_general_bound_is_concave_when_covariance_matrices_are_mixed(
    mu: float, one: tuple[float, float, float], two: tuple[float, float, float], share: float
) -> None:
    """What the tangent planes of the certificate rest on."""
    rest = 1 - share
    for m_x, m_p in ((4 * mu, 0.0), (2 * mu, 2 * mu)):
        gain = share * math.sqrt(one[0]) + rest * math.sqrt(two[0])
        spread = share * one[0] + rest * two[0] - gain**2
        mixed = ReturnedChannel(
            gain_x=gain,
            gain_p=gain,
            excess_noise_x_snu=share * one[1] + rest * two[1] + m_x * max(0.0, spread),
            excess_noise_p_snu=share * one[2] + rest * two[2] + m_p * max(0.0, spread),
        )
        average = share * weight_bits_general(m_x, m_p, _channel(*one)) + rest * (
            weight_bits_general(m_x, m_p, _channel(*two))
        )
        assert weight_bits_general(m_x, m_p, mixed) >= average - 1e-7


@pytest.mark.parametrize(
    "receiver",
    [Amplifier(gain=1.3), FeedForwardTap(tap_fraction=0.1), PassiveTap(tap_fraction=0.1)],
    ids=lambda receiver: str(receiver.kind),
)
def test_bound_from_moments_equals_closed_form_when_receiver_is_honest(
    receiver: Amplifier | FeedForwardTap | PassiveTap,
) -> None:
    """Moments as a lossy, noisy detector records them; its share is taken out again."""
    mu, modes, eta, noise = 0.1, 784, 0.6, 0.07
    t = receiver.returned_transmittance
    excess_x, excess_p = receiver.excess_noise_x_snu / modes, receiver.excess_noise_p_snu / modes
    moments = MeasuredMoments(
        sent_x_snu=4 * mu,
        covariance_x_snu=math.sqrt(eta * t) * 4 * mu,
        returned_x_snu=eta * (4 * mu * t + excess_x) + 1 + noise,
        returned_p_snu=eta * excess_p + 1 + noise,
    )
    trusted = TrustedDetector(efficiency=eta, electronic_noise_snu=noise)
    bits = weight_bits_general(4 * mu, 0.0, channel_of_moments(moments, trusted))
    # Taking the 1 of vacuum off leaves 1e-16, where the entropy is infinitely steep.
    assert bits == pytest.approx(
        weight_bits_client_verified_real(mu, t, excess_x, excess_p), abs=1e-7
    )
    blind = weight_bits_general(4 * mu, 0.0, channel_of_moments(moments))
    assert blind > 2 * bits


@pytest.mark.parametrize(
    ("gains", "excess", "modulation", "words"),
    [
        ((1.1, 0.0), (0.0, 0.1), 0.0, "brighter"),
        ((1.1, 0.0), (0.0, None), 0.0, "brighter"),
        ((0.5, 0.0), (-0.1, 0.0), 0.0, "below that of vacuum"),
        ((1.0, 0.5), (0.0, 0.0), 0.4, "uncertainty principle"),
    ],
    ids=["amplified", "amplified-x-only", "below-vacuum", "unequal-gains"],
)
def test_general_bound_refuses_when_no_channel_has_the_moments(
    gains: tuple[float, float],
    excess: tuple[float, float | None],
    modulation: float,
    words: str,
) -> None:
    channel = ReturnedChannel(
        gain_x=gains[0],
        gain_p=gains[1],
        excess_noise_x_snu=excess[0],
        excess_noise_p_snu=excess[1],
    )
    with pytest.raises(ConfigurationError, match=words):
        weight_bits_general(0.4, modulation, channel)


def test_general_bound_takes_squeezed_noise_when_the_state_is_physical() -> None:
    """X-squeezed, P-noisy return against a scan of the unseen gain of P through the matrices."""
    squeezed = ReturnedChannel(gain_x=0.5, excess_noise_x_snu=-0.5, excess_noise_p_snu=1.5)
    known = covariance_entropy_bits(np.diag([0.5, 2.5]))
    best = 0.0
    for gain_p in np.linspace(0, 2, 2001):
        try:
            joint = covariance_entropy_bits(_gamma(0.4, 0.0, squeezed, float(gain_p)))
        except ConfigurationError:
            continue
        best = max(best, joint - known)
    assert best > 0.1
    bits = weight_bits_general(0.4, 0.0, squeezed)
    assert bits == pytest.approx(best, abs=1e-5)
    assert best <= bits <= weight_bits_general_untested(0.4)


@pytest.mark.parametrize("name", ["sent_x_snu", "returned_x_snu"])
def test_moments_refuse_nan_by_name(name: str) -> None:
    values = {"sent_x_snu": 1.0, "covariance_x_snu": 1.0, "returned_x_snu": 2.0, name: math.nan}
    with pytest.raises(ConfigurationError, match="is NaN"):
        MeasuredMoments(**values)
