"""The report of a layer and of a network: names, sums, confidence, encodings."""

import importlib
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace

import pytest

import protocol.leakage
from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from protocol.leakage import (
    DEFAULT_CONFIDENCE,
    ChannelEstimate,
    LayerLight,
    LeakageFigure,
    channel_bounds,
    confidence_multiplier,
    data_bits_server_any_measurement,
    data_bits_server_homodynes_rows,
    data_bits_server_probes_feed_forward_tap,
    data_figures_for_layer,
    dictionary_nats_per_row_server_homodynes,
    returned_channel,
    summarise,
    weight_bits_client_certified_complex,
    weight_bits_client_certified_real,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_query_inside_rules,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
    weight_bits_with_memory,
    weight_figures_for_layer,
)
from protocol.leakage.general_bound import ReturnedChannel

_ALL = "client or thief keeping all the light"
_MISSING = "client or thief keeping the missing light"
_HOMODYNE = "client or thief homodyning all the light"
_VERIFIED = "client under verification, asymptotic"
_MEMORY = "client with one memory over all copies, asymptotic"
_X_ONLY = "client measuring X without demolition, only X tested"
_FINITE = "client under verification, finite test"
_INSIDE = "client inside the rules (model extraction)"
_PROBING = "server probing P, and any measurement"

_LAYER = LayerLight(rows=100, modes=784, photons_per_symbol=0.1)
_TESTED = ChannelEstimate(
    transmittance=0.99,
    excess_noise_x_snu=0.001,
    excess_noise_p_snu=-0.002,
    tested_symbols_x=40_000,
    tested_symbols_p=30_000,
)


def _by_name(figures: tuple[LeakageFigure, ...]) -> dict[str, LeakageFigure]:
    named = {figure.adversary: figure for figure in figures}
    assert len(named) == len(figures)
    return named


def test_weight_figures_name_every_adversary_when_channel_is_predicted() -> None:
    figures = _by_name(weight_figures_for_layer(_LAYER, Amplifier(gain=2.0)))
    excess = 1 / 784
    expected = {
        _ALL: weight_bits_client_keeps_all_gaussian_real(0.1),
        _MISSING: 0.0,
        _HOMODYNE: weight_bits_client_homodynes_all_real(0.1),
        _VERIFIED: weight_bits_client_verified_real(0.1, 1.0, excess, excess),
        _MEMORY: weight_bits_client_verified_real(0.1, 1.0, excess, excess),
        _X_ONLY: weight_bits_client_x_only_tested_real(0.1, 1.0, excess),
        _INSIDE: weight_bits_client_query_inside_rules(0.1, 0.5) / 784,
    }
    assert set(figures) == set(expected)
    for name, bits in expected.items():
        figure = figures[name]
        assert figure.bits_per_symbol == pytest.approx(bits, rel=1e-12)
        assert (figure.symbols, figure.secret, figure.confidence) == (78_400, "weights", None)
        assert figure.total_bits == pytest.approx(78_400 * bits)
    assert not figures[_HOMODYNE].upper_bound


def test_weight_certificate_splits_the_failure_over_its_bounds_when_symbols_were_tested() -> None:
    figures = _by_name(weight_figures_for_layer(_LAYER, Amplifier(gain=2.0), channel=_TESTED))
    bounds = channel_bounds(
        _TESTED,
        0.1,
        "real",
        multiplier=confidence_multiplier(DEFAULT_CONFIDENCE, 3),
        variance_law="chi_square",
    )
    certificate = figures[_FINITE]
    expected = weight_bits_client_certified_real(0.1, bounds)
    assert certificate.bits_per_symbol == pytest.approx(expected)
    assert certificate.confidence == DEFAULT_CONFIDENCE
    asymptotic = weight_bits_client_verified_real(0.1, 0.99, 0.001, 0.0)
    assert figures[_VERIFIED].bits_per_symbol == pytest.approx(asymptotic)
    assert asymptotic < certificate.bits_per_symbol < figures[_ALL].bits_per_symbol


