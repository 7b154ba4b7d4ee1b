"""`veilight train`: from data to a model file."""

from pathlib import Path
from typing import TYPE_CHECKING

from veilight.cli._networks import network_for
from veilight.cli._outputs import prepare_file
from veilight.cli._screen import Screen
from veilight.cli._tables import seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from protocol.models.graph import Graph
    from protocol.models.training import TrainingProgress, TrainingResult, TrainingSettings
    from veilight.config import Configuration
    from veilight.datasets import Dataset, TrainTest

__all__ = ["run_train", "train_with_progress"]


def run_train(
    screen: Screen,
    configuration: "Configuration",
    *,
    data: str,
    label_column: str | None,
    network: str,
    hidden: tuple[int, ...] | None,
    bias: bool,
    standardise: bool | None,
    save: Path,
    onnx: Path | None,
    overwrite: bool,
) -> int:
    """Check where the model goes, train it, save it.

    Args:
        screen: where to write.
        configuration: its section `training` counts.
        data: name or path of the data set.
        label_column: heading of the labels in a .csv table.
        network: `mlp`, `cnn` or `transformer`.
        hidden: widths of the hidden layers.
        bias: whether the layers have one.
        standardise: see `network_for`.
        save: NAME.safetensors.
        onnx: NAME.onnx, or None.
        overwrite: replace files that exist.

    Raises:
        VeilightError: a file, the data or a setting does not allow it.
    """
    prepare_file(save, ".safetensors", overwrite=overwrite)
    prepare_file(save.with_suffix(".json"), ".json", overwrite=overwrite)
    if onnx is not None:
        prepare_file(onnx, ".onnx", overwrite=overwrite)
    from protocol.models.files import save_model
    from protocol.models.onnx_files import check_onnx_export, save_onnx
    from veilight.datasets import load

    parts = load(data, label_column=label_column)
    settings = configuration.training.settings(parts.train.samples, network)
    graph = network_for(network, parts.train, hidden, bias=bias, standardise=standardise)
    if onnx is not None:
        check_onnx_export(graph)
    screen.say(_announcement(parts, graph, settings))
    result = train_with_progress(screen, graph, parts, settings, device=configuration.link.device)
    save_model(result.model, save, overwrite=overwrite)
    if onnx is not None:
        save_onnx(result.model, onnx, overwrite=overwrite)
    _show(screen, result, save, onnx)
    return 0


def train_with_progress(
    screen: Screen,
    graph: "Graph",
    parts: "TrainTest",
    settings: "TrainingSettings",
    *,
    device: str = "auto",
) -> "TrainingResult":
    """Train behind a progress bar.

    Raises:
        VeilightError: see `protocol.models.training.train`.
    """
    from protocol.models.training import train

    with screen.progress("training", total=1.0) as advance:

        def report(progress: "TrainingProgress") -> None:
            known = progress.validation_accuracy
            accuracy = "" if known is None else f", accuracy {known:.1%}"
            note = f"epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.3f}"
            advance(progress.step / progress.steps, note + accuracy)

        return train(
            graph,
            _shaped(parts.train, graph),
            parts.train.labels,
            settings,
            progress=report,
            validation=(_shaped(parts.test, graph), parts.test.labels),
            dataset=parts.train.name,
            device=device,
        )


def _shaped(data: "Dataset", graph: "Graph") -> "NDArray[np.float32]":
    """The inputs with the axis of one channel that a cnn has and grey images lack."""
    return data.inputs.reshape(data.samples, *graph.input_shape)


def _announcement(parts: "TrainTest", graph: "Graph", settings: "TrainingSettings") -> str:
    layers = [graph.optical_layer(index) for index in graph.optical]
    weights = sum(layer.rows * (layer.columns + layer.bias) for layer in layers)
    noise = "without noise"
    if settings.signal_to_noise:
        ratios = ", ".join(f"{value:g}" for value in settings.signal_to_noise)
        noise = f"with the noise of the light at F^2 = {ratios}"
    return (
        f"Training {len(layers)} optical layers with {weights:,} weights on "
        f"{parts.train.samples:,} samples of {parts.train.name}, {noise} ..."
    )


def _show(screen: Screen, result: "TrainingResult", save: Path, onnx: Path | None) -> None:
    metadata = result.model.metadata
    paths = {"model": str(save), "description": str(save.with_suffix(".json"))}
    if onnx is not None:
        paths["onnx"] = str(onnx)
    screen.result(
        {
            **metadata,
            "digest": result.model.digest,
            "seconds": result.seconds,
            "history": [vars(record) for record in result.history],
            "files": paths,
        }
    )
    rows = [("without noise", _percent(metadata["accuracy"]))]
    if metadata["accuracy_with_noise"] is not None:
        rows.append(("with the noise of the light", _percent(metadata["accuracy_with_noise"])))
    screen.table("Accuracy on the test part", ("", "accuracy"), rows, numbers=(1,))
    screen.say(f"Trained in {seconds(result.seconds)}.")
    screen.tell(f"Model: {', '.join(paths.values())}")


def _percent(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, float) else "unknown"
