"""Ledger files: missing, damaged, rolled back, foreign, locked, refused by the system."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from drivers.errors import LedgerError
from protocol.ledger import LedgerHead, WeightLedger, _head, _store
from protocol.ledger._database import row_hash
from tests.unit.protocol.ledgers import closed_ledger, no_bits, photons, spend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger with three debits: four rows."""
    return closed_ledger(tmp_path)


def head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def edit(path: Path, *statements: str) -> None:
    """Change the database behind the ledger's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def backup(path: Path, name: str) -> tuple[Path, Path]:
    folder = path.parent / name
    folder.mkdir()
    return (
        Path(shutil.copy(path, folder)),
        Path(shutil.copy(head_of(path), folder)),
    )


def test_closed_ledger_is_two_files_and_a_lock_that_means_nothing(path: Path) -> None:
    names = {entry.name for entry in path.parent.iterdir()}
    assert names == {"weights.ledger", "weights.ledger.head", "weights.ledger.lock"}
    assert photons(path) == 0.375


def test_open_refuses_a_missing_ledger_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(
        LedgerError, match=r"no ledger there.*create it with `--new-ledger` or WeightLedger\.create"
    ):
        WeightLedger.open(tmp_path / "weights.ledger", "model")
    assert list(tmp_path.iterdir()) == []


def test_open_refuses_a_deleted_ledger_and_create_does_not_replace_it(path: Path) -> None:
    path.unlink()
    with pytest.raises(LedgerError, match="no ledger there"):
        WeightLedger.open(path, "model")
    with pytest.raises(LedgerError, match="exists already and is not overwritten"):
        WeightLedger.create(path, "model", {0: 4}, 1.0)


def test_create_refuses_to_overwrite_any_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="exists already and is not overwritten"):
        WeightLedger.create(path, "model", {0: 4}, 1.0)
    assert photons(path) == 0.375
    other = tmp_path / "thesis.txt"
    other.write_text("words")
    with pytest.raises(LedgerError, match="exists already and is not overwritten"):
        WeightLedger.create(other, "model", {0: 4}, 1.0)
    assert other.read_text() == "words"


def test_open_refuses_the_ledger_of_another_model_and_shows_both(path: Path) -> None:
    with pytest.raises(LedgerError, match="of the model model, the weights to be sent are other"):
        WeightLedger.open(path, "other")


def test_open_refuses_a_file_that_is_no_ledger_and_leaves_it_alone(tmp_path: Path) -> None:
    text, database = tmp_path / "text", tmp_path / "database"
    text.write_text("no database " * 100)
    edit(database, "CREATE TABLE mine (a)")
    before = database.read_bytes()
    with pytest.raises(LedgerError, match="file is not a database"):
        WeightLedger.open(text, "model")
    with pytest.raises(LedgerError, match="not a ledger of veilight"):
        WeightLedger.open(database, "model")
    assert database.read_bytes() == before


def test_open_refuses_an_unknown_schema_version(path: Path) -> None:
    edit(path, "PRAGMA user_version = 5")
    with pytest.raises(LedgerError, match="schema version 5, this veilight knows version 4"):
        WeightLedger.open(path, "model")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = '{}' WHERE id = 2",
        "DELETE FROM entries WHERE id = 4",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE id = 2",
        "INSERT INTO entries VALUES (9, '', '', '', x'', x'')",
    ],
)
def test_database_itself_forbids_changes(path: Path, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="ledger"):
        edit(path, statement)
    assert photons(path) == 0.375


def test_open_refuses_a_ledger_without_its_triggers(path: Path) -> None:
    edit(path, "DROP TRIGGER no_delete")
    with pytest.raises(LedgerError, match="triggers that forbid changes were altered"):
        WeightLedger.open(path, "model")


@pytest.mark.parametrize(
    "column", ["time = time || 'x'", "kind = 'settle'", "body = '{}'", "payload = x'00'"]
)
def test_open_refuses_a_row_that_was_edited(path: Path, column: str) -> None:
    connection = sqlite3.connect(path)
    (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'no_update'")
    connection.close()
    edit(
        path, "DROP TRIGGER no_update", f"UPDATE entries SET {column} WHERE id = 3", str(trigger[0])
    )
    with pytest.raises(LedgerError, match="the hash chain breaks at entry 3"):
        WeightLedger.open(path, "model")


def test_open_refuses_a_row_removed_from_the_middle_or_the_end(path: Path) -> None:
    connection = sqlite3.connect(path)
    (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'no_delete'")
    connection.close()
    end = path.with_name("end")
    shutil.copy(path, end)
    shutil.copy(head_of(path), head_of(end))
    for target, entry in ((path, 3), (end, 4)):
        edit(
            target,
            "DROP TRIGGER no_delete",
            f"DELETE FROM entries WHERE id = {entry}",
            str(trigger[0]),
        )
    with pytest.raises(LedgerError, match="the hash chain breaks at entry 4"):
        WeightLedger.open(path, "model")
    with pytest.raises(LedgerError, match="rolled back"):
        WeightLedger.open(end, "model")


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.5, 0.9])
def test_open_refuses_a_ledger_cut_short(path: Path, fraction: float) -> None:
    os.truncate(path, int(path.stat().st_size * fraction))
    with pytest.raises(LedgerError):
        WeightLedger.open(path, "model")


def test_every_flipped_byte_of_a_row_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.index(b'{"bits_per_weight":0.0')
    for offset in range(start, start + 60, 3):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with pytest.raises(LedgerError):
            WeightLedger.open(path, "model")
    path.write_bytes(whole)
    assert photons(path) == 0.375


def test_open_refuses_a_ledger_restored_from_an_older_copy(path: Path) -> None:
    old, _ = backup(path, "old")
    with WeightLedger.open(path, "model") as ledger:
        spend(ledger)
    shutil.copy(old, path)
    with pytest.raises(LedgerError, match=r"to an older copy.*holds 4 entries.*says 5"):
        WeightLedger.open(path, "model")


def test_open_refuses_an_older_copy_that_was_written_to_again(path: Path) -> None:
    old, old_head = backup(path, "old")
    with WeightLedger.open(path, "model", clock=lambda: 1.0) as ledger:
        spend(ledger, 2)
    with WeightLedger.open(old, "model", clock=lambda: 2.0) as ledger:
        spend(ledger, 2)
    assert old_head.read_bytes() != head_of(path).read_bytes()
    shutil.copy(old, path)
    with pytest.raises(LedgerError, match="rolled back and written again"):
        WeightLedger.open(path, "model")


def test_open_refuses_a_head_restored_from_an_older_copy(path: Path) -> None:
    _, old_head = backup(path, "old")
    with WeightLedger.open(path, "model") as ledger:
        spend(ledger, 2)
    shutil.copy(old_head, head_of(path))
    with pytest.raises(LedgerError, match="head file was rolled back"):
        WeightLedger.open(path, "model")


def test_open_refuses_a_missing_or_damaged_head(path: Path) -> None:
    whole = head_of(path).read_bytes()
    for damage in (b"", b"\xff" * len(whole), whole[:20], whole.replace(b"4 ", b"5 ")[:4096]):
        head_of(path).write_bytes(damage)
        with pytest.raises(LedgerError):
            WeightLedger.open(path, "model")
    head_of(path).unlink()
    with pytest.raises(LedgerError, match=r"weights\.ledger\.head is missing"):
        WeightLedger.open(path, "model")
    head_of(path).write_bytes(whole)
    assert photons(path) == 0.375


def test_head_spoilt_while_it_was_written_is_repaired(path: Path) -> None:
    content = bytearray(head_of(path).read_bytes())
    assert content.startswith(b"4 ")
    content[:300] = b"?" * 300
    head_of(path).write_bytes(bytes(content))
    assert _head.read_head(path) is not None
    assert photons(path) == 0.375
    assert head_of(path).read_bytes().startswith(b"4 ")


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space left")])
def test_commit_without_its_head_stays_spent_and_the_head_is_repaired(
    path: Path, monkeypatch: pytest.MonkeyPatch, crash: BaseException
) -> None:
    def fail(ledger: Path, head: LedgerHead) -> None:
        raise crash

    with WeightLedger.open(path, "model") as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(_store, "write_head", fail)
            with pytest.raises((KeyboardInterrupt, LedgerError)) as caught:
                spend(ledger)
        assert crash in (caught.value, caught.value.__cause__)
        # Memory no longer knows what the disk holds: nothing goes on from here.
        for use in (lambda: spend(ledger), lambda: ledger.unverified_photons(0), ledger.totals):
            with pytest.raises(LedgerError, match="earlier write did not finish"):
                use()
    assert _head.read_head(path) != head_after(path, 5)
    assert photons(path) == 0.5
    assert _head.read_head(path) == head_after(path, 5)


def head_after(path: Path, entries: int) -> LedgerHead:
    connection = sqlite3.connect(path)
    (digest,) = connection.execute("SELECT hash FROM entries WHERE id = ?", (entries,)).fetchone()
    connection.close()
    return LedgerHead(entries=entries, hash=digest.hex())


def test_hash_of_a_row_covers_every_column_and_where_it_ends() -> None:
    base = (bytes(32), 7, "t", "k", "{}", b"p")
    variants = [
        (b"\1" * 32, 7, "t", "k", "{}", b"p"),
        (bytes(32), 8, "t", "k", "{}", b"p"),
        (bytes(32), 7, "tk", "", "{}", b"p"),
        (bytes(32), 7, "t", "k{", "}", b"p"),
        (bytes(32), 7, "t", "k", "{}p", b""),
    ]
    assert len({row_hash(*row) for row in [base, *variants]}) == len(variants) + 1


def test_head_of_the_ledger_is_the_hash_of_its_last_row(path: Path) -> None:
    with WeightLedger.open(path, "model") as ledger:
        spend(ledger)
        head = ledger.head
    assert head == head_after(path, 5)
    assert _head.read_head(path) == head


def test_debit_refused_by_a_full_disk_is_a_ledger_error_with_its_cause(path: Path) -> None:
    with WeightLedger.open(path, "model") as ledger:
        connection = ledger._store._connection
        assert connection is not None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match=r"disk is full.*nothing may be sent") as caught:
            ledger.debit("s" * 20_000, 0, 0, 4, 0.125, no_bits)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        with pytest.raises(LedgerError, match="open the ledger again"):
            spend(ledger)
    assert photons(path) == 0.375


def test_create_in_a_folder_that_is_none_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "missing" / "w", tmp_path / "file" / "w"):
        with pytest.raises(LedgerError, match="cannot be created") as caught:
            WeightLedger.create(target, "model", {0: 4}, 1.0)
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_open_and_create_refuse_a_folder_that_cannot_be_written(path: Path) -> None:
    path.parent.chmod(0o500)
    path.chmod(0o400)
    try:
        with pytest.raises(LedgerError, match="cannot be opened"):
            WeightLedger.open(path, "model")
        with pytest.raises(LedgerError, match="cannot be created"):
            WeightLedger.create(path.with_name("other"), "model", {0: 4}, 1.0)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("step", ["create_head", "sync_folder"])
def test_create_that_fails_leaves_no_ledger_without_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    target = tmp_path / "w"
    with monkeypatch.context() as patch:
        patch.setattr(f"protocol.ledger._database.{step}", fail)
        with pytest.raises(LedgerError, match=r"cannot be created: .*input/output error"):
            WeightLedger.create(target, "model", {0: 4}, 1.0)
    names = {entry.name for entry in tmp_path.iterdir()} - {"w.lock"}
    assert names == (set() if step == "create_head" else {"w", "w.head"})
