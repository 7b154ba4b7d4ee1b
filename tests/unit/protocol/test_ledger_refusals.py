"""Blocks that passed and are charged in full again: a test of the whole session has refused it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from drivers.backend import Block, ReturnSummary
from drivers.errors import BudgetError, DriftError, LedgerError, VerificationError
from drivers.receivers import PassiveTap
from protocol.certificates import ledger_mismatches
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.ledger import WeightLedger, read_history
from protocol.messages import Message, Offer
from sim_backend.adversaries import measures_only_x
from sim_backend.settings import LinkSettings
from tests.unit.protocol.ledgers import PhotonCharge
from tests.unit.protocol.session_bench import Bench, normals, perceptron

ROOT = Path(__file__).resolve().parents[3]


bits = PhotonCharge(lambda verified, unverified: 0.1 * verified + unverified)


def spend(ledger: WeightLedger, session: str = "s", rows: int = 4, passed: bool = True) -> int:
    entry = ledger.debit(session, 0, 0, rows, 0.3, bits)
    ledger.settle(entry, passed)
    return entry


def test_refusal_moves_photons_back_and_leaves_no_rounding_behind() -> None:
    ledger = WeightLedger.create(None, "model", {0: 4}, None)
    kept = spend(ledger, "other", rows=2)
    entries = [spend(ledger) for _ in range(7)]
    waiting = ledger.debit("s", 0, 0, 4, 0.3, bits)
    ledger.refuse("s", [*entries, waiting])
    np.testing.assert_allclose(ledger.unverified_photons(0), 2.4, rtol=1e-14)
    np.testing.assert_allclose(ledger.verified_photons(0)[:2], 0.3, rtol=1e-14)
    # Rows of which nothing passed hold exactly nothing.
    np.testing.assert_array_equal(ledger.verified_photons(0)[2:], 0.0)
    states = {entry.entry: entry.state for entry in ledger.entries()}
    assert states.pop(kept) == "verified"
    assert set(states.values()) == {"unverified"}


def test_budget_counts_refused_blocks_at_their_worst_case() -> None:
    ledger = WeightLedger.create(None, "model", {0: 4}, 1.0)
    for _ in range(10):
        spend(ledger)
    assert ledger.debit("t", 0, 0, 4, 0.3, bits)
    ledger.refuse("s")
    with pytest.raises(BudgetError, match=r"has spent 3\.3 of its budget of 1"):
        ledger.debit("t", 0, 0, 4, 0.3, bits)


@pytest.mark.parametrize("wrong", [[2, 2], [99], [4], [8]], ids=["twice", "none", "other", "old"])
def test_refusal_changes_nothing_when_an_entry_is_wrong(wrong: list[int]) -> None:
    ledger = WeightLedger.create(None, "model", {0: 4}, None)
    assert spend(ledger) == 2
    assert spend(ledger, "other") == 4
    spend(ledger)
    assert spend(ledger, passed=False) == 8
    before = ledger.head
    with pytest.raises(LedgerError):
        ledger.refuse("s", [6, *wrong])
    assert ledger.head == before
    np.testing.assert_allclose(ledger.verified_photons(0), 0.9)


def test_tests_of_a_session_are_begun_and_ended_in_turns() -> None:
    ledger = WeightLedger.create(None, "model", {0: 4}, None)
    with pytest.raises(LedgerError, match="never debited"):
        ledger.begin_test("s")
    spend(ledger)
    with pytest.raises(LedgerError, match="no test of session s was begun"):
        ledger.end_test("s")
    ledger.begin_test("s")
    with pytest.raises(LedgerError, match="is not done"):
        ledger.begin_test("s")
    ledger.end_test("s")
    entry = ledger.debit("s", 0, 0, 4, 0.3, bits)
    ledger.begin_test("s")
    ledger.settle(entry, True)
    ledger.begin_test("s")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger: two blocks of session s passed, one of t."""
    path = tmp_path / "w.ledger"
    with WeightLedger.create(path, "model", {0: 4}, None) as ledger:
        spend(ledger)
        spend(ledger, "t")
        spend(ledger)
    return path


