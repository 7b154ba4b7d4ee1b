"""The session's tests and limits by themselves, and honest sessions of the real parties."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from drivers.backend import Block, ClientOpticsInfo, ReturnSummary, ServerOpticsInfo
from drivers.errors import ConfigurationError, VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.client_policy import ClientPolicy, batch_kinds
from protocol.dummies import batch_commitment, dummy_vectors, new_batch, seeded_batch
from protocol.plan import Plan
from protocol.verification import Verdict, Verifier, expected_return
from protocol.verification.expected import ReturnExpectation
from protocol.verification.outcome_tests import SHARES, OutcomeMonitor, OutcomeSettings
from protocol.verification.session import AuditedReturn, SessionMonitor, rails_expected
from protocol.verification.session_limits import (
    AlarmShares,
    SessionLimits,
    audits_of,
    honest_kurtosis,
    session_limits,
)
from protocol.verification.verifier import TestScore
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.plans import layer_plan
from tests.unit.protocol.session_bench import LAB, Bench, normals, perceptron

ROWS, MODES, INPUTS = 10, 20, 5


def plan_of(samples_per_block: int = INPUTS) -> Plan:
    layer = layer_plan(rows=ROWS, modes=MODES, photons_per_symbol=0.5)
    return Plan(layers=(layer,), samples_per_block=samples_per_block)


def expectation(**changes: float) -> ReturnExpectation:
    info = ServerOpticsInfo(
        backend="b", simulated=True, seed=None, modes_per_frame=MODES, symbol_rate_hz=1e9
    )
    return replace(expected_return(info, PassiveTap(tap_fraction=0.1)), **changes)


def limits_of(
    blocks: int,
    false_alarm: float = 1e-6,
    *,
    shares: AlarmShares | None = None,
    audit_share: float = 0.0,
) -> SessionLimits:
    return session_limits(
        plan_of(),
        INPUTS * blocks,
        expectation(),
        false_alarm=false_alarm,
        shares=shares,
        audit_share=audit_share,
    )


def verdict_of(
    score: float, name: str = "X variance", systematic: float = 0.0, deviation: float = 0.0632
) -> Verdict:
    own = TestScore(
        name=name,
        measured=1.0,
        expected=1.0,
        score=score / math.hypot(1, systematic),
        threshold=6.0,
        deviation=deviation,
        systematic=systematic,
    )
    return Verdict(scores=(own,), symbols=ROWS * MODES * INPUTS)


def summary_of(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> ReturnSummary:
    """Deviations of X frames alone, one row."""
    none = torch.zeros(1, dtype=torch.float64)
    count = torch.tensor([values.size / MODES], dtype=torch.float64)
    second, fourth = (
        torch.tensor([float((values**power).sum())], dtype=torch.float64) for power in (2, 4)
    )
    return ReturnSummary(
        frames=torch.stack([count, none]),
        reference_gain=1.0,
        mean_energy_snu=torch.stack([none, none]),
        projection_snu=torch.stack([none, none]),
        residual_energy_snu=torch.stack([second, none]),
        rails=torch.stack([none + 3, none]),
        modes=MODES,
        residual_fourth_snu=torch.stack([fourth, none]),
    )


NOTHING = replace(summary_of(np.ones(MODES)), residual_fourth_snu=None)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["gain", "X variance", "P variance"])
def test_running_sum_alarms_in_either_direction_when_the_score_is_always_off(
    name: str, sign: int
) -> None:
    """Scores of 1: half a nat per block against ln(L m/alpha), with the chart of that shift."""
    monitor = SessionMonitor(limits_of(200))
    (reference,) = {
        "gain": limits_of(200).running_references[:1],
        "X variance": limits_of(200).running_references[1:2],
        "P variance": limits_of(200).running_references[2:],
    }[name]
    blocks = 0
    while not monitor.add(NOTHING, verdict_of(sign * 1.0, name, deviation=reference), 0.0):
        blocks += 1
        assert blocks < 200
    assert monitor.failed == f"running {name}"
    assert blocks == math.floor(limits_of(200).running_limit / 0.5)


def test_running_sum_is_silent_when_the_calibration_may_explain_the_score() -> None:
    """A chance score of 3 in every block, where the calibration is unknown to as much as chance."""
    monitor = SessionMonitor(limits_of(1000))
    for _ in range(1000):
        assert not monitor.add(NOTHING, verdict_of(3.0, systematic=1.0), 0.0)
    exact = SessionMonitor(limits_of(1000))
    assert any(exact.add(NOTHING, verdict_of(3.0), 0.0) for _ in range(10))


def test_running_sums_keep_their_rate_when_scores_are_normal() -> None:
    """200 sessions of 60 blocks at a rate of 0.18: no more than that (surprise 1e-9)."""
    limits = limits_of(
        60,
        0.4,
        shares=AlarmShares(
            running=0.9, blocks=0.05, fourth_moment=0.01, rails=0.01, audits=0.01, records=0.01
        ),
    )
    rate = 0.9 * 0.4 / 2
    random, alarms = np.random.default_rng(1), 0
    reference = limits.running_references[1]
    for _ in range(200):
        monitor = SessionMonitor(limits)
        for score in random.standard_normal(60):
            monitor._add_scores(verdict_of(float(score), deviation=reference))
        alarms += bool(monitor.failed)
    print(f"{alarms} alarms of {200 * rate:.0f} allowed")
    assert stats.binom.sf(alarms - 1, 200, rate) > 1e-9


def test_running_sum_refuses_when_a_score_is_not_a_number() -> None:
    monitor = SessionMonitor(limits_of(10))
    assert monitor.add(NOTHING, verdict_of(math.nan), 0.0) == "running X variance"


def test_fourth_moment_is_looked_at_when_a_look_is_due_and_enough_is_there() -> None:
    limits = limits_of(40)
    assert limits.moment_looks[0] == 1
    assert limits.moment_looks[-1] == 40
    assert len(limits.moment_looks) == len(limits.moment_limits) < 20
    random = np.random.default_rng(2)
    values = random.standard_normal(6000)
    values[:120] *= math.sqrt(8)
    monitor = SessionMonitor(limits)
    variance = float((values**2).mean())
    score = TestScore(
        name="X variance", measured=1.0, expected=variance, score=0.0, threshold=6.0, deviation=0.02
    )
    verdict = Verdict(scores=(score,), symbols=6000)
    assert monitor.add(summary_of(values), verdict, 0.0) == "fourth moment"
    few = SessionMonitor(limits)
    assert not few.add(summary_of(values[:4000]), verdict, 0.0)
    assert all(test.name != "fourth moment" for test in few.scores)
    allowed = SessionMonitor(replace(limits, moment_allowance=5.0))
    assert not allowed.add(summary_of(values), verdict, 0.0)


def test_rails_refuse_when_more_values_clip_than_honest_light_gives() -> None:
    edge, values = 6.0, 1e6
    expected = rails_expected(values, np.zeros(3), gain=1.0, variance_snu=1.0, edge_snu=edge)
    assert expected == pytest.approx(values * 2 * stats.norm.sf(6), rel=1e-9)
    assert rails_expected(values, np.zeros(3), gain=1.0, variance_snu=1.0, edge_snu=math.inf) == 0
    monitor = SessionMonitor(limits_of(10))
    assert monitor.add(NOTHING, verdict_of(0.0), expected) == "rails"
    loud = SessionMonitor(limits_of(10))
    assert not loud.add(NOTHING, verdict_of(0.0), 20.0)


def test_limits_share_the_rate_and_depend_on_nothing_but_the_plan() -> None:
    one = limits_of(30)
    assert one == limits_of(30)
    assert one != limits_of(31)
    charts = 6 * len(one.running_shifts)
    assert one.running_limit == pytest.approx(math.log(30 * charts / (0.25e-6 / 2)))
    rates = [stats.norm.sf(limit) for limit in one.moment_limits]
    assert sum(rates) == pytest.approx(0.0625e-6)
    assert one.rail_rate == pytest.approx(0.0625e-6 / 30)
    assert math.fsum(vars(AlarmShares()).values()) == 1
    with pytest.raises(ConfigurationError, match="at most 1"):
        AlarmShares(blocks=0.9)
    with pytest.raises(ConfigurationError, match="false_alarm is nan"):
        limits_of(30, math.nan)


@pytest.mark.parametrize(("batches", "share", "wanted"), [(10, 0.3, 3), (7, 0.3, 3), (5, 0.0, 0)])
def test_audits_are_rounded_up_when_the_share_is_no_whole_number(
    batches: int, share: float, wanted: int
) -> None:
    assert audits_of(batches, share) == wanted


def test_honest_kurtosis_covers_a_vector_in_one_mode_and_a_phase_error() -> None:
    law = expectation(data_mode_excess_x=1.0)
    crowded = honest_kurtosis(law, 10, mean_fourth_snu=0.0, oscillator_drift=0.0)
    # Variances 2 on a tenth of the values, 1 on the others.
    assert crowded == pytest.approx(3 * 0.1 * 0.9 / 1.1**2)
    moving = expectation(cross_gain_variance=0.01)
    assert honest_kurtosis(moving, 10, mean_fourth_snu=4.0, oscillator_drift=0.0) == pytest.approx(
        3 * 1e-4 * 4
    )
    assert honest_kurtosis(expectation(), 10, mean_fourth_snu=4.0, oscillator_drift=0.01) > 0


def test_audit_refuses_on_either_side_when_the_noise_along_the_vector_is_not_as_agreed() -> None:
    limits = limits_of(10, audit_share=0.2)
    assert limits.audits == 2

    def failed(ratio: float) -> str:
        monitor = SessionMonitor(limits)
        part = AuditedReturn(
            frames=2000, energy_snu=ratio * 3000, white_variance_snu=1.0, excess_noise_snu=0.5
        )
        return monitor.add_audit((part, replace(part, energy_snu=3000)))

    assert failed(1.0) == ""
    assert failed(1.3) == failed(0.75) == failed(math.nan) == "audited data, X"


def test_openings_are_missed_at_the_end_when_fewer_came_than_were_agreed() -> None:
    limits = limits_of(10, audit_share=0.3)
    assert SessionMonitor(limits).finish(10, 10, 2) == "audits opened"
    assert SessionMonitor(limits).finish(10, 10, 3) == ""
    # Of five batches that were asked about all three dummies may be among the other five.
    assert SessionMonitor(limits).finish(10, 5, 0) == ""
    assert SessionMonitor(limits_of(10)).finish(10, 0, 0) == ""


@pytest.mark.parametrize(
    ("receiver", "detector"),
    [
        (Amplifier(gain=2.0), DetectorSettings()),
        (Amplifier(gain=2.0), LAB),
        (FeedForwardTap(tap_fraction=0.4), DetectorSettings()),
        (PassiveTap(tap_fraction=0.4), LAB),
    ],
    ids=["amplifier, ideal", "amplifier, lab", "feed-forward, ideal", "passive, lab"],
)
def test_honest_sessions_alarm_no_more_than_agreed(
    receiver: Receiver, detector: DetectorSettings
) -> None:
    """15 sessions of 20 blocks, audits among them, at a rate of 0.2 for either party.

    Fails below a surprise of 1e-9: 14 and more of 15.
    """
    lab = detector is LAB
    server = client = 0
    for seed in range(15):
        bench = Bench(
            model=perceptron((30, 20, 6)),
            link_settings=LinkSettings(
                receiver=receiver,
                forward_transmittance=0.8 if lab else 1.0,
                excess_noise_snu=0.01 if lab else 0.0,
                unitary_error_rad=0.02 if lab else 0.0,
                client=detector,
                server=detector,
                seed=seed,
                device="cpu",
            ),
            samples_per_block=50,
            policy_changes={"false_alarm": 0.2, "audit_share": 0.2},
            client_policy=ClientPolicy(false_alarm=0.2, seed=seed),
        )
        try:
            bench.client.infer(normals(400, 30, seed=seed + 1000))
        except VerificationError as error:
            server += "the server refused" in str(error)
            client += "the client refused" in str(error)
    print(f"{type(receiver).__name__}: {server} and {client} of 15")
    assert stats.binom.sf(server - 1, 15, 0.2) > 1e-9
    assert stats.binom.sf(client - 1, 15, 0.2) > 1e-9


def outcome_monitor(**changes: float) -> OutcomeMonitor:
    values = {
        "false_alarm": 1e-6,
        "variance_slack": 0.0,
        "largest_row_norm": 4.0,
        "largest_row_correlation": 0.5,
    }
    info = ClientOpticsInfo(
        backend="b",
        simulated=True,
        seed=None,
        receiver=Amplifier(gain=2.0),
        modes_per_frame=MODES,
        symbol_rate_hz=1e9,
        signal_gain=1.0,
        outcome_variance_snu=2.0,
    )
    settings = OutcomeSettings(samples=40, dummies=1, probes=1, **{**values, **changes})
    return OutcomeMonitor(settings, info, plan_of(40))


BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=40, first_row=0, rows=ROWS, modes=MODES)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (lambda y: y, ""),
        (lambda y: y * 0.75, "outcome floor"),
        (lambda y: torch.cat([y[:1] * 0.02, y[1:] * 1.1]), "input floor"),
        (lambda y: y * 20, "outcome power, outcome peak"),
        (lambda y: torch.cat([y[:1] + 200.0, y[1:]]), "outcome power, outcome peak"),
        (lambda y: y * math.nan, "outcome floor, input floor, outcome power, outcome peak"),
    ],
    ids=["honest", "squeezed", "one input", "bright", "one bright", "nan"],
)
def test_outcomes_are_refused_by_the_tests_name(change: object, failed: str) -> None:
    outcomes = math.sqrt(2) * normals(40, ROWS, seed=1)
    assert outcome_monitor().add(BLOCK, change(outcomes)) == failed  # type: ignore[operator]


def test_probes_are_refused_on_either_side_when_p_is_not_vacuum() -> None:
    values = math.sqrt(2) * normals(400, ROWS, seed=2)
    for factor, failed in ((1.0, ""), (1.2, "P audit"), (0.8, "P audit")):
        assert outcome_monitor().add_probe(values * factor) == failed
    assert outcome_monitor(variance_slack=0.6).add_probe(values * 1.2) == ""


def test_shares_of_the_clients_rate_add_up_to_one() -> None:
    assert math.fsum(SHARES.values()) == pytest.approx(1.0)


def test_dummies_repeat_from_their_seed_and_have_no_direction_of_their_own() -> None:
    layer = plan_of().layers[0]
    vectors = dummy_vectors("ab" * 16, layer, 4000)
    assert torch.equal(vectors, dummy_vectors("ab" * 16, layer, 4000))
    assert not torch.equal(vectors, dummy_vectors("ac" * 16, layer, 4000))
    assert set(vectors.flatten().tolist()) == {-1.0, 1.0}
    products = vectors.T @ vectors / 4000
    # 190 products of deviation 0.0158: six of them leave 4e-7.
    assert float((products - torch.eye(MODES)).abs().max()) < 0.095
    # Bits of SHAKE-256, the highest first, so that another implementation finds the same.
    text = b"veilight dummies 1\n" + b"ab" * 16 + b"\n0"
    first = hashlib.shake_256(text).digest(4000 * MODES // 8)[0]
    assert vectors[0, :8].tolist() == [2.0 * (first >> (7 - bit) & 1) - 1 for bit in range(8)]


def test_commitment_binds_session_place_and_kind_but_not_a_probes_seed() -> None:
    secret = new_batch("dummies")
    assert secret != new_batch("dummies")
    assert seeded_batch("dummies", 1, 0) == seeded_batch("dummies", 1, 0)
    assert seeded_batch("dummies", 1, 0) != seeded_batch("dummies", 1, 10)
    assert new_batch("data").seed == ""
    told = ("s", 10, "dummies", secret.seed, secret.nonce)
    first = batch_commitment(*told)
    assert len(bytes.fromhex(first)) == 32
    for place, other in enumerate(("t", 20, "data", "00", "00")):
        changed = list(told)
        changed[place] = other
        assert batch_commitment(*changed) != first  # type: ignore[arg-type]
    probe = ("s", 10, "probe")
    assert batch_commitment(*probe, "00", "1") == batch_commitment(*probe, "", "1")


def test_kinds_hold_the_agreed_share_at_places_that_follow_the_seed() -> None:
    kinds = batch_kinds(9, 0.1, ClientPolicy(seed=1, probe_share=0.3))
    assert sorted(kinds) == ["data"] * 9 + ["dummies"] * 2 + ["probe"] * 3
    assert kinds == batch_kinds(9, 0.1, ClientPolicy(seed=1, probe_share=0.3))
    others = [batch_kinds(9, 0.1, ClientPolicy(probe_share=0.3)) for _ in range(20)]
    assert len({tuple(other) for other in others}) > 1
    assert batch_kinds(3, 0.0, ClientPolicy()) == ["data"] * 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"false_alarm": 0.5}, "false_alarm is 0.5"),
        ({"audit_share": 1.0}, "audit_share is 1.0"),
        ({"probe_share": math.nan}, "probe_share is nan"),
        ({"largest_row_norm": 0.5}, "largest_row_norm is 0.5"),
        ({"variance_slack": -0.1}, "variance_slack is -0.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_client_policy_refuses_when_a_value_is_out_of_range(
    changes: dict[str, float], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        ClientPolicy(**changes)  # type: ignore[arg-type]


def test_verifier_says_what_chance_and_the_calibration_leave_open() -> None:
    """The score over both is the chance score over the root of 1 + systematic^2."""
    values = np.random.default_rng(3).standard_normal(2000)
    for uncertainty in (0.0, 0.05):
        law = expectation(variance_uncertainty=uncertainty)
        verdict = Verifier(law, false_alarm=1e-6, blocks=1).test(summary_of(values))
        (score,) = [s for s in verdict.scores if s.name == "X variance"]
        assert score.deviation == pytest.approx(math.sqrt(2 / 2000))
        assert score.systematic == pytest.approx(uncertainty / math.sqrt(2 / 2000))
        exact = stats.norm.isf(stats.chi2.sf(float((values**2).sum()), 2000))
        assert score.chance_score == pytest.approx(exact, abs=1e-3)
