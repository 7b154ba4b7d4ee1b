"""Waiting for an instrument, and taking several steps of which any may fail."""

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar

from drivers.errors import InstrumentError
from drivers.instruments.clock import Clock
from drivers.instruments.limits import check_not_negative

__all__ = ["Waiting"]

_LOG = logging.getLogger("veilight.instruments")


class Waiting:
    """How an instrument is waited for, look by look; a mix-in."""

    poll_interval_s: ClassVar[float] = 1e-3
    """Time between two looks at an instrument that is being waited for."""

    _name: str
    _clock: Clock
    _leave_at_s: float

    def _poll(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Ask until `reached` or until `timeout_s` has passed; the last answer. Asks at least once.

        The number of looks is bounded too, so that a clock that stands still cannot hang it.
        """
        deadline = min(self._clock.now() + timeout_s, self._leave_at_s)
        for _ in range(int(timeout_s / self.poll_interval_s) + 1):
            if reached():
                return True
            left = deadline - self._clock.now()
            if left <= 0:
                return False
            self._clock.sleep(min(left, self.poll_interval_s))
        return reached()

    def _wait(self, what: str, reached: Callable[[], bool], timeout_s: float) -> None:
        """Wait with a deadline and without the lock; `reached` takes it for each look."""
        check_not_negative(self._name, "timeout", "s", timeout_s)
        _LOG.debug("%s: wait up to %g s: %s", self._name, timeout_s, what)
        if not self._poll(reached, timeout_s):
            raise InstrumentError(
                f"{self._name}: {what} did not happen within {timeout_s} s; look at the "
                "instrument's state, or allow more time"
            )

    @staticmethod
    def _attempt_all(steps: Sequence[Callable[[], None]]) -> None:
        """Take every step even if one fails; then raise the first failure, the others noted."""
        failures: list[Exception] = []
        for step in steps:
            try:
                step()
            except Exception as error:
                failures.append(error)
        if failures:
            for other in failures[1:]:
                failures[0].add_note(f"another step failed too: {other}")
            raise failures[0]
