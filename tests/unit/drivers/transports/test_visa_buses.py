"""USB-TMC and GPIB: the VISA stream on a session that does what those buses do, without hardware.

A message goes out whole, with END on its last byte. An answer ends with END, comes in parts of at
most what was asked for, and stays in the instrument until it is read or a device clear drops it:
closing the session and opening it again does not.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyvisa import constants, errors
from pyvisa.resources import MessageBasedResource

from drivers.errors import AnswerError, LinkError, LinkTimeoutError
from drivers.transports import visa_stream
from drivers.transports.blocks import block_header, read_block
from drivers.transports.link import Link
from drivers.transports.reader import line
from drivers.transports.scpi import Scpi
from drivers.transports.timely_opening import TimelyOpening
from drivers.transports.usbtmc import clear_usbtmc
from drivers.transports.visa_stream import VisaStream

GPIB, USB = "GPIB0::5::INSTR", "USB0::0x1313::0x8078::P0001::INSTR"
TIME_OUT = constants.StatusCode.error_timeout
BROKEN = constants.StatusCode.error_connection_lost
UNSUPPORTED = constants.StatusCode.error_nonsupported_operation
LATE = b"held"


class Instrument:
    """What is at the other end of the bus, with its output buffer and a record of what happens.

    Args:
        answers: by message.
        chunk: most bytes of one read.
    """

    def __init__(self, answers: dict[bytes, bytes] | None = None, chunk: int = 1 << 30) -> None:
        self.answers = {b"*IDN?\n": b"me\n"} if answers is None else answers
        self.chunk = chunk
        self.output: list[bytes] = []
        self.heard: list[bytes] = []
        self.events: list[str] = []
        self.asked: list[int] = []
        self.held: list[bytes] = []

    def hear(self, message: bytes) -> None:
        self.heard.append(message)
        if message.startswith(LATE):
            self.held.append(b"late\n")
        elif message in self.answers:
            self.output.append(self.answers[message])

    def release(self) -> None:
        """The answers come that were held."""
        self.output += self.held
        self.held.clear()

    def clear(self) -> None:
        self.events.append("clear")
        self.output.clear()


class Library:
    """`pyvisa`'s library, as far as a stream needs it."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.timeouts: list[int] = []
        self.write_faults: list[int | Exception] = []
        self.read_faults: list[Exception] = []
        self.surplus = 0

    def set_attribute(self, session: int, attribute: object, value: int) -> None:
        assert session == 1
        assert attribute == constants.ResourceAttribute.timeout_value
        self.timeouts.append(value)

    def write(self, session: int, data: bytes) -> tuple[int, object]:
        assert session == 1
        assert type(data) is bytes
        if self.write_faults:
            fault = self.write_faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            self.instrument.hear(data[:fault])
            return fault, constants.StatusCode.success
        self.instrument.hear(data)
        return len(data), constants.StatusCode.success

    def read(self, session: int, count: int) -> tuple[bytes, object]:
        assert session == 1
        self.instrument.asked.append(count)
        if self.read_faults:
            raise self.read_faults.pop(0)
        if not self.instrument.output:
            raise errors.VisaIOError(TIME_OUT)
        message = self.instrument.output.pop(0)
        size = min(count + self.surplus, self.instrument.chunk)
        if message[size:]:
            self.instrument.output.insert(0, message[size:])
        return message[:size], constants.StatusCode.success


class Resource(MessageBasedResource):
    """`pyvisa`'s resource, as far as a stream needs it."""

    session = 1
    read_termination: str | None = "\n"

    def __init__(self, library: Library) -> None:
        self._session = None
        self.visalib: Any = library
        self.events = library.instrument.events
        self.clear_fault: Exception | None = None
        self.closing: Callable[[], object] = lambda: None
        self.quiet = False

    def set_visa_attribute(self, name: object, state: object) -> Any:
        assert (name, state) == (constants.ResourceAttribute.termchar_enabled, False)

    @contextmanager
    def ignore_warning(self, *codes: object) -> Iterator[None]:
        [code] = codes
        assert code == constants.StatusCode.success_max_count_read
        self.quiet = True
        yield
        self.quiet = False

    def clear(self) -> None:
        if self.clear_fault is not None:
            raise self.clear_fault
        self.visalib.instrument.clear()

    def close(self) -> None:
        self.closing()
        self.events.append("close")


class Manager:
    """`pyvisa`'s resource manager, whose opening does what a test wants."""

    def __init__(self, opening: Callable[[], object]) -> None:
        self.opening = opening

    def open_resource(self, address: str, *, open_timeout: int) -> object:
        assert address
        assert open_timeout > 0
        return self.opening()


