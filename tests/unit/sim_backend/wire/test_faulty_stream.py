"""A stream with faults: what the client and the instrument see, on simulated time."""

from typing import Any, ClassVar

import pytest

from drivers.errors import AnswerError, LinkError, LinkTimeoutError
from drivers.transports.link import Link
from drivers.transports.reader import Reader
from drivers.transports.streams import Buffer, ByteStream
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.faulty_pipe import ActiveFaults
from sim_backend.wire.faulty_stream import FaultyLine, FaultyStream
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind, WireFaultPlan


class EchoStream:
    """Answers every message with itself in brackets, at once."""

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(self, clock: SimulatedClock) -> None:
        self.got: list[bytes] = []
        self.answers: list[bytes] = []
        self.open = True
        self.ended = False
        self._clock = clock

    def send(self, data: Buffer, timeout_s: float) -> None:
        assert timeout_s > 0
        if not self.open:
            raise LinkError("echo: closed")
        self.got.append(bytes(data))
        self.answers.append(b"[" + bytes(data) + b"]")

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        assert timeout_s > 0
        if not self.open:
            raise LinkError("echo: closed")
        if not self.answers:
            if self.ended:
                raise LinkError("echo: the instrument hung up")
            self._clock.sleep(timeout_s)
            raise LinkTimeoutError("echo: nothing")
        answer = self.answers.pop(0)
        buffer[: len(answer)] = answer
        return len(answer)

    def discard(self) -> bytes:
        dropped, self.answers = b"".join(self.answers), []
        return dropped

    def close(self) -> None:
        self.open = False


def fault(kind: str, way: str = "to client", **values: Any) -> WireFault:
    return WireFault(kind=WireFaultKind(kind), direction=WireDirection(way), **values)


class Rig:
    """An echo behind a faulty stream."""

    def __init__(self, *faults: WireFault) -> None:
        self.clock = SimulatedClock()
        self.echo = EchoStream(self.clock)
        self.stream = FaultyStream(self.echo, WireFaultPlan(faults=faults), self.clock)

    def send(self, data: bytes) -> None:
        self.stream.send(data, 1.0)

    def receive(self, timeout_s: float = 1.0, size: int = 100) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.stream.receive_into(memoryview(buffer), timeout_s)])


def test_line_keeps_late_bytes_for_the_drain_when_the_link_is_dirty() -> None:
    clock = SimulatedClock()
    faults = ActiveFaults(WireFaultPlan(faults=(fault("delay", at_message=0, delay_s=1.02),)))
    opened = []

    def opener(timeout_s: float) -> ByteStream:
        opened.append(timeout_s)
        return FaultyLine(EchoStream(clock), faults, clock)

    link = Link("echo", opener, clock=clock, timeout_s=1.0)
    link.attach("test", lambda: None)
    assert link.ask(b"one", line) == b"one"
    # The time-out at 1 s, one drain of 50 ms with the late answer in it, one without.
    assert clock.now() == pytest.approx(1.1)
    assert len(opened) == 1


def test_stream_carries_everything_when_nothing_is_wrong() -> None:
    rig = Rig()
    rig.send(b"one")
    assert rig.receive(size=2) == b"[o"
    assert rig.receive() == b"ne]"
    rig.stream.send(memoryview(bytearray(b"two")), 1.0)
    assert rig.stream.discard() == b"[two]"
    assert rig.clock.now() == 0.0
    assert rig.echo.got == [b"one", b"two"]


def test_receive_times_out_at_its_time_when_nothing_comes() -> None:
    rig = Rig(fault("swallow"))
    rig.send(b"one")
    with pytest.raises(LinkTimeoutError, match=r"no answer within 0\.3 s"):
        rig.receive(0.3)
    assert rig.clock.now() == pytest.approx(0.3)
    assert rig.echo.got == [b"one"]


def test_receive_waits_as_long_as_the_delay_when_it_is_within_the_time() -> None:
    rig = Rig(fault("delay", delay_s=0.25))
    rig.send(b"one")
    assert rig.receive() == b"[one]"
    assert rig.clock.now() == pytest.approx(0.25)


