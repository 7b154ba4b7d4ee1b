"""Sessions that test more of one quadrature than of the other, and that displace P at random."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from drivers.backend import Block, ServerOpticsInfo
from drivers.errors import ConfigurationError, ProtocolError, VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.client_policy import ClientPolicy, check_dither
from protocol.messages import Offer, encode_message
from protocol.server_records import ServerPolicy
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.unit.protocol.session_bench import LAB, Bench, SpyServerOptics, normals, perceptron

RECEIVERS: list[Receiver] = [
    Amplifier(gain=1.5),
    FeedForwardTap(tap_fraction=0.3),
    PassiveTap(tap_fraction=0.2),
]
STEADY = replace(LAB, oscillator_drift=0.0)
SIZES = (24, 20)


def bench_of(
    receiver: Receiver,
    *,
    x_share: float = 0.5,
    dither_snu: float = 0.0,
    client: ClientPolicy | None = None,
    lab: bool = False,
    **more: object,
) -> Bench:
    detector = STEADY if lab else DetectorSettings()
    return Bench(
        model=perceptron(SIZES, bias=False),
        link_settings=LinkSettings(
            receiver=receiver, seed=2, device="cpu", server=detector, client=detector
        ),
        photons=(0.5,),
        policy_changes={"x_share": x_share, "dither_snu": dither_snu, **more},
        client_policy=client or ClientPolicy(probe_photons_per_mode=100.0),
    )


def data(samples: int = 100) -> torch.Tensor:
    return normals(samples, SIZES[0], seed=8)


@pytest.mark.parametrize("x_share", [0.1, 0.5, 0.88])
def test_share_of_x_is_the_one_agreed_when_a_session_is_counted(x_share: float) -> None:
    """2000 frames: within 8 standard deviations."""
    bench = bench_of(RECEIVERS[0], x_share=x_share)
    bench.client.infer(data())
    evidence = bench.server.record.evidence[0]
    frames = float(evidence.frames.sum())
    assert frames == 100 * SIZES[1]
    spread = (frames * x_share * (1 - x_share)) ** 0.5
    assert abs(float(evidence.frames[0]) - x_share * frames) < 8 * spread
    thresholds = bench.server.record.thresholds
    assert thresholds is not None
    assert thresholds.x_share == x_share
    symbols = 100 * SIZES[0] * SIZES[1]
    assert thresholds.layers[0].symbols_p == int(symbols * (1 - x_share))
    assert thresholds.layers[0].symbols_x + thresholds.layers[0].symbols_p == symbols


def test_outputs_are_the_same_when_only_the_share_differs() -> None:
    """What the server measures of the return changes nothing for the client."""
    first, second = (bench_of(RECEIVERS[0], x_share=share) for share in (0.5, 0.9))
    assert torch.equal(first.client.infer(data()), second.client.infer(data()))


def test_thresholds_differ_when_share_or_dither_do() -> None:
    prints = set()
    for share, dither in ((0.5, 0.0), (0.6, 0.0), (0.5, 0.3)):
        bench = bench_of(RECEIVERS[0], x_share=share, dither_snu=dither)
        bench.client.infer(data(10))
        prints.add(bench.client.record.thresholds)
    assert len(prints) == 3


def test_offer_says_share_and_dither_and_no_seed() -> None:
    bench = bench_of(RECEIVERS[0], x_share=0.7, dither_snu=0.3)
    heard: list[Offer] = []
    exchange = bench.channel.exchange

    def listening(message: object) -> object:
        answer = exchange(message)  # type: ignore[arg-type]
        if isinstance(answer, Offer):
            heard.append(answer)
        return answer

    bench.channel.exchange = listening  # type: ignore[assignment, method-assign]
    bench.client.infer(data(10))
    (offer,) = heard
    assert (offer.x_share, offer.dither_snu) == (0.7, 0.3)
    assert "seed" not in json.loads(encode_message(offer))


@pytest.mark.parametrize("lab", [False, True], ids=["ideal", "lab"])
@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.kind)
@pytest.mark.parametrize(("x_share", "dither"), [(0.85, 0.0), (0.5, 1.0), (0.15, 2.0)])
def test_scores_of_every_test_are_normal_when_the_client_is_honest(
    receiver: Receiver, x_share: float, dither: float, lab: bool
) -> None:
    """60 blocks: the sum of squares of each test's scores within the 1e-11 tails of chi-square.

    Row sums are the largest of 20 and are left out. Drift makes scores of a lab a little narrower.
    """
    bench = bench_of(receiver, x_share=x_share, dither_snu=dither, lab=lab)
    bench.client.infer(data(600))
    assert bench.server.record.accepted
    scores: dict[str, list[float]] = {}
    for record in bench.server.record.blocks:
        assert record.verdict is not None
        for score in record.verdict.scores:
            scores.setdefault(score.name, []).append(score.score)
    wanted = {"gain", "X variance", "P variance"} | ({"P gain"} if dither else set())
    assert wanted <= set(scores)
    for name in wanted:
        assert len(scores[name]) == 60
        total = float(np.sum(np.square(scores[name])))
        low = 0.5 if lab else 1.0
        assert low * stats.chi2.ppf(1e-11, 60) < total < stats.chi2.isf(1e-11, 60), name
    names = {test.name for test in bench.server.record.tests}
    assert ("running P gain" in names) is (dither > 0)


def test_displacements_are_sent_beside_the_weights_and_are_never_the_same() -> None:
    bench = bench_of(RECEIVERS[1], dither_snu=1.0)
    bench.client.infer(data(20))
    plain = bench_of(RECEIVERS[1])
    plain.client.infer(data(20))
    for (block, means), (_, weights) in zip(
        bench.server_optics.sent, plain.server_optics.sent, strict=True
    ):
        assert means.shape == (block.inputs, block.rows, block.modes)
        assert torch.equal(means.real, weights.expand(means.shape))
    displaced = torch.cat([means.imag.flatten() for _, means in bench.server_optics.sent])
    assert len(np.unique(displaced.numpy())) > 0.99 * len(displaced)


class _DimsP(SpyServerOptics):
    """A channel that takes a part of P alone, whatever the server believes to have sent."""

    factor = 0.8

    def send(self, block: Block, means_snu: torch.Tensor) -> None:
        super().send(block, torch.complex(means_snu.real, self.factor * means_snu.imag))


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.kind)
def test_session_is_refused_when_p_alone_comes_back_dimmed(receiver: Receiver) -> None:
    """About 2400 symbols of P a block at d = 4: 0.2 off is 19 standard deviations."""
    bench = bench_of(receiver, dither_snu=4.0, full_return=True)
    optics = _DimsP(bench.link, bench.calls)
    bench.server._optics = optics
    with pytest.raises(VerificationError, match="P gain"):
        bench.client.infer(data())


def test_running_gain_of_p_refuses_when_no_single_block_shows_it() -> None:
    """1 % of P a block is 1 standard deviation; over 200 blocks it is 14."""
    bench = bench_of(RECEIVERS[0], dither_snu=4.0, full_return=True)
    bench.server._optics = _DimsP(bench.link, bench.calls)
    _DimsP.factor = 0.985
    try:
        with pytest.raises(VerificationError, match="running P gain"):
            bench.client.infer(data(4000))
    finally:
        _DimsP.factor = 0.8
    assert all(r.verdict and r.verdict.accepted for r in bench.server.record.blocks)


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.kind)
def test_audits_pass_when_p_is_displaced(receiver: Receiver) -> None:
    for full in (False, True):
        bench = bench_of(
            receiver, dither_snu=2.0, x_share=0.4, audit_share=0.3, full_return=full, lab=True
        )
        bench.client.infer(data(100))
        assert bench.server.record.accepted
        names = {test.name for test in bench.server.record.tests}
        assert {"audited data, X", "audited data, P"} <= names


def test_client_refuses_displacements_beyond_its_limit() -> None:
    tap, amplifier = RECEIVERS[1], RECEIVERS[0]
    check_dither(0.4, tap, ClientPolicy(probe_photons_per_mode=0.1))
    check_dither(0.4, amplifier, ClientPolicy())
    check_dither(0.0, tap, ClientPolicy())
    for receiver, limit in ((tap, None), (tap, 0.09), (amplifier, 0.09)):
        with pytest.raises(ConfigurationError, match=r"0\.1 photons per mode"):
            check_dither(0.4, receiver, ClientPolicy(probe_photons_per_mode=limit))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ProtocolError, match="finite and at least 0"):
            check_dither(wrong, amplifier, ClientPolicy())


def test_session_ends_before_any_light_when_the_client_refuses_the_dither() -> None:
    bench = bench_of(RECEIVERS[1], dither_snu=0.4, client=ClientPolicy())
    with pytest.raises(ConfigurationError, match="probe_photons_per_mode"):
        bench.client.infer(data(10))
    assert bench.calls == []


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.kind)
def test_probes_of_p_pass_as_declared_and_fail_when_there_is_more(receiver: Receiver) -> None:
    policy = ClientPolicy(probe_share=0.5, probe_photons_per_mode=1.0, seed=4)
    bench = bench_of(receiver, dither_snu=2.0, probes=True, client=policy)
    bench.client.infer(data(100))
    names = {test.name: test for test in bench.client.record.tests}
    assert names["P audit"].passed
    greedy = bench_of(receiver, dither_snu=2.0, probes=True, client=policy)
    optics = _DimsP(greedy.link, greedy.calls)
    optics.factor = 3.0
    greedy.server._optics = optics
    with pytest.raises(VerificationError, match="P audit"):
        greedy.client.infer(data(100))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x_share": 0.0}, "x_share is 0.0"),
        ({"x_share": 1.0}, "x_share is 1.0"),
        ({"x_share": float("nan")}, "x_share is nan"),
        ({"dither_snu": -0.1}, "dither_snu is -0.1"),
        ({"dither_snu": float("nan")}, "dither_snu is nan"),
        ({"dither_snu": float("inf")}, "dither_snu is inf"),
    ],
)
def test_policy_refuses_what_is_out_of_range(changes: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        replace(ServerPolicy(receiver=RECEIVERS[0]), **changes)  # type: ignore[arg-type]


def test_server_refuses_dither_when_its_light_has_no_p() -> None:
    class _XAlone(SpyServerOptics):
        def describe(self) -> ServerOpticsInfo:
            return replace(super().describe(), modulates_p=False)

    bench = bench_of(RECEIVERS[0])
    server = type(bench.server)
    with pytest.raises(ConfigurationError, match="modulates X alone"):
        server(
            bench.model,
            bench.plan,
            _XAlone(bench.link, []),
            ServerPolicy(receiver=RECEIVERS[0], dither_snu=0.5),
            bench.spent,
        )
