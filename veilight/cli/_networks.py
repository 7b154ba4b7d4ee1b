"""The networks that the command line can train: sizes from the data and from the options."""

from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from protocol.models.graph import Graph, InputScaling, Standardise
    from veilight.datasets import Dataset

__all__ = ["network_for"]

DEFAULT_HIDDEN = (784,)
CHANNELS = (16, 32)
CNN_HIDDEN = 64
TRANSFORMER_WIDTHS = (64, 128)
HEADS = 8
TOKENS_PER_SIDE = (4, 5, 3, 6, 7, 8, 2)
"""Into how many tokens a side of an image is cut: the first that divides it."""
UNLIKE_SPREADS = 30.0
"""Columns whose spreads differ by more than this are taken to have units of their own."""


def network_for(
    kind: str,
    data: "Dataset",
    hidden: tuple[int, ...] | None,
    *,
    bias: bool = True,
    standardise: bool | None = None,
) -> "Graph":
    """A fresh network for a data set; raw values are centred and scaled.

    Args:
        kind: `mlp`; `cnn` or `transformer` for images of one or more channels.
        data: gives the shape of a sample, the range of its values and the number of classes.
        hidden: widths of the hidden layers of an mlp, of the last hidden layer of a cnn, of the
            tokens and the perceptron of a transformer.
        bias: whether the layers have one.
        standardise: give every column of a table mean 0 and spread 1 instead of one scale for
            all; None does so where the columns' spreads say that they have units of their own.

    Raises:
        ConfigurationError: an unknown kind of network, or widths that it does not take.
        DataError: data that are no images, for a cnn or a transformer; no table, to standardise.
        ModelError: a size beyond reason.
    """
    if kind == "mlp":
        return _mlp(data, DEFAULT_HIDDEN if hidden is None else hidden, bias, standardise)
    if kind not in ("cnn", "transformer"):
        raise ConfigurationError(
            f"--network {kind!r} is unknown; known are mlp, cnn and transformer"
        )
    if standardise:
        raise ConfigurationError(f"--standardise is for tables; a {kind} takes images")
    return _cnn(data, hidden, bias) if kind == "cnn" else _transformer(data, hidden, bias)


def _mlp(data: "Dataset", hidden: tuple[int, ...], bias: bool, standardise: bool | None) -> "Graph":
    from protocol.models.recipes import mlp

    layer = _standardising(data, standardise)
    scaling = None if layer is not None else _scaling(data)
    return mlp(data.shape, hidden, data.classes, bias=bias, scaling=scaling, standardise=layer)


def _standardising(data: "Dataset", wanted: bool | None) -> "Standardise | None":
    """What standardises the columns of a table, where that is wanted or needed."""
    from protocol.models.recipes import standardising

    if wanted and len(data.shape) != 1:
        raise DataError(
            f"data set {data.name} has samples of shape {data.shape}; --standardise is for tables"
        )
    if wanted is False or len(data.shape) != 1:
        return None
    spreads = data.inputs.std(axis=0, dtype="float64")
    # Images cut into columns have some that never change; tables of measurements do not.
    if wanted is None and not 0 < UNLIKE_SPREADS * spreads.min() < spreads.max():
        return None
    return standardising(data.inputs)


def _transformer(data: "Dataset", hidden: tuple[int, ...] | None, bias: bool) -> "Graph":
    """One block of attention and perceptron on about 16 tokens."""
    from protocol.models.recipes import transformer

    widths = TRANSFORMER_WIDTHS if hidden is None else hidden
    if len(widths) != 2 or widths[0] % HEADS:
        raise ConfigurationError(
            f"--hidden is {','.join(map(str, widths))}; a transformer takes two numbers: features "
            f"of a token, a multiple of {HEADS}, and width of the perceptron"
        )
    _refuse_other_than_images("transformer", data)
    return transformer(
        _image_shape(data),
        data.classes,
        patch=(_patch(data, data.shape[-2]), _patch(data, data.shape[-1])),
        width=widths[0],
        heads=HEADS,
        hidden=widths[1],
        bias=bias,
        scaling=_scaling(data),
    )


def _patch(data: "Dataset", side: int) -> int:
    """Height or width of a token."""
    for tokens in TOKENS_PER_SIDE:
        if side % tokens == 0:
            return side // tokens
    raise DataError(
        f"data set {data.name} has images of {data.shape[-2]} x {data.shape[-1]}; a transformer "
        "cuts each side into 2 to 8 tokens of equal size: crop or pad the images, or take "
        "--network cnn"
    )


def _cnn(data: "Dataset", hidden: tuple[int, ...] | None, bias: bool) -> "Graph":
    """Two 3x3 convolutions with pooling, then one hidden layer."""
    from protocol.models.recipes import small_cnn

    _refuse_other_than_images("cnn", data)
    if hidden is not None and len(hidden) != 1:
        raise ConfigurationError(
            f"--hidden names {len(hidden)} layers; a cnn has one hidden layer, give one number"
        )
    return small_cnn(
        _image_shape(data),
        data.classes,
        channels=CHANNELS,
        hidden=CNN_HIDDEN if hidden is None else hidden[0],
        bias=bias,
        scaling=_scaling(data),
    )


def _refuse_other_than_images(kind: str, data: "Dataset") -> None:
    if len(data.shape) not in (2, 3) or min(data.shape[-2:]) < 8:
        raise DataError(
            f"data set {data.name} has samples of shape {data.shape}; a {kind} needs images of at "
            "least 8 x 8, take --network mlp"
        )


def _image_shape(data: "Dataset") -> tuple[int, ...]:
    """With the axis of one channel that grey images lack."""
    return data.shape if len(data.shape) == 3 else (1, *data.shape)


def _scaling(data: "Dataset") -> "InputScaling":
    """Half of the range becomes 1; the mean of the data becomes 0, which saves photons."""
    from protocol.models.recipes import centred_scaling

    low, high = data.value_range
    return centred_scaling(data.inputs, (high - low) / 2 or 1.0)
