"""Weight leakage of untested light: printed tables, Fock space, accumulation, extraction."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.leakage import (
    client_least_squares_weight_snr,
    client_queries_for_weight_snr,
    photons_for_weight_bits,
    signal_variance_snu,
    transmissions_for_weight_bits,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_bpsk,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_all_uniform_levels,
    weight_bits_client_keeps_fraction_complex,
    weight_bits_client_keeps_fraction_real,
    weight_bits_client_query_inside_rules,
    weight_bits_client_repeated,
    weight_bits_client_verified_real,
)

FloatArray = NDArray[np.float64]

_KEEPS_ALL = """
0.01  0.0803 0.0801 0.0802 0.0803 0.0803 0.0283 0.0809
0.013 0.0993 0.0990 0.0992 0.0992 0.0992 0.0366 0.1003
0.05  0.2799 0.2760 0.2787 0.2790 0.2791 0.1315 0.2900
0.1   0.4539 0.4386 0.4495 0.4504 0.4507 0.2427 0.4835
1     1.5524 0.9868 1.4421 1.4794 1.4869 1.1610 2.0000
"""
_COLUMNS: tuple[Callable[[float], float], ...] = (
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_all_bpsk,
    lambda mu: weight_bits_client_keeps_all_uniform_levels(mu, 4),
    lambda mu: weight_bits_client_keeps_all_uniform_levels(mu, 8),
    lambda mu: weight_bits_client_keeps_all_uniform_levels(mu, 256),
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_complex,
)
_KEEPS_ALL_CASES = [
    (column, row.split()[0], row.split()[column + 1])
    for row in _KEEPS_ALL.strip().splitlines()
    for column in range(len(_COLUMNS))
]


def _printed(text: str) -> object:
    """1 % or half a unit of the last printed digit, whichever is larger."""
    half_unit = 0.5 * 10 ** -len(text.partition(".")[2])
    return pytest.approx(float(text), rel=0.01, abs=half_unit)


@pytest.mark.parametrize(("column", "photons", "bits"), _KEEPS_ALL_CASES)
def test_keeping_all_matches_table_when_alphabet_is_given(
    column: int, photons: str, bits: str
) -> None:
    # Half a unit more than print accuracy: the tabulated values carry four digits.
    assert _COLUMNS[column](float(photons)) == pytest.approx(float(bits), abs=1.01e-4)


def _coherent_fock(amplitudes: FloatArray, dimension: int) -> FloatArray:
    """Fock amplitudes of real coherent states, one per row."""
    states = np.empty((amplitudes.size, dimension))
    states[:, 0] = np.exp(-(amplitudes**2) / 2)
    for n in range(1, dimension):
        states[:, n] = states[:, n - 1] * amplitudes / math.sqrt(n)
    return states


def _entropy(states: FloatArray, probabilities: FloatArray) -> float:
    eigenvalues = np.linalg.eigvalsh((states.T * probabilities) @ states)
    kept = eigenvalues[eigenvalues > 1e-15]
    return float(-np.sum(kept * np.log2(kept)))


@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0])
def test_keeping_all_gaussian_real_matches_fock_space_when_means_have_variance_4_mu(
    mu: float,
) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    amplitudes = np.sqrt(signal_variance_snu(mu, "real")) * nodes / 2
    states = _coherent_fock(amplitudes, 120)
    reference = _entropy(states, weights / np.sum(weights))
    assert weight_bits_client_keeps_all_gaussian_real(mu) == pytest.approx(reference, abs=1e-5)


@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0])
def test_keeping_all_levels_matches_fock_space_when_levels_are_mixed(mu: float) -> None:
    grid = np.array([-3.0, -1.0, 1.0, 3.0])
    amplitudes = grid * math.sqrt(mu / np.mean(grid**2))
    reference = _entropy(_coherent_fock(amplitudes, 80), np.full(4, 0.25))
    value = weight_bits_client_keeps_all_uniform_levels(mu, 4)
    assert value == pytest.approx(reference, abs=1e-8)


@pytest.mark.parametrize("mu", [1e-6, 0.01, 0.3, 5.0])
def test_keeping_all_two_levels_is_bpsk_when_levels_are_two(mu: float) -> None:
    assert weight_bits_client_keeps_all_uniform_levels(mu, 2) == pytest.approx(
        weight_bits_client_keeps_all_bpsk(mu), rel=1e-9
    )


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1.0, 20.0])
def test_gaussian_real_bounds_other_alphabets_when_photons_are_equal(mu: float) -> None:
    gaussian = weight_bits_client_keeps_all_gaussian_real(mu)
    others = [_COLUMNS[column](mu) for column in range(1, 6)]
    assert max(others) <= gaussian


def test_keeping_all_matches_series_when_photons_are_1e_6() -> None:
    mu = 1e-6
    # n = (sqrt(1 + 4 mu) - 1)/2 = mu - mu^2 + ..., g(n) = (n - n ln n + n^2/2 - ...)/ln 2.
    n = mu - mu**2 + 2 * mu**3
    real = (n - n * math.log(n) + n**2 / 2) / math.log(2)
    complex_ = (mu - mu * math.log(mu) + mu**2 / 2) / math.log(2)
    flipped = mu - mu**2 + 2 * mu**3 / 3
    bpsk = (flipped - flipped * math.log(flipped) - flipped**2 / 2) / math.log(2)
    assert weight_bits_client_keeps_all_gaussian_real(mu) == pytest.approx(real, rel=1e-12)
    assert weight_bits_client_keeps_all_gaussian_complex(mu) == pytest.approx(complex_, rel=1e-12)
    assert weight_bits_client_keeps_all_bpsk(mu) == pytest.approx(bpsk, rel=1e-12)
    assert weight_bits_client_keeps_all_uniform_levels(mu, 256) == pytest.approx(real, rel=1e-6)
    assert weight_bits_client_homodynes_all_real(mu) == pytest.approx(
        (2 * mu - 4 * mu**2) / math.log(2), rel=1e-10
    )


@pytest.mark.parametrize(("fraction", "bits"), [(0.01, "0.0114"), (0.1, "0.0803"), (0.5, "0.280")])
def test_kept_fraction_matches_table_when_tap_is_not_compensated(
    fraction: float, bits: str
) -> None:
    assert weight_bits_client_keeps_fraction_real(0.1, fraction) == _printed(bits)


def test_kept_fraction_is_nothing_or_all_when_at_its_ends() -> None:
    assert weight_bits_client_keeps_fraction_real(0.1, 0.0) == 0.0
    assert weight_bits_client_keeps_fraction_complex(0.1, 0.0) == 0.0
    all_light = weight_bits_client_keeps_all_gaussian_complex(0.1)
    assert weight_bits_client_keeps_fraction_complex(0.1, 1.0) == all_light


_ACCUMULATION = """
0.01  0.454 1.55 3.12 0.0074 0.060 0.365 3448
0.013 0.539 1.72 3.30 0.0095 0.075 0.438 2652
0.05  1.15  2.63 4.27 0.033  0.220 0.981 690
0.1   1.55  3.12 4.77 0.060  0.365 1.36  345
1     3.12  4.77 6.43 0.365  1.36  2.90  34
"""


@pytest.mark.parametrize("row", _ACCUMULATION.strip().splitlines())
def test_repetition_matches_table_when_copies_are_merged(row: str) -> None:
    photons, *cells = row.split()
    mu, excess = float(photons), 1 / 784

    def verified(light: float) -> float:
        return weight_bits_client_verified_real(light, 1.0, excess, excess)

    for cell, copies in zip(cells[:3], (10, 100, 1000), strict=True):
        value = weight_bits_client_repeated(weight_bits_client_keeps_all_gaussian_real, mu, copies)
        assert value == _printed(cell)
    for cell, copies in zip(cells[3:6], (10, 100, 1000), strict=True):
        assert weight_bits_client_repeated(verified, mu, copies) == _printed(cell)
    copies_for_4_bits = transmissions_for_weight_bits(
        4.0, weight_bits_client_keeps_all_gaussian_real, mu
    )
    assert copies_for_4_bits == _printed(cells[6])


def test_repetition_is_capped_when_weight_has_less_entropy() -> None:
    keeps_all = weight_bits_client_keeps_all_gaussian_real
    assert weight_bits_client_repeated(keeps_all, 1.0, 1000, weight_entropy_bits=3.0) == 3.0
    assert weight_bits_client_repeated(keeps_all, 1.0, 1, weight_entropy_bits=3.0) < 3.0


def test_repetition_is_capped_by_k_times_single_when_law_would_exceed_it() -> None:
    def convex(mu: float) -> float:
        return mu**2

    assert weight_bits_client_repeated(convex, 0.1, 10) == pytest.approx(10 * 0.1**2)


def test_two_copies_hold_what_one_of_twice_the_photons_holds_in_fock_space() -> None:
    """Slow reference of the accumulation law: the Gram matrix of two copies, 4 levels."""
    grid = np.array([-3.0, -1.0, 1.0, 3.0])
    amplitudes = grid * math.sqrt(0.2 / np.mean(grid**2))
    single = _coherent_fock(amplitudes, 20)
    pairs = np.einsum("ia,ib->iab", single, single).reshape(4, -1)
    reference = _entropy(pairs, np.full(4, 0.25))

    def keeps_all(mu: float) -> float:
        return weight_bits_client_keeps_all_uniform_levels(mu, 4)

    assert weight_bits_client_repeated(keeps_all, 0.2, 2) == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize("bits", [1e-9, 1e-3, 0.1, 4.0, 12.0])
def test_photons_for_bits_inverts_leakage_when_bisected(bits: float) -> None:
    mu = photons_for_weight_bits(bits, weight_bits_client_keeps_all_gaussian_real)
    assert weight_bits_client_keeps_all_gaussian_real(mu) == pytest.approx(bits, rel=1e-12)


def test_photons_for_bits_is_about_0_013_when_a_tenth_of_a_bit_is_allowed() -> None:
    """A client who keeps everything stays under 0.1 bit per weight, once, at mu = 0.013."""
    mu = photons_for_weight_bits(0.1, weight_bits_client_keeps_all_gaussian_real)
    assert mu == _printed("0.013")


def test_photons_for_bits_refuses_when_alphabet_carries_less() -> None:
    with pytest.raises(ConfigurationError, match="out of reach"):
        photons_for_weight_bits(1.5, weight_bits_client_keeps_all_bpsk)


@pytest.mark.parametrize(
    ("mu", "bits"),
    [(0.01, "0.0143"), (0.013, "0.0185"), (0.05, "0.0688"), (0.1, "0.132"), (1.0, "0.793")],
)
def test_query_inside_rules_matches_table_when_gain_is_2(mu: float, bits: str) -> None:
    assert weight_bits_client_query_inside_rules(mu, 0.5) == _printed(bits)


def test_query_inside_rules_halves_snr_when_encoding_is_complex() -> None:
    assert weight_bits_client_query_inside_rules(0.2, 0.5, "complex") == pytest.approx(
        weight_bits_client_query_inside_rules(0.1, 0.5, "real")
    )


@pytest.mark.parametrize(("mu", "queries"), [(0.1, "3920"), (1.0, "392")])
def test_least_squares_reaches_snr_1_at_tabled_queries_when_gain_is_2(
    mu: float, queries: str
) -> None:
    needed = client_queries_for_weight_snr(1.0, mu, 0.5, 784)
    assert needed == _printed(queries)
    assert client_least_squares_weight_snr(mu, 0.5, round(needed), 784) == pytest.approx(1.0)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_least_squares_snr_matches_regression_covariance_when_inputs_are_orthogonal(
    encoding: str,
) -> None:
    """Slow reference: ordinary least squares on an explicit orthogonal design."""
    mu, factor, modes, repeats = 0.3, 0.4, 3, 5
    per_mode = 2 if encoding == "complex" else 1
    unknowns = modes * per_mode
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(unknowns, unknowns)))[0]
    design = math.sqrt(factor) * np.tile(basis, (repeats, 1))
    error_variance = np.linalg.inv(design.T @ design)[0, 0]
    signal = 4 * mu / per_mode
    value = client_least_squares_weight_snr(
        mu,
        factor,
        repeats * unknowns,
        modes,
        encoding,  # type: ignore[arg-type]
    )
    assert value == pytest.approx(signal / error_variance, rel=1e-12)
