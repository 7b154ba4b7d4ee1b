"""The lock of an instrument behind HiSLIP: one client alone, or several that know the same key."""

from enum import IntEnum

__all__ = ["LockResponse", "Locks"]


class LockResponse(IntEnum):
    """Control codes of `AsyncLockResponse`."""

    FAILURE = 0
    SUCCESS = 1
    SHARED = 2
    ERROR = 3


class Locks:
    """Who has the lock (IVI-6.1, 2.5 and 6.5); clients are named by the numbers of their sessions.

    A client may have the shared lock and, on top of it, the exclusive one.
    """

    def __init__(self) -> None:
        self._exclusive: int | None = None
        self._shared: set[int] = set()
        self._key = b""

    @property
    def is_exclusive(self) -> bool:
        """Whether a client has the instrument for itself."""
        return self._exclusive is not None

    @property
    def holders(self) -> int:
        """How many clients have a lock."""
        return len(self._shared | ({self._exclusive} - {None}))

    def admits(self, client: int) -> bool:
        """Whether what a client says is to be heard."""
        if self._exclusive is not None:
            return self._exclusive == client
        return not self._shared or client in self._shared

    def request(self, client: int, key: bytes) -> LockResponse | None:
        """Ask for the lock.

        Args:
            client: who asks.
            key: of a shared lock; empty for the exclusive one.

        Returns:
            The answer; None while somebody else has it.
        """
        if self._exclusive == client or (key and client in self._shared):
            return LockResponse.ERROR
        if not self.admits(client) and not (key and key == self._key and not self.is_exclusive):
            return None
        if not key:
            self._exclusive = client
        else:
            self._shared.add(client)
            self._key = key
        return LockResponse.SUCCESS

    def release(self, client: int) -> LockResponse:
        """Give back the exclusive lock, or else the shared one."""
        if self._exclusive == client:
            self._exclusive = None
            return LockResponse.SUCCESS
        if client in self._shared:
            self._shared.discard(client)
            return LockResponse.SHARED
        return LockResponse.ERROR

    def leave(self, client: int) -> None:
        """The client has gone, and its locks with it."""
        while self.release(client) is not LockResponse.ERROR:
            pass
