"""Serves twins to any program: TCP sockets and pseudo-terminals, all in one thread."""

import logging
import os
import selectors
import socket
import threading
from dataclasses import dataclass
from typing import Final

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.connections import Connection, open_listener, open_terminal
from sim_backend.wire.pace import Pace
from sim_backend.wire.running import Running
from sim_backend.wire.session import Twin
from sim_backend.wire.twin_events import TwinEvent, TwinEvents, TwinListener, What

__all__ = ["TwinEvent", "TwinListener", "TwinServer"]

_LOG = logging.getLogger("veilight.twins")
_RECEIVE_BUFFER = 1 << 20
_LONGEST_WAIT_S = 0.02
"""On the wall. Twins that wait for their own state (a lock, a temperature) are asked this often."""
_SHORTEST_WAIT_S = 1e-3
"""On the wall, for an answer whose time has come and whose condition has not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Door:
    """A twin behind a listening socket."""

    address: str
    twin: Twin
    listener: socket.socket


class TwinServer(Running):
    """Twins behind TCP ports and pseudo-terminals, in one thread.

    Every TCP connection is a session of its own. A pseudo-terminal has one session for its life,
    as a serial port has: a client that opens it again finds the twin as it was left.

    All sessions, and so the scene and its clock, are touched under `lock` alone; whoever looks
    into the scene while the server runs takes it.

    Attributes:
        lock: re-entrant lock of all sessions.

    Args:
        clock: simulated time of the twins.
        pace: how it passes.
        listener: told what happens, in the server's thread and without the lock. Pseudo-terminals
            do not know who has them open, and report bytes only.
    """

    def __init__(
        self, clock: SimulatedClock, pace: Pace, *, listener: TwinListener | None = None
    ) -> None:
        self.lock = threading.RLock()
        self._pace = pace
        self._doors: list[_Door] = []
        self._connections: dict[int, Connection] = {}
        self._new: list[_Door | Connection] = []
        self._events = TwinEvents(listener, clock)
        self._buffer: Final = memoryview(bytearray(_RECEIVE_BUFFER))
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        for end in (self._wake_out, self._wake_in):
            end.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._closed = False

    def listen_tcp(self, twin: Twin, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve a twin at a TCP port.

        Args:
            twin: what answers.
            host: IPv4 address or name of this computer.
            port: 0 for any that is free.

        Returns:
            The address as bench files write it, such as `TCPIP::127.0.0.1::40123::SOCKET`; that of
            a raw socket, unless the twin speaks a protocol of its own (see `Twin.served_at`).

        Raises:
            ConfigurationError: the port is taken, or the server is stopped.
        """
        with self.lock:
            self._check_open()
            listener = open_listener(host, port)
            address = twin.served_at(host, listener.getsockname()[1])
            door = _Door(address=address, twin=twin, listener=listener)
            self._doors.append(door)
            self._new.append(door)
        self._wake()
        return address

    def open_pty(self, twin: Twin) -> str:
        """Serve a twin at a pseudo-terminal in raw mode.

        Returns:
            The path for the client.

        Raises:
            ConfigurationError: there is none left, or the server is stopped.
        """
        with self.lock:
            self._check_open()
            connection = open_terminal(twin)
            self._connections[connection.descriptor] = connection
            self._new.append(connection)
        self._wake()
        return connection.address

    def start(self) -> None:
        """Begin to serve; time begins to pass.

        Raises:
            ConfigurationError: it runs already, or is stopped.
        """
        with self.lock:
            self._check_open()
            if self._thread is not None:
                raise ConfigurationError("twin server: it runs already; start it once")
            self._thread = threading.Thread(target=self._run, name="veilight-twins", daemon=True)
            self._pace.restart()
            self._thread.start()

    def stop(self) -> None:
        """Close all connections, ports and pseudo-terminals, and end the thread; may be repeated.

        Called by the listener, the thread ends when the listener returns.
        """
        self._stopping.set()
        self._wake()
        thread = self._thread
        if thread is threading.current_thread():
            return
        if thread is not None:
            thread.join()
        self._close()

    def _check_open(self) -> None:
        if self._closed or self._stopping.is_set():
            raise ConfigurationError("twin server: it is stopped; make a new one")

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:  # the pipe is full: it is awake; or closed: it is stopped
            return

    def _run(self) -> None:
        try:
            wait_s = 0.0
            while not self._stopping.is_set():
                ready = self._selector.select(wait_s)
                with self.lock:
                    self._pace.tick()
                    with self._pace.paused():
                        self._serve(ready)
                    wait_s = self._wait_s()
                self._events.report()
        finally:
            self._close()

    def _wait_s(self) -> float:
        """Wall time until a twin may have something to say by itself."""
        wait_s = _LONGEST_WAIT_S
        for connection in tuple(self._connections.values()):
            try:
                time_s = connection.next_at()
            except Exception:
                self._fail(connection)
                continue
            if time_s is not None:
                wait_s = min(wait_s, self._pace.wall_s_until(time_s))
        return max(wait_s, _SHORTEST_WAIT_S)

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        self._register_new()
        for key, events in ready:
            if isinstance(key.data, _Door):
                self._accept(key.data)
            elif isinstance(key.data, Connection):
                if events & selectors.EVENT_READ:
                    self._receive(key.data)
            else:
                self._drain_wakes()
        for connection in tuple(self._connections.values()):
            self._answer(connection)

    def _accept(self, door: _Door) -> None:
        try:
            client, _ = door.listener.accept()
        except OSError as error:  # the client is gone again, or no descriptors are left
            if not isinstance(error, BlockingIOError):
                _LOG.warning("%s: a connection failed: %s", door.address, error)
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = client.detach()
        try:
            connection = Connection(door.address, door.twin, descriptor)
        except Exception:
            _LOG.exception("%s: the twin of %s failed", door.address, door.twin.model)
            os.close(descriptor)
            return
        self._connections[descriptor] = connection
        self._selector.register(descriptor, selectors.EVENT_READ, connection)
        self._note(connection, "connected")

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.read(self._buffer)
        except OSError:
            self._drop(connection)
            return
        connection.ending = data == b""
        if not data:
            return
        self._note(connection, "received", len(data))
        try:
            connection.session.feed(data)
        except Exception:
            self._fail(connection)

    def _answer(self, connection: Connection) -> None:
        try:
            connection.collect()
        except Exception:
            self._fail(connection)
            return
        connection.ending = connection.ending or connection.session.finished
        try:
            count = connection.send()
        except OSError:
            self._drop(connection)
            return
        if count:
            self._note(connection, "sent", count)
        if connection.ending and not connection.has_output:
            self._drop(connection)
            return
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Wait for what the connection can do next."""
        events = selectors.EVENT_WRITE if connection.has_output else 0
        if not (connection.ending or connection.is_full):
            events |= selectors.EVENT_READ
        key = self._selector.get_key(connection.descriptor)
        if key.events != events:
            self._selector.modify(connection.descriptor, events, connection)

    def _fail(self, connection: Connection) -> None:
        """A twin must bear whatever is sent to it; where it does not, its client loses the line."""
        _LOG.exception(
            "%s: the twin of %s failed; the connection is closed",
            connection.address,
            connection.model,
        )
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.descriptor, None) is None:
            return
        self._selector.unregister(connection.descriptor)
        self._end(connection)
        self._note(connection, "disconnected")

    @staticmethod
    def _end(connection: Connection) -> None:
        try:
            connection.session.close()
        except Exception:
            _LOG.exception("%s: the twin of %s failed", connection.address, connection.model)
        connection.close()

    def _register_new(self) -> None:
        for one in self._new:
            source = one.listener if isinstance(one, _Door) else one.descriptor
            self._selector.register(source, selectors.EVENT_READ, one)
        self._new.clear()

    def _drain_wakes(self) -> None:
        try:
            while self._wake_out.recv(4096):
                pass
        except BlockingIOError:
            return

    def _note(self, connection: Connection, what: What, count: int = 0) -> None:
        self._events.note(connection.address, connection.model, what, count)

    def _close(self) -> None:
        with self.lock:
            if self._closed:
                return
            self._closed = True
            for connection in self._connections.values():
                self._end(connection)
            self._connections.clear()
            for door in self._doors:
                door.listener.close()
            self._doors.clear()
            self._new.clear()
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()
