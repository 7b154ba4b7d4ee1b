"""The Infiniium driver against the bytes of the programmer's guides."""

import struct

import numpy as np
import pytest

from drivers.catalogue import matching
from drivers.detectors.keysight_infiniium import MODELS, KeysightInfiniium
from drivers.errors import (
    AnswerError,
    InstrumentError,
    ReadbackError,
    RefusedError,
    TraceError,
)
from drivers.instruments import DigitiserLimits, Identity, Trigger
from tests.wire.scripted import Script

Pair = tuple[bytes, bytes]

NO_ERROR = b'0,"No error"\n'
TAIL = b";:SYST:ERR? STRING\n"
IDN = b"KEYSIGHT TECHNOLOGIES,DSOS204A,MY55410103,06.20.00801\n"
GREETING = [(b":SYST:HEAD OFF\n", b""), (b"*CLS\n", b""), (b"*IDN?\n", IDN)]
STOP = (b":STOP" + TAIL, NO_ERROR)


def answered(query: bytes, answer: bytes) -> Pair:
    return (query + TAIL, answer + b";" + NO_ERROR)


STANDS, WAITS = answered(b":RST?", b"STOP"), answered(b":RST?", b"SING")
OPENING = [*GREETING, STOP, STANDS]
CLOSING = [STOP, STANDS]
READING = b":WAV:SOUR CHAN1;:WAV:FORM WORD;:WAV:BYT LSBF;:WAV:STR OFF"
# 1000 points at 800 MSa/s are 1.25 us, and 100 samples before the trigger are 125 ns.
SET_UP = (
    b":STOP;:ACQ:MODE RTIM;:CHAN1:DISP ON;:CHAN1:RANG 1.875;:CHAN1:OFFS 0;:TIM:REF CENT;"
    b":TIM:RANG 1.25E-06;:TIM:POS 5E-07;:ACQ:SRAT 800000000;:ACQ:POIN 1000;:TRIG:MODE EDGE;"
    b":TRIG:EDGE:SOUR CHAN4;:TRIG:EDGE:SLOP POS;:TRIG:LEV CHAN4,0.5;" + READING + TAIL,
    NO_ERROR,
)
REST = (
    b'3,1.25E-06,-1.25E-07,1.875,-0.9375,"12 MAR 2013","12:34:56:78","DSOS204A:MY55410103",'
    b"2,100,2,1,2.0E+09,0.0E+00"
)


def form(begin: bytes) -> Pair:
    return answered(READING + b";:WAV:PRE?", begin + b"," + REST)


FORM = form(b"2,1,1000,0,1.25E-09,-1.25E-07,0,3.0517578125E-05,0.0E+00,0")
CONFIGURED = [SET_UP, FORM, FORM, FORM]
CLEARED = [answered(b":AER?", b"1"), answered(b":ADER?", b"1")]
ARMED = [answered(b":AER?", b"0"), answered(b":AER?", b"1")]
STARTED = [*CLEARED, (b":TRIG:SWE TRIG;:SING" + TAIL, NO_ERROR), *ARMED]
FORCED = [*CLEARED, (b":TRIG:SWE AUTO;:SING" + TAIL, NO_ERROR), *ARMED, WAITS, STANDS]
RECORDED = answered(b":ADER?", b"1")


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def data(payload: bytes) -> list[Pair]:
    block = b"#%d%d" % (len(str(len(payload))), len(payload)) + payload
    return [answered(b":WAV:DATA?", block)]


def driver(script: Script) -> KeysightInfiniium:
    limits = MODELS[0].limits
    assert isinstance(limits, DigitiserLimits)
    return KeysightInfiniium("tap", limits=limits, link=script.link(), clock=script.clock)


def test_infiniium_gives_the_volts_from_the_trigger_on_when_an_edge_came() -> None:
    payload = words(*[0] * 100, 64, -64, 16384, 32256, -31168, *[0] * 895)
    pairs = [*CONFIGURED, *STARTED, WAITS, STANDS, RECORDED, FORM, *data(payload)]
    script = Script([*OPENING, *pairs, *CLOSING], step=9)
    with driver(script) as scope:
        applied = scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        scope.wait(1.0)
        trace = scope.fetch()
    script.finish()
    assert applied.sample_rate_hz == pytest.approx(800e6)
    assert applied.range_v == 1.0
    volts = np.array([64, -64, 16384, 32256, -31168], np.float32) / 32768
    np.testing.assert_array_equal(trace.volts[0, :5], volts)
    # A converter of 10 bits: 1024 codes over 2 V.
    assert trace.step_v == 2 / 1024
    assert trace.clipped == 2


