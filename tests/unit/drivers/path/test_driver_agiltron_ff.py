"""The driver of the Agiltron FF switches in its exact bytes."""

import numpy as np
import pytest

from drivers.errors import AnswerError, ConfigurationError, LinkTimeoutError, ReadbackError
from drivers.instruments import SwitchLimits
from drivers.path.agiltron_ff import MODELS, AgiltronFF, FFSettings
from tests.wire.scripted import Script, ScriptedLine

ASK = b"\x01\x11\x00\x00"


def at(output: int) -> tuple[bytes, bytes]:
    return ASK, b"\x01\x11\x00" + bytes([output])


def to(output: int) -> tuple[bytes, bytes]:
    packet = b"\x01\x12\x00" + bytes([output])
    return packet, packet


OPENING = [at(1), to(2), at(2)]


def driver_of(script: Script, settings: FFSettings | None = None, outputs: int = 4) -> AgiltronFF:
    limits = MODELS[0].limits
    assert isinstance(limits, SwitchLimits)
    return AgiltronFF(
        "switch",
        limits=limits,
        link=script.link(),
        clock=script.clock,
        outputs=outputs,
        settings=settings,
    )


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, AgiltronFF]:
    script = ScriptedLine([*OPENING, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_goes_to_the_blocked_output_and_select_back() -> None:
    script, driver = opened(to(1), at(1))
    driver.select("light")
    assert driver.identity.text == "Agiltron FF  "
    script.finish()


def test_outputs_are_those_of_the_settings() -> None:
    script = ScriptedLine([at(1), to(7), at(7), at(8), at(3)])
    driver = driver_of(script, FFSettings(light=8, blocked=7), outputs=8)
    driver.open()
    assert driver.selected() == "light"
    assert driver.selected() == "output 3"
    script.finish()


def test_output_is_known_by_the_last_byte_of_the_answer() -> None:
    _, driver = opened((ASK, b"\x00\xff\x55\x02"))
    assert driver.selected() == "blocked"


def test_select_is_refused_when_the_echo_is_another() -> None:
    _, driver = opened((to(1)[0], b"\x01\x12\x00\x03"), at(2), to(2), at(2))
    with pytest.raises(AnswerError, match="expected the echo 01 12 00 01, got 01 12 00 03"):
        driver.select("light")


def test_select_is_found_out_when_the_switch_stays() -> None:
    _, driver = opened(to(1), at(2), to(2), at(2))
    with pytest.raises(ReadbackError, match="was set to light but reads back as blocked"):
        driver.select("light")


def test_garbage_is_shown_and_named_when_it_is_answered_twice() -> None:
    nonsense = (ASK, b"\xff\xff\xff\xff")
    _, driver = opened(nonsense, at(2), nonsense)
    with pytest.raises(AnswerError, match=r"switch: position\?: .*got ff ff ff ff"):
        driver.selected()


def test_open_says_that_nothing_answers() -> None:
    script = ScriptedLine([(ASK, b"")] * 2)
    with pytest.raises(LinkTimeoutError, match="switch: open: script: no complete answer"):
        driver_of(script).open()


def test_settings_are_refused_when_there_is_no_such_output() -> None:
    with pytest.raises(ConfigurationError, match="must be different outputs"):
        FFSettings(light=2)
    with pytest.raises(ConfigurationError, match=r"settings\.blocked is 5; .*outputs 1 to 4"):
        driver_of(Script([]), FFSettings(blocked=5))


def test_parser_raises_nothing_but_answer_errors_over_random_input() -> None:
    rng = np.random.default_rng(12)
    answers = [rng.integers(0, (256, 256, 256, 6), 4, np.uint8).tobytes() for _ in range(10_000)]
    pairs: list[tuple[bytes, bytes]] = []
    for answer in answers:
        known = 1 <= answer[-1] <= 4
        # Nonsense is asked for again after a look at the switch, and looked at before the next.
        pairs += [(ASK, answer)] if known else [(ASK, answer), at(2), (ASK, answer), at(2)]
    _, driver = opened(*pairs)
    told = 0
    for _ in answers:
        try:
            told += driver.selected() in ("light", "blocked", "output 3", "output 4")
        except AnswerError:
            continue
    assert told == sum(1 <= answer[-1] <= 4 for answer in answers)
