"""What a session writes into the ledgers, and when: before light, durably, for every copy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from drivers.backend import Block
from drivers.errors import BudgetError, ProtocolError, VerificationError
from drivers.receivers import PassiveTap
from protocol.ledger import DataLedger, WeightLedger
from protocol.messages import Finish, Refusal
from protocol.plan import LayerPlan
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import LinkSettings
from tests.unit.protocol.session_bench import Bench, convolutional, normals, perceptron


def test_ledger_is_debited_durably_before_each_block_is_sent(tmp_path: Path) -> None:
    """At every send a copy of the file, opened as after a power cut, holds the block's photons."""
    model, path = perceptron(), tmp_path / "weights.ledger"
    rows = {0: 9, 2: 4}
    ledger = WeightLedger.create(path, model.digest, rows, None)
    bench = Bench(model=model, ledger=ledger, photons=(0.5, 2.0), samples_per_block=3)
    seen: list[float] = []

    def look(block: Block) -> None:
        folder = tmp_path / f"copy {len(seen)}"
        folder.mkdir()
        for file in tmp_path.glob("weights.ledger*"):
            shutil.copy(file, folder / file.name)
        with WeightLedger.open(folder / path.name, model.digest) as copy:
            assert list(copy.entries())[-1].state == "reserved"
            seen.append(float(copy.unverified_photons(block.layer)[0]))

    bench.server_optics.before_send = look
    bench.client.infer(normals(5, 12))
    # Earlier blocks of the layer are verified by then: what is open is the block's own.
    assert seen == pytest.approx([1.5, 6.0, 1.0, 4.0])
    ledger.close()


def test_k_inferences_are_charged_k_mu_and_tiles_once_when_rows_are_tiled() -> None:
    for modes_per_frame in (1000, 5):
        settings = LinkSettings(seed=1, device="cpu", modes_per_frame=modes_per_frame)
        bench = Bench(
            model=convolutional(), link_settings=settings, photons=(0.25, 2.0), rows_per_block=2
        )
        bench.client.infer(normals(13, 2, 8, 7))
        # The convolution has 35 positions, each one more transmission of its rows.
        assert bench.spent.verified_photons(0) == pytest.approx([13 * 35 * 0.25] * 3)
        assert bench.spent.verified_photons(4) == pytest.approx([13 * 2.0] * 4)
        assert bench.spent.unverified_photons(0) == pytest.approx([0.0] * 3)
        totals = bench.spent.totals()
        assert (totals.reserved, totals.unverified) == (0, 0)
        assert totals.verified == totals.entries == 2 * (2 + 2)


@pytest.mark.parametrize("modes_per_frame", [1000, 5])
def test_photons_stay_unverified_when_the_receiver_returns_nothing_to_test(
    modes_per_frame: int,
) -> None:
    settings = LinkSettings(
        seed=1,
        device="cpu",
        modes_per_frame=modes_per_frame,
        receiver=PassiveTap(tap_fraction=1.0),
    )
    bench = Bench(model=perceptron(), link_settings=settings, photons=(0.25, 2.0))
    bench.client.infer(normals(13, 12))
    assert all(record.verdict is None for record in bench.server.record.blocks)
    assert bench.server.record.accepted
    assert bench.spent.unverified_photons(0) == pytest.approx([13 * 0.25] * 9)
    assert bench.spent.verified_photons(0) == pytest.approx([0.0] * 9)
    totals = bench.spent.totals()
    assert totals.unverified == totals.entries == 4
    assert not bench.server.record.evidence


