"""VXI-11 and HiSLIP through pyvisa-py: real drivers and links on twins that speak them."""

import gc
import logging
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from pyvisa_py.protocols import rpc  # type: ignore[import-untyped]

from drivers.detectors.keysight_infiniivision import MODELS as SCOPES
from drivers.detectors.keysight_infiniivision import KeysightInfiniiVision
from drivers.errors import LinkError, LinkTimeoutError
from drivers.instruments import (
    DigitiserLimits,
    FastClock,
    GeneratorLimits,
    LaserLimits,
    Range,
    Trigger,
)
from drivers.lasers.keysight_n771x import MODELS as LASERS
from drivers.lasers.keysight_n771x import KeysightN771x
from drivers.modulators.keysight_33600a import Keysight33600A
from drivers.transports.blocks import block_header, read_block
from drivers.transports.link import Link
from drivers.transports.reader import line
from drivers.transports.visa_stream import VisaStream
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.proxy import FaultProxy
from sim_backend.wire.scpi_session import Call, ScpiSession
from sim_backend.wire.server import TwinEvent, TwinServer
from sim_backend.wire.session import Session
from sim_backend.wire.twins.keysight_33600a import Keysight33600ATwin
from sim_backend.wire.twins.keysight_infiniivision import KeysightInfiniiVisionTwin
from sim_backend.wire.twins.keysight_n771x import KeysightN771xTwin
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind
from tests.wire.lan_twins import BOXES, EchoTwin, served, visa_link
from tests.wire.ramp_scene import RampScene

SPEED = 100.0
UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
IDENTITY = b"Maker,Echo,SIM01,1"
RECORD = np.random.default_rng(3).bytes(1_000_000)


