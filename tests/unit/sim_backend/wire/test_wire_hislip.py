"""HiSLIP before a twin, spoken to in bytes that are written out here by the specification."""

import random
import struct

import pytest

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.hislip import HislipTwin
from sim_backend.wire.scpi_session import Call, ErrorQueue, Later, ScpiSession, block
from sim_backend.wire.session import Session, Twin
from tests.wire.raw import damaged_streams

INITIALIZE, INITIALIZE_RESPONSE, FATAL, ERROR, LOCK, LOCK_RESPONSE, DATA, DATA_END = range(8)
CLEAR_COMPLETE, CLEAR_ACKNOWLEDGE, REMOTE, REMOTE_RESPONSE, TRIGGER = range(8, 13)
INTERRUPTED, ASYNC_INTERRUPTED, SIZE, SIZE_RESPONSE = range(13, 17)
ASYNC_INITIALIZE, ASYNC_INITIALIZE_RESPONSE, CLEAR = range(17, 20)
STATUS, STATUS_RESPONSE, ASYNC_CLEAR_ACKNOWLEDGE, LOCK_INFO, LOCK_INFO_RESPONSE = range(21, 26)
FIRST = 0xFFFF_FF00
IDENTITY = b"Maker,Scope,SIM01,1\n"
RECORD = bytes(range(256)) * 4

Told = tuple[int, int, int, bytes]


