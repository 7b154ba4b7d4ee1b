"""The latch of a bench: safe until an operator arms it, and safe again after any error.

What switches light on goes through three gates. `_deciding` judges a step before anything is sent;
a refusal leaves the bench as it was. `_acting` surrounds the step; any error inside brings the
bench to its safe state. `_send` takes each single action, unless someone has stopped the bench in
the meantime.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from drivers.bench.guard import Guard, Unguarded
from drivers.bench.interlocks import RefusedStepError, refuse_open_interlock
from drivers.bench.safe_state import drive_to_safe, unsafe_roles
from drivers.errors import SafetyError
from drivers.instruments import Instrument

__all__ = ["Latch"]

_LOG = logging.getLogger("veilight.safety")


class Latch:
    """Who may switch light on, and the way back. Starts latched: `rearm` comes first.

    Args:
        instruments: the instruments by role.
        order: the roles in the order in which they are made safe.
        guard: must live whenever there may be light; nobody by default.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        order: Sequence[str],
        guard: Guard | None = None,
    ) -> None:
        self._instruments = dict(instruments)
        self._order = tuple(order)
        self._guard: Guard = Unguarded() if guard is None else guard
        self._lock = threading.RLock()
        self._latched_by: str | None = "it has not been armed since it was opened"

    @property
    def is_latched(self) -> bool:
        """Whether the bench waits in its safe state for an operator."""
        return self._latched_by is not None

    def is_safe(self) -> bool:
        """Whether every open instrument reads back as safe."""
        return not unsafe_roles(self._instruments, self._open_roles())

    def rearm(self, operator: str) -> None:
        """Allow light again, on the word of a person.

        Args:
            operator: who says so; kept in the log.

        Raises:
            SafetyError: nobody is named, or an instrument does not read back as safe, or says that
                its interlock is open.
            WatchdogError: the bench needs a watchdog, and none answers.
        """
        if not operator.strip():
            raise SafetyError("the bench can only be armed by an operator; give a name")
        with self._lock:
            closed = [role for role, found in self._instruments.items() if not found.is_open]
            unsafe = unsafe_roles(self._instruments, self._open_roles())
            if closed or unsafe:
                raise SafetyError(
                    f"the bench cannot be armed: {', '.join((*closed, *unsafe))} "
                    "closed or not in the safe state; run make_safe() and look at what it says"
                )
            refuse_open_interlock(self._instruments, "to arm the bench")
            self._guard.require()
            self._latched_by = None
            _LOG.info("armed by %s", operator)

    def make_safe(self, reason: str = "make_safe() was called") -> None:
        """Drive the bench to its safe state in the right order, and latch it there.

        Raises:
            SafetyError: instruments that did not get there; all others are safe.
        """
        with self._lock:
            self._latched_by = reason
            _LOG.info("to the safe state: %s", reason)
            drive_to_safe(self._instruments, self._order)
            self._guard.set_light(False)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Bring the bench to its safe state when the body raises anything, Ctrl-C included.

        Args:
            what: what is done, for the log and the latch.
        """
        try:
            yield
        except BaseException as error:
            self._stop(what, error)
            raise

    def _open_roles(self) -> list[str]:
        return [role for role in self._order if self._instruments[role].is_open]

    def _send(self, action: Callable[[], None]) -> None:
        """Take one step unless the bench was latched in the meantime."""
        with self._lock:
            self._refuse_latched()
            self._guard.require()
            self._guard.set_light(True)
            action()

    def _refuse_latched(self) -> None:
        if self._latched_by is not None:
            raise RefusedStepError(
                f"the bench is latched in its safe state: {self._latched_by}; look at it, then "
                "let an operator call rearm()"
            )

    @contextmanager
    def _deciding(self, step: str) -> Iterator[None]:
        """Before anything is sent: a refusal leaves all as it is, any other error makes it safe."""
        with self._lock:
            self._refuse_latched()
            try:
                refuse_open_interlock(self._instruments, step)
                yield
            except RefusedStepError:
                raise
            except BaseException as error:
                self._stop(step, error)
                raise

    @contextmanager
    def _acting(self, step: str) -> Iterator[None]:
        _LOG.info("%s", step)
        with self.guarded(step):
            yield

    def _stop(self, what: str, error: BaseException) -> None:
        """To the safe state because of an error, which goes on with a note if that failed."""
        reason = f"{what} failed: {error or type(error).__name__}"
        try:
            self.make_safe(self._latched_by or reason)
        except SafetyError as failure:
            error.add_note(str(failure))
            _LOG.critical("%s", failure)
