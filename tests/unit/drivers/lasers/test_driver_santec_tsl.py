"""The drivers of Santec's lasers: the bytes that they send and understand."""

import pytest

from drivers.errors import (
    AnswerError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    RefusedError,
)
from drivers.instruments import Laser, LaserLimits, Range
from drivers.lasers.santec_tsl import MODELS, SantecTSL550, SantecTSL570
from tests.wire.scripted import Script

LIMITS = LaserLimits(
    power_w=Range(lowest=4e-5, highest=19.9e-3), wavelength_m=Range(lowest=1500e-9, highest=1630e-9)
)
FINE = (b":SYST:ERR?\r", b'0,"No error"\r')
Pair = tuple[bytes, bytes]


def order(text: bytes) -> list[Pair]:
    return [(text + b"\r", b""), FINE]


def query(text: bytes, answer: bytes) -> list[Pair]:
    return [(text + b"\r", answer + b"\r"), FINE]


IDENTITY = (b"*IDN?\r", b"SANTEC,TSL-570,00001,0026.0026.0011\r")
HELLO = [
    IDENTITY,
    (b"*CLS\r", b""),
    *order(b":SYST:COMM:COD 1"),
    *order(b":POW:UNIT 0"),
    *query(b":WAV? MIN", b"+1.51000000E-006"),
    *query(b":WAV? MAX", b"+1.60000000E-006"),
    *query(b":POW? MIN", b"-1.50000000E+001"),
    *query(b":POW? MAX", b"+1.20000000E+001"),
]
SAFE = [*order(b":POW:STAT 0"), *query(b":POW:STAT?", b"+0")]


def opened(*pairs: Pair) -> tuple[Script, SantecTSL570]:
    script = Script([*HELLO, *SAFE, *pairs])
    laser = SantecTSL570("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    laser.open()
    return script, laser


def test_open_chooses_the_command_set_before_any_number() -> None:
    script, laser = opened()
    assert laser.identity.serial == "00001"
    script.finish()


def test_dialogue_of_the_sheet_tunes_and_switches_on() -> None:
    script, laser = opened(
        *order(b":WAV 1.55E-06"),
        *query(b":WAV?", b"+1.55000000E-006"),
        *order(b":POW:ATT:AUT 1"),
        *order(b":POW:UNIT 0"),
        *order(b":POW 10.00"),
        *query(b":POW:UNIT?", b"+0"),
        *query(b":POW?", b"+1.00000000E+001"),
        *order(b":COHC 0"),
        *order(b":POW:STAT 1"),
        *query(b":POW:STAT?", b"+1"),
    )
    laser.set_wavelength(1550e-9)
    laser.set_power(10e-3)
    laser.set_emission(True)
    script.finish()


def test_laser_settles_when_it_is_ready_and_warm() -> None:
    on = query(b":POW:STAT?", b"+1")
    ready = query(b"*OPC?", b"1")
    script, laser = opened(
        *on,
        *query(b"*OPC?", b"0"),
        *on,
        *ready,
        *query(b":SYST:ALER?", b"No23.,Ongoing Warm up"),
        *query(b":SYST:ALER?", b"No alerts."),
        *on,
        *ready,
        *query(b":SYST:ALER?", b"No alerts."),
    )
    laser.wait_settled(5.0)
    script.finish()


def test_alert_is_an_error_when_it_is_not_the_warm_up() -> None:
    script, laser = opened(
        *query(b":POW:STAT?", b"+1"),
        *query(b"*OPC?", b"1"),
        *query(b":SYST:ALER?", b"No07.,Inter lock detection"),
        *query(b":SYST:ALER?", b"No alerts."),
    )
    with pytest.raises(InstrumentError, match=r"reports No07\.,Inter lock detection"):
        laser.is_settled()
    script.finish()


def test_alerts_are_counted_when_they_have_no_end() -> None:
    script, laser = opened(
        *query(b":POW:STAT?", b"+1"),
        *query(b"*OPC?", b"1"),
        *(query(b":SYST:ALER?", b"No23.,Ongoing Warm up") * 32),
    )
    assert not laser.is_settled()
    script.finish()


def test_power_is_converted_when_somebody_chose_milliwatts() -> None:
    _, laser = opened(*query(b":POW:UNIT?", b"+1"), *query(b":POW?", b"+5.00000000E+000"))
    assert laser.power_w() == pytest.approx(5e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda laser: laser.set_power(18e-3), "power 12.5527 dBm .* -15 to 12 dBm"),
        (lambda laser: laser.set_wavelength(1610e-9), "1.61e-06 m .* 1.51e-06 to 1.6e-06 m"),
    ],
    ids=["power", "wavelength"],
)
def test_set_point_is_refused_when_beyond_the_lasers_own_limit(call: object, message: str) -> None:
    script, laser = opened(*SAFE)
    assert callable(call)
    with pytest.raises(LimitError, match=message):
        call(laser)
    script.finish()


def test_set_switches_off_when_the_laser_refuses() -> None:
    script, laser = opened(
        (b":WAV 1.55E-06\r", b""),
        (b":SYST:ERR?\r", b'-222,"Data out of range"\r'),
        FINE,
        *SAFE,
    )
    with pytest.raises(RefusedError, match="-222 Data out of range"):
        laser.set_wavelength(1550e-9)
    script.finish()


def test_wavelength_shows_the_bytes_when_the_answer_is_no_number() -> None:
    _, laser = opened(*query(b":WAV?", b"far"))
    with pytest.raises(AnswerError, match="66 61 72"):
        laser.wavelength_m()


def test_wavelength_raises_when_nobody_answers() -> None:
    script, laser = opened((b":WAV?\r", b""), *HELLO, (b":WAV?\r", b""))
    with pytest.raises(LinkTimeoutError, match="no complete answer within 1 s"):
        laser.wavelength_m()
    script.finish()


def test_open_shows_both_names_when_another_laser_answers() -> None:
    script = Script([(b"*IDN?\r", b"SANTEC,TSL-210,1,2\r")])
    laser = SantecTSL570("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=r"570\|770. was expected, 'SANTEC,TSL-210'"):
        laser.open()


def test_tsl550_closes_its_shutter_and_leaves_the_diode_on() -> None:
    hello = [
        (b"*IDN?\r", b"SANTEC,TSL-550,7,1\r"),
        (b"*CLS\r", b""),
        *order(b":SYST:COMM:COD 1"),
        *order(b":POW:UNIT 0"),
    ]
    script = Script(
        [
            *hello,
            *order(b":POW:SHUT 1"),
            *query(b":POW:STAT?", b"+1"),
            *query(b":POW:SHUT?", b"+1"),
            *order(b":POW:STAT 1"),
            *order(b":POW:SHUT 0"),
            *query(b":POW:STAT?", b"+1"),
            *query(b":POW:SHUT?", b"+0"),
            *order(b":POW:UNIT 0"),
            *order(b":POW 3.01"),
            *query(b":POW:UNIT?", b"+0"),
            *query(b":POW?", b"+3.01000000E+000"),
            *query(b":POW:STAT?", b"+1"),
            *query(b":POW:SHUT?", b"+0"),
            *query(b"*OPC?", b"1"),
        ]
    )
    laser: Laser = SantecTSL550("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    laser.open()
    laser.set_emission(True)
    laser.set_power(2e-3)
    assert laser.is_settled()
    script.finish()


def test_only_the_tsl550_is_experimental() -> None:
    assert [model.model for model in MODELS if model.experimental] == ["Santec TSL-550"]
