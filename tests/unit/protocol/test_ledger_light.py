"""What the ledger remembers of how light was received: sums, refusals, files of older versions."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import BudgetError, ConfigurationError
from protocol.budget import Charge
from protocol.ledger import LightChannel, RowLight, WeightLedger
from tests.unit.protocol.ledgers import CHANNEL, no_bits, older_debit, older_ledger

OTHER = LightChannel(
    encoding="real", transmittance=0.9, excess_noise_x_snu=0.01, excess_noise_p_snu=0.02
)
HERE, THERE = replace(no_bits, channel=CHANNEL), replace(no_bits, channel=OTHER)
SUMS = (
    "verified",
    "unverified",
    "returned",
    "noise_x",
    "noise_p",
    "copies",
    "copies_noise_x",
    "copies_noise_p",
    "unplaced",
)


def table(light: RowLight) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """All sums of all rows, `(sums, rows)`."""
    return np.stack([getattr(light, name) for name in SUMS])


def in_memory(budget: float | None = None) -> WeightLedger:
    return WeightLedger.create(None, "model", {0: 3, 1: 3}, budget)


def test_light_is_summed_at_the_channel_of_its_own_session() -> None:
    ledger = in_memory()
    for charge, first, photons in ((HERE, 0, 2.0), (THERE, 1, 3.0), (THERE, 0, 0.5)):
        entry = ledger.debit("s", 0, first, 2, photons, charge)
        ledger.settle(entry, photons != 0.5)
    light = ledger.light(0)
    assert light.encoding == "real"
    np.testing.assert_allclose(light.verified, [2.0, 5.0, 3.0])
    np.testing.assert_allclose(light.unverified, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(light.returned, [1.0, 1.0 + 2.7, 2.7])
    np.testing.assert_allclose(light.noise_x, [0.25, 0.25 + 0.027, 0.027])
    np.testing.assert_allclose(light.noise_p, [0.125, 0.125 + 0.054, 0.054])
    assert not light.unplaced.any()
    # The other layer has seen nothing, of no encoding.
    assert not table(ledger.light(1)).any()
    assert ledger.light(1).encoding is None


def test_refused_session_takes_its_own_channels_sums_back() -> None:
    ledger = in_memory()
    kept = ledger.debit("kept", 0, 0, 2, 0.3, HERE)
    ledger.settle(kept, True)
    entries = [ledger.debit("s", 0, 0, 3, 0.7, THERE) for _ in range(5)]
    ledger.settle_many(entries, True)
    ledger.refuse("s")
    light = ledger.light(0)
    np.testing.assert_allclose(light.unverified, 3.5)
    np.testing.assert_allclose(light.verified, [0.3, 0.3, 0.0], rtol=1e-13)
    np.testing.assert_allclose(light.returned, [0.15, 0.15, 0.0], rtol=1e-13)
    np.testing.assert_allclose(light.noise_x, [0.0375, 0.0375, 0.0], rtol=1e-12)
    # A row of which nothing passed holds exactly nothing.
    assert not table(light)[[0, 2, 3, 4], 2].any()


def test_channels_are_there_when_the_ledger_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "w"
    with WeightLedger.create(path, "model", {0: 3}, None) as ledger:
        for charge in (HERE, THERE):
            ledger.settle(ledger.debit("s", 0, 0, 2, 0.1, charge), True)
        before, entries = ledger.light(0), list(ledger.entries())
    with WeightLedger.open(path, "model") as ledger:
        np.testing.assert_array_equal(table(ledger.light(0)), table(before))
        assert list(ledger.entries()) == entries
        assert [entry.channel for entry in entries] == [CHANNEL, OTHER]
        assert ledger.totals().most_untold_photons == {0: 0.0}


def test_what_has_leaked_stays_spent_when_the_receiver_is_changed() -> None:
    """The budget is spent at a poor channel; a good one does not open it again."""
    poor, good = (
        Charge(channel=replace(OTHER, transmittance=transmittance)) for transmittance in (0.5, 1.0)
    )
    ledger = in_memory(2.2)
    for _ in range(3):
        ledger.settle(ledger.debit("one", 0, 0, 3, 1.0, poor), True)
    spent = float(poor.bits(ledger.light(0))[0])
    assert spent > 1.7 > 2 * float(good(np.array([3.0]), np.array([0.0]))[0])
    assert float(good.bits(ledger.light(0))[0]) == pytest.approx(spent, rel=1e-12)
    with pytest.raises(BudgetError, match=f"has spent {spent:.4g}"):
        ledger.debit("two", 0, 0, 3, 1.0, good)


@pytest.mark.parametrize("budget", [None, 10.0])
def test_light_of_another_encoding_is_refused_and_nothing_charged(budget: float | None) -> None:
    ledger = in_memory(budget)
    ledger.debit("s", 0, 0, 2, 0.1, HERE)
    head = ledger.head
    complex_ = replace(no_bits, channel=replace(CHANNEL, encoding="complex"))
    with pytest.raises(ConfigurationError, match=r"layer 0: .*sent with real .*veilight renew"):
        ledger.debit("s", 0, 2, 1, 0.1, complex_)
    assert ledger.head == head
    # Every layer has an encoding of its own.
    assert ledger.debit("s", 1, 0, 1, 0.1, complex_)
    with pytest.raises(ConfigurationError, match="sent with complex encoding"):
        Charge(channel=CHANNEL).bits(ledger.light(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoding": "binary"}, "encoding 'binary' is unknown"),
        ({"transmittance": 1.01}, r"transmittance of the return is 1.01; .* \[0, 1\]"),
        ({"transmittance": math.nan}, "transmittance of the return is NaN"),
        ({"excess_noise_x_snu": -0.1}, "excess noise of the returned X is -0.1 SNU"),
        ({"excess_noise_p_snu": math.nan}, "excess noise of the returned P is NaN"),
    ],
    ids=["encoding", "gain", "no number", "quiet", "no noise"],
)
def test_channel_is_refused_when_it_is_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(CHANNEL, **changes)


def test_rows_that_are_alike_are_charged_once() -> None:
    sums = (np.array(one) for one in ([1.0, 2.0, 1.0, 2.0], [0.0, 1, 0, 1], [1.0, 1, 1, 1]))
    light = RowLight.received(CHANNEL, *sums)
    distinct, first = light.distinct()
    assert first.tolist() == [0, 1]
    np.testing.assert_array_equal(table(distinct), table(light)[:, :2])
    np.testing.assert_array_equal(table(light.rows(slice(1, 3))), table(light)[:, 1:3])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Of session s two blocks passed, 0.5 and 0.25 photons; one of 4 photons is not settled."""
    path = tmp_path / "old"
    settled = ("settle", {"entries": [2, 3], "verified": True})
    debits = [older_debit(photons) for photons in (0.5, 0.25, 4.0)]
    older_ledger(path, [*debits, settled], layers={0: 3, 1: 3})
    return path


