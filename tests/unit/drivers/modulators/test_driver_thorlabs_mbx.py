"""The driver of the Thorlabs MBX in its exact bytes."""

import pytest

from drivers.errors import AnswerError, LimitError, LinkTimeoutError, ReadbackError
from drivers.instruments import BiasLimits, BiasPoint
from drivers.modulators.thorlabs_mbx import MODELS, ThorlabsMBX
from tests.wire.scripted import ScriptedLine

SAFE = [
    (b"MZM:MODE?\r", b"7\r"),  # who is there
    (b"MZM:MODE?\r", b"7\r"),  # no loop to leave
    (b"MZM:HOLD:VOLTAGE: 0\r", b""),
    (b"MZM:HOLD:VOLTAGE?\r", b"0\r"),
    (b"MZM:MODE: 7\r", b""),
    (b"MZM:VOLTAGE?\r", b"0.00\r"),
    (b"MZM:MODE?\r", b"7\r"),  # safe?
    (b"MZM:MODE?\r", b"7\r"),
    (b"MZM:VOLTAGE?\r", b"0.004\r"),
]


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, ThorlabsMBX]:
    script = ScriptedLine([*SAFE, *pairs])
    limits = MODELS[0].limits
    assert isinstance(limits, BiasLimits)
    driver = ThorlabsMBX("bias", limits=limits, link=script.link(), clock=script.clock)
    driver.open()
    return script, driver


def test_open_reaches_zero_volts_by_hand_when_a_loop_ran() -> None:
    pairs = [
        (b"MZM:MODE?\r", b"2\r"),
        (b"MZM:MODE?\r", b"2\r"),
        (b"MZM:VOLTAGE?\r", b"5.42\r"),
        (b"MZM:HOLD:VOLTAGE: 5420\r", b""),
        (b"MZM:MODE: 7\r", b""),
        *SAFE[2:],
    ]
    script = ScriptedLine(pairs)
    limits = MODELS[0].limits
    assert isinstance(limits, BiasLimits)
    driver = ThorlabsMBX("bias", limits=limits, link=script.link(), clock=script.clock)
    assert driver.open().text == "Thorlabs MBX  "
    script.finish()


def test_voltage_is_set_in_millivolts_and_read_in_volts() -> None:
    script, driver = opened(
        (b"MZM:HOLD:VOLTAGE: 5000\r", b""),
        (b"MZM:HOLD:VOLTAGE?\r", b"5000\r"),
        (b"MZM:MODE: 7\r", b""),
        (b"MZM:VOLTAGE?\r", b"4.20\r"),  # on its way
        (b"MZM:VOLTAGE?\r", b"5.01\r"),
        (b"MZM:VOLTAGE?\r", b"5.01\r"),
    )
    driver.set_voltage(0, 5.0)
    script.finish()


def test_lock_orders_a_mode_and_asks_for_its_set_point() -> None:
    script, driver = opened(
        (b"MZM:MODE: 2\r", b""),
        (b"MZM:MODE?\r", b"2\r"),
        (b"MZM:SETPOINT?\r", b"0\r"),
        (b"MZM:MODE?\r", b"2\r"),
        (b"MZM:SETPOINT?\r", b"1\r"),
    )
    driver.lock(0, BiasPoint.NULL)
    assert not driver.is_locked(0)
    assert driver.is_locked(0)
    script.finish()


def test_voltage_is_refused_when_the_instrument_keeps_its_old_one() -> None:
    script, driver = opened(
        (b"MZM:HOLD:VOLTAGE: 5000\r", b""), (b"MZM:HOLD:VOLTAGE?\r", b"0\r"), *SAFE[1:]
    )
    with pytest.raises(LimitError, match="did not take a bias of 5000 mV"):
        driver.set_voltage(0, 5.0)
    script.finish()


def test_voltage_that_is_not_reached_is_found_out() -> None:
    script, driver = opened(
        (b"MZM:HOLD:VOLTAGE: 5000\r", b""),
        (b"MZM:HOLD:VOLTAGE?\r", b"5000\r"),
        (b"MZM:MODE: 7\r", b""),
        *[(b"MZM:VOLTAGE?\r", b"0.5\r")] * 27,
        *SAFE[1:],
    )
    with pytest.raises(ReadbackError, match=r"set to 5\.0 V but reads back as 0\.5 V"):
        driver.set_voltage(0, 5.0)
    script.finish()


def test_garbage_is_shown_and_named_when_it_is_answered_twice() -> None:
    _, driver = opened(
        (b"MZM:VOLTAGE?\r", b"5.4\xff\x00\r"),
        (b"MZM:MODE?\r", b"7\r"),
        (b"MZM:VOLTAGE?\r", b"volts\r"),
    )
    with pytest.raises(AnswerError, match=r"bias: bias of channel 0\?: .*got 76 6f 6c 74 73"):
        driver.voltage(0)


def test_open_says_that_nothing_answers() -> None:
    script = ScriptedLine([(b"MZM:MODE?\r", b"")] * 2)
    limits = MODELS[0].limits
    assert isinstance(limits, BiasLimits)
    driver = ThorlabsMBX("bias", limits=limits, link=script.link(), clock=script.clock)
    with pytest.raises(LinkTimeoutError, match="bias: open: script: no complete answer within 1 s"):
        driver.open()
    assert script.closed == 1
