"""Thresholds in the ledger's chain: fixed with a session's first debit, readable by anybody."""

import os
import sqlite3
from pathlib import Path

import pytest

from drivers.errors import ConfigurationError, LedgerError
from protocol.certificates import ledger_mismatches
from protocol.ledger import ThresholdsCommitment, WeightLedger, read_history
from protocol.ledger._database import VERSION
from tests.unit.protocol.ledgers import no_bits
from tests.unit.protocol.session_bench import Bench, normals, perceptron

FIXED = "ab" * 32


def debit(ledger: WeightLedger, session: str, fixed: str | None = None) -> int:
    return ledger.debit(session, 0, 0, 4, 0.5, no_bits, thresholds_sha256=fixed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger: entry 2 fixes thresholds of session s, entry 4 begins t without any."""
    path = tmp_path / "w.ledger"
    with WeightLedger.create(path, "model", {0: 4}, None) as ledger:
        ledger.settle(debit(ledger, "s", FIXED), True)
        debit(ledger, "t")
        debit(ledger, "s")
    return path


def test_first_debit_holds_the_thresholds_when_the_ledger_is_opened_again(path: Path) -> None:
    with WeightLedger.open(path, "model") as ledger:
        found = ledger.commitment("s")
        assert found == ThresholdsCommitment(entry=2, thresholds_sha256=FIXED)
        assert ledger.commitment("t") == ThresholdsCommitment(entry=4, thresholds_sha256=None)
        assert ledger.commitment("u") is None
        assert [entry.thresholds_sha256 for entry in ledger.entries()] == [FIXED, None, None]


@pytest.mark.parametrize("session", ["s", "t"])
def test_thresholds_are_refused_when_the_session_was_debited_before(
    path: Path, session: str
) -> None:
    with WeightLedger.open(path, "model") as ledger:
        before = ledger.head
        with pytest.raises(LedgerError, match="fixed with its first debit or never"):
            debit(ledger, session, "cd" * 32)
        with pytest.raises(ConfigurationError, match="fingerprint of the thresholds is ''"):
            debit(ledger, "new", "")
        assert ledger.head == before


def test_ledger_of_version_1_is_opened_marked_and_goes_on(path: Path) -> None:
    """Its rows have no thresholds; from then on older programs refuse it by its version."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with WeightLedger.open(path, "model") as ledger:
        assert ledger.commitment("t") == ThresholdsCommitment(entry=4, thresholds_sha256=None)
        assert debit(ledger, "new", FIXED) == 6
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()
    assert read_history(path).commitments["new"].entry == 6


def test_history_is_read_without_a_trace_when_nobody_holds_the_ledger(path: Path) -> None:
    before = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)}
    history = read_history(path)
    assert {n: (path.parent / n).read_bytes() for n in os.listdir(path.parent)} == before
    with WeightLedger.open(path, "model") as ledger:
        assert history.hash_of(ledger.head.entries) == ledger.head.hash
    assert len(history.hashes) == 5
    assert history.hash_of(0) is history.hash_of(6) is None
    assert history.commitments["s"].entry == 2


def test_history_is_refused_when_the_chain_was_altered_or_there_is_none(path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger there"):
        read_history(path.with_name("other"))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER no_update")
    connection.execute(
        "UPDATE entries SET body = replace(body, ?, ?) WHERE id = 2", (FIXED, "cd" * 32)
    )
    connection.execute(
        "CREATE TRIGGER no_update BEFORE UPDATE ON entries "
        "BEGIN SELECT RAISE(ABORT, 'a ledger is never changed'); END"
    )
    connection.close()
    with pytest.raises(LedgerError, match="the hash chain breaks at entry 2"):
        read_history(path)


def test_session_fixes_what_the_client_is_told_before_its_light(tmp_path: Path) -> None:
    model = perceptron()
    rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
    with WeightLedger.create(tmp_path / "w", model.digest, rows, None) as ledger:
        bench = Bench(model=model, ledger=ledger)
        found: list[ThresholdsCommitment | None] = []
        bench.server_optics.before_send = lambda block: found.append(
            ledger.commitment(bench.server.record.session)
        )
        bench.client.infer(normals(20, 12))
        thresholds = bench.server.record.thresholds
        assert thresholds is not None
        assert found[0] == ThresholdsCommitment(entry=2, thresholds_sha256=thresholds.sha256)
        assert bench.client.record.thresholds == thresholds.sha256
        assert sum(entry.thresholds_sha256 is not None for entry in ledger.entries()) == 1


def statement(path: Path, **changes: object) -> dict[str, object]:
    history = read_history(path)
    ledger = {"session": "s", "entries": 3, "hash": history.hashes[2], "thresholds_entry": 2}
    values: dict[str, object] = {"side": "server", "thresholds_sha256": FIXED, "ledger": ledger}
    ledger |= {name: value for name, value in changes.items() if name in ledger}
    values |= {name: value for name, value in changes.items() if name in values}
    return {"statement": values}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"hash": "00" * 32}, ["ledger head"]),
        ({"entries": 9}, ["ledger head"]),
        ({"thresholds_sha256": "cd" * 32}, ["thresholds in the ledger"]),
        ({"thresholds_entry": 5}, ["thresholds in the ledger"]),
        ({"session": "t"}, ["thresholds in the ledger"]),
        ({"session": "u"}, ["ledger"]),
        ({"session": "u", "side": "client"}, []),
        ({"ledger": None}, ["ledger"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_certificate_is_held_to_the_ledgers_chain(
    path: Path, changes: dict[str, object], found: list[str]
) -> None:
    mismatches = ledger_mismatches(statement(path, **changes), read_history(path))
    assert [entry.what for entry in mismatches] == found
