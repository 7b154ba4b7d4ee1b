"""The twin of the Keysight 33600A: raw bytes as its guides and other people's drivers have them."""

import math

import numpy as np
import pytest

from drivers.instruments import Trigger
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.session import Session, TwinPlace
from sim_backend.wire.twins.keysight_33600a import MAKERS, Keysight33600ATwin
from tests.wire.raw import rubbish

NO_ERROR = b'+0,"No error"\n'
BLOCK = bytes.fromhex("0000 FF7F 0000 0180")
LOAD = b"SOUR1:DATA:ARB:DAC arb1,#264" + BLOCK * 8 + b"\n"


class Rig:
    """A box whose first output drives the weight modulator of a bench."""

    def __init__(
        self,
        model: str = "33622A",
        real_load_ohm: float = 50.0,
        conflicts: bool = False,
        line: str = "TRIG",
    ) -> None:
        self.bench = SimulatedBench()
        part = self.bench.part("server", "weight_generator")
        assert isinstance(part, GeneratorPart)
        self.part = part
        self.unit = part.unit
        self.twin = Keysight33600ATwin(
            model=model,
            clock=self.bench.clock,
            serial="SIM7",
            parts={1: part},
            real_load_ohm=real_load_ohm,
            burst_conflicts=conflicts,
            line=line,
        )
        self.session: Session = self.twin.session()

    def say(self, data: bytes) -> bytes:
        self.session.feed(data)
        self.bench.clock.sleep(1e-3)
        return self.session.take()

    def error(self) -> bytes:
        return self.say(b"SYST:ERR?\n")

    def loaded(self) -> "Rig":
        self.say(b"FORM:BORD SWAP\nSOUR1:DATA:VOL:CLE\n" + LOAD + b"SOUR1:FUNC:ARB arb1\n")
        return self

    def armed(self, source: bytes) -> "Rig":
        self.loaded().say(
            b"SOUR1:FUNC:ARB:SRAT 1E8\nSOUR1:VOLT 1\nSOUR1:FUNC ARB\nSOUR1:BURS:STAT ON\n"
            b"SOUR1:BURS:NCYC 1\nTRIG1:DEL 1E-6\nOUTP1 ON\nTRIG1:SOUR " + source + b"\n"
        )
        return self


def test_twin_plays_what_the_dialogue_of_the_guide_uploads() -> None:
    rig = Rig()
    answer = rig.say(
        b"FORM:BORD SWAP\nSOUR1:DATA:VOL:CLE\n" + LOAD + b"SOUR1:FUNC:ARB arb1\n"
        b"SOUR1:FUNC:ARB:SRAT 1000000\nSOUR1:VOLT 1.0\nSOUR1:VOLT:OFFS 0\nSOUR1:FUNC ARB\n"
        b"OUTP1:LOAD 50\nOUTP1 ON\nSYST:ERR?\n"
    )
    assert answer == NO_ERROR
    assert rig.unit.outputs == [True]
    assert rig.unit.sample_rate_hz == 1e6
    rig.say(b"BURS:STAT ON\nTRIG:SOUR BUS\n")
    np.testing.assert_allclose(rig.unit.waveforms[0][:4], [0, 0.5, 0, -0.5], atol=1e-7)
    assert rig.say(b"SOUR1:DATA:VOL:CAT?\n") == b'"arb1"\n'


def test_bytes_are_taken_in_the_order_that_was_chosen() -> None:
    rig = Rig()
    normal = bytes.fromhex("0000 7FFF 0000 8001") * 8
    rig.say(b"DATA:ARB:DAC arb1,#264" + normal + b"\nFUNC:ARB arb1\nFUNC ARB\nBURS:STAT 1\n")
    assert rig.error() == NO_ERROR
    np.testing.assert_allclose(rig.unit.waveforms[0][:4], [0, 0.05, 0, -0.05], atol=1e-7)


