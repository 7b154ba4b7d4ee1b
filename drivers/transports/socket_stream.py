"""TCP sockets: the fastest way to an instrument with a network plug."""

import select
import socket
import struct
from typing import ClassVar, Self

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.streams import Buffer

__all__ = ["SocketStream"]

_DISCARD = 1 << 16


class SocketStream:
    """A connected TCP socket; see `ByteStream`.

    Args:
        address: for messages, such as `192.168.1.5:5025`.
        connection: the connected socket, which is taken over.
    """

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(self, address: str, connection: socket.socket) -> None:
        self._address = address
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setblocking(True)
        self._asked_s = self._waits_s = 0.0
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(connection, select.POLLOUT)

    @classmethod
    def connect(cls, host: str, port: int, timeout_s: float) -> Self:
        """Connect to a device.

        Args:
            host: name or number.
            port: TCP port.
            timeout_s: time to connect.

        Raises:
            LinkError: nobody answers there, or the name is unknown.
        """
        address = f"{host}:{port}"
        try:
            connection = socket.create_connection((host, port), timeout_s)
        except TimeoutError as error:
            raise LinkTimeoutError(
                f"{address}: no connection within {timeout_s:g} s; check the cable, the network "
                "address and that the instrument is on"
            ) from error
        except socket.gaierror as error:
            raise LinkError(f"{address}: the host name is unknown; check the address") from error
        except OSError as error:
            raise LinkError(
                f"{address}: no connection: {error.strerror or error}; check that the instrument "
                f"is on and listens on port {port}, and that no other program holds it"
            ) from error
        # The receive buffer is left to the system, which lets it grow with the transfer: a size set
        # here would fix it, and makes large records take twice as long.
        return cls(address, connection)

    def send(self, data: Buffer, timeout_s: float) -> None:
        """See `ByteStream.send`."""
        left: Buffer = data
        while True:
            try:
                sent = self._socket.send(left, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise self._broken(error) from error
            if sent == len(left):
                return
            left = memoryview(left)[sent:]
            if not self._writable.poll(timeout_s * 1e3):
                raise LinkTimeoutError(
                    f"{self._address}: {len(left)} bytes were not taken within {timeout_s:g} s"
                )

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """See `ByteStream.receive_into`."""
        if timeout_s != self._waits_s and not self._readable.poll(self._until(timeout_s) * 1e3):
            raise self._late(timeout_s)
        try:
            count = self._socket.recv_into(buffer)
        except BlockingIOError as error:
            raise self._late(timeout_s) from error
        except OSError as error:
            raise self._broken(error) from error
        if count == 0:
            raise LinkError(f"{self._address}: the instrument closed the connection")
        return count

    def discard(self) -> bytes:
        """See `ByteStream.discard`."""
        if not self._readable.poll(0):
            return b""
        first = b""
        while True:
            try:
                data = self._socket.recv(_DISCARD, socket.MSG_DONTWAIT)
            except OSError:  # nothing there, or broken: the next exchange says so
                return first
            if not data:
                return first
            first = first or data

    def close(self) -> None:
        """See `ByteStream.close`."""
        self._socket.close()

    def _until(self, timeout_s: float) -> float:
        """The same time; one that is asked for again is left to the system, which saves a call."""
        if timeout_s == self._asked_s:
            whole = int(timeout_s)
            limit = struct.pack("ll", whole, max(int((timeout_s - whole) * 1e6), not whole))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._waits_s = timeout_s
        self._asked_s = timeout_s
        return timeout_s

    def _late(self, timeout_s: float) -> LinkTimeoutError:
        return LinkTimeoutError(f"{self._address}: no answer within {timeout_s:.3g} s")

    def _broken(self, error: OSError) -> LinkError:
        return LinkError(f"{self._address}: the connection broke: {error.strerror or error}")
