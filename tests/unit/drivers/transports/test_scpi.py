"""The dialogue in the manner of SCPI: errors asked in the same message, blocks by their count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import AnswerError, LinkError, RefusedError
from drivers.transports.blocks import block_header, read_block
from drivers.transports.scpi import Scpi, parse_error, parse_identity
from tests.wire.scripted import Script

NONE = b'+0,"No error"'


def dialogue(*pairs: tuple[bytes, bytes], joined: bool = True) -> tuple[Script, Scpi]:
    script = Script(list(pairs))
    link = script.link()
    link.attach("box", lambda: None)
    return script, Scpi(link, joined=joined)


def test_set_asks_the_error_queue_in_the_same_message() -> None:
    script, scpi = dialogue((b":OUTP1 OFF;:SOUR1:POW 1;:SYST:ERR?\n", NONE + b"\n"))
    scpi.set(":OUTP1 OFF", ":SOUR1:POW 1")
    script.finish()


def test_set_reads_the_whole_queue_and_is_not_sent_again_when_it_is_refused() -> None:
    script, scpi = dialogue(
        (b":A 1;:SYST:ERR?\n", b'-222,"Data out of range; see ""manual"""\n'),
        (b":SYST:ERR?\n", b'-113,"Undefined header"\n'),
        (b":SYST:ERR?\n", NONE + b"\n"),
    )
    with pytest.raises(RefusedError) as raised:
        scpi.set(":A 1")
    assert "':A 1' was refused: -222 Data out of range" in str(raised.value)
    assert "; -113 Undefined header; take it as not carried out" in str(raised.value)
    script.finish()


def test_set_gives_up_when_the_queue_has_no_end() -> None:
    endless = [(b":SYST:ERR?\n", b'-222,"Data out of range"\n')] * 32
    script, scpi = dialogue((b":A 1;:SYST:ERR?\n", b'-222,"Data out of range"\n'), *endless)
    with pytest.raises(RefusedError, match="the queue has no end"):
        scpi.set(":A 1")
    script.finish()


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (b"+1.55000000E-006;" + NONE, 1.55e-6),
        (b'12;0,"No error"', 12.0),
        (b'  -0.5 ; +0,"No error"', -0.5),
    ],
    ids=["long", "no sign", "blanks"],
)
def test_number_is_what_stands_before_the_error(answer: bytes, value: float) -> None:
    script, scpi = dialogue((b":V?;:SYST:ERR?\n", answer + b"\n"))
    assert scpi.number(":V?") == value
    script.finish()


def test_query_keeps_semicolons_and_quotes_of_the_answer() -> None:
    script, scpi = dialogue((b":L?;:SYST:ERR?\n", b'"a;b";A,1;B,2;' + NONE + b"\n"))
    assert scpi.query(":L?") == '"a;b";A,1;B,2'
    script.finish()


def test_query_is_refused_and_not_repeated_when_the_instrument_does_not_know_it() -> None:
    script, scpi = dialogue(
        (b":V?;:SYST:ERR?\n", b'-113,"Undefined header"\n'), (b":SYST:ERR?\n", NONE + b"\n")
    )
    with pytest.raises(RefusedError, match="-113 Undefined header"):
        scpi.number(":V?")
    script.finish()


@pytest.mark.parametrize("text", [b"9.91E37", b"nan", b"inf", b"-9.9E+37", b"one", b""])
def test_number_refuses_what_is_no_finite_number(text: bytes) -> None:
    _, scpi = dialogue((b":V?;:SYST:ERR?\n", text + b";" + NONE + b"\n"))
    with pytest.raises(AnswerError, match="script: expected a"):
        scpi.number(":V?")


def test_flag_and_integer_take_the_usual_forms_only() -> None:
    pairs = [(b":F?;:SYST:ERR?\n", one + b";" + NONE + b"\n") for one in (b"ON", b"+0", b"2")]
    _, scpi = dialogue(*pairs)
    assert scpi.flag(":F?") is True
    assert scpi.flag(":F?") is False
    with pytest.raises(AnswerError, match="0, 1, ON or OFF"):
        scpi.flag(":F?")
    _, scpi = dialogue((b":I?;:SYST:ERR?\n", b"1.5;" + NONE + b"\n"))
    with pytest.raises(AnswerError, match="whole number"):
        scpi.integer(":I?")


def test_errors_are_asked_in_a_message_of_their_own_when_they_cannot_be_joined() -> None:
    script, scpi = dialogue(
        (b"A 1\n", b""),
        (b":SYST:ERR?\n", NONE + b"\n"),
        (b"A?\n", b"1\n"),
        (b":SYST:ERR?\n", NONE + b"\n"),
        joined=False,
    )
    scpi.set("A 1")
    assert scpi.number("A?") == 1
    script.finish()


def test_block_is_read_by_its_count_when_it_holds_ends_of_lines() -> None:
    payload = b"\n#0;\x00\xff\n\n"
    script, scpi = dialogue((b":D?;:SYST:ERR?\n", b"#18" + payload + b";" + NONE + b"\n"))
    data = scpi.block(":D?")
    assert data.tobytes() == payload
    assert data.flags.owndata
    script.finish()


