"""The InfiniiVision driver against the bytes of the programmer's guides."""

import dataclasses
import logging

import numpy as np
import pytest

from drivers.catalogue import matching
from drivers.detectors.keysight_infiniivision import (
    MODELS,
    InfiniiVisionSettings,
    KeysightInfiniiVision,
)
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
    TraceError,
)
from drivers.instruments import DigitiserLimits, Identity, Trigger
from tests.wire.scripted import Script

NO_ERROR = b'+0,"No error"\n'
IDN = b"KEYSIGHT TECHNOLOGIES,DSO-X 4024A,MY50000001,07.20.2017102614\n"
GREETING = [(b"*CLS\n", b""), (b"*IDN?\n", IDN)]
STOP = (b":STOP;:SYST:ERR?\n", NO_ERROR)
STANDS = (b":OPER:COND?;:SYST:ERR?\n", b"0;" + NO_ERROR)
RUNS = (b":OPER:COND?;:SYST:ERR?\n", b"8;" + NO_ERROR)
OPENING = [*GREETING, STOP, STANDS]
CLOSING = [STOP, STANDS]
READING = b":WAV:SOUR CHAN1;:WAV:FORM BYTE;:WAV:UNS 1;:WAV:POIN:MODE RAW;:WAV:POIN 1000"
# 1 V of the converter's half span shows 2 * 199 / 256 V; 1000 points at 800 MSa/s take 1.25 us, and
# ten samples before the trigger are 12.5 ns.
SET_UP = (
    b":STOP;:ACQ:TYPE NORM;:CHAN1:DISP ON;:CHAN1:COUP DC;:CHAN1:PROB 1;:CHAN1:INV OFF;"
    b":CHAN1:BWL OFF;:CHAN1:RANG 1.5546875;:CHAN1:OFFS 0;:CHAN4:PROB 1;:CHAN4:COUP DC;"
    b":CHAN4:RANG 4;:CHAN4:OFFS 0.5;:TRIG:MODE EDGE;:TRIG:EDGE:SOUR CHAN4;:TRIG:EDGE:LEV 0.5;"
    b":TRIG:EDGE:SLOP POS;:TRIG:SWE NORM;:TIM:MODE MAIN;:TIM:REF CENT;:TIM:RANG 1.25E-06;"
    b":TIM:POS 6.125E-07;" + READING + b";:SYST:ERR?\n",
    NO_ERROR,
)
PREAMBLE = b"0,0,1000,1,+1.25000000E-009,-1.25000000E-008,0,+7.81250000E-003,+0.00000000E+000,128;"
FORM = (READING + b";:WAV:PRE?;:SYST:ERR?\n", PREAMBLE + NO_ERROR)
CONFIGURED = [SET_UP, FORM, FORM, FORM]
SINGLE = [
    (b":AER?;:SYST:ERR?\n", b"1;" + NO_ERROR),
    (b":TER?;:SYST:ERR?\n", b"1;" + NO_ERROR),
    (b":SING;:SYST:ERR?\n", NO_ERROR),
    (b":AER?;:SYST:ERR?\n", b"0;" + NO_ERROR),
    (b":AER?;:SYST:ERR?\n", b"1;" + NO_ERROR),
]
TRIGGERED = (b":TER?;:SYST:ERR?\n", b"1;" + NO_ERROR)


def driver(script: Script, settings: InfiniiVisionSettings | None = None) -> KeysightInfiniiVision:
    limits = MODELS[1].limits
    assert isinstance(limits, DigitiserLimits)
    return KeysightInfiniiVision(
        "tap", limits=limits, link=script.link(), clock=script.clock, settings=settings
    )


def block(codes: bytes) -> bytes:
    return b"#8%08d" % len(codes) + codes


def data(codes: bytes) -> list[tuple[bytes, bytes]]:
    return [(b":WAV:DATA?;:SYST:ERR?\n", block(codes) + b";" + NO_ERROR)]


def recorded(codes: bytes) -> Script:
    pairs = [*OPENING, *CONFIGURED, *SINGLE, STANDS, TRIGGERED, FORM, *data(codes), *CLOSING]
    return Script(pairs, step=7)


def test_infiniivision_gives_the_volts_from_the_trigger_on_when_an_edge_came() -> None:
    codes = bytes([128] * 10 + [129, 127, 10, 255, 1] + [128] * 985)
    script = recorded(codes)
    with driver(script) as scope:
        applied = scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        trace = scope.fetch()
    script.finish()
    assert applied.range_v == 128 * 7.8125e-3
    assert applied.sample_rate_hz == pytest.approx(800e6, rel=1e-12)
    step_v = np.float32(7.8125e-3)
    expected = np.array([1, -1, -118, 127, -127, 0], np.float32) * step_v
    assert trace.volts.shape == (1, 256)
    np.testing.assert_array_equal(trace.volts[0, :6], expected)
    assert trace.clipped == 2
    assert trace.step_v == step_v


