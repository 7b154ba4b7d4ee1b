"""The driver of the Qontrol Q8iv in its exact bytes."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.dialects.qontrol import Expected, ask, voltage_frame
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import PhaseDriverLimits
from drivers.modulators.qontrol_q8iv import MODELS, Q8ivSettings, QontrolQ8iv
from tests.wire.raw import rubbish
from tests.wire.scripted import Babble, Script, ScriptedLine

GREETING = [
    (b"id?\n", b"Q8iv-0123\n"),
    (b"nupall?\n", b"Q8iv-0123:0\n"),
    (b"vfull?\n", b"+12.000 V\n"),
]
HEAD = bytes.fromhex("82 00 00 00 00 00 08")
DARK = HEAD + bytes(16)
SIX = (HEAD + bytes.fromhex("7F FF") + bytes(14), b"OK\n")


def measured(*volts: float) -> tuple[bytes, bytes]:
    padded = [*volts, *[0.0] * (8 - len(volts))]
    return b"vall?\n", "".join(f"{one:+.3f} V\n" for one in padded).encode()


SAFE = [(DARK, b"OK\n"), measured()]


def volts(*first: float) -> NDArray[np.float64]:
    return np.array([*first, *[0.0] * (8 - len(first))])


def driver_of(
    script: Script, settings: Q8ivSettings | None = None, channel: int = 1, channels: int = 8
) -> QontrolQ8iv:
    limits = MODELS[0].limits
    assert isinstance(limits, PhaseDriverLimits)
    return QontrolQ8iv(
        "mesh",
        limits=replace(limits, channels=channels),
        link=script.link(chatty=True),
        clock=script.clock,
        channel=channel,
        settings=settings,
    )


def opened(*pairs: tuple[bytes, bytes]) -> tuple[ScriptedLine, QontrolQ8iv]:
    script = ScriptedLine([*GREETING, *SAFE, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_asks_for_the_chain_and_turns_all_outputs_off() -> None:
    script = ScriptedLine([*GREETING, *SAFE])
    assert driver_of(script).open().text == "Qontrol Q8iv 0123 "
    script.finish()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [(b"Q8iv-****\n", "Qontrol Q8iv  "), (b"\r\nQ8iv-007\r\n", "Qontrol Q8iv 007 ")],
    ids=["no number", "other ends"],
)
def test_identity_is_read_when_it_is_written_otherwise(answer: bytes, shown: str) -> None:
    script = ScriptedLine([(b"id?\n", answer), *GREETING[1:], *SAFE])
    assert driver_of(script).open().text == shown


def test_open_is_refused_when_another_device_answers() -> None:
    script = ScriptedLine([(b"id?\n", b"Q8b-0123\n")])
    with pytest.raises(InstrumentError, match="Qontrol Q8iv was expected, 'Qontrol,Q8b' answers"):
        driver_of(script).open()


def test_open_is_refused_when_a_module_of_another_kind_is_in_the_chain() -> None:
    chain = b"Q8iv-0123:0\nQ8b-0004:8\n"
    script = ScriptedLine([GREETING[0], (b"nupall?\n", chain)])
    with pytest.raises(InstrumentError, match="module 'Q8b-0004:8' is in the chain"):
        driver_of(script, Q8ivSettings(modules=2), channels=16).open()


def test_open_is_refused_when_there_are_more_modules() -> None:
    chain = b"Q8iv-0123:0\nQ8iv-0124:8\n"
    with pytest.raises(InstrumentError, match=r"more modules answer than settings\.modules = 1"):
        driver_of(ScriptedLine([GREETING[0], (b"nupall?\n", chain)])).open()


def test_open_is_refused_when_there_are_fewer_modules() -> None:
    script = ScriptedLine([*GREETING[:2]] * 2)
    with pytest.raises(InstrumentError, match=r"fewer modules answer than settings\.modules = 2"):
        driver_of(script, Q8ivSettings(modules=2), channels=16).open()


def test_open_says_that_nothing_answers() -> None:
    with pytest.raises(LinkTimeoutError, match="mesh: open: script: no complete answer"):
        driver_of(ScriptedLine([(b"id?\n", b"")] * 2)).open()


@pytest.mark.parametrize(
    ("first", "values", "wanted"),
    [
        (0, [1.0, 2.0], "82 00 00 00 00 00 02 15 55 2A AA"),
        (3, [6.0], "82 00 00 00 03 00 01 7F FF"),
        (300, [12.0], "82 00 00 01 2C 00 01 FF FF"),
    ],
)
def test_frame_has_the_makers_bytes(first: int, values: list[float], wanted: str) -> None:
    assert voltage_frame(first, np.array(values), 12.0) == bytes.fromhex(wanted)


def test_all_voltages_go_out_in_one_frame_and_are_measured() -> None:
    script, driver = opened(SIX, measured(5.998))
    driver.set_voltages(volts(6.0))
    script.finish()


def test_all_voltages_go_out_in_one_line_when_the_firmware_is_old() -> None:
    zeros = ",".join(["0.0000"] * 6)
    text = [
        (f"vVEC2={zeros}\n".encode(), b"OK\n"),
        measured(),
        (b"vVEC2=6.0000,0.5000,0.0000,0.0000,0.0000,1.2346\n", b"OK\n"),
        measured(0, 0, 5.998, 0.5, 0, 0, 0, 1.233),
    ]
    script = ScriptedLine([*GREETING, *text])
    driver = driver_of(script, Q8ivSettings(binary=False), channel=3, channels=6)
    driver.open()
    driver.set_voltages(np.array([6.0, 0.5, 0, 0, 0, 1.23456]))
    script.finish()


def test_voltage_that_is_not_there_is_found_out() -> None:
    script, driver = opened(SIX, measured(), *SAFE)
    with pytest.raises(ReadbackError, match=r"volts\[0\] was set to 6\.0 V but reads back as 0\.0"):
        driver.set_voltages(volts(6.0))
    script.finish()


def test_voltages_above_the_full_scale_of_the_chain_are_refused() -> None:
    script = ScriptedLine([*GREETING[:2], (b"vfull?\n", b"10.000 V\n"), *SAFE, *SAFE])
    driver = driver_of(script)
    driver.open()
    with pytest.raises(LimitError, match=r"12\.0 V is above the chain's full scale of 10\.0 V"):
        driver.set_voltages(volts(12.0))
    script.finish()


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(b"E02:00\nOK\n", []), (b"OK\nE02:00\n", [measured()]), (b"E02:00\n", [])],
    ids=["before", "behind", "alone"],
)
def test_trip_is_named_and_made_safe_wherever_it_is_reported(
    answer: bytes, asked: list[tuple[bytes, bytes]]
) -> None:
    script, driver = opened((SIX[0], answer), *asked, *SAFE)
    with pytest.raises(InstrumentError, match=r"mesh: over-current at output 0 \(E02:00\); look"):
        driver.set_voltages(volts(6.0))
    script.finish()


def test_trip_that_was_reported_meanwhile_is_named_at_the_next_question() -> None:
    script, driver = opened((b"vall?\n", b"E01:05\n" + measured()[1]))
    with pytest.raises(InstrumentError, match=r"over-voltage at output 5 \(E01:05\)"):
        driver.voltages()
    script.finish()


def test_trip_does_not_stand_in_the_way_of_the_safe_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script, driver = opened((DARK, b"E02:03\nOK\n"), measured())
    with caplog.at_level(logging.WARNING, "veilight.instruments"):
        driver.make_safe()
    assert "mesh: over-current at output 3 (E02:03)" in caplog.text
    script.finish()


def test_reset_is_named_when_it_is_reported_before_the_answer() -> None:
    script, driver = opened(
        SIX,
        measured(5.998),
        (b"vall?\n", b"E90:00\n" + measured()[1]),
        *GREETING,
        measured(),
        (DARK, b"OK\n"),
    )
    driver.set_voltages(volts(6.0))
    with pytest.raises(ReadbackError, match="had forgotten voltages") as raised:
        driver.voltages()
    assert "switched on anew" in "".join(raised.value.__notes__)
    script.finish()


def test_order_is_not_repeated_when_the_chain_was_reset() -> None:
    script, driver = opened((SIX[0], b"E90:00\nOK\n"), *GREETING, *SAFE)
    with pytest.raises(AnswerError, match="all set points are gone, its outputs are at 0 V"):
        driver.set_voltages(volts(6.0))
    script.finish()


def test_query_is_repeated_when_the_chain_received_damaged_bytes() -> None:
    script, driver = opened((b"vall?\n", b"E15:01\n"), *GREETING, measured(0.0))
    assert not driver.voltages().any()
    script.finish()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b"E14:01\n", r"its buffer overflowed \(E14:01\)"),
        (b"E10:00\n", r"unrecognised command \(E10:00\)"),
        (b"E77:00\n", r"an error that the maker does not list \(E77:00\)"),
    ],
    ids=["overflow", "unknown", "unlisted"],
)
def test_refusal_is_told_in_words(answer: bytes, shown: str) -> None:
    script, driver = opened((SIX[0], answer), *SAFE)
    with pytest.raises(RefusedError, match=rf"mesh: .*'82 00 00 .*' was refused: {shown}"):
        driver.set_voltages(volts(6.0))
    script.finish()


def test_garbage_is_shown_and_named_when_it_is_answered() -> None:
    wrong = (b"vall?\n", b"\xff\xfe V\n")
    _, driver = opened(wrong, *GREETING, wrong)
    with pytest.raises(AnswerError, match=r"mesh: voltages\?: .*got ff fe 20 56"):
        driver.voltages()


def test_endless_reports_end() -> None:
    flood = (b"vall?\n", b"E02:03\n" * 200)
    _, driver = opened(flood, *GREETING, flood)
    with pytest.raises(AnswerError, match="error reports and no a voltage of every output"):
        driver.voltages()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Q8ivSettings(modules=0), "modules is 0"),
        (lambda: Q8ivSettings(modules=33), "must be 1 to 32"),
        (lambda: Q8ivSettings(outputs=9), "outputs is 9; it must be 0 to 8"),
        (lambda: Q8ivSettings(outputs=8).used(2), "channel is 2 and outputs 8; 1 modules have 8"),
        (lambda: Q8ivSettings().used(9), "channel is 9"),
    ],
    ids=["none", "too many", "more than there are", "beyond the end", "behind the end"],
)
def test_chain_is_refused_when_the_role_does_not_fit(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_outputs_are_those_of_the_chain_behind_the_channel() -> None:
    assert Q8ivSettings(modules=8).used(1) == 64
    assert Q8ivSettings(modules=16, outputs=64).used(65) == 64


def test_parser_survives_ten_thousand_random_and_damaged_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "veilight.links")
    good = measured(1.0, 2.0)[1]
    babble = Babble()
    link = babble.link(chatty=True)
    link.attach("fuzz", lambda: None)
    expected = Expected(form=re.compile(rb"[+-]\d+\.\d+ V"), count=8, what="a voltage")
    faults = 0
    for babble.said in rubbish([good], 10_000, seed=8):
        try:
            found = ask(link, "vall?", expected)
        except (AnswerError, LinkError, RefusedError):
            faults += 1
        else:
            assert len(found.lines) == 8 or found.trips
    assert faults > 5000
