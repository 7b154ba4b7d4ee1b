"""The RTO driver against the bytes of the user manuals."""

import dataclasses
import logging

import numpy as np
import pytest

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import matching
from drivers.detectors.rohde_schwarz_rto import MODELS, RohdeSchwarzRto, RtoSettings
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    ReadbackError,
    RefusedError,
    TraceError,
)
from drivers.instruments import DigitiserLimits, Identity, Trigger
from drivers.transports.pool import LinkPool
from tests.wire.scripted import Script, ScriptedClock

Pair = tuple[bytes, bytes]

NO_ERROR = b'0,"No error"\n'
IDN = b"Rohde&Schwarz,RTO,1316.1000k14/200153,3.70.1.0\n"
GREETING = [(b"*CLS\n", b""), (b"*IDN?\n", IDN)]
TAIL = b";:SYST:ERR:NEXT?\n"
STOP = (b":STOP" + TAIL, NO_ERROR)


def condition(bits: int) -> Pair:
    return (b":STAT:OPER:COND?" + TAIL, b"%d;" % bits + NO_ERROR)


def count(done: int) -> Pair:
    return (b":ACQ:CURR?" + TAIL, b"%d;" % done + NO_ERROR)


STANDS = condition(0)
OPENING = [*GREETING, STOP, STANDS]
CLOSING = [STOP, STANDS]
READING = b":FORM:DATA INT,8;:EXP:WAV:INCX OFF;:EXP:WAV:MULT OFF"
READY = (b"*OPC?" + TAIL, b"1;" + NO_ERROR)
# 128 codes of 110 mV x 10 / 253 are the manual's example: 110 mV per division.
RANGE_V = 128 * 0.11 * 10 / 253
SET_UP = (
    b":STOP;:CHAN1:STAT ON;:CHAN1:RANG 1.1;:CHAN1:POS 0;:CHAN1:OFFS 0;:TIM:RANG 1.25E-06;"
    b":ACQ:SRAT 800000000;:ACQ:COUN 1;:TRIG1:SOUR CHAN4;:TRIG1:LEV4 0.5;" + READING + TAIL,
    NO_ERROR,
)
ASK_FORM = (
    b":CHAN1:DATA:HEAD?;:CHAN1:SCAL?;:CHAN1:OFFS?;:CHAN1:POS?;:ACQ:SRAT?" + TAIL
)  # fmt: skip


def form(text: bytes) -> Pair:
    return (ASK_FORM, text + b";" + NO_ERROR)


FORM = form(b"-6.25E-07,6.25E-07,1000,1;0.11;0;0;800000000")
CONFIGURED = [SET_UP, READY, FORM, FORM, FORM]
STARTED = [(b":TRIG:MODE NORM;:SING" + TAIL, NO_ERROR), condition(0), condition(8)]
FORCED = [(b":TRIG:MODE FRE;:SING" + TAIL, NO_ERROR), condition(0), count(1), STANDS]


def data(codes: bytes) -> list[Pair]:
    block = b"#%d%d" % (len(str(len(codes))), len(codes)) + codes
    return [(READING + TAIL, NO_ERROR), READY, (b":CHAN1:DATA?" + TAIL, block + b";" + NO_ERROR)]


def driver(script: Script, settings: RtoSettings | None = None) -> RohdeSchwarzRto:
    limits = MODELS[0].limits
    assert isinstance(limits, DigitiserLimits)
    return RohdeSchwarzRto(
        "tap", limits=limits, link=script.link(), clock=script.clock, settings=settings
    )


