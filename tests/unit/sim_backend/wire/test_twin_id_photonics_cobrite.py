"""The twin of the ID Photonics CoBrite: the data sheet's dialogue, byte by byte."""

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.id_photonics_cobrite import MAKERS, IdPhotonicsCobriteTwin
from tests.wire.raw import hear, rubbish

UNKNOWN = b"ERR 100, unknown command;"
COUNT = b"ERR 101, wrong number of arguments;"
LEVEL = b"ERR 201, not authorised;"


class Rig:
    """A box of two lasers, the first of which is in a scene."""

    def __init__(self, *, answer_end: bytes = b";", echo: bool = False) -> None:
        self.bench = SimulatedBench()
        self.clock = self.bench.clock
        self.part = self.bench.scene.server_laser
        self.twin = IdPhotonicsCobriteTwin(
            clock=self.clock,
            serial="SIM20",
            lasers={1: self.part},
            count=2,
            answer_end=answer_end,
            echo=echo,
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    for order in (b"FREQ 1,1,1,193.1;", b"POW 1,1,1,10;", b"STAT 1,1,1,1;"):
        assert rig.hear(order) == b";"
    assert rig.hear(b"BUSY? 1,1,1;") == b"1;"
    rig.clock.advance(60.0)
    assert rig.hear(b"BUSY? 1,1,1;") == b"0;"
    assert rig.hear(b"APOW? 1,1,1;") == b"10.00;"
    assert rig.hear(b"foo;") == UNKNOWN
    assert rig.part.wavelength_m() == pytest.approx(299_792_458.0 / 193.1e12, rel=1e-9)


def test_semicolon_and_return_are_two_ends() -> None:
    assert Rig().hear(b"wav 1550;\r") == b";" + UNKNOWN
    assert Rig().hear(b"wav 1550\r") == b";"
    assert Rig().hear(b"wav 1550;\n") == b";"


@pytest.mark.parametrize(
    ("order", "query", "answer"),
    [
        (b"FREQ 192.15;", b"FREQ?;", b"192.1500;"),
        (b":FREQUENCY 1,1,1,192.15;", b"freq? 1,1,1;", b"192.1500;"),
        (b"WAV 1550;", b"WAV? 1,1,1;", b"1549.9999;"),
        (b"OFF 1,1,1,-1.5;", b"OFFSET?;", b"-1.500;"),
        (b"POW 1,1,2,8;", b":SOURce:POWer? 1,1,2;", b"8.00;"),
        (b"STATE 1,1,1,1;", b"STAT?;", b"1;"),
        (b"DIT 1,1,1,0;", b"DITH? 1,1,1;", b"0;"),
        (b"SBS:STAT 0;", b"DIT?;", b"0;"),
        (b"CONF 1,1,1,191.42,10.134,6.12,1,0;", b"CONF? 1,1,1;", b"191.4200,10.134,6.12,1,1,0;"),
        (b"*CLS;", b"LIM? 1,1,1;", b"191.1020,196.1020,12,6.00,15.50;"),
        (b"INTI;", b"LAY?;", b"LAY,1,1,DEV2;"),
        (b"PASS IDP;", b"PASS?;", b"1;"),
        (b"STAT 0;", b"BUSY? *,*,*;", b"1,1,1,0\n1,1,2,0;"),
    ],
)
def test_spellings_of_others_are_taken(order: bytes, query: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order) == b";"
    assert rig.hear(query) == answer


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"FREQU 193;", UNKNOWN),
        (b";", UNKNOWN),
        (b"FREQ 1,1,193;", COUNT),
        (b"CONF 1,1,1,193;", COUNT),
        (b"TRIDEL 1,1,1,5;", LEVEL),
        (b"PASS nonsense;", LEVEL),
        (b"POW 1,1,1,high;", b"ERR -1, parse failure;"),
    ],
)
def test_command_is_refused_with_the_number_of_the_sheet(command: bytes, answer: bytes) -> None:
    assert Rig().hear(command) == answer


def test_value_out_of_range_is_refused_and_the_old_one_stays() -> None:
    rig = Rig()
    before = rig.hear(b"FREQ?;")
    assert rig.hear(b"FREQ 1,1,1,250;").startswith(b"ERR ")
    assert rig.hear(b"POW 1,1,9,8;").startswith(b"ERR ")
    assert rig.hear(b"FREQ?;") == before


def test_device_waits_for_the_laser_and_keeps_the_order() -> None:
    rig = Rig()
    rig.hear(b"STAT 1,1,1,1;")
    assert rig.hear(b"BWAI 1,1,1;POW?;") == b""
    rig.clock.advance(60.0)
    assert rig.session.take() == b";10.00;"


def test_device_waits_for_a_time() -> None:
    rig = Rig()
    assert rig.hear(b"WAITMS 500;*OPC?;") == b""
    rig.clock.advance(0.5)
    assert rig.session.take() == b";1;"


def test_echo_comes_before_the_answer_until_it_is_switched_off() -> None:
    rig = Rig(echo=True)
    assert rig.hear(b"POW?;") == b"POW?;10.00;"
    assert rig.hear(b"ECHO 0;") == b"ECHO 0;;"
    assert rig.hear(b"ECHO?;") == b"0;"


def test_answers_go_only_to_who_asked() -> None:
    rig = Rig()
    other = rig.twin.session()
    assert rig.hear(b"POW 12;") == b";"
    assert other.take() == b""
    assert hear(other, b"POW?;") == b"12.00;"


def test_end_of_line_follows_answers_where_an_interface_sends_it() -> None:
    assert Rig(answer_end=b";\r\n").hear(b"STAT?;") == b"0;\r\n"


def test_pieces_of_a_command_are_put_together() -> None:
    rig = Rig()
    assert b"".join(rig.hear(bytes([one])) for one in b"POW? 1,1,1;") == b"10.00;"


def test_reset_switches_off() -> None:
    rig = Rig()
    rig.hear(b"STAT 1;*RST;")
    assert not rig.part.emission()


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    samples = [
        b"FREQ 1,1,1,193.1;FREQ? 1,1,1;",
        b"WAV 1550;OFF 1,1,1,3;POW 1e400;",
        b"CONF 1,1,1,191.42,10.134,6.12,1,0;CONF? 1,1,1;",
        b"STAT 1,1,1,1;BUSY? *,*,*;ECHO 1;PASS IDP;TRIDEL 1,1,1,5;",
        b"LIM? 1,1,1;MON?;LAY?;TYP? 1,1,1;APOW?\r",
    ]
    for message in rubbish(samples, 10_000, seed=2000):
        rig.hear(message)
    rig.hear(b";ECHO 0;")
    assert rig.hear(b"*IDN?;") == b"ID Photonics GmbH,CoBrite DX2,SIM20,2.1.17;"


def test_maker_makes_as_many_lasers_as_the_place_needs() -> None:
    bench = SimulatedBench()
    part = bench.scene.server_laser
    place = TwinPlace(clock=bench.clock, serial="SIM1", parts={6: part})
    session = MAKERS["ID Photonics CoBrite"](place).session()
    assert hear(session, b"STAT 1,2,2,1;") == b";"
    assert part.emission()
