"""A driver on its twin in one process, for the contract suites and others.

Each pair has a module here, `tests/wire/<name of the driver's file>.py`, with a function
`makers() -> dict[str, Callable[[], Instrument]]` that gives fresh, closed instruments by a short
name; `tests/contract/instruments/wired.py` collects them by kind.
"""

from collections.abc import Callable

from drivers.transports.link import Link
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.loopback import LoopbackLine, LoopbackStream
from sim_backend.wire.session import Twin

__all__ = ["loopback_link"]


def loopback_link(
    twin: Twin,
    clock: SimulatedClock,
    *,
    line: bool = False,
    chatty: bool = False,
    timeout_s: float = 2.0,
    opened: Callable[[LoopbackStream], None] = lambda _: None,
) -> Link:
    """A link to a twin, on simulated time.

    Args:
        twin: who is at the other end.
        clock: of the twin and of the link.
        line: like a serial line: late bytes stay on it.
        chatty: see `Link`.
        timeout_s: for an exchange.
        opened: told every stream that is opened.
    """

    def opener(timeout_s: float) -> LoopbackStream:
        del timeout_s
        stream = (LoopbackLine if line else LoopbackStream)(twin, clock)
        opened(stream)
        return stream

    return Link("loopback", opener, clock=clock, timeout_s=timeout_s, chatty=chatty)
