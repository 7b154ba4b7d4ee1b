"""Networks of tokens through the engine: the same numbers, the right noise, all copies charged."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from drivers.receivers import FeedForwardTap
from protocol.accounting import data_leakage, weight_leakage
from protocol.leakage import LayerLight, returned_channel, weight_figures_for_layer
from protocol.ledger import DataLedger
from protocol.models.graph import (
    AddRemembered,
    Graph,
    Layer,
    Linear,
    Relu,
    Remember,
    TokenLinear,
    TokenMean,
)
from protocol.models.model import LayerWeights, Model
from protocol.models.optical_layers import estimate_noise_std
from protocol.models.recipes import mlp, standardising, transformer
from sim_backend.settings import LinkSettings
from tests.unit.protocol.session_bench import Bench, normals


def filled(graph: Graph) -> Model:
    """Normal weights that keep activations near 1."""
    weights = {}
    for index in graph.optical:
        layer = graph.optical_layer(index)
        scale = layer.columns**-0.5
        weights[index] = LayerWeights(
            weight=scale * normals(*layer.weight_shape, seed=index),
            bias=normals(layer.rows, seed=500 + index) if layer.bias else None,
        )
    return Model(graph=graph, weights=weights)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows_per_block", [0, 5])
def test_session_computes_the_plain_network_when_light_is_bright(
    bias: bool, rows_per_block: int
) -> None:
    graph = transformer((1, 6, 6), 3, patch=(3, 3), width=8, heads=2, hidden=12, bias=bias)
    model = filled(graph)
    # Rows of more than 8 modes are cut in tiles; F^2 of 2e10 leaves a noise of 1e-5.
    settings = LinkSettings(seed=3, device="cpu", modes_per_frame=8)
    bench = Bench(
        model=model,
        link_settings=settings,
        photons=(1e10,) * 6,
        rows_per_block=rows_per_block,
        samples_per_block=4,
        policy_changes={"false_alarm": 1e-6},
    )
    samples = normals(7, 1, 6, 6, seed=1)
    outputs = bench.client.infer(samples)
    torch.testing.assert_close(outputs, model.forward(samples), rtol=5e-3, atol=5e-3)
    assert bench.server.record.accepted


def test_residual_survives_when_the_layers_behind_it_work_in_place() -> None:
    # Without a bias the data vectors are a view of the values, which the client overwrites.
    layers: tuple[Layer, ...] = (
        Remember(),
        Relu(),
        TokenLinear(inputs=4, outputs=4, bias=False),
        AddRemembered(),
        TokenMean(),
        Linear(inputs=4, outputs=2, bias=False),
    )
    model = filled(Graph(input_shape=(3, 4), layers=layers))
    bench = Bench(model=model, photons=(1e10, 1e10))
    samples = normals(6, 3, 4, seed=2)
    torch.testing.assert_close(
        bench.client.infer(samples), model.forward(samples), rtol=2e-3, atol=2e-3
    )


def test_table_is_standardised_by_the_client_when_the_graph_says_so() -> None:
    rows = np.random.default_rng(0).normal([5.0, -300.0, 0.1], [2.0, 40.0, 0.01], (40, 3))
    model = filled(mlp((3,), (6,), 2, standardise=standardising(rows)))
    samples = torch.from_numpy(rows.astype(np.float32))
    outputs = Bench(model=model, photons=(1e10, 1e10)).client.infer(samples)
    torch.testing.assert_close(outputs, model.forward(samples), rtol=2e-3, atol=2e-3)


def test_estimates_have_the_noise_of_their_token_when_light_is_faint() -> None:
    # 60,000 estimates give a standard deviation to 0.29 %, a mean to 0.41 % of one; 6.5 of these
    # fail with a probability below 1e-9.
    samples, tokens, rows, photons = 2500, 4, 6, 0.5
    layer = TokenLinear(inputs=5, outputs=rows)
    model = filled(Graph(input_shape=(tokens, 5), layers=(layer,)))
    settings = LinkSettings(seed=5, device="cpu", receiver=FeedForwardTap(tap_fraction=0.3))
    bench = Bench(model=model, link_settings=settings, photons=(photons,), samples_per_block=500)
    # Tokens of very different lengths: a noise per sample instead of per token would show.
    data = normals(samples, tokens, 5, seed=6) * torch.tensor([0.2, 1.0, 3.0, 9.0])[:, None]
    outputs = bench.client.infer(data).reshape(samples, tokens, rows)
    ratio = 4 * photons * settings.receiver.snr_factor
    std = estimate_noise_std(layer, data, model.weights[0], ratio)
    errors = (outputs - model.forward(data).reshape(outputs.shape)) / std
    count = samples * tokens * rows
    assert abs(float(errors.mean())) < 6.5 / math.sqrt(count)
    assert float(errors.square().mean()) == pytest.approx(1.0, abs=6.5 * math.sqrt(2 / count))
    each = errors.square().mean(dim=(0, 2))
    limit = 6.5 * math.sqrt(2 * tokens / count)
    assert float((each - 1).abs().max()) < limit


def test_every_token_is_charged_when_a_network_of_tokens_is_asked() -> None:
    graph = transformer((1, 4, 4), 2, patch=(2, 2), width=4, heads=1, hidden=3)
    receiver = FeedForwardTap(tap_fraction=0.1)
    ledger = DataLedger.create(None, None)
    bench = Bench(
        model=filled(graph),
        link_settings=LinkSettings(seed=1, device="cpu", receiver=receiver),
        photons=(0.5,) * 6,
        data_ledger=ledger,
        input_bits=lambda layer: float(layer.positions),
    )
    bench.client.infer(normals(3, 1, 4, 4))
    assert [layer.positions for layer in bench.plan.layers] == [4, 4, 4, 4, 4, 1]
    copies = {entry.layer: 3 * entry.positions for entry in bench.plan.layers}
    assert bench.server.record.sent_inputs == copies
    channels = {entry.layer: returned_channel(receiver, entry.modes) for entry in bench.plan.layers}
    for entry in bench.plan.layers:
        alone = replace(bench.plan, layers=(entry,))
        found = weight_leakage(
            alone, receiver, channels, queries={entry.layer: 3}, confidence=0.999
        )
        light = LayerLight(
            rows=entry.rows, modes=entry.modes, photons_per_symbol=0.5,
            repetitions=3 * entry.positions,
        )  # fmt: skip
        expected = weight_figures_for_layer(light, receiver, channel=channels[entry.layer])
        assert [figure.total_bits for figure in found] == pytest.approx(
            [figure.total_bits for figure in expected]
        )
        once = replace(alone, layers=(replace(entry, positions=1),))
        for all_tokens, one in zip(
            data_leakage(alone, receiver), data_leakage(once, receiver), strict=True
        ):
            assert all_tokens.total_bits == pytest.approx(entry.positions * one.total_bits)
            assert all_tokens.worst_bits_per_symbol == pytest.approx(one.worst_bits_per_symbol)
