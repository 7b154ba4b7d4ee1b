"""Batches that are cut into blocks of a few data vectors: the same session in smaller steps."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from drivers.backend import Block, ClientOpticsInfo
from drivers.errors import BudgetError, VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.block_sizes import fitting_inputs_per_block, inputs_within_budget
from protocol.budget import Charge, charge_for_layer
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.client_policy import ClientPolicy
from protocol.defences import Defences, disguise_network
from protocol.honest_channel import server_trust
from protocol.ledger import RowLight, WeightLedger
from protocol.messages import PROTOCOL_VERSION as VERSION
from protocol.messages import BlockReady, Hello, Query, Refusal
from protocol.plan import LayerPlan, Plan
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from protocol.verification import expected_return
from protocol.verification.outcome_tests import OutcomeMonitor, OutcomeSettings
from sim_backend.adversaries import (
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    taps_and_amplifies,
)
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import Bench, convolutional, normals, perceptron

IMAGES = normals(7, 2, 8, 7)
CUT = LinkSettings(seed=3, device="cpu", modes_per_frame=5)


def cut_bench(inputs_per_block: int, **changes: object) -> Bench:
    settings: dict[str, object] = {
        "model": convolutional(),
        "link_settings": CUT,
        "samples_per_block": 3,
        "rows_per_block": 2,
    }
    return Bench(**{**settings, **changes}, inputs_per_block=inputs_per_block)  # type: ignore[arg-type]


@pytest.mark.parametrize("inputs_per_block", [4, 17, 35, 1000])
def test_session_says_the_same_when_its_batches_are_cut(inputs_per_block: int) -> None:
    whole, cut = cut_bench(0), cut_bench(inputs_per_block)
    expected, found = (bench.client.infer(IMAGES) for bench in (whole, cut))
    # A seeded link draws outcomes per data vector, in order, wherever a batch is cut.
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    for bench in (whole, cut):
        assert bench.server.record.accepted
        assert len(bench.server.record.blocks) == bench.plan.blocks(7)
    assert cut.server.record.sent_inputs == whole.server.record.sent_inputs
    for layer in (0, 4):
        one, other = (bench.server.record.evidence[layer] for bench in (whole, cut))
        assert one.symbols == pytest.approx(other.symbols)
        # The returned light's sums are drawn per block: equal in distribution, 1e3 and more values.
        assert one.gain == pytest.approx(other.gain, abs=0.1)
        spent = [bench.spent.verified_photons(layer) for bench in (whole, cut)]
        assert spent[0] == pytest.approx(spent[1])


def test_a_block_is_settled_before_the_next_is_charged_when_a_batch_is_cut() -> None:
    bench = cut_bench(10)
    waiting: list[int] = []
    photons: list[float] = []

    def look(block: Block) -> None:
        waiting.append(bench.spent.totals().reserved)
        photons.append(float(bench.spent.unverified_photons(block.layer).max()))

    bench.server_optics.before_send = look
    bench.client.infer(IMAGES)
    assert len(waiting) == bench.plan.blocks(7)
    assert set(waiting) == {1}
    assert max(photons) == pytest.approx(10 * bench.plan.layers[0].photons_per_symbol)
    first_tiles = sum(block.tile == 0 for block, _ in bench.server_optics.sent)
    assert bench.spent.totals().verified == first_tiles


def charges_of(bench: Bench) -> dict[int, Charge]:
    info, receiver = bench.server.info, bench.link_settings.receiver
    law = expected_return(info, receiver)
    return {
        entry.layer: charge_for_layer(entry, law, server_trust(info)) for entry in bench.plan.layers
    }


def test_budget_allows_a_session_in_small_blocks_when_it_refuses_the_whole_batch() -> None:
    settings = LinkSettings(receiver=FeedForwardTap(tap_fraction=0.1), seed=1, device="cpu")
    bench = Bench(model=convolutional(), link_settings=settings, budget=2.2, photons=(0.5, 0.2))
    with pytest.raises(BudgetError, match=r"layer 0.*budget of 2.2"):
        bench.client.infer(IMAGES)
    fits = fitting_inputs_per_block(bench.plan, 7, charges_of(bench), bench.new_ledger(None, 2.2))
    assert 1 <= fits < 35
    cut = replace(bench, inputs_per_block=fits, ledger=None)
    cut.client.infer(IMAGES)
    assert cut.server.record.accepted
    # One data vector more in a block, and its last block is one too many.
    over = replace(bench, inputs_per_block=fits + 1, ledger=None)
    with pytest.raises(BudgetError):
        over.client.infer(IMAGES)
    assert over.spent.totals().entries > 5


def test_largest_block_is_the_last_that_fits_when_counted_one_by_one() -> None:
    bench = Bench(model=convolutional(), photons=(0.4, 0.2))
    entry, charge = bench.plan.layers[0], charges_of(bench)[0]
    mu = entry.photons_per_symbol
    for budget, before in ((1.0, (0.0, 0.0)), (1.3, (3.0, 0.4)), (2.0, (0.0, 2.0))):
        verified, unverified = before
        rows = np.ones(3, np.float64)
        spent = RowLight.received(charge.channel, verified * rows, unverified * rows, 0 * rows)
        found = inputs_within_budget(charge, mu, 140, 70, budget, spent)
        blocks = np.arange(1, 71, dtype=np.float64)
        bits = charge(verified + (140 - blocks) * mu, unverified + blocks * mu)
        fitting = blocks[bits <= budget].astype(int).tolist()
        assert found == max(fitting, default=0)
        assert fitting == list(range(1, found + 1))


def test_fitting_size_is_the_plans_own_when_nothing_is_too_much() -> None:
    bench = cut_bench(12)
    charges = charges_of(bench)
    for budget in (None, 1e3):
        ledger = bench.new_ledger(None, budget)
        assert fitting_inputs_per_block(bench.plan, 7, charges, ledger) == 12
    with pytest.raises(BudgetError, match=r"layer 0: 700 samples.*at most \d+ samples fit"):
        fitting_inputs_per_block(bench.plan, 700, charges, bench.new_ledger(None, 5.0))
    with pytest.raises(BudgetError, match="not one sample fits"):
        fitting_inputs_per_block(bench.plan, 7, charges, bench.new_ledger(None, 0.01))


def test_number_of_samples_that_fit_is_exact_when_the_error_names_it() -> None:
    bench = cut_bench(0)
    charges, ledger = charges_of(bench), bench.new_ledger(None, 5.0)
    with pytest.raises(BudgetError) as caught:
        fitting_inputs_per_block(bench.plan, 700, charges, ledger)
    number = int(str(caught.value).partition("at most ")[2].split()[0].replace(",", ""))
    assert fitting_inputs_per_block(bench.plan, number, charges, ledger) >= 1
    with pytest.raises(BudgetError):
        fitting_inputs_per_block(bench.plan, number + 1, charges, ledger)


def test_one_disguise_lasts_for_a_batch_when_it_is_cut() -> None:
    model = perceptron((12, 9, 4))
    network = disguise_network(
        model,
        Defences(permute=True),
        (50.0, 50.0),
        encoding="real",
        modes_per_frame=64,
        samples_per_block=6,
        inputs_per_block=2,
    )
    assert network.plan.inputs_per_block == 2
    link = SymbolLink(LinkSettings(seed=1, device="cpu"))
    server = ServerParty(
        model,
        network.plan,
        link.server,
        ServerPolicy(receiver=link.settings.receiver),
        WeightLedger.create(None, model.digest, {0: 9, 2: 4}, None),
        random_bits=SeededBits(1),
        disguise=network,
    )
    outputs = ClientParty(link.client, LocalChannel(server.handle)).infer(normals(12, 12))
    assert server.light.disguised[0].blocks == 2
    assert len(server.record.blocks) == 2 * 2 * 3
    scaled = (normals(12, 12) - 0.5) * 0.75
    assert float((outputs - model.forward(scaled)).std()) < 0.3 * float(outputs.std())


@pytest.mark.parametrize("receiver", [Amplifier(gain=3.0), FeedForwardTap(tap_fraction=0.3)])
def test_audits_look_along_the_opened_vectors_when_a_batch_is_cut(receiver: Receiver) -> None:
    """Along other vectors the receiver's own noise would be missing: the audit would refuse it."""
    benches = [
        Bench(
            model=convolutional(),
            link_settings=LinkSettings(receiver=receiver, seed=5, device="cpu"),
            samples_per_block=6,
            inputs_per_block=inputs,
            policy_changes={"audit_share": 0.5, "false_alarm": 1e-6},
            client_policy=ClientPolicy(seed=2),
        )
        for inputs in (0, 20)
    ]
    scores = []
    for bench in benches:
        bench.client.infer(normals(12, 2, 8, 7))
        assert bench.client.record.opened >= 2
        scores.append([t for t in bench.server.record.tests if t.name.startswith("audited data")])
    assert [(t.name, t.symbols) for t in scores[0]] == [(t.name, t.symbols) for t in scores[1]]
    assert len(scores[1]) == 2
    assert all(test.passed for test in scores[1])
    # The limit is a ratio to what is expected along the vectors; elsewhere it would be 1/3 of it.
    assert [t.score for t in scores[1]] == pytest.approx([t.score for t in scores[0]], rel=0.1)


