"""Which block may be loaded, sent, measured and collected when."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from drivers.backend import Block
from drivers.block_order import (
    BlockOrder,
    check_data,
    check_gain,
    check_means,
    check_quadratures,
)
from drivers.errors import LimitError, OpticsError

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=3, first_row=0, rows=2, modes=4)
NEXT = replace(BLOCK, first_input=3)


def order() -> BlockOrder:
    return BlockOrder(modes_per_frame=8)


def through(blocks: BlockOrder, block: Block, steps: int = 4) -> None:
    """The first steps of a block's life: loaded, sent, measured, collected."""
    checks: list[tuple[Callable[[Block], None], Callable[[Block], None]]] = [
        (blocks.check_load, blocks.loaded),
        (blocks.check_send, blocks.sent),
        (blocks.check_measure, blocks.measured),
        (blocks.check_collect, blocks.collected),
    ]
    for check, step in checks[:steps]:
        check(block)
        step(block)


def test_block_passes_once_when_the_order_is_kept() -> None:
    blocks = order()
    through(blocks, BLOCK)
    through(blocks, NEXT)
    with pytest.raises(OpticsError, match="no returned light"):
        blocks.check_collect(BLOCK)


@pytest.mark.parametrize(
    ("steps", "step", "says"),
    [
        (0, "send", "before the client has loaded"),
        (0, "measure", "nothing was sent"),
        (1, "measure", "nothing was sent"),
        (2, "load", "light is in the receiver"),
        (2, "collect", "no returned light"),
        (3, "measure", "nothing was sent"),
        (3, "send", "before the client has loaded"),
    ],
    ids=[
        "sent-first",
        "measured-first",
        "measured-unsent",
        "loaded-over-light",
        "collected-unmeasured",
        "measured-twice",
        "sent-twice",
    ],
)
def test_order_refuses_a_step_when_another_comes_first(steps: int, step: str, says: str) -> None:
    blocks = order()
    through(blocks, BLOCK, steps)
    check: Callable[[Block], None] = getattr(blocks, f"check_{step}")
    with pytest.raises(OpticsError, match=says):
        check(BLOCK)


def test_order_refuses_a_block_when_an_input_is_left_out_or_repeated() -> None:
    blocks = order()
    through(blocks, BLOCK)
    for wrong in (BLOCK, replace(BLOCK, first_input=6)):
        blocks.loaded(wrong)
        with pytest.raises(OpticsError, match="next input of run 0 is 3"):
            blocks.check_send(wrong)


def test_order_counts_rows_and_layers_apart() -> None:
    blocks = order()
    through(blocks, BLOCK)
    others = (replace(BLOCK, first_row=2), replace(BLOCK, layer=1))
    for other in others:
        through(blocks, other)
    through(blocks, NEXT)
    for block, awaited in ((NEXT, 6), *((other, 3) for other in others)):
        blocks.loaded(block)
        with pytest.raises(OpticsError, match=f"next input of run 0 is {awaited}"):
            blocks.check_send(block)


def test_order_begins_anew_and_never_goes_back_when_a_run_is_repeated() -> None:
    blocks = order()
    through(blocks, BLOCK, 3)
    again = replace(BLOCK, run=1)
    through(blocks, again)
    with pytest.raises(OpticsError, match="run 0 is over, the link is at run 1"):
        blocks.check_load(BLOCK)
    with pytest.raises(OpticsError, match="no returned light"):
        blocks.check_collect(BLOCK)


def test_order_refuses_a_frame_when_it_has_more_modes_than_the_receiver() -> None:
    with pytest.raises(LimitError, match="9 modes per frame, the receiver takes at most 8"):
        order().check_load(replace(BLOCK, modes=9))


@pytest.mark.parametrize("steps", [1, 2, 3], ids=["loaded", "sent", "returning"])
def test_order_gives_nothing_of_a_block_when_it_is_lost(steps: int) -> None:
    blocks = order()
    through(blocks, BLOCK, steps)
    assert blocks.is_pending(BLOCK) == (steps < 3)
    assert blocks.is_returning(BLOCK) == (steps > 1)
    blocks.lost(BLOCK)
    assert not blocks.is_pending(BLOCK)
    assert not blocks.is_returning(BLOCK)
    for check in (blocks.check_send, blocks.check_measure, blocks.check_collect):
        with pytest.raises(OpticsError):
            check(BLOCK)


def test_order_never_sends_a_frame_again_when_its_block_was_lost_after_it_left() -> None:
    blocks = order()
    through(blocks, BLOCK, 2)
    blocks.lost(BLOCK)
    blocks.check_load(BLOCK)
    blocks.loaded(BLOCK)
    with pytest.raises(OpticsError, match="next input of run 0 is 3"):
        blocks.check_send(BLOCK)


def test_order_lets_a_block_come_again_when_it_was_lost_before_it_left() -> None:
    blocks = order()
    through(blocks, BLOCK, 1)
    blocks.lost(BLOCK)
    with pytest.raises(OpticsError, match="before the client has loaded"):
        blocks.check_send(BLOCK)
    through(blocks, BLOCK, 3)
    assert blocks.is_returning(BLOCK)


def test_data_are_taken_when_real_or_complex_of_unit_norm() -> None:
    for value in (0.5, 0.5j):
        check_data(BLOCK, torch.full((3, 4), value))
        with pytest.raises(OpticsError, match=r"norms differ from 1 by up to 0\.02"):
            check_data(BLOCK, torch.full((3, 4), 1.02 * value))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch.full((3, 5), 0.5), r"shape \(3, 5\)"),
        (torch.full((3, 4), 0.51), "norms differ from 1 by up to 0.02"),
        (torch.full((3, 4), math.nan), "NaN"),
        (torch.full((3, 4), math.inf), "infinite"),
    ],
    ids=["shape", "norm", "nan", "infinite"],
)
def test_data_are_refused_when_they_are_no_unit_vectors(data: torch.Tensor, says: str) -> None:
    with pytest.raises(OpticsError, match=says):
        check_data(BLOCK, data)


def test_means_are_taken_when_shared_or_one_per_input() -> None:
    for inputs in (1, 3):
        check_means(BLOCK, torch.zeros(inputs, 2, 4))
        with pytest.raises(OpticsError, match="infinite"):
            check_means(BLOCK, torch.full((inputs, 2, 4), math.inf))


@pytest.mark.parametrize(
    ("means", "says"),
    [
        (torch.zeros(2, 2, 4), r"shape \(2, 2, 4\), expected \(1, 2, 4\) or \(3, 2, 4\)"),
        (torch.full((1, 2, 4), math.nan), "NaN"),
    ],
    ids=["shape", "nan"],
)
def test_means_are_refused_when_they_fit_no_block(means: torch.Tensor, says: str) -> None:
    with pytest.raises(OpticsError, match=says):
        check_means(BLOCK, means)


@pytest.mark.parametrize(
    "mask",
    [torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.bool)],
    ids=["floats", "shape"],
)
def test_quadratures_are_refused_when_they_are_no_mask(mask: torch.Tensor) -> None:
    check_quadratures(BLOCK, torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(OpticsError, match="quadratures are"):
        check_quadratures(BLOCK, mask)


@pytest.mark.parametrize("gain", [math.nan, math.inf], ids=["nan", "infinite"])
def test_gain_is_refused_when_it_is_not_finite(gain: float) -> None:
    check_gain(BLOCK, 0.3)
    with pytest.raises(OpticsError, match="reference_gain"):
        check_gain(BLOCK, gain)
