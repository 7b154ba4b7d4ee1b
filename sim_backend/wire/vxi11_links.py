"""What VXI-11 keeps of a twin: its links, their lock, and the sizes of what they carry."""

from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag
from itertools import count

from sim_backend.wire.message_exchange import MessageExchange
from sim_backend.wire.session import Session

__all__ = ["DeviceError", "Link", "LinkTable", "Reason"]

_MOST_LINKS = 32


class DeviceError(IntEnum):
    """`Device_ErrorCode` of VXI-11 revision 1.0, as far as it is used."""

    NONE = 0
    NOT_ACCESSIBLE = 3
    INVALID_LINK = 4
    PARAMETER = 5
    NOT_SUPPORTED = 8
    OUT_OF_RESOURCES = 9
    LOCKED_BY_ANOTHER = 11
    NO_LOCK_HELD = 12
    TIME_OUT = 15
    ABORTED = 23


class Reason(IntFlag):
    """Why `device_read` ended."""

    COUNT = 1
    MARK = 2
    END = 4


class Link:
    """One link: a session of the twin.

    Attributes:
        number: by which clients name it.
        exchange: messages to the session, and its answers.
        aborted: what waits on the link is to end.

    Args:
        number: as the attribute.
        exchange: as the attribute.
    """

    def __init__(self, number: int, exchange: MessageExchange) -> None:
        self.number = number
        self.exchange = exchange
        self.aborted = False


class LinkTable:
    """The links of all connections to a twin.

    Attributes:
        largest_write: bytes that one `device_write` may carry.
        largest_read: bytes that one `device_read` gives; more are fetched by the next.
        speed: simulated seconds per second of the clients' time-outs.
        links: by number.
        lock: number of the link that has locked the instrument; None while it is free.
        port: where all programs are served; 0 before.

    Args:
        session: opens a session of the twin.
        largest_write: as the attribute.
        largest_read: as the attribute.
        speed: as the attribute.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        *,
        largest_write: int,
        largest_read: int,
        speed: float,
    ) -> None:
        self.speed = speed
        self.largest_write = largest_write
        self.largest_read = largest_read
        self.links: dict[int, Link] = {}
        self.lock: int | None = None
        self.port = 0
        self._session = session
        self._numbers: Iterator[int] = count(1)

    @property
    def is_full(self) -> bool:
        """Whether no more links are to be had."""
        return len(self.links) >= _MOST_LINKS

    def open(self) -> Link:
        """A new link."""
        number = next(self._numbers) & 0x7FFFFFFF
        link = self.links[number] = Link(number, MessageExchange(self._session()))
        return link

    def close(self, link: Link) -> None:
        """Give a link and its lock back."""
        del self.links[link.number]
        if self.lock == link.number:
            self.lock = None
        link.exchange.close()
