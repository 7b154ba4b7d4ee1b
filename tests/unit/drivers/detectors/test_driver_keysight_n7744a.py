"""The driver of the Keysight N7744A power meter: the bytes that it sends and understands."""

import pytest

from drivers.detectors.keysight_n7744a import METER_LIMITS, KeysightN7744A
from drivers.errors import (
    AnswerError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    RefusedError,
)
from tests.wire.scripted import Script

NONE = b'+0,"No error"\n'
ERR = b";:SYST:ERR?\n"
HELLO = [
    (b"*CLS\n", b""),
    (b"*IDN?\n", b"Agilent Technologies,N7744A,DE1,1.22\n"),
    (b":SENS3:POW:UNIT 1;:SENS3:POW:RANG:AUTO 1;:TRIG3:INP IGN;:INIT3:CONT 0" + ERR, NONE),
    (b":SENS3:POW:ATIM?" + ERR, b"+1.00000000E-001;" + NONE),
]


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, KeysightN7744A]:
    script = Script([*HELLO, *pairs])
    meter = KeysightN7744A(
        "meter", limits=METER_LIMITS, link=script.link(), clock=script.clock, channel=3
    )
    meter.open()
    return script, meter


def test_sets_and_readings_go_to_the_slot_of_the_channel() -> None:
    script, meter = opened(
        (b":SENS3:POW:WAV 1.55E-06" + ERR, NONE),
        (b":SENS3:POW:WAV?" + ERR, b"+1.55000000E-006;" + NONE),
        (b":SENS3:POW:ATIM 0.01" + ERR, NONE),
        (b":SENS3:POW:ATIM?" + ERR, b"+1.00000000E-002;" + NONE),
        (b":READ3:POW?" + ERR, b"+5.83000000E-005;" + NONE),
    )
    meter.set_wavelength(1550e-9)
    meter.set_averaging(0.01)
    assert meter.power_w() == 5.83e-5
    script.finish()


def test_power_is_waited_for_as_long_as_the_averaging_takes() -> None:
    script, meter = opened(
        (b":SENS3:POW:ATIM 5" + ERR, NONE),
        (b":SENS3:POW:ATIM?" + ERR, b"+5.00000000E+000;" + NONE),
        (b":READ3:POW?" + ERR, b""),
        *HELLO[:3],
        (b":SENS3:POW:ATIM?" + ERR, b"+5.00000000E+000;" + NONE),
        (b":SENS3:POW:ATIM?" + ERR, b"+5.00000000E+000;" + NONE),
        (b":READ3:POW?" + ERR, b""),
    )
    meter.set_averaging(5.0)
    with pytest.raises(LinkTimeoutError, match="within 6 s"):
        meter.power_w()
    script.finish()


def test_power_is_beyond_the_limit_when_the_range_is_exceeded() -> None:
    _, meter = opened((b":READ3:POW?" + ERR, b"+9.90000000E+037;" + NONE))
    with pytest.raises(LimitError, match="inf W, above the highest"):
        meter.power_w()


def test_power_raises_when_the_reading_is_questionable() -> None:
    _, meter = opened(
        (b":READ3:POW?" + ERR, b'+1.0E-006;-231,"Data questionable"\n'),
        (b":SYST:ERR?\n", NONE),
    )
    with pytest.raises(RefusedError, match="-231 Data questionable"):
        meter.power_w()


def test_power_shows_the_bytes_when_the_answer_is_no_number() -> None:
    _, meter = opened((b":READ3:POW?" + ERR, b"dark;" + NONE))
    with pytest.raises(AnswerError, match="64 61 72 6b"):
        meter.power_w()


def test_zero_waits_and_asks_how_it_went() -> None:
    script, meter = opened(
        (b":SENS3:CORR:COLL:ZERO" + ERR, NONE),
        (b":SLOT3:OPC?" + ERR, b"0;" + NONE),
        (b":SLOT3:OPC?" + ERR, b"1;" + NONE),
        (b":SENS3:CORR:COLL:ZERO?" + ERR, b"+0;" + NONE),
    )
    meter.zero()
    script.finish()


def test_zero_raises_when_it_failed() -> None:
    _, meter = opened(
        (b":SENS3:CORR:COLL:ZERO" + ERR, NONE),
        (b":SLOT3:OPC?" + ERR, b"1;" + NONE),
        (b":SENS3:CORR:COLL:ZERO?" + ERR, b"+4;" + NONE),
    )
    with pytest.raises(InstrumentError, match=r"zeroing failed \(result 4"):
        meter.zero()


def test_averaging_is_refused_when_shorter_than_the_meter_has() -> None:
    script, meter = opened()
    with pytest.raises(LimitError, match="1e-07 s is below the shortest"):
        meter.set_averaging(1e-7)
    script.finish()


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script([HELLO[0], (b"*IDN?\n", b"Keysight Technologies,N7752A,DE1,1.2\n")])
    meter = KeysightN7744A("meter", limits=METER_LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=r"N774\[45\]A was expected.*N7752A"):
        meter.open()
