"""The grammar of IEEE 488.2 and SCPI as an instrument hears it."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire import scpi_session
from sim_backend.wire.scpi_session import (
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    ScpiSession,
    block,
)
from tests.wire.raw import hear, rubbish

NONE = b'+0,"No error"\n'
UNDEFINED = b'-113,"Undefined header"\n'


class Box:
    """An instrument that writes down what it is told."""

    def __init__(self, *, ends: bytes = b"\n", end: bytes = b"\n", size: int = 30) -> None:
        self.clock = SimulatedClock()
        self.calls: list[tuple[str, Call]] = []
        self.errors = ErrorQueue(size=size)
        self.ready_at_s = 0.0
        table: dict[str, Handler] = {
            "*IDN?": lambda _: "Acme,Box,SIM1,1",
            ":OUTPut#[:STATe]": self.note("output"),
            ":OUTPut#[:STATe]?": lambda call: f"{call.suffixes[0]}",
            "[:SOURce#]:POWer[:LEVel]": self.note("power"),
            "[:SOURce#]:POWer[:LEVel]?": lambda _: "1.5",
            "[:SOURce#]:POWer:UNIT": self.note("unit"),
            "[:SOURce#]:POWer:UNIT?": lambda _: "W",
            ":TRACe:DATA": self.note("data"),
            ":TRACe:DATA?": lambda _: block(b"a;b\n#"),
            ":TRACe:NAME": self.note("name"),
            ":VOLTage": self.volts,
            ":WAIT": self.wait,
            ":MODE": lambda call: call.word({"IMMediate": "i", "EXTernal": "e"}),
        }
        self.session = ScpiSession(
            self.clock, table, self.errors, ends=ends, end=end, complete=self.is_ready
        )

    def is_ready(self) -> bool:
        return self.clock.now() >= self.ready_at_s

    def note(self, name: str) -> Handler:
        return lambda call: self.calls.append((name, call))

    def volts(self, call: Call) -> None:
        self.calls.append((f"{call.number({'V': 1.0, 'MV': 1e-3}):g} V", call))

    def wait(self, call: Call) -> None:
        self.ready_at_s = self.clock.now() + call.number()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.mark.parametrize(
    "header",
    [
        b":SOURce1:POWer:LEVel",
        b"SOUR:POW:LEV",
        b"source1:power",
        b":POW",
        b"pow",
        b":SoUr01:PoWeR:lEvEl",
    ],
)
def test_header_is_understood_in_long_and_short_forms(header: bytes) -> None:
    box = Box()
    assert box.hear(header + b" 3\n") == b""
    assert box.names == ["power"]
    assert box.calls[0][1].arguments == ("3",)
    assert box.hear(b":SYST:ERR?\n") == NONE


@pytest.mark.parametrize(
    "header",
    [b":SOURC1:POW", b":SOU:POW", b":POWE", b":POW:LEVEL:MORE", b":OUTP1x", b"*FOO", b"::"],
)
def test_header_in_between_is_undefined_and_silent(header: bytes) -> None:
    box = Box()
    assert box.hear(header + b"?\n") == b""
    assert box.calls == []
    assert box.hear(b"SYSTEM:ERROR:NEXT?\n") == UNDEFINED


def test_suffix_is_given_and_is_one_when_left_out() -> None:
    box = Box()
    assert box.hear(b":OUTP7?;:OUTP?;:OUTP0?\n") == b"7;1;0\n"


def test_answers_of_a_message_are_joined_in_order() -> None:
    box = Box()
    assert box.hear(b":POW?;:OUTP2?;:POW:UNIT?;:SYST:ERR?\n") == b'1.5;2;W;+0,"No error"\n'


def test_answers_of_two_messages_are_two_lines() -> None:
    assert Box().hear(b":POW?\n:OUTP2?\n") == b"1.5\n2\n"


def test_header_is_relative_to_the_last_of_the_message() -> None:
    box = Box()
    assert box.hear(b":SOUR1:POW:LEV 1;UNIT W;UNIT?;LEV?\n") == b"W;1.5\n"
    assert box.names == ["power", "unit"]


def test_common_command_does_not_change_what_a_header_is_relative_to() -> None:
    box = Box()
    assert box.hear(b":SOUR1:POW:LEV 1;*CLS;UNIT?\n") == b"W\n"


def test_relative_header_is_forgotten_with_the_message() -> None:
    box = Box()
    assert box.hear(b":SOUR1:POW:LEV 1\nUNIT?\n") == b""
    assert box.hear(b":SYST:ERR?\n") == UNDEFINED


@pytest.mark.parametrize("message", [b":POW?\r\n", b"  :POW?  \n", b";;:POW?;\n", b"\n\n:POW?\n"])
def test_blanks_and_empty_commands_do_no_harm(message: bytes) -> None:
    box = Box()
    assert box.hear(message) == b"1.5\n"
    assert len(box.errors) == 0


def test_arguments_are_cut_at_commas_outside_quotes() -> None:
    box = Box()
    box.hear(b""":TRAC:NAME "a,b;c", 'd"e' ,f\n""")
    assert box.calls[0][1].arguments == ('"a,b;c"', "'d\"e'", "f")
    assert len(box.errors) == 0


def test_quote_that_nobody_closes_ends_with_the_line() -> None:
    box = Box()
    assert box.hear(b':TRAC:NAME "a;b\n:POW?\n') == b"1.5\n"
    assert box.calls[0][1].arguments == ('"a;b',)


def test_tab_separates_header_and_argument() -> None:
    box = Box()
    box.hear(b":POW\t3\n")
    assert box.calls[0][1].arguments == ("3",)


@pytest.mark.parametrize("payload", [b"", b"\n", b"a;b\n:POW?\n\"'#215,", bytes(range(256)) * 3])
def test_block_counts_by_its_length_whatever_is_in_it(payload: bytes) -> None:
    box = Box()
    message = b":TRAC:DATA 1," + block(payload) + b";:POW?\n"
    assert box.hear(message) == b"1.5\n"
    (name, call) = box.calls[0]
    assert (name, call.arguments, call.block) == ("data", ("1",), payload)


def test_block_may_come_in_any_pieces() -> None:
    payload = b"x;\n" * 50
    message = b":TRAC:DATA " + block(payload) + b"\n:TRAC:DATA " + block(b"\n") + b"\n:POW?\n"
    box = Box()
    heard = b"".join(box.hear(message[place : place + 1]) for place in range(len(message)))
    assert heard == b"1.5\n"
    assert [call.block for _, call in box.calls] == [payload, b"\n"]


def test_block_is_answered_with_its_length_first() -> None:
    assert Box().hear(b":TRAC:DATA?;:POW?\n") == b"#15a;b\n#;1.5\n"


def test_hash_that_begins_no_block_is_text() -> None:
    box = Box()
    box.hear(b":TRAC:NAME #H1F,#,#2x5\n")
    assert box.calls[0][1].arguments == ("#H1F", "#", "#2x5")


@pytest.mark.parametrize(
    ("text", "volts"),
    [(b"1", "1 V"), (b"-2.5E-1 V", "-0.25 V"), (b"+.5MV", "0.0005 V"), (b"3 mv", "0.003 V")],
)
def test_number_takes_the_units_it_knows(text: bytes, volts: str) -> None:
    box = Box()
    box.hear(b":VOLT " + text + b"\n")
    assert box.names == [volts]


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (b":VOLT", -109),
        (b":VOLT 1,", 0),
        (b":VOLT one", -104),
        (b":VOLT 1A", -131),
        (b":VOLT NAN", -104),
        (b":VOLT 1e999", -222),
        (b":MODE IMM", 0),
        (b":MODE IMME", -224),
    ],
)
def test_argument_that_does_not_fit_has_its_number(message: bytes, number: int) -> None:
    box = Box()
    box.hear(message + b"\n")
    assert box.hear(b":SYST:ERR?\n").split(b",")[0] == f"{number:+d}".encode()


def test_call_reads_flags() -> None:
    assert Call(arguments=("on",)).flag()
    assert not Call(arguments=("0",)).flag()
    with pytest.raises(Complaint, match="-224"):
        Call(arguments=("2",)).flag()


def test_complaint_stops_only_its_own_command() -> None:
    box = Box()
    assert box.hear(b":VOLT x;:POW?;:SYST:ERR?\n") == b'1.5;-104,"Data type error"\n'


def test_queue_gives_the_oldest_first_and_ends_with_the_overflow() -> None:
    box = Box(size=3)
    box.hear(b":VOLT\n:VOLT x\n" + b":FOO\n" * 5)
    heard = [box.hear(b":SYST:ERR?\n") for _ in range(4)]
    assert heard == [
        b'-109,"Missing parameter"\n',
        b'-104,"Data type error"\n',
        b'-350,"Queue overflow"\n',
        NONE,
    ]


def test_queue_doubles_quotes_and_leaves_out_the_plus_where_asked() -> None:
    queue = ErrorQueue(empty='0,"No error"', plus=False)
    queue.add(5, 'a "b"')
    assert queue.next() == '5,"a ""b"""'
    assert queue.next() == '0,"No error"'


