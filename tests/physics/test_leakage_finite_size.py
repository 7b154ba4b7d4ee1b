"""Certified weight leakage from finitely many tested symbols."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from protocol.leakage import (
    ChannelBounds,
    ChannelEstimate,
    VarianceLaw,
    channel_bounds,
    confidence_multiplier,
    excess_noise_upper_bound_snu,
    weight_bits_client_certified_complex,
    weight_bits_client_certified_real,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
)

_CONFIDENCE = 1 - 1e-6


def _printed(text: str) -> object:
    """1 % or half a unit of the last printed digit, whichever is larger."""
    half_unit = 0.5 * 10 ** -len(text.partition(".")[2])
    return pytest.approx(float(text), rel=0.01, abs=half_unit)


def _honest(tested: int, gain: float = 1.3, modes: int = 392) -> ChannelEstimate:
    excess = 2 * (1 - 1 / gain) / modes
    return ChannelEstimate(
        excess_noise_x_snu=excess,
        excess_noise_p_snu=excess,
        tested_symbols_x=tested,
        tested_symbols_p=tested,
    )


def test_confidence_multiplier_is_4_75_when_failure_is_1e_6() -> None:
    assert confidence_multiplier(_CONFIDENCE) == _printed("4.75")


def test_confidence_multiplier_splits_failure_when_bounds_are_many() -> None:
    assert confidence_multiplier(1 - 3e-6, 3) == pytest.approx(
        confidence_multiplier(1 - 1e-6), rel=1e-9
    )


@pytest.mark.parametrize(
    ("tested", "excess", "at_a_tenth", "at_one"),
    [
        (10_000, "0.068", "0.070", "0.264"),
        (100_000, "0.022", "0.029", "0.118"),
        (614_656, "0.0098", "0.014", "0.060"),
        (10_000_000, "0.0033", "0.0046", "0.022"),
        (1_000_000_000, "0.0014", "0.0012", "0.0084"),
    ],
)
def test_certificate_matches_table_when_complex_gain_1_3(
    tested: int, excess: str, at_a_tenth: str, at_one: str
) -> None:
    """eps = 2 kappa/392 on 392 complex modes, mu per complex symbol, n tested per quadrature."""
    z = confidence_multiplier(_CONFIDENCE)
    for mu, bits in ((0.1, at_a_tenth), (1.0, at_one)):
        bounds = channel_bounds(_honest(tested), mu, "complex", multiplier=z)
        assert bounds.excess_noise_x_snu == _printed(excess)
        assert weight_bits_client_certified_complex(mu, bounds) / 2 == _printed(bits)


def test_certificate_is_half_of_all_the_light_when_symbols_are_few_and_weak() -> None:
    bounds = channel_bounds(
        _honest(10_000), 0.01, "complex", multiplier=confidence_multiplier(_CONFIDENCE)
    )
    certified = weight_bits_client_certified_complex(0.01, bounds) / 2
    assert certified == _printed("0.021")
    assert weight_bits_client_keeps_all_gaussian_complex(0.01) / 2 == _printed("0.040")


@pytest.mark.parametrize("tested", [100, 1000, 10_000, 1_000_000])
def test_chi_square_bound_matches_exact_quantile_when_failure_is_1e_6(tested: int) -> None:
    from scipy.stats import chi2

    z = confidence_multiplier(_CONFIDENCE)
    exact = tested / float(chi2.ppf(1e-6, tested)) * 1.01 - 1
    value = excess_noise_upper_bound_snu(0.01, tested, z, "chi_square")
    assert value == pytest.approx(exact, rel=0.01)


def test_normal_bound_fails_more_often_than_stated_when_symbols_are_10_000() -> None:
    """Why the layer figures use the chi-square law."""
    from scipy.stats import chi2

    z, tested = confidence_multiplier(_CONFIDENCE), 10_000

    def failure(law: VarianceLaw) -> float:
        # The bound fails when the estimate falls short of 1 by more than the law's shift.
        shift = 1 + excess_noise_upper_bound_snu(0.0, tested, z, law)
        return float(chi2.cdf(tested / shift, tested))

    assert failure("normal") == pytest.approx(2.7e-6, rel=0.03)
    assert failure("chi_square") == pytest.approx(1e-6, rel=0.02)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_slope_error_matches_least_squares_when_design_is_explicit(encoding: str) -> None:
    """Slow reference: the standard error of a regression through the origin on known means."""
    mu, tested, excess = 0.3, 5000, 0.04
    generator = np.random.default_rng(2)
    variance, quadratures = (4 * mu, 1) if encoding == "real" else (2 * mu, 2)
    means = generator.normal(size=quadratures * tested)
    means *= math.sqrt(variance / float(np.mean(means**2)))
    standard_error = math.sqrt((1 + excess) / float(means @ means))
    estimate = ChannelEstimate(
        transmittance=0.81,
        excess_noise_x_snu=excess,
        excess_noise_p_snu=excess,
        tested_symbols_x=tested,
        tested_symbols_p=tested,
    )
    bounds = channel_bounds(estimate, mu, encoding, multiplier=3.0)  # type: ignore[arg-type]
    assert math.sqrt(bounds.transmittance) == pytest.approx(0.9 - 3 * standard_error, rel=1e-9)


def test_bounds_cover_the_truth_when_tests_are_simulated() -> None:
    """2000 simulated tests at z = 3, 3 bounds: P(any fails) < 0.0065 with the chi-square law.

    Expected at most 13 failures; more than 40 has probability below 1e-9 (Poisson).
    """
    generator = np.random.default_rng(77)
    mu, t, excess, tested = 0.2, 0.9, 0.05, 400
    failures = 0
    for _ in range(2000):
        means = generator.normal(size=tested) * math.sqrt(4 * mu)
        means *= math.sqrt(4 * mu / float(np.mean(means**2)))
        noise = math.sqrt(1 + excess) * generator.normal(size=(2, tested))
        returned = math.sqrt(t) * means + noise[0]
        slope = float(means @ returned) / float(means @ means)
        estimate = ChannelEstimate(
            transmittance=slope**2,
            excess_noise_x_snu=float(np.mean((returned - slope * means) ** 2)) - 1,
            excess_noise_p_snu=float(np.mean(noise[1] ** 2)) - 1,
            tested_symbols_x=tested,
            tested_symbols_p=tested,
        )
        bounds = channel_bounds(estimate, mu, "real", multiplier=3.0, variance_law="chi_square")
        assert bounds.excess_noise_p_snu is not None
        failures += (
            bounds.transmittance > t
            or bounds.excess_noise_x_snu < excess
            or bounds.excess_noise_p_snu < excess
        )
    assert failures <= 40


def test_certificate_tends_to_asymptotic_when_symbols_are_many() -> None:
    z = confidence_multiplier(_CONFIDENCE)
    estimate = _honest(10**15)
    excess = estimate.excess_noise_x_snu
    real = weight_bits_client_certified_real(
        0.1, channel_bounds(estimate, 0.1, "real", multiplier=z)
    )
    assert real == pytest.approx(
        weight_bits_client_verified_real(0.1, 1.0, excess, excess), rel=1e-3
    )
    complex_ = weight_bits_client_certified_complex(
        0.1, channel_bounds(estimate, 0.1, "complex", multiplier=z)
    )
    assert complex_ == pytest.approx(
        weight_bits_client_verified_complex(0.1, 1.0, excess, excess), rel=1e-3
    )


def test_certificate_never_exceeds_all_the_light_when_test_says_nothing() -> None:
    bounds = channel_bounds(_honest(60), 1e-3, "real", multiplier=4.75)
    assert bounds.transmittance == 0.0
    certified = weight_bits_client_certified_real(1e-3, bounds)
    ceiling = weight_bits_client_keeps_all_gaussian_real(1e-3)
    assert 0.99 * ceiling < certified <= ceiling * (1 + 1e-9)


def test_certificate_is_that_of_an_x_only_test_when_p_was_not_tested() -> None:
    estimate = ChannelEstimate(tested_symbols_x=1_000_000)
    bounds = channel_bounds(estimate, 0.1, "real", multiplier=4.75)
    assert bounds.excess_noise_p_snu is None
    assert weight_bits_client_certified_real(0.1, bounds) == pytest.approx(
        weight_bits_client_x_only_tested_real(0.1, bounds.transmittance, bounds.excess_noise_x_snu)
    )


def test_certificate_refuses_when_complex_weights_were_tested_in_x_only() -> None:
    with pytest.raises(ConfigurationError, match="P symbols"):
        channel_bounds(ChannelEstimate(tested_symbols_x=100), 0.1, "complex", multiplier=4.75)
    x_only = ChannelBounds(transmittance=1.0, excess_noise_x_snu=0.0, excess_noise_p_snu=None)
    with pytest.raises(ConfigurationError, match="Test both"):
        weight_bits_client_certified_complex(0.1, x_only)


def test_bounds_refuse_when_nothing_was_tested() -> None:
    with pytest.raises(ConfigurationError, match="0 X and 0 P"):
        channel_bounds(ChannelEstimate(), 0.1, "real", multiplier=4.75)


def test_bounds_refuse_when_return_is_quieter_than_vacuum() -> None:
    with pytest.raises(ConfigurationError, match="shot-noise calibration"):
        excess_noise_upper_bound_snu(-0.5, 10_000, 4.75)


def test_bounds_refuse_when_return_is_brighter_than_sent() -> None:
    estimate = ChannelEstimate(transmittance=1.5, tested_symbols_x=10_000_000)
    with pytest.raises(ConfigurationError, match="brighter"):
        channel_bounds(estimate, 1.0, "real", multiplier=4.75)


def test_chi_square_bound_refuses_when_symbols_are_too_few() -> None:
    with pytest.raises(ConfigurationError, match="Test more"):
        excess_noise_upper_bound_snu(0.0, 3, 4.75, "chi_square")


def test_bound_refuses_when_variance_law_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="'bayes'"):
        excess_noise_upper_bound_snu(0.0, 100, 4.75, "bayes")  # type: ignore[arg-type]
