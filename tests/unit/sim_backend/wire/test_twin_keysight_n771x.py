"""The twin of the Keysight N771x lasers: the data sheet's dialogue, byte by byte."""

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.keysight_n771x import MAKERS, KeysightN771xTwin
from tests.wire.raw import hear, rubbish

AUTO_OFF = b'-221,"Settings conflict (Not allowed while frequency auto mode is off)"\n'
AUTO_ON = b'-221,"Settings conflict (Not allowed while frequency auto mode is on)"\n'
LASER_ON = b'-221,"Settings conflict (Not allowed while laser is on)"\n'
TOO_LARGE = b'-222,"Data out of range (StatParmTooLarge)"\n'
TOO_SMALL = b'-222,"Data out of range (StatParmTooSmall)"\n'


class Rig:
    """An N7714A, the first laser of which is in a scene."""

    def __init__(self) -> None:
        self.bench = SimulatedBench()
        self.clock = self.bench.clock
        self.part = self.bench.scene.server_laser
        self.twin = KeysightN771xTwin(
            model="N7714A", clock=self.clock, serial="SIM14", lasers={1: self.part}
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7714A,SIM14,1.22\n"
    orders = (
        b":OUTP1 OFF\n:SOUR1:WAV:AUTO 1\n:SOUR1:WAV 1550.12NM\n:SOUR1:POW:UNIT 0\n"
        b":SOUR1:POW 10\n:SOUR1:MODU:INT OFF\n:OUTP1 ON\n"
    )
    assert rig.hear(orders) == b""
    assert rig.hear(b"*OPC?\n") == b"0\n"
    rig.clock.advance(60.0)
    assert rig.hear(b"*OPC?\n") == b"1\n"
    assert rig.hear(b":SOUR1:WAV?\n") == b"+1.55012000E-006\n"
    assert rig.part.power_w() == pytest.approx(10e-3)
    assert rig.hear(b":SYST:ERR?\n") == b'+0,"No error"\n'


def test_grid_is_refused_as_in_the_sheet_when_the_laser_is_on() -> None:
    rig = Rig()
    assert rig.hear(b":SOUR1:WAV:AUTO 1;:OUTP1 ON;:SOUR1:FREQ:GRID 50E9\n:SYST:ERR?\n") == LASER_ON


def test_box_is_busy_only_where_a_laser_tunes() -> None:
    rig = Rig()
    rig.hear(b":OUTP2 ON\n")
    assert rig.hear(b":SLOT1:OPC?;:SLOT2:OPC?;*OPC?\n") == b"1;0;0\n"


def test_light_is_blanked_while_it_tunes() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON\n")
    rig.clock.advance(60.0)
    rig.hear(b":SOUR1:WAV 1545NM\n")
    assert rig.part.power_w() == 0.0
    assert rig.hear(b":OUTP1?;*OPC?\n") == b"+1;0\n"
    rig.clock.advance(1.0)
    rig.clock.advance(60.0)
    assert rig.part.power_w() == pytest.approx(10e-3, rel=1e-3)
    assert rig.hear(b"*OPC?\n") == b"1\n"


def test_light_stays_off_when_switched_off_while_it_tunes() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON;:SOUR1:WAV 1545NM;:OUTP1 OFF\n")
    rig.clock.advance(60.0)
    assert not rig.part.emission()


@pytest.mark.parametrize(
    ("order", "query", "answer"),
    [
        (b"SOUR1:WAV 1550NM", b"SOUR1:WAV?", b"+1.55000000E-006"),
        (b"sour1:wav 1550 nm", b":SOURCE1:WAVELENGTH:CW?", b"+1.55000000E-006"),
        (b"WAV 1550nm", b"WAV?", b"+1.55000000E-006"),
        (b":SOUR1:POW:UNIT Watt;:SOUR1:POW 20MW", b":SOUR1:POW?", b"+2.00000000E-002"),
        (b":SOUR1:POW 13DBM", b":SOUR1:POW?", b"+1.30000000E+001"),
        (b":SOUR1:POW:UNIT W;:SOUR1:POW 0.01", b":SOUR1:POW?", b"+1.00000000E-002"),
        (b":SOUR1:POW MAX", b":SOUR1:POW?", b"+1.55000000E+001"),
        (b":SOUR1:POW:STAT 1", b":OUTP1:STAT?", b"+1"),
        (b":SOUR1:MODU:INT OFF", b":SOUR1:MODU:INT?", b"+0"),
        (b":SOUR1:FREQ 193.4THZ", b":SOUR1:FREQ?", b"+1.93400000E+014"),
        (b":OUTP OFF", b"*OPC?", b"1"),
    ],
)
def test_spellings_of_others_are_taken(order: bytes, query: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\r\n") == b""
    assert rig.hear(query + b";:SYST:ERR?\n") == answer + b';+0,"No error"\n'


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b":SOUR1:WAV 1600NM", TOO_LARGE),
        (b":SOUR1:WAV 1200NM", TOO_SMALL),
        (b":SOUR1:POW 30DBM", TOO_LARGE),
        (b":SOUR1:POW -10DBM", TOO_SMALL),
        (b":SOUR1:FREQ:CHAN 3", AUTO_ON),
        (b":SOUR1:FREQ:OFFS 1GHZ", AUTO_ON),
        (b":SOUR1:FREQ:GRID 50E9", AUTO_ON),
        (b":SOUR1:WAV:AUTO 0;:SOUR1:WAV 1550NM", AUTO_OFF),
        (b":SOUR1:WAV:AUTO 0;:SOUR1:FREQ 193THZ", AUTO_OFF),
        (b":SOUR1:WAV:AUTO 0;:SOUR1:FREQ:OFFS 7GHZ", TOO_LARGE),
        (b":SOUR1:POW:UNIT 2", b'-224,"Illegal parameter value"\n'),
        (b":SOUR5:POW 10", b'-303,"Empty slot (StatSlotEmpty)"\n'),
    ],
)
def test_order_is_refused_with_the_number_of_the_sheet(order: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == answer


def test_grid_mode_steps_by_channels_and_offset() -> None:
    rig = Rig()
    rig.hear(b":SOUR1:WAV:AUTO 0;:SOUR1:FREQ:REF 193.1THZ;:SOUR1:FREQ:GRID 100GHZ\n")
    rig.hear(b":SOUR1:FREQ:CHAN 5;:SOUR1:FREQ:OFFS 2GHZ\n")
    assert rig.hear(b":SOUR1:FREQ?;:SYST:ERR?\n") == b'+1.93602000E+014;+0,"No error"\n'
    assert rig.hear(b":STAT1:QUES:COND?\n") == b"+4096\n"
    rig.hear(b":SOUR1:WAV:TOGR\n")
    assert rig.hear(b":SOUR1:FREQ:CHAN?;:SOUR1:FREQ?\n") == b"+5;+1.93600000E+014\n"


def test_queue_overflows_after_thirty_errors() -> None:
    rig = Rig()
    rig.hear(b"FOO\n" * 40)
    heard = rig.hear(b":SYST:ERR?\n" * 31).splitlines()
    assert heard[28] == b'-113,"Undefined header"'
    assert heard[29].startswith(b"-350,")
    assert heard[30] == b'+0,"No error"'


def test_reset_switches_every_laser_off() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON;:OUTP2 ON;:SOUR1:POW:UNIT 1\n*RST\n")
    assert rig.hear(b":OUTP1?;:OUTP2?;:SOUR1:POW:UNIT?\n") == b"+0;+0;+0\n"
    assert not rig.part.emission()


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    samples = [
        b":SOUR1:WAV 1550.12NM;:SOUR1:WAV?;:SYST:ERR?\n",
        b":SOUR1:POW:UNIT 1;:SOUR1:POW 9E9DBM;:SOUR1:POW?\n",
        b":SOUR1:WAV:AUTO 0;:SOUR1:FREQ:GRID 50E9;:SOUR1:FREQ:CHAN 3;:SOUR1:WAV:TOGR\n",
        b":OUTP1 ON;*OPC?;:SOUR1:FREQ:REF 193THZ\n",
    ]
    for message in rubbish(samples, 10_000, seed=771):
        rig.hear(message)
    rig.hear(b"\n*CLS\n")
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7714A,SIM14,1.22\n"


def test_maker_takes_the_part_of_the_place() -> None:
    bench = SimulatedBench()
    part = bench.scene.server_laser
    place = TwinPlace(clock=bench.clock, serial="SIM1", parts={1: part})
    hear(MAKERS["Keysight N7711A"](place).session(), b":OUTP1 ON\n")
    assert part.emission()
