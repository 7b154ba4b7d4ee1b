"""The networks that the command line can train: sizes from the data and from the options."""

from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from protocol.models.graph import Graph, InputScaling, Layer
    from veilight.datasets import Dataset

__all__ = ["network_for"]

DEFAULT_HIDDEN = (784,)
CHANNELS = (16, 32)
CNN_HIDDEN = 64


def network_for(
    kind: str, data: "Dataset", hidden: tuple[int, ...] | None, *, bias: bool = True
) -> "Graph":
    """A fresh network for a data set; raw values are scaled to [-1, 1].

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
    from math import prod

    from protocol.models.graph import Flatten, Graph, Linear, Relu

    layers: list[Layer] = [Flatten()] if len(data.shape) > 1 else []
    width = prod(data.shape)
    for outputs in hidden:
        layers += [Linear(inputs=width, outputs=outputs, bias=bias), Relu()]
        width = outputs
    layers.append(Linear(inputs=width, outputs=data.classes, bias=bias))
    return Graph(input_shape=data.shape, layers=tuple(layers), scaling=_scaling(data))


def _cnn(data: "Dataset", hidden: tuple[int, ...] | None, bias: bool) -> "Graph":
    """Two 3x3 convolutions with pooling, then one hidden layer."""
    from protocol.models.graph import Conv2d, Flatten, Graph, Linear, MaxPool2d, Relu

    if len(data.shape) not in (2, 3) or min(data.shape[-2:]) < 8:
        raise DataError(
            f"data set {data.name} has samples of shape {data.shape}; a cnn needs images of at "
            "least 8 x 8, take --network mlp"
        )
    if hidden is not None and len(hidden) != 1:
        raise ConfigurationError(
            f"--hidden names {len(hidden)} layers; a cnn has one hidden layer, give one number"
        )
    shape = data.shape if len(data.shape) == 3 else (1, *data.shape)
    width = CNN_HIDDEN if hidden is None else hidden[0]
    layers: list[Layer] = []
    channels = shape[0]
    for out_channels in CHANNELS:
        layers += [
            Conv2d(
                in_channels=channels,
                out_channels=out_channels,
                kernel=(3, 3),
                padding=(1, 1),
                bias=bias,
            ),
            Relu(),
            MaxPool2d(kernel=(2, 2), stride=(2, 2)),
        ]
        channels = out_channels
    entries = channels * (shape[1] // 4) * (shape[2] // 4)
    layers += [
        Flatten(),
        Linear(inputs=entries, outputs=width, bias=bias),
        Relu(),
        Linear(inputs=width, outputs=data.classes, bias=bias),
    ]
    return Graph(input_shape=shape, layers=tuple(layers), scaling=_scaling(data))


def _scaling(data: "Dataset") -> "InputScaling":
    from protocol.models.graph import InputScaling

    low, high = data.value_range
    return InputScaling(offset=(low + high) / 2, factor=2 / (high - low))