def test_upload_takes_its_time() -> None:
    rig = Rig()
    data = bytes(200_000)
    rig.session.feed(b"DATA:ARB:DAC long,#6200000" + data + b"\n*OPC?\n")
    assert rig.session.take() == b""
    rig.bench.clock.sleep(39e-3)
    assert rig.session.take() == b""
    rig.bench.clock.sleep(2e-3)
    assert rig.session.take() == b"1\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"*IDN?\n", b"Agilent Technologies,33622A,SIM7,3.05-1.19-2.00-58-00\n"),
        (b"SOUR1:FREQ?\n", b"+1.00000000000000E+03\n"),
        (b"SOURce1:FUNCtion ARBitrary\r\nFUNC?\r\n", b"ARB\n"),
        (b"FUNC:SHAP SQU;SHAP?\n", b"SQU\n"),
        (b"OUTP2 1;:OUTPUT2?\n", b"1\n"),
        (b"OUTP1:LOAD INF\nOUTP1:LOAD?\n", b"+9.90000000000000E+37\n"),
        (b"BURS:NCYC INF\nBURS:NCYC?\n", b"+9.90000000000000E+37\n"),
        (b"FUNC:ARB:SRAT? MAX\n", b"+1.00000000000000E+09\n"),
        (b"VOLT? MAX\n", b"+1.00000000000000E+01\n"),
        (b"VOLT:OFFS 1;:VOLT? MAX\n", b"+8.00000000000000E+00\n"),
        (
            b"VOLT:HIGH 2;LOW -1;:VOLT?;:VOLT:OFFS?\n",
            b"+3.00000000000000E+00;+5.00000000000000E-01\n",
        ),
        (b"DATA:ARB my , 0.1 , -0.2" + b",0" * 30 + b"\nDATA:VOL:CAT?\n", b'"my"\n'),
        (b"DATA:ARB:DAC my,32767,-32767" + b",0" * 30 + b"\nSYST:ERR?\n", NO_ERROR),
        (b"TRIG2:SOUR BUS\nTRIG2:SOUR?;SLOP?\n", b"BUS;POS\n"),
        (b"SYST:BEEP:STAT OFF;:DISP OFF;:OUTP:SYNC ON;:OUTP:SYNC:SOUR CH1;:SYST:ERR?\n", NO_ERROR),
        (b"FORM:BORD?\n", b"NORM\n"),
        (b"OUTP1:POL INV\nOUTP1:POL?\n", b"INV\n"),
        (b"*RST;*TRG;*WAI;*OPC?\n", b"1\n"),
    ],
)
def test_twin_understands_foreign_spellings(sent: bytes, answer: bytes) -> None:
    assert Rig().say(sent) == answer


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (b"SOUR1:FUNCT SIN\n", b"-113"),
        (b"SOUR3:FUNC SIN\n", b"-114"),
        (b"FUNC:ARB:SRAT 2E9\n", b"-222"),
        (b"VOLT 11\n", b"-222"),
        (b"VOLT 8\nVOLT:OFFS 2\n", b"-221"),
        (b"FUNC BLOB\n", b"-224"),
        (b"FUNC:ARB nothing\n", b"+787"),
        (LOAD + LOAD, b"+786"),
        (b"DATA:ARB:DAC few,#18" + BLOCK + b"\n", b"-222"),
        (b"DATA:ARB:DAC odd,#13abc\n", b"-161"),
        (b"DATA:ARB my,2" + b",0" * 31 + b"\n", b"-222"),
        (b"DATA:ARB my,x,y\n", b"-104"),
        (b"DATA:ARB:DAC 1st,#264" + BLOCK * 8 + b"\n", b"-224"),
        (b"OUTP1:LOAD 0\n", b"-222"),
        (b"TRIG1:DEL -1\n", b"-222"),
        (b"VOLT\n", b"-109"),
    ],
)
def test_twin_reports_errors_by_their_numbers(sent: bytes, number: bytes) -> None:
    rig = Rig()
    assert rig.say(sent) == b""
    assert rig.error().startswith(number + b",")
    assert rig.error() == NO_ERROR


def test_other_setting_gives_way_when_amplitude_and_offset_conflict() -> None:
    rig = Rig()
    rig.say(b"VOLT 8\nVOLT:OFFS 2\n")
    assert rig.say(b"VOLT?;:VOLT:OFFS?\n") == b"+6.00000000000000E+00;+2.00000000000000E+00\n"


def test_query_that_is_unknown_is_not_answered() -> None:
    rig = Rig()
    assert rig.say(b"SOUR1:WHAT?\n") == b""
    rig.bench.clock.sleep(10.0)
    assert rig.session.take() == b""


def test_error_queue_overflows_at_twenty() -> None:
    rig = Rig()
    rig.say(b"BAD\n" * 30)
    assert rig.say(b"*ESR?\n") == b"32\n"
    found = [rig.error() for _ in range(21)]
    assert found[18].startswith(b"-113,")
    assert found[19].startswith(b"-350,")
    assert found[20] == NO_ERROR
    rig.say(b"BAD\n*CLS\n")
    assert rig.error() == NO_ERROR


def test_burst_rests_at_the_first_point_and_nothing_plays_before_the_trigger() -> None:
    rig = Rig().armed(b"BUS")
    assert rig.unit.idle_v == [0.0]
    before_s = rig.bench.clock.now()
    rig.say(b"*OPC?\n")
    assert rig.twin.outputs[1].played == 0
    rig.say(b"TRIG1\n")
    assert rig.twin.outputs[1].played == 1
    assert rig.bench.clock.now() - before_s >= 1e-6 + 32 / 1e8
    rig.say(b"*TRG\n")
    assert rig.twin.outputs[1].played == 2


