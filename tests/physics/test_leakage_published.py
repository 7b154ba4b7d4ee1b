"""The authors' formulas, pinned, and how far they are from this project's figures."""

import pytest

from protocol.leakage import (
    PUBLISHED_MODES,
    PUBLISHED_ROWS,
    data_bits_server_homodynes_rows_cap,
    published_data_bits_server_homodynes,
    published_weight_bits_client_verified,
    superseded_v1_data_bits_server_marginal,
    weight_bits_client_verified_complex,
)


def test_published_layer_is_392_complex_modes_and_794_rows() -> None:
    assert (PUBLISHED_MODES, PUBLISHED_ROWS) == (392, 794)


@pytest.mark.parametrize(("gain", "bits"), [(1.1, 0.040), (1.2, 0.113), (1.3, 0.187), (2, 0.505)])
def test_published_data_bits_match_printed_row_when_layer_is_theirs(
    gain: float, bits: float
) -> None:
    assert published_data_bits_server_homodynes(gain) == pytest.approx(bits, rel=0.01, abs=5e-4)


@pytest.mark.parametrize("gain", [1.01, 1.3, 2.0, 3.4])
def test_published_data_fisher_is_theirs_when_written_with_gains(gain: float) -> None:
    import math

    fisher = 4 * (gain - 1) ** 2 / (gain * (3 * gain - 2))
    expected = 0.5 * math.log2(1 + 50 / 20 * fisher)
    assert published_data_bits_server_homodynes(gain, 50, 20) == pytest.approx(expected, rel=1e-12)


def test_published_fisher_matches_their_monte_carlo_when_gain_is_1_3_and_2() -> None:
    """Fisher 0.1457 and 0.5 per row: one row on one mode gives 0.5 log2(1 + F)."""
    for gain, fisher in ((1.3, 0.1457), (2.0, 0.5)):
        bits = published_data_bits_server_homodynes(gain, 1, 1)
        assert 4**bits - 1 == pytest.approx(fisher, rel=1e-3)


def test_published_weight_bits_are_half_a_complex_symbol_when_eps_is_2_kappa_over_n() -> None:
    noise = 2 * (1 - 1 / 1.3) / 392
    assert published_weight_bits_client_verified(0.4, 1.3) == pytest.approx(
        weight_bits_client_verified_complex(0.4, 1.0, noise, noise) / 2, rel=1e-12
    )


def test_published_weight_bits_are_0_0437_when_mu_is_4_and_gain_2() -> None:
    """Half of the 0.0874 bit per complex symbol of the helper trap."""
    assert published_weight_bits_client_verified(4.0, 2.0) == pytest.approx(0.0437, abs=5e-5)


@pytest.mark.parametrize("gain", [1.1, 2.0])
def test_superseded_bound_is_dozens_of_times_too_small_when_compared(gain: float) -> None:
    superseded = superseded_v1_data_bits_server_marginal(gain)
    ratio = published_data_bits_server_homodynes(gain) / superseded
    assert 40 < ratio < 170
    ell = 2 * (1 - 1 / gain)
    assert superseded < data_bits_server_homodynes_rows_cap(ell, PUBLISHED_ROWS, PUBLISHED_MODES)


def test_published_bits_vanish_when_gain_is_one() -> None:
    assert published_data_bits_server_homodynes(1.0) == 0.0
    assert published_weight_bits_client_verified(1.0, 1.0) == 0.0