def test_infiniium_takes_a_record_in_auto_when_memory_holds_another_form() -> None:
    stale = form(b"2,1,1000,0,5E-11,-2.5E-08,0,3.0517578125E-05,0.0E+00,0")
    refused = (stale[0], b';-230,"Data corrupt"\n')
    empty = (b":SYST:ERR? STRING\n", NO_ERROR)
    for before in ([stale], [refused, empty]):
        script = Script([*OPENING, SET_UP, *before, *FORCED, FORM, FORM, *CLOSING])
        with driver(script) as scope:
            assert scope.configure(800e6, 256, 1.0).samples == 256
        script.finish()


def test_infiniium_says_so_when_the_rate_does_not_come_out() -> None:
    other = form(b"2,1,1000,0,1E-09,-1E-07,0,3.0517578125E-05,0.0E+00,0")
    script = Script([*OPENING, SET_UP, other, *FORCED, other, other, *CLOSING, *CLOSING])
    with (
        driver(script) as scope,
        pytest.raises(ReadbackError, match=r"rate .* 999999999\.9"),
    ):
        scope.configure(800e6, 256, 1.0)
    script.finish()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"1,1,1000,0,1.25E-09,-1.25E-07,0,3E-05,0,0," + REST, "record of words"),
        (b"2,1,1000,0,1.25E-09,-1.25E-07,0,3E-05,0,0", "24 fields"),
        (b"2,1,x,0,1.25E-09,-1.25E-07,0,3E-05,0,0," + REST, "a number"),
    ],
    ids=["bytes", "short", "no number"],
)
def test_infiniium_shows_the_answer_when_the_preamble_makes_no_sense(
    answer: bytes, message: str
) -> None:
    garbage = answered(READING + b";:WAV:PRE?", answer)
    script = Script([*OPENING, SET_UP, garbage, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(AnswerError, match=message):
        scope.configure(800e6, 256, 1.0)
    script.finish()


def test_infiniium_refuses_the_record_when_it_was_stopped_by_hand() -> None:
    pairs = [*CONFIGURED, *STARTED, WAITS, STANDS, answered(b":ADER?", b"0")]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match="stopped before its trigger"):
            scope.wait(1.0)
    script.finish()


def test_infiniium_refuses_the_record_when_it_is_short() -> None:
    pairs = [*CONFIGURED, *STARTED, STANDS, RECORDED, FORM, *data(bytes(1998))]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(TraceError, match="1998 bytes came"):
            scope.fetch()
    script.finish()


def test_infiniium_gives_up_when_it_is_never_armed() -> None:
    never = [answered(b":AER?", b"0")] * 1001
    script = Script([*OPENING, *CONFIGURED, *STARTED[:3], *never, *CLOSING, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        with pytest.raises(InstrumentError, match="not armed 2 s after"):
            scope.arm(Trigger.EXTERNAL)


def test_infiniium_shows_the_state_when_it_is_unknown() -> None:
    script = Script([*GREETING, STOP, answered(b":RST?", b"WALK")])
    with pytest.raises(InstrumentError, match="its run state is 'WALK'"):
        driver(script).open()
    script.finish()


def test_infiniium_lists_the_errors_when_an_order_is_refused() -> None:
    refused = (SET_UP[0], b'-222,"Data out of range"\n')
    rest = (b":SYST:ERR? STRING\n", NO_ERROR)
    script = Script([*OPENING, refused, rest, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(RefusedError, match="-222 Data out of range"):
        scope.configure(800e6, 256, 1.0)
    script.finish()


def test_infiniium_is_refused_when_another_scope_answers() -> None:
    stranger = (b"*IDN?\n", b"KEYSIGHT TECHNOLOGIES,DSO-X 4024A,MY1,07\n")
    script = Script([*GREETING[:2], stranger])
    with pytest.raises(InstrumentError, match=r"Infiniium.*'KEYSIGHT TECHNOLOGIES,DSO-X 4024A'"):
        driver(script).open()
    script.finish()


@pytest.mark.parametrize(
    ("said", "model"), [("MSOS404A", "DSOS204A"), ("DSAV164A", "DSOV084A")], ids=["S", "V"]
)
def test_infiniium_is_found_when_it_says_who_it_is(said: str, model: str) -> None:
    identity = Identity(maker="KEYSIGHT TECHNOLOGIES", model=said, serial="MY1", firmware="6")
    (found,) = matching(identity)
    assert found.model == f"Keysight {model}"
    assert found.experimental
