"""The sums behind a block's summary: piece by piece, in memory that is used again."""

import numpy as np
import pytest
import torch

from drivers.backend import Block
from sim_backend import returned_sums
from sim_backend.flight import Flight
from sim_backend.returned_sums import Scratch
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink

CPU = torch.device("cpu")


def flight_of(inputs: int, rows: int, *, shared: bool) -> Flight:
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=inputs, first_row=0, rows=rows, modes=7
    )
    generator = torch.Generator().manual_seed(inputs)
    link = SymbolLink(LinkSettings(seed=1, device="cpu"))
    data = torch.randn(inputs, 7, generator=generator)
    link.client.load(block, data / torch.linalg.vector_norm(data, dim=1, keepdim=True))
    link.server.send(block, torch.randn(1 if shared else inputs, rows, 7, generator=generator))
    link.client.measure(block)
    return link._flying[block]


@pytest.mark.parametrize("shared", [True, False])
def test_x_frame_sums_equal_the_plain_sums_when_pieces_share_one_scratch(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returned_sums, "_SUM_VALUES", 40)
    scratch = Scratch(CPU)
    for inputs, rows in ((23, 10), (9, 3), (1, 50), (40, 1)):  # last pieces that are not full
        flight = flight_of(inputs, rows, shared=shared)
        flips = torch.rand(inputs, rows, generator=torch.Generator().manual_seed(rows)) < 0.5
        on_x = (~flips).double()
        c, u = flight.overlap_x.double(), flight.outcome_noise.double()
        energy = flight.means.double().square().sum(-1)
        wanted = [(on_x * v).sum(0).numpy() for v in (energy, c * c, c * u, u * u)]
        found = returned_sums._x_frame_sums(flight, flips, scratch)
        assert np.array_equal(found[0], on_x.sum(0).numpy())
        for got, want in zip(found[1:], wanted, strict=True):
            assert got == pytest.approx(want, rel=1e-5, abs=1e-5)


def test_scratch_gives_the_same_memory_again_when_a_smaller_shape_follows() -> None:
    scratch = Scratch(CPU)
    first = scratch.take(4, 5)
    assert scratch.take(3, 2).data_ptr() == first.data_ptr()
    assert scratch.take(5, 5).shape == (5, 5)
    assert scratch.take(4, 5).data_ptr() != first.data_ptr()