def test_software_trigger_does_nothing_when_another_source_is_chosen() -> None:
    rig = Rig().armed(b"EXT")
    rig.say(b"TRIG1\n*TRG\n")
    assert rig.twin.outputs[1].played == 0
    assert rig.unit.armed is Trigger.EXTERNAL
    assert rig.unit.delay_s == 1e-6


def test_output_waits_for_the_line_again_after_a_play() -> None:
    rig = Rig().armed(b"EXT")
    other = rig.bench.part("client", "data_generator")
    assert isinstance(other, GeneratorPart)
    other.line.fire(other.unit)
    rig.say(b"TRIG1:SOUR?\n")
    assert rig.unit.armed is Trigger.EXTERNAL
    rig.say(b"SOUR1:FUNC DC\n")
    assert rig.unit.armed is None


@pytest.mark.parametrize("output", [b"ON", b"OFF"])
def test_line_is_fired_only_when_the_trigger_output_is_on(output: bytes) -> None:
    rig = Rig().armed(b"BUS")
    tap = rig.bench.part("client", "tap_digitiser")
    assert isinstance(tap, DigitiserPart)
    tap.unit.armed = Trigger.EXTERNAL
    rig.say(b"OUTP:TRIG " + output + b"\nTRIG1\n")
    assert (tap.unit.record is not None) is (output == b"ON")
    assert tap.unit.armed is (None if output == b"ON" else Trigger.EXTERNAL)


@pytest.mark.parametrize("source", [b"CH1", b"CH2"])
def test_line_on_the_sync_socket_is_fired_by_the_output_that_it_follows(source: bytes) -> None:
    rig = Rig(line="SYNC").armed(b"BUS")
    tap = rig.bench.part("client", "tap_digitiser")
    assert isinstance(tap, DigitiserPart)
    tap.unit.armed = Trigger.EXTERNAL
    rig.say(b"OUTP:SYNC ON\nOUTP:SYNC:SOUR " + source + b"\nTRIG1\n")
    assert (tap.unit.record is not None) is (source == b"CH1")


def test_modulator_gets_twice_the_voltage_when_the_load_is_wrong() -> None:
    rig = Rig(real_load_ohm=math.inf)
    rig.say(b"FUNC DC\nVOLT:OFFS 1\nOUTP1 ON\n")
    assert rig.unit.idle_v[0] == pytest.approx(2.0)
    rig.say(b"OUTP1:LOAD INF\n")
    assert rig.say(b"VOLT:OFFS?\n") == b"+2.00000000000000E+00\n"
    rig.say(b"VOLT:OFFS 1\n")
    assert rig.unit.idle_v[0] == pytest.approx(1.0)


def test_burst_is_switched_off_by_a_direct_voltage_when_they_conflict() -> None:
    rig = Rig(conflicts=True).armed(b"BUS")
    rig.say(b"SOUR1:FUNC DC\n")
    assert rig.error().startswith(b"-221,")
    assert rig.say(b"FUNC?;:BURS:STAT?\n") == b"DC;0\n"


def test_every_model_of_the_series_has_a_twin() -> None:
    bench = SimulatedBench()
    for model, make in MAKERS.items():
        twin = make(TwinPlace(clock=bench.clock, serial="SIM1", parts={}))
        session = twin.session()
        session.feed(b"*IDN?\n")
        assert model.split()[1].encode() in session.take()


def test_twin_survives_random_and_mutated_input() -> None:
    rig = Rig()
    good = [
        LOAD, b"SOUR1:FUNC ARB\n", b"TRIG1\n", b"VOLT? MAX\n", b"BURS:NCYC INF\n",
        b"OUTP1:LOAD INF\n", b"DATA:ARB a,0.5,1,0,0,0,0,0,0\n", b"TRIG1:SOUR BUS;:OUTP:TRIG ON\n",
        b"FUNC:ARB:SRAT 1E6;:BURS:STAT ON;:TRIG:DEL 1\n", b"VOLT:HIGH 1E400\n", b"*RST\n",
    ]  # fmt: skip
    for message in rubbish(good, 10_000, seed=33600):
        rig.session.feed(message)
        # A waveform takes time to store; what comes behind it would wait for ever.
        rig.bench.clock.advance(0.1)
        rig.session.take()
        assert not rig.session.is_busy
    rig.session = rig.twin.session()
    assert rig.say(b"*CLS;*OPC?\n") == b"1\n"