def test_infiniivision_skips_samples_when_the_scope_records_finer() -> None:
    finer = (
        FORM[1].replace(b"0,0,1000", b"0,0,4000").replace(b"1.25000000E-009", b"3.12500000E-010")
    )
    pairs = [
        (sent, finer if sent == FORM[0] else answer)
        for sent, answer in [*CONFIGURED, *SINGLE, STANDS, TRIGGERED, FORM]
    ]
    codes = bytes(range(100, 140)) * 100
    script = Script([*OPENING, *pairs, *data(codes), *CLOSING])
    with driver(script) as scope:
        assert scope.configure(800e6, 256, 1.0).sample_rate_hz == pytest.approx(800e6)
        scope.arm(Trigger.EXTERNAL)
        volts = scope.fetch().volts[0]
    script.finish()
    # The record begins 12.5 ns = 40 samples before the trigger, and every fourth is taken.
    np.testing.assert_array_equal(
        volts[:3], np.float32(7.8125e-3) * np.array([-28, -24, -20], "f4")
    )


def test_infiniivision_takes_a_forced_record_when_memory_holds_another_form() -> None:
    stale = (FORM[0], FORM[1].replace(b"1.25000000E-009", b"2.00000000E-009"))
    force = (b":TRIG:FORC;:SYST:ERR?\n", NO_ERROR)
    trial = [stale, *SINGLE, force, RUNS, STANDS, FORM, FORM]
    script = Script([*OPENING, SET_UP, *trial, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
    script.finish()


def test_infiniivision_says_what_it_can_do_when_the_rate_does_not_come_out() -> None:
    other = (FORM[0], FORM[1].replace(b"1.25000000E-009", b"1.60000000E-009"))
    force = (b":TRIG:FORC;:SYST:ERR?\n", NO_ERROR)
    trial = [other, *SINGLE, force, STANDS, other, other]
    script = Script([*OPENING, SET_UP, *trial, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(ReadbackError, match=r"sample rate .* 625000000"):
        scope.configure(800e6, 256, 1.0)
    script.finish()


def test_infiniivision_asks_for_more_range_when_the_scope_rounded_it_down() -> None:
    less = (FORM[0], FORM[1].replace(b"7.81250000E-003", b"7.80000000E-003"))
    wider_v = 1.0 * 1.01 * 1.0 / (128 * 7.8e-3)
    again = SET_UP[0].replace(b"1.5546875", b"%.9G" % (2 * wider_v * 199 / 256))
    more = (FORM[0], FORM[1].replace(b"7.81250000E-003", b"%.8E" % (wider_v / 128)))
    force = (b":TRIG:FORC;:SYST:ERR?\n", NO_ERROR)
    trial = [less, *SINGLE, force, STANDS, less, (again, NO_ERROR), more, more, more]
    script = Script([*OPENING, SET_UP, *trial, *CLOSING])
    with driver(script) as scope:
        assert scope.configure(800e6, 256, 1.0).range_v == pytest.approx(wider_v)
    script.finish()


def test_infiniivision_takes_no_second_trial_when_it_knows_what_the_range_becomes() -> None:
    more = (FORM[0], FORM[1].replace(b"7.81250000E-003", b"8.00000000E-003"))
    force = (b":TRIG:FORC;:SYST:ERR?\n", NO_ERROR)
    trial = [more, *SINGLE, force, STANDS, more, more]
    script = Script([*OPENING, SET_UP, *trial, SET_UP, more, more, more, *CLOSING])
    with driver(script) as scope:
        for _ in range(2):
            assert scope.configure(800e6, 256, 1.0).range_v == pytest.approx(1.024)
    script.finish()


def test_infiniivision_refuses_the_record_when_it_was_stopped_by_hand() -> None:
    not_triggered = (b":TER?;:SYST:ERR?\n", b"0;" + NO_ERROR)
    script = Script([*OPENING, *CONFIGURED, *SINGLE, RUNS, STANDS, not_triggered, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match="stopped before its trigger"):
            scope.wait(1.0)
    script.finish()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (bytes([128] * 999 + [0]), None),
        (bytes([0] * 1000), "holes"),
        (bytes(999), "announced 1000"),
    ],
    ids=["hole outside", "holes", "short"],
)
def test_infiniivision_refuses_the_record_when_it_is_not_whole(
    codes: bytes, message: str | None
) -> None:
    script = recorded(codes)
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        if message is None:
            scope.fetch()
        else:
            with pytest.raises(TraceError, match=message):
                scope.fetch()
    script.finish()


def test_infiniivision_refuses_the_record_when_the_scope_was_set_otherwise_meanwhile() -> None:
    other = (FORM[0], FORM[1].replace(b"1.25000000E-009", b"1.60000000E-009"))
    script = Script([*OPENING, *CONFIGURED, *SINGLE, STANDS, TRIGGERED, other, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(TraceError, match="configure it again"):
            scope.fetch()
    script.finish()


def test_infiniivision_gives_up_when_it_is_never_armed() -> None:
    armed_never = [(b":AER?;:SYST:ERR?\n", b"0;" + NO_ERROR)] * 1001
    script = Script([*OPENING, *CONFIGURED, *SINGLE[:3], *armed_never, *CLOSING, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 256, 1.0)
        with pytest.raises(InstrumentError, match="not armed 2 s after"):
            scope.arm(Trigger.EXTERNAL)


def test_infiniivision_lists_the_errors_when_the_scope_refuses() -> None:
    refused = (SET_UP[0], b'-222,"Data out of range"\n')
    rest = [(b":SYST:ERR?\n", b'-113,"Undefined header"\n'), (b":SYST:ERR?\n", NO_ERROR)]
    script = Script([*OPENING, refused, *rest, *CLOSING, *CLOSING])
    message = "-222 Data out of range; -113 Undefined header"
    with driver(script) as scope, pytest.raises(RefusedError, match=message):
        scope.configure(800e6, 256, 1.0)
    script.finish()


@pytest.mark.parametrize("answer", [b"1,0,4;", b"0,0,1000,1,0,0,0,1,0,128;", b"zero;"])
def test_infiniivision_shows_the_answer_when_the_preamble_makes_no_sense(answer: bytes) -> None:
    garbage = (FORM[0], answer + NO_ERROR)
    script = Script([*OPENING, SET_UP, garbage, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(AnswerError, match="expected"):
        scope.configure(800e6, 256, 1.0)
    script.finish()


def test_infiniivision_is_refused_when_another_scope_answers() -> None:
    script = Script([(b"*CLS\n", b""), (b"*IDN?\n", b"TEKTRONIX,MSO58,C012345,1.30\n")])
    with pytest.raises(InstrumentError, match=r"InfiniiVision .*expected.*'TEKTRONIX,MSO58'"):
        driver(script).open()
    script.finish()


def test_infiniivision_names_the_deadline_when_nobody_answers() -> None:
    silence = [(b"*CLS\n", b""), (b"*IDN?\n", b"")]
    script = Script([*silence, *silence])
    with pytest.raises(LinkTimeoutError, match="within 1 s"):
        driver(script).open()
    script.finish()


@pytest.mark.parametrize(("chosen", "sent"), [("50 ohm", b"FIFT"), ("1 Mohm", b"ONEM")])
def test_infiniivision_sets_the_termination_when_the_bench_names_it(
    chosen: str, sent: bytes
) -> None:
    order = SET_UP[0].replace(b"NORM;:CHAN1:DISP", b"NORM;:CHAN1:IMP " + sent + b";:CHAN1:DISP")
    script = Script([*OPENING, (order, NO_ERROR), FORM, FORM, FORM, *CLOSING])
    settings = dataclasses.replace(InfiniiVisionSettings(), impedance=chosen)  # type: ignore[arg-type]
    with driver(script, settings) as scope:
        scope.configure(800e6, 256, 1.0)
    script.finish()


@pytest.mark.parametrize("channel", [0, 9])
def test_scope_settings_are_refused_when_there_is_no_such_input(channel: int) -> None:
    with pytest.raises(ConfigurationError, match="trigger_channel"):
        InfiniiVisionSettings(trigger_channel=channel)


@pytest.mark.parametrize(
    ("said", "model"),
    [
        ("MSO-X 3024T", "Keysight MSOX3024T"),
        ("DSO-X 4024A", "Keysight DSOX4024A"),
        ("DSO-X 6004A", "Keysight DSOX6004A"),
    ],
)
def test_infiniivision_is_found_when_it_says_who_it_is(said: str, model: str) -> None:
    identity = Identity(maker="KEYSIGHT TECHNOLOGIES", model=said, serial="MY1", firmware="7")
    assert [one.model for one in matching(identity)] == [model]


def test_infiniivision_says_nothing_of_experiments_when_connecting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script([*OPENING, *CLOSING])
    with caplog.at_level(logging.WARNING), driver(script) as scope:
        assert not scope.simulated
    assert not caplog.records
