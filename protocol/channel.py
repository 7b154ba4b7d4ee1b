"""The classical channel between the parties."""

from collections.abc import Callable
from typing import Protocol

from protocol.messages import Message, decode_message, encode_message

__all__ = ["ControlChannel", "LocalChannel"]


class ControlChannel(Protocol):
    """The client's end: every exchange is one message there and one back."""

    def exchange(self, message: Message) -> Message:
        """Send `message` and wait for the answer."""


class LocalChannel:
    """Both parties in one process; messages still cross as text, and a copy is kept.

    Args:
        handler: the server's `handle`.
    """

    def __init__(self, handler: Callable[[Message], Message]) -> None:
        self._handler = handler
        self.transcript: list[bytes] = []

    def exchange(self, message: Message) -> Message:
        """Send `message` to the server in the same process and return its answer."""
        return self._across(self._handler(self._across(message)))

    def _across(self, message: Message) -> Message:
        text = encode_message(message)
        self.transcript.append(text)
        return decode_message(text)
