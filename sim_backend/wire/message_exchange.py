"""The message exchange of IEEE 488.2 for buses that mark the last byte of a message.

A session of a twin hears a stream of bytes. On GPIB and what came after it (VXI-11, HiSLIP), bytes
come in messages that are carried out one after the other, and an answer that was not fetched before
the next message is lost (IEEE 488.2-1992, 6.3.2.3, "INTERRUPTED").
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sim_backend.wire.session import Session

__all__ = ["MessageExchange"]

_MOST_WAITING = 1 << 24


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A piece of a message; see `MessageExchange.write`."""

    data: bytes
    end: bool
    tag: int
    fetched: bool


class MessageExchange:
    """Messages to a session, and its answers, each with the tag of the message that it answers.

    Attributes:
        tag: of the message that was given to the session last.

    Args:
        session: of the twin; closed by `close`.
        interrupted: told the tag of a message that made an earlier answer be lost.
    """

    def __init__(
        self, session: Session, interrupted: Callable[[int], None] = lambda _: None
    ) -> None:
        self.tag = 0
        self._session = session
        self._interrupted = interrupted
        self._input: deque[_Piece] = deque()
        self._size = 0
        self._begun = False
        self._response = memoryview(b"")

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the twin that nothing more should be given to it."""
        return self._size > _MOST_WAITING

    def write(self, data: bytes, *, end: bool, tag: int = 0, fetched: bool = True) -> None:
        """Give a piece of a message.

        Args:
            data: the bytes.
            end: the last of them ends the message.
            tag: of the message.
            fetched: whether the client has, as far as the carrier knows, all that was taken from
                here; the first piece of a message counts.
        """
        self._input.append(_Piece(data=data, end=end, tag=tag, fetched=fetched))
        self._size += len(data)
        self.progress()

    def progress(self) -> None:
        """Let the twin hear what waits, as far as it is not busy with an earlier message."""
        self._session.progress()
        while self._input and not self._session.is_busy:
            piece = self._input.popleft()
            self._size -= len(piece.data)
            self.tag = piece.tag
            if not self._begun:
                self._begin(piece)
            self._begun = not piece.end
            self._session.feed(piece.data)
            if piece.end:
                self._session.end_message()

    def response(self) -> memoryview:
        """What of the answer that is due was not taken; empty where none is due."""
        self.progress()
        if not self._response:
            self._response = memoryview(self._session.take_message())
        return self._response

    def took(self, count: int) -> None:
        """So many bytes of the answer have gone to the client."""
        self._response = self._response[count:]

    def next_at(self) -> float | None:
        """Simulated time in s at which there may be an answer; None where that is not known."""
        return self._session.next_at()

    def _begin(self, piece: _Piece) -> None:
        if piece.fetched and not self._response and not self._session.has_answers:
            return
        self._response = memoryview(b"")
        self._session.interrupt()
        self._interrupted(piece.tag)

    def clear(self) -> None:
        """Device clear: forget what came, what is carried out, and what would be answered."""
        self._input.clear()
        self._size = 0
        self._begun = False
        self._response = memoryview(b"")
        self._session.clear()

    def close(self) -> None:
        """The client has gone."""
        self._input.clear()
        self._session.close()
