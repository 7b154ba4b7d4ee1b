"""The seam between a link and the medium that carries its bytes."""

from typing import ClassVar, Protocol, TypeAlias

__all__ = ["PIECE", "Buffer", "ByteStream", "StreamOpener"]

PIECE = 1 << 16
"""Size of the buffer for what may end early. A buffer of another size is filled sooner or later:
its bytes are a part of something whose length is known."""

Buffer: TypeAlias = bytes | bytearray | memoryview
"""What can be sent without a copy."""


class ByteStream(Protocol):
    """An open two-way channel of bytes to one device."""

    reopens: ClassVar[bool]
    """Whether closing and opening it again is sure to lose what is under way (a socket does)."""
    messages: ClassVar[bool]
    """Whether a message must go out in one piece, because its last byte carries an end mark."""

    def send(self, data: Buffer, timeout_s: float) -> None:
        """Send all bytes.

        Args:
            data: the bytes.
            timeout_s: time for all of them, above 0.

        Raises:
            LinkTimeoutError: not all were taken in time.
            LinkError: the device or the network closed the channel.
        """
        ...

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """Wait for bytes and put as many as there are, at most `len(buffer)`, into the buffer.

        Args:
            buffer: where to put them; not empty.
            timeout_s: time to wait for the first, above 0.

        Returns:
            How many, at least 1.

        Raises:
            LinkTimeoutError: none came in time.
            LinkError: the device or the network closed the channel.
        """
        ...

    def discard(self) -> bytes:
        """Drop what has arrived, without waiting; the first bytes of it, for a message."""
        ...

    def close(self) -> None:
        """Give the channel back; never raises, may be called twice."""
        ...


class StreamOpener(Protocol):
    """Opens the channel to a device anew."""

    def __call__(self, timeout_s: float) -> ByteStream:
        """The open channel.

        Args:
            timeout_s: time to connect, above 0.

        Raises:
            LinkError: the device cannot be reached; the message says what to do.
        """
        ...
