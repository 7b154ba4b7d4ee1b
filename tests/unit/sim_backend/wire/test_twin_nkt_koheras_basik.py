"""The twin of the Koheras BASIK against the published telegrams, without a driver."""

import struct

import numpy as np
import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.dialects.interbus import checksum, frame
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.nkt_koheras_basik import MAKERS, NktKoherasTwin


class _Host:
    """One connection to a bus with a laser at address 1 and another at 3."""

    def __init__(self, *, mainframe: int = 0, kind: int = 0x33) -> None:
        bench = SimulatedBench()
        self.clock = bench.clock
        self.laser = bench.scene.server_laser
        self.twin = NktKoherasTwin(
            clock=self.clock,
            serial="SIM9",
            lasers={1: self.laser, 3: bench.scene.server_laser},
            mainframe=mainframe,
            kind=kind,
        )
        self.session = self.twin.session()

    def talk(self, data: bytes | str) -> str:
        self.session.feed(bytes.fromhex(data) if isinstance(data, str) else data)
        self.clock.sleep(0.01)
        return self.session.take().hex(" ").upper()

    def read(self, register: int, address: int = 1) -> bytes:
        answer = bytes.fromhex(self.talk(frame(address, 161, 4, register)))
        body = answer[1:-1]
        for value in (0x0A, 0x0D, 0x5E):
            body = body.replace(bytes((0x5E, value + 0x40)), bytes((value,)))
        assert checksum(body) == 0
        assert body[:4] == bytes((161, address, 8, register))
        return body[4:-2]

    def write(self, register: int, data: str, address: int = 1, kind: int = 5) -> int:
        """The kind of the answer."""
        answer = self.talk(frame(address, 161, kind, register, bytes.fromhex(data)))
        return int(answer.split()[3], 16)


def test_checksum_is_the_published_one_when_of_the_digits() -> None:
    assert checksum(b"123456789") == 0x31C3


def test_basik_twin_answers_as_published_when_asked_and_switched() -> None:
    host = _Host()
    assert host.talk("0D 01 A1 04 61 4C 5B 0A") == "0D A1 01 08 61 33 61 0B 0A"
    assert host.talk("0D 01 A2 05 30 01 53 0B 0A") == "0D A2 01 03 30 53 2E 0A"
    assert host.talk("0D 01 A2 04 66 65 EC 0A") == "0D A2 01 08 66 01 00 5F 00 0A"
    assert host.laser.emission()
    assert host.talk("0D 01 A1 05 22 E8 03 38 0E 0A").split()[3] == "03"
    assert host.laser.power_setpoint_w() == pytest.approx(10e-3)
    assert host.talk("0D 01 A1 05 2A 9C FF 7B A1 0A").split()[3] == "03"
    assert host.laser.wavelength_setpoint_m() == pytest.approx(1549.99e-9, abs=1e-15)
    host.clock.sleep(3.5)
    assert host.talk("0D 01 A1 04 17 52 5E 4A 0A") == "0D A1 01 08 17 E7 03 F4 AF 0A"
    assert host.talk("0D 01 A1 05 30 00 D8 F6 0A").split()[3] == "03"
    assert not host.laser.emission()


def test_basik_twin_refuses_without_a_reason_when_its_interlock_is_open() -> None:
    host = _Host()
    host.write(0x30, "01")
    host.twin.set_interlock(False)
    assert not host.laser.emission()
    assert host.talk("0D 01 A1 05 30 01 C8 D7 0A") == "0D A1 01 00 30 9D A1 0A"
    assert host.read(0x66) == b"\x02\x80"
    assert host.read(0x67) == b"\x02"
    host.twin.set_interlock(True)
    assert host.write(0x30, "01") == 3


def test_basik_twin_keeps_silent_when_another_address_is_meant() -> None:
    assert _Host().talk("0D 5E 4A A1 04 61 52 44 0A") == ""


def test_basik_twin_says_so_when_a_telegram_is_damaged() -> None:
    host = _Host()
    assert host.talk("0D 01 A1 05 22 E8 04 38 0E 0A").startswith("0D A1 01 01 22")
    assert host.laser.power_setpoint_w() != pytest.approx(10.24e-3)


@pytest.mark.parametrize(
    ("register", "data"),
    [(0x99, "00"), (0x32, "00000000"), (0x22, "FFFF"), (0x22, "E8"), (0x2A, "7017"), (0x30, "02")],
)
def test_basik_twin_refuses_and_keeps_its_value_when_it_cannot(register: int, data: str) -> None:
    host = _Host()
    before = host.laser.power_setpoint_w(), host.laser.wavelength_setpoint_m()
    assert host.write(register, data) == 0
    assert (host.laser.power_setpoint_w(), host.laser.wavelength_setpoint_m()) == before
    assert not host.laser.emission()


