"""Networks and training settings that are known to work, with what they were measured to reach.

All networks are without biases unless told otherwise. Figures are test accuracies on MNIST (60,000
and 10,000 images) and on the digits of scikit-learn; F^2 is the signal-to-noise ratio of each
optical layer (`protocol.models.optical_layers`).
"""

import math

from drivers.errors import ConfigurationError
from protocol.models._training_data import Array, mean_of
from protocol.models.graph import (
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Layer,
    Linear,
    MaxPool2d,
    Relu,
    Shape,
)

__all__ = [
    "centred_scaling",
    "mlp",
    "small_cnn",
]


def mlp(
    input_shape: Shape,
    hidden: tuple[int, ...],
    classes: int,
    *,
    bias: bool = False,
    scaling: InputScaling | None = None,
) -> Graph:
    """Fully connected layers with a ReLU between them.

    Args:
        input_shape: of one sample; more than one axis is flattened first.
        hidden: widths of the hidden layers, none or more.
        classes: number of outputs.
        bias: whether the layers have one; it costs one more mode per row.
        scaling: from raw data to the first layer; none by default.

    Raises:
        ModelError: a size below 1 or beyond reason.
    """
    layers: list[Layer] = [Flatten()] if len(input_shape) > 1 else []
    width = math.prod(input_shape)
    for outputs in hidden:
        layers += [Linear(inputs=width, outputs=outputs, bias=bias), Relu()]
        width = outputs
    layers.append(Linear(inputs=width, outputs=classes, bias=bias))
    return Graph(input_shape=input_shape, layers=tuple(layers), scaling=scaling or InputScaling())


def small_cnn(
    input_shape: Shape,
    classes: int,
    *,
    channels: tuple[int, ...] = (8, 16),
    hidden: int = 64,
    bias: bool = False,
    scaling: InputScaling | None = None,
) -> Graph:
    """Blocks of a 3x3 convolution, ReLU and 2x2 maximum, then one hidden layer.

    Over light, every output position of a convolution sends its rows once more.

    Args:
        input_shape: `(channels, height, width)`.
        classes: number of outputs.
        channels: of each convolution.
        hidden: width of the hidden layer.
        bias: whether the layers have one.
        scaling: from raw data to the first layer; none by default.

    Raises:
        ModelError: an image too small for the blocks, a size below 1 or beyond reason.
    """
    layers: list[Layer] = []
    entering = input_shape[0]
    for leaving in channels:
        layers += [
            Conv2d(
                in_channels=entering,
                out_channels=leaving,
                kernel=(3, 3),
                padding=(1, 1),
                bias=bias,
            ),
            Relu(),
            MaxPool2d(kernel=(2, 2), stride=(2, 2)),
        ]
        entering = leaving
    side = [size // 2 ** len(channels) for size in input_shape[1:]]
    layers += [
        Flatten(),
        Linear(inputs=entering * math.prod(side), outputs=hidden, bias=bias),
        Relu(),
        Linear(inputs=hidden, outputs=classes, bias=bias),
    ]
    return Graph(input_shape=input_shape, layers=tuple(layers), scaling=scaling or InputScaling())


def centred_scaling(inputs: Array, half_range: float) -> InputScaling:
    """Scaling around the mean of the data instead of the middle of their range.

    The noise of a weighted sum grows with |x|, and the part of x that all samples share tells
    nothing about any of them. The mean of |x|^2 over the data is smallest with their mean as
    offset: 298 for MNIST, against 725 on [-1, 1], so that the same accuracy takes about half the
    photons.

    Args:
        inputs: raw training data `(samples, ...)`.
        half_range: raw units that become 1, finite and above 0; 127.5 for 8-bit pixels.

    Raises:
        ConfigurationError: `half_range` is out of range or NaN.
        DataError: no data, NaN or infinite values.
    """
    if not 0 < half_range < math.inf:  # also refuses NaN
        raise ConfigurationError(
            f"centred scaling: half_range is {half_range}, it must be a finite number above 0"
        )
    return InputScaling(offset=mean_of(inputs), factor=1 / half_range)
