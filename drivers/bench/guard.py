"""What a bench asks of its watchdog: that it lives before there is light, and signs of life."""

from typing import Protocol

from drivers.bench.watchdog import Watchdog
from drivers.errors import WatchdogError

__all__ = ["Guard", "Guarded", "NotGuarded", "Unguarded"]


class Guard(Protocol):
    """Somebody who switches the light off if the program cannot, or nobody."""

    def require(self) -> None:
        """Return when there may be light.

        Raises:
            WatchdogError: nobody watches over it.
        """
        ...

    def alive(self, busy_s: float = 0.0) -> None:
        """The control loop lives; see `drivers.bench.life.LifeSigns.alive`."""
        ...

    def set_light(self, on: bool) -> None:
        """Whether the bench may emit light from now on."""
        ...


class Unguarded:
    """A bench that needs no watchdog: its instruments are simulated, or its file says so."""

    def require(self) -> None:
        """There may be light."""

    def alive(self, busy_s: float = 0.0) -> None:
        """Nobody listens."""

    def set_light(self, on: bool) -> None:
        """Nobody listens."""


class NotGuarded(Unguarded):
    """A bench of real instruments that was made without the watchdog that it needs."""

    def require(self) -> None:
        """Refuse.

        Raises:
            WatchdogError: always.
        """
        raise WatchdogError(
            "real instruments need a watchdog, which switches the light off if this program dies: "
            "make the benches with veilight.benches.build_benches, or give Bench a Watchdog; "
            "safety.watchdog = false in the bench file does without"
        )


class Guarded:
    """A bench with a watchdog.

    Args:
        watchdog: may be shared by several benches.
        bench: name of this one.
    """

    def __init__(self, watchdog: Watchdog, bench: str) -> None:
        self._watchdog = watchdog
        self._bench = bench

    def require(self) -> None:
        """Return when the watchdog lives.

        Raises:
            WatchdogError: it does not.
        """
        self._watchdog.require_fresh()

    def alive(self, busy_s: float = 0.0) -> None:
        """The control loop lives."""
        self._watchdog.alive(busy_s)

    def set_light(self, on: bool) -> None:
        """Whether the bench may emit light from now on."""
        self._watchdog.set_light(self._bench, on)
