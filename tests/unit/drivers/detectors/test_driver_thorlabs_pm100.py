"""The driver of the Thorlabs PM100 power meters in its exact bytes."""

import pytest

from drivers.detectors.thorlabs_pm100 import METER_LIMITS, PM100Settings, ThorlabsPM100
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    RefusedError,
)
from tests.wire.scripted import Script

NO_ERROR = (b":SYST:ERR?\n", b'+0,"No error"\n')
IDENTITY = (b"*IDN?\n", b"Thorlabs,PM100D,P0001234,2.4.0\n")
HEAD = (b"SYST:SENS:IDN?\n", b"S154C,12345,01-JAN-2020,1,2,33\n")


def asked(query: bytes, answer: bytes) -> list[tuple[bytes, bytes]]:
    return [(query, answer), NO_ERROR]


def order(text: bytes) -> list[tuple[bytes, bytes]]:
    return [(text, b""), NO_ERROR]


SETTINGS = [
    *order(b"CONF:POW\n"),
    *order(b"SENS:POW:UNIT W\n"),
    *order(b"SENS:POW:RANG:AUTO 1\n"),
    *asked(b"SENS:CORR:WAV? MIN\n", b"8.000000E+02\n"),
    *asked(b"SENS:CORR:WAV? MAX\n", b"1.650000E+03\n"),
    *asked(b"SENS:AVER:COUN?\n", b"10\n"),
]
GREETING = [(b"*CLS\n", b""), IDENTITY, HEAD, NO_ERROR, *SETTINGS]


def driver_of(script: Script, settings: PM100Settings | None = None) -> ThorlabsPM100:
    return ThorlabsPM100(
        "meter", limits=METER_LIMITS, link=script.link(), clock=script.clock, settings=settings
    )


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, ThorlabsPM100]:
    script = Script([*GREETING, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_sets_watts_and_names_the_head() -> None:
    script, driver = opened()
    assert driver.identity.text == "Thorlabs PM100D P0001234 2.4.0, head S154C 12345"
    script.finish()


def test_open_takes_the_maker_in_capitals() -> None:
    pairs = [GREETING[0], (IDENTITY[0], b"THORLABS,PM100D,P1,2.4.0\n"), *GREETING[2:]]
    script = Script(pairs)
    assert driver_of(script).open().maker == "Thorlabs"
    script.finish()


def test_wavelength_goes_over_the_wire_in_nanometres() -> None:
    script, driver = opened(
        *order(b"SENS:CORR:WAV 1550\n"),
        *asked(b"SENS:CORR:WAV?\n", b"1.550000E+03\n"),
        *asked(b"SENS:CORR:WAV?\n", b"1.550000E+03\n"),
    )
    driver.set_wavelength(1550e-9)
    assert driver.wavelength_m() == pytest.approx(1.55e-6, rel=1e-9)
    script.finish()


def test_wavelength_is_refused_when_the_head_is_not_calibrated_for_it() -> None:
    script, driver = opened()
    with pytest.raises(LimitError, match=r"1680 nm is outside.*800 to 1650 nm"):
        driver.set_wavelength(1680e-9)
    script.finish()


def test_averaging_is_a_number_of_samples() -> None:
    script, driver = opened(*order(b"SENS:AVER:COUN 333\n"), *asked(b"SENS:AVER:COUN?\n", b"333\n"))
    driver.set_averaging(0.1)
    script.finish()


def test_averaging_counts_by_the_sample_of_the_settings() -> None:
    script = Script(
        [*GREETING, *order(b"SENS:AVER:COUN 33\n"), *asked(b"SENS:AVER:COUN?\n", b"33\n")]
    )
    driver = driver_of(script, PM100Settings(sample_s=3e-3))
    driver.open()
    driver.set_averaging(0.1)
    script.finish()


def test_averaging_is_refused_when_shorter_than_a_sample() -> None:
    script, driver = opened()
    with pytest.raises(LimitError, match="shorter than one sample"):
        driver.set_averaging(1e-4)
    script.finish()


def test_power_is_read_anew_in_watts() -> None:
    script, driver = opened(
        *asked(b"SENS:POW:UNIT?\n", b"W\n"), *asked(b"READ?\n", b"9.876540E-04\n")
    )
    assert driver.power_w() == 9.87654e-4
    script.finish()


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"9.900000E+37\n", LimitError), (b"-9.900000E+37\n", InstrumentError)],
    ids=["over", "under"],
)
def test_power_is_an_error_when_beyond_the_range(answer: bytes, error: type[Exception]) -> None:
    _, driver = opened(*asked(b"SENS:POW:UNIT?\n", b"W\n"), *asked(b"READ?\n", answer))
    with pytest.raises(error, match="the power reads"):
        driver.power_w()


