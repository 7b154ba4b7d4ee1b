"""From a session's evidence to the tables of leakage."""

import math
from dataclasses import replace

import pytest
import torch

from drivers.backend import ReturnSummary
from drivers.receivers import Amplifier, PassiveTap
from protocol.accounting import channel_estimate, data_leakage, layer_name, weight_leakage
from protocol.encoding import make_plan
from protocol.leakage import (
    ChannelEstimate,
    LayerLight,
    data_figures_for_layer,
    weight_figures_for_layer,
)
from protocol.plan import Plan
from protocol.verification import Evidence, expected_return
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import convolutional

RECEIVER = Amplifier(gain=1.5)
ONE = ChannelEstimate(
    transmittance=0.99,
    excess_noise_x_snu=0.01,
    excess_noise_p_snu=0.012,
    tested_symbols_x=10**6,
    tested_symbols_p=10**6,
)


def plan_of(modes_per_frame: int = 100) -> Plan:
    return make_plan(convolutional(), (0.3, 2.0), encoding="real", modes_per_frame=modes_per_frame)


def evidence_of(gain: float, variance_x: float, variance_p: float, p_frames: float) -> Evidence:
    frames = torch.tensor([[50.0], [p_frames]], dtype=torch.float64)
    energy = torch.tensor([[400.0], [0.0]], dtype=torch.float64)
    variance = torch.tensor([[variance_x], [variance_p]], dtype=torch.float64)
    evidence = Evidence()
    evidence.add(
        ReturnSummary(
            frames=frames,
            reference_gain=1.0,
            mean_energy_snu=energy,
            projection_snu=gain * energy,
            residual_energy_snu=frames * 20 * variance,
            rails=torch.zeros_like(frames),
            modes=20,
        )
    )
    return evidence


def test_channel_estimate_refers_to_the_detectors_input_when_the_detector_is_not_ideal() -> None:
    detector = DetectorSettings(
        efficiency=0.8, electronic_noise_snu=0.1, converter_bits=8, converter_range_snu=8.0
    )
    link = SymbolLink(LinkSettings(receiver=RECEIVER, server=detector, seed=1, device="cpu"))
    info = link.server.describe()
    law = expected_return(info, RECEIVER)
    step = 8.0 / 128
    recorded = 1 + 0.1 + step**2 / 12 + 0.8 * 0.05
    evidence = evidence_of(math.sqrt(0.8 * 0.9), recorded, recorded + 0.8 * 0.01, 70)
    found = channel_estimate(evidence, law, info)
    assert found.transmittance == pytest.approx(0.9)
    assert found.excess_noise_x_snu == pytest.approx(0.05)
    assert found.excess_noise_p_snu == pytest.approx(0.06)
    assert (found.tested_symbols_x, found.tested_symbols_p) == (1000, 1400)
    negative = channel_estimate(evidence_of(-0.3, recorded, recorded, 70), law, info)
    assert negative.transmittance == 0.0
    no_p = channel_estimate(evidence_of(0.8, recorded, recorded, 0), law, info)
    assert no_p.tested_symbols_p == 0
    assert no_p.excess_noise_p_snu == 0.0


def test_channel_estimate_trusts_nothing_when_no_light_was_measured_in_x() -> None:
    info = SymbolLink(LinkSettings(receiver=RECEIVER)).server.describe()
    evidence = evidence_of(0.8, 1.0, 1.0, 70)
    evidence.mean_energy_snu[:] = 0
    evidence.symbols[0] = evidence.frames[0] = 0
    found = channel_estimate(evidence, expected_return(info, RECEIVER), info)
    assert found == ChannelEstimate(transmittance=0.0)


def test_channel_estimate_trusts_nothing_when_nothing_was_tested() -> None:
    link = SymbolLink(LinkSettings(receiver=PassiveTap(tap_fraction=1.0), seed=1, device="cpu"))
    info = link.server.describe()
    law = expected_return(info, link.settings.receiver)
    for evidence in (None, evidence_of(1.0, 1.0, 1.0, 70)):
        found = channel_estimate(evidence, law, info)
        assert (found.transmittance, found.tested_symbols_x) == (0.0, 0)


def test_weight_leakage_counts_positions_as_copies_when_a_layer_is_a_convolution() -> None:
    plan = plan_of()
    table = {
        summary.adversary: summary
        for summary in weight_leakage(
            plan, RECEIVER, {0: ONE, 4: ONE}, queries={0: 20, 4: 10}, confidence=1 - 2e-6
        )
    }
    totals: dict[str, float] = {}
    for layer, copies in zip(plan.layers, (20 * 35, 10), strict=True):
        light = LayerLight(
            rows=layer.rows,
            modes=layer.entries,
            photons_per_symbol=layer.photons_per_symbol,
            repetitions=copies,
        )
        # The failure probability is shared by the two layers.
        for figure in weight_figures_for_layer(light, RECEIVER, channel=ONE, confidence=1 - 1e-6):
            totals[figure.adversary] = totals.get(figure.adversary, 0.0) + figure.total_bits
    assert {name: summary.total_bits for name, summary in table.items()} == pytest.approx(totals)
    certified = [summary for summary in table.values() if summary.confidence is not None]
    assert certified
    assert all(s.confidence == pytest.approx(1 - 2e-6, abs=1e-9) for s in certified)


def test_weight_leakage_leaves_out_layers_when_their_light_was_never_sent() -> None:
    plan = plan_of()
    first = weight_leakage(plan, RECEIVER, {0: ONE}, queries={0: 3, 4: 0}, confidence=0.99)
    assert {summary.worst_layer for summary in first} == {layer_name(plan.layers[0])}
    assert {summary.symbols for summary in first} == {3 * 13}
    assert weight_leakage(plan, RECEIVER, {}, queries={}, confidence=0.99) == ()


@pytest.mark.parametrize("modes_per_frame", [100, 5])
def test_data_leakage_counts_every_tile_and_position_when_added_up(modes_per_frame: int) -> None:
    plan = plan_of(modes_per_frame)
    table = {s.adversary: s for s in data_leakage(plan, RECEIVER)}
    totals: dict[str, float] = {}
    symbols = 0
    for layer in plan.layers:
        for modes in layer.tiles:
            light = LayerLight(
                rows=layer.rows, modes=modes, photons_per_symbol=layer.photons_per_symbol
            )
            symbols += modes * layer.positions
            for figure in data_figures_for_layer(light, RECEIVER):
                bits = figure.total_bits * layer.positions
                totals[figure.adversary] = totals.get(figure.adversary, 0.0) + bits
    assert {name: summary.total_bits for name, summary in table.items()} == pytest.approx(totals)
    assert {summary.symbols for summary in table.values()} == {symbols}
    assert symbols == 35 * 13 + 19


def test_data_leakage_is_nothing_when_the_return_cannot_depend_on_the_data() -> None:
    for summary in data_leakage(plan_of(), PassiveTap(tap_fraction=0.5)):
        assert summary.total_bits == 0.0


def test_layer_name_tells_index_and_shape_when_asked() -> None:
    layer = plan_of().layers[1]
    assert layer_name(layer) == "layer 4 (4 x 19)"
    assert layer_name(replace(layer, layer=7)) == "layer 7 (4 x 19)"
