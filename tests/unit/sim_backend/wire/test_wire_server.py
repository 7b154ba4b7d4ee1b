"""Twins behind sockets and pseudo-terminals; every wait ends with what it waits for, or fails."""

import hashlib
import os
import queue
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.pace import Pace
from sim_backend.wire.server import TwinEvent, TwinListener, TwinServer
from sim_backend.wire.session import Session, Twin

TIMEOUT_S = 10.0
_FDS = Path("/proc/self/fd")
_EIGHT_MB = 8_000_000


class _LineSession(Session):
    """Answers each line by its number in the session and itself; some lines mean more."""

    def __init__(self, twin: "_LineTwin", clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._twin = twin
        self._line = bytearray()
        self._count = 0

    def feed(self, data: bytes) -> None:
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            line = bytes(self._line[:end])
            del self._line[: end + 1]
            self._count += 1
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        if line == b"late":
            self.say(b"late\n", after_s=0.3)
        elif line == b"ready?":
            self.say(b"ready\n", when=self._twin.ready.is_set)
        elif line == b"shot":
            self._twin.shot()
            self.say(b"shot\n")
        elif line == b"record":
            self.say(self._twin.record)
        elif line == b"fail":
            raise ZeroDivisionError("a bug of the twin")
        else:
            self.say(b"%d %s\n" % (self._count, line))

    def close(self) -> None:
        self._twin.closed += 1
        super().close()


class _LineTwin(Twin):
    def __init__(self, clock: SimulatedClock, record: bytes = b"") -> None:
        self.model = "Lines 1"
        self.record = record
        self.ready = threading.Event()
        self.closed = 0
        self.shot: Callable[[], None] = lambda: None
        self._clock = clock

    def session(self) -> Session:
        return _LineSession(self, self._clock)


class _DigestSession(Session):
    """Takes `_EIGHT_MB` bytes and answers their SHA-256."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._digest = hashlib.sha256()
        self._left = _EIGHT_MB

    def feed(self, data: bytes) -> None:
        self._digest.update(data)
        self._left -= len(data)
        if self._left == 0:
            self.say(self._digest.digest())


class _TalkerSession(Session):
    """Says 64 KiB whenever it is asked."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self.said = 0

    def feed(self, data: bytes) -> None:
        """Deaf."""

    def take(self) -> bytes:
        self.said += 1 << 16
        return bytes(1 << 16)

    def next_at(self) -> float | None:
        return 0.0


class _OneSessionTwin(Twin):
    def __init__(self, session: Session) -> None:
        self.model = "One session"
        self._session = session

    def session(self) -> Session:
        return self._session


@contextmanager
def _served(
    listener: TwinListener | None = None, *, record: bytes = b"", speed: float = 1.0
) -> Iterator[tuple[TwinServer, _LineTwin, SimulatedClock]]:
    clock = SimulatedClock()
    with TwinServer(clock, Pace(clock, speed), listener=listener) as server:
        yield server, _LineTwin(clock, record), clock


@contextmanager
def _client(address: str) -> Iterator[socket.socket]:
    kind, host, port, ending = address.split("::")
    assert (kind, host, ending) == ("TCPIP", "127.0.0.1", "SOCKET")
    with socket.create_connection((host, int(port)), TIMEOUT_S) as client:
        yield client


def _exactly(client: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = client.recv(min(1 << 20, count - len(data)))
        assert piece, f"closed after {len(data)} of {count} bytes"
        data += piece
    return bytes(data)


def _ask(client: socket.socket, line: bytes, answer: bytes) -> None:
    client.sendall(line)
    assert _exactly(client, len(answer)) == answer


def test_client_gets_its_answer_over_tcp() -> None:
    with _served() as (server, twin, _), _client(server.listen_tcp(twin)) as client:
        _ask(client, b"hello\n", b"1 hello\n")
        _ask(client, b"a\nb\n", b"2 a\n3 b\n")


def test_two_clients_have_a_session_each() -> None:
    with _served() as (server, twin, _):
        address = server.listen_tcp(twin)
        with _client(address) as one, _client(address) as two:
            one.sendall(b"half a ")
            _ask(two, b"two\n", b"1 two\n")
            _ask(one, b"line\n", b"1 half a line\n")


def test_twins_are_served_at_addresses_of_their_own_when_added_before_and_after_the_start() -> None:
    clock = SimulatedClock()
    server = TwinServer(clock, Pace(clock))
    first = server.listen_tcp(_LineTwin(clock))
    with server:
        second = server.listen_tcp(_OneSessionTwin(_DigestSession(clock)))
        assert first != second
        with _client(first) as one, _client(second) as two:
            _ask(one, b"first\n", b"1 first\n")
            _ask(two, bytes(_EIGHT_MB), hashlib.sha256(bytes(_EIGHT_MB)).digest())


def test_late_answer_comes_when_simulated_time_has_passed() -> None:
    with (
        _served(speed=20.0) as (server, twin, clock),
        _client(server.listen_tcp(twin)) as client,
    ):
        with server.lock:
            before_s = clock.now()
        _ask(client, b"late\nsoon\n", b"late\n2 soon\n")
        with server.lock:
            assert clock.now() - before_s >= 0.3 - 1e-9


def test_answer_with_a_condition_comes_when_it_holds() -> None:
    with _served() as (server, twin, _), _client(server.listen_tcp(twin)) as client:
        client.sendall(b"ready?\n")
        with _client(server.listen_tcp(twin)) as other:
            _ask(other, b"me?\n", b"1 me?\n")  # the server has gone round: nothing for the first
        assert select.select([client], [], [], 0.0)[0] == []
        with server.lock:
            twin.ready.set()
        assert _exactly(client, 6) == b"ready\n"


def test_wall_time_of_a_shot_does_not_count() -> None:
    clock, wall_s = SimulatedClock(), [100.0]
    twin = _LineTwin(clock)

    def shot() -> None:
        wall_s[0] += 0.04
        clock.advance(1e-3)

    twin.shot = shot
    pace = Pace(clock, wall=lambda: wall_s[0])
    with TwinServer(clock, pace) as server, _client(server.listen_tcp(twin)) as client:
        _ask(client, b"shot\nshot\n", b"shot\nshot\n")
        with server.lock:
            assert clock.now() == pytest.approx(2e-3)


def test_pseudo_terminal_passes_every_byte_when_opened_by_pyserial() -> None:
    with _served() as (server, twin, _):
        path = server.open_pty(twin)
        every = bytes(byte for byte in range(256) if byte != 10)
        with serial.Serial(path, 115200, timeout=TIMEOUT_S) as port:
            port.write(every + b"\n")
            assert port.read(2 + 256) == b"1 " + every + b"\n"


def test_pseudo_terminal_keeps_its_session_when_the_client_opens_it_again() -> None:
    with _served() as (server, twin, _):
        path = server.open_pty(twin)
        with serial.Serial(path, timeout=TIMEOUT_S) as port:
            port.write(b"half a ")
        for number in (1, 2, 3):
            with serial.Serial(path, timeout=TIMEOUT_S) as port:
                port.write(b"line\n")
                said = b"half a line" if number == 1 else b"line"
                assert port.read_until(b"\n") == b"%d %s\n" % (number, said)


def test_pseudo_terminal_stays_raw_when_opened_as_a_file() -> None:
    with _served() as (server, twin, _):
        descriptor = os.open(server.open_pty(twin), os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(descriptor, b"\x03\x04\r\x11\x13\n")  # no signal, no end, no flow control
            answer = b""
            while len(answer) < 8:
                assert select.select([descriptor], [], [], TIMEOUT_S)[0]
                answer += os.read(descriptor, 64)
            assert answer == b"1 \x03\x04\r\x11\x13\n"
        finally:
            os.close(descriptor)


def test_pseudo_terminal_delivers_a_long_record_to_a_slow_reader() -> None:
    record = np.random.default_rng(3).bytes(300_000)
    with (
        _served(record=record) as (server, twin, _),
        serial.Serial(server.open_pty(twin), timeout=TIMEOUT_S) as port,
    ):
        port.write(b"record\n")
        assert port.read(len(record)) == record


def test_eight_megabytes_arrive_whole_each_way() -> None:
    data = np.random.default_rng(1).bytes(_EIGHT_MB)
    with _served(record=data) as (server, twin, clock):
        with _client(server.listen_tcp(twin)) as client:
            client.sendall(b"record\n")
            assert _exactly(client, _EIGHT_MB) == data
        digest = _OneSessionTwin(_DigestSession(clock))
        with _client(server.listen_tcp(digest)) as client:
            _ask(client, data, hashlib.sha256(data).digest())


def test_other_clients_are_served_when_one_leaves_in_the_middle_of_its_record() -> None:
    events: queue.Queue[TwinEvent] = queue.Queue()
    with _served(events.put, record=bytes(_EIGHT_MB)) as (server, twin, _):
        address = server.listen_tcp(twin)
        with _client(address) as stays:
            with _client(address) as leaves:
                leaves.sendall(b"record\n")
                _exactly(leaves, 1000)
            while events.get(timeout=TIMEOUT_S).what != "disconnected":
                pass
            assert twin.closed == 1
            _ask(stays, b"still there?\n", b"1 still there?\n")


def test_client_gets_the_rest_when_it_has_ended_its_own_side() -> None:
    record = np.random.default_rng(2).bytes(_EIGHT_MB)
    with (
        _served(record=record) as (server, twin, _),
        _client(server.listen_tcp(twin)) as client,
    ):
        client.sendall(b"record\n")
        client.shutdown(socket.SHUT_WR)
        assert _exactly(client, len(record)) == record
        assert client.recv(1) == b""


def test_twin_is_not_asked_for_more_when_its_client_does_not_read() -> None:
    clock = SimulatedClock()
    talker = _TalkerSession(clock)
    with (
        TwinServer(clock, Pace(clock)) as server,
        _client(server.listen_tcp(_OneSessionTwin(talker))) as client,
        _client(server.listen_tcp(_LineTwin(clock))) as other,
    ):
        for number in range(1, 1000):  # each answer is a round of the server
            _ask(other, b"x\n", b"%d x\n" % number)
        with server.lock:
            said = talker.said
        assert said < 32 << 20  # what the two kernels' buffers hold, and a megabyte
        _exactly(client, said + (1 << 20))
        with server.lock:
            assert talker.said >= said + (1 << 20)


def test_failing_twin_loses_its_connection_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with _served() as (server, twin, _):
        address = server.listen_tcp(twin)
        with _client(address) as sound, _client(address) as failing:
            failing.sendall(b"fail\n")
            assert failing.recv(1) == b""
            _ask(sound, b"hello\n", b"1 hello\n")
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert "the twin of Lines 1 failed" in record.getMessage()
    assert record.exc_info is not None
    assert "a bug of the twin" in str(record.exc_info[1])


def test_listener_is_told_who_comes_and_what_passes() -> None:
    events: queue.Queue[TwinEvent] = queue.Queue()
    with _served(events.put) as (server, twin, _):
        address = server.listen_tcp(twin)
        with _client(address) as client:
            _ask(client, b"hello\n", b"1 hello\n")
        told = [events.get(timeout=TIMEOUT_S) for _ in range(4)]
    assert [(event.what, event.count) for event in told] == [
        ("connected", 0),
        ("received", 6),
        ("sent", 8),
        ("disconnected", 0),
    ]
    assert {(event.address, event.model) for event in told} == {(address, "Lines 1")}
    times_s = [event.time_s for event in told]
    assert times_s == sorted(times_s)


def test_server_goes_on_when_its_listener_fails(caplog: pytest.LogCaptureFixture) -> None:
    def listener(event: TwinEvent) -> None:
        raise ZeroDivisionError(event.what)

    with _served(listener) as (server, twin, _), _client(server.listen_tcp(twin)) as client:
        _ask(client, b"hello\n", b"1 hello\n")
        _ask(client, b"hello\n", b"2 hello\n")
    assert any("the listener failed at received" in one.getMessage() for one in caplog.records)


@pytest.mark.skipif(not _FDS.exists(), reason="descriptors are counted in /proc")
def test_stop_leaves_no_thread_and_no_descriptor() -> None:
    fds, threads = sorted(os.listdir(_FDS)), threading.active_count()
    with _served(record=bytes(_EIGHT_MB)) as (server, twin, clock):
        path = server.open_pty(twin)
        with _client(server.listen_tcp(twin)) as client, serial.Serial(path, timeout=TIMEOUT_S):
            client.sendall(b"record\n")
            _exactly(client, 1)
            server.stop()
            server.stop()
            with server.lock:
                stopped_s = clock.now()
            while client.recv(1 << 20):  # to its end: what was under way
                pass
            assert clock.now() == stopped_s
            assert twin.closed == 2
    assert sorted(os.listdir(_FDS)) == fds
    assert threading.active_count() == threads


@pytest.mark.skipif(not _FDS.exists(), reason="descriptors are counted in /proc")
def test_stop_gives_everything_back_when_it_was_never_started() -> None:
    fds = sorted(os.listdir(_FDS))
    clock = SimulatedClock()
    server = TwinServer(clock, Pace(clock))
    server.listen_tcp(_LineTwin(clock))
    server.open_pty(_LineTwin(clock))
    assert sorted(os.listdir(_FDS)) != fds
    server.stop()
    assert sorted(os.listdir(_FDS)) == fds


def test_listener_can_stop_the_server() -> None:
    clock = SimulatedClock()
    ended = threading.Event()

    def listener(event: TwinEvent) -> None:
        if event.what == "disconnected":
            server.stop()
            ended.set()

    server = TwinServer(clock, Pace(clock), listener=listener)
    with server:
        with _client(server.listen_tcp(_LineTwin(clock))):
            pass
        assert ended.wait(TIMEOUT_S)
        with pytest.raises(ConfigurationError, match="it is stopped"):
            server.open_pty(_LineTwin(clock))


def test_port_is_refused_when_it_is_taken() -> None:
    with _served() as (server, twin, _):
        port = int(server.listen_tcp(twin).split("::")[2])
        with pytest.raises(ConfigurationError, match=rf"cannot listen at 127\.0\.0\.1:{port}"):
            server.listen_tcp(twin, port=port)
        with pytest.raises(ConfigurationError, match="cannot listen at"):
            server.listen_tcp(twin, port=1 << 17)


def test_server_is_refused_when_started_again() -> None:
    with _served() as (server, twin, _):
        with pytest.raises(ConfigurationError, match="runs already"):
            server.start()
        server.stop()
        with pytest.raises(ConfigurationError, match="it is stopped"):
            server.start()
        with pytest.raises(ConfigurationError, match="it is stopped"):
            server.listen_tcp(twin)