def test_event_register_has_a_bit_for_every_hundred_and_is_cleared_by_reading() -> None:
    box = Box()
    box.hear(b":FOO\n:VOLT 1e999\n")
    assert box.hear(b"*ESR?\n*ESR?\n") == b"48\n0\n"
    box.errors.add(-350, "Queue overflow")
    box.errors.add(-410, "Query INTERRUPTED")
    assert box.hear(b"*ESR?\n") == b"12\n"
    box.hear(b":FOO\n*CLS\n")
    assert box.hear(b"*ESR?;:SYST:ERR?\n") == b"0;" + NONE


def test_operation_complete_waits_and_holds_up_what_is_behind_it() -> None:
    box = Box()
    assert box.hear(b":WAIT 2;*OPC?;:POW?\n:OUTP3?\n") == b""
    box.clock.advance(1.9)
    assert box.session.take() == b""
    assert box.session.next_at() is None
    box.clock.advance(0.1)
    assert box.session.take() == b"1;1.5\n3\n"


def test_wait_command_holds_up_without_an_answer() -> None:
    box = Box()
    assert box.hear(b":WAIT 2;*WAI;:OUTP 1\n") == b""
    assert box.names == []
    box.clock.advance(2.0)
    assert box.session.take() == b""
    assert box.names == ["output"]


