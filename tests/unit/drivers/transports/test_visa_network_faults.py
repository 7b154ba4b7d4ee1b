"""VXI-11 and HiSLIP through pyvisa-py when something goes wrong: no wrong answer, no long wait."""

import re
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.blocks import read_block
from drivers.transports.reader import line
from drivers.transports.visa_stream import VisaStream
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.proxy import FaultProxy
from sim_backend.wire.server import TwinEvent, TwinServer
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind
from tests.wire.lan_twins import (
    BOXES,
    IDENTITY,
    PROTOCOLS,
    UNCLOSED,
    EchoTwin,
    served,
    sockets_collected,
    visa_link,
)

RECORD = np.random.default_rng(3).bytes(1_000_000)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with sockets_collected(caplog):
        yield


class Echo:
    """An echo twin behind a protocol, and a link that is open."""

    def __init__(self, twin: EchoTwin, server: TwinServer, address: str) -> None:
        self.twin = twin
        self.server = server
        self.address = address
        self.link = visa_link(address)


@pytest.fixture
def echo(protocol: str) -> Iterator[Echo]:
    clock = SimulatedClock()
    twin = EchoTwin(clock, RECORD)
    with served(twin, clock, BOXES[protocol], speed=1.0) as (server, address):
        echo = Echo(twin, server, address)
        echo.link.attach("echo", lambda: None)
        yield echo
        echo.link.detach("echo")


def test_late_answer_is_never_taken_for_the_next_one(echo: Echo) -> None:
    with pytest.raises(LinkTimeoutError, match=r"no complete answer within 0\.05 s"):
        echo.link.order(b"HELD? 1\n", line(), timeout_s=0.05)
    with echo.server.lock:
        echo.twin.release()
    answers = [echo.link.ask(b"ECHO? %d\n" % number, line()) for number in range(2, 5)]
    assert answers == [b"2", b"3", b"4"]
    assert echo.twin.asked == ["1", "2", "3", "4"]


@pytest.mark.parametrize("protocol", ["VXI-11"], indirect=True)
def test_late_answer_would_come_without_the_device_clear(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin keeps what was not fetched: so the test above tests something.

    HiSLIP gives an answer when it is due, to whoever asked: to the connection that is closed.
    """
    monkeypatch.setattr(VisaStream, "_empty", lambda *_: None)
    with pytest.raises(LinkTimeoutError):
        echo.link.order(b"HELD? 1\n", line(), timeout_s=0.05)
    with echo.server.lock:
        echo.twin.release()
    assert echo.link.order(b"ECHO? 2\n", line()) == b"1"


def test_order_is_sent_once_when_its_answer_does_not_come(echo: Echo) -> None:
    for _ in range(2):
        with pytest.raises(LinkTimeoutError):
            echo.link.order(b"HELD? 1\n", line(), timeout_s=0.05)
    assert echo.twin.asked == ["1", "1"]
    assert echo.link.ask(b"*IDN?\n", line()) == IDENTITY


@UNCLOSED
def test_instrument_that_goes_in_the_middle_of_a_block_is_named(protocol: str) -> None:
    clock = SimulatedClock()
    sent = 0

    def listener(event: TwinEvent) -> None:
        nonlocal sent
        sent += event.count if event.what == "sent" else 0
        if sent > 100_000:
            server.stop()

    twin = EchoTwin(clock, RECORD * 8)
    box = BOXES[protocol]
    with served(twin, clock, box, speed=1.0, listener=listener) as (server, address):
        link = visa_link(address, timeout_s=1.0)
        link.attach("echo", lambda: None)
        into = np.zeros(8_000_000, np.uint8)
        with pytest.raises(LinkError) as raised:
            link.ask(b"DATA?\n", lambda reader: read_block(reader, into=into), timeout_s=0.5)
        assert str(raised.value).startswith(f"{address}: ")
        assert 0 < sent < 8_000_000
        with pytest.raises(LinkError):
            link.ask(b"*IDN?\n", line())
        link.detach("echo")


@UNCLOSED
def test_silent_instrument_costs_no_more_than_its_time(echo: Echo) -> None:
    """pyvisa-py alone would wait for 7 s until it lets go of VXI-11, and for 5 s to open."""
    echo.server.lock.acquire()
    begun_s = time.monotonic()
    try:
        with pytest.raises(LinkTimeoutError, match=r"no (complete )?answer within 0\.1 s"):
            echo.link.order(b"*IDN?\n", line(), timeout_s=0.1)
        assert time.monotonic() - begun_s < 2.0
        begun_s = time.monotonic()
        with pytest.raises(LinkTimeoutError, match=r"no connection within 0\.1 s"):
            VisaStream.open(echo.address, "@py", 0.1)
        assert time.monotonic() - begun_s < 0.5
        begun_s = time.monotonic()
        echo.link.detach("echo")
        assert time.monotonic() - begun_s < 1.2
    finally:
        echo.server.lock.release()
    echo.link.attach("echo", lambda: None)
    assert echo.link.ask(b"*IDN?\n", line()) == IDENTITY


@UNCLOSED
@pytest.mark.parametrize(
    ("protocol", "way", "places"),
    [
        ("HiSLIP", WireDirection.TO_CLIENT, range(0, 75, 6)),
        ("HiSLIP", WireDirection.TO_INSTRUMENT, range(0, 75, 6)),
        # In the reply to what was written, and in the call that reads. pyvisa-py notices the end of
        # a VXI-11 connection only when the time is over, and 1 s later.
        ("VXI-11", WireDirection.TO_CLIENT, (20,)),
        ("VXI-11", WireDirection.TO_INSTRUMENT, (90,)),
    ],
    ids=["HiSLIP to client", "HiSLIP to instrument", "VXI-11 to client", "VXI-11 to instrument"],
)
def test_query_gets_its_own_answer_wherever_the_connection_is_cut(
    protocol: str, way: WireDirection, places: Sequence[int]
) -> None:
    clock = SimulatedClock()
    twin = EchoTwin(clock)
    with served(twin, clock, BOXES[protocol], speed=1.0) as (_, address):
        [port] = re.findall(r",(\d+)::", address)
        with FaultProxy(("127.0.0.1", int(port))) as proxy:
            link = visa_link(address.replace(port, str(proxy.port)), timeout_s=0.3)
            link.attach("echo", lambda: None)
            for place in places:
                # It strikes every connection, so that the next one may not come about.
                proxy.inject(WireFault(kind=WireFaultKind.CUT, direction=way, at_byte=place))
                failed = 0
                for number in range(3):
                    text = b"%d" % (1000 * place + number)
                    try:
                        assert link.ask(b"ECHO? " + text + b"\n", line()) == text
                    except LinkError:
                        failed += 1
                        proxy.clear()
                assert failed < 2
                assert proxy.strikes or not failed
                proxy.clear()
            link.detach("echo")
