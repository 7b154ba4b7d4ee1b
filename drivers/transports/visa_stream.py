"""VISA through pyvisa: VXI-11, HiSLIP, USB-TMC and GPIB, with pyvisa-py or a vendor's library.

pyvisa's own reading stops at a mark and copies; here only its raw session is used, so that blocks
are read by their count.
"""

import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import PIECE, Buffer
from drivers.transports.timely_opening import TimelyOpening
from drivers.transports.usbtmc import clear_usbtmc

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

__all__ = ["PURE_PYTHON", "VisaStream", "resource_manager"]

PURE_PYTHON = "@py"
"""The library that needs no vendor's installation: pyvisa-py."""
_NEEDS = {
    "USB": "pip install pyusb, and the system's libusb: sudo apt install libusb-1.0-0",
    "GPIB": "pip install gpib-ctypes, and the linux-gpib driver of the GPIB card",
    "ASRL": "pip install pyserial",
    "TCPIP": "pip install pyvisa-py",
}
"""What pyvisa-py needs for each kind of resource, as one line to run."""
_LARGEST_READ = 1 << 17
"""pyvisa-py counts the time of every part of a VXI-11 read again for each later part."""
_CLEAR_S = 0.5
"""For a device clear, at most."""
_CLOSE_S = 0.5
"""For giving back a session: pyvisa-py waits for 5 s for a VXI-11 instrument that is silent."""


def resource_manager(library: str = PURE_PYTHON) -> Any:
    """The resource manager of a VISA library; the same object for the same library.

    Args:
        library: `@py`, or the path of a vendor's library, or `@ivi` for the one found.

    Raises:
        LinkError: there is no such library; the message has the line that installs it.
    """
    try:
        import pyvisa
    except ImportError as error:
        raise LinkError("VISA needs pyvisa; run: pip install pyvisa pyvisa-py") from error
    try:
        return pyvisa.ResourceManager(library)
    except (OSError, ValueError, pyvisa.Error) as error:
        remedy = (
            "run: pip install pyvisa-py"
            if library == PURE_PYTHON
            else 'install the vendor\'s VISA, or set settings.library = "@py"'
        )
        raise LinkError(f"VISA library {library!r} cannot be loaded: {error}; {remedy}") from error