@pytest.mark.parametrize("modes_per_frame", [1000, 5])
def test_aborted_block_stays_unverified_when_the_client_keeps_light(modes_per_frame: int) -> None:
    settings = LinkSettings(seed=1, device="cpu", modes_per_frame=modes_per_frame)
    bench = Bench(
        model=perceptron(),
        link_settings=settings,
        behaviour=keeps_fraction(0.9),
        photons=(4.0, 4.0),
    )
    with pytest.raises(VerificationError, match=r"refused layer 0 .*: gain.*stays charged"):
        bench.client.infer(normals(13, 12))
    assert bench.spent.unverified_photons(0) == pytest.approx([40.0] * 9)
    assert bench.spent.verified_photons(0) == pytest.approx([0.0] * 9)
    assert bench.spent.unverified_photons(2) == pytest.approx([0.0] * 4)
    assert bench.spent.totals().unverified == 1
    assert not bench.server.record.accepted
    assert not bench.server.record.evidence
    answer = bench.server.handle(Finish(session=bench.server.record.session, samples=13))
    assert isinstance(answer, Refusal)
    assert answer.error == ProtocolError.__name__


def test_budget_error_comes_before_light_when_a_block_does_not_fit() -> None:
    bench = Bench(model=perceptron(), photons=(1.0, 1.0), samples_per_block=3, budget=0.5)
    with pytest.raises(BudgetError, match=r"layer 0.*budget of 0.5"):
        bench.client.infer(normals(9, 12))
    assert not bench.server_optics.sent
    assert not any(call.startswith("send") for call in bench.calls)
    assert not bench.spent.totals().entries


def test_budget_error_stops_midway_when_the_sum_of_queries_exceeds_it() -> None:
    bench = Bench(model=perceptron(), photons=(0.005, 0.005), samples_per_block=3, budget=0.25)
    with pytest.raises(BudgetError):
        bench.client.infer(normals(300, 12))
    sent = len(bench.server_optics.sent)
    assert 2 < sent < 200
    assert bench.spent.totals().entries == sent
    assert bench.spent.totals().verified == sent
    photons = float(bench.spent.verified_photons(0)[0])
    assert photons == pytest.approx(0.015 * ((sent + 1) // 2))


def test_ledger_keeps_the_open_entry_when_the_run_is_interrupted(tmp_path: Path) -> None:
    model, path = perceptron(), tmp_path / "weights.ledger"
    ledger = WeightLedger.create(path, model.digest, {0: 9, 2: 4}, None)
    bench = Bench(model=model, ledger=ledger, samples_per_block=3)

    def interrupt(block: Block) -> None:
        if block.first_input == 3:
            raise KeyboardInterrupt

    bench.client_optics.before_measure = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.client.infer(normals(9, 12))
    ledger.close()
    with WeightLedger.open(path, model.digest) as opened:
        states = [entry.state for entry in opened.entries()]
        assert states == ["verified", "verified", "reserved"]
        assert opened.verified_photons(0) == pytest.approx([3.0] * 9)
        assert opened.unverified_photons(0) == pytest.approx([3.0] * 9)
        again = Bench(model=model, ledger=opened, samples_per_block=3)
        again.client.infer(normals(3, 12))
        assert opened.verified_photons(0) == pytest.approx([6.0] * 9)
        assert opened.totals().reserved == 1


def test_data_ledger_charges_copies_and_refuses_when_an_input_is_repeated() -> None:
    bits: Callable[[LayerPlan], float] = lambda layer: 0.4 + layer.layer / 10  # noqa: E731
    ledger = DataLedger.create(None, 1.5)
    data = normals(3, 2, 8, 7)

    def bench() -> Bench:
        return Bench(model=convolutional(), data_ledger=ledger, input_bits=bits)

    bench().client.infer(data)
    digest = ledger.digest(data[0].numpy())
    assert ledger.spent_bits(digest) == pytest.approx(0.4 + 0.8)
    assert [entry.rows for entry in ledger.entries()] == [3 * 35, 4]
    second = bench()
    with pytest.raises(BudgetError, match="3 of 4 inputs"):
        second.client.infer(torch.cat([normals(1, 2, 8, 7, seed=5), data]))
    assert not second.calls
    assert not second.spent.totals().entries
    bench().client.infer(normals(1, 2, 8, 7, seed=5))
