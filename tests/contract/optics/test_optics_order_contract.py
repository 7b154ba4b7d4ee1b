"""In which order every pair of optics is used: each frame once, its light measured once."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drivers.errors import OpticsError
from tests.contract.optics.pairs import (
    BLOCK,
    COLLECT,
    NEXT,
    Pair,
    means_of,
    quadratures_of,
    transmit,
    unit_data,
)


def test_send_refuses_when_no_data_are_loaded(pair: Pair) -> None:
    with pytest.raises(OpticsError, match="before the client has loaded"):
        pair.server.send(BLOCK, means_of())


def test_measure_refuses_when_nothing_was_sent(pair: Pair) -> None:
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)


def test_measure_refuses_when_the_block_was_measured(pair: Pair) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)


def test_load_refuses_when_light_is_in_the_receiver(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="measure it before loading"):
        pair.client.load(BLOCK, unit_data().roll(1, dims=-1))
    assert pair.client.measure(BLOCK).shape == (BLOCK.inputs, BLOCK.rows)


@pytest.mark.parametrize("collect", COLLECT)
def test_collect_refuses_when_the_client_has_not_measured(
    pair: Pair, collect: Callable[[Pair, Tensor], object]
) -> None:
    with pytest.raises(OpticsError, match="no returned light"):
        collect(pair, quadratures_of(pair))
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="no returned light"):
        collect(pair, quadratures_of(pair))


@pytest.mark.parametrize("second", COLLECT)
@pytest.mark.parametrize("first", COLLECT)
def test_collect_refuses_when_the_light_was_already_measured(
    pair: Pair,
    first: Callable[[Pair, Tensor], object],
    second: Callable[[Pair, Tensor], object],
) -> None:
    transmit(pair)
    first(pair, quadratures_of(pair))
    with pytest.raises(OpticsError, match="no returned light"):
        second(pair, quadratures_of(pair))


def test_send_refuses_when_the_block_was_already_sent(pair: Pair) -> None:
    transmit(pair)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="send each frame once and in order"):
        pair.server.send(BLOCK, means_of())


def test_send_refuses_when_the_block_waits_to_be_measured(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="next input of run 0 is 3"):
        pair.server.send(BLOCK, means_of())


@pytest.mark.parametrize("first_input", [1, 2, 4, 6])
def test_send_refuses_when_inputs_are_out_of_order(pair: Pair, first_input: int) -> None:
    transmit(pair)
    wrong = replace(BLOCK, first_input=first_input)
    pair.client.load(wrong, unit_data())
    with pytest.raises(OpticsError, match="the next input of run 0 is 3"):
        pair.server.send(wrong, means_of())
    transmit(pair, NEXT)  # the refusal has cost nothing


def test_layers_and_tiles_count_their_inputs_apart(pair: Pair) -> None:
    begun = (BLOCK, replace(BLOCK, layer=1), replace(BLOCK, tile=1))
    for block in begun:
        transmit(pair, block)
    for block in begun:
        transmit(pair, replace(block, first_input=3))
        pair.client.load(block, unit_data())
        with pytest.raises(OpticsError, match="the next input of run 0 is 6"):
            pair.server.send(block, means_of())


def test_run_may_be_repeated_when_it_has_a_new_number(pair: Pair) -> None:
    first = transmit(pair)
    second = transmit(pair, replace(BLOCK, run=1))
    assert not torch.equal(first, second)  # a new transmission has new noise


def test_load_and_send_refuse_when_run_numbers_go_back(pair: Pair) -> None:
    transmit(pair, replace(BLOCK, run=2))
    for run in (0, 1):
        with pytest.raises(OpticsError, match=f"run {run} is over, the link is at run 2"):
            pair.client.load(replace(BLOCK, run=run), unit_data())
        with pytest.raises(OpticsError):
            pair.server.send(replace(BLOCK, run=run), means_of())


def test_light_of_a_finished_run_is_gone(pair: Pair) -> None:
    transmit(pair)
    transmit(pair, replace(BLOCK, run=1))
    with pytest.raises(OpticsError, match="no returned light"):
        pair.server.collect_full(BLOCK, quadratures_of(pair))
