"""Blocks of one layer and tile, one after the other, as most tests send them."""

from drivers.backend import Block

__all__ = ["block_of"]


def block_of(number: int, *, inputs: int, rows: int, modes: int, run: int = 0) -> Block:
    """The block behind `number` others of the same size."""
    return Block(
        run=run,
        layer=0,
        tile=0,
        first_input=number * inputs,
        inputs=inputs,
        first_row=0,
        rows=rows,
        modes=modes,
    )
