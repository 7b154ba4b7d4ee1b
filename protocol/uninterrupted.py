"""Short steps that Ctrl-C waits for: left undone, what they began would count as failed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["uninterrupted"]

_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end of the block, and have their effect then.

    Outside the main thread nothing changes: signals do not come there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        waiting.append((number, frame))

    # None is a handler that did not come from Python, and could not be put back.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    held = [number for number in _SIGNALS if before[number] is not None]
    for number in held:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, before[number])
        for number, _ in waiting:
            signal.raise_signal(number)