def test_refusal_holds_and_is_seen_by_a_witness_when_the_ledger_is_opened_again(path: Path) -> None:
    assert read_history(path).passed == {"s": 2, "t": 1}
    with WeightLedger.open(path, "model") as ledger:
        ledger.refuse("s", [6])
        state = list(ledger.entries()), ledger.totals(), ledger.verified_photons(0)
    with WeightLedger.open(path, "model") as ledger:
        assert (list(ledger.entries()), ledger.totals()) == state[:2]
        np.testing.assert_array_equal(ledger.verified_photons(0), state[2])
        assert ledger.totals().unverified == 1
    history = read_history(path)
    assert (history.refusals, history.passed) == ({"s": 8}, {"s": 1, "t": 1})


CHILD = """
import os, signal, sys
from protocol.ledger import WeightLedger
from tests.unit.protocol.ledgers import no_bits
ledger = WeightLedger.open(sys.argv[1], "model")
ledger.begin_test("s")
{then}
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("then", "passed"),
    [
        ("", {"t": 1}),
        ('ledger.end_test("s")', {"s": 2, "t": 1}),
        ('ledger.settle(ledger.debit("s", 0, 0, 4, 0.3, no_bits), True)', {"s": 3, "t": 1}),
        ('ledger.refuse("s", [6])', {"s": 1, "t": 1}),
    ],
    ids=["untold", "passed", "settled", "refused"],
)
def test_session_is_refused_when_its_server_was_killed_before_a_test_was_done(
    path: Path, then: str, passed: dict[str, int]
) -> None:
    command = [sys.executable, "-c", CHILD.format(then=then), str(path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    with WeightLedger.open(path, "model") as ledger:
        states = [entry.state for entry in ledger.entries() if entry.session == "s"]
        assert states.count("verified") == passed.get("s", 0)
        head = ledger.head
    assert read_history(path).passed == passed
    with WeightLedger.open(path, "model") as ledger:
        assert ledger.head == head  # once is enough


def statement(path: Path, accepted: bool, copies: int) -> dict[str, object]:
    """A certificate of session s without thresholds, made now."""
    hashes = read_history(path).hashes
    ledger = {
        "session": "s",
        "entries": len(hashes),
        "hash": hashes[-1],
        "thresholds_entry": 2,
    }
    return {
        "statement": {
            "side": "server",
            "thresholds_sha256": None,
            "ledger": ledger,
            "accepted": accepted,
            "layers": [{"copies_verified": copies}],
        }
    }


def test_certificate_is_refused_when_it_says_more_than_the_ledger(path: Path) -> None:
    def found(accepted: bool, copies: int) -> list[str]:
        history = read_history(path)
        return [one.what for one in ledger_mismatches(statement(path, accepted, copies), history)]

    assert found(True, 2) == []
    with WeightLedger.open(path, "model") as ledger:
        ledger.refuse("s", [6])
    assert found(False, 1) == []
    assert found(True, 1) == ["verdict in the ledger"]
    with WeightLedger.open(path, "model") as ledger:
        ledger.refuse("s")
    assert found(False, 0) == []
    assert found(False, 1) == ["verified copies"]


def cheating_bench(seed: int, **changes: object) -> Bench:
    """A client whose noise no block shows, and the session's sums do."""
    return Bench(
        model=perceptron((100, 50)),
        link_settings=LinkSettings(receiver=PassiveTap(tap_fraction=0.01), seed=seed, device="cpu"),
        behaviour=measures_only_x(0.02),
        photons=(0.01,),
        samples_per_block=2,
        policy_changes={"false_alarm": 1e-3, **changes},
    )


