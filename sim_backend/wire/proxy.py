"""A proxy in front of a twin that does what a fault plan says, over sockets and pseudo-terminals.

One thread and one selector serve all connections. The thread sleeps until bytes come or are due;
bytes that are due within a millisecond go out together.
"""

import selectors
import socket
import threading
from contextlib import suppress

from drivers.errors import ConfigurationError, LinkError
from drivers.instruments import Clock, SystemClock
from sim_backend.wire.faulty_pipe import ActiveFaults, FaultyPipe
from sim_backend.wire.proxy_ends import End, Front, TcpFront, TerminalFront
from sim_backend.wire.running import Running
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultPlan

__all__ = ["FaultProxy"]

_FULL = 1 << 20
"""With so many bytes on their way, no more are read: the sender feels it as it would on a wire."""
_SHORTEST_S = 1e-3
_LONGEST_S = 1e-2
"""The clock may be another than the computer's: it is looked at so often while bytes are late."""
_LINGERS = 100
"""How often a terminal that is to be closed is looked at before its unread bytes are given up."""


class _Lane:
    """One direction of a connection."""

    def __init__(self, source: End, sink: End, pipe: FaultyPipe) -> None:
        self.source = source
        self.sink = sink
        self.pipe = pipe
        self.out = bytearray()
        self.drained = False
        self.done = False
        self.lingers = 0

    def fill(self) -> None:
        """Read what has come."""
        data = self.source.read()
        if data:
            self.pipe.push(data)
        elif data is not None:
            self.drained = True
            self.pipe.finish()

    def flush(self) -> None:
        """Write what is due; an OSError where the other end is gone."""
        self.out += self.pipe.pull()
        if self.out:
            del self.out[: self.sink.write(self.out)]
        if self.pipe.closed and not self.out and not self.done:
            if self.sink.unread() and self.lingers < _LINGERS:
                self.lingers += 1
                return
            self.done = True
            if self.sink.finish is not None:
                self.sink.finish()

    @property
    def reads(self) -> bool:
        """Whether there is room for more."""
        room = self.pipe.waiting + len(self.out) < _FULL
        return room and not self.drained and not self.pipe.closed


class _Connection:
    """A client's connection and its twin behind the proxy."""

    def __init__(self, client: End, target: End, faults: ActiveFaults, clock: Clock) -> None:
        def lane(source: End, sink: End, way: WireDirection) -> _Lane:
            return _Lane(source, sink, FaultyPipe(faults, way, clock))

        self.ends = (client, target)
        self.lanes = (
            lane(client, target, WireDirection.TO_INSTRUMENT),
            lane(target, client, WireDirection.TO_CLIENT),
        )

    def work(self, readable: set[int]) -> bool:
        """Carry on; False when the connection is over."""
        for lane in self.lanes:
            if lane.reads and lane.source.descriptor in readable:
                lane.fill()
        try:
            for lane in self.lanes:
                lane.flush()
        except OSError:
            return False
        if self.was_cut or any(lane.done and lane.sink.finish is None for lane in self.lanes):
            return False
        return not all(lane.done for lane in self.lanes)

    @property
    def was_cut(self) -> bool:
        """Whether a fault has cut it and all bytes before that are out."""
        return any(lane.done and lane.pipe.was_cut for lane in self.lanes)

    def next_at(self) -> float | None:
        """When something is due."""
        times = [time for lane in self.lanes if (time := lane.pipe.next_at()) is not None]
        return min(times, default=None)

    def interest(self) -> dict[int, int]:
        """What the selector must look at, by descriptor."""
        masks = {end.descriptor: 0 for end in self.ends}
        for lane in self.lanes:
            masks[lane.source.descriptor] |= selectors.EVENT_READ if lane.reads else 0
            masks[lane.sink.descriptor] |= selectors.EVENT_WRITE if lane.out else 0
        return masks

    def close(self) -> None:
        """Close both ends."""
        for end in self.ends:
            end.close()


