"""A client of HiSLIP: its two connections, and the messages between it and the twin.

Messages have numbers, by which a client knows the answer to what it asked last. An answer that it
has not fetched when it asks for something else is withdrawn, and it is told so (IVI-6.1, revision
1.1, 3.1).
"""

from collections import deque
from collections.abc import Callable

from sim_backend.wire.hislip_messages import HEADER, Kind, Message, packed
from sim_backend.wire.message_exchange import MessageExchange
from sim_backend.wire.session import Session

__all__ = ["FETCHED", "HislipClient"]

FETCHED = 1
"""Bit of the control codes by which a client says that it has fetched the last answer."""
_MESSAGE_AVAILABLE = 16


class HislipClient:
    """One session of the protocol.

    Attributes:
        number: of the session.
        asynchronous: the second connection; None before it is there.
        largest: most bytes of a message that the client takes, with the header.

    Args:
        number: as the attribute.
        session: of the twin.
        synchronous: the first connection.
        admits: whether the lock lets a client be heard, by its number.
    """

    def __init__(
        self, number: int, session: Session, synchronous: Session, admits: Callable[[int], bool]
    ) -> None:
        self.number = number
        self.asynchronous: Session | None = None
        self.largest = (1 << 32) - 1
        self._synchronous = synchronous
        self._admits = admits
        self._exchange = MessageExchange(session, self._interrupted)
        self._held: deque[Message] = deque()
        self._clearing = False
        self._unfetched = False

    def hear(self, message: Message) -> None:
        """Take a piece of a message to the twin.

        Args:
            message: `DATA` or `DATA_END`.
        """
        if not self._clearing:
            self._held.append(message)
            self.progress()

    def progress(self) -> None:
        """Give to the twin what has come, unless another client has it, and say what it answers."""
        while self._held and self._admits(self.number) and not self._exchange.is_full:
            message = self._held.popleft()
            fetched = not self._unfetched or bool(message.control & FETCHED)
            end = message.kind == Kind.DATA_END
            self._unfetched = False
            self._exchange.write(message.payload, end=end, tag=message.parameter, fetched=fetched)
        self._exchange.progress()
        while not self._clearing and (response := self._exchange.response()):
            piece = response[: max(1, self.largest - HEADER.size)]
            self._exchange.took(len(piece))
            self._unfetched = len(piece) == len(response)
            kind = Kind.DATA_END if self._unfetched else Kind.DATA
            self._synchronous.say(packed(kind, 0, self._exchange.tag, piece))

    def next_at(self) -> float | None:
        """Simulated time in s of the next answer; None where that is not known."""
        return self._exchange.next_at()

    def status(self, control: int) -> int:
        """The status byte: whether there is an answer to fetch.

        Args:
            control: of the query.
        """
        self._unfetched = self._unfetched and not control & FETCHED
        return _MESSAGE_AVAILABLE * self._unfetched

    def begin_clear(self) -> None:
        """Forget all that is under way, and be deaf until the client says that it has, too."""
        self._clearing = True
        self._unfetched = False
        self._held.clear()
        self._exchange.clear()
        self._synchronous.clear()

    def end_clear(self) -> None:
        """Hear again."""
        self._clearing = False

    def close(self) -> None:
        """End both connections."""
        self._exchange.close()
        for channel in (self._synchronous, self.asynchronous):
            if channel is not None:
                channel.finished = True

    def _interrupted(self, tag: int) -> None:
        self._synchronous.say(packed(Kind.INTERRUPTED, 0, tag))
        if self.asynchronous is not None:
            self.asynchronous.say(packed(Kind.ASYNC_INTERRUPTED, 0, tag))
