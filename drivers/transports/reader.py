"""What arrives on a link during one exchange, read by its form and by one deadline.

Bytes are read into a buffer that the link keeps; a large block goes straight into the caller's.
"""

from collections.abc import Callable

from drivers.errors import AnswerError, LinkTimeoutError
from drivers.transports.streams import PIECE, ByteStream

__all__ = ["Reader", "exactly", "excerpt", "garbled", "line"]

_EXCERPT = 64
_LEAST_S = 1e-6


def excerpt(data: bytes | bytearray | memoryview) -> str:
    """At most 64 bytes in hexadecimal, for a message."""
    shown = bytes(data[:_EXCERPT]).hex(" ")
    return f"{shown} ... ({len(data)} bytes)" if len(data) > _EXCERPT else shown or "nothing"


def garbled(expected: str, data: bytes | bytearray | memoryview) -> AnswerError:
    """The error for an answer that makes no sense.

    Args:
        expected: what should have come, such as "a number".
        data: what came.
    """
    return AnswerError(f"expected {expected}, got {excerpt(data)}")


def line(end: bytes = b"\n", limit: int = 1 << 20) -> "Callable[[Reader], bytes]":
    """A way to read for `Link.ask`: up to `end`, which is left off."""
    return lambda reader: reader.line(end, limit)


def exactly(count: int) -> "Callable[[Reader], bytes]":
    """A way to read for `Link.ask`: so many bytes."""
    return lambda reader: reader.exactly(count)


class Reader:
    """The receiving side of a link.

    Args:
        now: monotonic time in s.
        arrived: told every piece of bytes as it comes.
    """

    def __init__(
        self, now: Callable[[], float], arrived: Callable[[memoryview], None] | None = None
    ) -> None:
        self._now = now
        self._arrived = arrived
        self._stream: ByteStream | None = None
        self._timeout_s = 0.0
        self._until_s = 0.0
        self._first = True
        self._kept = bytearray()
        self._chunk = memoryview(bytearray(PIECE))

    def begin(self, stream: ByteStream, timeout_s: float) -> None:
        """Begin an exchange.

        Args:
            stream: where bytes come from.
            timeout_s: time for the whole answer.
        """
        self._stream = stream
        self._timeout_s = timeout_s
        self._until_s = self._now() + timeout_s
        self._first = True

    @property
    def left(self) -> bytes:
        """What has arrived and was not read."""
        return bytes(self._kept)

    def forget(self) -> None:
        """Drop what has arrived and was not read."""
        self._kept.clear()

    def line(self, end: bytes = b"\n", limit: int = 1 << 20) -> bytes:
        """What comes before `end`.

        Args:
            end: the mark, at least one byte; it is taken off.
            limit: longest line.

        Raises:
            LinkTimeoutError: it did not come in time.
            LinkError: the device closed the link.
            AnswerError: longer than `limit`.
        """
        kept = self._kept
        begin = 0
        if not kept:  # nearly always one whole line comes at once: no need to keep and search it
            count = self._receive_into(self._chunk, "an end of line")
            text = bytes(self._chunk[:count])
            if text.endswith(end) and text.find(end) == count - len(end):
                return text[: count - len(end)]
            kept += text
        while (found := kept.find(end, begin)) < 0:
            if len(kept) > limit:
                raise garbled(f"a line of at most {limit} bytes", kept)
            begin = max(0, len(kept) - len(end) + 1)
            self._receive("an end of line")
        text = bytes(kept[:found])
        del kept[: found + len(end)]
        return text

    def first(self) -> int:
        """The next byte, which stays to be read.

        Raises:
            LinkTimeoutError: none came in time.
            LinkError: the device closed the link.
        """
        while not self._kept:
            self._receive("an answer", 1)
        return self._kept[0]

    def exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            LinkTimeoutError: they did not come in time.
            LinkError: the device closed the link.
        """
        while len(self._kept) < count:
            self._receive(f"{count} bytes", count - len(self._kept))
        data = bytes(self._kept[:count])
        del self._kept[:count]
        return data

    def into(self, buffer: memoryview) -> None:
        """Fill a buffer wholly, without a copy of what has not arrived yet.

        Args:
            buffer: bytes, contiguous and writable.

        Raises:
            LinkTimeoutError: not all came in time.
            LinkError: the device closed the link.
        """
        had = min(len(self._kept), len(buffer))
        if had:
            buffer[:had] = self._kept[:had]
            del self._kept[:had]
        place = had
        while place < len(buffer):
            place += self._receive_into(buffer[place:], f"{len(buffer)} bytes, {place} came")

    def _receive(self, what: str, missing: int = PIECE) -> None:
        assert self._stream is not None, "begin() comes first"
        # A socket gives what is there; a message is asked for no more than is still to come.
        piece = memoryview(bytearray(missing)) if self._stream.messages else self._chunk
        count = self._receive_into(piece, what)
        self._kept += piece[:count]

    def _receive_into(self, buffer: memoryview, what: str) -> int:
        assert self._stream is not None, "begin() comes first"
        if self._first:  # nothing of the time has gone: no need to look at the clock
            left_s, self._first = self._timeout_s, False
        else:
            left_s = self._until_s - self._now()
        if left_s <= 0:
            raise self._late(what)
        try:
            count = self._stream.receive_into(buffer, max(left_s, _LEAST_S))
        except LinkTimeoutError as error:
            raise self._late(what) from error
        if self._arrived is not None:
            self._arrived(buffer[:count])
        return count

    def _late(self, what: str) -> LinkTimeoutError:
        had = f"; so far {excerpt(self._kept)}" if self._kept else ""
        return LinkTimeoutError(
            f"no complete answer within {self._timeout_s:g} s (waiting for {what}{had})"
        )
