"""A trained network over the bench: as accurate as over the symbol tier, and accepted."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from drivers.optics.burst import BurstFormat
from drivers.receivers import PassiveTap
from protocol.models.graph import Graph, InputScaling, Linear, Relu
from protocol.models.model import Model
from protocol.models.training import TrainingSettings, train
from sim_backend.instruments import Fault, FaultKind
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.waveform_bench import WaveformBench, open_bench
from veilight.datasets import load
from veilight.runs import InferenceRequest, RunResult, run_inference

PHOTONS = (10.0, 10.0)
SAMPLES = 120


@cache
def digits_model() -> Model:
    """Two layers, trained with noise for the digits that come with scikit-learn."""
    data = load("digits").train
    graph = Graph(
        input_shape=(64,),
        layers=(Linear(inputs=64, outputs=32), Relu(), Linear(inputs=32, outputs=10)),
        scaling=InputScaling(offset=4.9, factor=0.125),
    )
    settings = TrainingSettings(
        epochs=20, batch_size=32, learning_rate=1e-2, signal_to_noise=(8.0, 8.0), seed=5
    )
    return train(graph, data.inputs.reshape(len(data.inputs), 64), data.labels, settings).model


def request(samples: int = SAMPLES) -> InferenceRequest:
    data = load("digits").test
    inputs = torch.tensor(data.inputs[:samples].reshape(samples, 64))
    return InferenceRequest(
        model=digits_model(),
        inputs=inputs,
        labels=data.labels[:samples],
        photons_per_symbol=PHOTONS,
        samples_per_block=60,
    )


def symbol_link(bench: WaveformBench) -> LinkSettings:
    """The symbol tier as the bench describes itself."""
    server, client = bench.link.server.describe(), bench.link.client.describe()
    assert isinstance(client.receiver, PassiveTap)
    efficiency = client.signal_gain**2 / client.receiver.tap_fraction
    return LinkSettings(
        receiver=client.receiver,
        forward_transmittance=server.forward_transmittance,
        return_transmittance=server.return_transmittance,
        server=DetectorSettings(
            efficiency=server.detection_efficiency,
            electronic_noise_snu=server.electronic_noise_snu,
        ),
        client=DetectorSettings(
            efficiency=efficiency / server.forward_transmittance,
            electronic_noise_snu=client.outcome_variance_snu - 1,
        ),
        device="cpu",
    )


def _accuracy(result: RunResult) -> float:
    assert result.accepted, result.abort_reason
    assert result.accuracy is not None
    return result.accuracy


def test_bench_classifies_as_the_symbol_tier_does() -> None:
    bench = open_bench(burst=BurstFormat(least_vacuum_slots=8192))
    result = run_inference(replace(request(), optics=bench.link))
    found = _accuracy(result)
    link = symbol_link(bench)
    symbol = [
        _accuracy(run_inference(replace(request(), link=replace(link, seed=k)))) for k in range(10)
    ]
    expected = float(np.mean(symbol))
    print(
        f"\naccuracy over {SAMPLES} digits: bench {found:.4f}, symbol tier {expected:.4f} "
        f"({min(symbol):.4f} to {max(symbol):.4f} in ten runs), "
        f"noise-free {result.noise_free_accuracy:.4f}; {result.symbols_sent:,} symbols"
    )
    for layer in result.layers:
        assert layer.histogram is not None
        print(
            f"{layer.name}: F^2 {layer.signal_to_noise:.2f}, deviation of products mean "
            f"{layer.histogram.mean:+.3f}, variance {layer.histogram.variance:.3f}"
        )
        # The leak is taken off with an error that all products of a block share: a standard
        # deviation of at most the root of modes over vacuum slots, 0.09 and, of two blocks, 0.06.
        # 1200 products have a variance of 1 +- 0.041; calibrated gains may add to it.
        assert abs(layer.histogram.mean) < 6.5 * 0.065
        assert 1 - 6.5 * 0.041 < layer.histogram.variance < 1 + 6.5 * 0.041 + 0.1
    right = round(found * SAMPLES)
    # Two-sided binomial interval of 1 - 1e-9.
    assert stats.binom.ppf(5e-10, SAMPLES, expected) <= right
    assert right <= stats.binom.isf(5e-10, SAMPLES, min(expected, 1 - 1e-6))
    assert found > 0.85
    assert result.simulated
    assert result.server_info.backend == "waveform"


def test_bench_run_is_aborted_by_the_verdict_when_the_path_loses_a_little() -> None:
    # 1 dB is within what the pilots may lose, and far outside what the return's gain may be off.
    bench = open_bench()
    clock = bench.bench.clock
    bench.bench.inject(
        Fault(kind=FaultKind.FIBRE_DIRTY, target="back", start_s=clock.now(), size=1.0)
    )
    result = run_inference(replace(request(60), optics=bench.link))
    assert not result.accepted
    assert "gain" in result.abort_reason


@pytest.mark.slow
def test_bench_classifies_all_digits_as_the_symbol_tier_does() -> None:
    bench = open_bench()
    wanted = request(359)
    found = _accuracy(run_inference(replace(wanted, optics=bench.link)))
    link = symbol_link(bench)
    expected = float(
        np.mean(
            [
                _accuracy(run_inference(replace(wanted, link=replace(link, seed=k))))
                for k in range(10)
            ]
        )
    )
    print(f"\naccuracy over 359 digits: bench {found:.4f}, symbol tier {expected:.4f}")
    assert abs(found - expected) < 6.5 * (expected * (1 - expected) / 360) ** 0.5 + 1 / 360