def test_answer_that_comes_later_says_when() -> None:
    clock = SimulatedClock()
    later: Callable[[Call], Later] = lambda _: Later(  # noqa: E731
        until=lambda: clock.now() >= 3.0, answer=lambda: f"{clock.now():g}", at_s=3.0
    )
    session = ScpiSession(clock, {"*IDN?": lambda _: "x", ":READ?": later}, ErrorQueue())
    assert hear(session, b":READ?\n") == b""
    assert session.next_at() == 3.0
    clock.advance(4.0)
    assert session.take() == b"4\n"


def test_ends_are_those_of_the_instrument() -> None:
    box = Box(ends=b"\r", end=b"\r\n")
    assert box.hear(b":POW?\r") == b"1.5\r\n"
    assert box.hear(b"\n:POW?\r") == b"1.5\r\n"
    assert box.hear(b":POW?\n") == b""


def test_usual_common_commands_are_there() -> None:
    box = Box()
    assert box.hear(b"*RST;*OPC;*TST?;*IDN?\n") == b"0;Acme,Box,SIM1,1\n"
    assert len(box.errors) == 0


def test_input_that_never_ends_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scpi_session, "_LONGEST", 100)
    box = Box()
    box.hear(b":TRAC:DATA #3200" + b"x" * 90)
    assert box.hear(b"\n:SYST:ERR?\n").endswith(b'-363,"Input buffer overrun"\n')
    assert box.hear(b":POW?\n") == b"1.5\n"


def test_answers_of_a_session_are_dropped_when_it_is_closed() -> None:
    box = Box()
    box.session.feed(b":POW?\n")
    box.session.close()
    assert box.session.take() == b""


MESSAGES = [
    b":SOUR1:POW 3;UNIT W;:POW?\n",
    b':TRAC:NAME "a;b",c\n',
    b":TRAC:DATA 1,#15;\n\"'#;:OUTP2?\n",
    b":WAIT 1;*OPC?;:POW?\n",
    b":FOO;:VOLT 1e999;:SYST:ERR?\n",
    b"*ESR?;*IDN?;:TRAC:DATA?\r\n",
]


@settings(max_examples=200, deadline=None)
@given(chosen=st.lists(st.sampled_from(MESSAGES), max_size=4), data=st.data())
def test_pieces_make_no_difference(chosen: list[bytes], data: st.DataObject) -> None:
    text = b"".join(chosen)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)) | {0, len(text)})
    whole, cut = Box(), Box()
    whole.session.feed(text)
    for begin, end in pairwise(cuts):
        cut.session.feed(text[begin:end])
    for box in (whole, cut):
        for _ in chosen:
            box.clock.advance(1.0)
            box.session.progress()
    assert cut.session.take() == whole.session.take()
    assert [(n, c.arguments, c.block) for n, c in cut.calls] == [
        (n, c.arguments, c.block) for n, c in whole.calls
    ]


def test_rubbish_never_raises() -> None:
    for messages, count, understood in ((MESSAGES, 10_000, 1000), ([b"".join(MESSAGES)], 500, 500)):
        box = Box()
        for message in rubbish(messages, count, seed=4882):
            box.session.feed(message)
            # Else it would wait for ever at the first order that takes time.
            box.clock.advance(1.0)
            box.session.take()
        assert len(box.calls) > understood
