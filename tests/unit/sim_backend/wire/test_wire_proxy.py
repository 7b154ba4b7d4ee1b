"""The fault proxy over real sockets and pseudo-terminals, in front of an echo."""

import os
import select
import selectors
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigurationError, LinkError
from drivers.instruments import Clock
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.proxy import FaultProxy
from sim_backend.wire.proxy_ends import End
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind, WireFaultPlan

PATIENCE_S = 20.0
"""For what must come; a test that passes does not wait for it."""


class EchoServer:
    """Sends back what it gets, on a TCP port or on a pseudo-terminal, and remembers it."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.got = bytearray()
        self.closed = 0
        self._selector = selectors.DefaultSelector()
        self._wake = os.pipe()
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        self._descriptors: set[int] = set()
        self._listener: socket.socket | None = None
        self._slave: int | None = None
        self.target: tuple[str, int] | str
        if terminal:
            master, self._slave = os.openpty()
            tty.setraw(self._slave)
            self.target = os.ttyname(self._slave)
            self._add(master)
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.target = self._listener.getsockname()[:2]
            self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="echo")
        self._thread.start()

    def _add(self, descriptor: int) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._descriptors.add(descriptor)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._wake[0]:
                    return
                if self._listener is not None and key.fd == self._listener.fileno():
                    self._add(self._listener.accept()[0].detach())
                    continue
                data = b""
                with suppress(OSError):
                    data = os.read(key.fd, 1 << 16)
                if not data:
                    self._selector.unregister(key.fd)
                    self._descriptors.remove(key.fd)
                    os.close(key.fd)
                    self.closed += 1
                    continue
                self.got += data
                with suppress(OSError):  # a client that was cut off does not listen
                    while data:
                        data = data[os.write(key.fd, data) :]

    def stop(self) -> None:
        os.write(self._wake[1], b"x")
        self._thread.join()
        self._selector.close()
        if self._listener is not None:
            self._listener.close()
        rest = [*self._descriptors, *self._wake, *([] if self._slave is None else [self._slave])]
        for descriptor in rest:
            os.close(descriptor)


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@contextmanager
def nothing_left() -> Iterator[None]:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors


@contextmanager
def served(
    *faults: WireFault, clock: Clock | None = None, terminal: bool = False, end: bytes = b""
) -> Iterator[tuple[EchoServer, FaultProxy]]:
    with nothing_left():
        echo = EchoServer(terminal=terminal)
        try:
            plan = WireFaultPlan(faults=faults, message_end=end)
            with FaultProxy(echo.target, plan, clock) as proxy:
                yield echo, proxy
        finally:
            echo.stop()


def fault(kind: str, way: str = "to client", **values: Any) -> WireFault:
    return WireFault(kind=WireFaultKind(kind), direction=WireDirection(way), **values)


@contextmanager
def connected(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client:
        yield client


def receive(client: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        data = client.recv(count - len(got))
        if not data:
            break
        got += data
    return got


def receive_all(client: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionResetError):
        while data := client.recv(1 << 16):
            got += data
    return got


def is_silent(client: socket.socket, wait_s: float = 0.05) -> bool:
    return not select.select([client], [], [], wait_s)[0]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1e-3)


def test_proxy_carries_everything_when_nothing_is_wrong() -> None:
    data = os.urandom(1 << 21)
    with served() as (echo, proxy), connected(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert echo.got == data


def test_proxy_serves_several_connections_when_they_come_together() -> None:
    with served() as (_, proxy), connected(proxy) as one, connected(proxy) as two:
        for number in range(5):
            one.sendall(b"one %d" % number)
            two.sendall(b"two %d" % number)
            assert receive(two, 5) == b"two %d" % number
            assert receive(one, 5) == b"one %d" % number


@pytest.mark.parametrize("place", range(8))
def test_client_gets_just_its_bytes_when_the_answer_is_cut(place: int) -> None:
    with served(fault("cut", at_byte=place)) as (_, proxy):
        with connected(proxy) as client:
            with suppress(OSError):
                client.sendall(b"1.25E-3")
            assert receive_all(client) == b"1.25E-3"[:place]
        with connected(proxy) as client:
            client.sendall(b"again")
            assert receive(client, 5) == b"again"
        assert proxy.strikes == (1,)


def test_instrument_gets_just_its_bytes_when_the_order_is_cut() -> None:
    with served(fault("cut", "to instrument", at_byte=100_000)) as (echo, proxy):
        with connected(proxy) as client:
            with suppress(OSError):
                client.sendall(bytes(300_000))
            receive_all(client)
        wait_for(lambda: echo.closed == 1)
        assert len(echo.got) == 100_000


def test_end_is_no_reset_when_bytes_are_unread() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"unread")
        End(ours.fileno(), ours.close).close()
        assert theirs.recv(1) == b""


def test_open_connection_ends_when_a_cut_is_injected() -> None:
    with served() as (_, proxy), connected(proxy) as client:
        client.sendall(b"one")
        assert receive(client, 3) == b"one"
        assert proxy.inject(fault("cut")) == 0
        assert client.recv(1) == b""


def test_one_direction_is_silent_and_heals_when_it_is_partitioned() -> None:
    with served(fault("partition", at_byte=3)) as (echo, proxy), connected(proxy) as client:
        client.sendall(b"one")
        assert receive(client, 3) == b"one"
        client.sendall(b"two")
        wait_for(lambda: bytes(echo.got) == b"onetwo")  # the other direction works
        assert is_silent(client)
        proxy.clear()
        assert receive(client, 3) == b"two"


def test_instrument_gets_nothing_when_the_way_to_it_is_partitioned() -> None:
    with served() as (echo, proxy), connected(proxy) as client:
        proxy.inject(fault("partition", "to instrument"))
        client.sendall(b"one")
        assert is_silent(client)
        assert echo.got == b""
        proxy.clear()
        assert receive(client, 3) == b"one"


def test_answer_is_late_when_it_is_delayed() -> None:
    with served(fault("delay", delay_s=0.1)) as (_, proxy), connected(proxy) as client:
        before = time.monotonic()
        client.sendall(b"one")
        assert receive(client, 3) == b"one"
        assert time.monotonic() - before >= 0.1


def test_bytes_come_at_the_rate_of_the_clock_when_it_is_throttled() -> None:
    clock = SimulatedClock()
    slow = fault("throttle", at_byte=1, bytes_per_s=80.0)
    with served(slow, clock=clock) as (_, proxy), connected(proxy) as client:
        client.sendall(bytes(301))
        assert receive(client, 1) == b"\0"  # now the others are in the proxy
        for step in range(1, 31):
            assert is_silent(client, 0.0)
            clock.advance(0.125)
            assert len(receive(client, 10)) == 10
            assert clock.now() == step / 8


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (fault("swallow", at_message=1), b"one\nthree\n"),
        (fault("duplicate", at_message=1), b"one\ntwo\ntwo\nthree\n"),
        (fault("reorder", at_message=0), b"two\none\nthree\n"),
        (fault("truncate", at_message=1, at_byte=1), b"one\ntthree\n"),
        (fault("garbage", at_message=2, data=b"\xff\x00"), b"one\ntwo\n\xff\x00three\n"),
        (fault("corrupt", at_byte=4, data=b"\x20"), b"one\nTwo\nthree\n"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, WireFault) else None,
)
def test_answers_are_damaged_alike_when_they_come_over_sockets(
    what: WireFault, expected: bytes
) -> None:
    with served(what, end=b"\n") as (_, proxy), connected(proxy) as client:
        client.sendall(b"one\ntwo\nthree\n")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == expected


def test_sender_is_held_up_when_the_line_is_partitioned() -> None:
    with served(fault("partition", "to instrument")) as (echo, proxy), connected(proxy) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(32 << 20))
        assert echo.got == b""


def test_client_is_turned_away_when_no_server_is_there() -> None:
    with nothing_left():
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with FaultProxy(("127.0.0.1", port)) as proxy, connected(proxy) as client:
            assert receive_all(client) == b""


def test_proxy_sleeps_when_nothing_happens() -> None:
    with served(fault("partition")) as (_, proxy), connected(proxy) as client:
        client.sendall(b"one")
        assert is_silent(client)
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.05


def test_connections_end_when_the_proxy_stops() -> None:
    with served() as (_, proxy), connected(proxy) as client:
        client.sendall(b"one")
        assert receive(client, 3) == b"one"
        proxy.stop()
        assert client.recv(1) == b""
        proxy.stop()


def test_proxy_can_start_again_when_it_was_stopped() -> None:
    with served() as (_, proxy):
        with pytest.raises(LinkError, match="runs already"):
            proxy.start()
        proxy.stop()
        with pytest.raises(LinkError, match="start it first"):
            _ = proxy.port
        assert proxy.start() == ("127.0.0.1", proxy.port)
        with connected(proxy) as client:
            client.sendall(b"one")
            assert receive(client, 3) == b"one"


@contextmanager
def plugged(proxy: FaultProxy) -> Iterator[int]:
    descriptor = os.open(proxy.path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(descriptor: int, count: int) -> bytes:
    got = b""
    while len(got) < count:
        assert select.select([descriptor], [], [], PATIENCE_S)[0]
        try:
            data = os.read(descriptor, count - len(got))
        except OSError:
            break
        if not data:
            break
        got += data
    return got


def test_terminal_carries_all_bytes_when_clients_come_and_go() -> None:
    data = bytes(range(256))
    with served(terminal=True) as (_, proxy):
        for _ in range(2):
            with plugged(proxy) as port:
                os.write(port, data)
                assert read(port, 256) == data
        with pytest.raises(ConfigurationError, match="serial port, use path"):
            _ = proxy.port


def test_terminal_is_pulled_and_put_in_again_when_it_is_cut() -> None:
    with served(fault("cut", at_byte=4), terminal=True) as (_, proxy):
        with plugged(proxy) as port:
            before = os.readlink(proxy.path)
            os.write(port, b"abcdef")
            wait_for(lambda: proxy.strikes == (1,))  # and then reads: nothing must be lost
            assert read(port, 6) == b"abcd"
            wait_for(lambda: os.readlink(proxy.path) != before)
        with plugged(proxy) as port:
            os.write(port, b"again")
            assert read(port, 5) == b"again"


def test_instrument_gets_just_its_bytes_when_the_terminal_is_cut() -> None:
    with served(fault("cut", "to instrument", at_byte=4), terminal=True) as (echo, proxy):
        with plugged(proxy) as port:
            before = os.readlink(proxy.path)
            os.write(port, b"abcdef")
            wait_for(lambda: os.readlink(proxy.path) != before)
        wait_for(lambda: len(echo.got) >= 4)
        assert echo.got == b"abcd"


def test_terminal_is_closed_when_the_instrument_is_gone() -> None:
    with nothing_left():
        master, slave = os.openpty()
        tty.setraw(slave)
        with FaultProxy(os.ttyname(slave)) as proxy, plugged(proxy) as port:
            os.close(slave)
            os.close(master)
            assert read(port, 1) == b""


def test_terminal_damages_answers_when_a_fault_is_injected() -> None:
    with served(terminal=True, end=b"\r") as (_, proxy), plugged(proxy) as port:
        proxy.inject(fault("corrupt", data=b"\x01"))
        proxy.inject(fault("duplicate"))
        os.write(port, b"b\r")
        assert read(port, 4) == b"c\rc\r"
        assert proxy.strikes == (1, 1)


def test_terminal_leaves_no_files_when_it_stops() -> None:
    with served(terminal=True) as (_, proxy):
        folder = Path(proxy.path).parent
        assert folder.is_dir()
    assert not folder.exists()


def test_terminal_is_refused_when_there_is_no_such_port(tmp_path: Path) -> None:
    with nothing_left(), pytest.raises(LinkError, match="does not open"):
        FaultProxy(str(tmp_path / "nothing")).start()


def test_path_is_refused_when_the_proxy_is_a_tcp_port() -> None:
    with served() as (_, proxy), pytest.raises(ConfigurationError, match="TCP port, use port"):
        _ = proxy.path
