"""Cheats that no single block shows are caught by the tests over a session, by the real parties.

Symbols are those of the theory: ln(1/alpha)/KL for a running sum, the number at which the mixture's
kurtosis has the power 0.999 for the fourth moment, chi-square numbers for audits and for the
client's tests. Rates are set so that the test under study has the 1e-6 that the numbers are for.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from drivers.errors import VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.client_policy import ClientPolicy
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.messages import Message, Offer
from protocol.models.graph import Graph, Linear
from protocol.models.model import LayerWeights, Model
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from protocol.verification.cusum import mean_delay_symbols
from protocol.verification.outcome_tests import SHARES
from protocol.verification.power import symbols_for_power
from protocol.verification.session_limits import AlarmShares
from sim_backend.adversaries import (
    InterceptsAndResends,
    ReturnBehaviour,
    intercepts_and_resends,
    measures_only_x,
)
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import Bench, normals
from veilight.attacks.cases import Case
from veilight.attacks.server_detectors import FourthMomentDetector

LITTLE = 1e-9
"""Share of a test that is not under study."""


def one_layer(modes: int, rows: int, seed: int = 0) -> Model:
    """A single matrix without a bias."""
    graph = Graph(input_shape=(modes,), layers=(Linear(inputs=modes, outputs=rows, bias=False),))
    return Model(graph=graph, weights={0: LayerWeights(weight=normals(rows, modes, seed=seed))})


def shares(**most: float) -> AlarmShares:
    """All of the rate for one test."""
    rest = dict.fromkeys(vars(AlarmShares()), LITTLE)
    return AlarmShares(**{**rest, **most})


def refusal(client: ClientParty, data: Tensor) -> str:
    """Why the session was refused; empty if it was not."""
    try:
        client.infer(data)
    except VerificationError as error:
        return str(error)
    return ""


def fewest(trials: int, power: float) -> int:
    """Count below which a binomial of `power` falls with probability below 1e-10."""
    return trials - int(stats.binom.isf(1e-10, trials, 1 - power))


def small_noise_delay(seed: int) -> int:
    """P symbols until 0.02 SNU in P end a session whose blocks of 5000 each see one deviation."""
    blocks, rate = 120, 1e-6
    # ln(blocks x charts/(rate of the sums)) = ln(1/1e-6); five shifts, six charts each.
    false_alarm = 2 * rate * blocks * 6 * 5
    bench = Bench(
        model=one_layer(100, 50),
        link_settings=LinkSettings(receiver=PassiveTap(tap_fraction=0.01), seed=seed, device="cpu"),
        behaviour=measures_only_x(0.02),
        photons=(0.01,),
        samples_per_block=2,
        policy_changes={"false_alarm": false_alarm, "shares": shares(running=1 - 5 * LITTLE)},
    )
    reason = refusal(bench.client, normals(2 * blocks, 100, seed=seed))
    assert "running P variance" in reason
    thresholds = bench.server.record.thresholds
    assert thresholds is not None
    assert thresholds.session.running_limit == pytest.approx(math.log(1 / rate))
    assert all(
        record.verdict is not None and record.verdict.accepted
        for record in bench.server.record.blocks
    )
    last = bench.server.record.blocks[-1]
    assert not last.accepted
    charged = sum(not record.verified for record in bench.server.record.blocks)
    assert bench.spent.totals().unverified == charged >= 1
    return 5000 * len(bench.server.record.blocks)


def test_small_persistent_noise_is_caught_by_the_running_sums_when_no_block_shows_it() -> None:
    """1.4e5 symbols for 0.02 SNU: the mean of 40 sessions lies within 20 % of it.

    The delay scatters by 0.43 of itself, so that the mean's deviation is 0.07: 20 % is 3 of it.
    The seeds are fixed; the measured mean is 1.02 of the theory.
    """
    stated = mean_delay_symbols(0.02, math.log(1e6))
    assert stated == pytest.approx(1.4e5, rel=0.03)
    found = [small_noise_delay(seed) for seed in range(40)]
    print(f"mean delay {np.mean(found):.3g}, stated {stated:.3g}, spread {np.std(found):.2g}")
    assert np.mean(found) == pytest.approx(stated, rel=0.2)


def mixture_bench(symbols: float, seed: int, behaviour: ReturnBehaviour, alpha: float) -> Bench:
    """One block of so many symbols in all, for the fourth moment alone."""
    rows = 50
    return Bench(
        model=one_layer(200, rows),
        link_settings=LinkSettings(receiver=PassiveTap(tap_fraction=0.01), seed=seed, device="cpu"),
        behaviour=behaviour,
        photons=(0.01,),
        samples_per_block=math.ceil(symbols / (200 * rows)),
        policy_changes={
            "false_alarm": alpha / (1 - 5 * LITTLE),
            "shares": shares(fourth_moment=1 - 5 * LITTLE),
        },
    )


def test_one_percent_of_the_symbols_is_caught_by_the_fourth_moment_when_resent() -> None:
    """At 1.2 times the theory's number for the power 0.999 at 1e-6: at least 0.97 of 50 sessions.

    At half of it most escape, so that the number is not far too small. The variance of the blocks
    (0.02 SNU) would need 3.1e5 symbols in one quadrature.
    """
    case = Case(adversary=InterceptsAndResends(share=0.01), test="fourth moment")
    detector = FourthMomentDetector()
    needed = symbols_for_power(lambda n: detector.power(case, n, 1e-6), 0.999)
    caught = {}
    for part in (1.2, 0.4):
        benches = [
            mixture_bench(part * needed, seed, intercepts_and_resends(0.01), 1e-6)
            for seed in range(50)
        ]
        reasons = [refusal(b.client, normals(b.samples_per_block, 200, seed=1)) for b in benches]
        assert all("fourth moment" in reason for reason in reasons if reason)
        caught[part] = sum(bool(reason) for reason in reasons)
    print(f"needed {needed:.3g} symbols; caught of 50: {caught}")
    assert caught[1.2] >= fewest(50, 0.99)
    assert caught[0.4] <= 45


class Changed:
    """Optics of which a few methods are replaced: what a party says of them, or what arrives."""

    def __init__(self, optics: object, **methods: Callable[..., Any]) -> None:
        self._optics = optics
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optics, name)


def parties(
    model: Model,
    settings: LinkSettings,
    *,
    photons: float,
    samples_per_block: int,
    agreed: Receiver | None = None,
    policy: dict[str, Any] | None = None,
    client_policy: ClientPolicy | None = None,
    arrives: Callable[[Tensor], Tensor] = lambda outcomes: outcomes,
    sends: Callable[[Tensor], Tensor] = lambda means: means,
    meddle: Callable[[Message], Message] = lambda message: message,
) -> tuple[ServerParty, ClientParty]:
    """Server and client on a link where one of them is not what it says.

    Args:
        model: one layer.
        settings: of the true link.
        photons: per symbol.
        samples_per_block: of a batch.
        agreed: the receiver that the client names and the server's calibration is for.
        policy: of the server.
        client_policy: of the client.
        arrives: what the client's detector gives, from an honest outcome.
        sends: what the server launches, from honest means.
        meddle: what the client is told, from the server's answer.
    """
    link = SymbolLink(settings)
    named = agreed or settings.receiver
    info = replace(
        link.server.describe(),
        data_mode_excess_x_snu=named.excess_noise_x_snu,
        data_mode_excess_p_snu=named.excess_noise_p_snu,
    )
    plan = make_plan(
        model,
        (photons,),
        encoding="real",
        modes_per_frame=1000,
        samples_per_block=samples_per_block,
    )
    server = ServerParty(
        model,
        plan,
        Changed(
            link.server,
            describe=lambda: info,
            send=lambda block, means: link.server.send(block, sends(means)),
        ),
        ServerPolicy(receiver=named, **(policy or {})),
        WeightLedger.create(None, model.digest, {0: plan.layers[0].rows}, None),
        random_bits=SeededBits(settings.seed or 0),
    )
    client = ClientParty(
        Changed(
            link.client,
            describe=lambda: replace(link.client.describe(), receiver=named),
            measure=lambda block: arrives(link.client.measure(block)),
        ),
        LocalChannel(lambda message: meddle(server.handle(message))),
        policy=client_policy,
    )
    return server, client


def audited(agreed: float, gain: float, rows: float, seed: int) -> str:
    """Why a session ends in which so many rows, in each quadrature, are opened; 1e-6 for each."""
    weights, batch = 20, math.ceil(2 * rows / 20)
    _, client = parties(
        one_layer(300, weights),
        LinkSettings(receiver=Amplifier(gain=gain), seed=seed, device="cpu"),
        agreed=Amplifier(gain=agreed),
        photons=0.01,
        samples_per_block=batch,
        policy={
            # Half of the audits' share is for their number, the rest for two quadratures.
            "false_alarm": 4e-6 / (1 - 5 * LITTLE),
            "shares": shares(audits=1 - 5 * LITTLE),
            "audit_share": 0.5,
        },
        client_policy=ClientPolicy(seed=seed, variance_slack=0.3),
    )
    return refusal(client, normals(batch, 300, seed=seed))


@pytest.mark.parametrize(("agreed", "gain", "stated"), [(2.0, 1e6, 730), (1.3, 2.0, 1200)])
def test_a_higher_gain_is_caught_by_opened_dummies_when_no_block_shows_it(
    agreed: float, gain: float, stated: float
) -> None:
    """730 and 1200 rows at 1e-6 with the power 0.999: at 1.2 times as many, all of 30 sessions.

    The two quadratures are tested together, so that fewer may do: at a fifth of the rows at least
    one session in four escapes.
    """
    found = [audited(agreed, gain, 1.2 * stated, seed) for seed in range(30)]
    assert all("audited data" in reason for reason in found)
    few = [audited(agreed, gain, 0.2 * stated, seed) for seed in range(30)]
    print(f"caught with a fifth of {stated} rows: {sum(map(bool, few))} of 30")
    assert sum(map(bool, few)) <= 22


def test_a_receiver_that_does_not_return_p_as_agreed_is_caught_by_opened_dummies() -> None:
    """A feed-forward tap of the same signal puts 0.05 SNU on X and none on P, not 0.33 on both."""
    reasons = []
    for seed in range(5):
        server, client = parties(
            one_layer(300, 20),
            LinkSettings(receiver=FeedForwardTap(tap_fraction=0.1875), seed=seed, device="cpu"),
            agreed=Amplifier(gain=1.2),
            photons=0.01,
            samples_per_block=400,
            policy={"audit_share": 0.1},
            client_policy=ClientPolicy(seed=seed),
        )
        reasons.append(refusal(client, normals(3600, 300, seed=seed)))
        assert not server.record.accepted
        assert server.record.audits[-1].batch == "dummies"
    assert all("audited data" in reason for reason in reasons)


def test_honest_sessions_pass_their_audits_when_dummies_are_mixed_in() -> None:
    """Every kind of batch, small rates; 20 sessions at 1e-6 raise no alarm (below 2e-5)."""
    for seed in range(20):
        receiver = (Amplifier(gain=1.5), FeedForwardTap(tap_fraction=0.2))[seed % 2]
        server, client = parties(
            one_layer(40, 12),
            LinkSettings(receiver=receiver, seed=seed, device="cpu"),
            photons=0.5,
            samples_per_block=25,
            policy={"audit_share": 0.3, "probes": True, "full_return": seed % 4 > 1},
            client_policy=ClientPolicy(seed=seed, probe_share=0.2),
        )
        outputs = client.infer(normals(120, 40, seed=seed))
        assert outputs.shape == (120, 12)
        batches = client.record.batches
        assert (batches.count("data"), batches.count("probe")) == (5, 1)
        assert batches.count("dummies") == client.record.opened == 3
        assert client.record.dummy_symbols == 4 * 25 * 12 * 40
        assert [entry.batch for entry in server.record.audits] == list(batches)
        assert server.record.samples == 9 * 25
        assert server.record.accepted
        names = {test.name for test in server.record.tests}
        assert {"audited data, X", "audited data, P", "audits opened"} <= names


@pytest.mark.parametrize(
    ("squeezing_db", "stated"), [(1.0, 1.05e4), (3.0, 1.5e3), (6.0, 581), (10.0, 362)]
)
def test_squeezed_probes_are_caught_by_the_client_within_their_rows(
    squeezing_db: float, stated: float
) -> None:
    """Faint light at G = 2: the outcome's variance is 1 + e^(-2r) instead of 2; rate 1e-6."""
    ratio = (1 + 10 ** (-squeezing_db / 10)) / 2
    caught = {}
    for part in (1.2, 0.4):
        inputs = math.ceil(part * stated / 50)
        reasons = []
        for seed in range(25):
            server, client = parties(
                one_layer(20, 50),
                LinkSettings(receiver=Amplifier(gain=2.0), seed=seed, device="cpu"),
                photons=1e-4,
                samples_per_block=inputs,
                arrives=lambda outcomes: outcomes * math.sqrt(ratio),
                client_policy=ClientPolicy(false_alarm=1e-6 / SHARES["floor"], variance_slack=0.0),
            )
            reasons.append(refusal(client, normals(inputs, 20, seed=seed)))
            if reasons[-1]:
                # The client said nothing more: the server still waits, its light is charged.
                assert not server.record.blocks
        assert all("outcome floor" in reason for reason in reasons if reason)
        caught[part] = sum(map(bool, reasons))
    print(f"{squeezing_db} dB: caught of 25 {caught}")
    assert caught[1.2] == 25
    assert caught[0.4] <= 20


