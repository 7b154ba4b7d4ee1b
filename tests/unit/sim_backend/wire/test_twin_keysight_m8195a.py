"""The twin of the Keysight M8195A: raw bytes as its guide and other people's drivers have them."""

import numpy as np
import pytest

from drivers.instruments import Trigger
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.keysight_m8195a import MAKERS, KeysightM8195ATwin
from tests.wire.raw import rubbish

NO_ERROR = b'0,"No error"\n'
RAMP = np.arange(1280, dtype=np.int16).astype(np.int8).tobytes()
DIALOGUE = (
    b":ABOR\n:INST:DACM SING\n:FREQ:RAST 6.5E10\n:TRAC1:DEL:ALL\n:TRAC1:DEF 1,1280,0\n"
    b":TRAC1:DATA 1,0,#41280" + RAMP + b"\n*OPC?\n"
)


class Rig:
    """A module whose first output drives the weight modulator."""

    def __init__(self) -> None:
        self.bench = SimulatedBench()
        part = self.bench.part("server", "weight_generator")
        assert isinstance(part, GeneratorPart)
        self.unit = part.unit
        self.twin = KeysightM8195ATwin(clock=self.bench.clock, serial="SIM7", parts={1: part})
        self.session = self.twin.session()

    def say(self, data: bytes) -> bytes:
        self.session.feed(data)
        return self.session.take()

    def error(self) -> bytes:
        return self.say(b":SYST:ERR?\n")

    def loaded(self) -> "Rig":
        self.say(DIALOGUE)
        self.bench.clock.sleep(3.0)
        self.session.take()
        return self


def test_twin_answers_the_dialogue_of_the_guide() -> None:
    rig = Rig()
    assert rig.say(DIALOGUE) == b""
    rig.bench.clock.sleep(1.9)
    assert rig.session.take() == b""
    rig.bench.clock.sleep(0.2)
    assert rig.session.take() == b"1\n"
    rig.say(b":TRAC1:SEL 1\n:VOLT1:AMPL 0.5\n:OUTP1 ON\n:INIT:CONT1 ON\n:INIT:IMM\n")
    assert rig.error() == NO_ERROR
    assert rig.unit.outputs == [True]
    assert rig.unit.sample_rate_hz == 65e9
    assert rig.unit.armed is None


def test_box_plays_once_on_its_software_trigger() -> None:
    rig = Rig().loaded()
    rig.say(b":INIT:CONT OFF\n:INIT:GATE OFF\n:VOLT1 0.5\n:INIT:IMM\n")
    assert rig.unit.armed is Trigger.EXTERNAL
    codes = np.frombuffer(RAMP, dtype=np.int8)
    np.testing.assert_allclose(rig.unit.waveforms[0], codes / 127 * 0.25, atol=1e-6)
    rig.say(b":TRIG:BEG\n")
    assert rig.twin.plays == 1
    rig.say(b":ABOR\n:TRIG:BEG\n")
    assert rig.twin.plays == 1
    assert rig.unit.armed is None


