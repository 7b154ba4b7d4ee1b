"""The dialogue with a Red Pitaya board: no failure is silent, no answer is taken for another."""

from collections.abc import Callable

import numpy as np
import pytest

from drivers.dialects.red_pitaya import RedPitaya, probe_red_pitaya
from drivers.errors import AnswerError, InstrumentError, RefusedError
from tests.wire.scripted import Babble, Script

ERROR = b"SYST:ERR:NEXT?\r\n"
OK = b'0,"No error"\r\n'
IDENTITY = b"REDPITAYA,INSTR2025,,01-21\r\n"
BOARD = (b"SYST:BRD:Name?\r\n" + ERROR, b"STEMlab 125-14 v1.0\r\n" + OK)


def dialogue(*pairs: tuple[bytes, bytes], step: int = 0) -> tuple[RedPitaya, Script]:
    script = Script(pairs, step=step)
    link = script.link()
    link.attach("test", lambda: None)
    return RedPitaya(link), script


def test_orders_and_the_error_queue_go_in_one_write() -> None:
    board, script = dialogue((b"ACQ:RST\r\nACQ:DEC:Factor 8\r\n" + ERROR, OK), step=2)
    board.set("ACQ:RST", "ACQ:DEC:Factor 8")
    script.finish()


def test_refused_order_lists_the_whole_queue() -> None:
    board, script = dialogue(
        (b"SOUR1:VOLT 3\r\n" + ERROR, b'9506,"*SOUR1:VOLT Value is out of range."\r\n'),
        (ERROR, b'-109,"Missing parameter"\r\n'),
        (ERROR, OK),
    )
    with pytest.raises(RefusedError, match=r"9506 \*SOUR1:VOLT.*; -109 Missing parameter"):
        board.set("SOUR1:VOLT 3")
    script.finish()


def test_failed_query_costs_no_time_though_it_is_not_answered() -> None:
    board, script = dialogue(
        (b"ACQ:SOUR3:GAIN?\r\n" + ERROR, b'9500,"*ACQ:SOUR3:GAIN? Invalid channel"\r\n'),
        (ERROR, OK),
    )
    with pytest.raises(RefusedError, match="9500"):
        board.ask("ACQ:SOUR3:GAIN?")
    assert script.clock.now() == 0
    script.finish()


@pytest.mark.parametrize("answer", [b"0", b"8192", b"WAIT", b"1.5", b"STEMlab 125-14"])
def test_answer_is_told_from_an_error(answer: bytes) -> None:
    board, script = dialogue((b"X?\r\n" + ERROR, answer + b"\r\n" + OK))
    assert board.ask("X?") == answer.decode()
    script.finish()


def test_codes_are_read_by_their_count_when_they_hold_line_ends() -> None:
    data = bytes.fromhex("0010 FFF0 0000 1FFF 0D0A")
    board, script = dialogue(
        (b"ACQ:SOUR1:DATA:Old:N? 5\r\n" + ERROR, b"#210" + data + b"\r\n" + OK), step=3
    )
    codes = board.codes("ACQ:SOUR1:DATA:Old:N? 5", 5)
    assert codes.tolist() == [16, -16, 0, 8191, 0x0D0A]
    script.finish()


def test_codes_are_refused_at_once_when_the_query_fails() -> None:
    board, script = dialogue(
        (b"ACQ:SOUR1:DATA:Old:N? 4\r\n" + ERROR, b'9506,"*ACQ Value is out of range."\r\n'),
        (ERROR, OK),
    )
    with pytest.raises(RefusedError, match="9506"):
        board.codes("ACQ:SOUR1:DATA:Old:N? 4", 4)
    script.finish()


