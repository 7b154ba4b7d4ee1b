"""The MSO5/6 driver against the bytes of the programmer's manual."""

import struct

import numpy as np
import pytest

from drivers.catalogue import matching
from drivers.detectors.tektronix_mso56 import MODELS, TektronixMso56
from drivers.errors import (
    AnswerError,
    InstrumentError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
    TraceError,
)
from drivers.instruments import DigitiserLimits, Identity, Trigger
from tests.wire.scripted import Script

Pair = tuple[bytes, bytes]

IDN = b"TEKTRONIX,MSO54,C012345,CF:91.1CT FV:1.30.2\n"
GREETING = [(b"*CLS\n", b""), (b"HEADer OFF\n", b""), (b"*IDN?\n", IDN)]
STOP = (b":ACQuire:STATE OFF;*ESR?\n", b"0\n")


def state(name: bytes) -> Pair:
    return (b":TRIGger:STATE?;*ESR?\n", name + b";0\n")


SAVE, READY = state(b"SAVE"), state(b"READY")
OPENING = [*GREETING, STOP, SAVE]
CLOSING = [STOP, SAVE]
SET_UP = (
    b":ACQuire:STATE OFF;:ACQuire:MODe SAMple;:ACQuire:STOPAfter SEQuence;"
    b":DISplay:GLObal:CH1:STATE ON;:CH1:COUPling DC;:CH1:BANdwidth FULl;:CH1:POSition 0;"
    b":CH1:OFFSet 0;:CH1:SCAle 0.01;:HORizontal:MODe MANual;"
    b":HORizontal:MODe:SAMPLERate 625000000;:HORizontal:MODe:RECOrdlength 1000;"
    b":TRIGger:A:TYPe EDGE;:TRIGger:A:EDGE:SOUrce CH4;:TRIGger:A:EDGE:SLOpe RISe;"
    b":TRIGger:A:LEVel:CH4 0.5;:TRIGger:A:MODe NORMal;*ESR?\n",
    b"0\n",
)
ASK_FORM = (
    b":DATa:SOUrce CH1;:DATa:ENCdg SRIbinary;:DATa:WIDth 2;:DATa:STARt 1;:DATa:STOP 1000;"
    b":WFMOutpre:XINcr?;:WFMOutpre:XZEro?;:WFMOutpre:PT_Off?;:WFMOutpre:YMUlt?;:WFMOutpre:YOFf?;"
    b":WFMOutpre:YZEro?;:WFMOutpre:NR_Pt?;*ESR?\n"
)
FORM = (ASK_FORM, b"1.6000E-9;-800.0000E-9;0;1.5625E-6;0.0E+0;0.0E+0;1000;0\n")
CONFIGURED = [SET_UP, FORM, FORM, FORM]
STARTED = [(b":ACQuire:STATE ON;*ESR?\n", b"0\n"), state(b"ARMED"), READY]
COUNTED = (b":ACQuire:NUMACq?;*ESR?\n", b"1;0\n")
FORCE = (b":TRIGger FORCe;*ESR?\n", b"0\n")
RANGE_V = 51.2e-3


def driver(script: Script) -> TektronixMso56:
    limits = MODELS[0].limits
    assert isinstance(limits, DigitiserLimits)
    return TektronixMso56("tap", limits=limits, link=script.link(), clock=script.clock)


def curve(start: int, stop: int, block: bytes) -> list[Pair]:
    order = b":DATa:STARt %d;:DATa:STOP %d;*ESR?\n" % (start, stop)
    return [(order, b"0\n"), (b"CURVe?;*ESR?\n", block + b";0\n")]


