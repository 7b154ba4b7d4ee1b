"""Layers of transformers: linear maps over light, attention and the rest as the client's part.

Shapes are per sample: `(tokens, features)` after `Patches`. Only `TokenLinear` carries weights;
everything else is a fixed function, so that the client can run it and learns nothing. Layer
normalisation has no affine part (the next linear map takes it up), positions are sinusoids.
Sources: Vaswani et al., arXiv 1706.03762; normalisation before each half of a block, arXiv
2002.04745; images as tokens, arXiv 2010.11929.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from drivers.errors import ModelError
from protocol.models._layer_checks import MAX_ENTRIES, Pair, Shape, check_counts, check_pairs

__all__ = [
    "AddRemembered",
    "Gelu",
    "LayerNorm",
    "Patches",
    "Remember",
    "SelfAttention",
    "SinusoidalPositions",
    "Standardise",
    "TokenLinear",
    "TokenMean",
]

MAX_COLUMNS = 4096
"""Most columns that `Standardise` describes: its numbers travel in the public description."""


@dataclass(frozen=True, kw_only=True)
class TokenLinear:
    """One linear map of every token; `outputs` weight rows of `inputs` entries.

    Over light, every token is one more transmission of the same rows.
    """

    kind: ClassVar[str] = "token_linear"
    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_counts(self, inputs=self.inputs, outputs=self.outputs)

    @property
    def rows(self) -> int:
        """Weight rows that are sent per token."""
        return self.outputs

    @property
    def columns(self) -> int:
        """Entries per row, the bias not counted."""
        return self.inputs

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weight tensor: (outputs, inputs)."""
        return (self.outputs, self.inputs)

    def positions(self, shape: Shape) -> int:
        """How often the rows are sent for one sample: once per token."""
        return self.output_shape(shape)[0]

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output sample; `ModelError` if `shape` does not fit."""
        if len(shape) != 2 or shape[1] != self.inputs:
            raise ModelError(f"token_linear takes (tokens, {self.inputs}), but gets {shape}")
        return (shape[0], self.outputs)


@dataclass(frozen=True, kw_only=True)
class Patches:
    """An image cut into patches without overlap, row by row: one token per patch.

    A token holds its patch channel by channel, each row by row.
    """

    kind: ClassVar[str] = "patches"
    size: Pair

    def __post_init__(self) -> None:
        check_pairs(self, size=self.size)

    def output_shape(self, shape: Shape) -> Shape:
        """(tokens, channels * height * width of a patch); `ModelError` if they do not divide."""
        if len(shape) != 3:
            raise ModelError(f"patches takes (channels, height, width), but gets {shape}")
        if shape[1] % self.size[0] or shape[2] % self.size[1]:
            raise ModelError(
                f"patches of {self.size[0]} x {self.size[1]} do not divide an image of "
                f"{shape[1]} x {shape[2]}"
            )
        tokens = (shape[1] // self.size[0]) * (shape[2] // self.size[1])
        return (tokens, math.prod(shape) // tokens)


@dataclass(frozen=True, kw_only=True)
class SinusoidalPositions:
    """Adds to each token where it stands, as sines and cosines: fixed, so it gives nothing away.

    Feature 2i of token t gets sin(t / 10000^(2i/features)), feature 2i+1 the cosine
    (arXiv 1706.03762, section 3.5).
    """

    kind: ClassVar[str] = "sinusoidal_positions"

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape; `ModelError` if it is not (tokens, features)."""
        return _tokens(self.kind, shape)


@dataclass(frozen=True, kw_only=True)
class SelfAttention:
    """softmax(q k^T / sqrt(d)) v per head, done digitally by the client.

    A token comes as its query, key and value one after the other, each cut into the heads; the
    products that make and follow them are `TokenLinear` layers (arXiv 1706.03762, section 3.2).
    """

    kind: ClassVar[str] = "self_attention"
    heads: int

    def __post_init__(self) -> None:
        check_counts(self, heads=self.heads)

    def output_shape(self, shape: Shape) -> Shape:
        """(tokens, 3 d) to (tokens, d); `ModelError` if `shape` does not fit."""
        tokens, features = _tokens(self.kind, shape)
        if features % (3 * self.heads):
            raise ModelError(
                f"self_attention of {self.heads} heads takes query, key and value of a multiple of "
                f"{self.heads} features each, but gets {shape}"
            )
        if self.heads * tokens * tokens > MAX_ENTRIES:
            raise ModelError(
                f"self_attention: {self.heads} heads between {tokens} tokens exceed the cap of "
                f"{MAX_ENTRIES} entries"
            )
        return (tokens, features // 3)


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """(z - mean) / sqrt(variance + epsilon) over the last axis, without factors or shifts.

    (arXiv 1607.06450.) Trained factors and shifts are weights: they belong to the next linear map.
    """

    kind: ClassVar[str] = "layer_norm"
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1:  # also refuses NaN
            raise ModelError(f"layer_norm epsilon is {self.epsilon}, it must lie in (0, 1)")

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape; `ModelError` if it is that of an image."""
        if len(shape) > 2:
            raise ModelError(f"layer_norm takes (features,) or (tokens, features), gets {shape}")
        return shape


@dataclass(frozen=True, kw_only=True)
class Gelu:
    """z times the standard normal's distribution function at z (arXiv 1606.08415), digital."""

    kind: ClassVar[str] = "gelu"

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class TokenMean:
    """Mean over the tokens."""

    kind: ClassVar[str] = "token_mean"

    def output_shape(self, shape: Shape) -> Shape:
        """(features,); `ModelError` if `shape` is not (tokens, features)."""
        return (_tokens(self.kind, shape)[1],)


@dataclass(frozen=True, kw_only=True)
class Remember:
    """Keeps the present values for the next `AddRemembered`: a residual connection begins here.

    Pairs may lie inside one another, like brackets.
    """

    kind: ClassVar[str] = "remember"

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class AddRemembered:
    """Adds what the last open `Remember` kept: a residual connection ends here."""

    kind: ClassVar[str] = "add_remembered"

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class Standardise:
    """(z - offset) * factor, one pair per column of a table, done by the client.

    The numbers are part of the public description: means and spreads of the training data, which
    everybody who may ask the network learns. They are no weights.

    Args:
        offset: one per column.
        factor: one per column, not 0.
    """

    kind: ClassVar[str] = "standardise"
    offset: tuple[float, ...]
    factor: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.offset) == len(self.factor) <= MAX_COLUMNS:
            raise ModelError(
                f"standardise takes as many offsets as factors, 1 to {MAX_COLUMNS}, got "
                f"{len(self.offset)} and {len(self.factor)}"
            )
        usable = all(map(math.isfinite, (*self.offset, *self.factor))) and all(self.factor)
        if not usable:
            raise ModelError("standardise needs finite numbers and factors that are not 0")
        # As floats, so that whole numbers have the same text before and after a file.
        object.__setattr__(self, "offset", tuple(map(float, self.offset)))
        object.__setattr__(self, "factor", tuple(map(float, self.factor)))

    def output_shape(self, shape: Shape) -> Shape:
        """The same shape; `ModelError` if it has another number of columns."""
        if shape != (len(self.offset),):
            raise ModelError(f"standardise takes ({len(self.offset)},), but gets {shape}")
        return shape


def _tokens(kind: str, shape: Shape) -> Pair:
    if len(shape) != 2:
        raise ModelError(f"{kind} takes (tokens, features), but gets {shape}")
    return shape[0], shape[1]
