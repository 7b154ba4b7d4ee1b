"""The driver of the OZ Optics EPC in its exact bytes."""

import numpy as np
import pytest

from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import PolarisationLimits, Range
from drivers.path.ozoptics_epc import MODELS, EPCSettings, OZOpticsEPC, reachable
from tests.wire.scripted import Script, ScriptedLine

DONE = b"Done\r\n"


def voltages(*values: int) -> tuple[bytes, bytes]:
    listed = " ".join(f"CH{index} {value:+05d}" for index, value in enumerate(values, start=1))
    return b"V?\r\n", f"Voltage(mV): {listed}\r\n".encode() + DONE


GREETING = [voltages(0, 0, 0, 0), (b"M?\r\n", b"Work Mode: DC\r\n" + DONE)]


def driver_of(script: Script, settings: EPCSettings | None = None) -> OZOpticsEPC:
    limits = MODELS[0].limits
    assert isinstance(limits, PolarisationLimits)
    link = script.link()
    return OZOpticsEPC("squeezers", limits=limits, link=link, clock=script.clock, settings=settings)


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, OZOpticsEPC]:
    script = ScriptedLine([*GREETING, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_stops_the_scrambling() -> None:
    script = ScriptedLine(
        [
            GREETING[0],
            (b"M?\r\n", b"Work Mode: AC(Sine)\r\n" + DONE),
            (b"MDC\r\n", b"Set To DC Mode\r\n" + DONE),
            GREETING[1],
        ]
    )
    assert driver_of(script).open().text == "OZ Optics EPC  "
    script.finish()


def test_open_is_refused_when_it_goes_on_scrambling() -> None:
    swings = (b"M?\r\n", b"Work Mode: AC(Sine)\r\n" + DONE)
    stop = (b"MDC\r\n", b"Set To DC Mode\r\n" + DONE)
    with pytest.raises(InstrumentError, match="goes on scrambling"):
        driver_of(ScriptedLine([GREETING[0], swings, stop, swings])).open()


def test_angles_are_set_in_millivolts_where_they_differ() -> None:
    script, driver = opened(
        voltages(0, 0, 0, 0),
        (b"V1,2200\r\n", b"Set CH1 DC Voltage at: 2200mV\r\n" + DONE),
        (b"V4,-1000\r\n", b"Set CH4 DC Voltage at: -1000mV\r\n" + DONE),
        voltages(2200, 0, 0, -1000),
        (b"V?\r\n", b"Voltage(mV): CH1 +2200 CH2 -0500 CH3 +0000 CH4 +5000\r\n" + DONE),
    )
    driver.set_angles(np.array([4.4, 0.0, 0.0, -2.0]))
    np.testing.assert_allclose(driver.angles(), [4.4, -1.0, 0.0, 10.0], atol=1e-12)
    script.finish()


def test_angles_follow_the_retardance_per_volt_of_each_channel() -> None:
    script = ScriptedLine([*GREETING, voltages(1000, 1000, 1000, -1000)])
    driver = driver_of(script, EPCSettings(rad_per_volt=1.5, rad_per_volt_2=3.0))
    driver.open()
    np.testing.assert_allclose(driver.angles(), [1.5, 3.0, 1.5, -1.5], atol=1e-12)
    script.finish()


def test_angles_are_refused_when_they_need_too_many_volts() -> None:
    script = ScriptedLine(GREETING)
    driver = driver_of(script, EPCSettings(rad_per_volt=1.0))
    driver.open()
    with pytest.raises(LimitError, match=r"angles\[1\] 6\.0 rad needs 6\.0 V on channel 2"):
        driver.set_angles(np.array([0.0, 6.0, 0.0, 0.0]))
    script.finish()


def test_angles_are_refused_when_the_instrument_says_error() -> None:
    _, driver = opened(voltages(0, 0, 0, 0), (b"V1,2200\r\n", b"Error!\r\n"))
    with pytest.raises(RefusedError, match=r"squeezers: .*'V1,2200' was refused: 'Error!'"):
        driver.set_angles(np.array([4.4, 0.0, 0.0, 0.0]))


def test_angles_are_refused_when_another_channel_answers() -> None:
    _, driver = opened(
        voltages(0, 0, 0, 0), (b"V1,2200\r\n", b"Set CH2 DC Voltage at: 2200mV\r\n" + DONE)
    )
    with pytest.raises(AnswerError, match="expected channel 1 at 2200 mV, got 53 65 74"):
        driver.set_angles(np.array([4.4, 0.0, 0.0, 0.0]))


def test_angles_that_are_not_applied_are_found_out() -> None:
    _, driver = opened(
        voltages(0, 0, 0, 0),
        (b"V1,2200\r\n", b"Set CH1 DC Voltage at: 2200mV\r\n" + DONE),
        voltages(0, 0, 0, 0),
    )
    with pytest.raises(ReadbackError, match=r"angles\[0\] was set to 4\.4"):
        driver.set_angles(np.array([4.4, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize(
    "answer",
    [
        b"Voltage(mV): CH1 +2200 CH2 -0500\r\nDone\r\n",
        b"Voltage(mV): CH1 +2200 CH1 -0500 CH3 +0000 CH4 +0000\r\nDone\r\n",
        b"\xff\xfe\r\nDone\r\n",
        b"x\r\n" * 8,
    ],
    ids=["two", "twice", "bytes", "endless"],
)
def test_garbage_is_shown_and_named_when_it_is_answered(answer: bytes) -> None:
    _, driver = opened((b"V?\r\n", answer), *GREETING, (b"V?\r\n", answer))
    with pytest.raises(AnswerError, match=r"squeezers: angles\?: .*got [0-9a-f]{2} "):
        driver.angles()


def test_open_says_that_nothing_answers() -> None:
    script = ScriptedLine([(b"V?\r\n", b"")] * 2)
    with pytest.raises(LinkTimeoutError, match="squeezers: open: script: no complete answer"):
        driver_of(script).open()


@pytest.mark.parametrize("settings", [{"rad_per_volt": 0.0}, {"rad_per_volt_3": 7.0}])
def test_settings_are_refused_when_beyond_reason(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"must be 0\.1 to 6 rad/V"):
        EPCSettings(**settings)


@pytest.mark.parametrize(
    ("scales", "lowest", "highest"),
    [((2.0, 2.0, 1.0, 2.0), -5.0, 5.0), ((4.0, 4.0, 4.0, 4.0), -10.0, 8.0)],
    ids=["by the volts", "by the bench"],
)
def test_limits_are_what_five_volts_reach_on_every_channel(
    scales: tuple[float, float, float, float], lowest: float, highest: float
) -> None:
    limits = PolarisationLimits(channels=4, angle_rad=Range(lowest=-10.0, highest=8.0))
    found = reachable(
        limits, EPCSettings(**{f"rad_per_volt_{i + 1}": s for i, s in enumerate(scales)})
    )
    assert found == PolarisationLimits(channels=4, angle_rad=Range(lowest=lowest, highest=highest))
