"""Networks of usual forms: fully connected, convolutional, and transformers on images."""

import math

from drivers.errors import ModelError
from protocol.models.graph import (
    AddRemembered,
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    Patches,
    Relu,
    Remember,
    SelfAttention,
    Shape,
    SinusoidalPositions,
    Standardise,
    TokenLinear,
    TokenMean,
)

__all__ = ["mlp", "small_cnn", "transformer"]


def mlp(
    input_shape: Shape,
    hidden: tuple[int, ...],
    classes: int,
    *,
    bias: bool = False,
    scaling: InputScaling | None = None,
    standardise: Standardise | None = None,
) -> Graph:
    """Fully connected layers with a ReLU between them.

    Args:
        input_shape: of one sample; more than one axis is flattened first.
        hidden: widths of the hidden layers, none or more.
        classes: number of outputs.
        bias: whether the layers have one; it costs one more mode per row.
        scaling: from raw data to the first layer; none by default.
        standardise: for tables whose columns have units of their own (`standardising`).

    Raises:
        ModelError: a size below 1 or beyond reason.
    """
    layers: list[Layer] = [Flatten()] if len(input_shape) > 1 else []
    if standardise is not None:
        layers.append(standardise)
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
        ModelError: no image, one too small for the blocks, a size below 1 or beyond reason.
    """
    smallest = 2 ** len(channels)
    if len(input_shape) != 3 or min(input_shape[1:]) < smallest:
        raise ModelError(
            f"a network of {len(channels)} convolution blocks takes (channels, height, width) of "
            f"at least {smallest} x {smallest}, got {input_shape}; use fewer blocks or `mlp`"
        )
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
    side = [size // smallest for size in input_shape[1:]]
    layers += [
        Flatten(),
        Linear(inputs=entering * math.prod(side), outputs=hidden, bias=bias),
        Relu(),
        Linear(inputs=hidden, outputs=classes, bias=bias),
    ]
    return Graph(input_shape=input_shape, layers=tuple(layers), scaling=scaling or InputScaling())


def transformer(
    input_shape: Shape,
    classes: int,
    *,
    patch: tuple[int, int],
    width: int = 64,
    heads: int = 8,
    hidden: int = 128,
    blocks: int = 1,
    bias: bool = False,
    scaling: InputScaling | None = None,
) -> Graph:
    """Images as tokens, blocks of attention and a two-layer perceptron, then their mean classified.

    Each half of a block is normalised before and added to what it came from (arXiv 2010.11929,
    2002.04745). Over light go the linear maps alone: the patches' embedding, per block query, key
    and value in one, the output of the attention and both layers of the perceptron, and the
    classifier; 2 + 4 blocks in all. Each sends its rows once per token, the last one once.

    Args:
        input_shape: `(channels, height, width)`.
        classes: number of outputs.
        patch: height and width of a token; they divide the image's.
        width: features of a token, a multiple of `heads`.
        heads: of each attention; many average the noise of the light away better than few.
        hidden: width of the perceptrons.
        blocks: how many, 1 or more.
        bias: whether the layers have one.
        scaling: from raw data to the first layer; none by default.

    Raises:
        ModelError: no image, patches or heads that do not divide, a size beyond reason.
    """
    if len(input_shape) != 3:
        raise ModelError(f"a transformer takes (channels, height, width), got {input_shape}")
    entries = input_shape[0] * math.prod(patch)
    layers: list[Layer] = [
        Patches(size=patch),
        TokenLinear(inputs=entries, outputs=width, bias=bias),
        SinusoidalPositions(),
    ]
    for _ in range(blocks):
        layers += [
            Remember(),
            LayerNorm(),
            TokenLinear(inputs=width, outputs=3 * width, bias=bias),
            SelfAttention(heads=heads),
            TokenLinear(inputs=width, outputs=width, bias=bias),
            AddRemembered(),
            Remember(),
            LayerNorm(),
            TokenLinear(inputs=width, outputs=hidden, bias=bias),
            Relu(),
            TokenLinear(inputs=hidden, outputs=width, bias=bias),
            AddRemembered(),
        ]
    layers += [LayerNorm(), TokenMean(), Linear(inputs=width, outputs=classes, bias=bias)]
    return Graph(input_shape=input_shape, layers=tuple(layers), scaling=scaling or InputScaling())
