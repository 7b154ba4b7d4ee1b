"""The networks that the command line can train: sizes from the data and from the options."""

from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from protocol.models.graph import Graph, InputScaling
    from veilight.datasets import Dataset

__all__ = ["network_for"]

DEFAULT_HIDDEN = (784,)
CHANNELS = (16, 32)
CNN_HIDDEN = 64


def network_for(
    kind: str, data: "Dataset", hidden: tuple[int, ...] | None, *, bias: bool = True
) -> "Graph":
    """A fresh network for a data set; raw values are centred and scaled.

    Args:
        kind: `mlp`, or `cnn` for images of one or more channels.
        data: gives the shape of a sample, the range of its values and the number of classes.
        hidden: widths of the hidden layers of an mlp, of the last hidden layer of a cnn.
        bias: whether the layers have one.

    Raises:
        ConfigurationError: an unknown kind of network, or widths that it does not take.
        DataError: data that are no images, for a cnn.
        ModelError: a size beyond reason.
    """
    if kind == "mlp":
        return _mlp(data, DEFAULT_HIDDEN if hidden is None else hidden, bias)
    if kind == "cnn":
        return _cnn(data, hidden, bias)
    raise ConfigurationError(f"--network {kind!r} is unknown; known are mlp and cnn")


def _mlp(data: "Dataset", hidden: tuple[int, ...], bias: bool) -> "Graph":
    from protocol.models.recipes import mlp

    return mlp(data.shape, hidden, data.classes, bias=bias, scaling=_scaling(data))


def _cnn(data: "Dataset", hidden: tuple[int, ...] | None, bias: bool) -> "Graph":
    """Two 3x3 convolutions with pooling, then one hidden layer."""
    from protocol.models.recipes import small_cnn

    if len(data.shape) not in (2, 3) or min(data.shape[-2:]) < 8:
        raise DataError(
            f"data set {data.name} has samples of shape {data.shape}; a cnn needs images of at "
            "least 8 x 8, take --network mlp"
        )
    if hidden is not None and len(hidden) != 1:
        raise ConfigurationError(
            f"--hidden names {len(hidden)} layers; a cnn has one hidden layer, give one number"
        )
    return small_cnn(
        data.shape if len(data.shape) == 3 else (1, *data.shape),
        data.classes,
        channels=CHANNELS,
        hidden=CNN_HIDDEN if hidden is None else hidden[0],
        bias=bias,
        scaling=_scaling(data),
    )


def _scaling(data: "Dataset") -> "InputScaling":
    """Half of the range becomes 1; the mean of the data becomes 0, which saves photons."""
    from protocol.models.recipes import centred_scaling

    low, high = data.value_range
    return centred_scaling(data.inputs, (high - low) / 2 or 1.0)
