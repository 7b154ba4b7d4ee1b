"""Hurry: while a whole bench is made safe, no instrument may hold up the others for long.

Owns how long a link may be used meanwhile. In a hurry an exchange may take no longer than a short
limit, and none begins after the limit. A link that has once been silent so long counts as dead: it
is not tried again before somebody has time for it. So a dead link costs the others the limit once.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Hurry"]


class Hurry:
    """The hurry of one link. Not thread-safe: whoever holds the link uses it.

    Args:
        now: monotonic time in s.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limit_s: float | None = None
        self._until_s = math.inf
        self._patient = False
        self._dead = False

    @property
    def on(self) -> bool:
        """Whether there is a hurry."""
        return self._limit_s is not None

    @property
    def dead(self) -> bool:
        """Whether the link counts as dead until the hurry is over."""
        return self.on and self._dead

    @property
    def over(self) -> bool:
        """Whether no exchange may begin any more in this hurry."""
        return self.dead or (not self._patient and self.left_s <= 0)

    @property
    def left_s(self) -> float:
        """What is left of the limit in s; infinite where there is no hurry."""
        return self._until_s - self._now()

    @contextmanager
    def within(self, limit_s: float | None, *, patient: bool = False) -> Iterator[None]:
        """Hurry inside; nothing changes where `limit_s` is None.

        Args:
            limit_s: in s, above 0.
            patient: the limit is for each exchange and for cleaning the link, not for all exchanges
                together.
        """
        if limit_s is None:
            yield
            return
        before = self._limit_s, self._until_s, self._patient
        self._limit_s, self._until_s = limit_s, self._now() + limit_s
        self._patient = patient
        try:
            yield
        finally:
            self._limit_s, self._until_s, self._patient = before

    def cut(self, timeout_s: float) -> float:
        """The time for an exchange that would have `timeout_s` at leisure."""
        return timeout_s if self._limit_s is None else min(timeout_s, self._limit_s)

    def give_up(self) -> None:
        """It was silent too long: where there is a hurry, it counts as dead for the rest of it."""
        self._dead = self._dead or self.on

    def at_leisure(self) -> None:
        """An exchange begins without hurry: the link may be alive again."""
        self._dead = False
