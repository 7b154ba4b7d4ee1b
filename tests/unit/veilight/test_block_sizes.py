"""Blocks that a run chooses so that its session fits into the ledger's budget."""

from dataclasses import replace

import pytest

from drivers.errors import BudgetError
from drivers.receivers import FeedForwardTap
from protocol.client_policy import ClientPolicy
from protocol.defences import Defences
from protocol.ledger import WeightLedger
from sim_backend.settings import LinkSettings
from tests.unit.protocol.session_bench import convolutional, normals, perceptron
from veilight.report._settings import settings_tables
from veilight.run_json import result_to_dict
from veilight.run_values import InferenceRequest, RunResult
from veilight.runs import run_inference


def request(**changes: object) -> InferenceRequest:
    """Seven samples of a convolution with 35 positions."""
    settings: dict[str, object] = {
        "model": convolutional(),
        "inputs": normals(7, 2, 8, 7),
        "link": LinkSettings(receiver=FeedForwardTap(tap_fraction=0.1), seed=1, device="cpu"),
        "photons_per_symbol": (0.5, 0.2),
        "samples_per_block": 4,
        **changes,
    }
    return InferenceRequest(**settings)  # type: ignore[arg-type]


def told(result: RunResult) -> str:
    """What the report's settings say of the blocks."""
    return str(settings_tables(result)[0]).partition("data vectors per block")[2][:200]


def test_run_chooses_the_largest_blocks_that_fit_when_a_budget_is_set() -> None:
    whole = run_inference(request())
    assert whole.plan.inputs_per_block == 0
    assert "all of the batch" in told(whole)
    result = run_inference(request(budget_bits_per_weight=2.2))
    chosen = result.plan.inputs_per_block
    assert result.accepted
    assert 1 <= chosen < 35
    assert "the most that the budget allows" in told(result)
    assert result_to_dict(result)["inputs_per_block"] == chosen
    assert result.layers[0].bits_charged <= 2.2
    # Asked for by number it is no choice, and one more does not fit.
    again = run_inference(request(budget_bits_per_weight=2.2, inputs_per_block=chosen))
    assert "the most" not in told(again)
    assert again.plan == result.plan
    for inputs in (chosen + 1, 0):
        with pytest.raises(BudgetError, match=rf"of 7 samples fits with at most {chosen};"):
            run_inference(request(budget_bits_per_weight=2.2, inputs_per_block=inputs))


def spend_all(ledger: WeightLedger, wanted: InferenceRequest) -> None:
    """Session after session; a hundred are more than any budget of these tests."""
    for _ in range(100):
        run_inference(wanted)
        assert ledger.totals().reserved == 0


def test_nothing_is_sent_when_no_size_of_blocks_fits() -> None:
    model = convolutional()
    ledger = WeightLedger.create(None, model.digest, {0: 3, 4: 4}, 2.2)
    for samples, text in ((700, "at most"), (7, "")):
        wanted = request(model=model, inputs=normals(samples, 2, 8, 7), ledger=ledger)
        if text:
            with pytest.raises(BudgetError, match=r"layer 0: 700 samples.* at most \d+ samples"):
                run_inference(wanted)
            assert ledger.totals().entries == 0
        else:
            assert run_inference(wanted).accepted
    # What is spent counts: the next session has smaller blocks, and at last none.
    sizes = [run_inference(request(model=model, inputs=normals(2, 2, 8, 7), ledger=ledger))]
    assert sizes[0].plan.inputs_per_block >= 1
    with pytest.raises(BudgetError):
        spend_all(ledger, request(model=model, inputs=normals(2, 2, 8, 7), ledger=ledger))
    assert ledger.totals().unverified == ledger.totals().reserved == 0


def test_budget_does_not_count_when_it_was_lifted_or_everything_fits() -> None:
    assert run_inference(request(budget_bits_per_weight=50.0)).plan.inputs_per_block == 0
    assert run_inference(request(inputs_per_block=9)).plan.inputs_per_block == 9


def test_dummies_count_as_samples_when_blocks_are_chosen() -> None:
    """Half of the batches are dummies: the session is longer, and its blocks are smaller."""
    plain = request(budget_bits_per_weight=2.2, inputs=normals(4, 2, 8, 7))
    mixed = replace(plain, audit_share=0.5, client_policy=ClientPolicy())
    sizes = [run_inference(wanted).plan.inputs_per_block for wanted in (plain, mixed)]
    assert 1 <= sizes[1] < (sizes[0] or 140)


def test_disguised_network_is_cut_to_fit_when_a_budget_is_set() -> None:
    wanted = request(
        model=perceptron((12, 9, 4)),
        inputs=normals(40, 12),
        photons_per_symbol=(0.3, 0.3),
        samples_per_block=20,
        defences=Defences(permute=True),
        budget_bits_per_weight=1.7,
    )
    result = run_inference(wanted)
    assert result.accepted
    assert 1 <= result.plan.inputs_per_block < 20
    assert result.layers[0].disguised is not None
    assert result.layers[0].disguised.blocks == 2


def test_queries_left_are_those_with_the_blocks_of_the_run() -> None:
    model, images = convolutional(), normals(1, 2, 8, 7)
    left = []
    for inputs in (0, 1):
        result = run_inference(
            request(model=model, inputs=images, budget_bits_per_weight=5.0, inputs_per_block=inputs)
        )
        found = result.layers[0].queries_left
        assert found is not None
        left.append(found)
    assert left[0] < left[1]