def test_blocks_since_the_last_clean_point_are_charged_in_full_when_a_running_test_fails() -> None:
    bench = cheating_bench(3)
    with pytest.raises(VerificationError, match="running P variance"):
        bench.client.infer(normals(400, 100))
    blocks = bench.server.record.blocks
    assert blocks[-1].session_failed == "running P variance"
    entries = list(bench.spent.entries())
    states = [entry.state for entry in entries]
    assert len(states) == len(blocks)
    clean = states.index("unverified")
    # In order: clean ones stay, all that follow and the last itself are charged in full.
    assert states == ["verified"] * clean + ["unverified"] * (len(blocks) - clean)
    assert len(blocks) - clean > 1
    assert [found.verified for found in blocks] == [state == "verified" for state in states]
    np.testing.assert_allclose(bench.spent.unverified_photons(0), 0.02 * (len(blocks) - clean))


def test_all_blocks_are_charged_in_full_when_a_test_of_the_whole_fails() -> None:
    """Too few dummies: found when the session ends, with every block settled as passed."""
    bench = Bench(model=perceptron((20, 10)), photons=(0.5,), policy_changes={"audit_share": 0.3})

    def meddle(message: Message) -> Message:
        answer = bench.server.handle(message)
        return replace(answer, audit_share=1e-12) if isinstance(answer, Offer) else answer

    client = ClientParty(bench.client_optics, LocalChannel(meddle))
    with pytest.raises(VerificationError, match="audits opened"):
        client.infer(normals(90, 20))
    assert [entry.state for entry in bench.spent.entries()] == ["unverified"] * 9
    assert not any(found.verified for found in bench.server.record.blocks)
    np.testing.assert_array_equal(bench.spent.verified_photons(0), 0.0)


@pytest.mark.parametrize("earlier", [0, 2, 99])
def test_blocks_of_records_that_cannot_be_trusted_together_are_charged_in_full(
    earlier: int,
) -> None:
    """The bench's receiver refuses the fifth record and some before it; each block is a burst."""
    bench = Bench(model=perceptron((12, 9)), photons=(1.0,))
    collect = bench.server_optics.collect_summary

    def refusing(block: Block, quadratures: Tensor, reference_gain: float) -> ReturnSummary:
        if block.first_input == 40:
            raise DriftError("the unit has moved", earlier=earlier)
        return collect(block, quadratures, reference_gain)

    bench.server_optics.collect_summary = refusing  # type: ignore[method-assign]
    with pytest.raises(DriftError, match="the unit has moved"):
        bench.client.infer(normals(100, 12))
    doubted = min(4, earlier)
    states = [entry.state for entry in bench.spent.entries()]
    assert states == ["verified"] * (4 - doubted) + ["unverified"] * doubted + ["reserved"]
    verified = [found.verified for found in bench.server.record.blocks]
    assert verified == [True] * (4 - doubted) + [False] * doubted


def test_session_is_refused_when_its_server_was_killed_while_it_made_a_test(
    tmp_path: Path,
) -> None:
    """Killed with the fifth block's test made and nothing written: nobody knows what it said."""
    path = tmp_path / "w.ledger"
    assert (
        subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False).returncode
        == -9
    )
    with WeightLedger.open(path, perceptron((12, 9)).digest) as ledger:
        states = [entry.state for entry in ledger.entries()]
        # The block of which the light was out stays reserved, which counts in full as well.
        assert states == ["unverified"] * 4 + ["reserved"]
        np.testing.assert_allclose(ledger.unverified_photons(0), 5 * 10.0)


KILLED = """
import os, signal, sys
from protocol.ledger import WeightLedger
from protocol.verification.session import SessionMonitor
from tests.unit.protocol.ledgers import PhotonCharge
from tests.unit.protocol.session_bench import Bench, normals, perceptron
model = perceptron((12, 9))
ledger = WeightLedger.create(sys.argv[1], model.digest, {0: 9}, None)
add = SessionMonitor.add
def killed(self, *arguments):
    found = add(self, *arguments)
    if len(list(ledger.entries())) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
SessionMonitor.add = killed
Bench(model=model, ledger=ledger, photons=(1.0,)).client.infer(normals(100, 12))
"""
