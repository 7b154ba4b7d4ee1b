"""The InfiniiVision twin against the programmer's guides, in raw bytes."""

import re

import numpy as np
import pytest

from drivers.detectors.keysight_infiniivision import MODELS, KeysightInfiniiVision
from drivers.instruments import DigitiserLimits, Trigger
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, TwinPlace
from sim_backend.wire.twins.keysight_infiniivision import MAKERS, KeysightInfiniiVisionTwin
from tests.wire.ramp_scene import RampScene
from tests.wire.rigs import loopback_link

SLOPE = 1e6


def twin(scene: RampScene | None = None) -> KeysightInfiniiVisionTwin:
    return KeysightInfiniiVisionTwin(
        model="DSO-X 4024A",
        clock=SimulatedClock() if scene is None else scene.clock,
        serial="SIM01",
        parts={} if scene is None else {1: scene.part("detector")},
    )


def ask(session: Session, text: str) -> bytes:
    session.feed(text.encode() + b"\n")
    return session.take()


def told(session: Session, *orders: str) -> None:
    for order in orders:
        assert ask(session, order) == b"", order
    assert ask(session, ":SYST:ERR?") == b'+0,"No error"\n'


def force(session: Session, clock: SimulatedClock) -> None:
    told(session, ":TRIG:SWE NORM", ":SING")
    assert ask(session, ":OPER:COND?") == b"8\n"
    told(session, ":TRIG:FORC")
    clock.sleep(1.0)
    assert ask(session, ":OPER:COND?") == b"0\n"


def test_infiniivision_twin_follows_the_guide_when_a_forced_record_is_read() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, "*RST", ":CHAN1:RANG 1.6", ":TIM:RANG 1E-6", ":TRIG:EDGE:SOUR CHAN1")
    told(session, ":ACQ:TYPE NORM", ":WAV:POIN:MODE RAW", ":WAV:POIN 100")
    force(session, scene.clock)
    told(session, ":WAV:SOUR CHAN1", ":WAV:FORM WORD", ":WAV:BYT LSBF", ":WAV:UNS 1")
    preamble = ask(session, ":WAV:PRE?")
    assert preamble == (
        b"1,0,100,1,+1.00000000E-008,-5.00000000E-007,0,+3.14070352E-005,+0.00000000E+000,32768\n"
    )
    data = ask(session, ":WAV:DATA?")
    assert data[:10] == b"#800000200"
    assert data[-1:] == b"\n"
    words = np.frombuffer(data[10:-1], "<u2")
    # 10 ns per point on a ramp of 1 V/us from -0.5 V, in codes of 1.6 V / 199, moved left by 8.
    expected = np.rint((np.arange(100) * 10e-9 - 0.5e-6) * SLOPE / (1.6 / 199)) + 128
    np.testing.assert_array_equal(words, expected.astype(np.uint16) << 8)


def test_infiniivision_twin_marks_the_ends_when_the_signal_is_too_large() -> None:
    scene = RampScene(detector=100 * SLOPE)
    session = twin(scene).session()
    told(session, ":CHAN1:RANG 1.6", ":TIM:RANG 1E-6", ":WAV:POIN 100")
    force(session, scene.clock)
    codes = np.frombuffer(ask(session, ":WAV:DATA?")[10:-1], np.uint8)
    assert (codes[0], codes[50], codes[-1]) == (1, 128, 255)


