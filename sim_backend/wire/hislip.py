"""HiSLIP before a twin: `TCPIP::host::hislip0,port::INSTR`.

The server side of IVI-6.1 (High-Speed LAN Instrument Protocol, revision 1.1) in synchronized mode.
Triggers are heard and do nothing, and service requests are not sent.
"""

from collections.abc import Callable
from itertools import count

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.hislip_client import FETCHED, HislipClient
from sim_backend.wire.hislip_locks import LockResponse, Locks
from sim_backend.wire.hislip_messages import (
    BadHeaderError,
    Fatal,
    Fault,
    Kind,
    Message,
    MessageReader,
    TooLong,
    packed,
)
from sim_backend.wire.session import Session, Twin

__all__ = ["HislipTwin"]

_VERSION = 0x0100
_VENDOR = int.from_bytes(b"VL", "big")
_SUB_ADDRESSES = (b"", b"hislip0")
_MOST_CLIENTS = 16
_RELEASE, _REQUEST = 0, 1
_MOST_CONTROL = 6


class HislipTwin(Twin):
    """A twin whose sessions are the connections of HiSLIP, two to each of its own.

    Attributes:
        speed: simulated seconds per second of the clients' time-outs.
        largest: most bytes of a message's payload to the twin.
        clients: by the numbers of their sessions.
        locks: who has the instrument for itself.

    Args:
        twin: who is spoken for.
        clock: simulated time; time-outs of locks are measured by it.
        speed: as the attribute.
        largest: as the attribute.
    """

    def __init__(
        self, twin: Twin, clock: SimulatedClock, *, speed: float = 1.0, largest: int = 1 << 20
    ) -> None:
        self.speed = speed
        self.model = twin.model
        self.largest = largest
        self.clients: dict[int, HislipClient] = {}
        self.locks = Locks()
        self._twin = twin
        self._clock = clock
        self._numbers = count(1)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Channel(self, self._clock)

    def served_at(self, host: str, port: int) -> str:
        """See `Twin.served_at`."""
        return f"TCPIP::{host}::hislip0,{port}::INSTR"

    def welcome(self, synchronous: Session) -> HislipClient:
        """A new client.

        Args:
            synchronous: its first connection.
        """
        number = next(n for n in self._numbers if n & 0xFFFF not in self.clients) & 0xFFFF
        client = HislipClient(number, self._twin.session(), synchronous, self.locks.admits)
        self.clients[number] = client
        return client

    def leave(self, client: HislipClient) -> None:
        """A connection of a client has ended, and with it the client's other one and its locks."""
        if self.clients.pop(client.number, None) is not None:
            self.locks.leave(client.number)
            client.close()


