"""Dishonest clients are caught within the stated number of symbols, by the tests of one block.

The numbers n of symbols per quadrature are those of a one-sided test at 1e-6 with power 0.999:
61.5/((1 - gain)^2 4 mu) for a gain, about 2 (4.75 + 3.09 (1 + e))^2/e^2 for an excess e. A block
here has n symbols in either quadrature and is tested two-sided at a session false-alarm rate of
1e-6 that is shared over four tests: a normal score has to exceed 5.16 instead of 4.75, which leaves
a power of about Phi(4.75 + 3.09 - 5.16) = 0.996 for one test alone.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from scipy import stats

from drivers.errors import VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.verification import Verifier, expected_return
from protocol.verification.expected import largest_alignment
from sim_backend.adversaries import (
    HONEST,
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    measures_only_x,
    returns_nothing,
    taps_and_amplifies,
)
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.blocks import block_of
from tests.unit.protocol.session_bench import Bench, normals, perceptron

RECEIVER = FeedForwardTap(tap_fraction=0.02)
"""Adds 0.005 SNU to one mode per frame: next to nothing, as the numbers of symbols assume."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An attack with the photons per symbol and the symbols per quadrature that should show it."""

    name: str
    behaviour: ReturnBehaviour
    mu: float
    symbols: int


def cases() -> list[Case]:
    """The table; the symbols of measuring X alone count P frames, half of all."""
    table: list[tuple[str, ReturnBehaviour, tuple[float, float, float]]] = [
        ("returns nothing", returns_nothing(), (1.5e3, 154, 16)),
        ("keeps 0.1", keeps_fraction(0.1), (5.8e5, 5.8e4, 5.8e3)),
        ("keeps 0.5", keeps_fraction(0.5), (1.8e4, 1.8e3, 180)),
        ("taps 0.1, amplifies", taps_and_amplifies(0.1), (3.0e3,) * 3),
        ("taps 0.5, amplifies", taps_and_amplifies(0.5), (97,) * 3),
        ("intercepts, resends", intercepts_and_resends(), (97,) * 3),
        ("measures X, P + 1", measures_only_x(1.0), (247,) * 3),
        ("measures X, P + 0.1", measures_only_x(0.1), (1.35e4,) * 3),
    ]
    return [
        Case(name=name, behaviour=behaviour, mu=mu, symbols=int(symbols))
        for name, behaviour, row in table
        for mu, symbols in zip((0.01, 0.1, 1.0), row, strict=True)
    ]


ROWS = 4


