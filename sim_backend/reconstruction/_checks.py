"""Range checks of the reconstructions: NaN refused by name, nothing clipped."""

import math
import operator

from drivers.errors import ConfigurationError


def within(
    what: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return `value` if it is finite and in [low, high], or in (low, high] with `open_low`."""
    if math.isnan(value):
        raise ConfigurationError(f"reconstruction: {what} is NaN; find where it came from")
    if math.isinf(value) or not low <= value <= high or (open_low and value == low):
        least = f"above {low:g}" if open_low else f"at least {low:g}"
        most = "" if math.isinf(high) else f" and at most {high:g}"
        raise ConfigurationError(
            f"reconstruction: {what} is {value}; it must be finite, {least}{most}"
        )
    return float(value)


def count(what: str, value: int, minimum: int = 1) -> int:
    """Return `value` if it is a whole number of at least `minimum`."""
    number = operator.index(value)
    if number < minimum:
        raise ConfigurationError(
            f"reconstruction: {what} is {number}; it must be at least {minimum}"
        )
    return number