class Bus:
    """An instrument on a bus, and a link to it that is open.

    Args:
        instrument: at the other end.
        address: of it.
        clear_fault: what a device clear raises.
    """

    def __init__(
        self,
        instrument: Instrument,
        address: str = GPIB,
        clear_fault: Exception | None = None,
        sessions: dict[int, object] | None = None,
    ) -> None:
        self.instrument = instrument
        self.library = Library(instrument)
        self.resources: list[Resource] = []
        self.address = address
        self._clear_fault = clear_fault
        if sessions is not None:
            self.library.sessions = sessions  # type: ignore[attr-defined]
        self.link = Link(address, self._open, timeout_s=0.5)
        self.link.attach("user", lambda: None)

    def _open(self, timeout_s: float) -> VisaStream:
        def opening() -> Resource:
            resource = Resource(self.library)
            resource.clear_fault = self._clear_fault
            self.resources.append(resource)
            self.instrument.events.append("open")
            return resource

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(visa_stream, "resource_manager", lambda _: Manager(opening))
            stream = VisaStream.open(self.address, "@py", timeout_s)
        assert self.resources[-1].read_termination is None
        return stream


def test_answers_and_blocks_are_whole_when_reads_end_early() -> None:
    record = bytes(range(256)) * 5
    whole = block_header(len(record)) + record + b"\n"
    bus = Bus(Instrument({b"*IDN?\n": b"Maker,Model,1,2\n", b"D?\n": whole}, chunk=7))
    assert bus.link.ask(b"*IDN?\n", line()) == b"Maker,Model,1,2"
    assert bytes(bus.link.ask(b"D?\n", read_block)) == record
    assert bus.instrument.output == []
    assert bus.instrument.events == ["open", "clear"]


def test_no_more_of_a_block_is_asked_for_than_is_to_come() -> None:
    record = bytes(300_000)
    bus = Bus(Instrument({b"D?\n": block_header(len(record)) + record + b"\n"}))
    bus.link.ask(b"D?\n", read_block)
    # `#6`, `300000`, the bytes in parts whose time-outs begin anew, the end.
    assert bus.instrument.asked == [2, 6, 1 << 17, 1 << 17, 300_000 - (1 << 18), 1]


def test_message_goes_out_in_one_write_whatever_its_parts() -> None:
    bus = Bus(Instrument({b":SYST:ERR?\n": b'+0,"No error"\n'}))
    record = bytes(range(256)) * 400
    Scpi(bus.link).set_block(":DATA ", memoryview(bytearray(record)))
    message = b":DATA " + block_header(len(record)) + record + b"\n"
    assert bus.instrument.heard == [message, b":SYST:ERR?\n"]


def test_late_answer_is_dropped_by_a_device_clear_before_the_next_session() -> None:
    bus = Bus(Instrument({b"A?\n": b"own\n"}))
    with pytest.raises(LinkTimeoutError, match=r"no complete answer within 0\.5 s"):
        bus.link.order(LATE + b"?\n", line())
    bus.instrument.release()
    assert bus.link.ask(b"A?\n", line()) == b"own"
    assert bus.instrument.heard == [LATE + b"?\n", b"A?\n"]
    assert bus.instrument.events == ["open", "clear", "close", "open", "clear"]
    assert not bus.resources[0].quiet


def test_answer_that_breaks_off_is_not_joined_with_the_next() -> None:
    bus = Bus(Instrument({b"A?\n": b"#15abc", b"B?\n": b"own\n"}))
    with pytest.raises(LinkTimeoutError):
        bus.link.order(b"A?\n", read_block)
    assert bus.link.ask(b"B?\n", line()) == b"own"


def test_rest_of_a_garbled_answer_is_dropped() -> None:
    bus = Bus(Instrument({b"A?\n": b"rubbish\n", b"B?\n": b"own\n"}))
    with pytest.raises(AnswerError):
        bus.link.order(b"A?\n", read_block)
    assert bus.instrument.output == [b"bbish\n"]
    assert bus.link.ask(b"B?\n", line()) == b"own"


@pytest.mark.parametrize(
    "fault",
    [errors.VisaIOError(TIME_OUT), errors.VisaIOError(BROKEN), OSError("pulled"), 3, 0],
    ids=["time-out", "lost", "system", "part", "nothing"],
)
def test_order_is_not_sent_again_when_it_was_not_taken_whole(fault: int | Exception) -> None:
    bus = Bus(Instrument())
    bus.library.write_faults.append(fault)
    late = isinstance(fault, errors.VisaIOError) and fault.error_code == TIME_OUT
    with pytest.raises(LinkError, match=rf"^{bus.address}: ") as raised:
        bus.link.send(b":OUTP ON\n")
    assert isinstance(raised.value, LinkTimeoutError) is late
    assert bus.instrument.heard == ([] if isinstance(fault, Exception) else [b":OUTP ON\n"[:fault]])
    heard = len(bus.instrument.heard)
    assert bus.link.ask(b"*IDN?\n", line()) == b"me"
    assert bus.instrument.heard[heard:] == [b"*IDN?\n"]
    assert bus.instrument.events == ["open", "clear", "close", "open", "clear"]


