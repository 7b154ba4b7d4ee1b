"""The RTO twin against the user manuals, in raw bytes."""

import numpy as np
import pytest

from drivers.detectors.rohde_schwarz_rto import MODELS, RohdeSchwarzRto
from sim_backend.wire.session import Session
from sim_backend.wire.twins.rohde_schwarz_rto import MAKERS, RohdeSchwarzRtoTwin
from tests.wire.ramp_scene import RampScene
from tests.wire.raw import ask, babble
from tests.wire.scopes import SLOPE, check_record, driven, line_on_input_3, twin_on_ramp


def twin(scene: RampScene | None = None) -> RohdeSchwarzRtoTwin:
    return twin_on_ramp(RohdeSchwarzRtoTwin, "RTO", scene)


def told(session: Session, *orders: str) -> None:
    for order in orders:
        assert ask(session, order) == b"", order
    assert ask(session, "SYST:ERR:NEXT?") == b'0,"No error"\n'


def recorded(scene: RampScene, *orders: str) -> Session:
    """A free-running record of 10 samples, 1 ns apart, of a ramp of 1 mV/ns."""
    session = twin(scene).session()
    told(session, "ACQ:SRAT 1E9", "TIM:RANG 10E-9", "CHAN1:RANG 0.0253", *orders)
    told(session, "TRIG:MODE FRE", "SING")
    scene.clock.sleep(0.01)
    assert ask(session, "STAT:OPER:COND?;:ACQ:CURR?") == b"0;1\n"
    return session


@pytest.mark.parametrize(
    ("setting", "kind", "factor"),
    [
        ("FORM:DATA INT,8", "i1", 1),
        ("FORM:DATA INT,16", "<i2", 256),
        ("FORM:DATA INT,16;BORD MSBF", ">i2", 256),
        ("FORM REAL,32", "<f4", 1e-4),
    ],
)
def test_rto_twin_follows_the_manual_when_a_record_is_read(
    setting: str, kind: str, factor: float
) -> None:
    session = recorded(RampScene(detector=SLOPE))
    told(session, setting, "EXP:WAV:INCX OFF", "EXP:WAV:MULT OFF")
    assert ask(session, "*OPC?") == b"1\n"
    assert ask(session, "CHAN1:DATA:HEAD?") == b"-5E-09,5E-09,10,1\n"
    data = ask(session, "CHAN1:DATA?")
    width = np.dtype(kind).itemsize * 10
    assert data.startswith(b"#2%d" % width)
    assert data.endswith(b"\n")
    # A code of 8 bits is 25.3 mV / 253 = 0.1 mV, so the ramp goes by ten of them.
    got = np.frombuffer(data[4:-1], kind)
    np.testing.assert_allclose(got, 10 * np.arange(-5, 5) * factor, rtol=1e-6)


def test_rto_twin_keeps_the_position_in_its_codes_when_it_is_moved() -> None:
    # 2.53 mV/div, one division down: the code 0 is 5 mV - 2.53 mV.
    session = recorded(RampScene(detector=SLOPE), "CHAN1:OFFS 0.005", "CHAN1:POS 1")
    told(session, "FORM:DATA INT,8")
    codes = np.frombuffer(ask(session, "CHAN1:DATA?")[4:-1], np.int8)
    expected = np.clip(np.rint((np.arange(-5, 5) * 1e-3 - 2.47e-3) / 1e-4), -128, 127)
    np.testing.assert_array_equal(codes, expected)
    told(session, "FORM ASC")
    first = ask(session, "CHAN1:DATA?").split(b",")[0]
    assert float(first) == pytest.approx(-75 * 1e-4 + 2.47e-3)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("CHAN2:DATA?;:SYST:ERR?", b'-230,"Data corrupt or stale"\n'),
        ("CHAN1:DATA:HEAD?;:SYST:ERR:NEXT?", b'-230,"Data corrupt or stale"\n'),
        ("CHAN1:RANG 1000;:SYST:ERR?", b'-222,"Data out of range"\n'),
        ("FORM INT,32;:SYST:ERR?", b'-224,"Illegal parameter value"\n'),
        ("NO;:SYST:ERR:COUN?", b"1\n"),
        ("NO;NO;:SYST:ERR:ALL?", b'-113,"Undefined header",-113,"Undefined header"\n'),
        ("TIM:DIV?", b"10\n"),
        ("TIMebase:SCALe 1e-3;RANGe?", b"0.01\n"),
        ("CHANnel1:SCALe 0.05;:chan1:rang?", b"0.5\n"),
        ("CHAN1:COUP DCLimit;COUP?", b"DCL\n"),
        ("FORM:DATA?", b"ASC,0\n"),
        ("DIAG:SERV:WFAM?", b"RTO1044\n"),
        ("STAT:OPER:COND?", b"16\n"),
        ("ACQ:POIN:ARAT?", b"1E+10\n"),
    ],
)
def test_rto_twin_answers_as_the_manual_when_spoken_to(line: str, answer: bytes) -> None:
    assert ask(twin().session(), line) == answer


