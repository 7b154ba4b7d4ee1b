"""One training of a sweep, as a worker runs it: from a specification to files in memory."""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ModelError
from veilight.frontier.networks import (
    DataSource,
    FailedNetwork,
    NetworkSpec,
    Outcome,
    TrainedModel,
    TrainedNetwork,
    graph_of,
    model_file_of,
)

if TYPE_CHECKING:
    from protocol.models.model import Model
    from veilight.datasets import TrainTest

__all__ = ["train_network"]


def train_network(
    spec: NetworkSpec,
    source: DataSource,
    device: str = "cpu",
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train and test one network, on one torch thread; this is what a worker runs.

    Args:
        spec: of the network.
        source: of the data that the specification names.
        device: `auto`, `cpu` or `cuda`.
        clock: monotonic seconds.

    Returns:
        The network, or why its training failed.

    Raises:
        ConfigurationError: the specification does not fit the data.
        DataError: the data cannot be had here.
    """
    import torch

    from protocol.models.training import train

    torch.set_num_threads(1)
    started = clock()
    parts = source.load()
    graph = graph_of(parts, spec.architecture, spec.hidden, spec.bias)
    try:
        result = train(
            graph,
            parts.train.inputs,
            parts.train.labels,
            spec.training(),
            dataset=parts.train.name,
            device=device,
        )
        model, accuracy, error, noise_free = _tested(result.model, parts, spec, device)
    except ModelError as failure:
        return FailedNetwork(spec=spec, reason=str(failure), seconds=clock() - started)
    weights, description = _model_bytes(model, spec.key)
    network = TrainedNetwork(
        spec=spec,
        graph=graph.to_dict(),
        accuracy=accuracy,
        accuracy_error=error,
        accuracy_noise_free=noise_free,
        test_samples=parts.test.samples,
        seconds=clock() - started,
        model_file=model_file_of(spec),
    )
    return TrainedModel(network=network, weights=weights, description=description)


def _tested(
    model: "Model", parts: "TrainTest", spec: NetworkSpec, device: str
) -> tuple["Model", float, float, float]:
    """The model with its accuracies in its metadata, and with noise, its error, without noise."""
    from protocol.models.training import evaluate

    inputs, labels = parts.test.inputs, parts.test.labels
    found = [
        evaluate(model, inputs, labels, spec.signal_to_noise, seed, device=device)
        for seed in range(spec.draws)
    ]
    mean = sum(found) / len(found)
    spread = sum((value - mean) ** 2 for value in found) / (len(found) - 1)
    # The binomial part alone covers both; the draws' own part shows if they were too few.
    error = math.sqrt(mean * (1 - mean) / parts.test.samples + spread / len(found))
    noise_free = evaluate(model, inputs, labels, device=device)
    metadata = {**model.metadata, "accuracy": noise_free, "accuracy_with_noise": mean}
    return replace(model, metadata=metadata), mean, error, noise_free


def _model_bytes(model: "Model", name: str) -> tuple[bytes, bytes]:
    """Both files of a model, as `save_model` writes them."""
    from protocol.models.files import save_model

    with tempfile.TemporaryDirectory(prefix="veilight-") as folder:
        path = Path(folder) / f"{name}.safetensors"
        save_model(model, path)
        return path.read_bytes(), path.with_suffix(".json").read_bytes()
