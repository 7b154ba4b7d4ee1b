"""A sweep of small networks on Dask workers against the plain loop, and what 100 on MNIST take.

Run with `python benchmarks/bench_frontier.py`. The reference is the same trainings one after
another in one process, measured in the same run. The workers are those that a sweep starts for
itself, and those of a cluster with an address, started by Dask's own command line. They are warmed
up before the clock, as they are once per sweep; what that takes is printed beside. What networks
leak is worked out in the same way, with every receiver, in this process and on workers, for made-up
networks: the figures know only accuracy, F^2 and sizes. The time of 100 networks of 784-784-10 is
worked out from one epoch on random data of MNIST's size on as many workers. Compare on
a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from protocol.models.recipes import MNIST_FAINT, centred_scaling, mlp
from protocol.models.training import train
from veilight.frontier.cluster import worker_cluster
from veilight.frontier.expected import expected_certificate
from veilight.frontier.layer_figures import figures_of_layer, queries_allowed_with_memory
from veilight.frontier.link import LinkAssumptions
from veilight.frontier.networks import (
    DataSource,
    NetworkSpec,
    TrainedNetwork,
    data_source,
    model_file_of,
    network_grid,
    recipe_for,
)
from veilight.frontier.report import build_report
from veilight.frontier.spread import Spread, in_this_process, on_workers
from veilight.frontier.store import ResultStore
from veilight.frontier.sweep import run_sweep
from veilight.frontier.training import train_network

__all__ = ["main"]

MNIST_SAMPLES, MNIST_SIDE, CLASSES = 60_000, 28, 10
HIDDEN = 784
NETWORKS = 100


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--figures", type=int, default=20)
    parser.add_argument("--workers", default="1,2")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    source, parts = data_source("digits")
    (spec,) = network_grid(
        source,
        parts,
        replace(recipe_for(parts, "mlp"), epochs=options.epochs),
        architecture="mlp",
        hidden=[(512,)],
        first=[0.25],
        last=[0.5],
    )
    specs = [replace(spec, seed=seed) for seed in range(options.networks)]
    train_network(replace(spec, epochs=1), source)
    start = time.perf_counter()
    for each in specs:
        train_network(each, source)
    plain = time.perf_counter() - start
    print(f"{os.cpu_count()} cores, {len(specs)} networks 64-512-10, {options.epochs} epochs")
    print(f"plain loop                 {plain:7.2f} s")
    for workers in map(int, options.workers.split(",")):
        for by_address in (False, True):
            started, swept = _swept(source, specs, workers, by_address=by_address)
            print(
                f"{workers} worker(s) {'by address' if by_address else 'of its own'}     "
                f"{swept:7.2f} s, ratio {plain / swept:5.2f}: plain loop / sweep (ideal "
                f"{workers}); start of the workers {started:.1f} s"
            )
    made_up = _made_up(options.figures)
    alone = _evaluated(made_up, in_this_process)
    print(f"figures of {len(made_up)} networks in this process {alone:7.2f} s")
    for workers in map(int, options.workers.split(",")):
        with worker_cluster(workers) as client:
            spread = on_workers(client)
            _evaluated(made_up[:workers], spread)
            spent = _evaluated(made_up, spread)
        print(
            f"figures on {workers} worker(s)      {spent:7.2f} s, ratio {alone / spent:5.2f}: this "
            f"process / workers (ideal {workers})"
        )
    epoch = _mnist_epoch_seconds()
    hours = epoch * MNIST_FAINT.epochs * NETWORKS / 3600
    print(
        f"one epoch of 784-{HIDDEN}-10 on {MNIST_SAMPLES:,} samples {epoch:.2f} s: "
        f"{NETWORKS} networks of {MNIST_FAINT.epochs} epochs take {hours:.2f} h on one core, "
        f"{hours / 2:.2f} h on two"
    )


def _swept(
    source: DataSource, specs: list[NetworkSpec], workers: int, *, by_address: bool
) -> tuple[float, float]:
    """Seconds of the start of the workers, and of the sweep with them."""
    start = time.perf_counter()
    with (
        _cluster(workers) if by_address else nullcontext() as address,
        worker_cluster(workers, address) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        client.wait_for_workers(workers)
        warm = [replace(specs[0], epochs=1, seed=1000 + worker) for worker in range(workers)]
        for worker, each in zip(client.nthreads(), warm, strict=True):
            client.submit(train_network, each, source, workers=[worker]).result()
        started = time.perf_counter() - start
        store = ResultStore(Path(folder))
        start = time.perf_counter()
        with store.lock():
            run_sweep(store, source, specs, lambda: nullcontext(client))
        return started, time.perf_counter() - start


def _made_up(count: int) -> list[TrainedNetwork]:
    """Networks of 784-784-10 of which none beats another."""
    graph = mlp((MNIST_SIDE, MNIST_SIDE), (HIDDEN,), CLASSES).to_dict()
    networks = []
    for number in range(count):
        spec = NetworkSpec(
            dataset="mnist",
            dataset_sha256="0" * 64,
            architecture="mlp",
            hidden=(HIDDEN,),
            signal_to_noise=(0.05 * 1.1**number, 1 + 0.1 * number),
            epochs=MNIST_FAINT.epochs,
            batch_size=MNIST_FAINT.batch_size,
            learning_rate=MNIST_FAINT.learning_rate,
        )
        networks.append(
            TrainedNetwork(
                spec=spec,
                graph=graph,
                accuracy=0.95 + 0.04 * number / count,
                accuracy_error=0.002,
                accuracy_noise_free=0.985,
                test_samples=10_000,
                seconds=1.0,
                model_file=model_file_of(spec),
            )
        )
    return networks


def _evaluated(networks: Sequence[TrainedNetwork], spread: Spread) -> float:
    """Seconds, without what an earlier call has kept."""
    for kept in (figures_of_layer, expected_certificate, queries_allowed_with_memory):
        kept.cache_clear()
    start = time.perf_counter()
    build_report(
        networks,
        [],
        kinds=("amplifier", "feed-forward-tap", "passive-tap"),
        encodings=("real", "complex"),
        link=LinkAssumptions(tested_symbols=1e8, probe_photons_per_mode=0.01),
        budget_bits_per_weight=4.0,
        spread=spread,
    )
    return time.perf_counter() - start


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler whose workers have one thread each, all processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "scheduler.json"
        commands = [["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file"]]
        commands += [["worker", "--nthreads", "1", "--local-directory", folder, "--scheduler-file"]]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command, str(place)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            )
            for command in (commands[0], *commands[1:] * workers)
        ]
        try:
            while not place.exists():
                time.sleep(0.01)
            yield str(json.loads(place.read_text())["address"])
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()


def _mnist_epoch_seconds() -> float:
    """One epoch of the recipe on random images."""
    generator = np.random.Generator(np.random.PCG64(0))
    images = generator.random((MNIST_SAMPLES, MNIST_SIDE, MNIST_SIDE), dtype=np.float32)
    labels = generator.integers(0, CLASSES, MNIST_SAMPLES)
    graph = mlp((MNIST_SIDE, MNIST_SIDE), (HIDDEN,), CLASSES, scaling=centred_scaling(images, 0.5))
    return train(graph, images, labels, replace(MNIST_FAINT, epochs=1), device="cpu").seconds


if __name__ == "__main__":
    main()