@pytest.fixture(params=["VXI-11", "HiSLIP"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """pyvisa-py leaves the socket of a failed opening to the garbage collector, and logs it."""
    caplog.set_level(logging.CRITICAL, "pyvisa")
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


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


def test_laser_is_set_and_read_back_over_the_network(protocol: str) -> None:
    bench = SimulatedBench(seed=1)
    scene_laser = bench.scene.server_laser
    twin = KeysightN771xTwin(
        model="N7711A", clock=bench.clock, serial="SIM01", lasers={1: scene_laser}
    )
    limits = LASERS[0].limits
    assert isinstance(limits, LaserLimits)
    with served(twin, bench.clock, BOXES[protocol], speed=SPEED) as (server, address):
        laser = KeysightN771x(
            "laser", limits=limits, link=visa_link(address), clock=FastClock(SPEED)
        )
        with laser:
            assert laser.simulated
            laser.set_wavelength(1550.1e-9)
            laser.set_power(10e-3)
            laser.set_emission(True)
            assert laser.wavelength_m() == pytest.approx(1550.1e-9, rel=1e-9)
            assert laser.power_w() == pytest.approx(10e-3, rel=1e-3)
            with server.lock:
                assert scene_laser.emission()
        with server.lock:
            assert not scene_laser.emission()


def test_scope_record_of_a_million_samples_comes_whole(protocol: str) -> None:
    scene = RampScene(tap=1e3)
    twin = KeysightInfiniiVisionTwin(
        model="DSO-X 4024A", clock=scene.clock, serial="SIM01", parts={1: scene.part("tap")}
    )
    limits = SCOPES[1].limits
    assert isinstance(limits, DigitiserLimits)
    with served(twin, scene.clock, BOXES[protocol], speed=SPEED) as (server, address):
        link = visa_link(address)
        scope = KeysightInfiniiVision("tap", limits=limits, link=link, clock=FastClock(SPEED))
        with scope:
            applied = scope.configure(1e9, 1_000_000, 1.0)
            scope.arm(Trigger.EXTERNAL)
            with server.lock:
                scene.fire()
            scope.wait(10.0)
            trace = scope.fetch()
    ramp = 1e3 * np.arange(1_000_000) / applied.sample_rate_hz
    assert trace.volts.shape == (1, 1_000_000)
    # The converter's step, and a sample of the position of the trigger.
    error = np.abs(trace.volts[0] - np.clip(ramp, -applied.range_v, applied.range_v))
    assert error.max() < 1.5 * trace.step_v


def test_generator_takes_a_hundred_thousand_points(protocol: str) -> None:
    bench = SimulatedBench(seed=1)
    part = bench.part("server", "weight_generator")
    assert isinstance(part, GeneratorPart)
    twin = Keysight33600ATwin(model="33622A", clock=bench.clock, serial="SIM1", parts={1: part})
    limits = GeneratorLimits(
        channels=1,
        volts=Range(lowest=-1.0, highest=1.0),
        sample_rate_hz=Range(lowest=1e3, highest=1e9),
        samples=200_000,
        bits=14,
    )
    volts = np.random.default_rng(5).uniform(-1, 1, 100_000).astype(np.float32)
    with served(twin, bench.clock, BOXES[protocol], speed=SPEED) as (server, address):
        generator = Keysight33600A(
            "generator", limits=limits, link=visa_link(address), clock=FastClock(SPEED)
        )
        with generator:
            generator.set_sample_rate(800e6)
            generator.load(0, volts)
            generator.set_output(0, True)
            generator.arm(Trigger.EXTERNAL)
            with server.lock:
                played = np.array(part.unit.waveforms[0])
            generator.stop()
    np.testing.assert_allclose(played[1:100_001], volts, atol=0.51 / 32767)


@pytest.mark.parametrize("box", ["VXI-11 in small parts", "HiSLIP in small parts"])
def test_messages_are_whole_when_the_instrument_takes_and_gives_small_parts(box: str) -> None:
    clock = SimulatedClock()
    record = bytes(range(256)) * 4
    twin = EchoTwin(clock, record)
    with served(twin, clock, BOXES[box], speed=1.0) as (_, address):
        link = visa_link(address)
        link.attach("echo", lambda: None)
        text = "x" * 500
        assert link.ask(f"ECHO? {text}\n".encode(), line()) == text.encode()
        assert bytes(link.ask(b"DATA?\n", read_block)) == record
        link.send(b"DATA ", block_header(len(record)), record, b"\n")
        assert link.ask(b"SYST:ERR?\n", line()) == b'+0,"No error"'
        assert twin.taken == record
        link.detach("echo")


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


@pytest.mark.parametrize("links", [1, 2])
def test_answers_are_not_exchanged_when_two_threads_ask(protocol: str, links: int) -> None:
    count = 2500
    clock = SimulatedClock()
    wrong: list[tuple[bytes, bytes]] = []

    def ask(link: Link, first: int) -> None:
        for number in range(first, first + count):
            answer = link.ask(b"ECHO? %d\n" % number, line())
            if answer != b"%d" % number:
                wrong.append((b"%d" % number, answer))

    twin = KeyedEchoTwin(clock)
    with served(twin, clock, BOXES[protocol], speed=1.0) as (_, address):
        used = [visa_link(address) for _ in range(links)]
        for number, link in enumerate(used):
            link.attach(f"user {number}", lambda: None)
        threads = [
            threading.Thread(target=ask, args=(used[index % links], index * count), daemon=True)
            for index in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for number, link in enumerate(used):
            link.detach(f"user {number}")
    assert wrong == []
    assert twin.count == 2 * count


class KeyedEchoTwin(EchoTwin):
    """An echo with a session for each connection."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self.count = 0
        self._clock = clock

    def session(self) -> Session:
        return ScpiSession(self._clock, {"ECHO?": self._counted}, self.errors)

    def _counted(self, call: Call) -> str:
        self.count += 1
        return call.argument()


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


def test_vxi11_finds_its_port_by_the_port_mapper(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedClock()
    with served(EchoTwin(clock), clock, BOXES["VXI-11"], speed=1.0) as (_, address):
        monkeypatch.setattr(rpc, "PMAP_PORT", int(address.split("::")[1].split(",")[1]))
        link = visa_link("TCPIP::127.0.0.1::inst0::INSTR")
        link.attach("echo", lambda: None)
        assert link.ask(b"*IDN?\n", line()) == IDENTITY
        link.detach("echo")


@UNCLOSED
def test_network_instrument_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in (
        f"TCPIP::127.0.0.1,{port}::inst0::INSTR",
        f"TCPIP::127.0.0.1::hislip0,{port}::INSTR",
    ):
        with pytest.raises(LinkError, match="check that it is on"):
            VisaStream.open(address, "@py", 1.0)


@UNCLOSED
def test_device_that_the_instrument_does_not_have_is_refused() -> None:
    clock = SimulatedClock()
    for box, device in (("VXI-11", "inst0"), ("HiSLIP", "hislip0")):
        with served(EchoTwin(clock), clock, BOXES[box], speed=1.0) as (_, address):
            other = address.replace(device, device[:-1] + "7")
            with pytest.raises(LinkError, match="cannot be opened"):
                VisaStream.open(other, "@py", 1.0)


@UNCLOSED
@pytest.mark.parametrize("way", list(WireDirection), ids=lambda way: way.name.lower())
@pytest.mark.parametrize(
    ("protocol", "places"),
    # pyvisa-py notices the end of a VXI-11 connection only when the time is over, and 1 s later.
    [("HiSLIP", range(0, 75, 3)), ("VXI-11", (40,))],
    ids=["HiSLIP", "VXI-11"],
)
def test_query_gets_its_own_answer_wherever_the_connection_is_cut(
    protocol: str, places: Sequence[int], way: WireDirection
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
