"""Opening something that may take longer than it should, and cannot be told to hurry."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

__all__ = ["TimelyOpening"]


class _Closable(Protocol):
    def close(self) -> object:
        """Give it back."""


_Opened = TypeVar("_Opened", bound=_Closable)


class TimelyOpening(Generic[_Opened]):
    """An opening in a thread of its own; what comes too late is closed again.

    Args:
        opening: opens it.
    """

    def __init__(self, opening: Callable[[], _Opened]) -> None:
        self._opening = opening
        self._lock = threading.Lock()
        self._abandoned = False
        self._opened: _Opened | None = None
        self._error: Exception | None = None

    def within(self, timeout_s: float | None) -> _Opened | None:
        """What was opened; None where it was not open in time. For one call.

        Args:
            timeout_s: in s; None for as long as it takes.

        Raises:
            Exception: what the opening raised.
        """
        thread = threading.Thread(target=self._run, name="veilight-opening", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the program ends, and begins no threads any more
            return self._opening()
        try:
            thread.join(timeout_s)
        finally:
            with self._lock:
                self._abandoned = True
        with self._lock:
            if self._error is not None:
                raise self._error
            return self._opened

    def _run(self) -> None:
        try:
            opened = self._opening()
        except Exception as error:
            with self._lock:
                self._error = error
            return
        with self._lock:
            if not self._abandoned:
                self._opened = opened
                return
        with suppress(Exception):
            opened.close()
