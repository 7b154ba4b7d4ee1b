"""Out-of-range and NaN arguments are refused by name, never clipped."""

import math
from collections.abc import Callable

import pytest

from drivers.errors import ConfigurationError
from protocol import leakage
from protocol.leakage import ChannelEstimate, LayerLight, LeakageFigure

_NAN, _INF = math.nan, math.inf

_REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("photon", lambda: leakage.weight_bits_client_keeps_all_gaussian_real(0.0)),
    ("photon", lambda: leakage.weight_bits_client_keeps_all_gaussian_real(_NAN)),
    ("photon", lambda: leakage.weight_bits_client_keeps_all_gaussian_real(_INF)),
    ("photon", lambda: leakage.weight_bits_client_keeps_all_gaussian_complex(-1.0)),
    ("photon", lambda: leakage.weight_bits_client_keeps_all_bpsk(_NAN)),
    ("levels", lambda: leakage.weight_bits_client_keeps_all_uniform_levels(0.1, 1)),
    ("levels", lambda: leakage.weight_bits_client_keeps_all_uniform_levels(0.1, 2.5)),  # type: ignore[arg-type]
    ("photon", lambda: leakage.weight_bits_client_homodynes_all_real(-0.1)),
    ("kept fraction", lambda: leakage.weight_bits_client_keeps_fraction_real(0.1, 1.1)),
    ("kept fraction", lambda: leakage.weight_bits_client_keeps_fraction_complex(0.1, _NAN)),
    ("transmittance", lambda: leakage.weight_bits_client_verified_real(0.1, 1.01, 0.0, 0.0)),
    ("transmittance", lambda: leakage.weight_bits_client_verified_complex(0.1, -0.1, 0, 0)),
    ("returned X", lambda: leakage.weight_bits_client_verified_real(0.1, 1.0, -1e-9, 0.0)),
    ("returned P", lambda: leakage.weight_bits_client_verified_complex(0.1, 1.0, 0.0, _NAN)),
    ("returned X", lambda: leakage.weight_bits_client_x_only_tested_real(0.1, 1.0, _INF)),
    ("SNR factor", lambda: leakage.weight_bits_client_query_inside_rules(0.1, 0.0)),
    ("queries", lambda: leakage.client_least_squares_weight_snr(0.1, 0.5, 0, 784)),
    ("modes", lambda: leakage.client_queries_for_weight_snr(1.0, 0.1, 0.5, 0)),
    ("SNR per weight", lambda: leakage.client_queries_for_weight_snr(_NAN, 0.1, 0.5, 4)),
    ("asked for", lambda: leakage.photons_for_weight_bits(0.0, lambda mu: mu)),
    ("photon", lambda: leakage.transmissions_for_weight_bits(1.0, lambda mu: mu, -1.0)),
    ("repetitions", lambda: leakage.weight_bits_client_repeated(lambda mu: mu, 0.1, 0)),
    (
        "entropy of a weight",
        lambda: leakage.weight_bits_client_repeated(
            lambda mu: mu, 0.1, 2, weight_entropy_bits=_NAN
        ),
    ),
    ("confidence", lambda: leakage.confidence_multiplier(1.0)),
    ("confidence", lambda: leakage.confidence_multiplier(_NAN)),
    ("bounds", lambda: leakage.confidence_multiplier(0.9, 0)),
    ("estimated variance", lambda: leakage.excess_noise_upper_bound_snu(-1.0, 10, 3.0)),
    ("tested symbols", lambda: leakage.excess_noise_upper_bound_snu(0.0, 0, 3.0)),
    ("multiplier", lambda: leakage.excess_noise_upper_bound_snu(0.0, 10, _NAN)),
    ("transmittance", lambda: ChannelEstimate(transmittance=_NAN)),
    ("variance of X", lambda: ChannelEstimate(excess_noise_x_snu=-1.0)),
    ("variance of P", lambda: ChannelEstimate(excess_noise_p_snu=_NAN)),
    ("tested X", lambda: ChannelEstimate(tested_symbols_x=-1)),
    ("tested P", lambda: ChannelEstimate(tested_symbols_p=1.5)),  # type: ignore[arg-type]
    ("excess noise", lambda: leakage.data_bits_server_homodynes_rows(-0.1, 4, 4)),
    ("excess noise", lambda: leakage.data_bits_server_homodynes_rows_cap(_NAN, 4, 4)),
    ("rows", lambda: leakage.data_bits_server_homodynes_rows(0.1, 0, 4)),
    ("modes", lambda: leakage.data_bits_server_homodynes_rows_cap(0.1, 4, 0)),
    ("excess noise", lambda: leakage.data_bits_server_uses_marginal_variances(_INF, 4, 4)),
    ("excess noise", lambda: leakage.data_bits_server_heterodynes_rows(0.1, _NAN, 4, 4)),
    ("rows", lambda: leakage.data_bits_server_any_measurement(0.1, 0.1, -1, 4)),
    ("modes", lambda: leakage.data_bits_server_any_measurement_cap(0.1, 0.1, 4, 0)),
    ("Fisher", lambda: leakage.local_data_bits(_NAN, 1, 1, "real")),
    ("efficiency", lambda: leakage.excess_noise_after_loss_snu(0.1, 0.0)),
    ("cosine", lambda: leakage.dictionary_nats_per_row_server_homodynes(0.1, 1.2)),
    ("candidates", lambda: leakage.dictionary_rows_server_homodynes(0.1, 1)),
    ("tap fraction", lambda: leakage.fisher_server_probes_feed_forward_tap(0.0, 1.0)),
    ("along the data", lambda: leakage.fisher_server_probes_feed_forward_tap(0.1, _NAN)),
    ("component", lambda: leakage.fisher_server_probes_feed_forward_tap(0.1, 1.0, _INF)),
    ("probe", lambda: leakage.data_bits_server_probes_feed_forward_tap(0.1, -1.0, 4, 4)),
    ("gain", lambda: leakage.published_data_bits_server_homodynes(0.99)),
    ("gain", lambda: leakage.published_weight_bits_client_verified(0.1, _NAN)),
    ("modes", lambda: leakage.superseded_v1_data_bits_server_marginal(2.0, 10, 0)),
    ("thermal", lambda: leakage.thermal_entropy_bits(-1e-12)),
    ("probability", lambda: leakage.binary_entropy_bits(1.5)),
    ("signal-to-noise", lambda: leakage.gaussian_channel_bits(_NAN)),
    ("product", lambda: leakage.two_mode_entropy_bits(1.0, -1.0)),
    ("ln(1 + z)", lambda: leakage.log1p_minus_argument(-0.5)),
    ("rows", lambda: LayerLight(rows=0, modes=1, photons_per_symbol=0.1)),
    ("modes", lambda: LayerLight(rows=1, modes=0, photons_per_symbol=0.1)),
    ("photon", lambda: LayerLight(rows=1, modes=1, photons_per_symbol=_NAN)),
    ("data", lambda: LayerLight(rows=1, modes=1, photons_per_symbol=0.1, data_repetitions=0)),
    (
        "leakage to client",
        lambda: LeakageFigure(
            adversary="client",
            secret="weights",
            assumptions="none",
            upper_bound=True,
            bits_per_symbol=_NAN,
            symbols=1,
            total_bits=_NAN,
        ),
    ),
]


@pytest.mark.parametrize("case", range(len(_REFUSED)))
def test_formula_refuses_when_argument_is_out_of_range(case: int) -> None:
    named, call = _REFUSED[case]
    with pytest.raises(ConfigurationError) as refusal:
        call()
    assert named in str(refusal.value)


def test_refusal_says_nan_when_argument_is_nan() -> None:
    with pytest.raises(ConfigurationError, match="is NaN"):
        leakage.weight_bits_client_keeps_all_gaussian_real(_NAN)
