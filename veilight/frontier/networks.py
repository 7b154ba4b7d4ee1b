"""What a sweep trains and what comes of it: data, specifications and their grid, outcomes.

A specification is plain data with a key; the same specification gives the same network, on one
machine with one torch thread. Nothing here trains (`veilight.frontier.training`) or touches the
results folder (`veilight.frontier.store`).
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from protocol.models.graph import Graph
    from protocol.models.training import TrainingSettings
    from veilight.datasets import TrainTest

__all__ = [
    "DataSource",
    "FailedNetwork",
    "NetworkSpec",
    "Outcome",
    "TrainedModel",
    "TrainedNetwork",
    "data_source",
    "graph_of",
    "model_file_of",
    "network_grid",
    "recipe_for",
]

KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where a data set is, for a coordinator and for its workers.

    Attributes:
        spec: as `veilight.datasets.load` takes it; a path is absolute.
        label_column: heading of the labels in a .csv table.
        sha256: of the content of both parts, 64 hexadecimal digits.
    """

    spec: str
    label_column: str | None = None
    sha256: str

    def load(self) -> "TrainTest":
        """Read the data, and refuse others than were meant.

        Raises:
            DataError: they are missing, damaged, or not those of `sha256`.
        """
        parts = _loaded(self.spec, self.label_column)
        found = _content_sha256(parts)
        if found != self.sha256:
            raise DataError(
                f"data set {self.spec}: the content has SHA-256 {found[:16]}..., but the sweep was "
                f"started on {self.sha256[:16]}...; give every worker the same data"
            )
        return parts


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """One network to train, with everything that decides what comes of it.

    Attributes:
        dataset: a name that `veilight.datasets` knows, or "" for a file or folder.
        dataset_sha256: of the data's content, 64 hexadecimal digits.
        architecture: as `veilight train --network` takes it.
        hidden: widths of the hidden layers; empty for none, or for an architecture's own.
        bias: whether the layers have one.
        signal_to_noise: F^2 of each optical layer, in their order, in training and in testing.
        epochs: passes over the data.
        batch_size: samples per step.
        learning_rate: the largest of the schedule.
        weight_decay: per step and unit of learning rate.
        schedule: `constant`, `cosine` or `one-cycle`.
        label_smoothing: in [0, 1).
        seed: of the first weights, the order of the samples and the noise.
        draws: of the noise per test sample, over which the accuracy is averaged; at least 2.

    Raises:
        ConfigurationError: a value is of a wrong kind, NaN or out of range.
    """

    dataset: str
    dataset_sha256: str
    architecture: str
    hidden: tuple[int, ...]
    bias: bool = False
    signal_to_noise: tuple[float, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: str = "one-cycle"
    label_smoothing: float = 0.0
    seed: int = 0
    draws: int = 5

    def __post_init__(self) -> None:
        # One form for equal values: 1 and 1.0 would give two keys.
        for name in ("learning_rate", "weight_decay", "label_smoothing"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "signal_to_noise", tuple(float(v) for v in self.signal_to_noise))
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.signal_to_noise:
            raise ConfigurationError(
                "frontier: a network needs F^2 of each optical layer; without noise nothing is "
                "private"
            )
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in self.hidden):
            raise ConfigurationError(
                f"frontier: hidden widths are {self.hidden}; give whole numbers of at least 1"
            )
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 2:
            raise ConfigurationError(
                f"frontier: {self.draws!r} draws of the noise; at least 2 are needed to know the "
                "error of the mean"
            )
        self.training()

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for the specification, the same on every machine."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]

    def training(self) -> "TrainingSettings":
        """The settings of its training.

        Raises:
            ConfigurationError: a value is out of range or NaN.
        """
        from protocol.models.training import TrainingSettings

        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            signal_to_noise=self.signal_to_noise,
            label_smoothing=self.label_smoothing,
            seed=self.seed,
        )

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; `from_dict` reads it back."""
        values = asdict(self)
        return values | {
            "hidden": list(self.hidden),
            "signal_to_noise": list(self.signal_to_noise),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetworkSpec":
        """Read what `to_dict` wrote.

        Raises:
            ConfigurationError: keys are missing or unknown, or a value is out of range.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            wrong = ", ".join(sorted(names ^ set(values)))
            raise ConfigurationError(f"frontier: a network's specification lacks or has: {wrong}")
        try:
            return cls(**dict(values))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"frontier: a network's specification cannot be read: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """What came of a specification.

    Attributes:
        spec: of the network.
        graph: `Graph.to_dict()`.
        accuracy: of the test part with the light's noise at `spec.signal_to_noise`, mean over
            `spec.draws` draws, in [0, 1].
        accuracy_error: its standard error: the binomial one of the test part, and that of the
            mean over draws, in quadrature.
        accuracy_noise_free: of the test part without noise.
        test_samples: in the test part.
        seconds: of training and testing.
        model_file: relative to the results folder.
    """

    spec: NetworkSpec
    graph: Mapping[str, object]
    accuracy: float
    accuracy_error: float
    accuracy_noise_free: float
    test_samples: int
    seconds: float
    model_file: str


@dataclass(frozen=True, kw_only=True)
class FailedNetwork:
    """A specification whose training came to nothing, and why."""

    spec: NetworkSpec
    reason: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained network on its way from a worker to the one who writes files.

    Attributes:
        network: what is known of it.
        weights: content of NAME.safetensors.
        description: content of NAME.json.
    """

    network: TrainedNetwork
    weights: bytes
    description: bytes

    @property
    def spec(self) -> NetworkSpec:
        """Of the network."""
        return self.network.spec