class VisaStream:
    """An open VISA session; see `ByteStream`.

    Args:
        address: VISA resource name.
        resource: the open resource, which is taken over.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = True
    """A message must go out in one piece: its last byte carries the end mark of the bus."""

    def __init__(self, address: str, resource: "MessageBasedResource") -> None:
        from pyvisa import constants, errors

        self._address = address
        self._resource = resource
        self._library = resource.visalib
        self._session = resource.session
        self._errors: Any = errors
        self._timed_out = constants.StatusCode.error_timeout
        self._not_supported = constants.StatusCode.error_nonsupported_operation
        self._timeout_attribute = constants.ResourceAttribute.timeout_value
        self._timeout_ms = -1
        self._closed = False
        self._excess = b""
        # A raw socket has no messages: the library waits for a mark, or for all that it is asked.
        self._marked: bool | None = None
        if "::SOCKET" in address.upper():
            self._marked = False
            resource.set_visa_attribute(constants.ResourceAttribute.termchar, ord("\n"))
        # A read of so many bytes that ends because they came is what was wanted.
        self._quiet = ExitStack()
        self._quiet.enter_context(
            resource.ignore_warning(constants.StatusCode.success_max_count_read)
        )
        self._mark_attribute = constants.ResourceAttribute.termchar_enabled

    @classmethod
    def open(cls, address: str, library: str, timeout_s: float) -> Self:
        """Open a resource.

        Args:
            address: VISA resource name, such as `USB0::0x1313::0x8078::P0001::INSTR`.
            library: as for `resource_manager`.
            timeout_s: time to connect.

        Raises:
            LinkError: it cannot be opened; the message has the line that mends it.
        """
        manager = resource_manager(library)
        import pyvisa
        from pyvisa.resources import MessageBasedResource

        opening = TimelyOpening(
            lambda: manager.open_resource(address, open_timeout=int(timeout_s * 1e3))
        )
        # A vendor's library takes its time to find a local bus, and no longer than that.
        network = address.upper().startswith("TCPIP")
        try:
            resource = opening.within(timeout_s if network else None)
        except Exception as error:  # pyvisa-py lets through what its back ends raise
            raise LinkError(f"{address}: {_remedy(address, library, error)}") from error
        if resource is None:
            raise LinkTimeoutError(
                f"{address}: no connection within {timeout_s:g} s; check the cable, the address "
                "and that the instrument is on"
            )
        if not isinstance(resource, MessageBasedResource):
            resource.close()
            raise LinkError(f"{address}: is no instrument that takes messages; check the address")
        try:
            # Blocks hold any byte: no read may end at one.
            resource.read_termination = None
            resource.set_visa_attribute(pyvisa.constants.ResourceAttribute.termchar_enabled, False)
        except pyvisa.Error:  # the bus has no such attribute, so it does not end there either
            pass
        stream = cls(address, resource)
        if stream._marked is None:  # a raw socket begins empty
            stream._empty(min(timeout_s, _CLEAR_S))
        return stream

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`."""
        begun_s = time.monotonic()
        try:
            self._allow(timeout_s)
            count, _ = self._library.write(self._session, bytes(data))
        except Exception as error:
            raise self._named(error, timeout_s, begun_s) from error
        if count != len(data):
            # The bus has marked the last byte that went out as the end of a message.
            raise LinkError(
                f"{self._address}: took {count} of {len(data)} bytes; the rest would be another "
                "message; look at the instrument before you go on"
            )

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`."""
        if self._excess:
            return self._into(buffer, self._excess)
        begun_s = time.monotonic()
        try:
            self._allow(timeout_s)
            if self._marked is not None and self._marked is not (len(buffer) == PIECE):
                self._marked = len(buffer) == PIECE
                self._library.set_attribute(self._session, self._mark_attribute, self._marked)
            data, _ = self._library.read(self._session, min(len(buffer), _LARGEST_READ))
        except Exception as error:
            raise self._named(error, timeout_s, begun_s) from error
        if not data:
            raise LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")
        return self._into(buffer, data)

    def discard(self) -> bytes:
        """See `ByteStream.discard`: on these buses hardly anything arrives unasked."""
        excess, self._excess = self._excess, b""
        return excess

    def close(self) -> None:
        """See `ByteStream.close`; an instrument that is silent is not waited for.

        What is under way stays there: it is dropped when a session is opened, which works too where
        the connection has broken, and after programs that ended in the middle of an answer.
        """
        if self._closed:
            return
        self._closed = True
        with suppress(Exception):
            self._quiet.close()
        closing = threading.Thread(
            target=self._give_back, name=f"closes {self._address}", daemon=True
        )
        try:
            closing.start()
        except RuntimeError:  # the program ends, and begins no threads any more
            self._give_back()
        else:
            closing.join(_CLOSE_S)

    def _empty(self, timeout_s: float) -> None:
        """Device clear, which drops what an earlier session left in the instrument.

        Not all instruments and buses know it, and one that is silent is found out by who asks next.
        """
        with suppress(Exception):
            self._allow(timeout_s)
            try:
                self._resource.clear()
            except self._errors.VisaIOError as error:
                interface = _usb_interface(self._library, self._session)
                if interface is not None and error.error_code == self._not_supported:
                    clear_usbtmc(interface, self._timeout_ms)

    def _into(self, buffer: memoryview, data: bytes) -> int:
        # Some USB instruments send more than they are asked for, and pyvisa-py passes it on.
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        self._excess = bytes(data[count:])
        return count

    def _give_back(self) -> None:
        with suppress(Exception):  # a broken link cannot be closed tidily
            self._resource.close()

    def _allow(self, timeout_s: float) -> None:
        timeout_ms = max(1, int(timeout_s * 1e3))
        if timeout_ms != self._timeout_ms:
            self._library.set_attribute(self._session, self._timeout_attribute, timeout_ms)
            self._timeout_ms = timeout_ms

    def _named(self, error: Exception, timeout_s: float, begun_s: float) -> LinkError:
        late = isinstance(error, TimeoutError) or (
            isinstance(error, self._errors.VisaIOError) and error.error_code == self._timed_out
        )
        # pyvisa-py tells so of an instrument that does not even refuse a call of VXI-11 in time.
        if late or time.monotonic() - begun_s > timeout_s:
            return LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")
        return LinkError(f"{self._address}: the VISA link broke: {error}")


def _usb_interface(library: Any, session: Any) -> Any:
    """What pyvisa-py reaches a USB-TMC instrument by; None for other libraries and buses."""
    found = getattr(getattr(library, "sessions", {}).get(session), "interface", None)
    return found if hasattr(found, "usb_dev") else None


def _remedy(address: str, library: str, error: Exception) -> str:
    """Why a resource does not open, and the one line that mends it."""
    kind = next((kind for kind in _NEEDS if address.upper().startswith(kind)), "TCPIP")
    text = str(error)
    if library == PURE_PYTHON and ("install" in text.lower() or "No module" in text):
        return f"pyvisa-py cannot reach {kind} instruments yet; run: {_NEEDS[kind]}"
    if "ermission" in text or "Access denied" in text:
        return (
            'no permission to use the USB device; run: echo \'SUBSYSTEM=="usb", '
            'MODE="0666"\' | sudo tee /etc/udev/rules.d/99-instruments.rules, then plug it in again'
        )
    return f"cannot be opened: {text}; check that it is on and that no other program holds it"
