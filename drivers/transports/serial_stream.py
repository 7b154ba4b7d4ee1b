"""Serial ports and pseudo-terminals, through pyserial."""

import errno
import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import Buffer

if TYPE_CHECKING:
    import serial

__all__ = ["SerialSettings", "SerialStream"]

_DISCARD = 1 << 16


@dataclass(frozen=True, kw_only=True)
class SerialSettings:
    """How a serial line is set.

    Args:
        baud: symbols per second.
        parity: none, even or odd.
        stop_bits: 1 or 2.
        flow: "none" or "rts-cts".
    """

    baud: int = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    flow: Literal["none", "rts-cts"] = "none"


class SerialStream:
    """An open serial port; see `ByteStream`.

    pyserial opens and sets the port; bytes then go past it, because it copies and reconfigures.

    Args:
        address: the port, such as `/dev/ttyUSB0`.
        port: the open port of pyserial, which is taken over.
    """

    reopens: ClassVar[bool] = False
    messages: ClassVar[bool] = False

    def __init__(self, address: str, port: "serial.Serial") -> None:
        self._address = address
        self._port = port
        self._descriptor = port.fileno()
        os.set_blocking(self._descriptor, False)
        self._readable = select.poll()
        self._readable.register(self._descriptor, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._descriptor, select.POLLOUT)

    @classmethod
    def open(cls, address: str, settings: SerialSettings) -> Self:
        """Open a port for this process alone.

        Args:
            address: the port, such as `/dev/ttyUSB0`.
            settings: of the line.

        Raises:
            LinkError: there is no such port, no right to use it, or another program holds it.
        """
        import serial

        parity = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
        try:
            port = serial.Serial(
                address,
                baudrate=settings.baud,
                parity=parity[settings.parity],
                stopbits=settings.stop_bits,
                rtscts=settings.flow == "rts-cts",
                exclusive=True,
                timeout=0,
                write_timeout=0,
            )
        except serial.SerialException as error:
            raise LinkError(f"{address}: {_remedy(address, error)}") from error
        return cls(address, port)

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`."""
        left: Buffer = data
        while True:
            try:
                sent = os.write(self._descriptor, left)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise self._broken(error) from error
            if sent == len(left):
                return
            left = memoryview(left)[sent:]
            if not self._writable.poll(timeout_s * 1e3):
                raise LinkTimeoutError(
                    f"{self._address}: {len(left)} bytes were not taken within {timeout_s:g} s; "
                    "check the cable and the flow control"
                )

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`."""
        if not self._readable.poll(timeout_s * 1e3):
            raise LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")
        try:
            count = os.readv(self._descriptor, [buffer])
        except OSError as error:
            raise self._broken(error) from error
        if count == 0:
            raise LinkError(f"{self._address}: the serial line was cut; check that the plug is in")
        return count

    def discard(self) -> bytes:
        """See `ByteStream.discard`."""
        if not self._readable.poll(0):
            return b""
        first = b""
        while True:
            try:
                data = os.read(self._descriptor, _DISCARD)
            except OSError:  # nothing there, or broken: the next exchange says so
                return first
            if not data:
                return first
            first = first or data

    def close(self) -> None:
        """See `ByteStream.close`."""
        try:
            self._port.close()
        except OSError:  # a port that was pulled cannot be closed tidily
            return

    def _broken(self, error: Exception) -> LinkError:
        return LinkError(
            f"{self._address}: the serial line broke: {error}; check that the plug is in"
        )


def _remedy(address: str, error: Exception) -> str:
    """Why a port does not open, and the one line that mends it."""
    number = getattr(error, "errno", None)
    if number == errno.EACCES:
        group = _group_of(address)
        return (
            f"no permission to use the serial port; run: sudo usermod -aG {group} $USER, then log "
            "in again"
        )
    if number == errno.ENOENT:
        return (
            "there is no such serial port; plug the instrument in and look with: veilight bench "
            "discover"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return "another program holds the serial port; end it first"
    return f"the serial port does not open: {error}"


def _group_of(address: str) -> str:
    """The group that may use a port, for the command that joins it."""
    import grp

    try:
        return grp.getgrgid(os.stat(address).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"
