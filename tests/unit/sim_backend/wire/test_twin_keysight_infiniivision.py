"""The InfiniiVision twin against the programmer's guides, in raw bytes."""

import re

import numpy as np
import pytest

from drivers.detectors.keysight_infiniivision import MODELS, KeysightInfiniiVision
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session
from sim_backend.wire.twins.keysight_infiniivision import MAKERS, KeysightInfiniiVisionTwin
from tests.wire.ramp_scene import RampScene
from tests.wire.raw import ask, babble
from tests.wire.scopes import SLOPE, check_record, driven, line_on_input_3, twin_on_ramp


def twin(scene: RampScene | None = None) -> KeysightInfiniiVisionTwin:
    return twin_on_ramp(KeysightInfiniiVisionTwin, "DSO-X 4024A", scene)


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
    scope = driven(KeysightInfiniiVision, MODELS[1], twin(scene), scene.clock)
    check_record(
        scope, scene, rate_hz=rate_hz, samples=samples, rate_within=1e-7, codes=256, usable=0.99
    )


def test_infiniivision_makers_put_the_line_where_the_bench_says_when_made() -> None:
    scene = RampScene(detector=SLOPE)
    assert sorted(MAKERS) == sorted(model.model for model in MODELS)
    session = MAKERS["Keysight DSOX4024A"](line_on_input_3(scene)).session()
    assert ask(session, "*IDN?").startswith(b"KEYSIGHT TECHNOLOGIES,DSO-X 4024A,SIM7,")
    told(session, ":TRIG:EDGE:SOUR CHAN3", ":TRIG:SWE NORM", ":SING")
    scene.fire()
    assert ask(session, ":OPER:COND?") == b"0\n"


def test_infiniivision_twin_survives_when_fed_rubbish() -> None:
    session = twin().session()
    words = [
        b":CHAN1:RANG ", b":CHAN9:DISP ON", b":TIM:RANG ", b":WAV:DATA?", b":WAV:PRE?", b":SING",
        b":TRIG:FORC", b":STOP", b":RUN", b":WAV:POIN ", b"1e-6", b"-3", b"MAX", b"nan", b"#18",
        b";", b"\n", b'"', b":DIG CHAN7", b"*OPC?", b":WAV:SOUR CHAN2", b":TIM:POS 400",
        b":SYST:ERR?", b":CHAN1:PROB 10", b":CHAN1:OFFS 3", b":WAV:FORM ASC", b":AER?", b"\xff\x00",
    ]  # fmt: skip
    babble(session, words, 10_000, seed=11)
    fresh = twin().session()
    assert ask(fresh, "*IDN?").startswith(b"KEYSIGHT")