@pytest.mark.parametrize(
    ("described", "volts"),
    [
        # The manual's own check: 110 mV/div, 50 mV offset, 1 division, code 13 is -3.478 mV.
        (b"-6.25E-07,6.25E-07,1000,1;0.11;0.05;1;800000000", -3.478e-3),
        (b"-6.25E-07,6.2375E-07,1000,1;0.11;0;0;800000000", 13 * 1.1 / 253),
    ],
    ids=["end beyond the last sample", "end at the last sample"],
)
def test_rto_gives_the_volts_of_the_manual_when_a_record_is_fetched(
    described: bytes, volts: float
) -> None:
    here = form(described)
    codes = bytes(500) + bytes([13, 0x80, 0x7F, 0]) + bytes(496)
    pairs = [SET_UP, READY, here, here, here, *STARTED, STANDS, count(1), here, *data(codes)]
    script = Script([*OPENING, *pairs, *CLOSING], step=6)
    with driver(script) as scope:
        applied = scope.configure(800e6, 300, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        trace = scope.fetch()
    script.finish()
    assert applied.sample_rate_hz == pytest.approx(800e6, rel=1e-12)
    assert applied.range_v == pytest.approx(RANGE_V)
    assert trace.volts[0, 0] == pytest.approx(volts, abs=1e-6)
    assert trace.clipped == 2
    assert trace.step_v == pytest.approx(2 * RANGE_V / 256)


def test_rto_takes_a_free_running_record_when_there_is_none_yet() -> None:
    refused = (ASK_FORM, b';-230,"Data stale"\n')
    empty = (b":SYST:ERR:NEXT?\n", NO_ERROR)
    script = Script([*OPENING, SET_UP, READY, refused, empty, *FORCED, FORM, FORM, *CLOSING])
    with driver(script) as scope:
        assert scope.configure(800e6, 300, RANGE_V).samples == 300
    script.finish()


def test_rto_says_so_when_the_rate_does_not_come_out() -> None:
    other = form(b"-6.25E-07,6.25E-07,1250,1;0.11;0;0;1000000000")
    pairs = [SET_UP, READY, other, *FORCED, other, other]
    script = Script([*OPENING, *pairs, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(ReadbackError, match="sample rate"):
        scope.configure(800e6, 300, RANGE_V)
    script.finish()


@pytest.mark.parametrize(
    "text",
    [
        b"-6.25E-07,6.25E-07,1000,2;0.11;0;0;800000000",
        b"-6.25E-07,6.25E-07,1000;0.11;0;0;800000000",
        b"-6.25E-07,6.25E-07,1000,1;0.11;0;0",
        b"a,b,c,d;0.11;0;0;800000000",
        b"1,0,1000,1;0.11;0;0;800000000",
    ],
    ids=["envelope", "short header", "field missing", "no numbers", "backwards"],
)
def test_rto_shows_the_answer_when_the_header_makes_no_sense(text: bytes) -> None:
    script = Script([*OPENING, SET_UP, READY, form(text), *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(AnswerError, match=r"tap: .*(record|expected)"):
        scope.configure(800e6, 300, RANGE_V)
    script.finish()


def test_rto_refuses_the_record_when_it_was_stopped_by_hand() -> None:
    pairs = [*CONFIGURED, *STARTED, condition(8), STANDS, count(0)]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 300, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match="stopped before its trigger"):
            scope.wait(1.0)
    script.finish()


def test_rto_refuses_the_record_when_it_is_short() -> None:
    pairs = [*CONFIGURED, *STARTED, STANDS, count(1), FORM, *data(bytes(999))]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 300, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        with pytest.raises(TraceError, match="999 samples came"):
            scope.fetch()
    script.finish()


def test_rto_gives_up_when_it_never_waits() -> None:
    script = Script([*OPENING, *CONFIGURED, STARTED[0], *[STANDS] * 1001, *CLOSING, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 300, RANGE_V)
        with pytest.raises(InstrumentError, match="does not wait"):
            scope.arm(Trigger.EXTERNAL)


def test_rto_lists_the_errors_when_an_order_is_refused() -> None:
    refused = (SET_UP[0], b'-222,"Data out of range;:CHAN1:RANG"\n')
    rest = [(b":SYST:ERR:NEXT?\n", NO_ERROR)]
    script = Script([*OPENING, refused, *rest, *CLOSING, *CLOSING])
    with driver(script) as scope, pytest.raises(RefusedError, match="-222 Data out of range"):
        scope.configure(800e6, 300, RANGE_V)
    script.finish()


def test_rto_takes_the_serial_number_from_behind_the_part_number_when_opened() -> None:
    script = Script([*OPENING, *CLOSING])
    with driver(script) as scope:
        assert scope.identity.serial == "200153"
        assert not scope.simulated
    script.finish()


def test_rto_is_refused_when_another_scope_answers() -> None:
    script = Script([GREETING[0], (b"*IDN?\n", b"Rohde&Schwarz,RTH,1317k04/1,1.0\n")])
    with pytest.raises(InstrumentError, match=r"RTO or RTP.*'Rohde&Schwarz,RTH'"):
        driver(script).open()
    script.finish()


@pytest.mark.parametrize(("chosen", "sent"), [("50 ohm", b"DC"), ("1 Mohm", b"DCL")])
def test_rto_sets_the_termination_when_the_bench_names_it(chosen: str, sent: bytes) -> None:
    order = SET_UP[0].replace(b"STAT ON;", b"STAT ON;:CHAN1:COUP " + sent + b";")
    script = Script([*OPENING, (order, NO_ERROR), *CONFIGURED[1:], *CLOSING])
    settings = dataclasses.replace(RtoSettings(), impedance=chosen)  # type: ignore[arg-type]
    with driver(script, settings) as scope:
        scope.configure(800e6, 300, RANGE_V)
    script.finish()


def entry(**settings: object) -> InstrumentEntry:
    return InstrumentEntry(
        bench="b",
        party="client",
        role="tap_digitiser",
        model=MODELS[0].model,
        backend="visa",
        address="TCPIP0::192.0.2.1::5025::SOCKET",
        serial="",
        channel=2,
        settings=settings,
    )


def test_rto_is_made_closed_and_experimental_when_a_bench_names_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ScriptedClock()
    context = BuildContext(limits=MODELS[0].limits, clock=clock, links=LinkPool(clock))
    instrument = MODELS[0](entry(trigger_channel=3, trigger_level_v=-0.2), context)
    assert isinstance(instrument, RohdeSchwarzRto)
    assert not instrument.is_open
    assert MODELS[0].experimental
    with pytest.raises(ConfigurationError, match="trigger_channel is 2, the detector is on"):
        MODELS[0](entry(trigger_channel=2), context)
    assert not caplog.records


def test_rto_warns_when_it_is_connected(caplog: pytest.LogCaptureFixture) -> None:
    script = Script([*OPENING, *CLOSING])
    scope = driver(script)
    scope.warn_experimental("confidence medium")
    with caplog.at_level(logging.WARNING), scope:
        pass
    assert "is experimental: confidence medium" in caplog.text


def test_rto_is_found_when_it_says_who_it_is() -> None:
    identity = Identity(maker="Rohde&Schwarz", model="RTP", serial="1", firmware="1")
    assert [one.model for one in matching(identity)] == ["Rohde & Schwarz RTP"]


def test_rto_gives_int8_codes_as_signed_when_negative() -> None:
    codes = bytes(500) + np.array([-61, 61], np.int8).tobytes() + bytes(498)
    pairs = [*CONFIGURED, *STARTED, STANDS, count(1), FORM, *data(codes)]
    script = Script([*OPENING, *pairs, *CLOSING])
    with driver(script) as scope:
        scope.configure(800e6, 300, RANGE_V)
        scope.arm(Trigger.EXTERNAL)
        volts = scope.fetch().volts
    np.testing.assert_allclose(volts[0, :2], np.array([-61, 61]) * 1.1 / 253, rtol=1e-6)
