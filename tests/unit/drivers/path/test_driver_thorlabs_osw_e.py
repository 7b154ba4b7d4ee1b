"""The driver of the Thorlabs OSW-E switches in its exact bytes."""

import pytest

from drivers.errors import AnswerError, ConfigurationError, LinkTimeoutError, ReadbackError
from drivers.instruments import SwitchLimits
from drivers.path.thorlabs_osw_e import MODELS, OSWESettings, ThorlabsOSWE
from tests.wire.scripted import Script, ScriptedLine

GREETING = [(b"S?\n", b"1\r\n"), (b"I?\n", b"OSW22-1310E v1.03\r\n")]
SAFE = [(b"S 2\n", b""), (b"S?\n", b"2\r\n"), (b"S?\n", b"2\r\n")]


def driver_of(script: Script, settings: OSWESettings | None = None) -> ThorlabsOSWE:
    limits = MODELS[0].limits
    assert isinstance(limits, SwitchLimits)
    link = script.link()
    return ThorlabsOSWE("switch", limits=limits, link=link, clock=script.clock, settings=settings)


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, ThorlabsOSWE]:
    script = ScriptedLine([*GREETING, *SAFE, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_goes_to_the_blocked_state() -> None:
    script, driver = opened()
    assert driver.identity.text == "Thorlabs OSW-E  OSW22-1310E v1.03"
    script.finish()


def test_select_asks_until_the_new_state_is_told() -> None:
    script, driver = opened(
        (b"S 1\n", b""),
        (b"S?\n", b"2\r\n"),  # still the one of before
        (b"S?\n", b"1\r\n"),
        (b"S?\n", b"1\r\n"),
    )
    driver.select("light")
    script.finish()


def test_positions_are_exchanged_when_the_settings_say_so() -> None:
    pairs = [(sent.replace(b"2", b"1"), said.replace(b"2", b"1")) for sent, said in SAFE]
    script = ScriptedLine([*GREETING, *pairs, (b"S?\n", b"2\r\n")])
    driver = driver_of(script, OSWESettings(light=2, blocked=1))
    driver.open()
    assert driver.selected() == "light"
    script.finish()


def test_select_is_found_out_when_the_switch_stays() -> None:
    _, driver = opened((b"S 1\n", b""), *[(b"S?\n", b"2\r\n")] * 32, *SAFE)
    with pytest.raises(ReadbackError, match="was set to light but reads back as blocked"):
        driver.select("light")


def test_garbage_is_shown_and_named_when_it_is_answered_twice() -> None:
    _, driver = opened((b"S?\n", b"\xff1\r\n"), *GREETING, (b"S?\n", b"3\r\n"))
    with pytest.raises(AnswerError, match=r"switch: position\?: .*state 1 or 2, got 33"):
        driver.selected()


def test_open_refuses_who_has_no_name() -> None:
    script = ScriptedLine([GREETING[0], (b"I?\n", b"\x80\x81\r\n")] * 2)
    with pytest.raises(AnswerError, match="the switch's name, got 80 81"):
        driver_of(script).open()


def test_open_says_that_nothing_answers() -> None:
    script = ScriptedLine([(b"S?\n", b"")] * 2)
    with pytest.raises(LinkTimeoutError, match="switch: open: script: no complete answer"):
        driver_of(script).open()
    assert script.closed == 1


def test_settings_are_refused_when_both_positions_are_one_state() -> None:
    with pytest.raises(ConfigurationError, match="must be 1 and 2"):
        OSWESettings(light=2)