@pytest.mark.parametrize(
    ("setting", "first", "second"),
    [
        (":WAV:FORM BYTE", b"\x42\x42", None),
        (":WAV:FORM WORD", b"\x42\x00", None),
        (":WAV:FORM WORD;BYT LSBF", b"\x00\x42", None),
        (":WAV:FORM BYTE;UNS 0", b"\xc2\xc2", b",0\n"),
        (":WAVEFORM:FORMAT ASCII", b"-4", b"32768\n"),
    ],
)
def test_infiniivision_twin_writes_codes_in_every_form_when_asked(
    setting: str, first: bytes, second: bytes | None
) -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, ":CHAN1:RANG 1.6", ":TIM:RANG 1E-6", ":WAV:POIN 500")
    force(session, scene.clock)
    told(session, setting)
    # -0.5 V is code 128 - 62.19: 66, 0x42; signed it is -62, 0xC2.
    assert ask(session, ":WAV:DATA?")[10:12] == first
    assert second is None or ask(session, ":WAV:PRE?").endswith(second)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (":WAV:DATA?;:SYST:ERR?", b'-230,"Data corrupt or stale"\n'),
        (":WAV:PRE?;:SYST:ERR?", b'-230,"Data corrupt or stale"\n'),
        (":CHAN1:RANG 50;:SYST:ERR?", b'-222,"Data out of range"\n'),
        (":WAV:POIN 99;:SYST:ERR?", b'-222,"Data out of range"\n'),
        (":WAV:FORM FLOAT;:SYST:ERR?", b'-224,"Illegal parameter value"\n'),
        (":NONSENSE 1;:SYST:ERR?", b'-113,"Undefined header"\n'),
        (":CHAN1:IMP FIFTy;:CHANNEL1:IMPEDANCE?", b"FIFT\n"),
        (":channel1:scale 0.2;:chan1:rang?", b"+1.60E+00\n"),
        (":CHAN1:RANG 160mV;SCAL?", b"+2.00E-02\n"),
        (":timebase:range 1e-3;:tim:scal?", b"+1.00E-04\n"),
        (":TIM:REF CENT;:TIM:POS 1US;:TIM?", None),
        (":ACQ:SRAT?", b"+1.00000000E+006\n"),
        (":WAV:POIN 700;POIN?", b"500\n"),
        (":TRIG:LEV 0.3;:TRIG:EDGE:LEV?", b"+3.00E-01\n"),
        (":ACQ:COMP 100;COUN 16;COUN?", b"16\n"),
        ("*OPC?", b"1\n"),
    ],
)
def test_infiniivision_twin_answers_as_the_guide_when_spoken_to(
    line: str, answer: bytes | None
) -> None:
    session = twin().session()
    got = ask(session, line)
    if answer is None:
        assert got == b":TIM:MODE MAIN;REF CENT;MAIN:RANG +1.00E-03;POS +1.00E-06\n"
    else:
        assert got == answer


def test_infiniivision_twin_gives_its_groups_with_headers_when_asked() -> None:
    answer = ask(twin().session(), ":CHANnel1?")
    assert re.fullmatch(rb":CHAN1:RANG \+4.00E\+01;OFFS \+0.00E\+00;COUP DC;.*\n", answer)


def test_infiniivision_twin_fills_its_queue_with_350_when_errors_are_not_read() -> None:
    session = twin().session()
    for _ in range(40):
        ask(session, ":NO")
    answers = [ask(session, ":SYST:ERR?") for _ in range(31)]
    assert answers[28].startswith(b"-113")
    assert answers[29] == b'+350,"Queue overflow"\n'
    assert answers[30] == b'+0,"No error"\n'


def test_infiniivision_twin_holds_up_everything_when_it_digitizes_until_the_edge() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, ":TRIG:EDGE:SOUR CHAN4", ":TRIG:SWE NORM", ":TIM:RANG 1E-5")
    assert ask(session, ":DIG CHAN1;*OPC?") == b""
    scene.clock.sleep(10.0)
    assert session.take() == b""
    scene.fire()
    assert session.take() == b"1\n"
    assert ask(session, ":TER?;:TER?") == b"1;0\n"


def test_infiniivision_twin_waits_forever_when_the_line_is_on_another_input() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, ":TRIG:EDGE:SOUR CHAN3", ":TRIG:SWE NORM", ":SING")
    scene.fire()
    scene.clock.sleep(10.0)
    assert ask(session, ":OPER:COND?") == b"8\n"