def test_power_is_refused_when_somebody_chose_another_unit() -> None:
    _, driver = opened(*asked(b"SENS:POW:UNIT?\n", b"DBM\n"))
    with pytest.raises(InstrumentError, match="measures in DBM, not in W"):
        driver.power_w()


def test_zero_waits_until_it_is_done() -> None:
    state = b"SENS:CORR:COLL:ZERO:STAT?\n"
    script, driver = opened(
        *order(b"SENS:CORR:COLL:ZERO:INIT\n"),
        *asked(state, b"1\n"),
        *asked(state, b"1\n"),
        *asked(state, b"0\n"),
    )
    driver.zero()
    script.finish()


def test_zero_is_broken_off_when_it_has_no_end() -> None:
    state = asked(b"SENS:CORR:COLL:ZERO:STAT?\n", b"1\n")
    _, driver = opened(
        *order(b"SENS:CORR:COLL:ZERO:INIT\n"), *state * 601, *order(b"SENS:CORR:COLL:ZERO:ABOR\n")
    )
    with pytest.raises(InstrumentError, match="not done within 30 s and was broken off"):
        driver.zero()


def test_order_is_refused_with_all_errors_of_the_queue() -> None:
    _, driver = opened(
        (b"SENS:CORR:WAV 1550\n", b""),
        (NO_ERROR[0], b'-222,"Data out of range"\n'),
        (NO_ERROR[0], b'-113,"Undefined header"\n'),
        NO_ERROR,
    )
    with pytest.raises(RefusedError, match="-222 Data out of range; -113 Undefined header"):
        driver.set_wavelength(1550e-9)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"no sensor,,,0,0,0\n", "no head is plugged"),
        (b"S302C,1,01-JAN-2020,2,1,257\n", "does not measure power at a wavelength"),
        (b"S154C,12345,01-JAN-2020,1,2,flags\n", "expected a number, got 66 6c 61 67 73"),
    ],
    ids=["none", "fixed wavelength", "garbage"],
)
def test_open_refuses_a_head_that_cannot_do_it(answer: bytes, message: str) -> None:
    script = Script([*GREETING[:2], (HEAD[0], answer), NO_ERROR])
    with pytest.raises(InstrumentError, match=message):
        driver_of(script).open()
    assert script.closed == 1


def test_open_refuses_another_model_and_shows_both() -> None:
    script = Script([GREETING[0], (IDENTITY[0], b"Thorlabs,PM400,P1,1.0\n")])
    with pytest.raises(InstrumentError, match=r"PM101 was expected, 'Thorlabs,PM400' answers"):
        driver_of(script).open()


def test_garbage_is_shown_and_named_when_it_is_answered() -> None:
    _, driver = opened(*asked(b"SENS:CORR:WAV?\n", b"\xff\x00\n"))
    with pytest.raises(AnswerError, match=r"meter: wavelength\?: .*a number, got ff 00"):
        driver.wavelength_m()


def test_open_says_that_nothing_answers() -> None:
    script = Script([(b"*CLS\n", b""), (b"*IDN?\n", b"")] * 2)
    with pytest.raises(LinkTimeoutError, match="meter: open: script: no complete answer"):
        driver_of(script).open()


@pytest.mark.parametrize("sample_s", [0.0, 2.0])
def test_settings_are_refused_when_beyond_reason(sample_s: float) -> None:
    with pytest.raises(ConfigurationError, match="sample_s is"):
        PM100Settings(sample_s=sample_s)
