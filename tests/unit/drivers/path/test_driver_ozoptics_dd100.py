"""The driver of the OZ Optics DD-100-MC in its exact bytes."""

import math

import pytest

from drivers.errors import (
    AnswerError,
    InstrumentError,
    LinkError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
    SafetyError,
)
from drivers.instruments import AttenuatorLimits, Range
from drivers.path.ozoptics_dd100 import OZOpticsDD100, identify
from tests.wire.raw import rubbish
from tests.wire.scripted import Babble, Script, ScriptedLine

Pair = tuple[bytes, bytes]
END = b"Done\r\n\r\n"


def at(db: float) -> Pair:
    return b"A?\r\n", f"Atten:{db:.2f}(dB)\r\n".encode() + END


def to(db: float) -> Pair:
    return f"A{db:.2f}\r\n".encode(), b"Pos:123\r\n" + END


ECHO_OFF = (b"E0\r\n", END)
CONFIGURATION = (
    b"CD\r\n",
    b"DD-100-MC\r\nIL:0.80\r\nMAX ATTEN:60.00\r\nWAVELENGTH:1550\r\n" + END,
)
UNKNOWN = (b"A?\r\n", b"Atten:unknown\r\n" + END)
HOME = (b"H\r\n", b"Diff=2\r\n" + END)
CLOSED, OPEN = at(60.0), at(10.8)
GREETING = [CLOSED, ECHO_OFF, CONFIGURATION, CLOSED]
SAFE = [to(60.0), CLOSED, CLOSED, CLOSED]


def driver_of(script: Script, highest_db: float = 50.0) -> OZOpticsDD100:
    limits = AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=highest_db))
    link = script.link(chatty=True)
    return OZOpticsDD100("attenuator", limits=limits, link=link, clock=script.clock)


def opened(*pairs: Pair) -> tuple[ScriptedLine, OZOpticsDD100]:
    script = ScriptedLine([*GREETING, *SAFE, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_goes_home_when_the_position_is_unknown() -> None:
    script = ScriptedLine([UNKNOWN, ECHO_OFF, CONFIGURATION, UNKNOWN, HOME, *SAFE])
    assert driver_of(script).open().text == "OZ Optics DD-100-MC  "
    script.finish()


@pytest.mark.parametrize("end", [b"Done\r\n", b"Done\r\n\r\n", b"\r\nDone\r\n\r\n\r\n"])
def test_blank_lines_do_not_matter(end: bytes) -> None:
    script = ScriptedLine([(sent, said.replace(END, end)) for sent, said in [*GREETING, *SAFE]])
    driver_of(script).open()
    script.finish()


def test_echo_is_left_off() -> None:
    script = ScriptedLine([(sent, sent + said) for sent, said in [*GREETING, *SAFE]])
    driver_of(script).open()
    script.finish()


def test_open_is_refused_when_the_unit_is_not_dark_enough() -> None:
    weak = (CONFIGURATION[0], b"IL:1.00\r\nMAX ATTEN:40.00\r\n" + END)
    with pytest.raises(InstrumentError, match=r"set limits\.attenuation_db_max to 38 or less"):
        driver_of(ScriptedLine([CLOSED, ECHO_OFF, weak])).open()


def test_open_is_refused_when_the_configuration_lacks_a_line() -> None:
    other = (CONFIGURATION[0], b"IL:1.00\r\n" + END)
    with pytest.raises(InstrumentError, match=r"its configuration has no MAX ATTEN: .IL:1\.00"):
        driver_of(ScriptedLine([CLOSED, ECHO_OFF, other])).open()


def test_shutter_opens_to_the_attenuation_that_was_set_while_it_was_closed() -> None:
    script, driver = opened(CLOSED, CLOSED, to(10.8), OPEN, OPEN, OPEN)
    driver.set_attenuation_db(10.0)
    driver.set_shutter(True)
    assert driver.shutter_open()
    assert driver.attenuation_db() == pytest.approx(10.0)
    script.finish()


def test_attenuation_moves_at_once_when_it_is_open() -> None:
    script, driver = opened(OPEN, to(20.8), at(20.8))
    driver.set_attenuation_db(20.0)
    script.finish()


def test_shutter_closes_to_the_darkest_setting() -> None:
    script, driver = opened(to(60.0), CLOSED)
    driver.set_shutter(False)
    script.finish()


def test_attenuation_that_is_not_reached_is_found_out() -> None:
    _, driver = opened(OPEN, to(20.8), at(19.0), *SAFE)
    with pytest.raises(
        ReadbackError, match=r"attenuation was set to 20\.0 dB but reads back as 18"
    ):
        driver.set_attenuation_db(20.0)


def test_position_that_is_lost_is_neither_closed_nor_a_number() -> None:
    script, driver = opened(UNKNOWN, UNKNOWN)
    assert driver.shutter_open()
    assert math.isnan(driver.attenuation_db())
    script.finish()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b"Error-2\r\nDone\r\n\r\n", "'Error-2', bad command or value"),
        (b"Error-7\r\n", "'Error-7', the motor's voltage fails"),
        (b"Error-9\r\nDone\r\n", "'Error-9', for a reason that is not known"),
    ],
    ids=["with its end", "without", "unlisted"],
)
def test_refusal_is_told_in_words(answer: bytes, shown: str) -> None:
    script, driver = opened(OPEN, (b"A20.80\r\n", answer), *SAFE)
    with pytest.raises(RefusedError, match=rf"'A20\.80' was refused: {shown}"):
        driver.set_attenuation_db(20.0)
    script.finish()