def test_old_light_is_charged_at_the_sessions_own_channel_when_nothing_was_debited_since(
    old: Path,
) -> None:
    with WeightLedger.open(old, "model") as ledger:
        assert ledger.totals().most_untold_photons == {0: 0.75, 1: 0.0}
        light = ledger.light(0)
        np.testing.assert_array_equal(light.unplaced, [0.75, 0.75, 0.0])
        np.testing.assert_array_equal(light.verified, [0.75, 0.75, 0.0])
        assert light.encoding is None
        for channel in (CHANNEL, OTHER):
            charge = Charge(channel=channel)
            wanted = charge(np.array([0.75]), np.array([4.0]))
            assert charge.bits(light)[0] == pytest.approx(wanted[0], rel=1e-12)


def test_old_light_keeps_the_channel_of_the_first_debit_that_tells_one(old: Path) -> None:
    with WeightLedger.open(old, "model") as ledger:
        # Layer 1 says nothing of layer 0, and another row of layer 0 does.
        ledger.debit("new", 1, 0, 1, 0.1, THERE)
        ledger.settle(ledger.debit("new", 0, 2, 1, 1.0, HERE), True)
        ledger.settle(ledger.debit("newer", 0, 0, 1, 1.0, THERE), True)
        found = ledger.light(0)
    np.testing.assert_allclose(found.returned, [0.375 + 0.9, 0.375, 0.5])
    np.testing.assert_allclose(found.noise_x, [0.09375 + 0.009, 0.09375, 0.125])
    assert not found.unplaced.any()
    with WeightLedger.open(old, "model") as ledger:
        np.testing.assert_array_equal(table(ledger.light(0)), table(found))
        # Still what an older version wrote down.
        assert ledger.totals().most_untold_photons == {0: 0.75, 1: 0.0}


@pytest.mark.parametrize("after", [False, True], ids=["before a new debit", "after it"])
def test_old_blocks_are_settled_and_refused_like_any_others(old: Path, after: bool) -> None:
    with WeightLedger.open(old, "model") as ledger:
        if after:
            ledger.debit("new", 0, 2, 1, 0.125, HERE)
        ledger.settle(4, True)
        np.testing.assert_array_equal(ledger.verified_photons(0), [4.75, 4.75, 0.0])
        ledger.refuse("s", [2, 4])
        light = ledger.light(0)
        np.testing.assert_allclose(light.verified, [0.25, 0.25, 0.0])
        np.testing.assert_allclose(light.unverified, [4.5, 4.5, 0.125 * after])
        np.testing.assert_allclose(light.returned, np.multiply(0.125 * after, [1, 1, 0]))
        ledger.refuse("s")
        np.testing.assert_array_equal(ledger.light(0).verified, 0.0)
        assert not ledger.light(0).returned.any()
