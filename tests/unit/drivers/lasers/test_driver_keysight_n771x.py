"""The driver of the Keysight N771x lasers: the bytes that it sends and understands."""

import re

import pytest

from drivers.errors import AnswerError, InstrumentError, LimitError, RefusedError
from drivers.instruments import LaserLimits, Range
from drivers.lasers.keysight_n771x import KeysightN771x
from tests.wire.scripted import Script

LIMITS = LaserLimits(
    power_w=Range(lowest=5e-3, highest=20e-3), wavelength_m=Range(lowest=1528e-9, highest=1565e-9)
)
NONE = b'+0,"No error"\n'
ERR = b";:SYST:ERR?\n"
HELLO = [(b"*CLS\n", b""), (b"*IDN?\n", b"Keysight Technologies,N7714A,DE7,1.22\n")]
SAFE = [(b":OUTP1 OFF" + ERR, NONE), (b":OUTP1?" + ERR, b"+0;" + NONE)]
POWER = b":SOUR1:POW:UNIT?;:SOUR1:POW?" + ERR


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, KeysightN771x]:
    script = Script([*HELLO, *SAFE, *pairs])
    laser = KeysightN771x("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    laser.open()
    return script, laser


def test_dialogue_of_the_sheet_tunes_and_switches_on_without_dither() -> None:
    script, laser = opened(
        (b":SOUR1:WAV:AUTO 1;:SOUR1:WAV 1.55012E-06" + ERR, NONE),
        (b":SOUR1:WAV?" + ERR, b"+1.55012000E-006;" + NONE),
        (b":SOUR1:POW:UNIT 1;:SOUR1:POW 0.01" + ERR, NONE),
        (POWER, b"+1;+1.00000000E-002;" + NONE),
        (b":SOUR1:MODU:INT OFF;:OUTP1 ON" + ERR, NONE),
        (b":OUTP1?" + ERR, b"+1;" + NONE),
        (b":OUTP1?" + ERR, b"+1;" + NONE),
        (b":SLOT1:OPC?" + ERR, b"0;" + NONE),
        (b":OUTP1?" + ERR, b"+1;" + NONE),
        (b":SLOT1:OPC?" + ERR, b"1;" + NONE),
    )
    laser.set_wavelength(1550.12e-9)
    laser.set_power(10e-3)
    laser.set_emission(True)
    laser.wait_settled(5.0)
    script.finish()


def test_power_is_converted_when_somebody_chose_dbm() -> None:
    script, laser = opened((POWER, b"+0;+1.00000000E+001;" + NONE))
    assert laser.power_w() == pytest.approx(10e-3)
    script.finish()


def test_laser_is_not_settled_when_it_is_dark() -> None:
    script, laser = opened((b":OUTP1?" + ERR, b"+0;" + NONE))
    assert not laser.is_settled()
    script.finish()


def test_set_switches_off_when_the_box_refuses() -> None:
    conflict = b'-221,"Settings conflict (Not allowed while laser is on)"\n'
    script, laser = opened(
        (b":SOUR1:WAV:AUTO 1;:SOUR1:WAV 1.55E-06" + ERR, conflict), (b":SYST:ERR?\n", NONE), *SAFE
    )
    with pytest.raises(RefusedError, match="-221 Settings conflict"):
        laser.set_wavelength(1550e-9)
    script.finish()


def test_nothing_is_sent_when_a_limit_is_exceeded() -> None:
    script, laser = opened()
    with pytest.raises(LimitError, match="power"):
        laser.set_power(30e-3)
    script.finish()


@pytest.mark.parametrize("answer", [b"+1;", b"x;1;", b"+1;+1;+1;"])
def test_power_is_refused_when_the_answer_makes_no_sense(answer: bytes) -> None:
    _, laser = opened((POWER, answer + NONE))
    with pytest.raises(AnswerError, match=f"got {answer[:1].hex()}"):
        laser.power_w()


def test_emission_shows_the_bytes_when_the_answer_is_no_flag() -> None:
    _, laser = opened((b":OUTP1?" + ERR, b"on?;" + NONE))
    with pytest.raises(AnswerError, match="6f 6e 3f"):
        laser.emission()


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script([HELLO[0], (b"*IDN?\n", b"Santec,TSL-570,1,2\n")])
    laser = KeysightN771x("laser", limits=LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=re.escape("N771[14]A was expected")) as raised:
        laser.open()
    assert "Santec,TSL-570" in str(raised.value)
