"""When something happened, on two clocks, so that neither being set can make a result look young.

The wall clock survives a restart but can be set back; the monotonic clock cannot be set but starts
anew with every boot, and with every simulated bench. An age is the larger of what both say.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from drivers.errors import CalibrationError

__all__ = ["Moment", "moments", "system_clock_id"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A point in time.

    Args:
        utc: wall clock as ISO 8601 text with its offset from UTC.
        clock_s: reading of a monotonic clock, in seconds.
        clock_id: which run of that clock; readings compare only within one.
    """

    utc: str
    clock_s: float
    clock_id: str

    def __post_init__(self) -> None:
        try:
            aware = datetime.fromisoformat(self.utc).tzinfo is not None
        except ValueError as error:
            raise CalibrationError(f"time {self.utc!r} is not ISO 8601: {error}") from error
        if not aware or not math.isfinite(self.clock_s):
            raise CalibrationError(
                f"time {self.utc!r} with clock {self.clock_s} s: give the offset from UTC and a "
                "finite reading"
            )

    def seconds_since(self, earlier: "Moment") -> float:
        """Age of `earlier` now, in seconds: the largest that either clock gives.

        Raises:
            CalibrationError: the wall clock says that `earlier` lies ahead.
        """
        wall = (
            datetime.fromisoformat(self.utc) - datetime.fromisoformat(earlier.utc)
        ).total_seconds()
        if wall < 0:
            raise CalibrationError(
                f"the wall clock says {self.utc}, {-wall:.3g} s before {earlier.utc}, "
                "which is past; set the clock right"
            )
        if self.clock_id != earlier.clock_id:
            return wall
        return max(wall, self.clock_s - earlier.clock_s)


def moments(
    clock: Callable[[], float],
    *,
    clock_id: str,
    wall: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[], Moment]:
    """A source of moments.

    Args:
        clock: reading of the bench's monotonic clock, in seconds.
        clock_id: which run of it this is: `system_clock_id()` for the system's clock, a fresh
            random text for each simulated one.
        wall: the wall clock, with its time zone.
    """

    def now() -> Moment:
        return Moment(utc=wall().astimezone(UTC).isoformat(), clock_s=clock(), clock_id=clock_id)

    return now


def system_clock_id() -> str:
    """Name of this boot of the machine; where the system does not tell, of this call alone."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)