def test_basik_twin_takes_power_in_decibels_when_other_programs_send_them() -> None:
    host = _Host()
    assert host.write(0xA0, struct.pack("<h", 1300).hex()) == 3
    assert host.laser.power_setpoint_w() == pytest.approx(19.95e-3)
    assert host.read(0x22) == struct.pack("<H", 1995)
    assert host.read(0xA0) == struct.pack("<h", 1300)


def test_basik_twin_takes_bits_when_they_are_set_cleared_and_toggled() -> None:
    host = _Host()
    for kind, bits, expected in ((6, "0401", "0401"), (7, "0001", "0400"), (9, "0600", "0200")):
        assert host.write(0x31, bits, kind=kind) == 3
        assert host.read(0x31).hex() == expected


def test_basik_twin_moves_in_time_when_it_is_tuned() -> None:
    host = _Host()
    host.write(0x30, "01")
    host.clock.sleep(60.0)
    host.write(0x2A, struct.pack("<h", 2000).hex())
    (early,) = struct.unpack("<i", host.read(0x72))
    assert 0 < early < 100
    host.clock.sleep(60.0)
    assert struct.unpack("<i", host.read(0x72)) == (2000,)
    assert abs(struct.unpack("<h", host.read(0x90))[0] - 1000) < 2


def test_basik_twin_is_busy_as_often_as_it_is_told() -> None:
    host = _Host()
    host.twin.busy_for = 1
    assert host.write(0x22, "E803") == 2
    assert host.write(0x22, "E803") == 3


def test_basik_twin_has_fewer_registers_when_it_is_the_plain_type() -> None:
    host = _Host(kind=0x36)
    assert host.read(0x61) == b"\x36"
    assert host.write(0xB5, "01") == 0
    assert _Host().write(0xB5, "01") == 3


def test_basik_twin_tells_its_modules_apart_when_there_are_two() -> None:
    host = _Host()
    assert host.read(0x65) == b"SIM9"
    assert host.read(0x65, address=3) == b"SIM9-3"


def test_mainframe_twin_orders_all_modules_when_it_broadcasts() -> None:
    host = _Host(mainframe=0x80)
    assert host.read(0x61, address=0x80) == b"\x34"
    assert host.write(0x2F, "E803", address=0x80) == 3
    assert host.read(0x22, address=3) == b"\xe8\x03"
    assert host.write(0x30, "01", address=0x80) == 3
    assert host.laser.emission()
    assert host.write(0xB5, "00", address=0x80) == 0
    assert host.write(0x34, "05", address=0x80) == 3
    host.twin.set_interlock(False)
    assert host.read(0x66, address=0x80) == b"\x0a\x80"


def test_basik_twin_takes_a_telegram_when_it_comes_in_pieces_after_noise() -> None:
    host = _Host()
    assert host.talk("FF 00 0A 0D 01 A1") == ""
    assert host.talk("0D 01 A1 04") == ""
    assert host.talk("61 4C 5B 0A") == "0D A1 01 08 61 33 61 0B 0A"


def test_basik_twin_forgets_a_telegram_when_it_never_ends() -> None:
    host = _Host()
    assert host.talk(b"\x0d" + b"\x01" * 5000) == ""
    assert host.talk("0D 01 A1 04 61 4C 5B 0A") == "0D A1 01 08 61 33 61 0B 0A"


def test_basik_twin_is_made_for_every_model_when_it_has_no_laser() -> None:
    clock = SimulatedBench().clock
    for name, maker in MAKERS.items():
        twin = maker(TwinPlace(clock=clock, serial="SIM2", parts={}))
        session = twin.session()
        session.feed(frame(0x80 if "ADJUSTIK" in name else 1, 161, 4, 0x61))
        clock.sleep(0.1)
        assert session.take()


def test_basik_twin_never_raises_when_the_bytes_are_random_or_mutated() -> None:
    rng = np.random.default_rng(6)
    host = _Host(mainframe=0x80)
    answered = 0
    for index in range(10_000):
        register = int(rng.integers(256))
        body = rng.bytes(int(rng.choice([0, 1, 2, 4, 8])))
        address = int(rng.choice([1, 3, 0x80]))
        data = bytearray(frame(address, 161, int(rng.integers(12)), register, body))
        if index % 3 == 0:
            data = bytearray(b"\x0d" + rng.bytes(int(rng.integers(0, 20))) + b"\x0a")
        elif index % 3 == 1:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        host.session.feed(bytes(data))
        host.clock.sleep(0.01)
        found = host.session.take()
        answered += bool(found)
        assert not found or (found[0], found[-1]) == (0x0D, 0x0A)
    assert answered > 5000