def declares_half(message: Message) -> Message:
    """The server declares half of the photons that it sends."""
    if not isinstance(message, Offer):
        return message
    layers = message.plan["layers"]
    assert isinstance(layers, list | tuple)
    told = [{**layer, "photons_per_symbol": layer["photons_per_symbol"] / 2} for layer in layers]
    return replace(message, plan={**message.plan, "layers": told})


def test_bright_probes_are_caught_on_dummies_when_twice_the_light_is_sent() -> None:
    """mu 0.2 where 0.1 was declared, G = 2: 5.1e3 rows by the chi-square law at 1e-6.

    The client judges by the dummies' own scatter (Student's law with as many degrees of freedom as
    dummies), which costs 10 % at 100 of them: 1.2 times the rows catch nearly all.
    """
    caught, alarms = 0, 0
    rate = 1e-6 / SHARES["dummy power"]
    for seed in range(25):
        for meddle in (declares_half, lambda message: message):
            _, client = parties(
                one_layer(60, 61, seed=seed),
                LinkSettings(receiver=Amplifier(gain=2.0), seed=seed, device="cpu"),
                photons=0.2,
                samples_per_block=100,
                meddle=meddle,
                client_policy=ClientPolicy(
                    false_alarm=rate, audit_share=0.5, seed=seed, variance_slack=0.0
                ),
            )
            reason = refusal(client, normals(100, 60, seed=seed))
            if meddle is declares_half:
                caught += "dummy power" in reason
            else:
                alarms += bool(reason)
    print(f"caught {caught} of 25, false alarms {alarms}")
    assert caught >= 23
    assert alarms == 0