def test_weight_certificate_has_two_bounds_when_only_x_was_tested() -> None:
    x_only = replace(_TESTED, tested_symbols_p=0)
    figures = _by_name(weight_figures_for_layer(_LAYER, Amplifier(gain=2.0), channel=x_only))
    assert "only X tested, 2 bounds" in figures[_FINITE].assumptions
    assert figures[_FINITE].bits_per_symbol > figures[_X_ONLY].bits_per_symbol


def test_weight_figures_are_half_a_symbol_when_encoding_is_complex() -> None:
    layer = LayerLight(rows=10, modes=392, photons_per_symbol=0.2, encoding="complex")
    figures = _by_name(weight_figures_for_layer(layer, Amplifier(gain=2.0), channel=_TESTED))
    assert set(figures) == {_ALL, _MISSING, _VERIFIED, _MEMORY, _FINITE, _INSIDE}
    assert figures[_ALL].symbols == 10 * 784
    assert figures[_ALL].bits_per_symbol == pytest.approx(
        weight_bits_client_keeps_all_gaussian_complex(0.2) / 2
    )
    assert figures[_VERIFIED].bits_per_symbol == pytest.approx(
        weight_bits_client_verified_complex(0.2, 0.99, 0.001, 0.0) / 2
    )
    bounds = channel_bounds(
        _TESTED,
        0.2,
        "complex",
        multiplier=confidence_multiplier(DEFAULT_CONFIDENCE, 3),
        variance_law="chi_square",
    )
    assert figures[_FINITE].bits_per_symbol == pytest.approx(
        weight_bits_client_certified_complex(0.2, bounds) / 2
    )
    assert figures[_INSIDE].bits_per_symbol == pytest.approx(
        weight_bits_client_query_inside_rules(0.2, 0.5, "complex") / 784
    )


def test_weight_figures_merge_copies_when_weights_are_repeated() -> None:
    repeated = replace(_LAYER, repetitions=100)
    figures = _by_name(weight_figures_for_layer(repeated, Amplifier(gain=2.0)))
    channel = ReturnedChannel(
        gain_x=1, gain_p=1, excess_noise_x_snu=1 / 784, excess_noise_p_snu=1 / 784
    )
    assert figures[_MEMORY].bits_per_symbol == pytest.approx(
        weight_bits_with_memory(0.4, 0.0, channel, 100)
    )
    assert figures[_MEMORY].bits_per_symbol > 2 * figures[_VERIFIED].bits_per_symbol
    assert figures[_ALL].bits_per_symbol == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(10.0)
    )
    assert figures[_VERIFIED].bits_per_symbol == pytest.approx(0.365, rel=0.01)
    assert figures[_INSIDE].bits_per_symbol == pytest.approx(
        100 * weight_bits_client_query_inside_rules(0.1, 0.5) / 784
    )


def test_weight_figures_stop_at_the_entropy_of_a_weight_when_it_is_known() -> None:
    repeated = replace(_LAYER, repetitions=10**7)
    figures = weight_figures_for_layer(repeated, Amplifier(gain=2.0), weight_entropy_bits=8.0)
    assert max(figure.bits_per_symbol for figure in figures) == 8.0
    assert _by_name(figures)[_INSIDE].bits_per_symbol == 8.0
    complex_layer = replace(repeated, encoding="complex")
    capped = weight_figures_for_layer(complex_layer, Amplifier(gain=2.0), weight_entropy_bits=8.0)
    assert _by_name(capped)[_ALL].bits_per_symbol == 8.0


