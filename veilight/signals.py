r"""Signals that ask the program to end: all become the exception that Ctrl-C is, once.

The exception unwinds the program, and on its way every bench is brought to its safe state. A
second signal would break that off half-way, so it is only acknowledged. What must end at once can
be ended by SIGKILL or Ctrl-\: then the watchdog brings the benches to their safe state.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Interruption", "Terminated", "signals_as_interrupts"]

_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONCE_MORE = (
    b"veilight: already stopping, on the way to the safe state; Ctrl-\\ ends it at once and leaves "
    b"the rest to the watchdog\n"
)


class Terminated(KeyboardInterrupt):
    """Somebody asked the program to end by another signal than Ctrl-C."""


class Interruption:
    """Which signal ended the program, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def terminated(self) -> bool:
        """Whether it was another signal than Ctrl-C."""
        return self.signal not in (None, signal.SIGINT)


@contextmanager
def signals_as_interrupts() -> Iterator[Interruption]:
    """Raise `KeyboardInterrupt` in the main thread at the first SIGINT, SIGTERM or SIGHUP.

    SIGTERM and SIGHUP raise `Terminated`, a `KeyboardInterrupt`. Signals that are ignored stay so,
    as in a program that was started by nohup or in the background. Outside the main thread, where
    no handlers can be set, nothing changes.

    Yields:
        Which signal it was.

    Raises:
        KeyboardInterrupt: at the first signal.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    handlers: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def interrupt(number: int, _: FrameType | None) -> None:
        if interruption.signal is not None:
            with suppress(OSError):  # the terminal may be gone
                os.write(2, _ONCE_MORE)
            return
        interruption.signal = number
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    try:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler != signal.SIG_IGN:
                handlers[number] = handler
                signal.signal(number, interrupt)
        yield interruption
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
