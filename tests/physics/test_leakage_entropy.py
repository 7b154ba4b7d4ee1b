"""Entropy functions: closed values, the nu against (nu - 1)/2 trap, behaviour near vacuum."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from protocol.leakage import (
    binary_entropy_bits,
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    log1p_minus_argument,
    signal_variance_snu,
    thermal_entropy_bits,
    two_mode_entropy_bits,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weights_per_mode,
)
from protocol.leakage.published import published_weight_bits_client_verified


def _reference_g(thermal_photons: str) -> float:
    """g(n) in 60-digit arithmetic."""
    with localcontext() as context:
        context.prec = 60
        n = Decimal(thermal_photons)
        return float(((n + 1) * (n + 1).ln() - n * n.ln()) / Decimal(2).ln())


@pytest.mark.parametrize("n", ["1e-300", "1e-12", "1e-6", "0.3", "1", "7", "1e6", "1e12"])
def test_thermal_entropy_matches_high_precision_when_argument_spans_decades(n: str) -> None:
    assert thermal_entropy_bits(float(n)) == pytest.approx(_reference_g(n), rel=1e-12)


def test_thermal_entropy_is_that_of_geometric_photon_statistics_when_summed() -> None:
    n = 0.7
    probabilities = (1 / (1 + n)) * (n / (1 + n)) ** np.arange(400)
    shannon = -float(np.sum(probabilities * np.log2(probabilities)))
    assert thermal_entropy_bits(n) == pytest.approx(shannon, rel=1e-12)


def test_thermal_entropy_is_zero_when_vacuum() -> None:
    assert thermal_entropy_bits(0.0) == 0.0
    assert two_mode_entropy_bits(0.0, 0.0) == 0.0


def test_helper_trap_gives_2_020_instead_of_0_0874_when_nu_is_taken_for_photons() -> None:
    """mu = 4, G = 2, n = 392: bits per complex symbol, with g((nu - 1)/2) and with g(nu)."""
    excess = 2 * (1 - 1 / 2) / 392
    sent = 1 + signal_variance_snu(4.0, "complex")
    returned, correlation = sent + excess, math.sqrt(sent**2 - 1)
    delta = sent**2 + returned**2 - 2 * correlation**2
    root = math.sqrt(delta**2 - 4 * (sent * returned - correlation**2) ** 2)
    nus = [math.sqrt((delta + root) / 2), math.sqrt((delta - root) / 2)]
    right = sum(thermal_entropy_bits((nu - 1) / 2) for nu in nus) - thermal_entropy_bits(excess / 2)
    wrong = sum(thermal_entropy_bits(nu) for nu in nus) - thermal_entropy_bits(1 + excess)
    assert wrong == pytest.approx(2.020, abs=5e-4)
    assert right == pytest.approx(0.0874, abs=5e-5)
    # The naive right value itself has lost digits: nu - 1 is about 0.01.
    assert 2 * published_weight_bits_client_verified(4.0, 2.0) == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("excess", [1e-14, 1e-6, 0.5])
def test_thermal_photons_do_not_cancel_when_excess_is_tiny(excess: float) -> None:
    """Equal excess in X and P: nu = 1 + excess, so exactly excess/2 photons."""
    assert excess_noise_to_thermal_photons(excess, excess) == pytest.approx(excess / 2, rel=1e-12)


def test_two_mode_entropy_adds_the_modes_when_they_are_independent() -> None:
    first, second = 0.3, 2.0
    squares = [(1 + 2 * n) ** 2 - 1 for n in (first, second)]
    assert two_mode_entropy_bits(sum(squares), squares[0] * squares[1]) == pytest.approx(
        thermal_entropy_bits(first) + thermal_entropy_bits(second), rel=1e-12
    )


def test_binary_entropy_matches_series_when_probability_is_tiny() -> None:
    p = 1e-12
    assert binary_entropy_bits(p) == pytest.approx((p - p * math.log(p)) / math.log(2), rel=1e-11)
    assert binary_entropy_bits(0.5) == 1.0
    assert binary_entropy_bits(0.0) == 0.0
    assert binary_entropy_bits(1.0) == 0.0


@pytest.mark.parametrize("z", [1e-9, 1e-4, 0.0099, 0.0101, 1.0])
def test_log1p_minus_argument_matches_high_precision_on_both_sides_of_the_switch(z: float) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = float((1 + Decimal(z)).ln() - Decimal(z))
    assert log1p_minus_argument(z) == pytest.approx(exact, rel=1e-11)


def test_gaussian_channel_bits_is_shannons_when_snr_is_three() -> None:
    assert gaussian_channel_bits(3.0) == pytest.approx(1.0, rel=1e-15)


def test_signal_variance_is_4_mu_real_and_2_mu_complex() -> None:
    """The factor 2 to 4 between photon-number conventions."""
    mu = 0.37
    assert signal_variance_snu(mu, "real") == pytest.approx(4 * mu)
    assert signal_variance_snu(mu, "complex") == pytest.approx(2 * mu)
    assert (weights_per_mode("real"), weights_per_mode("complex")) == (1, 2)


def test_signal_variance_is_four_times_the_photons_when_coherent_states_are_averaged() -> None:
    """Slow reference: photons of Gaussian amplitudes, whichever quadratures they sit on."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / np.sum(weights)
    for encoding, quadratures in (("real", 1), ("complex", 2)):
        variance = signal_variance_snu(0.8, encoding)  # type: ignore[arg-type]
        amplitudes = np.sqrt(variance) * nodes / 2
        assert quadratures * float(weights @ amplitudes**2) == pytest.approx(0.8, rel=1e-12)


def test_keeping_all_differs_when_mu_is_read_in_another_convention() -> None:
    """mu = 0.1: variance 4 mu, 2 mu and mu give three different leakages; only the first is chi."""
    chi = weight_bits_client_keeps_all_gaussian_real(0.1)
    assert chi == pytest.approx(0.4539, abs=5e-5)
    assert weight_bits_client_keeps_all_gaussian_real(0.05) == pytest.approx(0.2799, abs=5e-5)
    assert weight_bits_client_keeps_all_gaussian_real(0.025) < 0.17
    assert weight_bits_client_keeps_all_gaussian_complex(0.1) == pytest.approx(0.48345, abs=5e-6)


def test_weights_per_mode_refuses_when_encoding_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="'polar'"):
        weights_per_mode("polar")  # type: ignore[arg-type]
