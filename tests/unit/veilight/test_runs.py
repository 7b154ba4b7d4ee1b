"""One inference run from end to end on scikit-learn's digits: figures, tables, repeatability."""

import json
import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from drivers.errors import BudgetError, ConfigurationError, DataError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.accounting import channel_estimate
from protocol.leakage import (
    ChannelEstimate,
    LayerLight,
    LeakageSummary,
    data_figures_for_layer,
    weight_figures_for_layer,
)
from protocol.ledger import DataLedger, WeightLedger
from protocol.models.graph import Graph, InputScaling, Linear, Relu
from protocol.models.model import LayerWeights, Model
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import DetectorSettings, LinkSettings
from veilight.run_json import result_to_dict
from veilight.runs import InferenceRequest, RunResult, run_inference

SIGNAL_TO_NOISE = (4.0, 8.0)
TEST_SAMPLES = 397


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, NDArray[np.int64]]:
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32), data.target.astype(np.int64)


@lru_cache(maxsize=1)
def trained() -> Model:
    """64-32-10 with biases, trained without noise for a moment."""
    images, labels = digits()
    generator = torch.Generator().manual_seed(0)
    first = (torch.randn(32, 64, generator=generator) / 8).requires_grad_()
    second = (torch.randn(10, 32, generator=generator) / 6).requires_grad_()
    biases = [torch.zeros(32, requires_grad=True), torch.zeros(10, requires_grad=True)]
    optimiser = torch.optim.Adam([first, second, *biases], 1e-2)
    inputs, target = (images[:1400] - 8) / 8, torch.from_numpy(labels[:1400])
    for _ in range(150):
        optimiser.zero_grad()
        hidden = torch.relu(inputs @ first.T + biases[0])
        loss = torch.nn.functional.cross_entropy(hidden @ second.T + biases[1], target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Model(
        graph=Graph(
            input_shape=(64,),
            layers=(Linear(inputs=64, outputs=32), Relu(), Linear(inputs=32, outputs=10)),
            scaling=InputScaling(offset=8, factor=1 / 8),
        ),
        weights={
            0: LayerWeights(weight=first.detach(), bias=biases[0].detach()),
            2: LayerWeights(weight=second.detach(), bias=biases[1].detach()),
        },
    )


def link(receiver: Receiver | None = None, **changes: Any) -> LinkSettings:
    return LinkSettings(receiver=receiver or Amplifier(gain=2.0), device="cpu", **changes)


def request_of(**changes: Any) -> InferenceRequest:
    images, labels = digits()
    base = InferenceRequest(
        model=trained(),
        inputs=images[1400:],
        labels=labels[1400:],
        link=link(seed=1),
        signal_to_noise=SIGNAL_TO_NOISE,
    )
    return replace(base, **changes)


@lru_cache(maxsize=8)
def honest(seed: int = 1) -> RunResult:
    return run_inference(request_of(link=link(seed=seed)))


def test_run_reports_accuracy_and_confusion_when_labels_are_given() -> None:
    result = honest()
    assert result.accepted
    assert result.abort_reason == ""
    assert result.predictions is not None
    assert result.confusion is not None
    assert result.accuracy is not None
    assert result.noise_free_accuracy is not None
    labels = result.request.labels
    assert labels is not None
    assert result.accuracy == pytest.approx(float((result.predictions == labels).mean()))
    assert result.confusion.sum() == TEST_SAMPLES
    assert result.confusion.shape == (10, 10)
    assert np.trace(result.confusion) == round(result.accuracy * TEST_SAMPLES)
    assert result.confusion.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert (
        result.confusion.sum(0).tolist() == np.bincount(result.predictions, minlength=10).tolist()
    )
    scaled = (result.request.inputs - 8) / 8
    noise_free = trained().forward(scaled).argmax(1).numpy()
    assert result.noise_free_accuracy == pytest.approx(float((noise_free == labels).mean()))
    assert 0.85 < result.noise_free_accuracy <= 1.0
    assert 0.6 < result.accuracy < result.noise_free_accuracy + 0.02


def test_run_answers_like_the_bare_network_when_the_light_is_bright() -> None:
    result = run_inference(
        request_of(
            link=link(PassiveTap(tap_fraction=1.0), seed=1),
            signal_to_noise=(),
            photons_per_symbol=(1e9, 1e9),
        )
    )
    assert result.accuracy == result.noise_free_accuracy
    assert [layer.plan.photons_per_symbol for layer in result.layers] == [1e9, 1e9]


def test_run_leaves_out_accuracy_when_there_are_no_labels() -> None:
    result = run_inference(request_of(labels=None))
    assert (result.accuracy, result.noise_free_accuracy, result.confusion) == (None,) * 3
    assert result.predictions is not None
    wanted = honest().predictions
    assert wanted is not None
    assert np.array_equal(result.predictions, wanted)


LAB = DetectorSettings(efficiency=0.85, visibility=0.98, electronic_noise_snu=0.05)


@pytest.mark.parametrize(
    "receiver",
    [Amplifier(gain=2.0), FeedForwardTap(tap_fraction=0.3), PassiveTap(tap_fraction=0.3)],
)
@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_histograms_have_variance_one_and_sum_to_their_counts_when_honest(
    receiver: Receiver, encoding: str
) -> None:
    """64 inputs x 32 and x 10 rows: variances within 8 standard errors of 1, means of 0."""
    if encoding == "complex" and not receiver.preserves_p:
        pytest.skip("the receiver keeps the mean of X only")
    settings = link(receiver, seed=3, forward_transmittance=0.7, client=LAB)
    result = run_inference(request_of(link=settings, encoding=encoding))
    for layer, wanted in zip(result.layers, SIGNAL_TO_NOISE, strict=True):
        histogram = layer.histogram
        assert histogram is not None
        count = 64 * layer.plan.rows
        assert histogram.counts.sum() == count
        assert len(histogram.edges) == len(histogram.counts) + 1
        assert abs(histogram.mean) < 8 / math.sqrt(count)
        assert abs(histogram.variance - 1) < 8 * math.sqrt(2 / count)
        assert layer.signal_to_noise == pytest.approx(wanted)


@pytest.mark.parametrize("samples_per_block", [1, 7, 100, 1000])
def test_predictions_repeat_when_the_seed_is_the_same_on_any_batch_size(
    samples_per_block: int,
) -> None:
    result = run_inference(request_of(samples_per_block=samples_per_block))
    first = honest()
    assert result.predictions is not None
    assert first.predictions is not None
    assert np.array_equal(result.predictions, first.predictions)
    assert result.symbols_sent == first.symbols_sent
    assert len(result.blocks) == 2 * math.ceil(TEST_SAMPLES / samples_per_block)
    other = honest(2).predictions
    assert other is not None
    assert not np.array_equal(result.predictions, other)


def test_every_number_repeats_when_a_seeded_run_is_repeated() -> None:
    first, second = (result_to_dict(run_inference(request_of())) for _ in range(2))
    for entry in (first, second):
        for name in ("started", "wall_time_s"):
            del entry[name]
    assert first == second


def test_run_is_no_error_and_keeps_the_charge_when_the_client_keeps_half() -> None:
    result = run_inference(request_of(behaviour=keeps_fraction(0.5), budget_bits_per_weight=500.0))
    assert not result.accepted
    assert "refused layer 0 rows 0-31 inputs 0-99: gain" in result.abort_reason
    assert "instead of" in result.abort_reason
    assert result.predictions is None
    assert result.accuracy is None
    assert result.confusion is None
    assert result.noise_free_accuracy is not None
    assert [record.accepted for record in result.blocks] == [False]
    first, second = result.layers
    assert first.evidence is None
    assert first.channel.tested_symbols_x == 0
    assert first.bits_charged > 0
    assert second.bits_charged == 0
    assert result.symbols_sent == 100 * 32 * 65


def by_adversary(summaries: tuple[LeakageSummary, ...]) -> dict[str, LeakageSummary]:
    return {summary.adversary: summary for summary in summaries}


def check_sums(summaries: tuple[LeakageSummary, ...], per_layer: list[dict[str, Any]]) -> None:
    """Totals, means and worst layers from the layers' own figures."""
    found = by_adversary(summaries)
    assert set(found) == set(per_layer[0])
    for adversary, summary in found.items():
        figures = [layer[adversary] for layer in per_layer]
        total = sum(figure.total_bits for figure in figures)
        symbols = sum(figure.symbols for figure in figures)
        worst = max(figure.bits_per_symbol for figure in figures)
        assert summary.total_bits == pytest.approx(total)
        assert summary.symbols == symbols
        assert summary.mean_bits_per_symbol == pytest.approx(total / symbols)
        assert summary.worst_bits_per_symbol == pytest.approx(worst)


@pytest.mark.parametrize("queries", [TEST_SAMPLES, 10_000])
def test_weight_tables_equal_direct_calls_when_built_from_the_run(queries: int) -> None:
    result = honest()
    confidence = 1 - (1 - result.request.confidence) / 2
    per_layer = []
    for layer in result.layers:
        plan, evidence = layer.plan, layer.evidence
        assert evidence is not None
        light = LayerLight(
            rows=plan.rows,
            modes=plan.entries,
            photons_per_symbol=plan.photons_per_symbol,
            encoding="real",
            repetitions=queries,
        )
        # An ideal detector: the channel is what was measured, unchanged.
        channel = ChannelEstimate(
            transmittance=evidence.gain**2,
            excess_noise_x_snu=evidence.variance_snu(0) - 1,
            excess_noise_p_snu=evidence.variance_snu(1) - 1,
            tested_symbols_x=int(evidence.symbols[0]),
            tested_symbols_p=int(evidence.symbols[1]),
        )
        figures = weight_figures_for_layer(
            light, result.receiver, channel=channel, confidence=confidence
        )
        per_layer.append({figure.adversary: figure for figure in figures})
        assert channel.excess_noise_x_snu == pytest.approx(1.0 / plan.entries, abs=0.02)
    table = result.weights_leaked if queries == TEST_SAMPLES else result.weights_leaked_at_10000
    check_sums(table, per_layer)


def test_data_table_equals_direct_calls_when_built_from_the_run() -> None:
    result = honest()
    per_layer = []
    for layer in result.layers:
        light = LayerLight(
            rows=layer.plan.rows,
            modes=layer.plan.entries,
            photons_per_symbol=layer.plan.photons_per_symbol,
        )
        figures = data_figures_for_layer(light, result.receiver)
        per_layer.append({figure.adversary: figure for figure in figures})
    check_sums(result.data_leaked, per_layer)


def test_table_of_ten_thousand_queries_exceeds_the_runs_own_when_fewer_were_sent() -> None:
    result = honest()
    now, later = by_adversary(result.weights_leaked), by_adversary(result.weights_leaked_at_10000)
    assert set(now) == set(later)
    for adversary, summary in now.items():
        assert later[adversary].total_bits >= summary.total_bits > 0
    grown = [name for name in now if later[name].total_bits > 1.05 * now[name].total_bits]
    assert len(grown) >= len(now) - 2


def test_channel_estimate_takes_out_what_the_servers_detector_does_when_it_is_lossy() -> None:
    settings = link(seed=1, server=LAB, return_transmittance=0.6)
    result = run_inference(request_of(link=settings))
    eta = 0.85 * 0.98**2
    for layer in result.layers:
        assert layer.expectation.gain == pytest.approx(math.sqrt(0.6 * eta))
        # Errors of the gain: 1/sqrt(energy), of variances sqrt(2/symbols); 10 of them.
        energy = 4 * layer.plan.photons_per_symbol * layer.symbols / 2
        assert layer.channel.transmittance == pytest.approx(
            0.6, abs=10 * 2 * 0.6 / math.sqrt(energy)
        )
        error = 10 * math.sqrt(2 / (layer.symbols / 2)) * 1.2 / eta
        excess = 0.6 * 2 * (1 - 1 / 2) / layer.plan.entries
        assert layer.channel.excess_noise_x_snu == pytest.approx(excess, abs=error)
        assert layer.channel.excess_noise_p_snu == pytest.approx(excess, abs=error)
    nothing = channel_estimate(None, result.layers[0].expectation, result.server_info)
    assert nothing.transmittance == 0.0


def test_budget_stops_the_run_and_queries_left_are_as_charged_when_set() -> None:
    images, _ = digits()
    few = images[1400:1410]
    generous = request_of(
        inputs=few, labels=None, budget_bits_per_weight=2.0, samples_per_block=1,
        signal_to_noise=(0.01, 0.02),
    )  # fmt: skip
    result = run_inference(generous)
    assert not result.budget_lifted
    assert result.budget_bits_per_weight == 2.0
    left = [layer.queries_left for layer in result.layers]
    assert all(count is not None and count > 10 for count in left)
    assert all(0 < layer.bits_charged <= 2.0 for layer in result.layers)
    with pytest.raises(BudgetError):
        run_inference(replace(generous, budget_bits_per_weight=0.01))
    assert (
        run_inference(replace(generous, budget_bits_per_weight=None)).layers[0].queries_left is None
    )


def test_ledgers_of_the_caller_are_charged_when_they_are_given() -> None:
    images, _ = digits()
    few = images[1400:1405]
    model = trained()
    for receiver in (
        Amplifier(gain=2.0),
        FeedForwardTap(tap_fraction=0.3),
        PassiveTap(tap_fraction=0.3),
        PassiveTap(tap_fraction=1.0),
    ):
        weights = WeightLedger.create(None, model.digest, {0: 32, 2: 10}, None)
        data = DataLedger.create(None, None)
        result = run_inference(
            request_of(
                inputs=few,
                labels=None,
                ledger=weights,
                data_ledger=data,
                link=link(receiver, seed=2),
            )
        )
        photons = [layer.plan.photons_per_symbol for layer in result.layers]
        spent = [weights.verified_photons(i) + weights.unverified_photons(i) for i in (0, 2)]
        assert spent[0] == pytest.approx([5 * photons[0]] * 32)
        assert spent[1] == pytest.approx([5 * photons[1]] * 10)
        bits = data.spent_bits(data.digest(few[0].numpy()))
        acts = receiver.acts_on_data_mode
        assert (bits > 0) == acts, receiver


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"signal_to_noise": ()}, ConfigurationError, "photons_per_symbol or signal_to_noise"),
        ({"photons_per_symbol": (1.0, 1.0)}, ConfigurationError, "either"),
        ({"signal_to_noise": (1.0,)}, ConfigurationError, "one per layer"),
        ({"signal_to_noise": (1.0, 0.0)}, ConfigurationError, "above 0"),
        ({"false_alarm": 0.0}, ConfigurationError, "false_alarm"),
        ({"samples_per_block": 0}, ConfigurationError, "samples_per_block"),
        ({"inputs": torch.full((2, 64), torch.nan), "labels": None}, DataError, "NaN"),
        ({"inputs": torch.zeros(2, 63), "labels": None}, DataError, "shape"),
    ],
)
def test_run_refuses_when_a_request_cannot_be_met(
    changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_inference(request_of(**changes))


def test_result_is_plain_json_without_inputs_or_weights_when_written() -> None:
    result = honest()
    text = json.dumps(result_to_dict(result), allow_nan=False)
    data = json.loads(text)
    assert data["simulated"] is True
    assert data["seed"] == 1
    assert data["accuracy"] == result.accuracy
    assert [layer["name"] for layer in data["layers"]] == [
        "layer 0 (32 x 65)",
        "layer 2 (10 x 33)",
    ]
    assert data["symbols_sent"] == TEST_SAMPLES * (32 * 65 + 10 * 33)
    assert data["light_time_s"] == pytest.approx(
        data["symbols_sent"] / result.server_info.symbol_rate_hz
    )
    assert {"veilight", "python", "torch", "numpy"} <= set(data["versions"])
    aborted = run_inference(request_of(behaviour=keeps_fraction(0.5)))
    assert json.loads(json.dumps(result_to_dict(aborted), allow_nan=False))["accepted"] is False
