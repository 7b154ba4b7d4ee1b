"""The twins of Santec's lasers: the data sheet's dialogue, byte by byte."""

import numpy as np
import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.santec_tsl import MAKERS, SantecTSLTwin
from tests.wire.raw import hear, rubbish

NONE = b'0,"No error"\r'


class Rig:
    """A laser in a scene."""

    def __init__(
        self, model: str = "TSL-570", *, warm_up_s: float = 0.0, interlock_closed: bool = True
    ) -> None:
        self.bench = SimulatedBench()
        self.clock = self.bench.clock
        self.part = self.bench.scene.server_laser
        self.twin = SantecTSLTwin(
            model=model,
            clock=self.clock,
            serial="00001",
            laser=self.part,
            warm_up_s=warm_up_s,
            interlock_closed=interlock_closed,
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    assert rig.hear(b"*IDN?\r") == b"SANTEC,TSL-570,00001,0026.0026.0011\r"
    assert rig.hear(b":SYST:COMM:COD 1\r") == b""
    assert rig.hear(b":SYST:LOCK?\r") == b"+0\r"
    assert rig.hear(b":POW:SHUT 1\r") == b""
    assert rig.hear(b":WAV 1.55E-6\r:WAV?\r") == b"+1.55000000E-006\r"
    assert rig.hear(b":POW:ATT:AUT 1\r:POW:UNIT 0\r:POW 10\r") == b""
    assert rig.hear(b":POW:STAT 1\r") == b""
    rig.clock.advance(60.0)
    assert rig.hear(b"*OPC?\r") == b"1\r"
    assert rig.hear(b":POW:SHUT?\r") == b"+0\r"
    assert rig.hear(b":WAV 1\r") == b""
    assert rig.hear(b":SYST:ERR?\r") == b'-222,"Data out of range"\r'
    assert rig.hear(b":SYST:ERR?\r") == NONE
    assert rig.hear(b":WAV?\r") == b"+1.55000000E-006\r"
    assert rig.part.power_w() == pytest.approx(10e-3, rel=1e-3)


def test_legacy_set_has_the_same_spellings_and_other_units() -> None:
    rig = Rig()
    assert rig.hear(b":SYST:COMM:COD 0\r:WAV 1550\r:WAV?\r") == b"1550.0000\r"
    assert rig.hear(b":FREQ?\r:POW:STAT?\r:POW?\r") == b"193.41449\r0\r10.00\r"
    assert rig.hear(b":WAV:MIN?\r:WAV:FREQ:MAX?\r:POW:MAX?\r") == b"1480.0000\r202.56247\r13.00\r"
    assert rig.hear(b":WAV? MIN\r:SYST:ERR?\r") == b'-108,"Parameter not allowed"\r'
    rig.hear(b":SYST:COMM:COD 1\r")
    assert rig.hear(b":WAV? MIN\r:POW:STAT?\r:FREQ?\r") == (
        b"+1.48000000E-006\r+0\r+1.93414489E+014\r"
    )
    assert rig.hear(b":WAV:MIN?\r:SYST:ERR?\r") == b'-113,"Undefined header"\r'


def test_state_and_shutter_are_one_thing_of_a_tsl570() -> None:
    rig = Rig()
    rig.hear(b":POW:SHUT 0\r")
    assert rig.part.emission()
    assert rig.hear(b":POW:STAT?\r") == b"1\r"
    rig.hear(b":POW:STAT 0\r")
    assert rig.hear(b":POW:SHUT?\r") == b"1\r"


def test_state_and_shutter_are_two_things_of_a_tsl550() -> None:
    rig = Rig("TSL-550")
    rig.hear(b":POWer:STATe 1\r")
    assert not rig.part.emission()
    assert rig.hear(b":POWer:STATe?\r:POWer:SHUTter?\r") == b"1\r1\r"
    rig.hear(b":POWer:SHUTter 0\r")
    lit = rig.part.emission()
    assert lit
    rig.hear(b":POWer:STATe 0\r")
    assert not rig.part.emission()


@pytest.mark.parametrize(
    ("order", "query", "answer"),
    [
        (b":WAV 1.5500000000e-06", b"WAV?", b"+1.55000000E-006"),
        (b":WAV 1550nm", b":SOURCE1:CHANNEL1:WAVELENGTH?", b"+1.55000000E-006"),
        (b":WAV:FREQ 193.4THZ", b":FREQuency?", b"+1.93400000E+014"),
        (b"WAV:FIN -3.5", b"WAV:FIN?", b"-3.50000000E+000"),
        (b":POW:LEV 3", b":pow?", b"+3.00000000E+000"),
        (b":POW:UNIT 1", b":POW?", b"+1.00000000E+001"),
        (b":WAV:SWE:STAT 0", b":WAV:SWE?", b"+0"),
        (b":WAV:SWE:SPE 200", b":WAV:SWE:SPE?", b"+200.0"),
        (b":COHC 1", b":COHC?", b"+1"),
        (b":POW:ATT:AUTO 1", b":POW:ATT:AUT?", b"+1"),
    ],
)
def test_spellings_of_others_are_taken(order: bytes, query: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(b":SYST:COMM:COD 1\r" + order + b"\r\n") == b""
    assert rig.hear(query + b"\rSYST:ERR?\r") == answer + b"\r" + NONE


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b":FOO 1", b'-113,"Undefined header"'),
        (b":WAV", b'-109,"Missing parameter"'),
        (b":WAV 1550,1", b'-108,"Parameter not allowed"'),
        (b":POW 14", b'-222,"Data out of range"'),
        (b":POW:ATT 31", b'-222,"Data out of range"'),
        (b":WAV:SWE:SPE 3", b'-222,"Data out of range"'),
    ],
)
def test_order_is_refused_with_the_number_of_the_sheet(order: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\r") == b""
    assert rig.hear(b":SYST:ERR?\r") == answer + b"\r"


def test_unknown_query_is_silent() -> None:
    assert Rig().hear(b":FOO?\r") == b""


def test_move_takes_its_time() -> None:
    rig = Rig()
    rig.hear(b":WAV 1600\r")
    assert rig.hear(b"*OPC?\r") == b"0\r"
    rig.clock.advance(0.51)
    assert rig.hear(b"*OPC?\r") == b"0\r"
    rig.clock.advance(0.02)
    assert rig.hear(b"*OPC?\r") == b"1\r"


def test_emission_is_refused_and_alerted_when_the_interlock_is_open() -> None:
    rig = Rig(interlock_closed=False)
    assert rig.hear(b":POW:STAT 1\r:SYST:ERR?\r") == b'-200,"Execution error"\r'
    assert not rig.part.emission()
    assert rig.hear(b":SYST:LOCK?\r") == b"1\r"
    assert rig.hear(b":SYST:ALER?\r:SYST:ALER?\r") == b"No07.,Inter lock detection\rNo alerts.\r"


def test_warm_up_is_alerted_until_it_is_over() -> None:
    rig = Rig(warm_up_s=10.0)
    assert rig.hear(b":SYST:ALER?\r:SYST:ALER?\r") == b"No23.,Ongoing Warm up\rNo alerts.\r"
    rig.clock.advance(10.0)
    assert rig.hear(b":SYST:ALER?\r") == b"No alerts.\r"


def test_sweep_prepares_runs_and_logs() -> None:
    rig = Rig()
    rig.hear(b":WAV:SWE:STAR 1550\r:WAV:SWE:STOP 1551\r:WAV:SWE:SPE 1\r:WAV:SWE 1\r")
    assert rig.hear(b":WAV:SWE?\r") == b"4\r"
    rig.clock.advance(0.2)
    assert rig.hear(b":WAV:SWE?\r") == b"1\r"
    rig.clock.advance(1.1)
    assert rig.hear(b":WAV:SWE?\r:READ:POIN?\r") == b"0\r100\r"
    legacy = rig.hear(b":READ:DAT?\r")
    assert legacy.startswith(b"#3400")
    logged = np.frombuffer(legacy[5:405], "<i4")
    assert (logged[0], logged[-1]) == (15_500_000, 15_510_000)
    scpi = rig.hear(b":SYST:COMM:COD 1\r:READ:DAT?\r")
    assert np.frombuffer(scpi[5:805], "<f8")[-1] == pytest.approx(1551e-9)


def test_sweep_stands_by_until_it_is_triggered() -> None:
    rig = Rig()
    rig.hear(b":TRIG:INP:STAN 1\r:WAV:SWE:STAR 1550\r:WAV:SWE:STOP 1551\r:WAV:SWE 1\r")
    rig.clock.advance(5.0)
    assert rig.hear(b":WAV:SWE?\r") == b"3\r"
    rig.hear(b":TRIG:INP:SOFT\r")
    rig.clock.advance(1e-3)
    assert rig.hear(b":WAV:SWE?\r") == b"1\r"


def test_reset_switches_off() -> None:
    rig = Rig()
    rig.hear(b":POW:STAT 1\r*RST\r")
    assert not rig.part.emission()


def test_rubbish_never_raises_and_the_laser_still_answers() -> None:
    rig = Rig()
    samples = [
        b":WAV 1550;:WAV?\r",
        b":SYST:COMM:COD 1\r:FREQ 193.4THZ\r:POW? MAX\r",
        b":WAV:SWE:STAR 1550\r:WAV:SWE 1\r:READ:DAT?\r",
        b":POW:UNIT 1\r:POW 3\r:POW:STAT 1\r:SYST:ALER?\r",
    ]
    for message in rubbish(samples, 10_000, seed=570):
        rig.hear(message)
    rig.hear(b"\r*CLS\r")
    assert rig.hear(b"*IDN?\r") == b"SANTEC,TSL-570,00001,0026.0026.0011\r"


def test_maker_takes_the_part_of_the_place() -> None:
    bench = SimulatedBench()
    part = bench.scene.server_laser
    place = TwinPlace(clock=bench.clock, serial="SIM1", parts={1: part})
    hear(MAKERS["Santec TSL-770"](place).session(), b":POW:STAT 1\r")
    assert part.emission()
