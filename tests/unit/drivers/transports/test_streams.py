"""Real sockets, pseudo-terminals and VISA sessions, and the one line that mends what is missing."""

import builtins
import errno
import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import serial

from drivers.bench.registry import InstrumentEntry
from drivers.errors import ConfigurationError, LinkError, LinkTimeoutError
from drivers.instruments import SystemClock
from drivers.transports.link import Link
from drivers.transports.pool import LinkPool, socket_of
from drivers.transports.reader import line
from drivers.transports.serial_stream import SerialSettings, SerialStream
from drivers.transports.socket_stream import SocketStream
from drivers.transports.visa_stream import VisaStream, resource_manager


def entry(address: str, backend: str = "visa", **settings: object) -> InstrumentEntry:
    return InstrumentEntry(
        bench="b",
        party="server",
        role="laser",
        model="m",
        backend=backend,
        address=address,
        serial="",
        settings=settings,
    )


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that sends back what it gets, until the client goes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(1 << 16):
                        connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_socket_carries_more_bytes_than_its_buffers_hold(echo: int) -> None:
    stream = SocketStream.connect("127.0.0.1", echo, 5.0)
    payload = os.urandom(8 << 20)
    received = bytearray(len(payload))
    sender = threading.Thread(target=lambda: stream.send(payload, 20.0))
    sender.start()
    place = 0
    while place < len(payload):
        place += stream.receive_into(memoryview(received)[place:], 20.0)
    sender.join(20)
    assert received == payload
    stream.close()
    stream.close()


def test_socket_names_the_deadline_when_nothing_comes(echo: int) -> None:
    stream = SocketStream.connect("127.0.0.1", echo, 5.0)
    with pytest.raises(LinkTimeoutError, match=rf"127\.0\.0\.1:{echo}: no answer within 0\.01 s"):
        stream.receive_into(memoryview(bytearray(4)), 0.01)
    assert stream.discard() == b""
    stream.close()


def test_socket_says_what_to_do_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LinkError, match=rf"127\.0\.0\.1:{port}: no connection.*listens on port"):
        SocketStream.connect("127.0.0.1", port, 1.0)


def test_link_says_that_the_instrument_hung_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        link = Link("box", lambda timeout_s: SocketStream.connect("127.0.0.1", port, timeout_s))
        link.attach("laser", lambda: None)
        listener.accept()[0].close()
        with pytest.raises(LinkError, match=r"closed the connection|connection broke"):
            link.order(b"A?\n", line())
        link.detach("laser")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("TCPIP::192.168.1.5::5025::SOCKET", ("192.168.1.5", 5025)),
        ("tcpip0::scope.lab::4000::socket", ("scope.lab", 4000)),
        ("socket://terminal:7001", ("terminal", 7001)),
        ("TCPIP::[fe80::1]::5025::SOCKET", ("fe80::1", 5025)),
        ("TCPIP::192.168.1.5::INSTR", None),
        ("TCPIP::192.168.1.5::99999::SOCKET", None),
        ("/dev/ttyUSB0", None),
    ],
)
def test_socket_of_knows_raw_sockets(address: str, place: tuple[str, int] | None) -> None:
    assert socket_of(address) == place


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the instrument's descriptor and the port."""
    instrument, port = pty.openpty()
    yield instrument, os.ttyname(port)
    os.close(instrument)
    os.close(port)


def test_serial_port_carries_every_byte_value(terminal: tuple[int, str]) -> None:
    instrument, port = terminal
    stream = SerialStream.open(port, SerialSettings(baud=115200))
    payload = bytes(range(256)) * 4
    stream.send(payload, 1.0)
    seen = b""
    while len(seen) < len(payload):
        seen += os.read(instrument, 4096)
    assert seen == payload
    os.write(instrument, payload)
    received = bytearray()
    buffer = memoryview(bytearray(100))
    while len(received) < len(payload):
        received += buffer[: stream.receive_into(buffer, 1.0)]
    assert received == payload
    stream.close()
    stream.close()


