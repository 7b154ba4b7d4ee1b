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
    """A source of coin flips, fair ones or others."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        """So many flips, shape (count,); True with the probability `p_share`, exact to 2^-32."""


class OperatingSystemCoins:
    """Flips from the operating system's generator: the only choice on real light."""

    seed: int | None = None

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        """See `Coins.toss`."""
        return _below(np.frombuffer(os.urandom(4 * count), np.uint32), p_share)


class SeededCoins:
    """Flips that repeat, for simulation alone."""

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed
        self._rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, 0x71])))

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        """See `Coins.toss`."""
        if p_share == 0.5:
            return self._rng.integers(0, 2, count).astype(np.bool_)
        return _below(self._rng.integers(0, 1 << 32, count, dtype=np.uint32), p_share)


class QuadratureChoice:
    """The choice of a block: drawn by the optics, asked for by the engine.

    It has the engine's interface for a source of coin flips.

    Args:
        coins: where the flips come from.
    """

    def __init__(self, coins: Coins) -> None:
        self._coins, self._p_share = coins, 0.5
        self._drawn: tuple[Block, NDArray[np.bool_]] | None = None

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""
        return self._coins.seed

    def choose(self, p_share: float) -> None:
        """Draw P with this probability in blocks that are sent from now on.

        Args:
            p_share: in (0, 1).
        """
        self._p_share = p_share

    def draw(self, block: Block) -> NDArray[np.bool_]:
        """Choose for a block that is about to be sent: True for P, shape (inputs,)."""
        self._drawn = block, self._coins.toss(block.inputs, self._p_share)
        return self._drawn[1].copy()

    def flips(
        self,
        key: str,  # noqa: ARG002 - one block waits
        inputs: int,
        rows: int,
        p_share: float = 0.5,
    ) -> Tensor:
        """What was chosen for the last block, bool `(inputs, rows)`; all rows of an input alike.

        Raises:
            OpticsError: no such block was sent, or it was chosen with another probability of P.
        """
        if p_share != self._p_share:
            raise OpticsError(
                f"quadratures were chosen with a share of P of {self._p_share:g}, {p_share:g} is "
                "asked for; choose the share before the light is sent"
            )
        if self._drawn is None or (inputs, rows) != (self._drawn[0].inputs, self._drawn[0].rows):
            raise OpticsError(
                f"no block of {inputs} inputs and {rows} rows was sent; its quadratures were not "
                "chosen"
            )
        return torch.from_numpy(self._drawn[1].copy())[:, None].expand(inputs, rows).contiguous()


def _below(numbers: NDArray[np.uint32], p_share: float) -> NDArray[np.bool_]:
    """True with the probability `p_share`."""
    return np.asarray(numbers < np.uint64(round(p_share * 2**32)), dtype=np.bool_)