@pytest.mark.parametrize(
    "changes",
    [{"inputs": 11}, {"inputs": 9}, {"first_input": 5}, {"inputs": 105}, {"first_input": 1000}],
)
def test_server_refuses_when_a_block_is_cut_in_another_way(changes: dict[str, int]) -> None:
    bench = cut_bench(10)
    receiver = bench.link_settings.receiver
    bench.server.handle(
        Hello(
            version=VERSION,
            receiver=receiver.kind,
            receiver_setting=receiver.setting,
            modes_per_frame=5,
        )
    )
    session = bench.server.record.session
    bench.server.handle(Query(session=session, samples=7))
    entry = bench.plan.layers[0]
    block = replace(bench.plan.block(0, entry, 0, (0, 2), (0, 10)), **changes)
    answer = bench.server.handle(BlockReady(**{**block.__dict__, "session": session}))
    assert isinstance(answer, Refusal)
    assert "not one of the plan" in answer.reason
    assert bench.spent.totals().entries == 0


def attacked(inputs_per_block: int, behaviour: ReturnBehaviour, seed: int) -> tuple[float, str]:
    """Symbols until the server refuses, and by which tests; infinity if it does not."""
    bench = Bench(
        model=perceptron((100, 40), bias=False),
        link_settings=LinkSettings(
            receiver=FeedForwardTap(tap_fraction=0.1), seed=seed, device="cpu"
        ),
        behaviour=behaviour,
        photons=(0.5,),
        samples_per_block=500,
        inputs_per_block=inputs_per_block,
    )
    try:
        bench.client.infer(normals(500, 100, seed=9))
    except VerificationError:
        blocks = bench.server.record.blocks
        return float(sum(record.block.symbols for record in blocks)), blocks[-1].failed
    return math.inf, ""


