"""Work that a signal must not break off: the way to the safe state.

A signal that comes meanwhile (Ctrl-C, or one that the program handles in the same manner) is kept
and delivered when the work is done. Signals that Python does not handle do what they always do.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["uninterrupted"]

_LOG = logging.getLogger("veilight.safety")
_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted(what: str) -> Iterator[None]:
    """Keep signals until the body is done, then deliver each of them once.

    An error of the body goes first: then a signal that was kept is only logged, because the error
    says that something is not safe. Outside the main thread, where Python runs no handlers,
    nothing changes.

    Args:
        what: is done, for the log.

    Raises:
        KeyboardInterrupt: it was kept and is delivered, as the handler of the signal wants it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def keep(number: int, _: FrameType | None) -> None:
        kept.append(number)

    try:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, keep)
        yield
    except BaseException:
        if kept:
            _LOG.warning("%s: interrupted meanwhile; its failure goes first", what)
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in dict.fromkeys(kept):
        _LOG.info("%s: done, now for the interruption", what)
        handlers[number](number, None)
