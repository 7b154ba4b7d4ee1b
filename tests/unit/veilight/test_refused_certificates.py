"""What a session that a running test refused states of itself, held to its ledger."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.receivers import PassiveTap
from protocol.certificates import ledger_mismatches, session_record_from
from protocol.certificates.build import server_statement
from protocol.ledger import WeightLedger, read_history
from sim_backend.adversaries import measures_only_x
from sim_backend.settings import LinkSettings
from tests.unit.protocol.run_facts import FACTS
from tests.unit.protocol.session_bench import normals, perceptron
from veilight.certificate_record import certificate_record
from veilight.runs import InferenceRequest, run_inference


@pytest.mark.parametrize("noise", [0.0, 0.02], ids=["honest", "refused"])
def test_certificate_counts_as_many_copies_as_the_ledger_holds(
    tmp_path: Path, noise: float
) -> None:
    model, path = perceptron((100, 50)), tmp_path / "w.ledger"
    with WeightLedger.create(path, model.digest, {0: 50}, None) as ledger:
        result = run_inference(
            InferenceRequest(
                model=model,
                inputs=normals(400, 100),
                link=LinkSettings(receiver=PassiveTap(tap_fraction=0.01), seed=3, device="cpu"),
                behaviour=measures_only_x(noise),
                photons_per_symbol=(0.01,),
                samples_per_block=2,
                false_alarm=1e-3,
                ledger=ledger,
            )
        )
        verified = float(ledger.verified_photons(0)[0]) / 0.01
        unverified = float(ledger.unverified_photons(0)[0]) / 0.01
    record = session_record_from(json.loads(json.dumps(certificate_record(result))))
    (counted,) = record.layers
    assert counted.copies_verified == pytest.approx(verified)
    assert counted.copies_unverified == pytest.approx(unverified)
    assert result.accepted is (noise == 0)
    assert (unverified > 2) is (noise > 0)

    statement = server_statement(replace(FACTS, accepted=result.accepted), record)
    history = read_history(path)
    assert bool(history.refusals) is (noise > 0)
    stated = json.loads(json.dumps(statement, default=vars))
    assert ledger_mismatches({"statement": stated}, history) == ()
    if noise:
        wrong = ledger_mismatches({"statement": stated | {"accepted": True}}, history)
        assert [one.what for one in wrong] == ["verdict in the ledger"]