def test_query_is_asked_once_more_when_the_bus_fails() -> None:
    bus = Bus(Instrument())
    bus.library.read_faults.append(errors.VisaIOError(BROKEN))
    assert bus.link.ask(b"*IDN?\n", line()) == b"me"
    assert bus.instrument.heard == [b"*IDN?\n"] * 2


def test_time_out_is_told_to_the_library_only_when_it_changes() -> None:
    bus = Bus(Instrument())
    for timeout_s in (0.5, 0.5, 2.0, 1e-5):
        bus.link.order(b"*IDN?\n", line(), timeout_s=timeout_s)
    assert bus.library.timeouts == [500, 2000, 1]


def test_more_than_was_asked_for_is_kept_for_the_next_read() -> None:
    record = bytes(range(200))
    bus = Bus(Instrument({b"D?\n": block_header(200) + record + b"\n"}))
    bus.library.surplus = 60
    assert bytes(bus.link.ask(b"D?\n", read_block)) == record
    assert bus.instrument.events == ["open", "clear"]


def test_stray_bytes_make_the_link_dirty_when_more_came_than_was_asked_for() -> None:
    bus = Bus(Instrument({b"A?\n": b"12345678", b"B?\n": b"own\n"}))
    bus.library.surplus = 60
    assert bus.link.ask(b"A?\n", lambda reader: reader.exactly(4)) == b"1234"
    assert bus.link.ask(b"B?\n", line()) == b"own"
    assert bus.instrument.events == ["open", "clear", "close", "open", "clear"]


def test_stream_is_closed_once_when_closed_twice() -> None:
    bus = Bus(Instrument())
    stream = VisaStream(GPIB, bus.resources[0])
    stream.close()
    stream.close()
    assert bus.instrument.events == ["open", "clear", "close"]


def test_answer_that_another_program_left_is_dropped_when_a_session_is_opened() -> None:
    instrument = Instrument()
    instrument.output.append(b"not mine\n")
    bus = Bus(instrument)
    assert bus.link.ask(b"*IDN?\n", line()) == b"me"


@pytest.mark.parametrize(
    "fault",
    [errors.VisaIOError(UNSUPPORTED), errors.VisaIOError(TIME_OUT), OSError("pulled")],
    ids=["unsupported", "time-out", "system"],
)
def test_instrument_without_a_device_clear_is_used_all_the_same(fault: Exception) -> None:
    bus = Bus(Instrument(), clear_fault=fault)
    assert bus.link.ask(b"*IDN?\n", line()) == b"me"
    bus.link.detach("user")
    assert bus.instrument.events == ["open", "close"]


def test_closing_does_not_wait_for_an_instrument_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visa_stream, "_CLOSE_S", 0.01)
    bus = Bus(Instrument())
    answered, closed = threading.Event(), threading.Event()

    def closing() -> None:
        assert answered.wait(20)
        closed.set()

    bus.resources[0].closing = closing
    bus.link.detach("user")
    assert bus.instrument.events == ["open", "clear"]
    answered.set()
    assert closed.wait(20)


def test_error_that_comes_after_the_time_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """So pyvisa-py tells of an instrument that leaves a call of VXI-11 without a reply."""
    bus = Bus(Instrument())
    times = iter([10.0, 11.6])
    monkeypatch.setattr("drivers.transports.visa_stream.time.monotonic", lambda: next(times, 11.6))
    bus.library.write_faults.append(errors.VisaIOError(constants.StatusCode.error_io))
    stream = VisaStream(GPIB, bus.resources[0])
    with pytest.raises(LinkTimeoutError, match=r"no answer within 0\.5 s"):
        stream.send(b"*IDN?\n", 0.5)
    stream.close()