Outcome = TrainedModel | FailedNetwork


def model_file_of(spec: NetworkSpec) -> str:
    """Where a network's weights go, relative to the results folder."""
    return f"models/{spec.key}.safetensors"


def data_source(spec: str, label_column: str | None = None) -> tuple[DataSource, "TrainTest"]:
    """Load a data set, and say where workers find the same.

    Args:
        spec: name or path, as `veilight.datasets.load` takes it.
        label_column: heading of the labels in a .csv table.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    # Workers may run in another folder.
    place = spec if _is_name(spec) else str(Path(spec).expanduser().absolute())
    parts = _load(place, label_column)
    return DataSource(spec=place, label_column=label_column, sha256=_content_sha256(parts)), parts


def graph_of(parts: "TrainTest", architecture: str, hidden: tuple[int, ...], bias: bool) -> "Graph":
    """The fresh network of an architecture for a data set.

    Raises:
        ConfigurationError: an unknown architecture, or widths that it does not take.
        DataError: data that do not suit it.
    """
    from veilight.cli._networks import network_for

    # Only an mlp can do without a hidden layer; for others no widths means their own.
    widths = hidden if hidden or architecture == "mlp" else None
    return network_for(architecture, parts.train, widths, bias=bias)


def recipe_for(parts: "TrainTest", architecture: str) -> "TrainingSettings":
    """Settings that are known to work with noise, by the size of the data set."""
    from protocol.models.recipes import usual_recipe

    return usual_recipe(parts.train.samples, architecture)


def network_grid(
    source: DataSource,
    parts: "TrainTest",
    settings: "TrainingSettings",
    *,
    architecture: str,
    hidden: Sequence[tuple[int, ...]],
    first: Sequence[float],
    last: Sequence[float],
    bias: bool = False,
    draws: int = 5,
) -> tuple[NetworkSpec, ...]:
    """Every combination of widths, F^2 of the last optical layer and F^2 of those before it.

    The middle of the list `first` comes before its ends, so that a sweep that is stopped early has
    the part of the frontier that is likely to matter.

    Args:
        source: the data.
        parts: the same, loaded.
        settings: of the trainings; their own F^2 is not used.
        architecture: as `veilight train --network` takes it.
        hidden: widths of the hidden layers, one tuple per network.
        first: F^2 of all optical layers but the last.
        last: F^2 of the last optical layer, which has few weights and can do with more light.
        bias: whether the layers have one.
        draws: of the noise in testing.

    Raises:
        ConfigurationError: nothing to do, or a value is out of range.
        DataError: the data do not fit the architecture.
    """
    if not (hidden and first and last):
        raise ConfigurationError(
            "frontier: the grid is empty; give at least one network and one F^2 for its layers"
        )
    order = sorted(range(len(first)), key=lambda index: abs(index - (len(first) - 1) / 2))
    specs = []
    for index, widths, final in itertools.product(order, hidden, last):
        layers = len(graph_of(parts, architecture, widths, bias).optical)
        specs.append(
            NetworkSpec(
                dataset=source.spec if _is_name(source.spec) else "",
                dataset_sha256=source.sha256,
                architecture=architecture,
                hidden=widths,
                bias=bias,
                signal_to_noise=(first[index],) * (layers - 1) + (final,),
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                schedule=settings.schedule,
                label_smoothing=settings.label_smoothing,
                seed=settings.seed,
                draws=draws,
            )
        )
    return tuple({spec.key: spec for spec in specs}.values())


def _is_name(spec: str) -> bool:
    from veilight.datasets import PUBLIC_SOURCES

    return spec == "digits" or spec in PUBLIC_SOURCES


@lru_cache(maxsize=1)
def _loaded(spec: str, label_column: str | None) -> "TrainTest":
    """The data, kept for the next network of the same worker."""
    return _load(spec, label_column)


def _load(spec: str, label_column: str | None) -> "TrainTest":
    from veilight.datasets import load

    # A string that is a name means the data set of that name, a path object always a path.
    place: str | os.PathLike[str] = spec if _is_name(spec) else Path(spec)
    return load(place, label_column=label_column)


def _content_sha256(parts: "TrainTest") -> str:
    return hashlib.sha256(f"{parts.train.sha256} {parts.test.sha256}".encode()).hexdigest()
