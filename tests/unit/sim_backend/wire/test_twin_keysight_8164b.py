"""The twins of Keysight's 8164B and N7776C lasers: the data sheet's dialogue, byte by byte."""

import numpy as np
import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.keysight_8164b import MAKERS, Keysight8164BTwin
from tests.wire.raw import hear, rubbish

NONE = b'+0,"No error"\n'
TOO_LARGE = b'-222,"Data out of range (StatParmTooLarge)"\n'


class Rig:
    """A box whose laser in slot 0 is in a scene."""

    def __init__(self, model: str = "N7776C") -> None:
        self.bench = SimulatedBench()
        self.clock = self.bench.clock
        self.part = self.bench.scene.server_laser
        self.twin = Keysight8164BTwin(
            model=model, clock=self.clock, serial="SIM81", lasers={1: self.part}
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    orders = (
        b":LOCK 0,1234\n:SOUR0:WAV 1550nm\n:SOUR0:POW:UNIT 0\n:SOUR0:POW 8 dBm\n:SOUR0:POW:STAT 1\n"
    )
    assert rig.hear(orders) == b""
    assert rig.hear(b":SOUR0:WAV?\n") == b"+1.55000000E-006\n"
    assert rig.hear(b":SYST:ERR?\n") == NONE
    assert rig.hear(b"*OPC?\n") == b"0\n"
    rig.clock.advance(60.0)
    assert rig.hear(b"*OPC?\n") == b"1\n"
    assert rig.part.power_w() == pytest.approx(1e-3 * 10**0.8, rel=1e-3)


def test_lock_blocks_the_light_until_it_is_opened_with_the_password() -> None:
    rig = Rig()
    assert rig.hear(b":LOCK?\n") == b"1\n"
    assert rig.hear(b":SOUR0:POW:STAT 1\n:SYST:ERR?\n").startswith(b"-")
    assert rig.hear(b":LOCK 0,1111\n:LOCK?\n") == b"1\n"
    rig.hear(b"*CLS;:LOCK 0,1234;:SOUR0:POW:STAT 1\n")
    lit = rig.part.emission()
    assert lit
    rig.hear(b":LOCK 1,1234\n")
    assert not rig.part.emission()
    assert rig.hear(b":SOUR0:POW:STAT?\n") == b"+0\n"


@pytest.mark.parametrize(
    ("order", "query", "answer"),
    [
        (b":SOUR0:POW:UNIT 1;:SOUR0:POW 5 mW", b":SOUR0:POW?", b"+5.00000000E-003"),
        (b":SOUR0:POW:UNIT W", b":SOUR0:POW:UNIT?", b"+1"),
        (b"sour0:wav 1550.5 nm", b":SOURCE0:CHAN1:WAVELENGTH:CW?", b"+1.55050000E-006"),
        (b":SOUR0:WAV:SWE:SPEED 40nm/s", b":SOUR0:WAV:SWE:SPE?", b"+4.00000000E-008"),
        (b":SOUR0:WAV:SWE:STEP 5pm", b":SOUR0:WAV:SWE:STEP?", b"+5.00000000E-012"),
        (b":SOUR0:WAV:SWE:MODE CONT", b":SOUR0:WAV:SWE:MODE?", b"CONT"),
        (b":SOUR0:WAV:SWE:DWEL 0.5S", b":SOUR0:WAV:SWE:DWEL?", b"+5.00000000E-001"),
        (b":SOUR0:WAV:SWE:REP TWOW", b":SOUR0:WAV:SWE:REP?", b"TWOW"),
        (b":TRIG0:OUTP STF", b":TRIG0:OUTP?", b"STF"),
        (b":TRIG:CONF LOOP", b":TRIG:CONF?", b"LOOP"),
        (b":SOUR0:AM:STAT OFF", b":SOUR0:AM:STAT?", b"+0"),
        (b"*CLS", b":SOUR0:WAV:SWE:STAR? MIN", b"+1.48000000E-006"),
        (b"*CLS", b":SOUR0:WAV:SWE:STOP? MAX", b"+1.64000000E-006"),
    ],
)
def test_spellings_of_others_are_taken(order: bytes, query: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\r\n") == b""
    assert rig.hear(query + b"\n:SYST:ERR?\n") == answer + b"\n" + NONE


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b":SOUR0:WAV 1700nm", TOO_LARGE),
        (b":SOUR0:POW 20 dBm", TOO_LARGE),
        (b":SOUR3:POW 1 mW", b'-303,"Empty slot (StatSlotEmpty)"\n'),
        (b":FOO 1", b'-113,"Undefined header"\n'),
    ],
)
def test_order_is_refused_with_the_number_of_the_sheet(order: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == answer


def test_frequency_is_a_difference_from_the_present_one() -> None:
    rig = Rig()
    rig.hear(b":SOUR0:WAV 1550nm;:SOUR0:WAV:FREQ -100GHZ\n")
    wanted_m = 299_792_458.0 / (299_792_458.0 / 1550e-9 - 100e9)
    assert float(rig.hear(b":SOUR0:WAV?\n")) == pytest.approx(wanted_m, rel=1e-8)


def test_sweep_logs_every_step_and_logging_is_off_behind_it() -> None:
    rig = Rig()
    rig.hear(b":SOUR0:WAV:SWE:STAR 1550nm;STOP 1551nm;STEP 10pm;SPE 1nm/s\n")
    rig.hear(b":SOUR0:WAV:SWE:LLOG 1;:SOUR0:AM:STAT OFF\n")
    assert rig.hear(b":SOUR0:WAV:SWE:CHEC?\n").startswith(b"375,")
    rig.hear(b":TRIG0:OUTP STF\n")
    assert rig.hear(b":SOUR0:WAV:SWE:CHEC?\n:SOUR0:WAV:SWE:EXP?\n") == b"0,OK\n+101\n"
    rig.hear(b":SOUR0:WAV:SWE 1\n")
    assert rig.hear(b":SOUR0:WAV:SWE?\n") == b"+1\n"
    rig.clock.advance(1.01)
    assert rig.hear(b":SOUR0:WAV:SWE?\n:SOUR0:WAV:SWE:LLOG?\n") == b"+0\n+0\n"
    assert rig.hear(b":SOUR0:READ:POINTS? LLOG\n") == b"+101\n"
    answer = rig.hear(b":SOUR0:READ:DATA? LLOG\n")
    assert answer.startswith(b"#3808")
    assert np.frombuffer(answer[5:-1], "<f8")[-1] == pytest.approx(1551e-9)


def test_sweep_waits_for_a_software_trigger() -> None:
    rig = Rig()
    rig.hear(b":SOUR0:WAV:SWE:STAR 1550nm;STOP 1551nm;SPE 1nm/s;:TRIG0:INP SWS\n")
    rig.hear(b":SOUR0:WAV:SWE STAR\n")
    assert rig.hear(b":SOUR0:WAV:SWE:FLAG?\n") == b"+1\n"
    rig.clock.advance(5.0)
    assert rig.hear(b":SOUR0:WAV:SWE?\n") == b"+1\n"
    rig.hear(b":SOUR0:WAV:SWE:SOFT\n")
    rig.clock.advance(1.01)
    assert rig.hear(b":SOUR0:WAV:SWE?\n") == b"+0\n"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (b"STAR 1560nm;STOP 1550nm", b"368,"),
        (b"STEP 0.1pm;LLOG 1;:SOUR0:AM:STAT 0;:TRIG0:OUTP STF", b"373,"),
        (b"LLOG 1;:TRIG0:OUTP STF", b"374,"),
        (b"MODE STEP;LLOG 1", b"376,"),
        (b"STEP 0.1pm;SPE 200nm/s;:TRIG0:OUTP STF", b"371,"),
    ],
)
def test_sweep_is_refused_and_the_reason_has_a_number(settings: bytes, code: bytes) -> None:
    rig = Rig()
    rig.hear(b":SOUR0:WAV:SWE:" + settings + b"\n")
    assert rig.hear(b":SOUR0:WAV:SWE:CHEC?\n").startswith(code)
    assert b"inconsistent" in rig.hear(b":SOUR0:WAV:SWE 1\n:SYST:ERR?\n")
    assert rig.hear(b":SOUR0:WAV:SWE:LLOG?\n") == b"+0\n"