class FaultProxy(Running):
    """Stands between clients and one twin, and does to the bytes what the faults say.

    A context manager: `with FaultProxy(...) as proxy` starts and stops it. `inject`, `clear` and
    `strikes` may be used from any thread.

    Args:
        target: host and port of a TCP server, or the path of a serial port or pseudo-terminal.
        plan: the faults at the beginning.
        clock: for delays and rates; the computer's by default.
        address: address or role of the link; faults for another are left out.
    """

    def __init__(
        self,
        target: tuple[str, int] | str,
        plan: WireFaultPlan | None = None,
        clock: Clock | None = None,
        *,
        address: str = "",
    ) -> None:
        self._target = target
        self._faults = ActiveFaults(WireFaultPlan() if plan is None else plan, address)
        self._clock: Clock = SystemClock() if clock is None else clock
        self._lock = threading.RLock()
        self._connections: list[_Connection] = []
        self._front: Front | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1 that clients connect to."""
        address = self._started().address
        if isinstance(address, str):
            raise ConfigurationError(f"the proxy of {self._target} is a serial port, use path")
        return address[1]

    @property
    def path(self) -> str:
        """The path of the serial port that clients open."""
        address = self._started().address
        if not isinstance(address, str):
            raise ConfigurationError(f"the proxy of {self._target} is a TCP port, use port")
        return address

    @property
    def strikes(self) -> tuple[int, ...]:
        """How often each fault has struck: those of the plan, then the injected ones."""
        with self._lock:
            return self._faults.strikes

    def start(self) -> tuple[str, int] | str:
        """Begin to serve.

        Returns:
            Host and port, or path, that clients connect to instead of the target.

        Raises:
            LinkError: it runs already.
        """
        if self._front is not None:
            raise LinkError(f"the proxy of {self._target} runs already")
        target = self._target
        self._front = TerminalFront(target) if isinstance(target, str) else TcpFront(target)
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, int] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._work(self._front, set())  # a serial line is open from the beginning
        self._thread = threading.Thread(target=self._serve, name="veilight-fault-proxy")
        self._thread.start()
        return self._front.address

    def inject(self, fault: WireFault) -> int:
        """Add a fault now, on open connections and new ones.

        Args:
            fault: the fault; it counts from here on.

        Returns:
            Its place in `strikes`.
        """
        with self._lock:
            index = self._faults.inject(fault)
        self._wake()
        return index

    def clear(self) -> None:
        """Mend everything; what was late or held back comes now."""
        with self._lock:
            self._faults.clear()
        self._wake()

    def stop(self) -> None:
        """Cut all connections and give everything back; may be called twice."""
        if self._front is None or self._thread is None:
            return
        self._stopping = True
        self._wake()
        self._thread.join()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._front.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        self._front = self._thread = None

    def _started(self) -> Front:
        if self._front is None:
            raise LinkError(f"the proxy of {self._target} does not run; start it first")
        return self._front

    def _wake(self) -> None:
        if self._front is not None:
            with suppress(BlockingIOError):  # it has been told often enough
                self._wake_in.send(b"x")

    def _serve(self) -> None:
        front = self._started()
        while not self._stopping:
            with self._lock:
                timeout_s = self._watch(front)
            ready = {key.fd for key, mask in self._selector.select(timeout_s) if mask & 1}
            with self._lock:
                if self._wake_out.fileno() in ready:
                    self._wake_out.recv(1 << 16)
                self._work(front, ready)

    def _work(self, front: Front, ready: set[int]) -> None:
        if front.descriptor is None or front.descriptor in ready:
            ends = front.accept()
            if ends is not None:
                self._connections.append(_Connection(*ends, self._faults, self._clock))
        for connection in tuple(self._connections):
            if not connection.work(ready):
                for end in connection.ends:
                    self._look(end.descriptor, 0)
                connection.close()
                self._connections.remove(connection)
                if connection.was_cut:
                    front.was_cut()

    def _watch(self, front: Front) -> float | None:
        """Tell the selector what to look at; how long to wait at most."""
        fixed = [self._wake_out.fileno()]
        fixed += [] if front.descriptor is None else [front.descriptor]
        for descriptor in fixed:
            self._look(descriptor, selectors.EVENT_READ)
        for connection in self._connections:
            for descriptor, mask in connection.interest().items():
                self._look(descriptor, mask)
        times = [time for c in self._connections if (time := c.next_at()) is not None]
        lanes = (lane for connection in self._connections for lane in connection.lanes)
        if front.waits or any(lane.lingers for lane in lanes):
            return _LONGEST_S
        if not times:
            return None
        return min(max(min(times) - self._clock.now(), _SHORTEST_S), _LONGEST_S)

    def _look(self, descriptor: int, mask: int) -> None:
        before = self._watched.get(descriptor, 0)
        if mask == before:
            return
        if not mask:
            self._selector.unregister(descriptor)
        elif before:
            self._selector.modify(descriptor, mask)
        else:
            self._selector.register(descriptor, mask)
        self._watched[descriptor] = mask