def test_passive_tap_leaks_its_share_of_weights_and_no_data() -> None:
    tap = PassiveTap(tap_fraction=0.2)
    weights = _by_name(weight_figures_for_layer(_LAYER, tap))
    share = weight_bits_client_keeps_all_gaussian_real(0.2 * 0.1)
    assert weights[_MISSING].bits_per_symbol == pytest.approx(share)
    assert weights[_VERIFIED].bits_per_symbol == pytest.approx(share, rel=1e-9)
    data = data_figures_for_layer(_LAYER, tap, probe_photons_per_mode=1.0)
    assert [figure.total_bits for figure in data] == [0.0] * 8


def test_data_figures_count_rows_and_loss_when_receiver_is_an_amplifier() -> None:
    layer = replace(_LAYER, data_repetitions=3)
    figures = _by_name(data_figures_for_layer(layer, Amplifier(gain=2.0), return_efficiency=0.5))
    assert len(figures) == 7
    homodyne = figures["server homodyning whole rows"]
    assert homodyne.bits_per_symbol == pytest.approx(data_bits_server_homodynes_rows(0.5, 300, 784))
    assert (homodyne.symbols, homodyne.secret, homodyne.upper_bound) == (784, "data", False)
    dictionary = figures["server with a dictionary of candidates"]
    assert dictionary.total_bits == pytest.approx(
        300 * dictionary_nats_per_row_server_homodynes(0.5, 0.5) / math.log(2)
    )
    marginal = figures["server using each mode's variance alone"]
    assert "NOT an upper bound" in marginal.assumptions
    caps = {name for name, figure in figures.items() if figure.upper_bound}
    assert caps == {"server homodyning whole rows, cap", "server with any measurement, cap"}


def test_data_figures_charge_the_probe_when_receiver_is_a_feed_forward_tap() -> None:
    tap = FeedForwardTap(tap_fraction=0.1)
    silent = _by_name(data_figures_for_layer(_LAYER, tap))
    assert "no light in P" in silent["server with any measurement"].assumptions
    figures = _by_name(
        data_figures_for_layer(_LAYER, tap, probe_photons_per_mode=0.02, return_efficiency=0.5)
    )
    assert figures[_PROBING].bits_per_symbol == pytest.approx(
        data_bits_server_probes_feed_forward_tap(
            0.1, 0.01, 100, 784, excess_noise_x_snu=0.5 * tap.excess_noise_x_snu
        )
    )
    assert (
        figures[_PROBING].bits_per_symbol > figures["server with any measurement"].bits_per_symbol
    )


def test_data_figures_give_the_probe_nothing_when_receiver_preserves_p() -> None:
    figures = _by_name(
        data_figures_for_layer(_LAYER, Amplifier(gain=1.1), probe_photons_per_mode=5.0)
    )
    ell = Amplifier(gain=1.1).excess_noise_x_snu
    assert figures[_PROBING].bits_per_symbol == pytest.approx(
        data_bits_server_any_measurement(ell, ell, 100, 784)
    )


def test_figures_refuse_when_feed_forward_tap_meets_complex_encoding() -> None:
    layer = replace(_LAYER, encoding="complex")
    tap = FeedForwardTap(tap_fraction=0.1)
    with pytest.raises(ConfigurationError, match="does not preserve P"):
        weight_figures_for_layer(layer, tap)
    with pytest.raises(ConfigurationError, match="does not preserve P"):
        data_figures_for_layer(layer, tap)


def test_returned_channel_spreads_the_noise_when_modes_share_it() -> None:
    channel = returned_channel(Amplifier(gain=2.0), 16)
    assert channel.excess_noise_x_snu == pytest.approx(1 / 16)
    assert (channel.transmittance, channel.tested_symbols_x) == (1.0, 0)
    assert returned_channel(PassiveTap(tap_fraction=0.3), 16).transmittance == pytest.approx(0.7)


def _figure(bits: float, symbols: int, confidence: float | None = None) -> LeakageFigure:
    return LeakageFigure(
        adversary="client",
        secret="weights",
        assumptions=f"{symbols} symbols",
        upper_bound=True,
        bits_per_symbol=bits,
        symbols=symbols,
        total_bits=bits * symbols,
        confidence=confidence,
    )


