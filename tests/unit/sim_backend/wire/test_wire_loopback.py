"""A twin in the same process: bytes from hand to hand, and waiting that moves simulated time."""

import pytest

from drivers.errors import LinkError, LinkTimeoutError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.loopback import LoopbackLine, LoopbackStream
from sim_backend.wire.session import Session, Twin


class Echo(Session):
    """Says back what it hears, after a time or when a condition holds."""

    def __init__(self, clock: SimulatedClock, twin: "EchoTwin") -> None:
        super().__init__(clock)
        self.twin = twin

    def feed(self, data: bytes) -> None:
        twin = self.twin
        self.say(data, after_s=twin.delay_s, when=(lambda: twin.ready) if twin.asks else None)

    def close(self) -> None:
        super().close()
        self.twin.closed += 1


class EchoTwin(Twin):
    """See `Echo`."""

    model = "echo"

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.delay_s = 0.0
        self.asks = False
        self.ready = False
        self.closed = 0

    def session(self) -> Session:
        return Echo(self.clock, self)


def rig() -> tuple[SimulatedClock, EchoTwin, LoopbackStream]:
    clock = SimulatedClock()
    twin = EchoTwin(clock)
    return clock, twin, LoopbackStream(twin, clock, transfer_s=1e-3)


def receive(stream: LoopbackStream, count: int, timeout_s: float = 1.0) -> bytes:
    buffer = bytearray(count)
    got = stream.receive_into(memoryview(buffer), timeout_s)
    return bytes(buffer[:got])


def test_bytes_come_back_in_the_sizes_that_are_asked_for() -> None:
    clock, _, stream = rig()
    stream.send(memoryview(b"abcdef"), 1.0)
    assert [receive(stream, 4), receive(stream, 4)] == [b"abcd", b"ef"]
    assert clock.now() == pytest.approx(1e-3)


def test_waiting_moves_time_to_when_the_answer_is_due() -> None:
    clock, twin, stream = rig()
    twin.delay_s = 0.25
    stream.send(b"x", 1.0)
    assert receive(stream, 1) == b"x"
    assert clock.now() == pytest.approx(0.251)


def test_waiting_steps_when_nobody_knows_when_the_answer_is_due() -> None:
    clock, twin, stream = rig()
    twin.asks = True

    def become_ready(_: float) -> None:
        twin.ready = clock.now() > 0.1

    clock.on_advance(become_ready)
    stream.send(b"x", 1.0)
    assert receive(stream, 1) == b"x"
    assert clock.now() == pytest.approx(0.105, abs=0.01)


def test_waiting_ends_at_the_deadline() -> None:
    clock, twin, stream = rig()
    twin.delay_s = 5.0
    stream.send(b"x", 1.0)
    with pytest.raises(LinkTimeoutError, match=r"no answer within 0\.5 s"):
        receive(stream, 1, 0.5)
    assert clock.now() == pytest.approx(0.501)
    clock.advance(5.0)
    assert receive(stream, 1) == b"x"


def test_discard_drops_what_is_there_and_not_what_comes_later() -> None:
    clock, twin, stream = rig()
    stream.send(b"abc", 1.0)
    assert receive(stream, 1) == b"a"
    twin.delay_s = 1.0
    stream.send(b"late", 1.0)
    assert stream.discard() == b"bc"
    assert stream.discard() == b""
    clock.advance(1.0)
    assert stream.discard() == b"late"


def test_closed_stream_refuses_and_tells_the_session_once() -> None:
    _, twin, stream = rig()
    stream.close()
    stream.close()
    assert twin.closed == 1
    with pytest.raises(LinkError, match="closed"):
        stream.send(b"x", 1.0)
    with pytest.raises(LinkError, match="closed"):
        receive(stream, 1)


def test_streams_have_sessions_of_their_own() -> None:
    clock, twin, first = rig()
    second = LoopbackStream(twin, clock)
    first.send(b"x", 1.0)
    assert second.discard() == b""
    assert first.discard() == b"x"


def test_line_is_drained_where_a_stream_is_opened_anew() -> None:
    assert LoopbackStream.reopens
    assert not LoopbackLine.reopens
