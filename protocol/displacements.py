"""Known random displacements of P that a server adds to the weights it sends on X: its dither.

Weights in real encoding put nothing on P, so that no test sees the gain of P and a certificate has
to take it at its worst. Gaussian displacements of P, fresh for every symbol and known to the server
alone until the light is back, show it (`protocol.leakage.general_bound` has the argument). They
carry no weight. They come from a source of their own, which nothing that the client sees is made
from, and are kept as long as the block is tested.
"""

import hashlib
import math
import os

import numpy as np
import torch
from torch import Tensor

from drivers.backend import Block, ServerOpticsInfo
from drivers.errors import ConfigurationError
from protocol.plan import Plan

__all__ = ["LARGEST_DISPLACED_BLOCK", "Displacements", "displacements_of"]

LARGEST_DISPLACED_BLOCK = 1 << 26
"""Symbols of a block: every one has a displacement of its own, which is in memory with its mean."""

_STEPS = 2.0**32


class Displacements:
    """Draws the displacements of a session, block by block.

    Args:
        mean_square_snu: d, above 0.
        seed: makes them repeat, for simulation alone; None takes the operating system's generator.
    """

    def __init__(self, mean_square_snu: float, seed: int | None) -> None:
        self._deviation, self._seed = math.sqrt(mean_square_snu), seed
        self._generators: dict[str, np.random.Generator] = {}

    def added_to(self, means: Tensor, block: Block) -> Tensor:
        """The block's means with fresh displacements in P: complex `(inputs, rows, modes)`.

        Args:
            means: of the weights, real, `(1, rows, modes)`, SNU.
            block: that is about to be sent.
        """
        sent = torch.empty((block.inputs, block.rows, block.modes), dtype=torch.complex64)
        parts = torch.view_as_real(sent)
        parts[..., 0] = means
        parts[..., 1] = self._normals(block).mul_(self._deviation)
        return sent

    def check(self, plan: Plan, samples: int, *, whole_batches: bool) -> None:
        """Refuse a session whose displacements do not fit into memory.

        Args:
            plan: how the weights are sent.
            samples: of the session.
            whole_batches: the blocks of a batch are kept until its end, for audits.

        Raises:
            ConfigurationError: says which setting to lower.
        """
        blocks = {
            layer.layer: plan.largest_inputs(layer, samples)
            * max(count for _, count in plan.row_ranges(layer))
            * max(layer.tiles)
            for layer in plan.layers
        }
        largest = max(blocks, key=blocks.__getitem__)
        if blocks[largest] > LARGEST_DISPLACED_BLOCK:
            raise ConfigurationError(
                f"layer {largest}: a block of {blocks[largest]:,} symbols has as many "
                f"displacements of P, at most {LARGEST_DISPLACED_BLOCK:,} are held; lower "
                "inputs_per_block, samples_per_block or rows_per_block"
            )
        batch = plan.symbols(min(plan.samples_per_block, samples))
        if whole_batches and batch > LARGEST_DISPLACED_BLOCK:
            raise ConfigurationError(
                f"a batch of {batch:,} symbols has as many displacements of P, which audits keep "
                f"until its end; at most {LARGEST_DISPLACED_BLOCK:,} are held: lower "
                "samples_per_block, or use no audits"
            )

    def _normals(self, block: Block) -> Tensor:
        """Standard normal numbers of a block."""
        shape = (block.inputs, block.rows, block.modes)
        if self._seed is None:
            return _normals_of_the_system(math.prod(shape)).reshape(shape)
        key = f"{block.run} {block.layer} {block.tile} {block.first_row}"
        if key not in self._generators:
            text = f"displacements {self._seed} {key}".encode()
            number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            self._generators[key] = np.random.Generator(np.random.SFC64(number))
        # Input by input, so that any cut between inputs reads the same numbers.
        return torch.from_numpy(self._generators[key].standard_normal(shape, dtype=np.float32))


def displacements_of(
    mean_square_snu: float, plan: Plan, info: ServerOpticsInfo, seed: int | None
) -> Displacements | None:
    """The source of a session's displacements; None without any.

    Args:
        mean_square_snu: d; 0 for none.
        plan: how the weights are sent.
        info: the server's light.
        seed: of simulated light, None for the operating system's generator.

    Raises:
        ConfigurationError: weights on P, or light that has no P.
    """
    if not mean_square_snu:
        return None
    if any(layer.encoding == "complex" for layer in plan.layers):
        raise ConfigurationError(
            f"dither_snu is {mean_square_snu:g}: complex encoding puts weights on P, which show "
            "its gain; use real encoding, or no dither"
        )
    if not info.modulates_p:
        raise ConfigurationError(
            f"dither_snu is {mean_square_snu:g}: {info.backend} modulates X alone, so P cannot be "
            "displaced; set dither_snu to 0"
        )
    return Displacements(mean_square_snu, seed)


def _normals_of_the_system(count: int) -> Tensor:
    """Standard normal numbers `(count,)` from the operating system's generator.

    Box and Muller, Ann. Math. Stat. 29, 610 (1958), from numbers of 32 bits: they reach to 6.8
    standard deviations.
    """
    pairs = (count + 1) // 2
    raw = np.frombuffer(os.urandom(8 * pairs), np.uint32).reshape(2, pairs)
    # The middle of each step: never 0.
    uniform = torch.from_numpy((raw.astype(np.float64) + 0.5) / _STEPS)
    radius = torch.sqrt(-2 * torch.log(uniform[0]))
    turn = 2 * math.pi * uniform[1]
    both = torch.cat([radius * torch.cos(turn), radius * torch.sin(turn)])
    return both[:count].to(torch.float32)