def refused_blocks(
    behaviour: ReturnBehaviour, mu: float, symbols: int, blocks: int, seed: int
) -> int:
    """How many of `blocks` sessions of one block with `symbols` in each quadrature are refused.

    A random half of the frames is measured in either quadrature. With coin flips, as the server
    makes them, the number in X scatters: 32 single symbols instead of 16 + 16 lower the power
    against a client that returns nothing at mu = 1 to 0.984 (6000 blocks).
    """
    modes = max(1, min(784, symbols // 200))
    inputs = max(1, round(2 * symbols / (modes * ROWS)))
    link = SymbolLink(LinkSettings(receiver=RECEIVER, seed=seed, device="cpu"), behaviour)
    generator = torch.Generator().manual_seed(seed)
    means = 2 * math.sqrt(mu) * torch.randn(1, ROWS, modes, generator=generator).sign()
    expectation = expected_return(
        link.server.describe(), RECEIVER, inputs=inputs, alignment=largest_alignment(means[0])
    )
    verifier = Verifier(expectation, false_alarm=1e-6, blocks=1)
    refused = 0
    for number in range(blocks):
        block = block_of(number, inputs=inputs, rows=ROWS, modes=modes)
        data = torch.randn(inputs, modes, generator=generator)
        data[data == 0] = 1.0  # a single mode must not be empty
        link.client.load(block, data / torch.linalg.vector_norm(data, dim=1, keepdim=True))
        link.server.send(block, means)
        link.client.measure(block)
        order = torch.randperm(inputs * ROWS, generator=generator)
        flips = (order % 2 == 0).reshape(inputs, ROWS)
        summary = link.server.collect_summary(block, flips, expectation.gain)
        refused += not verifier.test(summary).accepted
    return refused


def fewest(blocks: int, power: float = 0.99) -> int:
    """Count below which a binomial of `power` falls with probability below 1e-12."""
    return blocks - int(stats.binom.isf(1e-12, blocks, 1 - power))


def test_attacks_are_caught_within_their_symbols_when_each_has_one_block() -> None:
    """At least 0.99 of all blocks, and of every case what 0.99 may leave by chance.

    By theory 0.3 % of the 24 x 200 blocks escape; that 1 % do has probability below 1e-12, and so
    has each case's limit. Measured fractions for mu = 0.01, 0.1 and 1, left of 2000 blocks, right
    of 500:

        returns nothing    0.997 0.997 0.999     taps 0.1, amplifies    1.000 1.000 1.000
        keeps 0.1          0.995 0.996 0.996     taps 0.5, amplifies    1.000 1.000 1.000
        keeps 0.5          0.998 0.997 0.995     intercepts, resends    1.000 1.000 1.000
        measures X, P + 1  0.998 0.998 0.998     measures X, P + 0.1    0.996 0.996 0.996
    """
    blocks, total = 200, 0
    for seed, case in enumerate(cases()):
        found = refused_blocks(case.behaviour, case.mu, case.symbols, blocks, seed)
        print(f"{case.name}, mu {case.mu}, n {case.symbols}: {found / blocks:.4f} caught")
        assert found >= fewest(blocks), case
        total += found
    assert total / (blocks * len(cases())) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.name}, mu {case.mu}")
def test_each_attack_is_caught_in_99_of_100_when_many_blocks_are_tested(case: Case) -> None:
    """10,000 blocks: a fraction below 0.99 by more than chance (1e-12) fails."""
    found = refused_blocks(case.behaviour, case.mu, case.symbols, 10_000, seed=1)
    print(f"{case.name}, mu {case.mu}, n {case.symbols}: {found / 10_000:.4f} caught")
    assert found >= fewest(10_000)


def test_honest_blocks_pass_when_they_are_as_small_as_the_attacks() -> None:
    """24 x 100 blocks at 1e-6 each: one alarm by chance in 400 seeds, three never (below 1e-8)."""
    alarms = sum(
        refused_blocks(HONEST, case.mu, case.symbols, 100, seed)
        for seed, case in enumerate(cases())
    )
    assert alarms <= 2


ATTACKS = (
    returns_nothing(),
    keeps_fraction(0.3),
    taps_and_amplifies(0.3),
    intercepts_and_resends(),
    measures_only_x(1.0),
)


@pytest.mark.parametrize(
    "receiver",
    [Amplifier(gain=2.0), FeedForwardTap(tap_fraction=0.4), PassiveTap(tap_fraction=0.4)],
)
@pytest.mark.parametrize("full_return", [False, True])
def test_session_ends_at_its_first_block_when_the_client_cheats(
    receiver: Receiver, full_return: bool
) -> None:
    """Whole sessions of 20 blocks, 9 x 13 x 50 symbols in the first: 10 and more deviations."""
    for behaviour in (HONEST, *ATTACKS):
        bench = Bench(
            model=perceptron(),
            link_settings=LinkSettings(receiver=receiver, seed=4, device="cpu"),
            behaviour=behaviour,
            samples_per_block=50,
            policy_changes={"full_return": full_return},
        )
        data = normals(500, 12, seed=5)
        if behaviour is HONEST:
            assert bench.client.infer(data).shape == (500, 4)
            assert len(bench.server.record.blocks) == 20
            continue
        with pytest.raises(VerificationError, match="refused layer 0 rows 0-8 inputs 0-49"):
            bench.client.infer(data)
        assert len(bench.server.record.blocks) == len(bench.server_optics.sent) == 1
        assert not bench.server.record.accepted
        verdict = bench.server.record.blocks[0].verdict
        assert verdict is not None
        failed = verdict.failed.split(", ")
        if behaviour.name == measures_only_x(1.0).name:
            assert "P variance" in failed
            assert "X variance" not in failed
            assert "gain" not in failed
        elif behaviour.transmittance < 1:
            assert "gain" in failed
        else:
            assert {"X variance", "P variance"} <= set(failed)
            assert "gain" not in failed
