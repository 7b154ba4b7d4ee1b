"""The client's ledger: digests, batches, refusals, and what survives."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import BudgetError, ConfigurationError, LedgerError
from protocol.ledger import DataLedger, WeightLedger


def in_memory(budget: float | None = 1.0) -> DataLedger:
    return DataLedger.create(None, budget)


def test_digest_is_the_same_for_the_same_numbers_in_any_layout() -> None:
    ledger = in_memory()
    picture = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    digest = ledger.digest(picture)
    assert len(digest) == 32
    assert ledger.digest(picture.astype(np.float64).ravel()) == digest
    assert ledger.digest(np.asfortranarray(picture)) == digest
    assert ledger.digest(picture.astype(">f4")) == digest
    assert ledger.digest([0.0, -0.0]) == ledger.digest([-0.0, 0.0])
    assert ledger.digest([1 + 2j]) == ledger.digest([1, 2])


def test_digest_differs_when_one_number_or_the_ledger_differs() -> None:
    ledger = in_memory()
    assert ledger.digest([1.0, 2.0]) != ledger.digest([1.0, np.nextafter(2.0, 3.0)])
    assert ledger.digest([1.0]) != ledger.digest([1.0, 0.0])
    assert ledger.digest([1.0, 2.0]) != in_memory().digest([1.0, 2.0])


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [], ["a"]])
def test_digest_refuses_what_is_no_input(values: list[object]) -> None:
    with pytest.raises(ConfigurationError):
        in_memory().digest(np.array(values))


def test_debit_many_charges_each_input_and_adds_up_repeated_ones() -> None:
    ledger = in_memory()
    a, b, c = (ledger.digest([value]) for value in (1, 2, 3))
    ledger.debit_many("s", [a, b, a], 0, 64, np.array([0.25, 0.5, 0.125]))
    ledger.debit_many("s", [b], 1, 10, np.array([0.25]))
    assert [ledger.spent_bits(digest) for digest in (a, b, c)] == [0.375, 0.75, 0.0]
    totals = ledger.totals()
    assert (totals.entries, totals.inputs, totals.total_bits) == (2, 2, 1.125)
    assert totals.most_bits == 0.75
    first, second = ledger.entries()
    assert (first.session, first.layer, first.rows, first.inputs) == ("s", 0, 64, 3)
    assert (first.most_bits, second.layer) == (0.5, 1)


def test_debit_many_refuses_the_whole_batch_and_counts_the_inputs_that_exceed() -> None:
    ledger = in_memory(1.0)
    a, b, c, d = (ledger.digest([value]) for value in (1, 2, 3, 4))
    ledger.debit_many("s", [a, b], 0, 64, np.array([0.75, 0.5]))
    with pytest.raises(BudgetError) as caught:
        ledger.debit_many("s", [a, b, c, d, d], 0, 64, np.array([0.5, 0.125, 0.25, 0.75, 0.75]))
    message = str(caught.value)
    assert "2 of 4 inputs would exceed the budget of 1 bits" in message
    assert f"input {d.hex()[:12]} has spent 0 bits and 1.5 more were asked, 1 are left" in message
    assert [ledger.spent_bits(digest) for digest in (a, b, c, d)] == [0.75, 0.5, 0.0, 0.0]
    assert ledger.totals().inputs == 2


def test_debit_many_accepts_exactly_the_budget_and_no_more() -> None:
    ledger = in_memory(0.3)
    a = ledger.digest([1])
    for _ in range(3):
        ledger.debit_many("s", [a], 0, 1, np.array([0.1]))
    with pytest.raises(BudgetError):
        ledger.debit_many("s", [a], 0, 1, np.array([1e-9]))


def test_debit_many_never_refuses_when_the_budget_is_none_or_overridden(tmp_path: Path) -> None:
    free = in_memory(None)
    free.debit_many("s", [free.digest([1])], 0, 1, np.array([1e6]))
    assert free.budget_bits_per_input is None
    path = tmp_path / "data.ledger"
    DataLedger.create(path, 1.0).close()
    with DataLedger.open(path, unlimited=True) as ledger:
        assert ledger.unlimited
        ledger.debit_many("s", [ledger.digest([1])], 0, 1, np.array([9.0]))
    with DataLedger.open(path) as ledger:
        assert [entry.override for entry in ledger.entries()] == [True]
        assert ledger.totals().overridden == 1
        with pytest.raises(BudgetError, match="has spent 9 bits"):
            ledger.debit_many("s", [ledger.digest([1])], 0, 1, np.array([0.1]))


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([np.nan], "are NaN"),
        ([-0.1], "from -0.1 to -0.1"),
        ([np.inf], "to inf"),
        ([0.1, 0.1], r"1 inputs with bits of shape \(2,\)"),
    ],
)
def test_debit_many_refuses_bits_out_of_range(bits: list[float], message: str) -> None:
    ledger = in_memory(None)
    with pytest.raises(ConfigurationError, match=message):
        ledger.debit_many("s", [ledger.digest([1])], 0, 1, np.array(bits))
    assert ledger.totals().entries == 0


def test_debit_many_refuses_an_empty_batch_and_what_is_no_digest() -> None:
    ledger = in_memory()
    with pytest.raises(ConfigurationError, match="at least one input"):
        ledger.debit_many("s", [], 0, 1, np.array([]))
    with pytest.raises(ConfigurationError, match="is not a digest"):
        ledger.debit_many("s", [b"short"], 0, 1, np.array([0.1]))


def test_reopened_ledger_knows_ten_thousand_inputs_charged_in_two_batches(tmp_path: Path) -> None:
    path = tmp_path / "data.ledger"
    bits = np.random.default_rng(5).uniform(0, 0.5, 10_000)
    with DataLedger.create(path, 10.0, "bench 2") as ledger:
        digests = [ledger.digest([value]) for value in range(10_000)]
        before = ledger.head.entries
        ledger.debit_many("s", digests, 0, 64, bits)
        assert ledger.head.entries == before + 1
        ledger.debit_many("s", digests[:7000], 1, 10, bits[:7000])
        totals = ledger.totals()
    with DataLedger.open(path) as ledger:
        assert ledger.digest([17]) == digests[17]
        assert ledger.note == "bench 2"
        assert ledger.totals() == totals
        assert totals.inputs == 10_000
        for index in (0, 17, 6999, 7000, 9999):
            expected = bits[index] * (2 if index < 7000 else 1)
            assert ledger.spent_bits(digests[index]) == expected


def test_file_does_not_hold_the_input_or_its_unsalted_digest(tmp_path: Path) -> None:
    path = tmp_path / "data.ledger"
    values = np.random.default_rng(6).normal(size=64)
    with DataLedger.create(path, 1.0) as ledger:
        digest = ledger.digest(values)
        ledger.debit_many("s", [digest], 0, 64, np.array([0.5]))
    content = path.read_bytes()
    assert digest in content
    assert values.tobytes()[:16] not in content
    assert hashlib.sha256(values.tobytes()).digest() not in content


def test_open_refuses_the_ledger_of_the_other_party(tmp_path: Path) -> None:
    DataLedger.create(tmp_path / "data", 1.0).close()
    WeightLedger.create(tmp_path / "weights", "model", {0: 4}, 1.0).close()
    with pytest.raises(LedgerError, match="a ledger of weights, where one of data is needed"):
        DataLedger.open(tmp_path / "weights")
    with pytest.raises(LedgerError, match="a ledger of data, where one of weights is needed"):
        WeightLedger.open(tmp_path / "data", "model")


def test_debit_many_is_refused_when_closed() -> None:
    ledger = in_memory()
    digest = ledger.digest([1])
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.debit_many("s", [digest], 0, 1, np.array([0.1]))
    with pytest.raises(LedgerError, match="closed"):
        ledger.spent_bits(digest)
