"""The driver of the Keysight N773x switches: the bytes that it sends and understands."""

import pytest

from drivers.errors import AnswerError, InstrumentError, LinkTimeoutError, RefusedError
from drivers.instruments import SwitchLimits
from drivers.path.keysight_n773x import KeysightN773x, N773xSettings
from tests.wire.scripted import Script

LIMITS = SwitchLimits(positions=("light", "blocked"), safe_position="blocked")
NONE = b'+0,"No error"\n'
HELLO = [
    (b"*CLS\n", b""),
    (b"*IDN?\n", b"Keysight Technologies,N7731A,DE1,1.22\n"),
]
TO_BLOCKED = [
    (b":ROUT1 A,2;:SYST:ERR?\n", NONE),
    (b"*OPC?;:SYST:ERR?\n", b"1;" + NONE),
]
IS_BLOCKED = (b":ROUT1?;:SYST:ERR?\n", b"A,2;" + NONE)
OPEN = [*HELLO, *TO_BLOCKED, IS_BLOCKED]


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, KeysightN773x]:
    script = Script([*OPEN, *pairs])
    switch = KeysightN773x("switch", limits=LIMITS, link=script.link(), clock=script.clock)
    switch.open()
    return script, switch


def test_open_goes_to_the_dump_and_knows_who_answers() -> None:
    script, switch = opened()
    assert switch.identity.serial == "DE1"
    assert not switch.simulated
    script.finish()


def test_open_knows_a_twin_by_its_serial_number() -> None:
    pairs = [(b"*CLS\n", b""), (b"*IDN?\n", b"Keysight Technologies,N7734A,SIM9,1.22\n")]
    script = Script([*pairs, *TO_BLOCKED, IS_BLOCKED])
    switch = KeysightN773x("switch", limits=LIMITS, link=script.link(), clock=script.clock)
    switch.open()
    assert switch.simulated


def test_select_waits_until_nothing_is_pending_when_the_box_is_busy() -> None:
    script, switch = opened(
        (b":ROUT1 A,1;:SYST:ERR?\n", NONE),
        (b"*OPC?;:SYST:ERR?\n", b"0;" + NONE),
        (b"*OPC?;:SYST:ERR?\n", b"0;" + NONE),
        (b"*OPC?;:SYST:ERR?\n", b"1;" + NONE),
        (b":ROUT1?;:SYST:ERR?\n", b"A,1;" + NONE),
    )
    switch.select("light")
    assert script.clock.time_s == pytest.approx(2 * 5e-3)
    script.finish()


def test_select_uses_the_outputs_and_the_channel_of_the_settings() -> None:
    script = Script(
        [
            *HELLO,
            (b":ROUT2 A,4;:SYST:ERR?\n", NONE),
            (b"*OPC?;:SYST:ERR?\n", b"1;" + NONE),
            (b":ROUT2?;:SYST:ERR?\n", b"A,4;" + NONE),
        ]
    )
    settings = N773xSettings(light=3, blocked=4)
    switch = KeysightN773x(
        "switch",
        limits=LIMITS,
        link=script.link(),
        clock=script.clock,
        channel=2,
        settings=settings,
    )
    switch.open()
    script.finish()


def test_selected_takes_the_first_input_when_two_are_connected() -> None:
    script, switch = opened((b":ROUT1?;:SYST:ERR?\n", b"A,2;B,1;" + NONE))
    assert switch.selected() == "blocked"
    script.finish()


def test_selected_names_the_output_when_it_is_no_position() -> None:
    script, switch = opened((b":ROUT1?;:SYST:ERR?\n", b"A,4;" + NONE))
    assert switch.selected() == "output 4"
    script.finish()


def test_select_raises_and_goes_to_the_dump_when_the_route_is_refused() -> None:
    script, switch = opened(
        (b":ROUT1 A,1;:SYST:ERR?\n", b'-220,"Parameter error (StatParamError)"\n'),
        (b":SYST:ERR?\n", NONE),
        *TO_BLOCKED,
        IS_BLOCKED,
    )
    with pytest.raises(RefusedError, match=r"-220 Parameter error \(StatParamError\)"):
        switch.select("light")
    script.finish()


def test_select_gives_up_when_the_box_stays_busy() -> None:
    busy = [(b"*OPC?;:SYST:ERR?\n", b"0;" + NONE)] * 201
    _, switch = opened((b":ROUT1 A,1;:SYST:ERR?\n", NONE), *busy, *TO_BLOCKED, IS_BLOCKED)
    with pytest.raises(InstrumentError, match="still busy after 1 s"):
        switch.select("light")


def test_selected_shows_the_bytes_when_the_answer_is_no_route() -> None:
    _, switch = opened((b":ROUT1?;:SYST:ERR?\n", b"one;" + NONE))
    with pytest.raises(AnswerError, match="6f 6e 65"):
        switch.selected()


def test_selected_raises_when_nobody_answers_twice() -> None:
    script, switch = opened(
        (b":ROUT1?;:SYST:ERR?\n", b""),
        *HELLO,
        (b":ROUT1?;:SYST:ERR?\n", b""),
    )
    with pytest.raises(LinkTimeoutError, match="no complete answer within 1 s"):
        switch.selected()
    assert script.opened == 2


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script([(b"*CLS\n", b""), (b"*IDN?\n", b"Keysight Technologies,N7744A,DE1,1.2\n")])
    switch = KeysightN773x("switch", limits=LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=r"N773\[1-4\]A was expected.*N7744A") as raised:
        switch.open()
    assert "switch" in str(raised.value)
    assert script.closed == 1
