"""One connection to a twin, as file descriptors: what has come in, and what still has to go out."""

import os
import socket
import tty
from collections import deque

from drivers.errors import ConfigurationError
from sim_backend.wire.session import Session, Twin

__all__ = ["Connection", "open_listener", "open_terminal"]

_BACKLOG = 16
_MOST_WAITING = 1 << 20
"""Bytes that a client has not taken, above which its twin neither hears nor says anything more."""


class Connection:
    """A session with its client at the other end of a descriptor that does not block.

    Attributes:
        address: where the client found the twin.
        model: of the twin.
        session: the twin's side.
        descriptor: socket or master of a pseudo-terminal.
        ending: the client has sent its last byte; what waits still goes out.

    Args:
        address: as the attribute.
        twin: whose session it is.
        descriptor: as the attribute; closed by `close`.
        kept: other descriptors that live as long.
    """

    def __init__(
        self, address: str, twin: Twin, descriptor: int, *, kept: tuple[int, ...] = ()
    ) -> None:
        self.address = address
        self.model = twin.model
        self.session: Session = twin.session()
        self.descriptor = descriptor
        self.ending = False
        self._kept = kept
        self._waiting: deque[memoryview] = deque()
        self._size = 0

    @property
    def has_output(self) -> bool:
        """Whether bytes wait for the client to take them."""
        return self._size > 0

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait that nothing is asked of the twin until some are gone."""
        return self._size >= _MOST_WAITING

    def read(self, buffer: memoryview) -> bytes | None:
        """What has come in.

        Args:
            buffer: for the bytes on their way; no more than it holds are read.

        Returns:
            The bytes, empty at the end of the connection; None if nothing is there.

        Raises:
            OSError: the connection is broken.
        """
        try:
            count = os.readv(self.descriptor, [buffer])
        except BlockingIOError:
            return None
        return bytes(buffer[:count])

    def collect(self) -> None:
        """Take from the session what may go out now."""
        if not self.is_full and (data := self.session.take()):
            self._waiting.append(memoryview(data))
            self._size += len(data)

    def send(self) -> int:
        """Send as much as the client takes at once.

        Returns:
            Bytes that went out.

        Raises:
            OSError: the connection is broken.
        """
        before = self._size
        while self._waiting:
            first = self._waiting[0]
            try:
                count = os.write(self.descriptor, first)
            except BlockingIOError:
                break
            self._size -= count
            if count < len(first):
                self._waiting[0] = first[count:]  # a view: nothing is copied
                break
            self._waiting.popleft()
        return before - self._size

    def next_at(self) -> float | None:
        """Simulated time at which the session may have something to say, if that is known."""
        return None if self.is_full else self.session.next_at()

    def close(self) -> None:
        """Give all descriptors back; nothing else may be called afterwards."""
        self._waiting.clear()
        for descriptor in (self.descriptor, *self._kept):
            os.close(descriptor)


def open_listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket that does not block.

    Args:
        host: IPv4 address or name of this computer.
        port: 0 for any that is free.

    Raises:
        ConfigurationError: the port is taken or not allowed, or the host is not this one.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(
            f"twin: cannot listen at {host}:{port}: {error}; choose another port, or 0 for any "
            "that is free"
        ) from error
    listener.setblocking(False)
    return listener


def open_terminal(twin: Twin) -> Connection:
    """A pseudo-terminal in raw mode with a session of the twin at its master.

    The slave stays open in this process, too: otherwise the master would fail whenever no client
    has it open, and forget its mode.

    Raises:
        ConfigurationError: the system has no pseudo-terminal left.
    """
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise ConfigurationError(
            f"twin of {twin.model}: no pseudo-terminal: {error}; use TCP instead"
        ) from error
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        return Connection(os.ttyname(slave), twin, master, kept=(slave,))
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
