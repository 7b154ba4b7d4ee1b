"""The choice of quadratures that is made before the light goes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drivers.backend import Block
from drivers.errors import OpticsError
from drivers.optics.homodyne_choice import OperatingSystemCoins, QuadratureChoice, SeededCoins

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=40, first_row=0, rows=3, modes=2)


def test_choice_gives_the_engine_what_was_drawn_with_all_rows_alike() -> None:
    choice = QuadratureChoice(SeededCoins(3))
    drawn = choice.draw(BLOCK)
    flips = choice.flips("any", BLOCK.inputs, BLOCK.rows)
    assert flips.dtype == torch.bool
    assert flips.shape == (40, 3)
    for row in range(BLOCK.rows):
        assert np.array_equal(flips[:, row].numpy(), drawn)
    assert choice.seed == 3


def test_choice_is_of_the_last_block() -> None:
    choice = QuadratureChoice(SeededCoins(3))
    first = choice.draw(BLOCK)
    second = choice.draw(replace(BLOCK, first_input=40))
    assert not np.array_equal(first, second)
    assert np.array_equal(choice.flips("", 40, 3)[:, 0].numpy(), second)


def test_choice_refuses_when_no_such_block_was_sent() -> None:
    choice = QuadratureChoice(OperatingSystemCoins())
    with pytest.raises(OpticsError, match="no block of 40 inputs and 3 rows was sent"):
        choice.flips("", 40, 3)
    choice.draw(BLOCK)
    with pytest.raises(OpticsError, match="no block of 41 inputs"):
        choice.flips("", 41, 3)


def test_operating_systems_coins_have_no_seed_and_are_fair() -> None:
    coins = OperatingSystemCoins()
    assert coins.seed is None
    flips = coins.toss(40_000)
    assert flips.dtype == np.bool_
    # Six standard deviations of 0.0025.
    assert abs(float(flips.mean()) - 0.5) < 0.015
    assert not np.array_equal(coins.toss(64), coins.toss(64))


def test_seeded_coins_repeat_and_differ_between_seeds() -> None:
    assert np.array_equal(SeededCoins(1).toss(200), SeededCoins(1).toss(200))
    assert not np.array_equal(SeededCoins(1).toss(200), SeededCoins(2).toss(200))
    assert abs(float(SeededCoins(1).toss(40_000).mean()) - 0.5) < 0.015
