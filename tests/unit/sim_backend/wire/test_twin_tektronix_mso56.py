"""The MSO5/6 twin against the programmer's manual, in raw bytes."""

import numpy as np
import pytest

from drivers.detectors.tektronix_mso56 import MODELS, TektronixMso56
from sim_backend.wire.session import Session
from sim_backend.wire.twins.tektronix_mso56 import MAKERS, TektronixMso56Twin
from tests.wire.ramp_scene import RampScene
from tests.wire.raw import ask, babble
from tests.wire.scopes import SLOPE, check_record, driven, line_on_input_3, twin_on_ramp

EMPTY = b'0,"No events to report; queue empty"\n'


def twin(scene: RampScene | None = None) -> TektronixMso56Twin:
    return twin_on_ramp(TektronixMso56Twin, "MSO54", scene)


def told(session: Session, *orders: str) -> None:
    for order in orders:
        assert ask(session, order) == b"", order
    assert ask(session, "*ESR?") == b"0\n"


def recorded(scene: RampScene, *orders: str) -> Session:
    """A record of 100 samples, 10 ns apart, of a ramp of 1 V/us through the middle."""
    session = twin(scene).session()
    told(session, "HEADer OFF", "HORizontal:MODe MANual", "HORizontal:MODe:SAMPLERate 100E6")
    told(session, "HORizontal:MODe:RECOrdlength 100", "CH1:SCAle 0.1", *orders)
    told(session, "TRIGger:A:MODe NORMal", "ACQuire:STOPAfter SEQuence", "ACQuire:STATE ON")
    scene.clock.sleep(0.01)
    told(session, "TRIGger FORCe")
    scene.clock.sleep(0.01)
    assert ask(session, "*OPC?;:TRIGger:STATE?;:ACQuire:STATE?") == b"1;SAVE;0\n"
    return session


def test_mso5_twin_follows_the_manual_when_a_curve_is_read() -> None:
    scene = RampScene(detector=SLOPE)
    session = recorded(scene)
    told(session, "DATa:SOUrce CH1", "DATa:ENCdg SRIBinary", "DATa:WIDth 2")
    told(session, "DATa:STARt 51", "DATa:STOP 54")
    assert ask(session, "WFMOutpre:YMUlt?") == b"1.5625000000E-5\n"
    assert ask(session, "WFMOutpre:NR_Pt?") == b"4\n"
    data = ask(session, "CURVe?")
    assert data[:3] == b"#18"
    assert data[-1:] == b"\n"
    # 0, 10, 20 and 30 mV, in codes of 16 words of 15.625 uV.
    expected = np.rint(np.arange(4) * 10e-3 / (16 * 15.625e-6)) * 16
    np.testing.assert_array_equal(np.frombuffer(data[3:-1], "<i2"), expected)


@pytest.mark.parametrize(
    ("encoding", "kind", "zero"),
    [
        ("RIBinary", ">i2", 0),
        ("SRIbinary", "<i2", 0),
        ("RPBinary", ">u2", 32768),
        ("SRPbinary", "<u2", 32768),
    ],
)
def test_mso5_twin_writes_words_as_asked_when_encoded(encoding: str, kind: str, zero: int) -> None:
    session = recorded(RampScene(detector=SLOPE))
    told(session, f"DATa:ENCdg {encoding}", "DATa:STARt 53", "DATa:STOP 52")
    words = np.frombuffer(ask(session, "CURVe?")[3:-1], kind)
    np.testing.assert_array_equal(words, [zero + 640, zero + 1280])
    assert ask(session, "DATa:ENCdg?") == encoding.upper().encode() + b"\n"


def test_mso5_twin_writes_bytes_and_text_when_asked() -> None:
    session = recorded(RampScene(detector=SLOPE))
    told(session, "DATa:WIDth 1", "DATa:STARt 99", "DATa:STOP 1000")
    assert ask(session, "CURVe?") == b"#12" + bytes([30720 >> 8, 31360 >> 8]) + b"\n"
    told(session, "DATa:ENCdg ASCIi", "WFMOutpre:BYT_Nr 2")
    assert ask(session, "CURVe?") == b"30720,31360\n"


def test_mso5_twin_stays_at_its_ends_when_the_signal_is_too_large() -> None:
    session = recorded(RampScene(detector=10 * SLOPE))
    told(session, "DATa:ENCdg SRIbinary", "DATa:STARt 1", "DATa:STOP 100")
    words = np.frombuffer(ask(session, "CURVe?")[5:-1], "<i2")
    assert (words[0], words[50], words[-1]) == (-32768, 0, 32752)


def test_mso5_twin_gives_22_fields_when_the_whole_preamble_is_asked() -> None:
    fields = ask(recorded(RampScene(detector=SLOPE)), "WFMOutpre?").split(b";")
    assert len(fields) == 22
    assert fields[:2] == [b"2", b"16"]
    assert fields[5] == b"MSB"
    assert fields[11] == b"1.0000000000E-8"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("HEADer?", b":HEADER 1\n"),
        ("CH1:SCAle?", b":CH1:SCALE 1.0000E-1\n"),
        ("VERBose OFF;:CH1:SCAle?", b":CH1:SCA 1.0000E-1\n"),
        ("HEADer OFF;:ch1:sca 20mV;:CH1:SCALE?", b"2.0000E-2\n"),
        (
            "HEADer OFF;:HORizontal:SAMPLERate 625e6;:HOR:MODE:SAMPLER?",
            b"6.2500E8\n",
        ),
        ("HEADer OFF;:SELect:CH2 ON;:DATa:SOUrce:AVAILable?", b"CH1,CH2\n"),
        ("HEADer OFF;:DISplay:GLObal:CH2:STATE?", b"0\n"),
        ("HEADer OFF;:TRIGger:STATE?", b"AUTO\n"),
        ("HEADer OFF;:BUSY?", b"0\n"),
        ("ALLEv?", b":ALLEV " + EMPTY),
    ],
)
def test_mso5_twin_answers_as_the_manual_when_spoken_to(line: str, answer: bytes) -> None:
    assert ask(twin().session(), line) == answer