class Scope(Twin):
    """An instrument with a slow query, a wait, and a block."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.model = "Scope"
        self.ready = False
        self.errors = ErrorQueue()
        self.taken = b""
        self.open = 0
        self._clock = clock

    def session(self) -> Session:
        self.open += 1
        session = _Counted(
            self._clock,
            {
                "*IDN?": lambda _: IDENTITY[:-1].decode(),
                "SLOW?": lambda _: session.say(b"slow\n", after_s=3.0),
                "DONE?": lambda _: Later(until=lambda: self.ready, answer="1"),
                "DATA": self._data,
                "DATA?": lambda _: block(RECORD),
            },
            self.errors,
        )
        session.twin = self
        return session

    def _data(self, call: Call) -> None:
        self.taken = call.block or b""


class _Counted(ScpiSession):
    twin: Scope

    def close(self) -> None:
        self.twin.open -= 1
        super().close()


def message(kind: int, control: int = 0, parameter: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">2sBBIQ", b"HS", kind, control, parameter, len(payload)) + payload


def told(data: bytes) -> list[Told]:
    """The messages in what the server said."""
    found = []
    while data:
        prologue, kind, control, parameter, count = struct.unpack(">2sBBIQ", data[:16])
        assert prologue == b"HS"
        assert len(data) >= 16 + count
        found.append((kind, control, parameter, data[16 : 16 + count]))
        data = data[16 + count :]
    return found


class Bench:
    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.scope = Scope(self.clock)
        self.box = HislipTwin(self.scope, self.clock, largest=400)


class Client:
    """Both connections of a session."""

    def __init__(self, bench: Bench) -> None:
        self.sync, self.async_ = bench.box.session(), bench.box.session()
        hello = self.say(message(INITIALIZE, 0, 0x0100_7878, b"hislip0"))
        [(kind, control, parameter, payload)] = hello
        assert (kind, control, parameter >> 16, payload) == (INITIALIZE_RESPONSE, 0, 0x0100, b"")
        self.number = parameter & 0xFFFF
        [(kind, *_)] = self.call(message(ASYNC_INITIALIZE, 0, self.number))
        assert kind == ASYNC_INITIALIZE_RESPONSE

    def say(self, data: bytes) -> list[Told]:
        """What comes on the synchronous connection."""
        self.sync.feed(data)
        return told(self.sync.take())

    def call(self, data: bytes) -> list[Told]:
        """What comes on the asynchronous connection."""
        self.async_.feed(data)
        return told(self.async_.take())


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def client(bench: Bench) -> Client:
    return Client(bench)


def test_hislip_answers_with_the_number_of_the_question(client: Client) -> None:
    assert client.say(message(DATA_END, 0, FIRST, b"*IDN?\n")) == [(DATA_END, 0, FIRST, IDENTITY)]
    again = client.say(message(DATA_END, 1, FIRST + 2, b"*IDN?"))
    assert again == [(DATA_END, 0, FIRST + 2, IDENTITY)]


def test_hislip_joins_the_parts_of_a_message(client: Client, bench: Bench) -> None:
    payload = RECORD[:700]
    whole = b"DATA " + block(payload)
    assert client.say(message(DATA, 0, FIRST, whole[:400])) == []
    assert client.say(message(DATA_END, 0, FIRST + 2, whole[400:])) == []
    assert bench.scope.taken == payload
    assert not len(bench.scope.errors)


def test_hislip_hears_messages_in_single_bytes(client: Client) -> None:
    data = message(DATA_END, 0, FIRST, b"*IDN?\n")
    said = [client.say(data[place : place + 1]) for place in range(len(data))]
    assert said == [[]] * (len(data) - 1) + [[(DATA_END, 0, FIRST, IDENTITY)]]


def test_hislip_divides_an_answer_by_what_the_client_takes(client: Client) -> None:
    size = client.call(message(SIZE, 0, 0, struct.pack(">Q", 316)))
    assert size == [(SIZE_RESPONSE, 0, 0, struct.pack(">Q", 400))]
    parts = client.say(message(DATA_END, 0, FIRST, b"DATA?\n"))
    assert [kind for kind, *_ in parts] == [DATA] * 3 + [DATA_END]
    assert {parameter for _, _, parameter, _ in parts} == {FIRST}
    assert [len(payload) for *_, payload in parts] == [300, 300, 300, 131]
    assert b"".join(payload for *_, payload in parts) == block(RECORD) + b"\n"


def test_hislip_withdraws_an_answer_when_something_else_is_asked(
    client: Client, bench: Bench
) -> None:
    assert client.say(message(DATA_END, 0, FIRST, b"SLOW?\n")) == []
    assert client.sync.next_at() == 3.0
    assert client.say(message(DATA_END, 0, FIRST + 2, b"*IDN?\n")) == [
        (INTERRUPTED, 0, FIRST + 2, b""),
        (DATA_END, 0, FIRST + 2, IDENTITY),
    ]
    assert told(client.async_.take()) == [(ASYNC_INTERRUPTED, 0, FIRST + 2, b"")]
    bench.clock.advance(5.0)
    assert client.sync.take() == b""
    [(_, _, _, error)] = client.say(message(DATA_END, 1, FIRST + 4, b"SYST:ERR?\n"))
    assert error == b'-410,"Query INTERRUPTED"\n'


def test_hislip_says_so_when_an_answer_was_sent_and_not_fetched(client: Client) -> None:
    client.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))
    kinds = [kind for kind, *_ in client.say(message(DATA_END, 0, FIRST + 2, b"*IDN?\n"))]
    assert kinds == [INTERRUPTED, DATA_END]
    kinds = [kind for kind, *_ in client.say(message(DATA_END, 1, FIRST + 4, b"*IDN?\n"))]
    assert kinds == [DATA_END]


def test_hislip_gives_a_late_answer_its_own_number(client: Client, bench: Bench) -> None:
    assert client.say(message(DATA_END, 0, FIRST, b"DONE?\n")) == []
    assert client.say(message(DATA_END, 0, FIRST + 2, b"DATA #12ab\n")) == []
    assert bench.scope.taken == b""
    bench.scope.ready = True
    # It was answered, and then withdrawn, because the next message was there already.
    assert told(client.sync.take()) == [(INTERRUPTED, 0, FIRST + 2, b"")]
    assert bench.scope.taken == b"ab"


def test_hislip_forgets_all_when_the_device_is_cleared(client: Client, bench: Bench) -> None:
    client.say(message(DATA_END, 0, FIRST, b"DONE?\n"))
    client.say(message(DATA_END, 0, FIRST + 2, b"*IDN?\n"))
    client.say(message(DATA, 0, FIRST + 4, b"DATA #210ab"))
    assert client.call(message(CLEAR)) == [(ASYNC_CLEAR_ACKNOWLEDGE, 0, 0, b"")]
    bench.scope.ready = True
    # What was on its way meanwhile is dropped, too.
    assert client.say(message(DATA_END, 0, FIRST + 6, b"*IDN?\n")) == []
    assert client.say(message(CLEAR_COMPLETE)) == [(CLEAR_ACKNOWLEDGE, 0, 0, b"")]
    said = client.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))
    assert said == [(DATA_END, 0, FIRST, IDENTITY)]
    assert not len(bench.scope.errors)


def test_hislip_says_whether_an_answer_is_there(client: Client) -> None:
    assert client.call(message(STATUS, 0, FIRST)) == [(STATUS_RESPONSE, 0, 0, b"")]
    client.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))
    assert client.call(message(STATUS, 0, FIRST)) == [(STATUS_RESPONSE, 16, 0, b"")]
    assert client.call(message(STATUS, 1, FIRST)) == [(STATUS_RESPONSE, 0, 0, b"")]


def test_hislip_takes_triggers_and_remote_control(client: Client) -> None:
    assert client.say(message(TRIGGER, 0, FIRST)) == []
    assert client.call(message(REMOTE, 6, FIRST)) == [(REMOTE_RESPONSE, 0, 0, b"")]


@pytest.mark.parametrize("dead", ["sync", "async_"])
def test_hislip_session_ends_with_either_connection(
    client: Client, bench: Bench, dead: str
) -> None:
    sound = Client(bench)
    assert bench.scope.open == 2
    getattr(client, dead).close()
    assert (client.sync.finished, client.async_.finished) == (True, True)
    assert bench.scope.open == 1
    client.sync.close()
    client.async_.close()
    assert bench.scope.open == 1
    assert sound.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))[0][3] == IDENTITY
    assert not sound.sync.finished


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (message(INITIALIZE, 0, 0x0100_7878, b"hislip5"), 3),
        (message(ASYNC_INITIALIZE, 0, 77), 3),
        (message(DATA_END, 0, FIRST, b"*IDN?\n"), 3),
        (message(STATUS), 3),
        (b"GET / HTTP/1.1\r\n\r\n", 1),
        (message(INITIALIZE, 0, 0x0100_7878, b"hislip0") + message(INITIALIZE), 3),
        (message(INITIALIZE, 0, 0x0100_7878, b"") + message(DATA_END, 0, FIRST, b"x"), 2),
    ],
)
def test_hislip_hangs_up_when_a_connection_begins_wrong(
    bench: Bench, data: bytes, code: int
) -> None:
    channel = bench.box.session()
    channel.feed(data)
    kind, control, parameter, text = told(channel.take())[-1]
    assert (kind, control, parameter) == (FATAL, code, 0)
    assert text.isascii()
    assert channel.finished
    channel.feed(message(INITIALIZE, 0, 0x0100_7878, b"hislip0"))
    assert channel.take() == b""


def test_hislip_hangs_up_when_the_second_connection_comes_twice(
    client: Client, bench: Bench
) -> None:
    third = bench.box.session()
    third.feed(message(ASYNC_INITIALIZE, 0, client.number))
    assert told(third.take())[0][:2] == (FATAL, 3)
    assert not client.sync.finished


def test_hislip_has_no_place_for_very_many_clients(bench: Bench) -> None:
    clients = [Client(bench) for _ in range(16)]
    assert len({client.number for client in clients}) == 16
    late = bench.box.session()
    late.feed(message(INITIALIZE, 0, 0x0100_7878, b"hislip0"))
    assert told(late.take())[0][:2] == (FATAL, 4)
    clients[3].sync.close()
    Client(bench)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (message(99, 0, 0, b"abc"), 1),
        (message(SIZE), 1),
        (message(DATA_END, 8, FIRST, b"*IDN?\n"), 2),
        (message(DATA_END, 0, FIRST, bytes(401)), 4),
    ],
)
def test_hislip_goes_on_after_a_message_that_it_does_not_take(
    client: Client, data: bytes, code: int
) -> None:
    question = message(DATA_END, 0, FIRST, b"*IDN?\n")
    for pieces in ((data + question,), tuple(bytes([one]) for one in data + question)):
        said = [one for piece in pieces for one in client.say(piece)]
        assert [kind for kind, *_ in said if kind != INTERRUPTED] == [ERROR, DATA_END]
        assert said[0][1] == code


def test_hislip_complains_of_control_codes_that_there_are_not(client: Client) -> None:
    for data in (message(LOCK, 7), message(REMOTE, 7)):
        assert client.call(data)[0][:2] == (ERROR, 2)


def test_hislip_exclusive_lock_keeps_others_waiting(client: Client, bench: Bench) -> None:
    other = Client(bench)
    assert client.call(message(LOCK, 1, 0)) == [(LOCK_RESPONSE, 1, 0, b"")]
    assert client.call(message(LOCK, 1, 0)) == [(LOCK_RESPONSE, 3, 0, b"")]
    assert other.call(message(LOCK_INFO)) == [(LOCK_INFO_RESPONSE, 1, 1, b"")]
    assert other.call(message(LOCK, 1, 0)) == [(LOCK_RESPONSE, 0, 0, b"")]
    assert other.call(message(LOCK, 1, 500)) == []
    assert other.async_.next_at() == 0.5
    bench.clock.advance(0.5)
    assert told(other.async_.take()) == [(LOCK_RESPONSE, 0, 0, b"")]
    # What the other says is not lost, only held.
    assert other.say(message(DATA_END, 0, FIRST, b"*IDN?\n")) == []
    assert client.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))[0][3] == IDENTITY
    assert client.call(message(LOCK, 0, FIRST)) == [(LOCK_RESPONSE, 1, 0, b"")]
    assert told(other.sync.take()) == [(DATA_END, 0, FIRST, IDENTITY)]
    assert client.call(message(LOCK, 0, FIRST)) == [(LOCK_RESPONSE, 3, 0, b"")]


def test_hislip_shared_lock_lets_in_who_knows_the_key(client: Client, bench: Bench) -> None:
    second, stranger = Client(bench), Client(bench)
    for one in (client, second):
        assert one.call(message(LOCK, 1, 0, b"key")) == [(LOCK_RESPONSE, 1, 0, b"")]
    assert stranger.call(message(LOCK, 1, 0, b"other")) == [(LOCK_RESPONSE, 0, 0, b"")]
    assert stranger.call(message(LOCK_INFO)) == [(LOCK_INFO_RESPONSE, 0, 2, b"")]
    assert second.say(message(DATA_END, 0, FIRST, b"*IDN?\n"))[0][3] == IDENTITY
    assert stranger.say(message(DATA_END, 0, FIRST, b"*IDN?\n")) == []
    assert client.call(message(LOCK, 0, FIRST)) == [(LOCK_RESPONSE, 2, 0, b"")]
    second.sync.close()
    assert told(stranger.sync.take()) == [(DATA_END, 0, FIRST, IDENTITY)]


def test_hislip_lock_is_free_when_its_holder_has_gone(client: Client, bench: Bench) -> None:
    other = Client(bench)
    client.call(message(LOCK, 1, 0))
    assert other.call(message(LOCK, 1, 60_000)) == []
    client.async_.close()
    assert told(other.async_.take()) == [(LOCK_RESPONSE, 1, 0, b"")]


def test_hislip_bears_ten_thousand_messages_that_are_not_what_they_should_be(
    bench: Bench,
) -> None:
    source = random.Random(12)
    talk = (
        message(DATA_END, 0, FIRST, b"*IDN?\n"),
        message(DATA_END, 1, FIRST, b"DATA #12ab\n"),
        message(DATA, 0, FIRST, b"DATA #3100"),
        message(CLEAR_COMPLETE),
        message(INITIALIZE, 0, 0x0100_7878, b"hislip0"),
    )
    calls = (
        message(SIZE, 0, 0, struct.pack(">Q", 1 << 20)),
        message(LOCK, 1, 10, b"key"),
        message(LOCK, 1, 10),
        message(LOCK, 0),
        message(STATUS),
        message(CLEAR),
        message(ASYNC_INITIALIZE, 0, 1),
    )
    one = Client(bench)
    both = (damaged_streams(sent, source, rubbish_share=0.1, first=40) for sent in (talk, calls))
    for index, (talked, called) in enumerate(zip(*both, strict=True)):
        # A wrong length leaves a connection deaf for long.
        if one.sync.finished or one.async_.finished or index % 20 == 0:
            one.sync.close()
            one.async_.close()
            one = Client(bench)
        for channel, data in ((one.sync, talked), (one.async_, called)):
            channel.feed(data)
            channel.next_at()
            told(channel.take())
        bench.clock.advance(0.005)
    one.sync.close()
    assert bench.scope.open == 0
    assert Client(bench).say(message(DATA_END, 0, FIRST, b"*IDN?\n"))[0][3] == IDENTITY
