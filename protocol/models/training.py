"""Training with the light in the loop, and a fast reference for accuracy with noise.

`train` adds in every forward pass the noise that the client's estimates will have
(`protocol.models.optical_layers`), so that the network learns to need few photons.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.errors import ModelError
from protocol.models._training_data import (
    Array,
    choose_device,
    labelled_data,
    move,
    scale_inputs,
)
from protocol.models._training_settings import TrainingSettings, learning_rate_factor
from protocol.models.graph import Graph
from protocol.models.model import Model
from protocol.models.optical_layers import OpticalNetwork, check_signal_to_noise

__all__ = [
    "Array",
    "EpochRecord",
    "TrainingProgress",
    "TrainingResult",
    "TrainingSettings",
    "evaluate",
    "learning_rate_factor",
    "scale_inputs",
    "train",
]

EVALUATION_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Where a training stands after a step.

    Args:
        epoch: the present one, from 1.
        epochs: in all.
        step: steps done, over all epochs.
        steps: in all.
        loss: mean of the present epoch so far, nats.
        seconds_left: expected time to the end, s.
        validation_accuracy: of the last finished epoch, with the noise of the training, in [0, 1];
            None before the first one ends or without validation data.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds_left: float
    validation_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch: mean loss in nats, validation accuracy with the noise of the training."""

    epoch: int
    loss: float
    validation_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The trained model, one record per epoch and the wall-clock time of the training in s."""

    model: Model
    history: tuple[EpochRecord, ...]
    seconds: float


def train(
    graph: Graph,
    inputs: Array,
    labels: Array,
    settings: TrainingSettings,
    *,
    progress: Callable[[TrainingProgress], None] | None = None,
    validation: tuple[Array, Array] | None = None,
    dataset: str = "unnamed",
    device: str = "auto",
    clock: Callable[[], float] = time.monotonic,
) -> TrainingResult:
    """Train a fresh network of `graph`.

    On the CPU the same settings and data give the same weights, on one machine with one number of
    torch threads; on a GPU they agree in distribution. Torch's global generator is neither read
    nor changed. An exception, `KeyboardInterrupt` included, passes through and leaves nothing
    behind.

    Args:
        graph: the layers; `graph.scaling` is applied here.
        inputs: raw data `(samples, *input_shape)`, any real type.
        labels: `(samples,)`, whole numbers in [0, outputs).
        settings: how to train.
        progress: called after every step.
        validation: raw inputs and labels to measure the accuracy on, after every epoch.
        dataset: name that the model's metadata carry.
        device: `auto` (a GPU where torch finds one), `cpu` or `cuda`.
        clock: monotonic seconds.

    Returns:
        The model (on the CPU) with metadata on how it was trained.

    Raises:
        ConfigurationError: settings that do not fit the graph, or no such device.
        DataError: wrong shapes, NaN or infinite inputs, labels out of range.
        ModelError: the loss became NaN or infinite.
    """
    check_signal_to_noise(graph, settings.signal_to_noise)
    place = choose_device(device)
    data = labelled_data(graph, inputs, labels, "training data")
    held_out = None
    if validation is not None:
        held_out = move(place, labelled_data(graph, *validation, "validation data"))
    loop = _Loop(graph, settings, place, progress, clock)
    started = clock()
    history = loop.run(*move(place, data), held_out)
    seconds = clock() - started
    metadata = loop.metadata(dataset, held_out)
    return TrainingResult(model=loop.network.to_model(metadata), history=history, seconds=seconds)


def evaluate(
    model: Model,
    inputs: Array,
    labels: Array,
    signal_to_noise: Sequence[float] = (),
    seed: int = 0,
    *,
    device: str = "cpu",
) -> float:
    """Fraction of samples that are classified right, with one draw of the noise per sample.

    Args:
        model: what to test; its scaling is applied here.
        inputs: raw data `(samples, *input_shape)`.
        labels: `(samples,)`, whole numbers in [0, outputs).
        signal_to_noise: F^2 of each optical layer, in their order; empty is noise-free.
        seed: of the noise.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ConfigurationError: `signal_to_noise` of a wrong length or out of range; no such device.
        DataError: wrong shapes, NaN or infinite inputs, labels out of range.
    """
    place = choose_device(device)
    data = move(place, labelled_data(model.graph, inputs, labels, "evaluation data"))
    network = OpticalNetwork.from_model(model).to(place)
    return _accuracy(network, *data, signal_to_noise, seed)


class _Loop:
    """The state of one training: network, optimiser and random streams."""

    def __init__(
        self,
        graph: Graph,
        settings: TrainingSettings,
        device: torch.device,
        progress: Callable[[TrainingProgress], None] | None,
        clock: Callable[[], float],
    ) -> None:
        streams = np.random.SeedSequence(settings.seed).generate_state(4, np.uint32).tolist()
        self.settings = settings
        self.progress = progress
        self.clock = clock
        self.network = OpticalNetwork(graph, seed=streams[0]).to(device)
        self.order = torch.Generator().manual_seed(streams[1])
        self.noise = torch.Generator(device).manual_seed(streams[2])
        self.validation_seed = streams[3]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def run(
        self, inputs: Tensor, labels: Tensor, held_out: tuple[Tensor, Tensor] | None
    ) -> tuple[EpochRecord, ...]:
        """All epochs; `ModelError` once the loss is not finite."""
        settings = self.settings
        steps = settings.epochs * math.ceil(len(inputs) / settings.batch_size)
        started, step = self.clock(), 0
        accuracy: float | None = None
        history: list[EpochRecord] = []
        for epoch in range(1, settings.epochs + 1):
            total, seen = 0.0, 0
            order = torch.randperm(len(inputs), generator=self.order).to(inputs.device)
            for batch in torch.split(order, settings.batch_size):
                self._set_learning_rate(step / steps)
                loss = self._step(inputs[batch], labels[batch], epoch)
                step, seen, total = step + 1, seen + len(batch), total + loss * len(batch)
                if self.progress is not None:
                    self.progress(
                        TrainingProgress(
                            epoch=epoch,
                            epochs=settings.epochs,
                            step=step,
                            steps=steps,
                            loss=total / seen,
                            seconds_left=(self.clock() - started) * (steps - step) / step,
                            validation_accuracy=accuracy,
                        )
                    )
            if held_out is not None:
                accuracy = self._validate(held_out, settings.signal_to_noise)
            history.append(
                EpochRecord(epoch=epoch, loss=total / seen, validation_accuracy=accuracy)
            )
        return tuple(history)

    def metadata(self, dataset: str, held_out: tuple[Tensor, Tensor] | None) -> dict[str, object]:
        """Plain JSON values for the model's file: how it was trained and what it reaches."""
        graph = self.network.graph
        ratios = self.settings.signal_to_noise
        accuracy = accuracy_with_noise = None
        if held_out is not None:
            accuracy = self._validate(held_out, ())
            accuracy_with_noise = self._validate(held_out, ratios) if ratios else None
        by_layer = check_signal_to_noise(graph, ratios)
        return {
            **asdict(self.settings),
            "dataset": dataset,
            "classes": graph.outputs,
            # Keys of a JSON object are text.
            "signal_to_noise": {str(index): value for index, value in by_layer.items()},
            "accuracy": accuracy,
            "accuracy_with_noise": accuracy_with_noise,
        }

    def _set_learning_rate(self, fraction: float) -> None:
        factor = learning_rate_factor(self.settings.schedule, fraction)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _step(self, inputs: Tensor, labels: Tensor, epoch: int) -> float:
        outputs = self.network(inputs, self.settings.signal_to_noise, self.noise)
        loss = nnf.cross_entropy(outputs, labels, label_smoothing=self.settings.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"training: the loss became {value} in epoch {epoch} of {self.settings.epochs}; "
                f"lower the learning rate (now {self.settings.learning_rate}) or check the "
                "scaling of the inputs"
            )
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return value

    def _validate(self, held_out: tuple[Tensor, Tensor], signal_to_noise: Sequence[float]) -> float:
        return _accuracy(self.network, *held_out, signal_to_noise, self.validation_seed)


@torch.no_grad()
def _accuracy(
    network: OpticalNetwork,
    inputs: Tensor,
    labels: Tensor,
    signal_to_noise: Sequence[float],
    seed: int,
) -> float:
    noise = torch.Generator(inputs.device).manual_seed(seed)
    right = 0
    # Always the same batches, so that a seed gives the same noise.
    parts = torch.split(inputs, EVALUATION_BATCH)
    truths = torch.split(labels, EVALUATION_BATCH)
    for part, truth in zip(parts, truths, strict=True):
        right += int((network(part, signal_to_noise, noise).argmax(dim=1) == truth).sum())
    return right / len(labels)
