"""One owner at a time, and what is there after the owner was killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import LedgerError
from protocol.ledger import WeightLedger
from tests.unit.protocol.ledgers import closed_ledger, photons, spend

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger with three debits: four rows."""
    return closed_ledger(tmp_path)


def test_second_open_is_refused_with_the_process_id_of_the_owner(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with WeightLedger.open(path, "model"):
        for name in (path, link):
            with pytest.raises(LedgerError, match=f"in use by process {os.getpid()} "):
                WeightLedger.open(name, "model")
    assert photons(link) == 0.375


def test_two_owners_are_refused_even_without_the_lock_file(path: Path) -> None:
    with WeightLedger.open(path, "model") as ledger:
        path.with_name(path.name + ".lock").unlink()
        script = (
            "import sqlite3, sys\n"
            f"c = sqlite3.connect({str(path)!r}, timeout=0)\n"
            "try:\n    c.execute('BEGIN IMMEDIATE')\n"
            "except sqlite3.OperationalError as e:\n    sys.exit(str(e))\n"
        )
        child = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert "locked" in child.stderr
        spend(ledger)


def test_forked_child_cannot_spend_from_its_parents_ledger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WeightLedger.open(path, "model") as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            with pytest.raises(LedgerError, match="only the process that opened"):
                spend(ledger)
        spend(ledger)
    assert photons(path) == 0.5


CHILD = """
import sys
from protocol.ledger import WeightLedger
from tests.unit.protocol.ledgers import no_bits
ledger = WeightLedger.open(sys.argv[1], "model")
while True:
    entry = ledger.debit("s", 0, 0, 4, 0.125, no_bits)
    print(entry, flush=True)
    if entry % 3 == 0:
        ledger.settle(entry, True)
        print(-entry, flush=True)
"""


def start_child(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_acknowledged_entries_are_there_after_the_process_was_killed(path: Path) -> None:
    random = np.random.default_rng(11)
    acknowledged: list[int] = []
    for _ in range(10):
        with start_child(path) as child:
            assert child.stdout is not None
            for _ in range(int(random.integers(1, 25))):
                acknowledged.append(int(child.stdout.readline()))
            # The child is by now anywhere inside the next commits.
            np.linalg.svd(random.normal(size=(int(random.integers(1, 120)),) * 2))
            child.kill()
            acknowledged += [int(line) for line in child.stdout if line.endswith("\n")]
        with WeightLedger.open(path, "model") as ledger:
            entries = {entry.entry: entry for entry in ledger.entries()}
            settled = {-number for number in acknowledged if number < 0}
            assert {number for number in acknowledged if number > 0} <= set(entries)
            assert all(entries[number].state == "verified" for number in settled)
            sent = ledger.verified_photons(0) + ledger.unverified_photons(0)
            np.testing.assert_array_equal(sent, 0.125 * len(entries))
            # At most one commit per life of the child was not acknowledged.
            assert len(entries) <= 3 + 10 + sum(number > 0 for number in acknowledged)


def test_lock_names_another_process_and_frees_itself_when_that_is_killed(path: Path) -> None:
    with start_child(path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LedgerError, match=f"in use by process {child.pid} .another process"):
            WeightLedger.open(path, "model")
        child.kill()
    assert path.with_name(path.name + ".lock").read_text() == f"{child.pid}\n"
    assert photons(path) >= 0.5


def test_copy_without_the_write_ahead_file_of_a_crash_is_refused(path: Path) -> None:
    with start_child(path) as child:
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        child.kill()
    path.with_name(path.name + "-wal").unlink()
    with pytest.raises(LedgerError, match=r"rolled back.*its -wal file"):
        WeightLedger.open(path, "model")
