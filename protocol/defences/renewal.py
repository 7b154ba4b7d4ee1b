"""A new network for an old one whose budget is spent: same data, same settings, other weights.

The bits of a ledger are about its weights. To an adversary who has the training data and the
settings, a network trained from another seed has weights that the old ones tell nothing about, so
its ledger begins at 0; that of the old one stays closed. To one who has not, the old weights tell
what the data make of any such network, often nearly all of it (`shared_weights`), and no ledger of
weights accounts for that. A distilled network depends on the old one whatever the adversary knows.
"""

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from drivers.errors import ConfigurationError, ModelError
from protocol.models.model import Model
from protocol.models.training import (
    Array,
    TrainingProgress,
    TrainingSettings,
    evaluate,
    scale_inputs,
    train,
)

__all__ = ["Renewal", "renew", "settings_of", "shared_weights", "told_by_the_old"]

_DRAWS = 3
"""Draws of the light's noise that an accuracy is the mean of."""

_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A network in the place of an old one.

    Attributes:
        model: the new network.
        settings: how it was trained; the seed is as secret as the weights.
        accuracy_before: of the old network on the held-out data, with the noise of the light.
        accuracy_after: of the new one.
        shared: squared correlation of the first layers' weights after matching rows.
        shared_by_chance: the same with the columns of one of them in a random order.
    """

    model: Model
    settings: TrainingSettings
    accuracy_before: float
    accuracy_after: float
    shared: float
    shared_by_chance: float


def settings_of(model: Model) -> TrainingSettings:
    """How a network was trained, from its metadata.

    Raises:
        ModelError: the metadata do not say.
    """
    known = model.metadata
    ratios = known.get("signal_to_noise", {})
    try:
        if not isinstance(ratios, Mapping):
            raise TypeError("signal_to_noise is no table")
        return TrainingSettings(
            epochs=_whole(known["epochs"]),
            batch_size=_whole(known["batch_size"]),
            learning_rate=_real(known["learning_rate"]),
            weight_decay=_real(known["weight_decay"]),
            schedule=str(known["schedule"]),
            signal_to_noise=tuple(_real(ratios[key]) for key in sorted(ratios, key=int)),
            label_smoothing=_real(known["label_smoothing"]),
            seed=_whole(known["seed"]),
        )
    except (KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise ModelError(
            f"the model's description does not say how it was trained ({error!r}); train a new one "
            "with `veilight train` and make a ledger for it"
        ) from error


def renew(
    old: Model,
    data: tuple[Array, Array],
    held_out: tuple[Array, Array],
    *,
    margin: float,
    settings: TrainingSettings | None = None,
    distil: bool = False,
    dataset: str = "unnamed",
    progress: Callable[[TrainingProgress], None] | None = None,
    device: str = "auto",
) -> Renewal:
    """Train a network that does what the old one does with other weights.

    Args:
        old: the network whose budget is spent.
        data: raw inputs and labels to train on.
        held_out: raw inputs and labels to compare accuracies on.
        margin: how much less accurate the new network may be, in [0, 1).
        settings: how to train; None takes the old network's, with a seed of the operating system.
        distil: learn the old network's answers instead of the labels.
        dataset: name that the model's metadata carry.
        progress: called after every step.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ConfigurationError: `margin` is out of range, or the seed is the old one.
        ModelError: the new network is less accurate than the margin allows, or the same.
    """
    if not 0 <= margin < 1:  # refuses NaN too
        raise ConfigurationError(f"margin is {margin}, it must lie in [0, 1): a share of samples")
    if settings is None:
        settings = replace(settings_of(old), seed=secrets.randbits(62))
    inputs, labels = data
    if distil:
        labels = _answers(old, inputs)
    found = train(
        old.graph,
        inputs,
        labels,
        settings,
        progress=progress,
        validation=held_out,
        dataset=dataset,
        device=device,
    )
    if found.model.digest == old.digest:
        raise ConfigurationError(
            f"training with seed {settings.seed} gave the old weights again; take another seed"
        )
    before, after = (_accuracy(model, held_out, settings) for model in (old, found.model))
    if after < before - margin:
        raise ModelError(
            f"the new network is right in {after:.2%} of {len(held_out[1])} samples, the old one "
            f"in {before:.2%}; allowed is {margin:.2%} less. Nothing was changed: train for more "
            "epochs, or allow a larger margin"
        )
    shared, chance = shared_weights(old, found.model)
    return Renewal(
        model=found.model,
        settings=settings,
        accuracy_before=before,
        accuracy_after=after,
        shared=shared,
        shared_by_chance=chance,
    )


def shared_weights(first: Model, second: Model) -> tuple[float, float]:
    """How much two networks' first layers are alike, whatever the order and scale of their units.

    Returns:
        The squared mean cosine of rows that were matched to make its sum largest (Kuhn, Naval Res.
        Logist. Q. 2, 83 (1955)), and the same with the second's columns in a random order.
    """
    one, other = (_unit_rows(model.matrix(model.graph.optical[0])) for model in (first, second))
    shuffled = other[:, np.random.default_rng(0).permutation(other.shape[1])]
    return _matched(one, other), _matched(one, shuffled)


def told_by_the_old(shared: float, photons_per_weight: float) -> float:
    """Bits per weight of the new network that the old one's light tells: an estimate, no bound.

    For Gaussian weights of squared correlation `shared`, and all light of the old ones homodyned at
    a signal-to-noise ratio S = 4 photons: -0.5 log2(1 - shared S / (1 + S)).

    Args:
        shared: of `shared_weights`.
        photons_per_weight: that the old network's ledger counts, all copies.
    """
    ratio = 4 * photons_per_weight
    return -0.5 * math.log2(1 - shared * ratio / (1 + ratio))


def _matched(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    cosines = one @ other.T
    return float(cosines[linear_sum_assignment(cosines, maximize=True)].mean()) ** 2


def _unit_rows(matrix: torch.Tensor) -> NDArray[np.float64]:
    rows = np.asarray(matrix.detach().cpu().numpy(), dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def _accuracy(model: Model, held_out: tuple[Array, Array], settings: TrainingSettings) -> float:
    draws = [
        evaluate(model, *held_out, settings.signal_to_noise, seed=draw) for draw in range(_DRAWS)
    ]
    return float(np.mean(draws))


def _answers(model: Model, inputs: Array) -> Array:
    """The classes that a network gives, without light."""
    scaled = scale_inputs(model.graph, inputs)
    with torch.no_grad():
        parts = [model.forward(part).argmax(1) for part in torch.split(scaled, _BATCH)]
    return np.asarray(torch.cat(parts).numpy())


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
