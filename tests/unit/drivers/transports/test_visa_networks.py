"""VXI-11 and HiSLIP through pyvisa-py: real drivers and links on twins that speak them."""

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from pyvisa_py.protocols import rpc  # type: ignore[import-untyped]

from drivers.detectors.keysight_infiniivision import MODELS as SCOPES
from drivers.detectors.keysight_infiniivision import KeysightInfiniiVision
from drivers.errors import LinkError
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
from sim_backend.wire.scpi_session import Call, ScpiSession
from sim_backend.wire.session import Session
from sim_backend.wire.twins.keysight_33600a import Keysight33600ATwin
from sim_backend.wire.twins.keysight_infiniivision import KeysightInfiniiVisionTwin
from sim_backend.wire.twins.keysight_n771x import KeysightN771xTwin
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
from tests.wire.ramp_scene import RampScene

SPEED = 100.0
RECORD = np.random.default_rng(3).bytes(1_000_000)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with sockets_collected(caplog):
        yield


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


@pytest.mark.parametrize("links", [1, 2])
def test_answers_are_not_exchanged_when_two_threads_ask(protocol: str, links: int) -> None:
    count = 2500 if protocol == "HiSLIP" else 1250
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
