"""VXI-11 before a twin, spoken to in bytes that are written out here by the specification."""

import random
import struct

import pytest

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.scpi_session import Call, ErrorQueue, Later, ScpiSession, block
from sim_backend.wire.session import Session, Twin
from sim_backend.wire.vxi11 import ABORT, CORE, Vxi11Twin
from tests.wire.raw import damaged_streams

CREATE, WRITE, READ, STATUS, CLEAR, LOCK, UNLOCK, DESTROY = 10, 11, 12, 13, 15, 18, 19, 23
ABORT_CALL = 1
END, WAIT_LOCK, MARKED = 8, 1, 128
COUNT, MARK, LAST = 1, 2, 4


class Meter(Twin):
    """An instrument with a slow query, a wait, and a block."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.model = "Meter"
        self.ready = False
        self.errors = ErrorQueue()
        self.taken = b""
        self._clock = clock

    def session(self) -> Session:
        session = ScpiSession(
            self._clock,
            {
                "*IDN?": lambda _: "Maker,Meter,SIM01,1",
                "SLOW?": lambda _: session.say(b"slow\n", after_s=3.0),
                "DONE?": lambda _: Later(until=lambda: self.ready, answer="1"),
                "DATA": self._data,
                "DATA?": lambda _: block(bytes(range(256)) * 4),
            },
            self.errors,
        )
        return session

    def _data(self, call: Call) -> None:
        self.taken = call.block or b""


def xdr(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def call(
    procedure: int, arguments: bytes = b"", *, program: int = CORE, version: int = 1, rpc: int = 2
) -> bytes:
    """A record of one fragment with a call, number 7, without credentials."""
    head = struct.pack(">10I", 7, 0, rpc, program, version, procedure, 0, 0, 0, 0)
    return struct.pack(">I", 0x80000000 | (len(head) + len(arguments))) + head + arguments


class Client:
    """A connection to the server."""

    def __init__(self, box: Vxi11Twin) -> None:
        self.session = box.session()

    def sent(self, data: bytes) -> bytes:
        self.session.feed(data)
        return self.session.take()

    def result(self, procedure: int, arguments: bytes, program: int = CORE) -> bytes:
        """The result of a call that is answered at once and accepted."""
        return accepted(self.sent(call(procedure, arguments, program=program)))

    def link(self, *, lock: int = 0, lock_ms: int = 0, name: bytes = b"inst0") -> int:
        error, number, port, largest = struct.unpack(
            ">iiII", self.result(CREATE, struct.pack(">3I", 5, lock, lock_ms) + xdr(name))
        )
        assert (error, port, largest) == (0, 4321, 64)
        return int(number)

    def write(self, link: int, data: bytes, flags: int = END, lock_ms: int = 0) -> tuple[int, int]:
        given = struct.pack(">iIIi", link, 1000, lock_ms, flags) + xdr(data)
        return struct.unpack(">iI", self.result(WRITE, given))

    def read(self, link: int, **asked: int) -> tuple[int, int, bytes]:
        return read_result(accepted(self.sent(call(READ, read_given(link, **asked)))))

    def error(self, procedure: int, arguments: bytes, program: int = CORE) -> int:
        return int(struct.unpack(">i", self.result(procedure, arguments, program)[:4])[0])


def read_given(
    link: int, *, size: int = 4096, io_ms: int = 1000, flags: int = 0, mark: int = 0
) -> bytes:
    return struct.pack(">iIIIiI", link, size, io_ms, 0, flags, mark)


def accepted(reply: bytes) -> bytes:
    """What is behind the header of a reply that was accepted and succeeded."""
    assert reply[:28] == struct.pack(">7I", 0x80000000 | (len(reply) - 4), 7, 1, 0, 0, 0, 0)
    return reply[28:]


def read_result(result: bytes) -> tuple[int, int, bytes]:
    error, reason, count = struct.unpack(">iiI", result[:12])
    assert len(result) == 12 + count + -count % 4
    return error, reason, result[12 : 12 + count]


class Bench:
    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.meter = Meter(self.clock)
        self.box = Vxi11Twin(self.meter, self.clock, largest_write=64, largest_read=100)
        self.address = self.box.served_at("127.0.0.1", 4321)

    def client(self) -> Client:
        return Client(self.box)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def generic(link: int, flags: int = 0, lock_ms: int = 0) -> bytes:
    return struct.pack(">iiII", link, flags, lock_ms, 1000)


def test_vxi11_answers_a_query_with_its_end_marked(bench: Bench) -> None:
    assert bench.address == "TCPIP::127.0.0.1,4321::inst0::INSTR"
    client = bench.client()
    link = client.link()
    assert client.write(link, b"*IDN?\n") == (0, 6)
    assert client.read(link) == (0, LAST, b"Maker,Meter,SIM01,1\n")


def test_vxi11_gives_an_answer_in_parts_when_less_is_asked_for(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"*IDN?\n")
    assert client.read(link, size=5) == (0, COUNT, b"Maker")
    assert client.read(link, flags=MARKED, mark=ord(",")) == (0, MARK, b",")
    assert client.read(link, size=6, flags=MARKED, mark=ord(",")) == (0, MARK | COUNT, b"Meter,")
    assert client.read(link, size=8) == (0, COUNT | LAST, b"SIM01,1\n")


def test_vxi11_gives_a_block_in_its_own_parts_when_much_is_asked_for(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"DATA?\n")
    parts = [client.read(link, size=1 << 20)]
    while not parts[-1][1] & LAST:
        parts.append(client.read(link, size=1 << 20))
    assert [reason for _, reason, _ in parts] == [0] * 10 + [LAST]
    assert b"".join(data for _, _, data in parts) == block(bytes(range(256)) * 4) + b"\n"


def test_vxi11_joins_the_parts_of_a_message_whose_end_is_no_line_end(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    payload = bytes(range(100))
    message = b"DATA " + block(payload)
    assert client.write(link, message[:64], flags=0) == (0, 64)
    assert client.write(link, message[64:]) == (0, len(message) - 64)
    assert bench.meter.taken == payload
    assert not len(bench.meter.errors)


def test_vxi11_waits_for_an_answer_until_its_time_is_over(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"SLOW?\n")
    assert client.sent(call(READ, read_given(link, io_ms=2000))) == b""
    assert client.session.next_at() == 2.0
    bench.clock.advance(1.999)
    assert client.session.take() == b""
    bench.clock.advance(0.001)
    assert read_result(accepted(client.session.take())) == (15, 0, b"")
    assert client.sent(call(READ, read_given(link, io_ms=2000))) == b""
    assert client.session.next_at() == 3.0
    bench.clock.advance(1.0)
    assert read_result(accepted(client.session.take())) == (0, LAST, b"slow\n")


def test_vxi11_loses_an_answer_when_something_else_is_asked_before(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"SLOW?\n")
    client.write(link, b"*IDN?\n")
    assert client.read(link) == (0, LAST, b"Maker,Meter,SIM01,1\n")
    bench.clock.advance(5.0)
    assert client.read(link, io_ms=0) == (15, 0, b"")
    client.write(link, b"SYST:ERR?\n")
    assert client.read(link)[2] == b'-410,"Query INTERRUPTED"\n'


def test_vxi11_hears_the_next_message_when_the_last_is_carried_out(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"DONE?\n")
    client.write(link, b"DATA #12ab\n")
    assert (client.session.take(), bench.meter.taken) == (b"", b"")
    bench.meter.ready = True
    client.session.take()
    assert bench.meter.taken == b"ab"


def test_vxi11_forgets_all_when_the_device_is_cleared(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, b"DONE?;*ID", flags=0)
    client.write(link, b"N?\n")
    client.write(link, b"DATA #3", flags=0)
    assert client.error(CLEAR, generic(link)) == 0
    bench.meter.ready = True
    client.write(link, b"*IDN?\n")
    assert client.read(link) == (0, LAST, b"Maker,Meter,SIM01,1\n")
    assert not len(bench.meter.errors)


@pytest.mark.parametrize("message", [b"DATA #210ab", b"DATA #2", b"DATA #", b"DATA #3100"])
def test_vxi11_drops_a_block_that_ends_too_early(bench: Bench, message: bytes) -> None:
    client = bench.client()
    link = client.link()
    client.write(link, message)
    client.write(link, b"SYST:ERR?;*IDN?\n")
    _, _, answer = client.read(link)
    assert answer.endswith(b"Maker,Meter,SIM01,1\n")
    assert bench.meter.taken == b""


def test_vxi11_says_whether_an_answer_is_there(bench: Bench) -> None:
    client = bench.client()
    link = client.link()
    assert client.result(STATUS, generic(link)) == struct.pack(">iI", 0, 0)
    client.write(link, b"*IDN?\n")
    assert client.result(STATUS, generic(link)) == struct.pack(">iI", 0, 16)


@pytest.mark.parametrize(
    ("procedure", "arguments"),
    [
        (WRITE, struct.pack(">iIIi", 99, 0, 0, END) + xdr(b"*IDN?\n")),
        (READ, read_given(99)),
        (STATUS, generic(99)),
        (CLEAR, generic(99)),
        (LOCK, struct.pack(">iiI", 99, 0, 0)),
        (UNLOCK, struct.pack(">i", 99)),
        (DESTROY, struct.pack(">i", 99)),
    ],
)
def test_vxi11_knows_no_link_of_another_number(
    bench: Bench, procedure: int, arguments: bytes
) -> None:
    assert bench.client().error(procedure, arguments) == 4


def test_vxi11_link_ends_when_it_is_destroyed_or_its_client_goes(bench: Bench) -> None:
    client, other = bench.client(), bench.client()
    link, second = client.link(), client.link()
    assert client.error(DESTROY, struct.pack(">i", link)) == 0
    assert client.write(link, b"x\n") == (4, 0)
    assert client.write(second, b"*IDN?\n") == (0, 6)
    # A link belongs to its connection.
    assert other.read(second) == (4, 0, b"")
    client.session.close()
    assert other.error(ABORT_CALL, struct.pack(">i", second), ABORT) == 4


def test_vxi11_refuses_names_sizes_and_too_many_links(bench: Bench) -> None:
    client = bench.client()
    given = struct.pack(">3I", 5, 0, 0)
    assert client.error(CREATE, given + xdr(b"gpib0,5")) == 3
    link = client.link(name=b"INST0")
    assert client.write(link, bytes(65)) == (5, 0)
    for _ in range(31):
        client.link()
    assert client.error(CREATE, given + xdr(b"inst0")) == 9


def test_vxi11_lock_keeps_other_links_out_until_it_is_given_back(bench: Bench) -> None:
    one, two = bench.client(), bench.client()
    first, second = one.link(), two.link()
    assert one.error(UNLOCK, struct.pack(">i", first)) == 12
    assert one.error(LOCK, struct.pack(">iiI", first, 0, 0)) == 0
    assert two.write(second, b"*IDN?\n") == (11, 0)
    assert two.read(second) == (11, 0, b"")
    assert two.error(UNLOCK, struct.pack(">i", second)) == 12
    waiting = struct.pack(">iiI", second, WAIT_LOCK, 500)
    assert two.sent(call(LOCK, waiting)) == b""
    assert two.session.next_at() == 0.5
    bench.clock.advance(0.5)
    assert struct.unpack(">i", accepted(two.session.take())) == (11,)
    assert two.sent(call(LOCK, waiting)) == b""
    assert one.write(first, b"*IDN?\n") == (0, 6)
    assert one.error(UNLOCK, struct.pack(">i", first)) == 0
    assert struct.unpack(">i", accepted(two.session.take())) == (0,)
    assert one.read(first) == (11, 0, b"")
    two.session.close()
    assert one.read(first) == (0, LAST, b"Maker,Meter,SIM01,1\n")


def test_vxi11_locks_at_once_when_a_link_is_created_so(bench: Bench) -> None:
    one, two = bench.client(), bench.client()
    second = two.link()
    first = one.link(lock=1)
    assert two.write(second, b"x\n") == (11, 0)
    given = struct.pack(">3I", 5, 1, 0) + xdr(b"inst0")
    assert two.error(CREATE, given) == 11
    assert one.error(DESTROY, struct.pack(">i", first)) == 0
    assert two.write(second, b"*IDN?\n") == (0, 6)


def test_vxi11_read_ends_when_another_connection_aborts_it(bench: Bench) -> None:
    one, two = bench.client(), bench.client()
    link = one.link()
    assert one.sent(call(READ, read_given(link, io_ms=60_000))) == b""
    assert two.error(ABORT_CALL, struct.pack(">i", link), ABORT) == 0
    assert read_result(accepted(one.session.take())) == (23, 0, b"")
    one.write(link, b"*IDN?\n")
    assert one.read(link)[0] == 0


@pytest.mark.parametrize("procedure", [14, 20, 22, 25, 26])
def test_vxi11_says_what_it_does_not_serve(bench: Bench, procedure: int) -> None:
    assert bench.client().error(procedure, b"") == 8


def test_port_mapper_knows_the_port_of_both_channels(bench: Bench) -> None:
    def asked(program: int, version: int, protocol: int = 6) -> int:
        given = struct.pack(">4I", program, version, protocol, 0)
        reply = accepted(bench.client().sent(call(3, given, program=100000, version=2)))
        return int(struct.unpack(">I", reply)[0])

    assert [asked(CORE, 1), asked(ABORT, 1), asked(CORE, 2), asked(CORE, 1, 17)] == [
        4321,
        4321,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (call(0), (0, 0)),
        (call(0, program=100000, version=2), (0, 0)),
        (call(10, program=5), (0, 1)),
        (call(10, version=9), (0, 2, 1, 1)),
        (call(99), (0, 3)),
        (call(4, program=100000, version=2), (0, 3)),
        (call(READ, b"\0\0\0\1"), (0, 4)),
        (call(3, b"", program=100000, version=2), (0, 4)),
        (call(WRITE, struct.pack(">iIIiI", 1, 0, 0, 0, 1 << 30)), (0, 4)),
    ],
)
def test_rpc_names_what_is_wrong_with_a_call(
    bench: Bench, data: bytes, reply: tuple[int, ...]
) -> None:
    accept, *more = reply[1:]
    body = struct.pack(f">{6 + len(more)}I", 7, 1, reply[0], 0, 0, accept, *more)
    client = bench.client()
    assert client.sent(data) == struct.pack(">I", 0x80000000 | len(body)) + body
    assert client.link() > 0


def test_rpc_denies_another_version_of_itself(bench: Bench) -> None:
    body = struct.pack(">6I", 7, 1, 1, 0, 2, 2)
    assert bench.client().sent(call(0, rpc=3)) == struct.pack(">I", 0x80000000 | len(body)) + body


def test_rpc_puts_a_record_together_from_fragments_and_single_bytes(bench: Bench) -> None:
    whole = call(CREATE, struct.pack(">3I", 5, 0, 0) + xdr(b"inst0"))[4:]
    data = b"".join(
        struct.pack(">I", len(part) | (0x80000000 if last else 0)) + part
        for part, last in ((whole[:9], False), (b"", False), (whole[9:], True))
    )
    client = bench.client()
    replies = [client.sent(data[place : place + 1]) for place in range(len(data))]
    assert replies[:-1] == [b""] * (len(data) - 1)
    assert len(accepted(replies[-1])) == 16


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 0x80000000),
        struct.pack(">3I", 0x80000008, 7, 1),
        call(0) * 70,
    ],
)
def test_rpc_hangs_up_on_who_does_not_speak_it(bench: Bench, data: bytes) -> None:
    client = bench.client()
    if data.startswith(call(0)):
        link = client.link()
        client.sent(call(READ, read_given(link, io_ms=60_000)))
    client.sent(data)
    assert client.session.finished


def test_vxi11_bears_ten_thousand_messages_that_are_not_what_they_should_be(bench: Bench) -> None:
    messages = (
        call(CREATE, struct.pack(">3I", 5, 0, 0) + xdr(b"inst0")),
        call(WRITE, struct.pack(">iIIi", 1, 10, 0, END) + xdr(b"*IDN?\n")),
        call(READ, read_given(1, io_ms=10)),
        call(CLEAR, generic(1)),
        call(LOCK, struct.pack(">iiI", 1, WAIT_LOCK, 10)),
        call(UNLOCK, struct.pack(">i", 1)),
        call(3, struct.pack(">4I", CORE, 1, 6, 0), program=100000, version=2),
    )
    client = bench.client()
    for data in damaged_streams(messages, random.Random(11), rubbish_share=0.2):
        if client.session.finished:
            client.session.close()
            client = bench.client()
            client.link()
        client.session.feed(data)
        client.session.next_at()
        client.session.take()
        bench.clock.advance(0.005)
    client.session.close()
    sound = bench.client()
    link = sound.link()
    sound.write(link, b"*IDN?\n")
    assert sound.read(link)[2] == b"Maker,Meter,SIM01,1\n"
