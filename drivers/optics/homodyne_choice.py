"""Which quadrature of the return is measured, chosen before the light goes out.

A phase shifter stands still when the light comes back, so that the choice cannot wait for it. It is
drawn when a block is sent, one coin per burst, and is as good as one that is drawn afterwards as
long as nobody but the server knows it before the client has parted with the light: it is held here
and in the server's phase shifter alone, whose light ends at the server's own detector, and nothing
that the server sends or does in public depends on it. The engine asks for the flips after the
client has declared the light to be on its way back, as for any others.
"""

import os
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block
from drivers.errors import OpticsError

__all__ = ["Coins", "OperatingSystemCoins", "QuadratureChoice", "SeededCoins"]


class Coins(Protocol):
    """A source of fair coin flips."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""

    def toss(self, count: int) -> NDArray[np.bool_]:
        """So many flips, shape (count,)."""


class OperatingSystemCoins:
    """Flips from the operating system's generator: the only choice on real light."""

    seed: int | None = None

    def toss(self, count: int) -> NDArray[np.bool_]:
        """See `Coins.toss`."""
        raw = np.frombuffer(os.urandom((count + 7) // 8), np.uint8)
        return np.unpackbits(raw, count=count).astype(np.bool_)


class SeededCoins:
    """Flips that repeat, for simulation alone."""

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed
        self._rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, 0x71])))

    def toss(self, count: int) -> NDArray[np.bool_]:
        """See `Coins.toss`."""
        return self._rng.integers(0, 2, count).astype(np.bool_)


class QuadratureChoice:
    """The choice of a block: drawn by the optics, asked for by the engine.

    It has the engine's interface for a source of coin flips.

    Args:
        coins: where the flips come from.
    """

    def __init__(self, coins: Coins) -> None:
        self._coins = coins
        self._drawn: tuple[Block, NDArray[np.bool_]] | None = None

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""
        return self._coins.seed

    def draw(self, block: Block) -> NDArray[np.bool_]:
        """Choose for a block that is about to be sent: True for P, shape (inputs,)."""
        self._drawn = block, self._coins.toss(block.inputs)
        return self._drawn[1].copy()

    def flips(self, key: str, inputs: int, rows: int) -> Tensor:  # noqa: ARG002 - one block waits
        """What was chosen for the last block, bool `(inputs, rows)`; all rows of an input alike.

        Raises:
            OpticsError: no such block was sent.
        """
        if self._drawn is None or (inputs, rows) != (self._drawn[0].inputs, self._drawn[0].rows):
            raise OpticsError(
                f"no block of {inputs} inputs and {rows} rows was sent; its quadratures were not "
                "chosen"
            )
        return torch.from_numpy(self._drawn[1].copy())[:, None].expand(inputs, rows).contiguous()
