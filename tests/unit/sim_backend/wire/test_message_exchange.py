"""The message exchange between a bus that marks ends of messages and a session of a twin."""

import random

import pytest

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.message_exchange import MessageExchange
from sim_backend.wire.scpi_session import ErrorQueue, Later, ScpiSession
from sim_backend.wire.session import Session


class Rig:
    """An exchange with a SCPI session: queries that answer at once, later, or when it is ready."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.errors = ErrorQueue()
        self.ready = False
        self.done: list[str] = []
        self.interrupted: list[int] = []
        self.session = ScpiSession(
            self.clock,
            {
                "*IDN?": lambda _: "me",
                "SLOW?": lambda _: self.session.say(b"slow\n", after_s=2.0),
                "WAIT?": lambda _: Later(until=lambda: self.ready, answer="waited"),
                "DO": lambda call: self.done.append(call.argument()),
            },
            self.errors,
        )
        self.exchange = MessageExchange(self.session, self.interrupted.append)

    def taken(self) -> bytes:
        """The whole answer that is due."""
        response = bytes(self.exchange.response())
        self.exchange.took(len(response))
        return response


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_exchange_gives_each_answer_alone_with_the_tag_of_its_message(rig: Rig) -> None:
    rig.exchange.write(b"*IDN?;*ID", end=False, tag=3)
    assert rig.taken() == b""
    rig.exchange.write(b"N?", end=True, tag=5)
    assert bytes(rig.exchange.response()) == b"me;me\n"
    rig.exchange.took(3)
    assert bytes(rig.exchange.response()) == b"me\n"
    assert rig.exchange.tag == 5
    assert (rig.taken(), rig.taken()) == (b"me\n", b"")
    assert rig.interrupted == []


def test_exchange_knows_when_an_answer_is_due(rig: Rig) -> None:
    rig.exchange.write(b"SLOW?\n", end=True)
    assert (rig.taken(), rig.exchange.next_at()) == (b"", 2.0)
    rig.clock.advance(2.0)
    assert rig.taken() == b"slow\n"


@pytest.mark.parametrize("first", [b"*IDN?", b"SLOW?", b"WAIT?"])
def test_exchange_loses_an_answer_that_was_not_fetched(rig: Rig, first: bytes) -> None:
    rig.exchange.write(first, end=True, tag=1)
    rig.exchange.write(b"DO 2", end=True, tag=2)
    rig.ready = True
    rig.clock.advance(5.0)
    assert rig.taken() == b""
    assert rig.done == ["2"]
    assert rig.interrupted == [2]
    assert rig.errors.next() == '-410,"Query INTERRUPTED"'


def test_exchange_loses_the_rest_of_an_answer_that_was_fetched_in_part(rig: Rig) -> None:
    rig.exchange.write(b"*IDN?", end=True)
    rig.exchange.response()
    rig.exchange.took(1)
    rig.exchange.write(b"DO 2", end=True, tag=7)
    assert (rig.taken(), rig.interrupted) == (b"", [7])


def test_exchange_believes_its_carrier_that_an_answer_was_not_fetched(rig: Rig) -> None:
    rig.exchange.write(b"*IDN?", end=True)
    rig.taken()
    rig.exchange.write(b"*ID", end=False, tag=4, fetched=False)
    rig.exchange.write(b"N?", end=True, tag=6, fetched=False)
    assert rig.interrupted == [4]
    assert rig.taken() == b"me\n"


def test_exchange_is_full_while_the_twin_is_busy(rig: Rig) -> None:
    rig.exchange.write(b"WAIT?", end=True)
    piece = b"DO 1\n" + bytes(1 << 20)
    full = []
    for _ in range(17):
        full.append(rig.exchange.is_full)
        rig.exchange.write(piece, end=False)
    rig.exchange.clear()
    assert [*full, rig.exchange.is_full] == [False] * 16 + [True, False]
    rig.exchange.write(b"*IDN?", end=True)
    assert rig.taken() == b"me\n"
    assert rig.done == []


PIECES = (
    *(
        b"*IDN?",
        b"DO 1",
        b"DO ",
        b"NONE",
        b":",
        b";",
        b"\n",
        b" ",
        b",",
        b'"',
        b"'",
        b"\0",
        b"\xff",
    ),
    *(b"#", b"#1", b"#2", b"#9", b"#12ab", b"#210ab", b"#0ab", b"#3100", b"#\n"),
)


def test_every_message_begins_anew_whatever_was_in_the_last_one(rig: Rig) -> None:
    source = random.Random(21)
    for _ in range(10_000):
        message = b"".join(source.choices(PIECES, k=source.randrange(1, 8)))
        cut = source.randrange(len(message) + 1)
        rig.exchange.write(message[:cut], end=False)
        rig.exchange.write(message[cut:], end=True)
        rig.exchange.write(b"*IDN?", end=True)
        assert rig.taken() == b"me\n", message
        assert rig.taken() == b"", message


class Deaf(Session):
    """A session that knows no messages: bytes in, bytes out."""

    def feed(self, data: bytes) -> None:
        self.say(data[::-1])
        self.say(data)


def test_exchange_serves_a_session_that_needs_no_ends() -> None:
    exchange = MessageExchange(Deaf(SimulatedClock()))
    exchange.write(b"ab", end=True)
    assert bytes(exchange.response()) == b"ba"
    exchange.took(2)
    assert bytes(exchange.response()) == b"ab"
    exchange.write(b"cd", end=True)
    assert bytes(exchange.response()) == b"dc"
    exchange.close()
    assert bytes(exchange.response()) == b"dc"
    exchange.took(2)
    assert bytes(exchange.response()) == b""
