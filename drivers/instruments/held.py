"""The lock of an instrument, held: a class, because a generator costs a query a tenth more."""

from types import TracebackType
from typing import Protocol

__all__ = ["Held", "Holdable"]


class Holdable(Protocol):
    """What is held."""

    def _enter(self, action: str) -> None: ...

    def _leave(self, action: str, error: BaseException | None) -> None: ...


class Held:
    """A context manager.

    Args:
        instrument: what is held; it must be open.
        action: what is done meanwhile, for the log and the messages.
    """

    __slots__ = ("_action", "_instrument")

    def __init__(self, instrument: Holdable, action: str) -> None:
        self._instrument, self._action = instrument, action

    def __enter__(self) -> None:
        self._instrument._enter(self._action)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._instrument._leave(self._action, error)