class _Channel(Session):
    """A TCP connection: the synchronous or the asynchronous one, as its first message says."""

    def __init__(self, box: HislipTwin, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._box = box
        self._client: HislipClient | None = None
        self._messages = MessageReader(box.largest)
        self._lock: tuple[bytes, float] | None = None
        self._handlers: dict[int, Callable[[Message], None]] = {
            Kind.INITIALIZE: self._initialize,
            Kind.ASYNC_INITIALIZE: self._async_initialize,
        }

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        self._messages.feed(data)
        while not self.finished:
            try:
                message = self._messages.next()
            except BadHeaderError:
                self._fail(Fatal.HEADER)
                return
            if message is None:
                break
            self._hear(message)

    def progress(self) -> None:
        """See `Session.progress`."""
        if self.finished or self._client is None:
            return
        if self._lock is not None:
            self._try_lock(*self._lock)
        elif self._client.asynchronous is not self:
            self._client.progress()

    def next_at(self) -> float | None:
        """See `Session.next_at`."""
        if self._answers or self._client is None:
            return super().next_at()
        return self._client.next_at() if self._lock is None else self._lock[1]

    def close(self) -> None:
        """See `Session.close`."""
        super().close()
        if self._client is not None:
            self._box.leave(self._client)

    def _hear(self, message: Message | TooLong) -> None:
        handler = self._handlers.get(message.kind)
        if handler is not None and isinstance(message, Message):
            handler(message)
        elif self._client is None or message.kind in (Kind.INITIALIZE, Kind.ASYNC_INITIALIZE):
            self._fail(Fatal.SEQUENCE)
        elif isinstance(message, TooLong):
            self._complain(Fault.TOO_LARGE)
        elif message.kind not in (Kind.FATAL_ERROR, Kind.ERROR):
            self._complain(Fault.UNKNOWN_TYPE)

    def _initialize(self, message: Message) -> None:
        if message.payload.lower() not in _SUB_ADDRESSES:
            self._fail(Fatal.SEQUENCE)
        elif len(self._box.clients) >= _MOST_CLIENTS:
            self._fail(Fatal.CLIENTS)
        else:
            self._client = self._box.welcome(self)
            self._handlers = {
                Kind.DATA: self._data,
                Kind.DATA_END: self._data,
                Kind.TRIGGER: self._data,
                Kind.DEVICE_CLEAR_COMPLETE: self._cleared,
            }
            version = min(message.parameter >> 16, _VERSION)
            parameter = version << 16 | self._client.number
            self.say(packed(Kind.INITIALIZE_RESPONSE, 0, parameter))

    def _async_initialize(self, message: Message) -> None:
        client = self._box.clients.get(message.parameter)
        if client is None or client.asynchronous is not None:
            self._fail(Fatal.SEQUENCE)
            return
        self._client, client.asynchronous = client, self
        self._handlers = {
            Kind.ASYNC_MAXIMUM_MESSAGE_SIZE: self._maximum_size,
            Kind.ASYNC_LOCK: self._lock_or_release,
            Kind.ASYNC_LOCK_INFO: self._lock_info,
            Kind.ASYNC_REMOTE_LOCAL_CONTROL: self._remote_local,
            Kind.ASYNC_STATUS_QUERY: self._status,
            Kind.ASYNC_DEVICE_CLEAR: self._clear,
        }
        self.say(packed(Kind.ASYNC_INITIALIZE_RESPONSE, 0, _VENDOR))

    def _data(self, message: Message) -> None:
        client = self._known()
        if client.asynchronous is None:
            self._fail(Fatal.CHANNELS)
        elif message.control & ~FETCHED:
            self._complain(Fault.UNKNOWN_CONTROL)
        elif message.kind != Kind.TRIGGER:
            client.hear(message)

    def _cleared(self, message: Message) -> None:
        del message
        self._known().end_clear()
        self.say(packed(Kind.DEVICE_CLEAR_ACKNOWLEDGE))

    def _clear(self, message: Message) -> None:
        del message
        self._known().begin_clear()
        self.say(packed(Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE))

    def _maximum_size(self, message: Message) -> None:
        if len(message.payload) != 8:
            self._fail(Fatal.HEADER)
            return
        self._known().largest = int.from_bytes(message.payload, "big")
        payload = self._box.largest.to_bytes(8, "big")
        self.say(packed(Kind.ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE, 0, 0, payload))

    def _status(self, message: Message) -> None:
        status = self._known().status(message.control)
        self.say(packed(Kind.ASYNC_STATUS_RESPONSE, status))

    def _remote_local(self, message: Message) -> None:
        if message.control > _MOST_CONTROL:
            self._complain(Fault.UNKNOWN_CONTROL)
        else:
            self.say(packed(Kind.ASYNC_REMOTE_LOCAL_RESPONSE))

    def _lock_info(self, message: Message) -> None:
        del message
        locks = self._box.locks
        self.say(packed(Kind.ASYNC_LOCK_INFO_RESPONSE, locks.is_exclusive, locks.holders))

    def _lock_or_release(self, message: Message) -> None:
        if message.control == _RELEASE:
            response = self._box.locks.release(self._known().number)
            self.say(packed(Kind.ASYNC_LOCK_RESPONSE, response))
        elif message.control == _REQUEST:
            wait_s = message.parameter * 1e-3 * self._box.speed
            self._try_lock(message.payload, self._clock.now() + wait_s)
        else:
            self._complain(Fault.UNKNOWN_CONTROL)

    def _try_lock(self, key: bytes, until_s: float) -> None:
        response = self._box.locks.request(self._known().number, key)
        if response is None and self._clock.now() < until_s:
            self._lock = (key, until_s)
            return
        self._lock = None
        self.say(
            packed(Kind.ASYNC_LOCK_RESPONSE, LockResponse.FAILURE if response is None else response)
        )

    def _known(self) -> HislipClient:
        assert self._client is not None  # its handlers are there when it is
        return self._client

    def _complain(self, fault: Fault) -> None:
        self.say(packed(Kind.ERROR, fault, 0, fault.name.encode()))

    def _fail(self, fatal: Fatal) -> None:
        self.say(packed(Kind.FATAL_ERROR, fatal, 0, fatal.name.encode()))
        self.finished = True