def test_repeated_rows_are_caught_on_dummies_when_half_of_them_repeat() -> None:
    """The second half of the rows is the first: no alarm where they differ."""
    for repeats in (True, False):
        model = one_layer(80, 60)
        if repeats:
            weight = model.matrix(0).clone()
            weight[30:] = weight[:30]
            model = Model(graph=model.graph, weights={0: LayerWeights(weight=weight)})
        _, client = parties(
            model,
            LinkSettings(receiver=Amplifier(gain=2.0), seed=3, device="cpu"),
            photons=1.0,
            samples_per_block=60,
            client_policy=ClientPolicy(audit_share=0.5, seed=4),
        )
        reason = refusal(client, normals(60, 80, seed=5))
        assert ("repeated rows" in reason) == repeats


def test_light_in_p_is_caught_by_the_clients_probes_when_the_server_puts_some_there() -> None:
    """A quarter photon per mode in P behind a tap of 0.1: 10 % more variance, 1.35e4 outcomes.

    At 1.2 times as many all of 20 sessions are caught, at 0.4 times at most 15. Batches of data
    show nothing of it.
    """
    caught = {}
    for part in (1.2, 0.4):
        rows = 100
        inputs = math.ceil(part * 1.35e4 / rows)
        reasons = []
        for seed in range(20):
            signs = normals(1, rows, 40, seed=seed).sign()
            _, client = parties(
                one_layer(40, rows),
                LinkSettings(receiver=PassiveTap(tap_fraction=0.1), seed=seed, device="cpu"),
                photons=0.1,
                samples_per_block=inputs,
                sends=partial(torch.add, 1j * signs),
                policy={"shares": shares(blocks=LITTLE), "false_alarm": 1e-9},
                client_policy=ClientPolicy(
                    false_alarm=2e-6 / SHARES["P"], probe_share=1.0, seed=seed, variance_slack=0.0
                ),
            )
            reasons.append(refusal(client, normals(inputs, 40, seed=seed)))
        caught[part] = sum("P audit" in reason for reason in reasons)
    print(f"caught of 20: {caught}")
    assert caught[1.2] == 20
    assert caught[0.4] <= 15