def test_steps_need_the_manual_mode() -> None:
    rig = Rig()
    rig.hear(b":SOUR0:WAV 1550nm;:SOUR0:WAV:SWE:STEP 1nm;MODE MAN\n:SOUR0:WAV:SWE:STEP:NEXT\n")
    assert rig.hear(b":SOUR0:WAV?\n") == b"+1.55100000E-006\n"
    rig.hear(b":SOUR0:WAV:SWE:STEP:PREV\n")
    assert rig.hear(b":SOUR0:WAV?\n") == b"+1.55000000E-006\n"


def test_mainframe_has_lasers_where_the_place_has_parts() -> None:
    bench = SimulatedBench()
    part = bench.scene.server_laser
    place = TwinPlace(clock=bench.clock, serial="SIM1", parts={3: part})
    session = MAKERS["Keysight 8164B laser"](place).session()
    assert hear(session, b"*OPT?\n") == b"8164B,  ,8164B,  ,  \n"
    hear(session, b":LOCK 0,1234;:SOUR2:POW:STAT 1\n")
    assert part.emission()


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    samples = [
        b":LOCK 0,1234;:SOUR0:POW:STAT 1;:SOUR0:POW 9E9 dBm\n",
        b":SOUR0:WAV 1550nm;:SOUR0:WAV:FREQ -1THZ;:SOUR0:WAV?\n",
        b":SOUR0:WAV:SWE:STAR 1550nm;STOP 1551nm;STEP 5pm;LLOG 1;:SOUR0:WAV:SWE 1\n",
        b":SOUR0:READ:DATA? LLOG;:SOUR0:WAV:SWE:STAR? MIN;:SOUR0:WAV:SWE:CHEC?\n",
    ]
    for message in rubbish(samples, 10_000, seed=8164):
        rig.hear(message)
    rig.hear(b"\n*CLS\n")
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7776C,SIM81,1.22\n"