@pytest.mark.parametrize(
    ("behaviour", "test"),
    [
        (keeps_fraction(0.03), "running gain"),
        (taps_and_amplifies(0.02), "running [XP] variance"),
        (intercepts_and_resends(0.05), "[XP] variance|fourth moment|row sums"),
    ],
    ids=["keeps", "taps", "resends"],
)
def test_session_tests_catch_in_small_blocks_what_one_large_block_shows(
    behaviour: ReturnBehaviour, test: str
) -> None:
    """2e6 symbols in one block show all three; 5 inputs in a block no more than Page's sums do.

    A gain that is off by d in 2e4 symbols of 0.5 photons shows d sqrt(1e4 x 2) = 2.1 standard
    deviations for 3 % kept, of 5.6 that a block would need; the sums refuse after about 1/7 of the
    large block's light. Its own test must wait for all of it.
    """
    for seed in range(4):
        assert attacked(0, behaviour, seed)[0] == 2e6
        symbols, failed = attacked(5, behaviour, seed)
        assert symbols <= 6e5
        assert re.search(test, failed)


@pytest.mark.parametrize("receiver", [Amplifier(gain=2.0), PassiveTap(tap_fraction=0.1)])
def test_honest_sessions_pass_at_the_agreed_rate_when_blocks_hold_one_input(
    receiver: Receiver,
) -> None:
    """12 sessions at a rate of 0.2 for either party; fails below a surprise of 1e-9: 12 of 12."""
    refusals = {"server": 0, "client": 0}
    for seed in range(12):
        bench = Bench(
            model=perceptron((30, 12, 4)),
            link_settings=LinkSettings(receiver=receiver, seed=seed, device="cpu"),
            samples_per_block=8,
            inputs_per_block=1,
            policy_changes={"false_alarm": 0.2, "audit_share": 0.3},
            client_policy=ClientPolicy(false_alarm=0.2, seed=seed),
        )
        try:
            bench.client.infer(normals(16, 30, seed=seed))
        except VerificationError as error:
            refusals["server" if "the server refused" in str(error) else "client"] += 1
    assert stats.binom.sf(max(refusals.values()) - 1, 12, 0.2) > 1e-9