def test_rto_twin_waits_for_the_edge_when_single() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, "TRIG1:SOUR CHAN4", "TRIG:MODE NORM", "SING")
    scene.clock.sleep(10)
    assert ask(session, "STAT:OPER:COND?;:ACQ:CURR?") == b"8;0\n"
    scene.fire()
    assert ask(session, "STAT:OPER:COND?;:ACQ:CURR?") == b"0;1\n"


def test_rto_twin_counts_nothing_when_it_is_stopped_without_an_edge() -> None:
    session = twin().session()
    told(session, "TRIG1:SOUR CHAN4", "TRIG:MODE NORM", "SING", "STOP")
    assert ask(session, "STAT:OPER:COND?;:ACQ:CURR?") == b"0;0\n"


@pytest.mark.parametrize("rate_hz", [625e6, 800e6])
@pytest.mark.parametrize("samples", [256, 12_345])
def test_rto_records_from_the_trigger_on_when_driven(rate_hz: float, samples: int) -> None:
    scene = RampScene(detector=SLOPE)
    scope = driven(RohdeSchwarzRto, MODELS[0], twin(scene), scene.clock)
    check_record(scope, scene, rate_hz=rate_hz, samples=samples, codes=256, usable=0.98)


def test_rto_makers_put_the_line_where_the_bench_says_when_made() -> None:
    scene = RampScene(detector=SLOPE)
    assert sorted(MAKERS) == sorted(model.model for model in MODELS)
    session = MAKERS["Rohde & Schwarz RTP"](line_on_input_3(scene)).session()
    assert ask(session, "*IDN?").startswith(b"Rohde&Schwarz,RTP,1329.7002k14/SIM7,")
    told(session, "TRIG1:SOUR CHAN3", "TRIG:MODE NORM", "SING")
    scene.fire()
    assert ask(session, "STAT:OPER:COND?") == b"0\n"


def test_rto_twin_survives_when_fed_rubbish() -> None:
    instrument = twin()
    session = instrument.session()
    words = [
        b"CHAN1:RANG ", b"CHAN9:OFFS 3", b"TIM:RANG ", b"ACQ:SRAT 1e8", b"CHAN1:DATA?", b"SING",
        b"CHAN1:DATA:HEAD?", b"STOP", b"RUN", b"FORM ", b"INT,16", b"REAL,32", b"1e-6", b"-3",
        b"MAX", b"nan", b"#18", b";", b"\n", b'"', b"TRIG1:SOUR NOIS", b"TRIG:MODE FRE", b"ASC",
        b"SYST:ERR:ALL?", b"STAT:OPER:COND?", b"ACQ:CURR?", b"\xff\x00", b"TIM:SCAL 1E-8",
    ]  # fmt: skip
    babble(session, words, 10_000, seed=13)
    assert ask(instrument.session(), "*IDN?").startswith(b"Rohde&Schwarz")
