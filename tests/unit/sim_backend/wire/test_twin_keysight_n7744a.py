"""The twin of the Keysight N7744A power meter: the data sheet's dialogue, byte by byte."""

import struct

import numpy as np
import pytest

from sim_backend.instruments.parts import PowerPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHead, PowerHeadSettings
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.keysight_n7744a import MAKERS, KeysightN7744ATwin
from tests.wire.raw import hear, rubbish

POWER_W = 58.3e-6
CONFLICT = b'-221,"Settings conflict (auto range is on)"\n'


class Rig:
    """A meter with light of a known power at its first input, without noise."""

    def __init__(self, power_w: float = POWER_W) -> None:
        self.clock = SimulatedClock()
        self.power_w = power_w
        quiet = PowerHeadSettings(noise_w_per_sqrt_hz=0.0, offset_w=0.0, relative_error=0.0)
        head = PowerHead(quiet, rng=np.random.default_rng(1))
        self.part = PowerPart(head, power_w=lambda: self.power_w)
        self.twin = KeysightN7744ATwin(
            model="N7744A", clock=self.clock, serial="SIM44", sensors={1: self.part}
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    assert (
        rig.hear(
            b":SENS1:POW:WAV 1550NM\n:SENS1:POW:UNIT 0\n:SENS1:POW:ATIM 0.01\n"
            b":SENS1:POW:RANG:AUTO 1\n:INIT1:CONT 1\n"
        )
        == b""
    )
    # 10 log10(58.3e-6 / 1e-3) = -12.3433144 dBm
    assert rig.hear(b":FETC1:POW?\n") == b"-1.23433145E+001\n"
    header, data = rig.hear(b":FETC:POW:ALL?\n").split(b"#216")
    assert header == b""
    assert struct.unpack("<4f", data[:16]) == pytest.approx((POWER_W, 0, 0, 0))
    assert data[16:] == b"\n"
    assert rig.hear(b":SYST:ERR?\n") == b'+0,"No error"\n'


def test_configuration_lists_slots_and_channels_in_intel_order() -> None:
    answer = Rig().hear(b":READ:POW:ALL:CONF?\n")
    assert answer == b"#216" + struct.pack("<8H", 1, 1, 2, 1, 3, 1, 4, 1) + b"\n"


def test_all_readings_are_in_watts_whatever_the_unit() -> None:
    rig = Rig()
    rig.hear(b":SENS1:POW:UNIT 0\n")
    assert rig.hear(b":FETC:POW:ALL:CSV?\n").startswith(b"+5.83000000E-005,+0.00000000E+000,")


def test_read_triggers_a_value_that_comes_after_the_averaging() -> None:
    rig = Rig()
    rig.hear(b":SENS1:POW:UNIT 1;:INIT1:CONT 0;:SENS1:POW:ATIM 0.2\n")
    assert rig.hear(b":READ1:POW?\n") == b""
    assert rig.session.next_at() == pytest.approx(0.2)
    rig.clock.advance(0.19)
    assert rig.session.take() == b""
    rig.clock.advance(0.01)
    assert rig.session.take() == b"+5.83000000E-005\n"


def test_fetch_keeps_the_last_value_when_not_continuous() -> None:
    rig = Rig()
    rig.hear(b":SENS1:POW:UNIT W;:INIT1:CONT 0;:INIT1:IMM\n")
    rig.power_w = 1e-6
    assert rig.hear(b":FETC1:POW?\n") == b"+5.83000000E-005\n"
    rig.hear(b":INIT1:CONT 1\n")
    assert rig.hear(b":FETC1:POW?\n") == b"+1.00000000E-006\n"


def test_init_is_ignored_when_continuous() -> None:
    rig = Rig()
    assert rig.hear(b":INIT1:IMM\n:SYST:ERR?\n") == b'-213,"Init ignored"\n'


@pytest.mark.parametrize(
    ("order", "query", "answer"),
    [
        (b":SENS2:POW:WAV 1550.000000 nm", b":SENS2:POW:WAV?", b"+1.55000000E-006"),
        (b":SENS2:POW:ATIME 0.010000 s", b"sens2:pow:atime?", b"+1.00000000E-002"),
        (b"sens2:func:par:logg 100,0.000100s", b":SENS2:FUNC:PAR:LOGG?", b"+100,+1.00000000E-004"),
        (b"trig2:outp dis", b":TRIG2:OUTP?", b"DIS"),
        (b":INIT2:CONT ON", b":INIT2:CONT?", b"+1"),
        (b":SENSE2:CHAN1:POWER:UNIT DBM", b":SENS2:POW:UNIT?", b"+0"),
        (b":SENS2:POW:RANG -20DBM", b":SENS2:POW:RANG?", b"-2.00000000E+001"),
        (b":TRIG2:INP SME", b":TRIG2:INP?", b"SME"),
    ],
)
def test_spellings_of_others_are_taken(order: bytes, query: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\r\n") == b""
    assert rig.hear(query + b";:SYST:ERR?\n") == answer + b';+0,"No error"\n'


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b":SENS1:POW:WAV 850NM", b'-222,"Data out of range (StatParmTooSmall)"\n'),
        (b":SENS1:POW:ATIM 1000", b'-222,"Data out of range (StatParmTooLarge)"\n'),
        (b":SENS5:POW:UNIT 1", b'-303,"Empty slot (StatSlotEmpty)"\n'),
        (b":SENS1:FUNC:STAT LOGG,STAR", CONFLICT),
    ],
)
def test_order_is_refused_with_the_number_of_the_sheet(order: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == answer


def test_reading_in_dbm_is_a_math_error_when_not_above_zero() -> None:
    rig = Rig(power_w=0.0)
    assert rig.hear(b":FETC1:POW?\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == b'-261,"Math error in expression"\n'


def test_reading_is_huge_when_beyond_the_range() -> None:
    rig = Rig(power_w=1e-4)
    rig.hear(b":SENS1:POW:UNIT 1;:SENS1:POW:RANG:AUTO 0;:SENS1:POW:RANG -20\n")
    assert rig.hear(b":FETC1:POW?\n") == b"+9.90000000E+037\n"


def test_zeroing_takes_the_offset_away_when_dark() -> None:
    rig = Rig(power_w=2e-9)
    rig.hear(b":SENS1:POW:UNIT 1;:SENS1:CORR:COLL:ZERO\n")
    assert rig.hear(b":SLOT1:OPC?\n") == b"0\n"
    rig.clock.advance(2.1)
    assert rig.hear(b":SLOT1:OPC?;:SENS1:CORR:COLL:ZERO?\n") == b"1;+0\n"
    assert rig.hear(b":FETC1:POW?\n") == b"+0.00000000E+000\n"


def test_zeroing_fails_and_names_the_input_when_there_is_light() -> None:
    rig = Rig()
    rig.hear(b":SENS:CORR:COLL:ZERO:ALL\n")
    assert rig.hear(b":SENS:CORR:COLL:ZERO:ALL?\n") == b"+1\n"
    assert rig.hear(b":SENS1:POW:UNIT 1;:FETC1:POW?\n") == b"+5.83000000E-005\n"


def test_logging_gives_its_points_when_its_time_is_over() -> None:
    rig = Rig()
    rig.hear(b":SENS1:POW:UNIT 1;:SENS1:POW:RANG:AUTO 0;:SENS1:FUNC:PAR:LOGG 100,0.001\n")
    assert rig.hear(b":SENS1:FUNC:STAT?\n") == b"NONE,COMPLETE\n"
    rig.hear(b":SENS1:FUNC:STAT LOGG,STAR\n")
    assert rig.hear(b":SENS1:FUNC:STAT?\n") == b"LOGGING_STABILITY,PROGRESS\n"
    assert rig.hear(b":READ1:POW?\n:SYST:ERR?\n").startswith(b"-284,")
    rig.clock.advance(0.1)
    assert rig.hear(b":SENS1:FUNC:STAT?\n") == b"LOGGING_STABILITY,COMPLETE\n"
    answer = rig.hear(b":SENS1:FUNC:RES?\n")
    assert answer.startswith(b"#3400")
    assert np.frombuffer(answer[5:-1], "<f4") == pytest.approx(np.full(100, POWER_W))
    rig.hear(b":SENS1:FUNC:STAT LOGG,STOP\n")
    assert rig.hear(b":FETC1:POW?\n") == b"+5.83000000E-005\n"


def test_wrong_wavelength_scales_the_reading() -> None:
    rig = Rig()
    rig.hear(b":SENS1:POW:UNIT 1;:SENS1:POW:WAV 1310NM\n")
    reading_w = float(rig.hear(b":FETC1:POW?\n"))
    assert reading_w == pytest.approx(POWER_W * 1550 / 1310, rel=1e-6)


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    samples = [
        b":SENS1:POW:WAV 1550NM;:FETC1:POW?;:SYST:ERR?\n",
        b":SENS1:FUNC:PAR:LOGG 10,1US;:SENS1:FUNC:STAT LOGG,STAR\n",
        b":SENS1:FUNC:RES?;:FETC:POW:ALL?;:INIT1:CONT 1\n",
    ]
    for message in rubbish(samples, 10_000, seed=7744):
        rig.hear(message)
    rig.hear(b"\n*RST;*CLS\n")
    rig.clock.advance(20.0)
    rig.session.take()
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7744A,SIM44,1.22\n"


def test_maker_makes_eight_inputs_of_an_n7745a() -> None:
    place = TwinPlace(clock=SimulatedClock(), serial="SIM1", parts={})
    session = MAKERS["Keysight N7745A"](place).session()
    assert hear(session, b":SENS8:POW:UNIT 1;:FETC8:POW?\n") == b"+0.00000000E+000\n"
