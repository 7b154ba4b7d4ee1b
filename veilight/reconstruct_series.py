"""One input and how it looks after more and more rows: what the pictures are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pictures"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """One input and its reconstructions.

    Attributes:
        truth: x^, `(modes,)`.
        rows: M of each reconstruction.
        estimates: with the sign of the truth where there is none, `(len(rows), modes)`.
        likeliest: the likeliest of the other inputs and the truth, `(len(rows), modes)`.
    """

    truth: Array
    rows: tuple[int, ...]
    estimates: Array
    likeliest: Array
