"""The driver of the Thorlabs MPC320 in its exact bytes."""

import math

import numpy as np
import pytest

from drivers.dialects.apt import Apt, read_message
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LinkError,
    ReadbackError,
)
from drivers.instruments import PolarisationLimits
from drivers.path.thorlabs_mpc320 import MODELS, MPC320Settings, ThorlabsMPC320
from tests.wire.scripted import Script, ScriptedLine

COUNT_RAD = math.radians(170) / 1370
STOP_UPDATES = bytes.fromhex("12 00 00 00 50 01")
ASK_INFO = bytes.fromhex("05 00 00 00 50 01")
INFO_HEAD = bytes.fromhex("06 00 54 00 81 50")
ASK_PARAMETERS = bytes.fromhex("31 05 00 00 50 01")
PARAMETERS_50 = bytes.fromhex("32 05 0C 00 81 50 00 00 32 00 00 00 19 00 19 00 19 00")
SET_PARAMETERS_50 = bytes.fromhex("30 05 0C 00 D0 01 00 00 32 00 00 00 19 00 19 00 19 00")
PARAMETERS_80 = PARAMETERS_50.replace(b"\x32\x00\x00\x00\x19", b"\x50\x00\x00\x00\x19")
ENABLE_ALL = bytes.fromhex("10 02 07 01 50 01")
MOVE_1_TO_685 = bytes.fromhex("53 04 06 00 D0 01 01 00 AD 02 00 00")
AT_685 = bytes.fromhex("91 04 0E 00 81 50 01 00 AD 02 00 00 00 00 00 00 00 04 00 80")
ACKNOWLEDGE = bytes.fromhex("92 04 00 00 50 01")


def info(model: bytes = b"MPC320", kept: bytes = b"") -> bytes:
    return (
        INFO_HEAD
        + (38012345).to_bytes(4, "little")
        + model.ljust(8, b"\0")
        + b"\x2c\x00"
        + (0x010203).to_bytes(4, "little")
        + kept.ljust(60, b"\0")
        + bytes.fromhex("01 00 00 00 03 00")
    )


def ask(mask: int) -> bytes:
    return bytes((0x90, 0x04, mask, 0x00, 0x50, 0x01))


def status(mask: int, counts: int, *, velocity: int = 0, current: int = 0) -> bytes:
    return (
        bytes.fromhex("91 04 0E 00 81 50")
        + bytes((mask, 0))
        + counts.to_bytes(4, "little")
        + velocity.to_bytes(2, "little")
        + current.to_bytes(2, "little")
        + bytes.fromhex("00 04 00 80")
    )


def asked(*counts: int) -> list[tuple[bytes, bytes]]:
    return [(ask(1 << index), status(1 << index, one)) for index, one in enumerate(counts)]


ENABLED = [
    (bytes((0x11, 0x02, mask, 0x00, 0x50, 0x01)), bytes((0x12, 0x02, mask, 0x01, 0x01, 0x50)))
    for mask in (1, 2, 4)
]
GREETING = [
    (STOP_UPDATES, b""),
    (ASK_INFO, info()),
    (ASK_PARAMETERS, PARAMETERS_50),
    (ENABLE_ALL, b""),
    *ENABLED,
]
QUIET = MPC320Settings(velocity_percent=50)


