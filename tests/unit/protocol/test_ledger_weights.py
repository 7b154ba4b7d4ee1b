"""The server's ledger: what it charges, when it refuses, what survives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import BudgetError, ConfigurationError, LedgerError
from protocol.ledger import WeightLedger
from tests.unit.protocol.ledgers import PhotonCharge

Photons = NDArray[np.float64]


linear_bits = PhotonCharge(lambda verified, unverified: 0.1 * verified + unverified)
"""One bit per unverified photon, a tenth per verified one: sums are easy to do by hand."""


def in_memory(budget: float | None = 1.0) -> WeightLedger:
    return WeightLedger.create(None, "model", {0: 4, 3: 2}, budget)


def test_debit_adds_unverified_photons_to_the_rows_of_the_block_only() -> None:
    ledger = in_memory()
    ledger.debit("s", 0, 1, 2, 0.25, linear_bits)
    np.testing.assert_array_equal(ledger.unverified_photons(0), [0, 0.25, 0.25, 0])
    np.testing.assert_array_equal(ledger.verified_photons(0), [0, 0, 0, 0])
    np.testing.assert_array_equal(ledger.unverified_photons(3), [0, 0])


def test_settle_moves_photons_when_verified_and_leaves_them_when_not() -> None:
    ledger = in_memory()
    passed = ledger.debit("s", 0, 0, 4, 0.25, linear_bits)
    failed = ledger.debit("s", 0, 2, 2, 0.5, linear_bits)
    ledger.settle(passed, True)
    ledger.settle(failed, False)
    np.testing.assert_array_equal(ledger.verified_photons(0), [0.25] * 4)
    np.testing.assert_array_equal(ledger.unverified_photons(0), [0, 0, 0.5, 0.5])


def test_unverified_photons_are_exactly_zero_when_every_block_was_verified() -> None:
    ledger = in_memory(None)
    entries = [ledger.debit("s", 0, 0, 4, photons, linear_bits) for photons in (0.1, 0.2, 0.7)]
    ledger.settle_many(entries, True)
    np.testing.assert_array_equal(ledger.unverified_photons(0), 0.0)
    np.testing.assert_allclose(ledger.verified_photons(0), 1.0, rtol=1e-15)


def test_repeated_transmissions_are_charged_like_one_of_their_sum() -> None:
    seen: list[tuple[float, float]] = []

    def spy(verified: Photons, unverified: Photons) -> Photons:
        seen.append((float(verified[0]), float(unverified[0])))
        return linear_bits.of_photons(verified, unverified)

    ledger = in_memory()
    ledger.settle(ledger.debit("s", 0, 0, 4, 0.25, PhotonCharge(spy)), True)
    ledger.debit("s", 0, 0, 4, 0.125, PhotonCharge(spy))
    ledger.debit("s", 0, 0, 4, 0.125, PhotonCharge(spy))
    assert seen == [(0.0, 0.25), (0.25, 0.125), (0.25, 0.25)]


def test_debit_refuses_and_charges_nothing_when_the_worst_row_exceeds_the_budget() -> None:
    ledger = in_memory(1.0)
    ledger.debit("s", 0, 2, 1, 0.75, linear_bits)
    with pytest.raises(BudgetError) as caught:
        ledger.debit("s", 0, 0, 4, 0.5, linear_bits)
    message = str(caught.value)
    assert "layer 0, row 2" in message
    assert "0.5 photons per weight more would bring it to 1.25 bits" in message
    assert "has spent 0.75 of its budget of 1." in message
    np.testing.assert_array_equal(ledger.unverified_photons(0), [0, 0, 0.75, 0])
    assert ledger.totals().entries == 1


def test_budget_error_names_photons_that_do_fit() -> None:
    ledger = in_memory(1.0)
    ledger.debit("s", 3, 0, 2, 2 / 3, linear_bits)
    with pytest.raises(BudgetError) as caught:
        ledger.debit("s", 3, 0, 2, 0.5, linear_bits)
    shown = float(str(caught.value).split("At most ")[1].split()[0])
    assert shown == pytest.approx(1 / 3, rel=2e-5)
    ledger.debit("s", 3, 0, 2, shown, linear_bits)


def test_budget_error_says_spent_when_nothing_fits() -> None:
    ledger = in_memory(1.0)
    ledger.debit("s", 3, 0, 2, 1.0, linear_bits)
    with pytest.raises(BudgetError, match="The budget is spent: stop sending these weights"):
        ledger.debit("s", 3, 1, 1, 0.01, linear_bits)


def test_debit_accepts_ten_tenths_of_the_budget_and_no_more() -> None:
    ledger = in_memory(0.3)
    for _ in range(3):
        ledger.debit("s", 0, 0, 4, 0.1, linear_bits)  # 0.1 + 0.1 + 0.1 > 0.3 in floating point
    with pytest.raises(BudgetError):
        ledger.debit("s", 0, 0, 4, 1e-9, linear_bits)


def test_verification_frees_budget_as_the_bits_say() -> None:
    ledger = in_memory(1.0)
    entry = ledger.debit("s", 0, 0, 4, 1.0, linear_bits)
    with pytest.raises(BudgetError):
        ledger.debit("s", 0, 0, 4, 0.5, linear_bits)
    ledger.settle(entry, True)
    ledger.debit("s", 0, 0, 4, 0.5, linear_bits)
    assert [e.bits_per_weight for e in ledger.entries()] == pytest.approx([1.0, 0.6])


def test_debit_never_refuses_when_the_budget_is_none() -> None:
    ledger = in_memory(None)
    ledger.debit("s", 0, 0, 4, 1e6, linear_bits)
    assert ledger.budget_bits_per_weight is None
    (entry,) = ledger.entries()
    assert (entry.bits_per_weight, entry.override) == (None, False)


def test_override_is_recorded_in_the_entries_it_made_and_only_there(tmp_path: Path) -> None:
    path = tmp_path / "weights.ledger"
    with WeightLedger.create(path, "model", {0: 4}, 1.0) as ledger:
        ledger.debit("s", 0, 0, 4, 0.5, linear_bits)
    with WeightLedger.open(path, "model", unlimited=True) as ledger:
        assert ledger.unlimited
        ledger.debit("s", 0, 0, 4, 5.0, linear_bits)
    with WeightLedger.open(path, "model") as ledger:
        assert [entry.override for entry in ledger.entries()] == [False, True]
        assert ledger.totals().overridden == 1
        with pytest.raises(BudgetError, match=r"has spent 5\.5 "):
            ledger.debit("s", 0, 0, 4, 0.1, linear_bits)


def test_settle_refuses_an_entry_that_is_settled_or_unknown() -> None:
    ledger = in_memory()
    entry = ledger.debit("s", 0, 0, 4, 0.25, linear_bits)
    ledger.settle(entry, False)
    with pytest.raises(LedgerError, match=f"entry {entry} is settled already, as unverified"):
        ledger.settle(entry, True)
    with pytest.raises(LedgerError, match="no debit has the number 99"):
        ledger.settle(99, True)
    with pytest.raises(LedgerError, match="no debit has the number 1;"):
        ledger.settle(1, True)  # the row of the creation
    np.testing.assert_array_equal(ledger.verified_photons(0), 0.0)


def test_settle_many_settles_nothing_when_one_entry_is_wrong() -> None:
    ledger = in_memory()
    entry = ledger.debit("s", 0, 0, 4, 0.25, linear_bits)
    for wrong in ([entry, 99], [entry, entry]):
        with pytest.raises(LedgerError):
            ledger.settle_many(wrong, True)
    assert [e.state for e in ledger.entries()] == ["reserved"]
    head = ledger.head
    ledger.settle_many([], True)
    assert ledger.head == head


def test_settle_refuses_what_is_not_a_truth_value() -> None:
    ledger = in_memory()
    entry = ledger.debit("s", 0, 0, 4, 0.25, linear_bits)
    answer: Any = "no"
    with pytest.raises(ConfigurationError, match="'no'"):
        ledger.settle(entry, answer)
    ledger.settle(entry, np.bool_(True))  # type: ignore[arg-type]
    assert ledger.totals().verified == 1


@pytest.mark.parametrize(
    ("photons", "message"),
    [(float("nan"), "is NaN"), (-0.1, "-0.1 photons"), (float("inf"), "inf photons")],
)
def test_debit_refuses_photons_out_of_range(photons: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        in_memory(None).debit("s", 0, 0, 4, photons, linear_bits)


@pytest.mark.parametrize(
    ("layer", "first", "rows", "error", "message"),
    [
        (1, 0, 1, LedgerError, r"no layer 1; the ledger has \[0, 3\]"),
        (3, 1, 2, LedgerError, "rows 1 to 2 were asked for, the ledger has rows 0 to 1"),
        (0, -1, 1, ConfigurationError, "first row is -1"),
        (0, 0, 0, ConfigurationError, "number of rows is 0"),
    ],
)
def test_debit_refuses_rows_that_are_not_there(
    layer: int, first: int, rows: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        in_memory().debit("s", layer, first, rows, 0.1, linear_bits)


@pytest.mark.parametrize(
    ("answer", "message"),
    [(np.nan, "as NaN"), (-1e-3, "as -0.001 bits"), (np.zeros(7), r"with shape \(7,\)")],
)
def test_debit_refuses_a_leakage_that_makes_no_sense(answer: Any, message: str) -> None:
    ledger = in_memory()
    nonsense = PhotonCharge(lambda v, u: np.broadcast_to(answer, np.shape(answer) or 1))
    with pytest.raises(LedgerError, match=message):
        ledger.debit("s", 0, 0, 4, 0.1, nonsense)
    assert ledger.totals().entries == 0


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), 0.0, -1.0])
def test_create_refuses_a_budget_out_of_range(budget: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="budget per weight is"):
        WeightLedger.create(tmp_path / "w", "model", {0: 4}, budget)
    assert list(tmp_path.iterdir()) == []


def test_create_refuses_a_model_without_rows_or_digest() -> None:
    with pytest.raises(ConfigurationError, match="no optical layer"):
        WeightLedger.create(None, "model", {}, 1.0)
    with pytest.raises(ConfigurationError, match="rows is 0"):
        WeightLedger.create(None, "model", {0: 0}, 1.0)
    with pytest.raises(ConfigurationError, match="digest of the model"):
        WeightLedger.create(None, "", {0: 4}, 1.0)


def test_reopened_ledger_holds_what_the_closed_one_held(tmp_path: Path) -> None:
    path = tmp_path / "weights.ledger"
    with WeightLedger.create(
        path, "model", {0: 4, 3: 2}, 10.0, "for the client in Turin", clock=lambda: 1.5e9
    ) as ledger:
        first = ledger.debit("monday", 0, 0, 3, 0.1, linear_bits)
        second = ledger.debit("monday", 0, 1, 3, 0.2, linear_bits)
        ledger.debit("tuesday", 3, 0, 2, 0.7, linear_bits)
        ledger.settle(first, True)
        ledger.settle(second, False)
        before = (list(ledger.entries()), ledger.totals(), ledger.head)
        photons = [ledger.verified_photons(0), ledger.unverified_photons(0)]
    with WeightLedger.open(path, "model") as ledger:
        assert (list(ledger.entries()), ledger.totals(), ledger.head) == before
        np.testing.assert_array_equal(ledger.verified_photons(0), photons[0])
        np.testing.assert_array_equal(ledger.unverified_photons(0), photons[1])
        np.testing.assert_array_equal(ledger.unverified_photons(3), 0.7)
        assert ledger.note == "for the client in Turin"
        assert ledger.budget_bits_per_weight == 10.0
        assert ledger.rows_per_layer == {0: 4, 3: 2}
        assert ledger.model_digest == "model"
        totals = ledger.totals()
        assert (totals.reserved, totals.verified, totals.unverified) == (1, 1, 1)
        assert totals.most_photons == pytest.approx({0: 0.3, 3: 0.7})
        entry = next(ledger.entries())
        assert (entry.session, entry.layer, entry.first_row, entry.rows) == ("monday", 0, 0, 3)
        assert entry.time == "2017-07-14T02:40:00.000+00:00"


def test_entry_stays_spent_when_the_session_is_interrupted_before_it_settles(
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.ledger"

    def session() -> None:
        with WeightLedger.create(path, "model", {0: 4}, 1.0) as ledger:
            ledger.debit("s", 0, 0, 4, 0.75, linear_bits)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session()
    with WeightLedger.open(path, "model") as ledger:
        assert [entry.state for entry in ledger.entries()] == ["reserved"]
        with pytest.raises(BudgetError, match=r"has spent 0\.75 "):
            ledger.debit("s", 0, 0, 4, 0.5, linear_bits)


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(1, 4),
            st.floats(0, 1e3),
            st.sampled_from([None, True, False]),
        ),
        max_size=12,
    )
)
def test_photons_agree_with_a_sum_over_entries(
    blocks: list[tuple[int, int, float, bool | None]],
) -> None:
    ledger = WeightLedger.create(None, "model", {0: 8}, None)
    verified, unverified = np.zeros(8), np.zeros(8)
    entries = [ledger.debit("s", 0, start, n, mu, linear_bits) for start, n, mu, _ in blocks]
    for entry, (start, n, mu, verdict) in zip(entries, blocks, strict=True):
        if verdict is not None:
            ledger.settle(entry, verdict)
        (verified if verdict else unverified)[start : start + n] += mu
    np.testing.assert_allclose(ledger.verified_photons(0), verified, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(ledger.unverified_photons(0), unverified, rtol=1e-12, atol=1e-11)
    assert np.all(ledger.unverified_photons(0) >= 0)


def test_what_the_ledger_hands_out_does_not_change_it() -> None:
    ledger = in_memory()
    ledger.unverified_photons(0)[:] = -5.0
    ledger.verified_photons(0)[:] = -5.0
    np.testing.assert_array_equal(ledger.unverified_photons(0), 0.0)
    np.testing.assert_array_equal(ledger.verified_photons(0), 0.0)