def test_block_is_checked_after_its_end_when_queries_are_not_joined() -> None:
    script, scpi = dialogue(
        (b":D?\n", b"#13a\n;\n"),
        (b":SYST:ERR?\n", b'-350,"Queue overflow"\n'),
        (b":SYST:ERR?\n", NONE + b"\n"),
        joined=False,
    )
    with pytest.raises(RefusedError, match="':D\\?' was refused: -350 Queue overflow"):
        scpi.block(":D?")
    script.finish()


@pytest.mark.parametrize("instead", [b"", b";", b"0;"], ids=["alone", "empty", "with a number"])
def test_block_is_refused_by_the_error_when_one_comes_in_its_place(instead: bytes) -> None:
    error = b'-230,"Data corrupt or stale; :D?"'
    script, scpi = dialogue(
        (b":D?;:SYST:ERR?\n", instead + error + b"\n"), (b":SYST:ERR?\n", NONE + b"\n")
    )
    with pytest.raises(RefusedError, match="-230 Data corrupt or stale; :D"):
        scpi.block(":D?")
    script.finish()


def test_block_is_refused_when_an_error_comes_behind_it() -> None:
    script, scpi = dialogue(
        (b":D?;:SYST:ERR?\n", b'#11a;-365,"Time out"\n'), (b":SYST:ERR?\n", NONE + b"\n")
    )
    with pytest.raises(RefusedError, match="-365 Time out"):
        scpi.block(":D?")
    script.finish()


def test_block_is_no_block_when_the_queue_is_empty_and_none_came() -> None:
    script, scpi = dialogue(*[(b":D?;:SYST:ERR?\n", NONE + b"\n")] * 2)
    with pytest.raises(AnswerError, match="expected a block that begins with #"):
        scpi.block(":D?")
    script.finish()


@pytest.mark.parametrize("answer", [b"#11a\n", b"hello\n", b"#11a;hello\n"])
def test_block_is_asked_for_again_when_its_answer_is_damaged(answer: bytes) -> None:
    good = b"#11a;" + NONE + b"\n"
    script, scpi = dialogue((b":D?;:SYST:ERR?\n", answer), (b":D?;:SYST:ERR?\n", good))
    assert scpi.block(":D?").tobytes() == b"a"
    script.finish()


def test_set_block_sends_header_payload_and_end() -> None:
    values = np.array([1, -2], dtype="<i2")
    script, scpi = dialogue((b":D a,#14\x01\x00\xfe\xff\n", b""), (b":SYST:ERR?\n", NONE + b"\n"))
    scpi.set_block(":D a,", values.data)
    script.finish()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"#0abc\n", "a block that begins with # and a digit from 1 to 9"),
        (b"1.5\n", "a block that begins"),
        (b"#3x12\n", "the byte count of a block"),
        (b"#9999999999\n", "a block of at most 100 bytes, not 999999999"),
        (b"#12abc", "b'\\\\n' behind a block of 2 bytes, got 63"),
        (b"#15abc", "no complete answer"),
        (b"#1", "no complete answer"),
    ],
    ids=["indefinite", "number", "count", "huge", "end", "short", "cut"],
)
def test_read_block_names_what_is_wrong(answer: bytes, message: str) -> None:
    script = Script([(b"D?", answer)])
    link = script.link()
    link.attach("box", lambda: None)
    with pytest.raises((AnswerError, LinkError), match=message):
        link.order(b"D?", lambda reader: read_block(reader, largest=100))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), noise=st.binary(max_size=8), place=st.integers(0, 80))
def test_read_block_gives_the_bytes_or_a_named_error_when_they_are_damaged(
    data: bytes, noise: bytes, place: int
) -> None:
    whole = block_header(len(data)) + data + b"\n"
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    script = Script([(b"D?", damaged)])
    link = script.link()
    link.attach("box", lambda: None)
    try:
        found = link.order(b"D?", lambda reader: read_block(reader, largest=1000))
    except (AnswerError, LinkError):
        assert damaged != whole
    else:
        assert damaged.startswith(block_header(len(found)) + found.tobytes() + b"\n")


def test_parsers_survive_ten_thousand_random_answers() -> None:
    rng = np.random.default_rng(7)
    letters = np.frombuffer(b"0123456789+-,.\"'; \nEeNo#\x00\xff", dtype=np.uint8)
    refused = dict.fromkeys((parse_error, parse_identity), 0)
    for _ in range(10_000):
        text = bytes(rng.choice(letters, rng.integers(0, 24)))
        for parse in refused:
            try:
                parse(text)
            except AnswerError:
                refused[parse] += 1
    # Hardly any has a number, a comma and a quoted text, or four fields.
    assert all(9_000 < count <= 10_000 for count in refused.values()), refused


def test_identity_has_four_fields() -> None:
    found = parse_identity(b" Maker , Model,S1 , 1.0,x")
    assert (found.maker, found.model, found.serial, found.firmware) == (
        "Maker",
        "Model",
        "S1",
        "1.0,x",
    )
    with pytest.raises(AnswerError, match="four fields"):
        parse_identity(b"Maker,Model")