def test_a_client_without_dummies_is_refused_at_the_end_when_audits_were_agreed() -> None:
    """Ten batches of data alone, each owned up to as data: three openings are missing."""
    server, client = parties(
        one_layer(20, 10),
        LinkSettings(receiver=Amplifier(gain=1.5), seed=1, device="cpu"),
        photons=0.5,
        samples_per_block=10,
        policy={"audit_share": 0.3},
        meddle=lambda message: (
            replace(message, audit_share=1e-12) if isinstance(message, Offer) else message
        ),
    )
    reason = refusal(client, normals(90, 20, seed=2))
    assert "audits opened" in reason
    assert not server.record.accepted
    assert set(client.record.batches) == {"data"}


def test_blocks_are_lost_to_nobody_when_p_holds_nothing() -> None:
    """A probe on honest light passes, and the outcome's variance is the receiver's own."""
    outcomes: list[Tensor] = []

    def keep(values: Tensor) -> Tensor:
        outcomes.append(values)
        return values

    _, client = parties(
        one_layer(40, 50),
        LinkSettings(receiver=FeedForwardTap(tap_fraction=0.5), seed=1, device="cpu"),
        photons=1.0,
        samples_per_block=100,
        policy={"probes": True},
        arrives=keep,
        client_policy=ClientPolicy(probe_share=1.0, seed=2),
    )
    client.infer(normals(100, 40, seed=3))
    probe = outcomes[client.record.batches.index("probe")]
    assert float(probe.var()) == pytest.approx(1.0, abs=0.1)
    assert float(torch.cat(outcomes).var()) > 1.5
