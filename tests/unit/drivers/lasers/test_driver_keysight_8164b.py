"""The driver of the Keysight 8164B and N7776C lasers: the bytes that it sends and understands."""

import logging

import pytest

from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    RefusedError,
)
from drivers.instruments import LaserLimits, Range
from drivers.lasers.keysight_8164b import MODELS, Keysight8164B, Keysight8164BSettings
from tests.wire.scripted import Script

LIMITS = LaserLimits(
    power_w=Range(lowest=1e-3, highest=10e-3), wavelength_m=Range(lowest=1480e-9, highest=1620e-9)
)
FINE = (b":SYST:ERR?\n", b'+0,"No error"\n')
Pair = tuple[bytes, bytes]


def order(text: bytes) -> list[Pair]:
    return [(text + b"\n", b""), FINE]


def query(text: bytes, answer: bytes) -> list[Pair]:
    return [(text + b"\n", answer + b"\n"), FINE]


HELLO = [
    (b"*CLS\n", b""),
    (b"*IDN?\n", b"Keysight Technologies,N7776C,DE1,1.0\n"),
    *query(b":SOUR0:WAV:SWE:STAR? MIN", b"+1.49000000E-006"),
    *query(b":SOUR0:WAV:SWE:STOP? MAX", b"+1.60000000E-006"),
]
SAFE = [*order(b":SOUR0:POW:STAT 0"), *query(b":SOUR0:POW:STAT?", b"0")]


def opened(*pairs: Pair, password: str = "1234") -> tuple[Script, Keysight8164B]:
    script = Script([*HELLO, *SAFE, *pairs])
    laser = Keysight8164B(
        "laser",
        limits=LIMITS,
        link=script.link(),
        clock=script.clock,
        settings=Keysight8164BSettings(lock_password=password),
    )
    laser.open()
    return script, laser


def test_dialogue_of_the_sheet_unlocks_tunes_and_switches_on() -> None:
    script, laser = opened(
        *order(b":SOUR0:WAV 1550nm"),
        *query(b":SOUR0:WAV?", b"+1.55000000E-006"),
        *order(b":SOUR0:POW:UNIT 1"),
        *order(b":SOUR0:POW 8 mW"),
        *query(b":SOUR0:POW:UNIT?", b"+1"),
        *query(b":SOUR0:POW?", b"+8.00000000E-003"),
        *query(b":LOCK?", b"1"),
        *order(b":LOCK 0,1234"),
        *order(b":SOUR0:AM:STAT 0"),
        *order(b":SOUR0:POW:STAT 1"),
        *query(b":SOUR0:POW:STAT?", b"1"),
        *query(b":SOUR0:POW:STAT?", b"1"),
        *query(b"*OPC?", b"1"),
    )
    laser.set_wavelength(1550e-9)
    laser.set_power(8e-3)
    laser.set_emission(True)
    assert laser.is_settled()
    script.finish()


def test_lock_is_left_alone_when_it_is_open() -> None:
    script, laser = opened(
        *query(b":LOCK?", b"0"),
        *order(b":SOUR0:AM:STAT 0"),
        *order(b":SOUR0:POW:STAT 1"),
        *query(b":SOUR0:POW:STAT?", b"1"),
        password="",
    )
    laser.set_emission(True)
    script.finish()


def test_lock_is_left_to_people_when_there_is_no_password() -> None:
    script, laser = opened(*query(b":LOCK?", b"1"), *SAFE, password="")
    with pytest.raises(InstrumentError, match="safety lock of the box is closed"):
        laser.set_emission(True)
    script.finish()


def test_power_is_converted_when_somebody_chose_dbm() -> None:
    _, laser = opened(*query(b":SOUR0:POW:UNIT?", b"+0"), *query(b":SOUR0:POW?", b"+7.0"))
    assert laser.power_w() == pytest.approx(1e-3 * 10**0.7)


def test_channel_is_the_slot_plus_one() -> None:
    pairs = [(sent.replace(b"SOUR0", b"SOUR2"), answer) for sent, answer in [*HELLO, *SAFE]]
    script = Script(pairs)
    laser = Keysight8164B("laser", limits=LIMITS, link=script.link(), clock=script.clock, channel=3)
    laser.open()
    script.finish()


def test_wavelength_is_refused_when_beyond_the_lasers_own_limit() -> None:
    script, laser = opened(*SAFE)
    with pytest.raises(LimitError, match=r"1\.61e-06 m .* 1\.49e-06 to 1\.6e-06 m"):
        laser.set_wavelength(1610e-9)
    script.finish()


def test_set_switches_off_when_the_laser_refuses() -> None:
    script, laser = opened(
        *order(b":SOUR0:POW:UNIT 1"),
        (b":SOUR0:POW 9 mW\n", b""),
        (b":SYST:ERR?\n", b'-222,"Data out of range (StatParmTooLarge)"\n'),
        FINE,
        *SAFE,
    )
    with pytest.raises(RefusedError, match="-222 Data out of range"):
        laser.set_power(9e-3)
    script.finish()


def test_wavelength_shows_the_bytes_when_the_answer_is_no_number() -> None:
    _, laser = opened(*query(b":SOUR0:WAV?", b"far"))
    with pytest.raises(AnswerError, match="66 61 72"):
        laser.wavelength_m()


def test_wavelength_raises_when_nobody_answers() -> None:
    script, laser = opened((b":SOUR0:WAV?\n", b""), *HELLO, (b":SOUR0:WAV?\n", b""))
    with pytest.raises(LinkTimeoutError, match="no complete answer within 1 s"):
        laser.wavelength_m()
    script.finish()


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script([HELLO[0], (b"*IDN?\n", b"Keysight Technologies,N7714A,DE1,1.0\n")])
    laser = Keysight8164B("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=r"8164\[AB\] was expected.*N7714A"):
        laser.open()


def test_open_warns_because_the_driver_is_experimental(caplog: pytest.LogCaptureFixture) -> None:
    assert all(model.experimental for model in MODELS)
    script = Script([*HELLO, *SAFE])
    laser = Keysight8164B("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    laser.warn_experimental("confidence medium")
    with caplog.at_level(logging.WARNING, "veilight.instruments"):
        laser.open()
    assert "N7776C is experimental: confidence medium" in caplog.text


@pytest.mark.parametrize("password", ["12;34", "abcd", "\u0661"])
def test_password_is_refused_when_it_is_not_digits(password: str) -> None:
    with pytest.raises(ConfigurationError, match="lock_password must be digits"):
        Keysight8164BSettings(lock_password=password)