def test_infiniivision_twin_triggers_itself_when_in_auto() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, ":TRIG:SWE AUTO", ":SING")
    assert ask(session, ":AER?;:AER?;:OPER:COND?") == b"1;0;8\n"
    scene.clock.sleep(0.1)
    ask(session, ":OPER:COND?")
    scene.clock.sleep(0.1)
    assert ask(session, ":OPER:COND?;:TER?") == b"0;1\n"


@pytest.mark.parametrize("rate_hz", [625e6, 800e6])
@pytest.mark.parametrize("samples", [256, 1000, 12_345])
def test_infiniivision_records_from_the_trigger_on_when_driven(
    rate_hz: float, samples: int
) -> None:
    scene = RampScene(detector=SLOPE)
    limits = MODELS[1].limits
    assert isinstance(limits, DigitiserLimits)
    link = loopback_link(twin(scene), scene.clock)
    with KeysightInfiniiVision("tap", limits=limits, link=link, clock=scene.clock) as scope:
        range_v = 1.05 * SLOPE * samples / rate_hz
        range_v = min(4.0, max(0.02, range_v))
        applied = scope.configure(rate_hz, samples, range_v)
        scope.arm(Trigger.EXTERNAL)
        assert not scope.is_done()
        scene.fire()
        trace = scope.fetch()
    assert applied.sample_rate_hz == pytest.approx(rate_hz, rel=1e-7)
    assert applied.range_v == pytest.approx(range_v, rel=1e-6)
    # One code is 2 range / 256; the ramp crosses 0 V at the trigger.
    assert trace.step_v == pytest.approx(range_v / 128, rel=1e-6)
    expected = np.arange(samples) / rate_hz * SLOPE
    inside = expected < 0.99 * range_v
    slack = 0.51 * trace.step_v + 1.0 / rate_hz * SLOPE
    assert np.abs(trace.volts[0] - expected)[inside].max() <= slack
    assert trace.simulated


def test_infiniivision_makers_put_the_line_where_the_bench_says_when_made() -> None:
    scene = RampScene(detector=SLOPE)
    place = TwinPlace(
        clock=scene.clock,
        serial="SIM7",
        parts={1: scene.part("detector"), 2: object()},
        settings={1: {"trigger_channel": 3}},
    )
    assert sorted(MAKERS) == sorted(model.model for model in MODELS)
    session = MAKERS["Keysight DSOX4024A"](place).session()
    assert ask(session, "*IDN?").startswith(b"KEYSIGHT TECHNOLOGIES,DSO-X 4024A,SIM7,")
    told(session, ":TRIG:EDGE:SOUR CHAN3", ":TRIG:SWE NORM", ":SING")
    scene.fire()
    assert ask(session, ":OPER:COND?") == b"0\n"


def test_infiniivision_twin_survives_when_fed_rubbish() -> None:
    rng = np.random.default_rng(11)
    session = twin().session()
    words = [
        b":CHAN1:RANG ", b":CHAN9:DISP ON", b":TIM:RANG ", b":WAV:DATA?", b":WAV:PRE?", b":SING",
        b":TRIG:FORC", b":STOP", b":RUN", b":WAV:POIN ", b"1e-6", b"-3", b"MAX", b"nan", b"#18",
        b";", b"\n", b'"', b":DIG CHAN7", b"*OPC?", b":WAV:SOUR CHAN2", b":TIM:POS 400",
        b":SYST:ERR?", b":CHAN1:PROB 10", b":CHAN1:OFFS 3", b":WAV:FORM ASC", b":AER?", b"\xff\x00",
    ]  # fmt: skip
    for _ in range(10_000):
        picked = b"".join(words[int(i)] for i in rng.integers(0, len(words), rng.integers(1, 5)))
        if rng.random() < 0.2:
            picked += bytes(rng.integers(0, 256, 4, dtype=np.uint8).tolist())
        session.feed(picked + (b"\n" if rng.random() < 0.7 else b""))
        session.take()
    fresh = twin().session()
    assert ask(fresh, "*IDN?").startswith(b"KEYSIGHT")
