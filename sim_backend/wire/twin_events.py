"""What happens between clients and twins, for whoever shows it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sim_backend.scene.clock import SimulatedClock

__all__ = ["TwinEvent", "TwinEvents", "TwinListener", "What"]

_LOG = logging.getLogger("veilight.twins")
What: TypeAlias = Literal["connected", "disconnected", "received", "sent"]


@dataclass(frozen=True, kw_only=True)
class TwinEvent:
    """Something that happened between a client and a twin.

    Args:
        address: where the twin is served.
        model: of the twin.
        what: kind of the event; bytes are received and sent by the twin.
        count: bytes received or sent; 0 for the others.
        time_s: on the simulated clock.
    """

    address: str
    model: str
    what: What
    count: int
    time_s: float


TwinListener: TypeAlias = Callable[[TwinEvent], None]


class TwinEvents:
    """Events that wait until nothing is locked, and then go to a listener.

    Args:
        listener: told everything; None for nobody.
        clock: simulated time.
    """

    def __init__(self, listener: TwinListener | None, clock: SimulatedClock) -> None:
        self._listener = listener
        self._clock = clock
        self._waiting: list[TwinEvent] = []

    def note(self, address: str, model: str, what: What, count: int = 0) -> None:
        """Remember an event for the next `report`; the arguments are those of `TwinEvent`."""
        if self._listener is not None:
            self._waiting.append(
                TwinEvent(
                    address=address, model=model, what=what, count=count, time_s=self._clock.now()
                )
            )

    def report(self) -> None:
        """Tell the listener; one that fails is logged, and told the next all the same."""
        if self._listener is None:
            return
        events, self._waiting = self._waiting, []
        for event in events:
            try:
                self._listener(event)
            except Exception:
                _LOG.exception("%s: the listener failed at %s", event.address, event.what)
