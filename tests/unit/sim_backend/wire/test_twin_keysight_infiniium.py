"""The Infiniium twin against the programmer's guides, in raw bytes."""

import numpy as np
import pytest

from drivers.detectors.keysight_infiniium import MODELS, KeysightInfiniium
from sim_backend.wire.session import Session
from sim_backend.wire.twins.keysight_infiniium import MAKERS, KeysightInfiniiumTwin
from tests.wire.ramp_scene import RampScene
from tests.wire.raw import ask, babble
from tests.wire.scopes import SLOPE, check_record, driven, line_on_input_3, twin_on_ramp


def twin(scene: RampScene | None = None, model: str = "DSOS204A") -> KeysightInfiniiumTwin:
    return twin_on_ramp(KeysightInfiniiumTwin, model, scene)


def told(session: Session, *orders: str) -> None:
    for order in orders:
        assert ask(session, order) == b"", order
    assert ask(session, ":SYST:ERR? STRING") == b'0,"No error"\n'


def recorded(scene: RampScene, model: str = "DSOS204A") -> Session:
    """A record of 20 samples, 10 ns apart, of a ramp of 1 V/us through the middle."""
    session = twin(scene, model).session()
    told(session, ":SYST:HEAD OFF", ":ACQ:SRAT 100E6", ":ACQ:POIN 20", ":CHAN1:RANG 0.6144")
    told(session, ":TRIG:SWE AUTO", ":SING")
    for _ in range(2):
        scene.clock.sleep(0.1)
        ask(session, ":RST?")
    assert ask(session, ":RST?;:ADER?;:ADER?;:PDER?;:AST?") == b"STOP;1;0;1;ADONE\n"
    return session


@pytest.mark.parametrize(
    ("setting", "kind", "factor"),
    [
        ("WORD", ">i2", 1.0),
        ("WORD;BYT LSBF", "<i2", 1.0),
        ("BIN", ">i2", 1.0),
        ("BYTE", "i1", 1 / 256),
        ("FLOAT;BYT LSBF", "<f4", 1e-5),
    ],
)
@pytest.mark.parametrize(("model", "step"), [("DSOS204A", 64), ("DSOV084A", 256)])
def test_infiniium_twin_writes_the_record_as_asked_when_read(
    setting: str, kind: str, factor: float, model: str, step: int
) -> None:
    session = recorded(RampScene(detector=SLOPE), model)
    told(session, f":WAV:SOUR CHAN1;FORM {setting}")
    data = ask(session, ":WAV:DATA?")
    count = np.dtype(kind).itemsize * 20
    assert data.startswith(b"#2%d" % count)
    got = np.frombuffer(data[4:-1], kind)
    # A word is 614.4 mV / 61440 = 10 uV, so 10 mV are 1000 words.
    exact = np.rint(np.arange(-10, 10) * 1000 / step) * step * factor
    expected = np.floor(exact) if kind == "i1" else exact
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_infiniium_twin_says_word_is_2_when_the_preamble_is_asked() -> None:
    session = recorded(RampScene(detector=SLOPE))
    told(session, ":WAV:FORM WORD")
    fields = ask(session, ":WAV:PRE?").split(b",")
    assert len(fields) == 24
    assert fields[0:4] == [b"2", b"1", b"20", b"0"]
    assert float(fields[4]) == 10e-9
    assert float(fields[5]) == pytest.approx(-100e-9)
    assert float(fields[7]) == pytest.approx(10e-6)
    assert fields[9] == b"0"


