"""What every instrument must do that is set to a number within limits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.errors import LimitError
from drivers.instruments import Range
from tests.contract.instruments.common import Setting, at

__all__ = ["Scalar"]

Call = Callable[[Any], object]


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """How the number is set and read.

    Attributes:
        put: sets it.
        take: reads it.
        limits: of it.
        tolerance: of the readback of a value, in its unit.
        vendor: the underscore method that sets it.
        fractions: of the limits, two that differ from each other and from what is safe.
    """

    put: Callable[[Any, float], object]
    take: Callable[[Any], float]
    limits: Callable[[Any], Range]
    tolerance: Callable[[Any, float], float]
    vendor: str
    fractions: tuple[float, float] = (0.25, 0.75)

    def put_at(self, instrument: Any, fraction: float) -> None:
        """Set it at a fraction of the limits."""
        self.put(instrument, at(self.limits(instrument), fraction))

    def setting(self) -> Setting:
        """For `InstrumentContract.sets`."""
        first, second = self.rivals()
        return Setting(call=first, vendor=self.vendor, prepare=second)

    def refused(self, name: str = "") -> dict[str, Call]:
        """For `InstrumentContract.refused`; a name tells several numbers of a kind apart."""
        calls: dict[str, Call] = {
            "above": lambda i: self.put(i, math.nextafter(self.limits(i).highest, math.inf)),
            "below": lambda i: self.put(i, math.nextafter(self.limits(i).lowest, -math.inf)),
            "NaN": lambda i: self.put(i, math.nan),
            "infinite": lambda i: self.put(i, math.inf),
        }
        return {f"{name} {case}".strip(): call for case, call in calls.items()}

    def rivals(self) -> tuple[Call, Call]:
        """For `InstrumentContract.rivals`."""
        first, second = self.fractions
        return lambda i: self.put_at(i, first), lambda i: self.put_at(i, second)

    def check_reads_back(self, instrument: Any, fraction: float) -> None:
        """A value in the limits reads back from an open instrument."""
        value = at(self.limits(instrument), fraction)
        self.put(instrument, value)
        tolerance = self.tolerance(instrument, value)
        assert self.take(instrument) == pytest.approx(value, rel=0, abs=tolerance)

    def check_refusal_keeps(self, make: Callable[[], Any], fraction: float) -> None:
        """A value outside the limits is refused, and nothing changes."""
        with make() as instrument:
            before = self.take(instrument)
            with pytest.raises(LimitError):
                self.put_at(instrument, fraction)
            assert self.take(instrument) == before