def test_order_is_not_repeated_when_it_is_not_answered() -> None:
    script, driver = opened(OPEN, (b"A20.80\r\n", b""), *GREETING, *SAFE)
    begin_s = script.clock.now()
    with pytest.raises(LinkTimeoutError, match=r"attenuator: set attenuation 20\.0 dB: .* 20 s"):
        driver.set_attenuation_db(20.0)
    assert script.clock.now() - begin_s > 20
    script.finish()


@pytest.mark.parametrize(
    "answer",
    [b"Done\r\n\r\n", b"Atten:x(dB)\r\nDone\r\n", b"\xff\xfe\r\nDone\r\n", b"x\r\n" * 64],
    ids=["nothing", "no number", "bytes", "endless"],
)
def test_garbage_is_shown_and_named_when_it_is_answered(answer: bytes) -> None:
    wrong = (b"A?\r\n", answer)
    _, driver = opened(wrong, *GREETING, wrong)
    with pytest.raises(AnswerError, match=r"attenuator: shutter\?: .*got (nothing|[0-9a-f]{2} )"):
        driver.shutter_open()


def test_open_says_that_nothing_answers() -> None:
    with pytest.raises(LinkTimeoutError, match="attenuator: open: script: no complete answer"):
        driver_of(ScriptedLine([(b"A?\r\n", b"")] * 2)).open()


def test_query_waits_for_the_motor_when_an_order_was_left_under_way() -> None:
    late = (b"A?\r\n", b"Pos:1500\r\n" + END + CLOSED[1])
    script, driver = opened((b"A60.00\r\n", b""), late, *GREETING[1:], *SAFE)
    with pytest.raises(SafetyError, match="could not be made safe"):
        driver.make_safe(0.04)
    driver.make_safe()
    script.finish()


def test_parser_survives_ten_thousand_random_and_damaged_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "veilight.links")
    babble = Babble()
    link = babble.link(chatty=True)
    link.attach("fuzz", lambda: None)
    faults = 0
    for babble.said in rubbish([OPEN[1]], 10_000, seed=8):
        try:
            identify(link)
        except (AnswerError, LinkError, RefusedError):
            faults += 1
    assert 5000 < faults < 10_000
