"""Which protocol a twin speaks by the address of its instrument, and a whole bench that does."""

import re
import socket
from pathlib import Path

import pytest

from drivers.bench import Bench, ModelRegistry, load_bench, parse_bench
from drivers.catalogue import register_drivers
from drivers.instruments import Attenuator, FastClock
from drivers.settings_files import parse_toml
from drivers.transports.reader import line
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.hislip import HislipTwin
from sim_backend.wire.networks import networked
from sim_backend.wire.twin_bench import TwinBench
from sim_backend.wire.vxi11 import Vxi11Twin
from tests.wire.lan_twins import BOXES, EchoTwin, served, visa_link
from tests.wire.loopback_bench import LAB

SPEED = 100.0
ADDRESSES = {
    "TCPIP::192.168.10.11::5025::SOCKET": "TCPIP::192.168.10.11::hislip0::INSTR",
    "TCPIP::192.168.10.12::5025::SOCKET": "TCPIP::192.168.10.12::inst0::INSTR",
}


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("TCPIP::192.168.1.5::INSTR", Vxi11Twin),
        ("TCPIP0::scope.lab::inst0::INSTR", Vxi11Twin),
        ("tcpip::192.168.1.5,1024::inst0::instr", Vxi11Twin),
        ("TCPIP::192.168.1.5", Vxi11Twin),
        ("TCPIP::192.168.1.5::hislip0::INSTR", HislipTwin),
        ("TCPIP1::scope.lab::HiSLIP0,4880::INSTR", HislipTwin),
        ("TCPIP::192.168.1.5::5025::SOCKET", EchoTwin),
        ("USB0::0x1313::0x8078::P0001::INSTR", EchoTwin),
        ("GPIB0::5::INSTR", EchoTwin),
        ("/dev/ttyUSB0", EchoTwin),
    ],
)
def test_address_says_which_protocol_its_twin_speaks(address: str, kind: type) -> None:
    clock = SimulatedClock()
    twin = networked(EchoTwin(clock), address, clock, SPEED)
    assert type(twin) is kind
    assert twin.model == "Echo"


def test_bench_of_twins_is_served_by_the_protocols_of_its_addresses(tmp_path: Path) -> None:
    text = LAB[0].read_text(encoding="utf-8")
    for old, new in ADDRESSES.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "server.toml"
    path.write_text(text, encoding="utf-8")
    with TwinBench([load_bench(path)], speed=SPEED) as twins:
        [written] = twins.texts()
        file = parse_bench(parse_toml(written, "twins"), "twins", text=written)
        addresses = {role: entry.address for role, entry in file.entries().items()}
        assert re.fullmatch(
            r"TCPIP::127\.0\.0\.1::hislip0,\d+::INSTR", addresses["weight_generator"]
        )
        assert re.fullmatch(r"TCPIP::127\.0\.0\.1,\d+::inst0::INSTR", addresses["attenuator"])
        assert addresses["launch_power_meter"] == addresses["attenuator"]
        registry = ModelRegistry(FastClock(SPEED))
        register_drivers(registry)
        instruments = Bench.build(file, registry).instruments
        attenuator, meter = instruments["attenuator"], instruments["launch_power_meter"]
        assert isinstance(attenuator, Attenuator)
        with attenuator, meter, instruments["weight_generator"] as generator:
            attenuator.set_attenuation_db(20.0)
            assert attenuator.attenuation_db() == pytest.approx(20.0, abs=0.01)
            assert meter.identity.serial == attenuator.identity.serial
            assert generator.simulated


@pytest.mark.parametrize("protocol", ["VXI-11", "HiSLIP"])
def test_stranger_is_hung_up_on_and_others_are_not(protocol: str) -> None:
    clock = SimulatedClock()
    with served(EchoTwin(clock), clock, BOXES[protocol], speed=1.0) as (_, address):
        link = visa_link(address)
        link.attach("echo", lambda: None)
        [port] = re.findall(r",(\d+)::", address)
        with socket.create_connection(("127.0.0.1", int(port)), 10.0) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            said = b""
            while data := stranger.recv(4096):
                said += data
        assert said[:3] == (b"HS\x02" if protocol == "HiSLIP" else b"")
        assert link.ask(b"*IDN?\n", line()) == b"Maker,Echo,SIM01,1"
        link.detach("echo")