def test_infiniium_twin_leaves_the_length_out_when_streaming() -> None:
    session = recorded(RampScene(detector=SLOPE))
    told(session, ":WAV:FORM BYTE", ":WAV:STR ON")
    data = ask(session, ":WAV:DATA?")
    assert data[:2] == b"#0"
    assert len(data) == 2 + 20 + 1


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (":CHAN1:RANG?", b":CHAN1:RANG +8.00E+00\n"),
        (":SYST:HEAD OFF;:CHAN1:RANG?", b"+8.00E+00\n"),
        (":SYST:HEAD OFF;:channel1:input DC50;:CHAN1:INP?", b"DC50\n"),
        (":SYST:HEAD OFF;:TRIG:LEV CHAN2,0.25;:TRIG:LEV? CHAN2", b"+2.50E-01\n"),
        (":NO;:SYST:ERR?", b"-113\n"),
        (":NO;:SYST:ERR? STRING", b'-113,"Undefined header"\n'),
        (":WAV:DATA?;:SYST:ERR? STRING", b'-230,"Data corrupt or stale"\n'),
        (":CHAN1:RANG 100;:SYST:ERR?", b"-222\n"),
        (":RST?;:AST?;:TER?;:AER?", b"RUN;ATRIG;1;0\n"),
    ],
)
def test_infiniium_twin_answers_as_the_guide_when_spoken_to(line: str, answer: bytes) -> None:
    assert ask(twin().session(), line) == answer


def test_infiniium_twin_holds_up_everything_when_it_digitizes_until_the_edge() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, ":TRIG:EDGE:SOUR CHAN4", ":TRIG:SWE TRIG")
    assert ask(session, ":DIG CHAN1;*OPC?") == b""
    scene.clock.sleep(10)
    assert session.take() == b""
    scene.fire()
    assert session.take() == b"1\n"


def test_infiniium_twin_has_not_acquired_when_it_is_stopped_without_an_edge() -> None:
    session = twin().session()
    told(session, ":TRIG:EDGE:SOUR CHAN4", ":TRIG:SWE TRIG", ":SING")
    assert ask(session, ":RST?;:AER?") == b"SING;1\n"
    told(session, ":STOP")
    assert ask(session, ":RST?;:ADER?") == b"STOP;0\n"


@pytest.mark.parametrize("rate_hz", [625e6, 800e6])
@pytest.mark.parametrize("samples", [256, 12_345])
@pytest.mark.parametrize("model", [0, 1])
def test_infiniium_records_from_the_trigger_on_when_driven(
    rate_hz: float, samples: int, model: int
) -> None:
    scene = RampScene(detector=SLOPE)
    name = MODELS[model].model.removeprefix("Keysight ")
    scope = driven(KeysightInfiniium, MODELS[model], twin(scene, name), scene.clock)
    check_record(
        scope,
        scene,
        rate_hz=rate_hz,
        samples=samples,
        headroom=1.1,
        rate_within=1e-7,
        codes=2**scope.limits.bits,
        usable=0.93,
    )


def test_infiniium_makers_put_the_line_where_the_bench_says_when_made() -> None:
    scene = RampScene(detector=SLOPE)
    assert sorted(MAKERS) == sorted(model.model for model in MODELS)
    session = MAKERS["Keysight DSOV084A"](line_on_input_3(scene)).session()
    assert ask(session, "*IDN?").startswith(b"KEYSIGHT TECHNOLOGIES,DSOV084A,SIM7,")
    told(session, ":TRIG:EDGE:SOUR CHAN3", ":TRIG:SWE TRIG", ":SING")
    scene.fire()
    assert ask(session, ":RST?") == b"STOP\n"


def test_infiniium_twin_survives_when_fed_rubbish() -> None:
    instrument = twin()
    session = instrument.session()
    words = [
        b":CHAN1:RANG ", b":CHAN9:DISP ON", b":TIM:RANG ", b":WAV:DATA?", b":WAV:PRE?", b":SING",
        b":STOP", b":RUN", b":ACQ:POIN ", b"1e-6", b"-3", b"MAX", b"nan", b"#18", b";", b"\n", b'"',
        b":ACQ:POIN 20", b":ACQ:SRAT 1E6", b":WAV:SOUR CHAN2", b":TIM:POS 40", b":SYST:ERR?",
        b":CHAN1:OFFS 3", b":WAV:FORM ASC", b":AER?", b":WAV:STR ON", b":RST?", b"\xff\x00",
        b":TRIG:LEV CHAN1", b":SYST:HEAD OFF", b":DIG CHAN9",
    ]  # fmt: skip
    babble(session, words, 10_000, seed=14)
    assert ask(instrument.session(), "*IDN?").startswith(b"KEYSIGHT")
