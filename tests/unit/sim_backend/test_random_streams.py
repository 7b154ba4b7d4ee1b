"""Streams: the same numbers however they are taken, and drifts with the statistics they promise.

Statistical limits are at least 7.8 standard errors: below 1e-13 each, 20 of them.
"""

import math

import numpy as np
import pytest
import torch

from sim_backend.random_streams import CHUNK, DriftStream, NormalStream, StreamFactory

CPU = torch.device("cpu")
Z = 7.8


def stream(seed: int = 1) -> NormalStream:
    return NormalStream(seed, CPU)


@pytest.mark.parametrize(
    "sizes",
    [
        [1] * 100,
        [7, 13, 80],
        [CHUNK, CHUNK],
        [CHUNK - 1, 1, CHUNK + 1],
        [3, 2 * CHUNK + 5, 1, CHUNK - 2],
        [100, 4 * CHUNK],
    ],
    ids=lambda sizes: "+".join(map(str, sizes[:4])),
)
def test_stream_gives_the_same_numbers_when_cut_differently(sizes: list[int]) -> None:
    whole = stream().take(sum(sizes))
    source = stream()
    assert torch.equal(torch.cat([source.take(size) for size in sizes]), whole)


def test_stream_fills_shapes_last_axis_first() -> None:
    assert torch.equal(stream().take(4, 5, 6), stream().take(120).reshape(4, 5, 6))


def test_stream_is_not_changed_when_taken_numbers_are_overwritten() -> None:
    source = stream()
    first = source.take(10)
    first.fill_(99.0)
    assert torch.equal(source.take(10), stream().take(20)[10:])


def test_stream_is_standard_normal() -> None:
    count = 400_000
    values = stream().take(count).double()
    assert abs(float(values.mean())) < Z / math.sqrt(count)
    assert abs(float(values.var()) - 1) < Z * math.sqrt(2 / count)
    assert abs(float(values.pow(4).mean()) - 3) < Z * math.sqrt(96 / count)
    # Chunks and neighbours are independent.
    for lag in (1, CHUNK):
        assert abs(float((values[lag:] * values[:-lag]).mean())) < Z / math.sqrt(count - lag)


def test_factory_gives_other_numbers_when_keys_differ() -> None:
    factory = StreamFactory(5, CPU)
    keys: list[tuple[object, ...]] = [(0, "a"), (1, "a"), (0, "b"), (0,), ("0", "a"), (0, 1, "a")]
    values = torch.stack([factory.normals(*key).take(4000) for key in keys])
    correlation = torch.corrcoef(values) - torch.eye(len(keys))
    assert float(correlation.abs().max()) < Z / math.sqrt(4000)


def test_factory_repeats_when_seed_and_key_are_the_same() -> None:
    one, two = StreamFactory(5, CPU), StreamFactory(5, CPU)
    assert torch.equal(one.normals(1, "x").take(9), two.normals(1, "x").take(9))
    assert np.array_equal(one.numpy(1, "x").random(9), two.numpy(1, "x").random(9))
    other = StreamFactory(6, CPU)
    assert not torch.equal(one.normals(2, "x").take(9), other.normals(2, "x").take(9))
    assert not np.array_equal(one.numpy(2, "x").random(9), other.numpy(2, "x").random(9))


def test_factory_differs_each_time_when_unseeded() -> None:
    first, second = (StreamFactory(None, CPU).normals("x").take(9) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("memory", [0.0, 1.5, 20.0])
def test_drift_gives_the_same_values_when_cut_differently(memory: float) -> None:
    whole = DriftStream(stream(), 0.3, memory).take(120)
    source = DriftStream(stream(), 0.3, memory)
    parts = [source.take(1, 1), source.take(3, 7), source.take(98, 1)]
    assert torch.equal(torch.cat([part.flatten() for part in parts]), whole)


@pytest.mark.parametrize("memory", [0.0, 0.5, 3.0, 50.0])
def test_drift_has_its_variance_and_autocorrelation(memory: float) -> None:
    sigma, count = 0.3, 400_000
    values = DriftStream(stream(3), sigma, memory).take(count).double().numpy() / sigma
    rho = math.exp(-1 / memory) if memory else 0.0
    # Bartlett: the variance of an autocovariance of a Gaussian process is at most
    # (2/n) sum of rho(k)^2 over all k, here (2/n) (1 + rho^2) / (1 - rho^2).
    error = math.sqrt(2 / count * (1 + rho**2) / (1 - rho**2))
    for lag in (0, 1, 2, 10, 60):
        found = float((values[lag:] * values[: count - lag]).mean())
        assert abs(found - rho**lag) < Z * error, f"lag {lag}"


def test_drift_starts_in_its_steady_state() -> None:
    # 1000 streams, first and second value: without it the first would be near 0.
    starts = torch.stack([DriftStream(stream(s), 2.0, 30.0).take(2) for s in range(1000)])
    variance = starts.double().square().mean(0)
    assert bool(((variance / 4 - 1).abs() < Z * math.sqrt(2 / 1000)).all())


def test_drift_stands_still_when_its_memory_is_longer_than_any_run() -> None:
    values = DriftStream(stream(), 0.3, 1e18).take(1000)
    assert bool(values.isfinite().all())
    assert float(values[0]) != 0
    assert float((values - values[0]).abs().max()) < 1e-6