def test_summary_gives_worst_mean_and_total_when_layers_differ() -> None:
    (summary,) = summarise({"wide": [_figure(0.01, 900)], "narrow": [_figure(0.2, 100)]})
    assert (summary.worst_layer, summary.worst_bits_per_symbol) == ("narrow", 0.2)
    assert summary.total_bits == pytest.approx(9 + 20)
    assert summary.mean_bits_per_symbol == pytest.approx(29 / 1000)
    assert (summary.symbols, summary.assumptions) == (1000, "100 symbols")
    assert summary.confidence is None


def test_summary_adds_failure_probabilities_when_layers_are_certified() -> None:
    (summary,) = summarise({"a": [_figure(0.1, 10, 1 - 1e-6)], "b": [_figure(0.1, 10, 1 - 2e-6)]})
    assert summary.confidence is not None
    assert 1 - summary.confidence == pytest.approx(3e-6, rel=1e-6)
    (mixed,) = summarise({"a": [_figure(0.1, 10, 0.999)], "b": [_figure(0.1, 10)]})
    assert mixed.confidence is None


def test_summary_covers_whole_reports_when_layers_share_options() -> None:
    small = replace(_LAYER, rows=10, photons_per_symbol=0.5)
    amplifier = Amplifier(gain=1.3)
    layers = {
        name: [
            *weight_figures_for_layer(layer, amplifier),
            *data_figures_for_layer(layer, amplifier),
        ]
        for name, layer in (("hidden", _LAYER), ("output", small))
    }
    summaries = summarise(layers)
    assert len(summaries) == 7 + 7
    by_key = {(s.secret, s.adversary): s for s in summaries}
    assert by_key["weights", _ALL].worst_layer == "output"
    assert by_key["data", "server homodyning whole rows"].worst_layer == "hidden"


def test_summary_refuses_when_layers_list_different_adversaries() -> None:
    other = replace(_figure(0.1, 10), adversary="eavesdropper")
    with pytest.raises(ConfigurationError, match="weights: eavesdropper"):
        summarise({"a": [_figure(0.1, 10)], "b": [_figure(0.1, 10), other]})


def test_summary_refuses_when_layers_are_missing_or_doubled() -> None:
    with pytest.raises(ConfigurationError, match="no layers"):
        summarise({})
    with pytest.raises(ConfigurationError, match="twice"):
        summarise({"a": [_figure(0.1, 10), _figure(0.2, 10)]})
    with pytest.raises(ConfigurationError, match="joint confidence"):
        summarise({"a": [_figure(0.1, 10, 0.4)], "b": [_figure(0.1, 10, 0.4)]})


def test_figure_refuses_when_total_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="the total is"):
        replace(_figure(0.1, 10), total_bits=2.0)


OF_CERTIFICATES = (
    "certified",
    "certified_corner",
    "certified_design",
    "certified_mean",
    "certified_memory",
    "certified_plane",
    "certified_pool",
    "certified_search",
    "certified_statistics",
    "certified_worst",
    "covariance",
    "general_bound",
    "joint_state",
)
"""Modules of certificates, which are imported by their own names."""


def test_package_exports_exist_when_listed() -> None:
    exported = protocol.leakage.__all__
    assert len(set(exported)) == len(exported)
    from_modules: set[str] = set()
    for module in pkgutil.iter_modules(protocol.leakage.__path__):
        if not module.name.startswith("_") and module.name not in OF_CERTIFICATES:
            loaded = importlib.import_module(f"protocol.leakage.{module.name}")
            from_modules |= set(loaded.__all__)
    assert set(exported) == from_modules
    for name in exported:
        assert getattr(protocol.leakage, name) is not None


def test_package_import_stays_light_when_loaded_alone() -> None:
    heavy = ("torch", "scipy", "sklearn", "matplotlib", "onnx", "pydantic")
    script = f"import sys, protocol.leakage; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
