"""The two parties: order of messages, charges before light, and what ends a session."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from drivers.backend import Block
from drivers.errors import (
    BudgetError,
    ConfigurationError,
    DataError,
    LedgerError,
    ModelError,
    OpticsError,
    ProtocolError,
)
from drivers.receivers import Amplifier, FeedForwardTap
from protocol.channel import LocalChannel
from protocol.client import ClientParty, Progress
from protocol.ledger import WeightLedger
from protocol.messages import (
    PROTOCOL_VERSION,
    BlockMeasured,
    BlockReady,
    BlockSent,
    BlockVerdict,
    Farewell,
    Finish,
    Hello,
    Message,
    Offer,
    Query,
    QueryGranted,
    Refusal,
)
from protocol.randomness import OperatingSystemBits, SeededBits
from protocol.server import ServerParty, ServerPolicy
from sim_backend.settings import LinkSettings
from tests.unit.protocol.session_bench import Bench, convolutional, normals, perceptron


def hello(bench: Bench, **changes: Any) -> Hello:
    receiver = bench.link_settings.receiver
    return replace(
        Hello(
            version=PROTOCOL_VERSION,
            receiver=receiver.kind,
            receiver_setting=receiver.setting,
            modes_per_frame=bench.link_settings.modes_per_frame,
        ),
        **changes,
    )


def begun(bench: Bench, samples: int) -> str:
    """Greet and query by hand; the name of the session."""
    assert isinstance(bench.server.handle(hello(bench)), Offer)
    session = bench.server.record.session
    granted = bench.server.handle(Query(session=session, samples=samples))
    assert isinstance(granted, QueryGranted)
    assert granted.blocks == bench.plan.blocks(samples)
    return session


def block_of(bench: Bench, *, layer: int = 0, tile: int = 0, start: int = 0, stop: int) -> Block:
    entry = bench.plan.of_layer(layer)
    return bench.plan.block(0, entry, tile, (0, entry.rows), (start, stop - start))


def load(bench: Bench, block: Block) -> None:
    unit = torch.full((block.inputs, block.modes), block.modes**-0.5)
    bench.client_optics.load(block, unit)


def refused(answer: Message, error: str, text: str) -> None:
    assert isinstance(answer, Refusal), answer
    assert answer.error == error
    assert text in answer.reason


def test_session_calls_optics_and_ledger_in_order_when_honest() -> None:
    bench = Bench(model=perceptron(), samples_per_block=3)
    bench.client.infer(normals(5, 12))
    names = [call.split(" ", 1) for call in bench.calls]
    blocks = ["layer 0 rows 0-8 inputs 0-2", "layer 2 rows 0-3 inputs 0-2"]
    blocks += ["layer 0 rows 0-8 inputs 3-4", "layer 2 rows 0-3 inputs 3-4"]
    wanted = [[verb, b] for b in blocks for verb in ("load", "send", "measure", "collect")]
    assert names == wanted
    assert bench.server.record.accepted
    assert bench.server.record.sent_inputs == {0: 5, 2: 5}
    assert [record.block.name for record in bench.server.record.blocks] == blocks
    assert bench.server.plan is bench.plan
    assert bench.server.info.modes_per_frame == bench.link_settings.modes_per_frame


def test_progress_reaches_the_end_when_a_session_is_done() -> None:
    seen: list[Progress] = []
    settings = LinkSettings(seed=1, device="cpu", modes_per_frame=5)
    bench = Bench(
        model=convolutional(), link_settings=settings, rows_per_block=2, on_progress=seen.append
    )
    bench.client.infer(normals(13, 2, 8, 7))
    done = [entry.symbols_done for entry in seen]
    assert done == sorted(done)
    assert len(done) == bench.plan.blocks(13) == len(bench.server.record.blocks)
    assert done[-1] == seen[-1].symbols_total == bench.plan.symbols(13)
    assert {entry.samples_total for entry in seen} == {13}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": 1}, "version differs: the client has 1, the server 3"),
        ({"receiver": "passive-tap"}, "receiver differs: the client has passive-tap"),
        ({"receiver_setting": 1.5}, "receiver setting differs: the client has 1.5"),
        ({"modes_per_frame": 12}, "modes_per_frame differs: the client takes 12"),
    ],
)
def test_hello_is_refused_by_the_field_when_the_receivers_differ(
    changes: dict[str, Any], field: str
) -> None:
    bench = Bench(model=perceptron())  # 12 inputs and a bias: 13 modes
    refused(bench.server.handle(hello(bench, **changes)), "ProtocolError", field)
    refused(bench.server.handle(hello(bench)), "ProtocolError", "session is closed")


@pytest.mark.parametrize("samples", [0, -1, 10_000_001, 10**300, 10**4000])
def test_query_is_refused_when_its_samples_are_out_of_range(samples: int) -> None:
    """A number without bound would share the false-alarm rate until no test can fail."""
    bench = Bench(model=perceptron())
    bench.server.handle(hello(bench))
    query = Query(session=bench.server.record.session, samples=samples)
    refused(bench.server.handle(query), "ProtocolError", "1 to 10000000 samples")


def test_second_query_is_refused_when_the_thresholds_are_fixed() -> None:
    bench = Bench(model=perceptron())
    session = begun(bench, 3)
    refused(bench.server.handle(Query(session=session, samples=9)), "ProtocolError", "fixed")


def test_server_refuses_when_a_message_names_another_session() -> None:
    for build in (
        lambda b: Query(session="other", samples=1),
        lambda b: Finish(session="other", samples=1),
        lambda b: BlockReady(session="other", **vars(block_of(b, stop=3))),
        lambda b: BlockMeasured(session="other", **vars(block_of(b, stop=3))),
    ):
        bench = Bench(model=perceptron())
        begun(bench, 3)
        refused(bench.server.handle(build(bench)), "ProtocolError", "another session")
        assert not bench.server_optics.sent


def test_server_refuses_when_messages_come_out_of_turn() -> None:
    bench = Bench(model=perceptron())
    session = bench.server.record.session
    refused(
        bench.server.handle(Query(session=session, samples=1)), "ProtocolError", "another session"
    )
    bench = Bench(model=perceptron())
    bench.server.handle(hello(bench))
    ready = BlockReady(session=bench.server.record.session, **vars(block_of(bench, stop=3)))
    refused(bench.server.handle(ready), "ProtocolError", "a query comes before its blocks")
    bench = Bench(model=perceptron())
    session = begun(bench, 3)
    measured = BlockMeasured(session=session, **vars(block_of(bench, stop=3)))
    refused(bench.server.handle(measured), "ProtocolError", "no light was sent")
    assert not bench.spent.totals().entries
    for message in (
        BlockSent(session=session, **vars(block_of(bench, stop=3))),
        BlockVerdict(session=session, accepted=True, reason="", **vars(block_of(bench, stop=3))),
        Refusal(error="ProtocolError", reason="no"),
        Farewell(session=session, blocks=1),
    ):
        bench = Bench(model=perceptron())
        refused(bench.server.handle(message), "ProtocolError", "a client does not send")


def test_server_refuses_when_the_block_before_was_not_measured() -> None:
    bench = Bench(model=perceptron(), samples_per_block=3)
    session = begun(bench, 6)
    first = block_of(bench, stop=3)
    load(bench, first)
    assert isinstance(bench.server.handle(BlockReady(session=session, **vars(first))), BlockSent)
    second = block_of(bench, start=3, stop=6)
    refused(
        bench.server.handle(BlockReady(session=session, **vars(second))),
        "ProtocolError",
        "the block before it was not measured",
    )
    assert len(bench.server_optics.sent) == 1
    assert bench.spent.totals().entries == 1


def test_server_refuses_when_another_block_is_measured_than_was_sent() -> None:
    bench = Bench(model=perceptron(), samples_per_block=3)
    session = begun(bench, 6)
    first = block_of(bench, stop=3)
    load(bench, first)
    bench.server.handle(BlockReady(session=session, **vars(first)))
    other = block_of(bench, start=3, stop=6)
    refused(
        bench.server.handle(BlockMeasured(session=session, **vars(other))),
        "ProtocolError",
        "no light was sent",
    )
    assert bench.spent.totals().reserved == 1


FOREIGN: list[dict[str, int]] = [
    {"run": 1},
    {"layer": 1},
    {"layer": 4},
    {"tile": 3},
    {"first_input": 1},
    {"first_input": 6},
    {"inputs": 2},
    {"inputs": 4},
    {"first_row": 1},
    {"rows": 8},
    {"rows": 10},
    {"modes": 4},
    {"first_input": -1},
    {"inputs": 0},
    {"inputs": 10**300},
]


@pytest.mark.parametrize("changes", FOREIGN)
def test_server_refuses_when_a_block_is_not_one_of_the_plan(changes: dict[str, int]) -> None:
    """A client that could choose its blocks could have light that is charged or tested less."""
    settings = LinkSettings(seed=1, device="cpu", modes_per_frame=5)
    bench = Bench(model=perceptron(), link_settings=settings, samples_per_block=3)
    session = begun(bench, 6)
    fields = {**vars(block_of(bench, stop=3)), **changes}
    answer = bench.server.handle(BlockReady(session=session, **fields))
    assert isinstance(answer, Refusal)
    assert answer.error in ("ProtocolError", "OpticsError")
    assert not bench.server_optics.sent
    assert not bench.spent.totals().entries
    refused(bench.server.handle(Finish(session=session, samples=6)), "ProtocolError", "is closed")


def send_and_measure(bench: Bench, session: str, block: Block) -> Message:
    load(bench, block)
    answer = bench.server.handle(BlockReady(session=session, **vars(block)))
    if isinstance(answer, Refusal):
        return answer
    bench.client_optics.measure(block)
    return bench.server.handle(BlockMeasured(session=session, **vars(block)))


def test_server_refuses_when_a_block_is_asked_for_twice() -> None:
    """A tile repeated under one debit would be light that nobody charged."""
    settings = LinkSettings(seed=1, device="cpu", modes_per_frame=5)
    bench = Bench(model=perceptron(), link_settings=settings, samples_per_block=3)
    session = begun(bench, 6)
    for tile in (0, 1):
        verdict = send_and_measure(bench, session, block_of(bench, tile=tile, stop=3))
        assert isinstance(verdict, BlockVerdict)
    repeated = block_of(bench, tile=1, stop=3)
    refused(
        bench.server.handle(BlockReady(session=session, **vars(repeated))),
        "ProtocolError",
        "sent already",
    )
    assert len(bench.server_optics.sent) == 2
    plain = Bench(model=perceptron(), samples_per_block=3)
    session = begun(plain, 6)
    send_and_measure(plain, session, block_of(plain, stop=3))
    again = BlockReady(session=session, **vars(block_of(plain, stop=3)))
    refused(plain.server.handle(again), "ProtocolError", "sent already")
    assert plain.spent.totals().entries == 1


def test_server_refuses_when_a_tile_comes_before_its_first() -> None:
    settings = LinkSettings(seed=1, device="cpu", modes_per_frame=5)
    bench = Bench(model=perceptron(), link_settings=settings, samples_per_block=3)
    session = begun(bench, 6)
    ready = BlockReady(session=session, **vars(block_of(bench, tile=1, stop=3)))
    refused(bench.server.handle(ready), "ProtocolError", "first tile was not sent")
    assert not bench.server_optics.sent


def test_server_refuses_when_the_session_is_over() -> None:
    bench = Bench(model=perceptron())
    bench.client.infer(normals(2, 12))
    refused(bench.server.handle(hello(bench)), "ProtocolError", "session is closed")
    with pytest.raises(ProtocolError, match="session is closed; begin a new one"):
        bench.client.infer(normals(2, 12))


def test_server_refuses_when_the_optics_fail_and_the_entry_stays_spent() -> None:
    bench = Bench(model=perceptron())

    def fail(block: Block) -> None:
        raise OpticsError("the laser is off")

    bench.server_optics.before_send = fail
    with pytest.raises(OpticsError, match="laser is off"):
        bench.client.infer(normals(2, 12))
    assert bench.spent.totals().reserved == 1


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Refusal(error="BudgetError", reason="spent"), BudgetError, "spent"),
        (Refusal(error="LedgerError", reason="damaged"), LedgerError, "damaged"),
        (Refusal(error="ConfigurationError", reason="x"), ConfigurationError, "x"),
        (Refusal(error="SystemExit", reason="x"), ProtocolError, "x"),
        (Refusal(error="__doc__", reason="x"), ProtocolError, "x"),
        (Refusal(error="", reason="x"), ProtocolError, "x"),
        (Farewell(session="s", blocks=1), ProtocolError, "answers 'farewell' to 'hello'"),
        (
            Hello(version=2, receiver="", receiver_setting=1.0, modes_per_frame=1),
            ProtocolError,
            "hello",
        ),
        (
            Offer(
                version=3,
                session="s",
                audit_share=0.0,
                probes=False,
                x_share=0.5,
                dither_snu=0.0,
                graph={},
                plan={},
            ),
            ModelError,
            "layers",
        ),
    ],
)
def test_client_raises_the_named_error_when_the_server_answers_otherwise(
    answer: Message, error: type[Exception], text: str
) -> None:
    bench = Bench(model=perceptron())
    client = ClientParty(bench.client_optics, LocalChannel(lambda message: answer))
    with pytest.raises(error, match=text):
        client.infer(normals(2, 12))
    assert not bench.calls


@pytest.mark.parametrize("kind", [BlockSent, BlockVerdict])
def test_client_refuses_when_the_answer_is_about_another_block(
    kind: type[BlockSent] | type[BlockVerdict],
) -> None:
    bench = Bench(model=perceptron())

    def meddle(message: Message) -> Message:
        answer = bench.server.handle(message)
        if isinstance(answer, BlockSent | BlockVerdict) and isinstance(answer, kind):
            return replace(answer, first_row=1)
        return answer

    client = ClientParty(bench.client_optics, LocalChannel(meddle))
    with pytest.raises(ProtocolError, match="another block"):
        client.infer(normals(2, 12))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (torch.zeros(0, 12), "shape"),
        (torch.zeros(12), "shape"),
        (torch.zeros(2, 13), "shape"),
        (torch.full((3, 12), torch.nan), "3 of 3 samples"),
        (torch.stack([torch.zeros(12), torch.full((12,), torch.inf)]), "first is sample 1"),
    ],
)
def test_client_refuses_before_light_when_the_data_cannot_be_used(
    data: torch.Tensor, text: str
) -> None:
    bench = Bench(model=perceptron())
    with pytest.raises(DataError, match=text):
        bench.client.infer(data)
    assert not bench.calls
    assert not bench.spent.totals().entries


def test_server_refuses_seeded_bits_when_the_light_is_real() -> None:
    bench = Bench(model=perceptron())
    bench.server_optics.simulated = False
    policy = ServerPolicy(receiver=bench.link_settings.receiver)

    def party(bits: SeededBits | OperatingSystemBits | None) -> ServerParty:
        return ServerParty(
            bench.model, bench.plan, bench.server_optics, policy, bench.spent, random_bits=bits
        )

    with pytest.raises(ConfigurationError, match="seed"):
        party(SeededBits(3))
    party(OperatingSystemBits())
    party(None)


def test_server_refuses_when_the_ledger_is_of_another_model() -> None:
    ledger = WeightLedger.create(None, perceptron(seed=1).digest, {0: 9, 2: 4}, None)
    with pytest.raises(LedgerError, match="of the model"):
        Bench(model=perceptron(seed=2), ledger=ledger)


def test_server_refuses_when_complex_light_meets_a_receiver_that_keeps_x_only() -> None:
    settings = LinkSettings(seed=1, device="cpu", receiver=FeedForwardTap(tap_fraction=0.2))
    with pytest.raises(ConfigurationError, match="real encoding"):
        Bench(model=perceptron(), link_settings=settings, encoding="complex")


def test_server_refuses_when_the_plan_is_of_another_network() -> None:
    bench = Bench(model=perceptron())
    other = perceptron((12, 8, 4))
    with pytest.raises(ProtocolError, match="layer 0"):
        ServerParty(
            other,
            bench.plan,
            bench.server_optics,
            ServerPolicy(receiver=Amplifier(gain=2.0)),
            WeightLedger.create(None, other.digest, {0: 8, 2: 4}, None),
        )


@pytest.mark.parametrize("rate", [0.0, 0.5, -1e-6, float("nan")])
def test_policy_refuses_when_the_false_alarm_rate_is_out_of_range(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="false_alarm"):
        ServerPolicy(receiver=Amplifier(gain=2.0), false_alarm=rate)


def test_seeded_bits_repeat_for_any_cut_and_differ_by_key() -> None:
    whole = SeededBits(3).flips("layer", 40, 11)
    cut = SeededBits(3)
    parts = torch.cat([cut.flips("layer", n, 11) for n in (1, 20, 19)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, SeededBits(3).flips("other", 40, 11))
    assert not torch.equal(whole, SeededBits(4).flips("layer", 40, 11))


def test_bits_are_fair_and_fresh_when_drawn_from_either_source() -> None:
    """Sums of 1e6 flips within 8 standard deviations: fails by chance below 1e-14 each."""
    for source in (OperatingSystemBits(), SeededBits(1)):
        flips = source.flips("key", 1000, 1000)
        assert flips.shape == (1000, 1000)
        assert flips.dtype == torch.bool
        assert abs(int(flips.sum()) - 500_000) < 8 * 500
        assert float((flips.sum(0) - 500).abs().max()) < 8 * 16
        assert not torch.equal(flips, source.flips("key", 1000, 1000))
