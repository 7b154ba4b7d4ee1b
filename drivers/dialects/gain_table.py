"""The gain of an amplifier that knows only the current of its pump, as it was measured."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from drivers.errors import ConfigurationError

__all__ = ["GainTable"]

_POINT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*mA\s*=\s*([+-]?\d+(?:\.\d+)?)\s*dB")


@dataclass(frozen=True, kw_only=True)
class GainTable:
    """Gain against the current of the pump; straight lines between and beyond the points.

    Args:
        currents_ma: rising, at least two.
        gains_db: rising, as many.
    """

    currents_ma: tuple[float, ...]
    gains_db: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.currents_ma) != len(self.gains_db) or len(self.currents_ma) < 2:
            raise ConfigurationError("the table of gains needs at least two points")
        for what, values in (("currents", self.currents_ma), ("gains", self.gains_db)):
            if any(later <= one for one, later in pairwise(values)):
                raise ConfigurationError(
                    f"the {what} in the table of gains must rise from point to point"
                )

    @classmethod
    def parse(cls, text: str) -> "GainTable":
        """A table from text such as `"60 mA = 0 dB, 120 mA = 9.5 dB"`.

        Raises:
            ConfigurationError: it is not of this form.
        """
        points = [one.strip() for one in text.split(",") if one.strip()]
        found = [_POINT.fullmatch(one) for one in points]
        for point, match in zip(points, found, strict=True):
            if match is None:
                raise ConfigurationError(
                    f"gain_table: {point!r} is not of the form '60 mA = 3.1 dB'"
                )
        pairs = [(float(one[1]), float(one[2])) for one in found if one is not None]
        return cls(
            currents_ma=tuple(current for current, _ in pairs),
            gains_db=tuple(gain for _, gain in pairs),
        )

    def current_ma(self, gain_db: float) -> float:
        """The current in mA for a gain in dB."""
        return _between(gain_db, self.gains_db, self.currents_ma)

    def gain_db(self, current_ma: float) -> float:
        """The gain in dB at a current in mA."""
        return _between(current_ma, self.currents_ma, self.gains_db)


def _between(value: float, known: tuple[float, ...], wanted: tuple[float, ...]) -> float:
    """On the straight line through the two points around a value, or the two nearest."""
    right = min(max(bisect_left(known, value), 1), len(known) - 1)
    fraction = (value - known[right - 1]) / (known[right] - known[right - 1])
    return wanted[right - 1] * (1 - fraction) + wanted[right] * fraction
