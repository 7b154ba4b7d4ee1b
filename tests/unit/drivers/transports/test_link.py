"""The rules of a link: one lock, deadlines, cleaning after a fault, and only queries sent again."""

import threading
from pathlib import Path

import pytest

from drivers.errors import AnswerError, InstrumentError, LinkError, LinkTimeoutError, OutputError
from drivers.transports.byte_trace import ByteTrace
from drivers.transports.link import Link
from drivers.transports.reader import Reader, exactly, garbled, line
from tests.wire.scripted import Script, ScriptedLine


def nothing() -> None:
    return


def number(reader: Reader) -> float:
    text = reader.line()
    try:
        return float(text)
    except ValueError:
        raise garbled("a number", text) from None


def test_ask_gives_the_answer_when_it_comes_in_pieces() -> None:
    script = Script([(b"V?\n", b"+1.5\n"), (b"W?\n", b"2\n")], step=1)
    link = script.link()
    link.attach("meter", nothing)
    assert link.ask(b"V?\n", number) == 1.5
    assert link.ask(b"W?\n", number) == 2
    script.finish()


def test_order_is_never_sent_again_when_its_answer_does_not_come() -> None:
    script = Script([(b"ON\n", b"")])
    link = script.link(timeout_s=1.0)
    link.attach("laser", nothing)
    with pytest.raises(LinkTimeoutError, match=r"script: .*within 1 s"):
        link.order(b"ON\n", line())
    script.finish()
    assert script.clock.now() == pytest.approx(1.0)


def test_query_is_sent_once_more_on_a_new_connection_when_there_was_no_answer() -> None:
    script = Script([(b"V?\n", b""), (b"V?\n", b"3\n")])
    link = script.link()
    seen: list[int] = []
    link.attach("meter", lambda: seen.append(script.opened))
    assert link.ask(b"V?\n", number) == 3
    assert seen == [2]
    assert script.closed == 1
    script.finish()


def test_query_gives_up_and_tells_both_reasons_when_there_is_no_answer_twice() -> None:
    script = Script([(b"V?\n", b"rubbish\n"), (b"V?\n", b"")])
    link = script.link()
    link.attach("meter", nothing)
    with pytest.raises(LinkTimeoutError) as raised:
        link.ask(b"V?\n", number)
    assert "expected a number, got 72 75 62 62 69 73 68" in raised.value.__notes__[0]
    script.finish()


def test_late_answer_is_not_taken_for_the_next_one_when_a_serial_line_was_late() -> None:
    script = ScriptedLine([(b"A?\n", b""), (b"*IDN?\n", b"me\n"), (b"A?\n", b"2\n")])
    link = script.link()

    def same() -> None:
        assert link.ask(b"*IDN?\n", line()) == b"me"

    link.attach("meter", same)
    late = script.receive_into

    def receive_into(buffer: memoryview, timeout_s: float) -> int:
        try:
            return late(buffer, timeout_s)
        except LinkTimeoutError:
            script._answer += b"1\n"  # it comes just after the deadline
            raise

    script.receive_into = receive_into  # type: ignore[method-assign]
    assert link.ask(b"A?\n", number) == 2
    assert script.opened == 1
    script.finish()


def test_stray_bytes_clean_the_link_when_they_come_between_exchanges() -> None:
    script = Script([(b"A?\n", b"1\n"), (b"SET 2\n", b"")])
    link = script.link()
    reconnected: list[str] = []
    link.attach("meter", lambda: reconnected.append("again"))
    assert link.ask(b"A?\n", number) == 1
    script._answer += b"late\n"
    link.send(b"SET 2\n")
    assert reconnected == ["again"]
    script.finish()


def test_more_bytes_than_asked_for_are_a_garbled_answer_when_the_instrument_does_not_chat() -> None:
    script = Script([(b"SET\n", b"OK\nOK\n")])
    link = script.link()
    link.attach("meter", nothing)
    with pytest.raises(AnswerError, match="more came than was asked for: 4f 4b 0a"):
        link.order(b"SET\n", line())


def test_bytes_are_kept_for_the_next_read_when_the_instrument_chats() -> None:
    script = Script([(b"A\n", b"event\n1\n"), (b"B\n", b"2\n")])
    link = script.link(chatty=True)
    link.attach("driver", nothing)
    assert link.order(b"A\n", line()) == b"event"
    assert link.order(b"B\n", line()) == b"1"
    assert link.discard() == b"2\n"


