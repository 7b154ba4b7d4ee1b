"""Sizes and their checks, shared by all layers: caps that hold before anything is allocated."""

import math
from typing import ClassVar, Protocol, TypeAlias

from drivers.errors import ModelError

__all__ = [
    "MAX_ENTRIES",
    "LayerLike",
    "Pair",
    "Shape",
    "check_counts",
    "check_pairs",
    "number",
    "whole",
    "windows",
]

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]

MAX_ENTRIES = 1 << 28
"""Largest number of entries of one weight matrix or one activation (a guard before allocation)."""


class LayerLike(Protocol):
    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape: ...


def whole(where: str, value: object) -> int:
    """A whole number within the cap."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"{where} must be a whole number, got {value!r}")
    if abs(value) > MAX_ENTRIES:
        raise ModelError(f"{where} is beyond the cap of {MAX_ENTRIES}")
    return value


def number(where: str, value: object) -> float:
    """A float from a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{where} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise ModelError(f"{where} is beyond the range of a float") from error


def check_counts(layer: LayerLike, **counts: int) -> None:
    """Refuse counts below 1 or beyond the cap."""
    for name, value in counts.items():
        if whole(f"{layer.kind} {name}", value) < 1:
            raise ModelError(f"{layer.kind} {name} must be at least 1, got {value}")


def check_pairs(layer: LayerLike, lowest: int = 1, **pairs: Pair) -> None:
    """Refuse what is not two whole numbers of at least `lowest`."""
    for name, pair in pairs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ModelError(f"{layer.kind} {name} must be two whole numbers, got {pair!r}")
        if any(whole(f"{layer.kind} {name}", value) < lowest for value in pair):
            raise ModelError(f"{layer.kind} {name} must be at least {lowest}, got {pair}")


def windows(kind: str, shape: Shape, span: list[int] | Pair, stride: Pair, padding: Pair) -> Pair:
    """Number of windows along both axes of a padded image."""
    padded = [size + 2 * pad for size, pad in zip(shape[1:], padding, strict=True)]
    if shape[0] * math.prod(padded) > MAX_ENTRIES:
        raise ModelError(f"{kind}: a padded sample exceeds the cap of {MAX_ENTRIES} entries")
    sizes = [
        (size - window) // step + 1 for size, window, step in zip(padded, span, stride, strict=True)
    ]
    if min(sizes) < 1:
        raise ModelError(f"{kind}: a window of {tuple(span)} does not fit into {shape[1:]}")
    return sizes[0], sizes[1]