def driver_of(script: Script, settings: MPC320Settings = QUIET) -> ThorlabsMPC320:
    limits = MODELS[0].limits
    assert isinstance(limits, PolarisationLimits)
    return ThorlabsMPC320(
        "paddles",
        limits=limits,
        link=script.link(chatty=True),
        clock=script.clock,
        settings=settings,
    )


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, ThorlabsMPC320]:
    script = ScriptedLine([*GREETING, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def degrees(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.radians(np.array(values, dtype=np.float64))


def test_open_enables_all_paddles_with_one_mask_and_keeps_the_velocity() -> None:
    script, driver = opened()
    assert driver.identity.text == "Thorlabs MPC320 38012345 66051"
    assert not driver.simulated
    script.finish()


def test_open_sets_the_velocity_and_leaves_the_other_parameters() -> None:
    script = ScriptedLine(
        [
            *GREETING[:2],
            (ASK_PARAMETERS, PARAMETERS_80),
            (SET_PARAMETERS_50, b""),
            (ASK_PARAMETERS, PARAMETERS_50),
            *GREETING[3:],
        ]
    )
    driver_of(script).open()
    script.finish()


def test_open_is_refused_when_the_velocity_is_not_taken() -> None:
    pairs = [*GREETING[:2], *[(ASK_PARAMETERS, PARAMETERS_80), (SET_PARAMETERS_50, b"")]]
    script = ScriptedLine([*pairs, (ASK_PARAMETERS, PARAMETERS_80)])
    with pytest.raises(InstrumentError, match="set to 50 % but reads back as 80 %"):
        driver_of(script).open()


def test_open_is_refused_when_a_paddle_is_not_enabled() -> None:
    disabled = (ENABLED[1][0], bytes.fromhex("12 02 02 02 01 50"))
    script = ScriptedLine([*GREETING[:5], disabled])
    with pytest.raises(InstrumentError, match="paddle 2 cannot be enabled"):
        driver_of(script).open()


def test_open_refuses_another_model_and_shows_both() -> None:
    script = ScriptedLine([(STOP_UPDATES, b""), (ASK_INFO, info(b"KDC101"))])
    with pytest.raises(InstrumentError, match="MPC320 was expected, 'Thorlabs,KDC101' answers"):
        driver_of(script).open()
    assert script.closed == 1


def test_open_knows_an_emulator_by_the_bytes_that_the_maker_keeps() -> None:
    script = ScriptedLine([GREETING[0], (ASK_INFO, info(kept=b"SIM42")), *GREETING[2:]])
    driver = driver_of(script)
    assert driver.open().serial == "SIM42"
    assert driver.simulated


def test_angles_move_only_the_paddle_that_is_elsewhere() -> None:
    script, driver = opened(
        *asked(0, 100, 1370),
        (MOVE_1_TO_685, b""),
        (ask(1), status(1, 300, velocity=50, current=120)),  # on its way
        (ACKNOWLEDGE, b""),
        (ask(1), AT_685),
        *asked(685, 100, 1370),
        (ACKNOWLEDGE, b""),
    )
    begun_s = script.clock.now()
    driver.set_angles(np.array([685, 100, 1370]) * COUNT_RAD)
    assert script.clock.now() - begun_s == pytest.approx(0.2 + 0.02)  # one pause, one poll
    script.finish()


def test_angles_are_read_past_what_the_controller_says_unasked() -> None:
    script, driver = opened(
        (ask(1), status(2, 7) + bytes.fromhex("64 04 01 00 01 50") + status(1, 685)),
        (ask(2), status(1, 3) + status(2, 0)),
        (ask(4), status(4, 1370)),
        (ACKNOWLEDGE, b""),
    )
    np.testing.assert_allclose(driver.angles(), degrees(85, 0, 170), atol=1e-12)
    script.finish()


def test_angles_are_reached_from_below_when_the_settings_say_so() -> None:
    def move(mask: int, counts: int) -> tuple[bytes, bytes]:
        data = bytes((mask, 0)) + counts.to_bytes(4, "little")
        return bytes.fromhex("53 04 06 00 D0 01") + data, b""

    script = ScriptedLine(
        [
            *GREETING,
            *asked(800, 0, 20),
            move(1, 644),  # lower by 0.0886 rad, 41 counts
            move(4, 0),  # no lower than 0
            (ask(1), status(1, 644)),
            (ask(4), status(4, 0)),
            move(1, 685),
            move(2, 685),
            move(4, 10),
            (ask(1), status(1, 685)),
            (ask(2), status(2, 685)),
            (ask(4), status(4, 10)),
            *asked(685, 685, 10),
            (ACKNOWLEDGE, b""),
        ]
    )
    driver = driver_of(script, MPC320Settings(velocity_percent=50, approach_rad=41 * COUNT_RAD))
    driver.open()
    driver.set_angles(np.array([685, 685, 10]) * COUNT_RAD)
    script.finish()


def test_home_turns_all_paddles_on_opening_when_the_settings_say_so() -> None:
    homes = [(bytes((0x43, 0x04, mask, 0x00, 0x50, 0x01)), b"") for mask in (1, 2, 4)]
    homed = bytes.fromhex("44 04 01 00 01 50")
    script = ScriptedLine(
        [
            *GREETING,
            (ASK_PARAMETERS, PARAMETERS_50),
            *homes,
            (ask(1), status(1, 90, velocity=50, current=120)),
            (ACKNOWLEDGE, b""),
            (ask(1), homed + status(1, 0)),
            *asked(0, 0, 0)[1:],
        ]
    )
    driver_of(script, MPC320Settings(velocity_percent=50, home=True)).open()
    script.finish()


def test_paddle_that_is_held_is_named_when_its_time_is_over() -> None:
    polls = [(ask(1), status(1, 40, velocity=50, current=400)), (ACKNOWLEDGE, b"")]
    script, driver = opened(*asked(0, 0, 0), (MOVE_1_TO_685, b""), *polls * 200)
    with pytest.raises(InstrumentError, match=r"paddles \[1\] did not reach \[685\] counts"):
        driver.set_angles(np.array([685, 0, 0]) * COUNT_RAD)
    assert script.clock.now() < 4


def test_paddle_that_slipped_is_found_out() -> None:
    _, driver = opened(
        *asked(0, 0, 0),
        (MOVE_1_TO_685, b""),
        (ask(1), AT_685),
        *asked(600, 0, 0),
        (ACKNOWLEDGE, b""),
    )
    with pytest.raises(ReadbackError, match=r"angles\[0\] was set to 1\.48"):
        driver.set_angles(np.array([685, 0, 0]) * COUNT_RAD)


def test_garbage_is_shown_and_named_when_it_is_answered_twice() -> None:
    pairs = (ask(1), b"\xff" * 6)
    _, driver = opened(pairs, *GREETING, pairs)
    with pytest.raises(AnswerError, match=r"paddles: angles.*got ff ff ff ff ff ff"):
        driver.angles()


def test_open_says_that_nothing_answers() -> None:
    script = ScriptedLine([(STOP_UPDATES, b""), (ASK_INFO, b"")] * 2)
    with pytest.raises(LinkError, match="paddles: open: script: no complete answer within 1 s"):
        driver_of(script).open()
    assert script.closed == 1


@pytest.mark.parametrize(
    "settings",
    [{"velocity_percent": 9}, {"velocity_percent": 101}, {"approach_rad": -0.1}],
    ids=["slow", "fast", "approach"],
)
def test_settings_are_refused_when_beyond_what_it_can_do(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="it must be"):
        MPC320Settings(**settings)  # type: ignore[arg-type]


def test_parser_raises_nothing_but_link_and_answer_errors_over_random_input() -> None:
    rng = np.random.default_rng(11)
    good = [AT_685, PARAMETERS_50, info(), bytes.fromhex("64 04 01 00 01 50")]
    answers = []
    for count in range(10_000):
        data = bytearray(good[count % 4])
        for place in rng.integers(0, len(data), 2):
            data[place] = rng.integers(0, 256)
        answers.append(
            bytes(data) if count % 3 else rng.integers(0, 256, 30, dtype=np.uint8).tobytes()
        )
    script = Script([*((ask(1), one) for one in answers), *GREETING[:2]])
    link = script.link(chatty=True)
    link.attach("fuzz", lambda: None)
    outcomes = {"message": 0, "refused": 0}
    for _ in answers:
        link.discard()
        try:
            link.order(ask(1), read_message)
            outcomes["message"] += 1
        except (AnswerError, LinkError):
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 1000
    link.discard()
    assert Apt(link, script.clock, pause_s=0.0).hardware().model == "MPC320"
    script.finish()