def test_orders_are_refused_when_the_instrument_is_another_after_a_fault() -> None:
    script = Script([(b"A?\n", b"")])
    link = script.link()

    def other() -> None:
        raise InstrumentError("another one answers")

    link.attach("meter", other)
    with pytest.raises(InstrumentError, match="another one answers"):
        link.ask(b"A?\n", number)
    # It stays dirty: nothing gets through until the right one is back.
    with pytest.raises(InstrumentError, match="another one answers"):
        link.send(b"ON\n")
    script.finish()


def test_interrupted_exchange_leaves_the_link_dirty() -> None:
    script = Script([(b"A?\n", b"1\n"), (b"B?\n", b"2\n")])
    link = script.link()
    cleaned: list[str] = []
    link.attach("meter", lambda: cleaned.append("again"))

    def interrupt(_: Reader) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        link.ask(b"A?\n", interrupt)
    script.discard()  # a new connection does not carry the old answer
    assert link.ask(b"B?\n", number) == 2
    assert cleaned == ["again"]


def test_link_opens_with_the_first_user_and_closes_with_the_last() -> None:
    script = Script([])
    link = script.link()
    link.attach("attenuator", nothing)
    link.attach("power meter", nothing)
    assert script.opened == 1
    with pytest.raises(LinkError, match="attenuator is on this link already"):
        link.attach("attenuator", nothing)
    link.detach("attenuator")
    assert link.is_open
    link.detach("power meter")
    link.detach("power meter")
    assert script.closed == 1
    with pytest.raises(LinkError, match="closed"):
        link.send(b"x")


class Echo:
    """Answers every message with itself after another thread had its chance."""

    reopens = True
    messages = False

    def __init__(self) -> None:
        self._waiting = bytearray()
        self.inside = 0

    def send(self, data: bytes | bytearray | memoryview, timeout_s: float) -> None:
        self.inside += 1
        assert self.inside == 1, "two messages before an answer"
        self._waiting += data

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        threading.Event().wait(0)
        count = len(self._waiting)
        buffer[:count] = self._waiting
        self._waiting.clear()
        self.inside -= 1
        return count

    def discard(self) -> bytes:
        return b""

    def close(self) -> None:
        return


def test_answers_are_never_exchanged_when_two_threads_hammer_one_link() -> None:
    echo = Echo()
    link = Link("echo", lambda timeout_s: echo)  # type: ignore[arg-type]
    link.attach("both", nothing)
    wrong: list[bytes] = []

    def hammer(mark: bytes) -> None:
        for count in range(2000):
            message = b"%s%d" % (mark, count)
            answer = link.ask(message + b"\n", line())
            if answer != message:
                wrong.append(answer)

    threads = [threading.Thread(target=hammer, args=(mark,)) for mark in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert echo.inside == 0


def test_trace_holds_every_byte_and_shortens_blocks_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bytes.txt"
    trace = ByteTrace(path)
    script = Script([(b"A?\n", b"\x00\xff\n"), (b"x" * 300, b"")])
    link = Link("script", lambda timeout_s: script, clock=script.clock, trace=trace)
    link.attach("meter", nothing)
    assert link.ask(b"A?\n", line()) == b"\x00\xff"
    link.send(b"x" * 300)
    link.detach("meter")
    trace.close()
    words = [text.split(" ", 4)[1:] for text in path.read_text().splitlines()]
    assert words[0] == ["!", "script", "6", "b'opened'"]
    assert words[1] == [">", "script", "3", r"b'A?\n'"]
    assert words[2] == ["<", "script", "3", r"b'\x00\xff\n'"]
    assert words[3][:3] == [">", "script", "300"]
    assert words[3][3].endswith(" ...")
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(OutputError, match="cannot be written"):
        ByteTrace(tmp_path / "none" / "bytes.txt")


def test_exact_and_delimited_reads_say_what_had_come_when_it_was_too_little() -> None:
    script = ScriptedLine([(b"A", b"ab"), (b"A", b"ab")])
    link = script.link(timeout_s=0.5)
    link.attach("meter", nothing)
    with pytest.raises(LinkTimeoutError, match=r"waiting for 4 bytes; so far 61 62"):
        link.order(b"A", exactly(4))
    with pytest.raises(LinkTimeoutError, match=r"waiting for an end of line; so far 61 62"):
        link.order(b"A", line())


def test_serial_line_is_opened_anew_when_its_plug_was_pulled() -> None:
    script = ScriptedLine([(b"A?\n", b"1\n")])
    link = script.link()
    link.attach("meter", nothing)
    whole = script.send

    def pulled(data: bytes, timeout_s: float) -> None:
        script.send = whole  # type: ignore[method-assign]
        raise LinkError("the serial line was cut")

    script.send = pulled  # type: ignore[method-assign,assignment]
    assert link.ask(b"A?\n", number) == 1
    assert (script.opened, script.closed) == (2, 1)
    script.finish()