def outcome_monitor(inputs_per_block: int, samples: int = 60, rows: int = 20) -> OutcomeMonitor:
    """Of one layer of so many rows of 30 modes."""
    layer = LayerPlan(
        layer=0,
        rows=rows,
        entries=30,
        positions=1,
        encoding="real",
        photons_per_symbol=0.01,
        scale_snu=1.0,
        tiles=(30,),
    )
    settings = OutcomeSettings(
        false_alarm=1e-6,
        variance_slack=0.0,
        largest_row_norm=4.0,
        largest_row_correlation=0.0,
        samples=samples,
        dummies=1,
        probes=0,
    )
    info = ClientOpticsInfo(
        backend="b",
        simulated=True,
        seed=None,
        receiver=Amplifier(gain=2.0),
        modes_per_frame=30,
        symbol_rate_hz=1e9,
        signal_gain=1.0,
        outcome_variance_snu=2.0,
    )
    plan = Plan(layers=(layer,), samples_per_block=samples, inputs_per_block=inputs_per_block)
    return OutcomeMonitor(settings, info, plan)


def block_of(first: int, inputs: int, rows: int = 20) -> Block:
    return Block(
        run=0, layer=0, tile=0, first_input=first, inputs=inputs, first_row=0, rows=rows, modes=30
    )


@pytest.mark.parametrize(
    ("factor", "test"), [(0.80, "outcome floor"), (1.7, "outcome power"), (1.0, "")]
)
def test_client_tests_the_batch_so_far_when_its_blocks_are_small(factor: float, test: str) -> None:
    """What 1200 outcomes show and 40 of them do not."""
    outcomes = factor * math.sqrt(2) * normals(60, 20, seed=4)
    whole, cut, fresh = (outcome_monitor(inputs) for inputs in (0, 2, 2))
    assert whole.add(block_of(0, 60), outcomes) == test
    failed = ""
    for first in range(0, 60, 2):
        part = outcomes[first : first + 2]
        # By itself no block shows it.
        assert outcome_monitor(2).add(block_of(first, 2), part) == ""
        failed = failed or cut.add(block_of(first, 2), part)
    assert failed == test
    assert fresh.add(block_of(0, 2), outcomes[:2]) == ""


def test_client_finds_repeated_rows_over_all_dummies_of_a_batch_when_blocks_are_small() -> None:
    """Rows of a pair alike: 60 dummies show it, whether in one block or in thirty of two."""
    signal = normals(60, 10, seed=5).repeat_interleave(2, dim=1)
    outcomes = signal + math.sqrt(0.5) * normals(60, 20, seed=6)
    whole, cut = outcome_monitor(0), outcome_monitor(2)
    assert "repeated rows" in whole.add_dummies(block_of(0, 60), outcomes)
    for first in range(0, 60, 2):
        cut.add_dummies(block_of(first, 2), outcomes[first : first + 2])
    found = {score.name: score for monitor in (whole, cut) for score in monitor.scores}
    assert not found["repeated rows"].passed
    assert "repeated rows" in cut.failed


def test_dummies_energies_count_once_when_a_batch_is_cut() -> None:
    outcomes = math.sqrt(2.04) * normals(60, 20, seed=7)
    whole, cut = outcome_monitor(0), outcome_monitor(7)
    whole.add_dummies(block_of(0, 60), outcomes)
    for first, inputs in Plan.input_ranges(cut._plan, cut._plan.layers[0], range(60)):
        cut.add_dummies(block_of(first, inputs), outcomes[first : first + inputs])
    for monitor in (whole, cut):
        monitor.end_of_dummies()
    scores = [
        next(score for score in monitor.scores if score.name == "dummy power")
        for monitor in (whole, cut)
    ]
    assert scores[0].symbols == scores[1].symbols == 60
    assert scores[0].score == pytest.approx(scores[1].score)
    assert scores[0].limit == pytest.approx(scores[1].limit)
