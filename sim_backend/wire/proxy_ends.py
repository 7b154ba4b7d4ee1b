"""Where connections to a proxy come from: a TCP port, or a pseudo-terminal for a serial port."""

import os
import select
import shutil
import socket
import tempfile
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from drivers.errors import LinkError

__all__ = ["End", "Front", "TcpFront", "TerminalFront"]

_READ = 1 << 16
_CONNECT_S = 2.0
_DRAINS = 64


class End:
    """One end of a connection: a socket or a terminal, without waiting.

    Args:
        descriptor: to read and write.
        release: closes it, and what belongs to it.
        finish: tells the other side that nothing more is written; None where the medium cannot.
        unread: whether the other side has yet to read what would be lost by closing.
    """

    def __init__(
        self,
        descriptor: int,
        release: Callable[[], None],
        finish: Callable[[], None] | None = None,
        unread: Callable[[], bool] = lambda: False,
    ) -> None:
        self.descriptor = descriptor
        self.finish = finish
        self.unread = unread
        self._release = release
        os.set_blocking(descriptor, False)

    def read(self) -> bytes | None:
        """What has come; empty at the end, None where nothing is there."""
        try:
            return os.read(self.descriptor, _READ)
        except BlockingIOError:
            return None
        except OSError:  # reset, or the other side of the terminal is gone
            return b""

    def write(self, data: bytearray) -> int:
        """How many bytes were taken.

        Raises:
            OSError: the other side is gone.
        """
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Give it back."""
        # A socket that is closed with unread bytes sends a reset instead of an end.
        for _ in range(_DRAINS):
            if not self.read():
                break
        self._release()


class Front(Protocol):
    """Where clients connect."""

    address: tuple[str, int] | str
    descriptor: int | None
    """Readable when a client connects; None where `waits` tells."""

    @property
    def waits(self) -> bool:
        """Whether `accept` should be tried soon although nothing tells."""
        ...

    def accept(self) -> tuple[End, End] | None:
        """The client's and the target's end of a new connection; None where there is none."""
        ...

    def was_cut(self) -> None:
        """A fault has cut a connection."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class TcpFront:
    """A listening port on the loopback interface, in front of a TCP server.

    Args:
        target: host and port of the server.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.descriptor: int | None = self._listener.fileno()
        self.address: tuple[str, int] | str = self._listener.getsockname()[:2]
        self.waits = False

    def accept(self) -> tuple[End, End] | None:
        """See `Front.accept`; a client is turned away where there is no server."""
        try:
            client, _ = self._listener.accept()
        except OSError:
            return None
        try:
            target = socket.create_connection(self._target, _CONNECT_S)
        except OSError:
            client.close()
            return None
        return _socket_end(client), _socket_end(target)

    def was_cut(self) -> None:
        """See `Front.was_cut`; the port stays."""

    def close(self) -> None:
        """See `Front.close`."""
        self._listener.close()


class TerminalFront:
    """A pseudo-terminal under a name that stays, in front of a serial port.

    A cut is a plug that is pulled and put in again: who has the port open gets an error, and the
    name then leads to a new port.

    Args:
        target: path of the serial port or pseudo-terminal.

    Raises:
        LinkError: the target cannot be opened.
    """

    descriptor: int | None = None

    def __init__(self, target: str) -> None:
        self._target = target
        try:
            os.close(self._open_target())
        except OSError as error:
            raise LinkError(
                f"{target}: the serial port does not open: {error.strerror}; check its path"
            ) from error
        self._folder = Path(tempfile.mkdtemp(prefix="veilight-wire-"))
        self._name = self._folder / "port"
        self._fresh: tuple[int, int] | None = None
        self.address: tuple[str, int] | str = str(self._name)
        self.was_cut()

    @property
    def waits(self) -> bool:
        """See `Front.waits`; a pulled plug is put in again."""
        return self._fresh is not None

    def accept(self) -> tuple[End, End] | None:
        """See `Front.accept`; the line itself, once after each cut."""
        if self._fresh is None:
            return None
        try:
            target = self._open_target()
        except OSError:  # nothing is behind the plug any more
            self._give_back()
            return None
        (ours, theirs), self._fresh = self._fresh, None
        tty.setraw(target)

        def release() -> None:
            os.close(theirs)
            os.close(ours)

        # The client's side stays open here too: a client that goes and comes again is no end. What
        # is in its buffer when the line is closed would be dropped.
        buffer = select.poll()
        buffer.register(theirs, select.POLLIN)
        client = End(ours, release, unread=lambda: bool(buffer.poll(0)))
        return client, End(target, lambda: os.close(target))

    def was_cut(self) -> None:
        """See `Front.was_cut`; the name leads to a new port."""
        self._fresh = os.openpty()
        tty.setraw(self._fresh[1])
        new = self._folder / "new"
        new.symlink_to(os.ttyname(self._fresh[1]))
        new.replace(self._name)

    def close(self) -> None:
        """See `Front.close`."""
        self._give_back()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open_target(self) -> int:
        return os.open(self._target, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def _give_back(self) -> None:
        for descriptor in self._fresh or ():
            os.close(descriptor)
        self._fresh = None


def _socket_end(connection: socket.socket) -> End:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return End(connection.fileno(), connection.close, lambda: connection.shutdown(socket.SHUT_WR))
