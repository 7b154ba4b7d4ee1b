"""VISA through pyvisa: VXI-11, HiSLIP, USB-TMC and GPIB, with pyvisa-py or a vendor's library.

pyvisa's own reading stops at a mark and copies; here only its raw session is used, so that blocks
are read by their count.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Self

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import PIECE, Buffer

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
        self._timeout_attribute = constants.ResourceAttribute.timeout_value
        self._timeout_ms = -1
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

        try:
            resource = manager.open_resource(address, open_timeout=int(timeout_s * 1e3))
        except Exception as error:  # pyvisa-py lets through what its back ends raise
            raise LinkError(f"{address}: {_remedy(address, library, error)}") from error
        if not isinstance(resource, MessageBasedResource):
            resource.close()
            raise LinkError(f"{address}: is no instrument that takes messages; check the address")
        try:
            # Blocks hold any byte: no read may end at one.
            resource.read_termination = None
            resource.set_visa_attribute(pyvisa.constants.ResourceAttribute.termchar_enabled, False)
        except pyvisa.Error:  # the bus has no such attribute, so it does not end there either
            pass
        return cls(address, resource)

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`."""
        self._allow(timeout_s)
        left = bytes(data)
        try:
            while left:
                count, _ = self._library.write(self._session, left)
                left = left[count:]
        except Exception as error:
            raise self._named(error, timeout_s) from error

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`."""
        self._allow(timeout_s)
        if self._marked is not None and self._marked is not (len(buffer) == PIECE):
            self._marked = len(buffer) == PIECE
            self._library.set_attribute(self._session, self._mark_attribute, self._marked)
        try:
            data, _ = self._library.read(self._session, len(buffer))
        except Exception as error:
            raise self._named(error, timeout_s) from error
        if not data:
            raise LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")
        buffer[: len(data)] = data
        return len(data)

    def discard(self) -> bytes:
        """See `ByteStream.discard`: on these buses nothing arrives that was not asked for."""
        return b""

    def close(self) -> None:
        """See `ByteStream.close`: device clear, which drops late answers, then the session."""
        for step in (self._resource.clear, self._quiet.close, self._resource.close):
            try:
                step()
            except Exception:  # a broken link cannot be cleared or closed tidily
                continue

    def _allow(self, timeout_s: float) -> None:
        timeout_ms = max(1, int(timeout_s * 1e3))
        if timeout_ms != self._timeout_ms:
            self._library.set_attribute(self._session, self._timeout_attribute, timeout_ms)
            self._timeout_ms = timeout_ms

    def _named(self, error: Exception, timeout_s: float) -> LinkError:
        late = isinstance(error, TimeoutError) or (
            isinstance(error, self._errors.VisaIOError) and error.error_code == self._timed_out
        )
        if late:
            return LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")
        return LinkError(f"{self._address}: the VISA link broke: {error}")


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
