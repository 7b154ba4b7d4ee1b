"""The sums of tests in the server's ledger: written with a block, gone with its photons."""

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigurationError, LedgerError
from protocol.ledger import BlockTests, QuadratureSums, WeightLedger
from tests.unit.protocol.ledgers import no_bits

SETTINGS = {"photons_per_symbol": 0.5, "detector": [0.9, None]}
OTHERS = {**SETTINGS, "photons_per_symbol": 0.25}


def sums(scale: int) -> QuadratureSums:
    return QuadratureSums(
        symbols=10 * scale,
        frames=scale,
        sent_energy_snu=4.0 * scale,
        projection_snu=-1.5 * scale,
        residual_energy_snu=11.0 * scale,
    )


def counted(scale: int = 1, settings: dict[str, Any] | None = None) -> BlockTests:
    return BlockTests(settings=settings or SETTINGS, x=sums(scale), p=sums(2 * scale))


def passed(ledger: WeightLedger, session: str, tests: BlockTests | None, rows: int = 4) -> int:
    entry = ledger.debit(session, 0, 0, rows, 0.5, no_bits)
    ledger.settle(entry, verified=True, tested=tests)
    return entry


def test_ledger_adds_sums_of_all_sessions_when_their_settings_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with WeightLedger.create(path, "weights", {0: 4, 1: 2}, None) as ledger:
        for session, tests in (("a", counted(1)), ("a", counted(2)), ("b", counted(3))):
            passed(ledger, session, tests)
        passed(ledger, "b", counted(7, OTHERS))
        passed(ledger, "b", None)
        before = ledger.tested(0)
        assert ledger.tested(1) == ()
    with WeightLedger.open(path, "weights") as ledger:
        assert ledger.tested(0) == before
    alike, other = before
    assert (alike.settings, alike.photons) == (SETTINGS, 1.5)
    assert (alike.x, alike.p) == (sums(6), sums(12))
    assert (other.settings, other.x) == (OTHERS, sums(7))


def test_ledger_counts_the_row_with_fewest_photons_when_blocks_have_other_rows() -> None:
    with WeightLedger.create(None, "weights", {0: 4}, None) as ledger:
        passed(ledger, "a", counted())
        passed(ledger, "b", counted(), rows=3)
        (pool,) = ledger.tested(0)
    assert pool.photons == 0.5
    assert pool.x == sums(2)


def test_ledger_forgets_sums_when_a_later_test_refuses_their_block(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with WeightLedger.create(path, "weights", {0: 4}, None) as ledger:
        passed(ledger, "a", counted(1))
        second = passed(ledger, "b", counted(2))
        passed(ledger, "b", counted(4))
        ledger.begin_test("b")
        ledger.refuse("b", [second])
        assert ledger.tested(0)[0].x == sums(5)
        ledger.begin_test("b")
    # Killed before it said how the test ended: the whole session is refused.
    with WeightLedger.open(path, "weights") as ledger:
        (pool,) = ledger.tested(0)
        assert (pool.x, pool.photons) == (sums(1), 0.5)


def test_ledger_keeps_no_sums_when_a_block_did_not_pass() -> None:
    with WeightLedger.create(None, "weights", {0: 4}, None) as ledger:
        entry = ledger.debit("a", 0, 0, 4, 0.5, no_bits)
        ledger.settle(entry, verified=False, tested=counted())
        assert ledger.tested(0) == ()


def test_ledger_writes_settings_once_when_blocks_of_a_session_share_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with WeightLedger.create(path, "weights", {0: 4}, None) as ledger:
        passed(ledger, "a", counted())
        passed(ledger, "a", counted())
        passed(ledger, "b", counted())
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT body FROM entries WHERE kind = 'settle'").fetchall()
    finally:
        connection.close()
    told = ["settings" in json.loads(body)["tested"] for (body,) in rows]
    assert told == [True, False, True]


@pytest.mark.parametrize("name", ["symbols", "sent_energy_snu", "residual_energy_snu"])
@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf")])
def test_sums_are_refused_by_name_when_they_are_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} of a block's tests is {value}"):
        QuadratureSums(**{**asdict(sums(1)), name: value})


def test_ledger_is_called_damaged_when_a_row_has_sums_of_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with WeightLedger.create(path, "weights", {0: 4}, None) as ledger:
        entry = ledger.debit("a", 0, 0, 4, 0.5, no_bits)
        body = {"entries": [entry], "verified": True, "tested": {"x": {}, "p": {}}}
        with pytest.raises(LookupError):
            ledger._store.append("settle", body)
    with pytest.raises(LedgerError, match="does not have the form"):
        WeightLedger.open(path, "weights")
