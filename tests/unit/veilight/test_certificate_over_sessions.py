"""Certificates over all sessions of a ledger, on whole sessions over the symbol link."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from drivers.errors import LedgerError
from drivers.receivers import Amplifier, FeedForwardTap, Receiver
from protocol.certificates import SessionRecord, Statement, server_statement, session_record_from
from protocol.certificates.layer_bits import certified_layer
from protocol.certificates.ledger_pool import pool_mismatches
from protocol.certificates.pooled import PooledLight
from protocol.defences import Defences
from protocol.leakage.weights import weight_bits_client_keeps_all_gaussian_real
from protocol.ledger import DataLedger, WeightLedger, read_tests
from protocol.models.model import Model
from sim_backend.adversaries import HONEST, ReturnBehaviour, keeps_fraction
from sim_backend.settings import LinkSettings
from tests.unit.protocol.run_facts import FACTS
from tests.unit.protocol.session_bench import perceptron
from veilight.certificate_record import certificate_record
from veilight.runs import InferenceRequest, RunResult, run_inference

FAILURE = 1e-6


@lru_cache(maxsize=1)
def model() -> Model:
    return perceptron((64, 16, 10), bias=False)


def ledger_of(path: Path | None = None) -> WeightLedger:
    graph = model().graph
    rows = {index: graph.optical_layer(index).rows for index in graph.optical}
    return WeightLedger.create(path, model().digest, rows, None)


def session(
    ledger: WeightLedger,
    seed: int,
    *,
    samples: int = 1,
    behaviour: ReturnBehaviour = HONEST,
    receiver: Receiver | None = None,
    signal_to_noise: float = 1.0,
    defences: Defences | None = None,
) -> RunResult:
    generator = torch.Generator().manual_seed(seed)
    return run_inference(
        InferenceRequest(
            model=model(),
            inputs=torch.rand((samples, 64), generator=generator),
            link=LinkSettings(
                receiver=receiver or FeedForwardTap(tap_fraction=0.2), seed=seed, device="cpu"
            ),
            behaviour=behaviour,
            signal_to_noise=(signal_to_noise,) * 2,
            ledger=ledger,
            defences=defences or Defences(),
        )
    )


def recorded(result: RunResult) -> SessionRecord:
    return session_record_from(json.loads(json.dumps(certificate_record(result), allow_nan=False)))


def pool(record: SessionRecord) -> tuple[PooledLight, ...]:
    return record.layers[0].pooled


def without_sums(record: SessionRecord) -> Statement:
    """As of a ledger that kept no sums: the light of all other sessions counts as kept."""
    layers = tuple(replace(layer, pooled=()) for layer in record.layers)
    return server_statement(FACTS, replace(record, layers=layers))


def test_certificate_covers_what_short_sessions_let_pass_when_their_tests_are_pooled() -> None:
    """A client that keeps a tenth in 20 sessions of one query, none of which shows it."""
    kept, seeds = 0.1, range(100, 120)
    with ledger_of() as ledger:
        results = [session(ledger, seed, behaviour=keeps_fraction(kept)) for seed in seeds]
    assert all(result.accepted for result in results)
    layer, record = results[-1].layers[0], recorded(results[-1])
    stolen = weight_bits_client_keeps_all_gaussian_real(kept * layer.photons_in_ledger)
    found = certified_layer(
        record.thresholds.layers[0], record.layers[0], record.thresholds.trust, FAILURE
    )
    assert found.everything is not None
    assert found.everything.tested_share == pytest.approx(1.0)
    as_kept = weight_bits_client_keeps_all_gaussian_real(layer.photons_in_ledger)
    assert stolen < found.everything.without_memory < 0.9 * as_kept
    assert found.everything.without_memory < found.everything.with_memory <= as_kept
    statement = server_statement(FACTS, record)
    # The missing light shows by its size, which no session's own estimate does.
    name = f"{record.thresholds.layers[0].name}, all sessions"
    (gain,) = [one for one in statement.estimates if (one.layer, one.what) == (name, "gain of X")]
    assert gain.symbols == sum(light.tested_x.symbols for light in pool(record))
    assert gain.bound < gain.value < 1 - kept / 4
    assert statement.total.all_sessions_worst_bits is not None
    before = without_sums(record).total.all_sessions_worst_bits
    assert before is not None
    assert stolen < statement.total.all_sessions_worst_bits < before


def test_certificate_is_far_below_that_of_kept_light_when_twenty_sessions_are_pooled() -> None:
    """One query each of 784 x 100 weights: 1.6 million tested symbols together."""
    large = perceptron((784, 100, 10), bias=False)
    rows = {index: large.graph.optical_layer(index).rows for index in large.graph.optical}
    generator = torch.Generator().manual_seed(5)
    with WeightLedger.create(None, large.digest, rows, None) as ledger:
        for seed in range(100, 120):
            result = run_inference(
                InferenceRequest(
                    model=large,
                    inputs=torch.rand((1, 784), generator=generator),
                    link=LinkSettings(receiver=Amplifier(gain=1.3), seed=seed, device="cpu"),
                    photons_per_symbol=(0.1, 0.1),
                    ledger=ledger,
                )
            )
    record = recorded(result)
    fixed, counted, trust = record.thresholds.layers[0], record.layers[0], record.thresholds.trust
    pooled = certified_layer(fixed, counted, trust, FAILURE / 2).everything
    as_kept = certified_layer(fixed, replace(counted, pooled=()), trust, FAILURE / 2).everything
    assert pooled is not None
    assert as_kept is not None
    assert counted.bits_charged < pooled.without_memory < 0.25 * as_kept.without_memory


def test_record_pools_all_sessions_sums_when_they_are_alike() -> None:
    with ledger_of() as ledger:
        results = [session(ledger, seed, samples=2) for seed in (1, 2, 3)]
    record = recorded(results[-1])
    for index, layer in enumerate(record.layers):
        (light,) = layer.pooled
        assert light.copies == 6
        counted = [recorded(result).layers[index] for result in results]
        for name in ("tested_x", "tested_p"):
            single = [getattr(one, name) for one in counted]
            together = getattr(light, name)
            assert together.symbols == sum(one.symbols for one in single)
            for sum_ in ("sent_energy_snu", "projection_snu", "residual_energy_snu"):
                assert getattr(together, sum_) == pytest.approx(
                    sum(getattr(one, sum_) for one in single), rel=1e-12
                )
        # One long session has the correlations of its parts.
        law = counted[-1].dependence
        assert light.light.dependence.variance_inflation == pytest.approx(
            law.variance_inflation, rel=1e-2
        )
        assert light.light.dependence.gain_inflation == pytest.approx(law.gain_inflation, rel=1e-2)


def test_certificate_nears_that_of_one_session_when_as_much_came_in_many() -> None:
    with ledger_of() as ledger:
        many = [session(ledger, seed, samples=50) for seed in range(4)][-1]
    with ledger_of() as ledger:
        one = session(ledger, 9, samples=200)
    pooled = server_statement(FACTS, recorded(many)).total
    alone = server_statement(FACTS, recorded(one)).total
    assert pooled.all_sessions_worst_bits == pytest.approx(alone.worst_bits_per_value, rel=0.1)
    assert pooled.all_sessions_worst_bits_with_memory == pytest.approx(
        alone.worst_bits_with_memory, rel=0.1
    )
    assert pooled.all_sessions_tested_share == pytest.approx(1.0)
    before = without_sums(recorded(many)).total.all_sessions_worst_bits
    assert before is not None
    assert pooled.all_sessions_worst_bits is not None
    assert pooled.all_sessions_worst_bits < 0.9 * before


def test_certificate_pools_sessions_of_other_light_when_each_is_long_enough() -> None:
    with ledger_of() as ledger:
        session(ledger, 1, samples=40)
        session(ledger, 2, samples=40, signal_to_noise=0.25)
        record = recorded(session(ledger, 3, samples=40, receiver=Amplifier(gain=1.3)))
    assert [light.copies for light in pool(record)] == [40, 40, 40]
    total = server_statement(FACTS, record).total
    before = without_sums(record).total
    assert total.all_sessions_tested_share == pytest.approx(1.0)
    assert before.all_sessions_tested_share is not None
    assert before.all_sessions_tested_share < 0.6
    assert total.all_sessions_worst_bits is not None
    assert before.all_sessions_worst_bits is not None
    assert total.all_sessions_worst_bits < before.all_sessions_worst_bits


def test_pool_has_no_light_of_a_session_that_was_refused() -> None:
    with ledger_of() as ledger:
        session(ledger, 1, samples=2)
        refused = session(ledger, 2, samples=60, behaviour=keeps_fraction(0.9))
        assert not refused.accepted
        record = recorded(session(ledger, 3, samples=2))
    assert [light.copies for light in pool(record)] == [4]
    found = server_statement(FACTS, record).total
    assert found.all_sessions_tested_share is not None
    assert found.all_sessions_tested_share < 0.1


def test_pool_has_no_light_of_a_session_in_disguise() -> None:
    with ledger_of() as ledger:
        session(ledger, 1, samples=2)
        record = recorded(session(ledger, 2, samples=2, defences=Defences(permute=True)))
    assert [light.copies for light in pool(record)] == [2]


def test_record_has_no_pool_when_the_ledger_ends_with_the_run() -> None:
    result = run_inference(
        InferenceRequest(
            model=model(),
            inputs=torch.rand((1, 64), generator=torch.Generator().manual_seed(1)),
            link=LinkSettings(receiver=Amplifier(gain=1.3), seed=1, device="cpu"),
            signal_to_noise=(1.0, 1.0),
        )
    )
    assert all(layer.pooled == () for layer in recorded(result).layers)


def test_record_of_an_earlier_version_is_read_when_it_has_no_sums() -> None:
    with ledger_of() as ledger:
        plain = json.loads(json.dumps(certificate_record(session(ledger, 1))))
    for layer in plain["layers"]:
        del layer["pooled"]
    record = session_record_from(plain)
    assert all(layer.pooled == () for layer in record.layers)
    assert server_statement(FACTS, record).total.all_sessions_worst_bits is not None


def test_record_agrees_with_the_ledgers_sums_when_it_has_gone_on_since(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with ledger_of(path) as ledger:
        records = [recorded(session(ledger, seed)) for seed in (1, 2, 3)]
    for record in records:
        assert record.ledger is not None
        assert pool_mismatches(record, read_tests(path, record.ledger.entries)) == ()
    second, last = records[1].ledger, records[2].ledger
    assert second is not None
    assert last is not None
    # Sums of another moment are named, and so are sums that somebody has changed.
    found = pool_mismatches(records[2], read_tests(path, second.entries))
    assert [entry.what for entry in found] == ["tests of all sessions"] * 2
    layer = records[2].layers[0]
    better = replace(layer.pooled[0].tested_x, residual_energy_snu=1.0)
    changed = replace(layer, pooled=(replace(layer.pooled[0], tested_x=better),))
    forged = replace(records[2], layers=(changed, *records[2].layers[1:]))
    (mismatch,) = pool_mismatches(forged, read_tests(path, last.entries))
    assert mismatch.reason == "layer 0 (16 x 64): the run has other sums than the ledger"


def test_tests_are_not_read_when_the_ledger_is_one_of_data(tmp_path: Path) -> None:
    path = tmp_path / "data"
    DataLedger.create(path, 1e6).close()
    with pytest.raises(LedgerError, match="no ledger of weights"):
        read_tests(path, 1)