@pytest.mark.parametrize(
    ("line", "register", "event"),
    [
        ("NONSENSE 1", b"32", b'113,"Undefined header"'),
        ("SYST:ERR?", b"32", b'113,"Undefined header"'),
        ("CH1:SCAle 100", b"16", b'222,"Data out of range"'),
        ("DATa:SOUrce CH3;:CURVe?", b"16", b'2244,"Source waveform is not active"'),
    ],
)
def test_mso5_twin_keeps_events_back_when_the_register_was_not_read(
    line: str, register: bytes, event: bytes
) -> None:
    session = twin().session()
    told(session, "HEADer OFF", "ACQuire:STATE OFF")
    assert ask(session, line) == b""
    assert ask(session, "ALLEv?") == b'1,"No events to report; new events pending *ESR?"\n'
    assert ask(session, "*ESR?") == register + b"\n"
    assert ask(session, "ALLEv?") == event + b"\n"
    assert ask(session, "EVMsg?;:EVENT?") == EMPTY[:-1] + b";0\n"


def test_mso5_twin_overflows_when_nobody_reads_its_events() -> None:
    session = twin().session()
    told(session, "HEADer OFF")
    for _ in range(40):
        ask(session, "NO")
    ask(session, "*ESR?")
    events = ask(session, "ALLEv?").split(b'",')
    assert len(events) == 32
    assert events[-1] == b'350,"Queue overflow"\n'


def test_mso5_twin_waits_for_the_edge_when_in_a_sequence() -> None:
    scene = RampScene(detector=SLOPE)
    session = twin(scene).session()
    told(session, "HEADer OFF", "TRIGger:A:EDGE:SOUrce CH4", "TRIGger:A:MODe NORMal")
    told(session, "ACQuire:STOPAfter SEQuence", "ACQuire:STATE ON")
    assert ask(session, "TRIGger:STATE?;:BUSY?;:ACQuire:NUMACq?") == b"ARMED;1;0\n"
    scene.clock.sleep(0.1)
    assert ask(session, "TRIGger:STATE?") == b"READY\n"
    assert ask(session, "*OPC?") == b""
    scene.clock.sleep(10)
    assert session.take() == b""
    scene.fire()
    assert session.take() == b"1\n"
    assert ask(session, "TRIGger:STATE?;:BUSY?;:ACQuire:NUMACq?") == b"SAVE;0;1\n"


def test_mso5_twin_has_nothing_new_when_a_sequence_is_stopped() -> None:
    session = twin().session()
    told(session, "HEADer OFF", "TRIGger:A:MODe NORMal", "ACQuire:STOPAfter SEQuence")
    told(session, "ACQuire:STATE ON", "ACQuire:STATE OFF")
    assert ask(session, "TRIGger:STATE?;:ACQuire:NUMACq?") == b"SAVE;0\n"


@pytest.mark.parametrize("rate_hz", [625e6, 800e6])
@pytest.mark.parametrize("samples", [256, 12_345])
def test_mso5_records_from_the_trigger_on_when_driven(rate_hz: float, samples: int) -> None:
    scene = RampScene(detector=SLOPE)
    scope = driven(TektronixMso56, MODELS[0], twin(scene), scene.clock)
    check_record(scope, scene, rate_hz=rate_hz, samples=samples, codes=4096, usable=0.99)


def test_mso5_makers_put_the_line_where_the_bench_says_when_made() -> None:
    scene = RampScene(detector=SLOPE)
    assert sorted(MAKERS) == sorted(model.model for model in MODELS)
    session = MAKERS["Tektronix MSO64"](line_on_input_3(scene)).session()
    assert ask(session, "*IDN?").startswith(b"TEKTRONIX,MSO64,SIM7,")
    told(session, "HEADer OFF", "TRIGger:A:EDGE:SOUrce CH3", "TRIGger:A:MODe NORMal")
    told(session, "ACQuire:STOPAfter SEQuence", "ACQuire:STATE ON")
    scene.fire()
    assert ask(session, "TRIGger:STATE?") == b"SAVE\n"


def test_mso5_twin_survives_when_fed_rubbish() -> None:
    instrument = twin()
    session = instrument.session()
    words = [
        b"CH1:SCAle ", b"CH9:OFFSet 3", b"HOR:RECO 100", b"HOR:SAMPLERate ", b"CURVe?", b"WFMO?",
        b"ACQ:STATE ON", b"ACQ:STATE 0", b"TRIG FORC", b"DATa:STARt ", b"DAT:STOP 7", b"1e-6",
        b"-3", b"MAX", b"nan", b"#18", b";", b"\n", b'"', b"HEAD OFF", b"HEAD ON", b"*ESR?",
        b"ALLE?", b"WFMO:YMU?", b"ACQ:STOPA SEQ", b"DAT:ENC ASCI", b"\xff\x00", b"EVM?",
        b"DAT:WID 1",
    ]  # fmt: skip
    babble(session, words, 10_000, seed=12)
    assert ask(instrument.session(), "*IDN?").startswith(b"TEKTRONIX")
