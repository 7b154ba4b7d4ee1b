"""Random displacements of P by themselves: their law, their source, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch

from drivers.backend import Block, ServerOpticsInfo
from drivers.errors import ConfigurationError
from protocol import displacements
from protocol.displacements import Displacements, displacements_of
from protocol.plan import Plan
from tests.plans import layer_plan

INFO = ServerOpticsInfo(backend="b", simulated=True, seed=1, modes_per_frame=64, symbol_rate_hz=1e9)


def plan_of(**changes: object) -> Plan:
    layer = layer_plan(layer=2, rows=4, modes=8, photons_per_symbol=0.1)
    return Plan(layers=(replace(layer, **changes),), samples_per_block=10)  # type: ignore[arg-type]


def block_of(first: int, inputs: int, *, rows: int = 50, modes: int = 40, run: int = 0) -> Block:
    return Block(
        run=run,
        layer=0,
        tile=0,
        first_input=first,
        inputs=inputs,
        first_row=0,
        rows=rows,
        modes=modes,
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_displacements_are_normal_with_the_mean_square_asked_for(seed: int | None) -> None:
    """1e5 numbers: mean, square and fourth power within 8 standard deviations, below 1e-14."""
    means, block = torch.randn(1, 50, 40), block_of(0, 50)
    sent = Displacements(2.5, seed).added_to(means, block)
    assert sent.dtype == torch.complex64
    assert torch.equal(sent.real, means.expand(50, 50, 40))
    values = sent.imag.double() / math.sqrt(2.5)
    count = values.numel()
    for power, mean, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        found = float(values.pow(power).mean())
        assert abs(found - mean) < 8 * math.sqrt(variance / count)


@pytest.mark.parametrize("seed", [None, 3])
def test_displacements_are_fresh_for_every_symbol_when_blocks_follow(seed: int | None) -> None:
    source, means = Displacements(1.0, seed), torch.zeros(1, 50, 40)
    first = source.added_to(means, block_of(0, 20)).imag
    second = source.added_to(means, block_of(20, 20)).imag
    for one, other in ((first, second), (first[:10], first[10:]), (first[:, :25], first[:, 25:])):
        size = one.numel()
        correlation = float((one.double() * other.double()).sum()) / math.sqrt(size)
        assert abs(correlation) < 8


def test_seeded_displacements_repeat_however_inputs_are_cut() -> None:
    means = torch.zeros(1, 5, 7)

    def drawn(source: Displacements, *cuts: int, run: int = 0) -> torch.Tensor:
        parts, first = [], 0
        for inputs in cuts:
            block = block_of(first, inputs, rows=5, modes=7, run=run)
            parts.append(source.added_to(means, block))
            first += inputs
        return torch.cat(parts)

    whole = drawn(Displacements(1.0, 3), 12)
    assert torch.equal(whole, drawn(Displacements(1.0, 3), 5, 1, 6))
    assert not torch.equal(whole, drawn(Displacements(1.0, 4), 12))
    assert not torch.equal(whole, drawn(Displacements(1.0, 3), 12, run=1))


def test_source_is_none_when_there_is_no_dither() -> None:
    assert displacements_of(0.0, plan_of(), INFO, None) is None
    assert displacements_of(0.5, plan_of(), INFO, None) is not None


def test_source_is_refused_when_weights_are_on_p_or_the_light_has_none() -> None:
    with pytest.raises(ConfigurationError, match="complex encoding puts weights on P"):
        displacements_of(0.5, plan_of(encoding="complex"), INFO, None)
    with pytest.raises(ConfigurationError, match="modulates X alone"):
        displacements_of(0.5, plan_of(), replace(INFO, modulates_p=False), None)


def test_session_is_refused_when_its_displacements_do_not_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(displacements, "LARGEST_DISPLACED_BLOCK", 10 * 4 * 8)
    source = Displacements(1.0, None)
    source.check(plan_of(), 10, whole_batches=True)
    twice = replace(plan_of(), samples_per_block=20)
    source.check(twice, 10, whole_batches=False)
    with pytest.raises(ConfigurationError, match="layer 2: a block of 352 symbols"):
        source.check(twice, 11, whole_batches=False)
    small_blocks = replace(twice, inputs_per_block=5)
    source.check(small_blocks, 20, whole_batches=False)
    with pytest.raises(ConfigurationError, match="use no audits"):
        source.check(small_blocks, 20, whole_batches=True)
