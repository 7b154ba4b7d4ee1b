"""USB-TMC and GPIB without hardware: what pyvisa shows of an instrument on such a bus.

A message goes out whole, with END on its last byte. An answer ends with END, comes in parts of at
most what was asked for, and stays in the instrument until it is read or a device clear drops it:
closing the session and opening it again does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyvisa import constants, errors
from pyvisa.resources import MessageBasedResource

from drivers.transports import visa_stream
from drivers.transports.link import Link
from drivers.transports.visa_stream import VisaStream

__all__ = [
    "GPIB",
    "LATE",
    "TIME_OUT",
    "UNSUPPORTED",
    "USB",
    "Bus",
    "Instrument",
    "Library",
    "Manager",
    "Resource",
]

GPIB, USB = "GPIB0::5::INSTR", "USB0::0x1313::0x8078::P0001::INSTR"
TIME_OUT = constants.StatusCode.error_timeout
UNSUPPORTED = constants.StatusCode.error_nonsupported_operation
LATE = b"held"
"""Answers to messages that begin so come when they are released."""


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

    session: Any = 1
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
