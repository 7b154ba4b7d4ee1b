"""What every pair of optics refuses, and that a refusal costs nothing."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drivers.errors import LimitError, OpticsError
from tests.contract.optics.pairs import (
    BLOCK,
    COLLECT,
    MODES_PER_FRAME,
    Pair,
    means_of,
    quadratures_of,
    transmit,
    unit_data,
)


@pytest.mark.parametrize("collect", COLLECT)
@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 4),
        torch.zeros(3, 4, dtype=torch.int64),
        torch.zeros(4, 3, dtype=torch.bool),
        torch.zeros(3, dtype=torch.bool),
        torch.zeros(3, 4, 1, dtype=torch.bool),
        torch.zeros(1, 4, dtype=torch.bool),
    ],
    ids=lambda t: f"{t.dtype} {tuple(t.shape)}",
)
def test_collect_refuses_quadratures_and_keeps_the_light_when_they_are_no_mask(
    pair: Pair, collect: Callable[[Pair, Tensor], object], wrong: Tensor
) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match=r"expected torch\.bool \(3, 4\)"):
        collect(pair, wrong)
    collect(pair, quadratures_of(pair))


@pytest.mark.parametrize("gain", [math.nan, math.inf])
def test_collect_summary_refuses_and_keeps_the_light_when_gain_is_not_finite(
    pair: Pair, gain: float
) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match=f"reference_gain is {gain}"):
        pair.server.collect_summary(BLOCK, quadratures_of(pair), gain)
    pair.server.collect_summary(BLOCK, quadratures_of(pair), 1.0)


@pytest.mark.parametrize("shape", [(8,), (2, 8), (3, 7), (1, 8), (3, 4, 8), (0, 8)])
def test_load_refuses_when_the_shape_is_wrong(pair: Pair, shape: tuple[int, ...]) -> None:
    with pytest.raises(OpticsError, match=r"data has shape .*, expected \(3, 8\)"):
        pair.client.load(BLOCK, torch.ones(shape))


@pytest.mark.parametrize(
    "shape", [(4, 8), (2, 4, 8), (3, 8, 4), (3, 4, 7), (1, 1, 8), (0, 4, 8), (3, 4, 8, 1)]
)
def test_send_refuses_when_the_shape_is_wrong(pair: Pair, shape: tuple[int, ...]) -> None:
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match=r"means_snu has shape .*\(1, 4, 8\) or \(3, 4, 8\)"):
        pair.server.send(BLOCK, torch.ones(shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_load_and_send_refuse_when_a_value_is_not_finite(pair: Pair, bad: float) -> None:
    data, means = unit_data(), means_of()
    data[1, 2] = bad
    with pytest.raises(OpticsError, match="data holds NaN or infinite"):
        pair.client.load(BLOCK, data)
    pair.client.load(BLOCK, unit_data())
    means[0, 3, 7] = bad
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)
    means[0, 3, 6] = -bad  # infinities of either sign must not cancel
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)


@pytest.mark.parametrize("imaginary", [math.nan, math.inf])
def test_send_refuses_when_an_imaginary_part_is_not_finite(pair: Pair, imaginary: float) -> None:
    bad = means_of()
    bad[0, 0, 0] = imaginary
    means = torch.complex(means_of(), bad)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.01, 100.0])
def test_load_refuses_when_a_vector_is_not_of_unit_norm(pair: Pair, factor: float) -> None:
    data = unit_data()
    data[2] *= factor
    with pytest.raises(OpticsError, match="normalise first"):
        pair.client.load(BLOCK, data)


def test_load_and_send_refuse_when_a_frame_has_too_many_modes(pair: Pair) -> None:
    wide = replace(BLOCK, modes=MODES_PER_FRAME + 1)
    with pytest.raises(LimitError, match="at most 16; split the rows into tiles"):
        pair.client.load(wide, unit_data(wide))
    with pytest.raises(LimitError, match="at most 16; split the rows into tiles"):
        pair.server.send(wide, means_of(wide))
    transmit(pair, replace(BLOCK, modes=MODES_PER_FRAME))


def test_refused_block_can_be_sent_when_corrected(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError):
        pair.server.send(BLOCK, torch.full((1, 4, 8), math.nan))
    pair.server.send(BLOCK, means_of())
    assert pair.client.measure(BLOCK).shape == (3, 4)


@pytest.mark.parametrize("name", ["run", "layer", "tile", "first_input", "first_row"])
def test_block_refuses_when_an_index_is_negative(name: str) -> None:
    with pytest.raises(OpticsError, match=f"block {name} is -1"):
        replace(BLOCK, **{name: -1})


@pytest.mark.parametrize("name", ["inputs", "rows", "modes"])
def test_block_refuses_when_it_is_empty(name: str) -> None:
    with pytest.raises(OpticsError, match=f"block {name} is 0"):
        replace(BLOCK, **{name: 0})