@pytest.mark.parametrize("output", [b"ON", b"OFF"])
def test_line_is_fired_when_another_output_gives_a_pulse(output: bytes) -> None:
    rig = Rig().loaded()
    tap = rig.bench.part("client", "tap_digitiser")
    assert isinstance(tap, DigitiserPart)
    tap.unit.armed = Trigger.EXTERNAL
    rig.say(
        b":TRAC3:DEF 1,1280,127;:OUTP3 " + output + b"\n:INIT:CONT1 OFF\n:INIT:IMM\n:TRIG:BEG\n"
    )
    assert rig.twin.plays == 1
    assert (tap.unit.record is not None) is (output == b"ON")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"*IDN?\n", b"Keysight Technologies,M8195A,SIM7,4.0.0.0-2\n"),
        (b":FREQ:RAST 60GHz;:FREQ:RAST?\n", b"6.00000000000000E+10\n"),
        (b"init:cont on;:init:cont?\n", b"1\n"),
        (b"func:mode?\n", b"ARB\n"),
        (b":TRAC1:CAT?\n", b"0,0\n"),
        (b":TRAC1:DEF 3,1280;:TRAC1:CAT?\n", b"3,1280\n"),
        (b":TRAC1:DEF:NEW? 1280;:TRAC1:DEF:NEW? 2560;:TRAC1:CAT?\n", b"1;2;1,1280,2,2560\n"),
        (b':TRAC1:NAME 1,"n";:TRAC1:NAME? 1\n', b'"n"\n'),
        (b":VOLT2?;:VOLT3?;:VOLT4?\n", b"5.000000E-01;5.000000E-01;5.000000E-01\n"),
        (b":STAT:OPER:RUN:COND?;:INIT:IMM;:STAT:OPER:RUN:COND?\n", b"0;1\n"),
        (b":INST:MEM:EXT:RDIV DIV4;:INST:MEM:EXT:RDIV?\n", b"DIV4\n"),
        (b":TRAC1:MMOD INT;:TRAC1:MMOD?\n", b"INT\n"),
        (b":INST:DACM DUAL;:INST:DACM?\n", b"DUAL\n"),
    ],
)
def test_twin_understands_foreign_spellings(sent: bytes, answer: bytes) -> None:
    assert Rig().say(sent) == answer


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (b":TRAC1:DEF 1,1281\n", b"-222"),
        (b":TRAC1:DEF 1,1024\n", b"-222"),
        (b":TRAC1:DEF 1,1280;:TRAC1:DEF 1,1280\n", b"-222"),
        (b":TRAC1:DEF 1,1280;:TRAC1:DATA 1,1,#41280" + RAMP + b"\n", b"-223"),
        (b":TRAC1:DATA 9,0,#14abcd\n", b"-222"),
        (b":TRAC1:SEL 4\n", b"-222"),
        (b":FREQ:RAST 70E9\n", b"-222"),
        (b":VOLT1 0.05\n", b"-222"),
        (b":VOLT5 0.5\n", b"-114"),
        (b":INIT:IMM;:TRAC1:DEL:ALL\n", b"-221"),
        (b":FUNC1:MODE STS\n", b"-221"),
        (b":BOGUS\n", b"-113"),
    ],
)
def test_twin_reports_errors_by_their_numbers(sent: bytes, number: bytes) -> None:
    rig = Rig()
    assert rig.say(sent) == b""
    assert rig.error().startswith(number + b",")
    assert rig.error() == NO_ERROR


def test_granularity_follows_the_divider() -> None:
    rig = Rig()
    rig.say(b":INST:MEM:EXT:RDIV DIV4\n:TRAC1:DEF 1,1344\n")
    assert rig.error() == NO_ERROR


@pytest.mark.parametrize("order", [b":INST:DACM FOUR", b":FREQ:RAST 6E10"])
def test_change_of_mode_or_clock_stops_and_wipes(order: bytes) -> None:
    rig = Rig().loaded()
    rig.say(b":INIT:IMM\n" + order + b"\n")
    assert rig.say(b":STAT:OPER:RUN:COND?;:TRAC1:CAT?\n") == b"0;0,0\n"


def test_maker_makes_the_twin() -> None:
    bench = SimulatedBench()
    twin = MAKERS["Keysight M8195A"](TwinPlace(clock=bench.clock, serial="SIM1", parts={}))
    session = twin.session()
    session.feed(b"*IDN?\n")
    assert b"SIM1" in session.take()


def test_twin_survives_random_and_mutated_input() -> None:
    rig = Rig()
    good = [
        b":TRAC1:DEF 1,1280,0\n", b":TRAC1:DATA 1,0,#14abcd\n", b":TRAC1:SEL 1E300\n",
        b":ABOR\n:TRAC1:DEL:ALL\n", b":INIT:IMM\n:TRIG:BEG\n", b":VOLT1:AMPL 0.5\n",
        b":TRAC1:NAME 1,\"n\"\n:TRAC1:NAME? 1e40\n", b":TRAC1:DEF:NEW? 1280\n",
        b":FREQ:RAST 6E10\n",
    ]  # fmt: skip
    for message in rubbish(good, 10_000, seed=8195):
        rig.session.feed(message)
        rig.session.take()
    rig.session = rig.twin.session()
    assert rig.say(b"*CLS;*STB?\n") == b"0\n"