@pytest.mark.parametrize(
    ("form", "start"),
    [
        (FORM[1], 501),
        (b"1.6000E-9;-8.0000E-10;500;1.5625E-6;0.0E+0;0.0E+0;1000;0\n", 501),
        (b"1.6000E-9;0.0E+0;400;1.5625E-6;0.0E+0;0.0E+0;1000;0\n", 401),
    ],
    ids=["time of the first sample", "fraction at the trigger", "trigger moved"],
)
def test_mso5_reads_the_samples_from_the_trigger_on_when_an_edge_came(
    form: bytes, start: int
) -> None:
    # The manual's words 0, 1000h, F000h, 7FFFh are 0, 6.4, -6.4 and 51.2 mV.
    described = (ASK_FORM, form)
    words = bytes.fromhex("0000 0010 00f0 ff7f")
    script = Script(
        [
            *OPENING,
            *[SET_UP, described, described, described],
            *STARTED,
            SAVE,
            COUNTED,
            described,
            *curve(start, start + 3, b"#18" + words),
            *CLOSING,
        ],
        step=5,
    )
    with driver(script) as scope:
        applied = scope.configure(625e6, 4, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        trace = scope.fetch()
    script.finish()
    assert applied.sample_rate_hz == pytest.approx(625e6, rel=1e-12)
    assert applied.range_v == pytest.approx(RANGE_V, rel=1e-9)
    np.testing.assert_allclose(trace.volts[0], [0, 6.4e-3, -6.4e-3, 51.2e-3], rtol=4e-5)
    assert trace.step_v == pytest.approx(2 * RANGE_V / 4096)
    assert trace.clipped == 1


def test_mso5_adds_the_position_when_the_preamble_names_it() -> None:
    shifted = (ASK_FORM, b"1.6E-9;-8.0E-7;0;1.5625E-6;16;2.0E-3;1000;0\n")
    words = struct.pack("<2h", 16, -32768)
    pairs = [SET_UP, shifted, shifted, shifted, *STARTED, SAVE, COUNTED, shifted]
    script = Script([*OPENING, *pairs, *curve(501, 502, b"#14" + words), *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 2, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        trace = scope.fetch()
    script.finish()
    np.testing.assert_allclose(trace.volts[0], [2e-3, (-32768 - 16) * 1.5625e-6 + 2e-3], rtol=1e-6)
    assert trace.clipped == 1


def test_mso5_takes_a_forced_record_when_there_is_none_yet() -> None:
    none = (ASK_FORM, b"16\n")
    events = (b"ALLEv?\n", b'2244,"Waveform request is invalid"\n')
    trial = [none, events, *STARTED, FORCE, READY, SAVE, FORM, FORM]
    script = Script([*OPENING, SET_UP, *trial, *CLOSING])
    with driver(script) as scope:
        assert scope.configure(625e6, 4, RANGE_V).samples == 4
    script.finish()


def test_mso5_says_so_when_the_rate_does_not_come_out() -> None:
    other = (ASK_FORM, FORM[1].replace(b"1.6000E-9", b"1.2800E-9"))
    trial = [other, *STARTED, FORCE, SAVE, other, other]
    script = Script([*OPENING, SET_UP, *trial, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(ReadbackError, match=r"sample rate .* 781250000"):
        scope.configure(625e6, 4, RANGE_V)
    script.finish()


def test_mso5_refuses_the_record_when_it_was_stopped_by_hand() -> None:
    none = (COUNTED[0], b"0;0\n")
    script = Script([*OPENING, *CONFIGURED, *STARTED, READY, SAVE, none, *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 4, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match="stopped before its trigger"):
            scope.wait(1.0)
    script.finish()


def test_mso5_refuses_the_record_when_it_is_short() -> None:
    pairs = [*CONFIGURED, *STARTED, SAVE, COUNTED, FORM, *curve(501, 504, b"#16" + bytes(6))]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 4, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(TraceError, match="6 bytes came, 4 samples"):
            scope.fetch()
    script.finish()


def test_mso5_lists_the_events_when_there_is_no_curve() -> None:
    ask = curve(501, 504, b"")[0]
    answers = [(b"CURVe?;*ESR?\n", b"16\n"), (b"ALLEv?\n", b'2244,"Source is not active"\n')]
    pairs = [*CONFIGURED, *STARTED, SAVE, COUNTED, FORM, ask, *answers]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 4, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(RefusedError, match=r"'CURVe\?' was refused: 2244"):
            scope.fetch()
    script.finish()


@pytest.mark.parametrize("answer", [b"0\n", b"1,2;0\n", b"hello\n", b"#18;0\n"])
def test_mso5_asks_for_the_curve_again_when_its_answer_is_damaged(answer: bytes) -> None:
    ask, good = curve(501, 504, b"#18" + bytes(8))
    pairs = [*CONFIGURED, *STARTED, SAVE, COUNTED, FORM, ask]
    again = [(good[0], answer), *GREETING, good]
    script = Script([*OPENING, *pairs, *again, *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 4, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        assert not scope.fetch().volts.any()
    script.finish()


def test_mso5_lists_the_events_when_an_order_is_refused() -> None:
    refused = (SET_UP[0], b"48\n")
    events = (b"ALLEv?\n", b'113,"Undefined header; X",222,"Data out of range"\n')
    script = Script([*OPENING, refused, events, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(RefusedError, match=r"113.*Undefined.*222.*range"):
        scope.configure(625e6, 4, RANGE_V)
    script.finish()


def test_mso5_ignores_the_register_when_it_only_tells_of_power_and_completion() -> None:
    script = Script([*GREETING, (STOP[0], b"193\n"), SAVE, *CLOSING])
    with driver(script) as scope:
        assert scope.is_open
    script.finish()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"DREAMING;0\n", "DREAMING"),
        (b"SAVE\n", "event register"),
        (b"SAVE;SAVE;0\n", "1 answers"),
        (b"\xff\xfe;0\n", "ff fe"),
    ],
    ids=["unknown state", "no register", "two answers", "binary"],
)
def test_mso5_shows_the_answer_when_it_makes_no_sense(answer: bytes, message: str) -> None:
    garbage = (SAVE[0], answer)
    begin = [*GREETING, STOP, garbage]
    again = [*GREETING, garbage] if b";0" not in answer else []
    script = Script([*begin, *again])
    with pytest.raises(InstrumentError, match=message) as raised:
        driver(script).open()
    assert isinstance(raised.value.__cause__, AnswerError)


def test_mso5_gives_up_when_it_is_never_ready() -> None:
    filling = [state(b"ARMED")] * 1001
    script = Script([*OPENING, *CONFIGURED, STARTED[0], *filling, *CLOSING, *CLOSING])
    with driver(script) as scope:
        scope.configure(625e6, 4, RANGE_V)
        with pytest.raises(InstrumentError, match="not ready 2 s after"):
            scope.arm(Trigger.EXTERNAL)


def test_mso5_is_refused_when_another_scope_answers() -> None:
    stranger = (b"*IDN?\n", b"TEKTRONIX,DPO4034,C1,FV:1\n")
    script = Script([*GREETING[:2], stranger])
    with pytest.raises(InstrumentError, match=r"5 or 6 Series MSO.*'TEKTRONIX,DPO4034'"):
        driver(script).open()
    script.finish()


def test_mso5_names_the_deadline_when_nobody_answers() -> None:
    silence = [*GREETING[:2], (b"*IDN?\n", b"")]
    script = Script([*silence, *silence])
    with pytest.raises(LinkTimeoutError, match="within 1 s"):
        driver(script).open()
    script.finish()


@pytest.mark.parametrize("model", ["MSO54", "MSO58", "MSO64", "MSO66B"])
def test_mso5_is_found_when_it_says_who_it_is(model: str) -> None:
    identity = Identity(maker="TEKTRONIX", model=model, serial="C1", firmware="1")
    assert [one.model for one in matching(identity)] == [f"Tektronix {model[:4]}4"]
    assert matching(identity)[0].experimental