def test_serial_port_names_the_deadline_and_drops_what_is_late(terminal: tuple[int, str]) -> None:
    instrument, port = terminal
    stream = SerialStream.open(port, SerialSettings())
    with pytest.raises(LinkTimeoutError, match=rf"{port}: no answer within 0\.01 s"):
        stream.receive_into(memoryview(bytearray(4)), 0.01)
    os.write(instrument, b"late")
    stream._readable.poll(1000)
    assert stream.discard() == b"late"
    stream.close()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, r"no permission.*run: sudo usermod -aG \w+ \$USER, then log in again"),
        (errno.ENOENT, "no such serial port; plug the instrument in"),
        (errno.EBUSY, "another program holds the serial port"),
    ],
)
def test_serial_port_gives_the_line_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise serial.SerialException(number, "refused")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LinkError, match=remedy):
        SerialStream.open("/dev/ttyUSB0", SerialSettings())


def test_serial_port_is_for_one_program(terminal: tuple[int, str]) -> None:
    _, port = terminal
    stream = SerialStream.open(port, SerialSettings())
    with pytest.raises(LinkError, match="another program holds the serial port"):
        SerialStream.open(port, SerialSettings())
    stream.close()


def test_visa_reads_lines_and_whole_blocks_through_the_library(echo: int) -> None:
    address = f"TCPIP::127.0.0.1::{echo}::SOCKET"
    link = Link(address, lambda timeout_s: VisaStream.open(address, "@py", timeout_s))
    link.attach("laser", lambda: None)
    assert link.ask(b"*IDN?\n", line()) == b"*IDN?"
    block = bytes(range(256)) * 40
    assert link.ask(block, lambda reader: reader.exactly(len(block))) == block
    with pytest.raises(LinkTimeoutError, match=r"no complete answer within 0\.05 s"):
        link.order(b"", line(), timeout_s=0.05)
    link.detach("laser")


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let a package be missing."""
    real = builtins.__import__

    def imported(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_visa_gives_the_line_that_installs_it_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, "pyvisa")
    with pytest.raises(LinkError, match="run: pip install pyvisa pyvisa-py"):
        resource_manager()


def test_visa_says_what_to_do_when_the_vendors_library_is_not_there() -> None:
    with pytest.raises(LinkError, match=r'or set settings\.library = "@py"'):
        resource_manager("/no/such/libvisa.so")


def test_visa_gives_the_line_for_usb_when_no_backend_can_reach_it() -> None:
    address = "USB0::0x1313::0x8078::P0001::INSTR"
    with pytest.raises(LinkError) as raised:
        VisaStream.open(address, "@py", 0.5)
    text = str(raised.value)
    assert text.startswith(f"{address}: ")
    # With pyusb there is no such device; without it, the line that installs it.
    assert "run: pip install pyusb" in text or "check that it is on" in text


def test_pool_gives_one_link_to_the_roles_of_one_box() -> None:
    pool = LinkPool(SystemClock())
    address = "TCPIP::127.0.0.1::5025::SOCKET"
    first = pool.link(entry(address, timeout_s=3.0))
    assert pool.link(entry(address, timeout_s=3.0)) is first
    assert first.timeout_s == 3.0
    assert pool.link(entry(address + "0")) is not first
    with pytest.raises(ConfigurationError, match="another role of the box"):
        pool.link(entry(address))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout_s": -1.0}, "timeout_s is -1.0"),
        ({"baud": "fast"}, "baud is 'fast'"),
        ({"trace": 3}, "trace is 3"),
    ],
)
def test_pool_names_the_setting_that_is_wrong(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LinkPool(SystemClock()).link(entry("/dev/ttyUSB0", "serial", **settings))


def opened(make: Callable[[], object]) -> int:
    """Descriptors that are left open by a call."""
    before = set(os.listdir("/proc/self/fd"))
    make()
    return len(set(os.listdir("/proc/self/fd")) - before)


def test_nothing_stays_open_when_links_come_and_go(echo: int, terminal: tuple[int, str]) -> None:
    def come_and_go() -> None:
        SocketStream.connect("127.0.0.1", echo, 1.0).close()
        SerialStream.open(terminal[1], SerialSettings()).close()

    come_and_go()
    assert opened(come_and_go) == 0
