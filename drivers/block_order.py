"""The order in which blocks may be loaded, sent, measured and collected, for any pair of optics.

Where both parties live in one process, both ends of a link share one `BlockOrder`, so that a call
out of order is refused before anything is played. It holds no quadratures and no data.
"""

import math

import torch
from torch import Tensor

from drivers.backend import Block, check_block_tensor
from drivers.errors import LimitError, OpticsError

__all__ = ["BlockOrder", "check_data", "check_gain", "check_means", "check_quadratures"]


class BlockOrder:
    """Which block of which run may come next.

    Args:
        modes_per_frame: largest frame that the receiver takes.
    """

    def __init__(self, modes_per_frame: int) -> None:
        self._modes_per_frame = modes_per_frame
        self._run = 0
        self._next_input: dict[tuple[int, ...], int] = {}
        self._loaded: set[Block] = set()
        self._sent: set[Block] = set()
        self._returning: set[Block] = set()

    def check_load(self, block: Block) -> None:
        """Refuse data for a block that cannot be loaded now.

        Raises:
            LimitError: the frame has more modes than the receiver.
            OpticsError: the run is over, or light waits to be measured.
        """
        self._check_size(block)
        self._check_run(block)
        if block in self._sent:
            raise OpticsError(
                f"{block.name}: light is in the receiver; measure it before loading other data"
            )

    def check_send(self, block: Block) -> None:
        """Refuse light for a block that cannot be sent now.

        Raises:
            LimitError: the frame has more modes than the receiver.
            OpticsError: no data are loaded, or the block is not the next of its run.
        """
        self._check_size(block)
        if block not in self._loaded | self._sent:
            raise OpticsError(f"{block.name}: light is sent before the client has loaded its data")
        self._check_run(block)
        following = self._next_input.get(_stream(block), 0) if block.run == self._run else 0
        if block.first_input != following:
            raise OpticsError(
                f"{block.name}: the next input of run {block.run} is {following}; "
                "send each frame once and in order, or give the repetition a new run number"
            )

    def check_measure(self, block: Block) -> None:
        """Refuse to measure a block that was not sent, or was measured already.

        Raises:
            OpticsError: nothing was sent.
        """
        if block not in self._sent:
            raise OpticsError(f"{block.name}: nothing was sent that could be measured")

    def check_collect(self, block: Block) -> None:
        """Refuse to collect a block that has not come back, or was collected already.

        Raises:
            OpticsError: no light has returned.
        """
        if block not in self._returning:
            raise OpticsError(f"{block.name}: no returned light; the client has not measured yet")

    def loaded(self, block: Block) -> None:
        """The block's data are in the receiver."""
        self._enter_run(block)
        self._loaded.add(block)

    def sent(self, block: Block) -> None:
        """The block's light is out."""
        self._enter_run(block)
        self._loaded.discard(block)
        self._next_input[_stream(block)] = block.first_input + block.inputs
        self._sent.add(block)

    def measured(self, block: Block) -> None:
        """The client has measured the block; its light is on the way back."""
        self._sent.discard(block)
        self._returning.add(block)

    def collected(self, block: Block) -> None:
        """The server has measured the block's return."""
        self._returning.discard(block)

    def is_pending(self, block: Block) -> bool:
        """Whether the block's data are loaded or its light is on the way to the client."""
        return block in self._loaded or block in self._sent

    def is_returning(self, block: Block) -> bool:
        """Whether the server may still collect the block."""
        return block in self._sent or block in self._returning

    def lost(self, block: Block) -> None:
        """The block's light cannot be used: nothing of it may be measured or collected."""
        for blocks in (self._loaded, self._sent, self._returning):
            blocks.discard(block)

    def _enter_run(self, block: Block) -> None:
        if block.run > self._run:
            self._next_input.clear()
            self._sent.clear()
            self._returning.clear()
            self._loaded = {held for held in self._loaded if held.run >= block.run}
            self._run = block.run

    def _check_run(self, block: Block) -> None:
        if block.run < self._run:
            raise OpticsError(
                f"{block.name}: run {block.run} is over, the link is at run {self._run}; "
                "run numbers must not go back"
            )

    def _check_size(self, block: Block) -> None:
        if block.modes > self._modes_per_frame:
            raise LimitError(
                f"{block.name}: {block.modes} modes per frame, the receiver takes at most "
                f"{self._modes_per_frame}; split the rows into tiles"
            )


def check_data(block: Block, data: Tensor) -> None:
    """Refuse data of the wrong shape, not finite, or not of unit norm.

    Args:
        block: which frames.
        data: `(inputs, modes)`, real or complex.

    Raises:
        OpticsError: says what it got.
    """
    if data.shape != (block.inputs, block.modes):
        raise OpticsError(
            f"data has shape {tuple(data.shape)}, expected {(block.inputs, block.modes)}"
        )
    worst = float((torch.linalg.vector_norm(data, dim=-1) - 1).abs().max())
    if not math.isfinite(worst):  # NaN and infinity survive the norm
        raise OpticsError(f"data holds NaN or infinite values: {block.name}")
    if not worst < 1e-3:
        raise OpticsError(
            f"data of {block.name}: norms differ from 1 by up to {worst:.3g}; normalise first"
        )


def check_means(block: Block, means_snu: Tensor) -> None:
    """Refuse means of the wrong shape or not finite.

    Raises:
        OpticsError: says what it got.
    """
    shape = (block.rows, block.modes)
    check_block_tensor("means_snu", means_snu, (1, *shape), (block.inputs, *shape))


def check_quadratures(block: Block, quadratures: Tensor) -> None:
    """Refuse a mask of quadratures that is not bool `(inputs, rows)`.

    Raises:
        OpticsError: says what it got.
    """
    if quadratures.shape != (block.inputs, block.rows) or quadratures.dtype != torch.bool:
        raise OpticsError(
            f"quadratures are {quadratures.dtype} {tuple(quadratures.shape)}, expected "
            f"torch.bool {(block.inputs, block.rows)}"
        )


def _stream(block: Block) -> tuple[int, ...]:
    return (block.layer, block.tile, block.first_row, block.rows, block.modes)


def check_gain(block: Block, reference_gain: float) -> None:
    """Refuse a reference gain that is not finite.

    Raises:
        OpticsError: says what it got.
    """
    if not math.isfinite(reference_gain):
        raise OpticsError(f"{block.name}: reference_gain is {reference_gain}, must be finite")