@pytest.mark.parametrize(
    "answer",
    [
        b"#16abcdef\r\n",
        b"#0abc\r\n",
        b"#1xabc\r\n",
        b"#18abcdefghXY",
        b'0,"No error"\r\n',
        b"#\xff",
    ],
    ids=["fewer", "indefinite", "no count", "no end", "no block", "no digit"],
)
def test_codes_are_garbled_when_the_block_is_wrong(answer: bytes) -> None:
    question = (b"Q\r\n" + ERROR, answer)
    board, _ = dialogue(question, question)
    with pytest.raises(AnswerError, match="expected"):
        board.codes("Q", 4)


def test_greeting_names_the_board() -> None:
    board, script = dialogue((b"*CLS\r\n", b""), (b"*IDN?\r\n" + ERROR, IDENTITY + OK), BOARD)
    identity = board.greet("x")
    assert (identity.maker, identity.model, identity.serial) == (
        "REDPITAYA",
        "STEMlab 125-14 v1.0",
        "",
    )
    script.finish()


def test_build_date_is_no_serial_number_but_a_twins_is_one() -> None:
    for third, serial in ((b"2024-01-19", ""), (b"SIM12", "SIM12")):
        answer = b"REDPITAYA,INSTR," + third + b",2.00-35\r\n"
        board, _ = dialogue((b"*CLS\r\n", b""), (b"*IDN?\r\n" + ERROR, answer + OK), BOARD)
        assert board.greet("x").serial == serial


def test_old_system_is_taken_though_it_does_not_name_its_board() -> None:
    board, script = dialogue(
        (b"*CLS\r\n", b""),
        (b"*IDN?\r\n" + ERROR, b"REDPITAYA,INSTR2014,0,01-02\r\n" + OK),
        (BOARD[0], b'-113,"Undefined header"\r\n'),
        (ERROR, OK),
    )
    assert board.greet("x").model == "INSTR2014"
    script.finish()


@pytest.mark.parametrize(
    ("identity", "name", "match"),
    [
        (b"ACME,SCOPE,1,2\r\n", BOARD[1], "ACME,SCOPE"),
        (IDENTITY, b"SIGNALlab 250-12 v1.2\r\n" + OK, "SIGNALlab 250-12"),
    ],
    ids=["maker", "board"],
)
def test_stranger_is_refused_with_both_names(identity: bytes, name: bytes, match: str) -> None:
    board, _ = dialogue((b"*CLS\r\n", b""), (b"*IDN?\r\n" + ERROR, identity + OK), (BOARD[0], name))
    with pytest.raises(InstrumentError, match=rf"STEMlab 125-14.*{match}"):
        board.greet("x")


def test_probe_knows_a_board_and_nothing_else() -> None:
    script = Script([(b"*IDN?\r\n", IDENTITY), *[(b"*IDN?\r\n", b"ACME,SCOPE,1,2\r\n")] * 2])
    link = script.link()
    link.attach("test", lambda: None)
    assert probe_red_pitaya(link).maker == "REDPITAYA"
    with pytest.raises(AnswerError, match="Red Pitaya"):
        probe_red_pitaya(link)


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.ask("Q?"),
        lambda b: b.codes("Q?", 4),
        lambda b: b.set("Q"),
        lambda b: b.greet("x"),
    ],
    ids=["ask", "codes", "set", "greet"],
)
def test_only_known_errors_come_when_the_answer_is_random(
    call: Callable[[RedPitaya], object],
) -> None:
    rng = np.random.default_rng(11)
    refused = 0
    good = [b"TD\r\n" + OK, b"#18abcdefgh\r\n" + OK, IDENTITY + OK, b'9506,"x"\r\n', OK]
    for turn in range(2_500):
        data = bytearray(
            good[turn % len(good)] if turn % 2 else rng.bytes(int(rng.integers(0, 40)))
        )
        if data:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        link = Babble(bytes(data)).link(timeout_s=0.1)
        link.attach("test", lambda: None)
        try:
            call(RedPitaya(link))
        except InstrumentError:
            refused += 1
    # Half of the answers are damaged in one byte, which may do nothing; the others are rubbish.
    assert refused > 1_250
