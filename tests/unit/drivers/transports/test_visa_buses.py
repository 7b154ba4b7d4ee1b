"""USB-TMC and GPIB: the VISA stream on a session that does what those buses do, without hardware.

A message goes out whole, with END on its last byte. An answer ends with END, comes in parts of at
most what was asked for, and stays in the instrument until it is read or a device clear drops it:
closing the session and opening it again does not.
"""

import threading
from collections.abc import Callable

import pytest
from pyvisa import constants, errors

from drivers.errors import AnswerError, LinkError, LinkTimeoutError
from drivers.transports import visa_stream
from drivers.transports.blocks import block_header, read_block
from drivers.transports.reader import line
from drivers.transports.scpi import Scpi
from drivers.transports.timely_opening import TimelyOpening
from drivers.transports.visa_stream import VisaStream
from tests.wire.visa_fakes import (
    GPIB,
    LATE,
    TIME_OUT,
    UNSUPPORTED,
    USB,
    Bus,
    Instrument,
    Library,
    Manager,
    Resource,
)

BROKEN = constants.StatusCode.error_connection_lost


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
    resource = Backplane()
    monkeypatch.setattr(visa_stream, "resource_manager", lambda _: Manager(lambda: resource))
    with pytest.raises(LinkError, match="is no instrument that takes messages"):
        VisaStream.open("PXI0::MEMACC", "@py", 5.0)
    assert resource.closed


class Backplane:
    """A resource that is read and written by registers."""

    closed = False

    def close(self) -> None:
        self.closed = True


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


def test_local_bus_may_take_longer_to_open_than_an_exchange(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = Resource(Library(Instrument()))
    slow = threading.Event()

    def opening() -> Resource:
        slow.wait(0.02)
        return resource

    monkeypatch.setattr(visa_stream, "resource_manager", lambda _: Manager(opening))
    VisaStream.open(USB, "@py", 1e-3).close()
    assert resource.events == ["clear", "close"]
    with pytest.raises(LinkTimeoutError, match=r"no connection within 0\.001 s"):
        VisaStream.open("TCPIP::192.168.1.5::INSTR", "@py", 1e-3)


def test_bus_is_opened_and_closed_while_the_program_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    bus = Bus(Instrument())
    assert bus.link.ask(b"*IDN?\n", line()) == b"me"
    bus.link.detach("user")
    assert bus.instrument.events == ["open", "clear", "close"]