class UsbDevice:
    """A USB-TMC instrument, as pyusb shows it: two requests and two endpoints.

    Args:
        packets: what it still has to send when it is cleared.
        statuses: of its answers to CHECK_CLEAR_STATUS when nothing is left to send.
    """

    bEndpointAddress = 0x02  # noqa: N815 - as pyusb names it
    bInterfaceNumber = 3  # noqa: N815 - as pyusb names it
    wMaxPacketSize = 64  # noqa: N815 - as pyusb names it

    def __init__(self, packets: list[int], statuses: list[int], first: int = 1) -> None:
        self.packets = packets
        self.statuses = statuses
        self.first = first
        self.requests: list[tuple[int, ...]] = []
        self.halts: list[int] = []
        self.cleared: Callable[[], None] = lambda: None

    def ctrl_transfer(self, *given: int) -> Any:
        kind, request, value, index, count, timeout_ms = given
        assert (kind, value, index) == (0xA1, 0, 3)
        assert timeout_ms > 0
        self.requests.append((request, count))
        if request == 5:
            return memoryview(bytes([self.first]))
        if self.packets:
            return memoryview(bytes([2, 1]))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return memoryview(bytes([status, 0]))

    def read(self, size: int, timeout_ms: int) -> Any:
        assert (size, timeout_ms > 0) == (64, True)
        return memoryview(bytes(self.packets.pop(0)))

    def clear_halt(self, endpoint: int) -> None:
        self.halts.append(endpoint)
        self.cleared()


class UsbInterface:
    """`pyvisa_py.protocols.usbtmc.USBTMC`, as far as a device clear needs it."""

    def __init__(self, device: UsbDevice) -> None:
        self.usb_dev = self.usb_intf = self.usb_recv_ep = self.usb_send_ep = device


@pytest.mark.parametrize("packets", [[], [5], [64, 64, 0], [64, 1, 64, 2]])
def test_usb_device_clear_reads_all_that_is_left(packets: list[int]) -> None:
    device = UsbDevice(packets, [2, 2, 1])
    clear_usbtmc(UsbInterface(device), 100)
    assert device.packets == []
    assert device.requests[0] == (5, 1)
    assert set(device.requests[1:]) == {(6, 2)}
    assert device.halts == [0x02]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (UsbDevice([], [1], first=0x80), "refused with status 0x80"),
        (UsbDevice([], [0x81]), "failed with status 0x81"),
        (UsbDevice([], [2]), "does not come to an end"),
        (UsbDevice([64] * 20_000, [1]), "does not stop sending"),
    ],
)
def test_usb_device_clear_says_why_it_fails(device: UsbDevice, message: str) -> None:
    with pytest.raises(LinkError, match=message):
        clear_usbtmc(UsbInterface(device), 100)
    assert device.halts == []


def test_usb_late_answer_is_dropped_where_pyvisa_py_knows_no_device_clear() -> None:
    instrument, device = Instrument({b"A?\n": b"own\n"}), UsbDevice([5], [1])
    device.cleared = instrument.clear
    session = type("Session", (), {"interface": UsbInterface(device)})()
    bus = Bus(instrument, USB, errors.VisaIOError(UNSUPPORTED), {1: session})
    with pytest.raises(LinkTimeoutError):
        bus.link.order(LATE + b"?\n", line())
    bus.instrument.release()
    assert bus.link.ask(b"A?\n", line()) == b"own"
    assert bus.instrument.events == ["open", "clear", "close", "open", "clear"]


def failing(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        (USB, ValueError("Please install PyUSB to use this resource type"), "pip install pyusb"),
        (GPIB, ValueError("No module named 'gpib'"), "pip install gpib-ctypes"),
        (USB, OSError(13, "Access denied (insufficient permissions)"), "no permission.*udev"),
        (GPIB, errors.VisaIOError(BROKEN), "check that it is on and that no other program"),
    ],
)
def test_opening_gives_the_line_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, address: str, error: Exception, message: str
) -> None:
    monkeypatch.setattr(visa_stream, "resource_manager", lambda _: Manager(failing(error)))
    with pytest.raises(LinkError, match=rf"^{address}: .*{message}"):
        VisaStream.open(address, "@py", 5.0)


def test_resource_without_messages_is_refused_and_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = Resource(Library(Instrument()))
    monkeypatch.setattr(visa_stream, "resource_manager", lambda _: Manager(lambda: resource))
    with pytest.raises(LinkError, match="is no instrument that takes messages"):
        VisaStream.open("GPIB0::INTFC", "@py", 5.0)
    assert resource.events == ["close"]


def test_opening_that_comes_too_late_is_given_back() -> None:
    resource = Resource(Library(Instrument()))
    ready, closed = threading.Event(), threading.Event()
    resource.closing = closed.set

    def opening() -> Resource:
        assert ready.wait(20)
        return resource

    assert TimelyOpening(opening).within(0.01) is None
    assert resource.events == []
    ready.set()
    assert closed.wait(20)


def test_opening_gives_what_was_opened_in_time() -> None:
    resource = Resource(Library(Instrument()))
    assert TimelyOpening(lambda: resource).within(20) is resource
    assert resource.events == []
