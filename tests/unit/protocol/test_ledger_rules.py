"""A ledger's charge rule: kept in its file, asked of every session, and what it charges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import BudgetError, ConfigurationError, LedgerError
from drivers.receivers import FeedForwardTap
from protocol.block_sizes import fitting_inputs_per_block
from protocol.budget import Charge, charge_for_layer, queries_within_budget
from protocol.honest_channel import server_trust
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.general_bound import ReturnedChannel
from protocol.ledger import ChargeRule, LightChannel, RowLight, WeightLedger, bits_with_block
from protocol.plan import Encoding
from protocol.verification import expected_return
from sim_backend.settings import LinkSettings
from tests.unit.protocol.ledgers import CHANNEL, PhotonCharge, no_bits, older_debit, older_ledger
from tests.unit.protocol.session_bench import Bench, normals, perceptron

QUIET = LightChannel(
    encoding="real", transmittance=1.0, excess_noise_x_snu=1e-3, excess_noise_p_snu=1e-3
)
NOISY = replace(QUIET, excess_noise_x_snu=1.0, excess_noise_p_snu=1.0)


def one(value: float) -> NDArray[np.float64]:
    return np.array([value])


def with_memory(channel: LightChannel = QUIET, photons: float | None = None) -> Charge:
    return Charge(channel=channel, rule="with memory", photons_per_copy=photons)


def in_memory(budget: float | None = None, rows: int = 1) -> WeightLedger:
    return WeightLedger.create(None, "model", {0: rows}, budget, rule="with memory")


@pytest.mark.parametrize("rule", ["copies apart", "with memory"])
def test_rule_is_the_files_when_a_ledger_is_opened_again(tmp_path: Path, rule: ChargeRule) -> None:
    path = tmp_path / "w"
    with WeightLedger.create(path, "model", {0: 4}, 1.0, rule=rule) as ledger:
        assert ledger.rule == rule
    with WeightLedger.open(path, "model") as ledger:
        assert ledger.rule == rule


def test_rule_is_copies_apart_when_nobody_asks_or_the_file_is_older(tmp_path: Path) -> None:
    with WeightLedger.create(None, "model", {0: 4}, 1.0) as ledger:
        assert ledger.rule == "copies apart"
    path = tmp_path / "old"
    older_ledger(path, [older_debit(0.5)], layers={0: 2})
    with WeightLedger.open(path, "model") as ledger:
        assert ledger.rule == "copies apart"
        assert [entry.copies for entry in ledger.entries()] == [None]


def test_ledger_is_not_made_when_its_rule_is_unknown(tmp_path: Path) -> None:
    unknown: Any = "generous"
    with pytest.raises(ConfigurationError, match="charge rule 'generous' is unknown"):
        WeightLedger.create(tmp_path / "w", "model", {0: 4}, 1.0, rule=unknown)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rule", ["copies apart", "with memory"])
def test_debit_is_refused_when_the_charge_has_another_rule(rule: ChargeRule) -> None:
    other: ChargeRule = "copies apart" if rule == "with memory" else "with memory"
    with WeightLedger.create(None, "model", {0: 4}, None, rule=rule) as ledger:
        head = ledger.head
        with pytest.raises(ConfigurationError, match=f"it charges '{rule}', .* for '{other}'"):
            ledger.debit("s", 0, 0, 4, 0.1, replace(no_bits, rule=other), copies=1)
        assert ledger.head == head


def test_debit_is_refused_when_nobody_says_how_many_copies_a_memory_meets() -> None:
    with in_memory() as ledger:
        head = ledger.head
        with pytest.raises(ConfigurationError, match="does not say how many copies"):
            ledger.debit("s", 0, 0, 1, 0.1, with_memory())
        for wrong in (0, 1.5):
            copies: Any = wrong
            with pytest.raises(ConfigurationError, match="number of copies"):
                ledger.debit("s", 0, 0, 1, 0.1, with_memory(), copies=copies)
        assert ledger.head == head


def test_copies_are_summed_whatever_their_brightness_when_blocks_pass(tmp_path: Path) -> None:
    path = tmp_path / "w"
    rows: dict[int, int] = {0: 2}
    with WeightLedger.create(path, "model", rows, None, rule="with memory") as ledger:
        first = ledger.debit("a", 0, 0, 2, 3.0, with_memory(QUIET), copies=3)
        second = ledger.debit("b", 0, 1, 1, 0.5, with_memory(NOISY), copies=5)
        ledger.debit("b", 0, 0, 2, 9.0, with_memory(NOISY), copies=9)
        for entry in (first, second):
            ledger.settle(entry, verified=True)
    with WeightLedger.open(path, "model") as ledger:
        light = ledger.light(0)
        np.testing.assert_array_equal(light.copies, [3, 8])
        np.testing.assert_allclose(light.copies_noise_x, [3e-3, 5.003])
        np.testing.assert_allclose(light.copies_noise_p, [3e-3, 5.003])
        assert [entry.copies for entry in ledger.entries()] == [3, 5, 9]
        ledger.refuse("b", [second])
        light = ledger.light(0)
        np.testing.assert_array_equal(light.copies, [3, 3])
        np.testing.assert_allclose(light.copies_noise_p, [3e-3, 3e-3])
        ledger.refuse("a")
        assert not ledger.light(0).copies.any()
        assert not ledger.light(0).copies_noise_x.any()


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_charge_is_the_bound_of_the_copies_that_came_back_when_others_were_kept(
    encoding: Encoding,
) -> None:
    """v + u photons, of which v came back in K copies: (v + u)/K each, gain T v/(v + u)."""
    channel = replace(QUIET, encoding=encoding, transmittance=0.9)
    with in_memory() as ledger:
        for copies in (4, 6):
            photons = copies * 0.02
            entry = ledger.debit("s", 0, 0, 1, photons, with_memory(channel), copies=copies)
            ledger.settle(entry, verified=True)
        ledger.debit("s", 0, 0, 1, 0.05, with_memory(channel), copies=2)
        found = float(with_memory(channel).bits(ledger.light(0))[0])
    per_weight = 4 if encoding == "real" else 2
    gain = (0.9 * 0.2 / 0.25) ** 0.5
    bits = weight_bits_with_memory(
        per_weight * 0.025,
        0.0 if encoding == "real" else 0.05,
        ReturnedChannel(gain_x=gain, gain_p=gain, excess_noise_x_snu=1e-3, excess_noise_p_snu=1e-3),
        10,
    )
    assert found == pytest.approx(bits / (2 if encoding == "complex" else 1), rel=1e-9)


def test_charge_is_that_of_copies_apart_when_there_is_one_copy() -> None:
    light = RowLight.received(QUIET, one(0.3), one(0.1), one(1))
    assert with_memory().bits(light) == pytest.approx(Charge(channel=QUIET).bits(light), rel=1e-9)


def random_channel(rng: np.random.Generator, encoding: Encoding) -> LightChannel:
    def noise() -> float:
        return float(rng.choice([0.0, 10 ** rng.uniform(-5, 0.5)]))

    return LightChannel(
        encoding=encoding,
        transmittance=float(rng.choice([1.0, rng.uniform(), 1 - 10 ** rng.uniform(-6, -1)])),
        excess_noise_x_snu=noise(),
        excess_noise_p_snu=noise(),
    )


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_charge_never_falls_and_kept_light_is_dearest_when_sessions_are_alike(
    encoding: Encoding,
) -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        charge = with_memory(random_channel(rng, encoding))
        copies, more = int(rng.choice([1, 2, 10, 1000])), int(rng.choice([1, 10, 100]))
        photons = 10 ** rng.uniform(-4, 1)
        kept = float(rng.choice([0.0, 10 ** rng.uniform(-3, 1)]))
        light = RowLight.received(charge.channel, one(copies * photons), one(kept), one(copies))
        now = float(charge.bits(light)[0])
        back = light.more(charge.channel, verified=more * photons, copies=more)
        out = light.more(charge.channel, unverified=more * photons)
        after = [float(charge.bits(found)[0]) for found in (back, out)]
        assert now * (1 - 1e-9) - 1e-12 <= after[0] <= after[1] * (1 + 1e-9) + 1e-12
        # So the queries of a budget, the last of them kept, are those that a ledger admits.
        found = bits_with_block(charge, light, more * photons, more)
        assert float(found[0]) == pytest.approx(after[1])


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_charge_never_falls_when_a_session_of_another_kind_comes_to_it(encoding: Encoding) -> None:
    rng = np.random.default_rng(9)
    for _ in range(100):
        first, second = random_channel(rng, encoding), random_channel(rng, encoding)
        copies, more = (int(rng.choice([1, 3, 50])) for _ in range(2))
        v, w = 10 ** rng.uniform(-4, 1, size=2)
        light = RowLight.received(first, one(copies * v), one(0.1 * v), one(copies))
        after = light.more(second, verified=more * w, copies=more)
        before = float(with_memory(first).bits(light)[0])
        assert before * (1 - 1e-9) - 1e-12 <= float(with_memory(second).bits(after)[0])


def test_debit_is_charged_at_its_dearer_end_when_a_noisy_session_follows_a_quiet_one() -> None:
    """A faint copy that is kept tells nothing; returned with noise it is room to hide in."""
    quiet, noisy = with_memory(QUIET), with_memory(NOISY)

    def quiet_session(ledger: WeightLedger) -> None:
        for _ in range(20):
            ledger.settle(ledger.debit("a", 0, 0, 1, 0.01, quiet, copies=1), verified=True)

    with in_memory(budget=4.0) as ledger:
        quiet_session(ledger)
        light = ledger.light(0)
        most = max(entry.bits_per_weight or 0.0 for entry in ledger.entries())
        kept = float(noisy.bits(light.more(NOISY, unverified=1e-6))[0])
        ledger.settle(ledger.debit("b", 0, 0, 1, 1e-6, noisy, copies=1), verified=True)
        back = float(noisy.bits(ledger.light(0))[0])
        assert back > 1.2 * max(kept, most)
        assert list(ledger.entries())[-1].bits_per_weight == pytest.approx(back)
    with in_memory(budget=(max(kept, most) + back) / 2) as ledger:
        quiet_session(ledger)
        with pytest.raises(BudgetError, match="would bring it to"):
            ledger.debit("b", 0, 0, 1, 1e-6, noisy, copies=1)


def test_light_that_never_comes_back_is_charged_as_kept_when_a_memory_is_feared() -> None:
    charge = with_memory(replace(QUIET, transmittance=0.0))
    light = RowLight.received(QUIET, one(1.0), one(0.0), one(10))
    found = bits_with_block(charge, light, 0.5, 5)
    assert found == pytest.approx(charge.bits(light.more(charge.channel, unverified=0.5)))


def test_rows_that_are_alike_are_charged_once_when_a_block_is_large() -> None:
    seen: list[int] = []

    def spy(verified: NDArray[np.float64], unverified: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(len(verified))
        return 0.01 * (verified + unverified)

    charge = PhotonCharge(spy, CHANNEL, "with memory")
    with in_memory(budget=10.0, rows=1000) as ledger:
        for _ in range(3):
            ledger.settle(ledger.debit("s", 0, 0, 1000, 0.25, charge, copies=5), verified=True)
    # Once as kept and once as returned.
    assert seen == [1] * 6


def test_photons_are_copies_when_only_this_sessions_light_counts() -> None:
    charge = with_memory(QUIET, photons=0.1)
    found = charge(np.array([0.3, 0.0]), np.array([0.2, 0.2]))
    for index, copies in ((0, 3), (1, 0)):
        light = RowLight.received(QUIET, one(0.1 * copies), one(0.2), one(copies))
        assert found[index] == pytest.approx(float(charge.bits(light)[0]), rel=1e-9)
    with pytest.raises(ConfigurationError, match="photons per copy are not known"):
        with_memory()(one(0.3), one(0.2))


def memory_bench(budget: float | None, **changes: Any) -> Bench:
    model = perceptron()
    rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
    ledger = WeightLedger.create(None, model.digest, rows, budget, rule="with memory")
    settings = LinkSettings(receiver=FeedForwardTap(tap_fraction=0.1), seed=1, device="cpu")
    return Bench(model=model, link_settings=settings, ledger=ledger, **changes)


def test_session_counts_every_data_vector_as_a_copy_when_a_memory_is_feared() -> None:
    bench = memory_bench(None, photons=(0.02, 0.02), samples_per_block=4)
    bench.client.infer(normals(10, 12))
    for layer in (0, 2):
        np.testing.assert_array_equal(bench.spent.light(layer).copies, 10)
    assert [entry.copies for entry in bench.spent.entries() if entry.layer == 0] == [4, 4, 2]


def test_session_fits_by_its_ledgers_rule_when_the_budget_is_tight() -> None:
    bench = memory_bench(0.5, photons=(0.02, 0.02), samples_per_block=30)
    info, receiver = bench.server.info, bench.link_settings.receiver
    law, trust = expected_return(info, receiver), server_trust(info)
    charges = {
        entry.layer: charge_for_layer(entry, law, trust, bench.spent.rule)
        for entry in bench.plan.layers
    }
    allowed = min(queries_within_budget(charge, 0.02, 0.5, 1) for charge in charges.values())
    apart = min(
        queries_within_budget(charge_for_layer(entry, law, trust), 0.02, 0.5, 1)
        for entry in bench.plan.layers
    )
    assert 2 < allowed < 0.5 * apart
    assert fitting_inputs_per_block(bench.plan, allowed, charges, bench.spent) >= 1
    with pytest.raises(BudgetError, match=f"at most {allowed} samples fit"):
        fitting_inputs_per_block(bench.plan, allowed + 1, charges, bench.spent)
    cut = memory_bench(0.5, photons=(0.02, 0.02), samples_per_block=30, inputs_per_block=1)
    cut.client.infer(normals(allowed, 12))
    assert cut.spent.totals().verified == 2 * allowed
    with pytest.raises(BudgetError):
        memory_bench(
            0.5, photons=(0.02, 0.02), samples_per_block=30, inputs_per_block=1
        ).client.infer(normals(allowed + 1, 12))


def test_ledger_is_refused_when_its_file_names_a_rule_that_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a later version, say."""
    with monkeypatch.context() as later:
        later.setattr("protocol.ledger.weights.require_rule", lambda value: "generous")
        later.setattr("protocol.ledger.weights.rule_of_file", lambda where, body: "generous")
        WeightLedger.create(tmp_path / "w", "model", {0: 4}, 1.0).close()
    with pytest.raises(LedgerError, match="charge rule 'generous', this veilight knows"):
        WeightLedger.open(tmp_path / "w", "model")