def test_late_answer_comes_after_a_discard_when_it_was_still_under_way() -> None:
    rig = Rig(fault("delay", at_message=0, delay_s=2.0))
    rig.send(b"one")
    with pytest.raises(LinkTimeoutError):
        rig.receive(1.0)
    assert rig.stream.discard() == b""
    rig.send(b"two")
    assert rig.receive(1.5) == b"[one][two]"
    assert rig.clock.now() == pytest.approx(2.0)


def test_order_is_late_when_the_way_to_the_instrument_is_delayed() -> None:
    rig = Rig(fault("delay", "to instrument", delay_s=0.25))
    rig.send(b"one")
    assert rig.echo.got == []
    assert rig.receive() == b"[one]"
    assert rig.clock.now() == pytest.approx(0.25)


@pytest.mark.parametrize("place", range(6))
def test_connection_breaks_after_its_bytes_when_the_answer_is_cut(place: int) -> None:
    rig = Rig(fault("cut", at_byte=place))
    if place:
        rig.send(b"one")
        assert rig.receive() == b"[one]"[:place]
    with pytest.raises(LinkError, match="the connection was cut"):
        rig.receive()
    assert not rig.echo.open
    with pytest.raises(LinkError, match="was cut"):
        rig.send(b"two")
    assert rig.stream.discard() == b""


@pytest.mark.parametrize("place", range(4))
def test_instrument_gets_the_bytes_before_it_when_the_order_is_cut(place: int) -> None:
    rig = Rig(fault("cut", "to instrument", at_byte=place))
    if place:
        rig.send(b"one")
    with pytest.raises(LinkError, match="was cut"):
        rig.receive()
    assert b"".join(rig.echo.got) == b"one"[:place]
    assert not rig.echo.open


def test_receive_tells_the_end_after_the_late_bytes_when_the_instrument_hangs_up() -> None:
    rig = Rig(fault("delay", delay_s=2.0), fault("delay", "to instrument", at_byte=3, delay_s=1.0))
    rig.send(b"one")
    rig.send(b"two")
    rig.echo.ended = True
    assert rig.receive(5.0) == b"[one]"
    with pytest.raises(LinkError, match="hung up"):
        rig.receive(5.0)
    assert rig.clock.now() == pytest.approx(2.0)
    assert rig.echo.got == [b"one"]


def test_partition_of_the_answers_times_out_and_heals_when_it_is_cleared() -> None:
    rig = Rig()
    rig.stream.faults.inject(fault("partition"))
    rig.send(b"one")
    with pytest.raises(LinkTimeoutError):
        rig.receive()
    assert rig.echo.got == [b"one"]
    rig.stream.faults.clear()
    assert rig.receive() == b"[one]"


def line(reader: Reader) -> bytes:
    answer = reader.line(b"]")
    if not answer.startswith(b"["):
        raise AnswerError("no bracket")
    return answer[1:]


@pytest.mark.parametrize(
    "what",
    [
        fault("cut", at_byte=4),
        fault("swallow", count=1),
        fault("truncate", at_byte=2),
        fault("corrupt", at_byte=0, data=b"\xff"),
        fault("delay", at_message=0, delay_s=5.0),
        fault("partition", duration_s=1.5),
        fault("cut", "to instrument", at_byte=2),
    ],
    ids=lambda what: what.kind.value,
)
def test_link_asks_once_more_and_gets_its_answer_when_a_fault_strikes_once(
    what: WireFault,
) -> None:
    clock = SimulatedClock()
    faults = ActiveFaults(WireFaultPlan(faults=(what,)))
    opened = []

    def opener(timeout_s: float) -> ByteStream:
        opened.append(timeout_s)
        return FaultyStream(EchoStream(clock), faults, clock)

    link = Link("echo", opener, clock=clock, timeout_s=1.0)
    link.attach("test", lambda: None)
    assert link.ask(b"one", line) == b"one"
    assert link.ask(b"two", line) == b"two"
    assert len(opened) == 2
    assert faults.strikes == (1,)
