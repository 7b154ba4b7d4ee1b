"""Range checks shared by the leakage formulas: NaN refused by name, nothing clipped.

A formula that is fed a wrong number would still print a plausible leakage, so every public
function of the package passes its arguments through here first.
"""

import math
import operator

from drivers.errors import ConfigurationError


def positive(what: str, value: float, unit: str = "") -> float:
    """Return `value` if it is finite and above zero, else raise `ConfigurationError`."""
    return _checked(what, value, unit, value > 0, "above 0")


def non_negative(what: str, value: float, unit: str = "") -> float:
    """Return `value` if it is finite and at least zero, else raise `ConfigurationError`."""
    return _checked(what, value, unit, value >= 0, "at least 0")


def at_least_one(what: str, value: float, unit: str = "") -> float:
    """Return `value` if it is finite and at least one, else raise `ConfigurationError`."""
    return _checked(what, value, unit, value >= 1, "at least 1")


def fraction(what: str, value: float) -> float:
    """Return `value` if it lies in [0, 1], else raise `ConfigurationError`."""
    return _checked(what, value, "", 0 <= value <= 1, "between 0 and 1")


def positive_fraction(what: str, value: float) -> float:
    """Return `value` if it lies in (0, 1], else raise `ConfigurationError`."""
    return _checked(what, value, "", 0 < value <= 1, "above 0 and at most 1")


def open_fraction(what: str, value: float) -> float:
    """Return `value` if it lies in (0, 1), both ends excluded, else raise `ConfigurationError`."""
    return _checked(what, value, "", 0 < value < 1, "above 0 and below 1")


def count(what: str, value: int, minimum: int = 1) -> int:
    """Return `value` if it is a whole number of at least `minimum`, else raise."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigurationError(
            f"leakage: {what} is {value!r}; it must be a whole number, no float and no NaN. "
            "Convert it where it is read."
        ) from None
    if number < minimum:
        raise ConfigurationError(
            f"leakage: {what} is {number}; it must be at least {minimum}. "
            "Correct the layer or run description that it was taken from."
        )
    return number


def _checked(what: str, value: float, unit: str, fits: bool, limit: str) -> float:
    if math.isnan(value):
        raise ConfigurationError(
            f"leakage: {what} is NaN; it must be {limit}. An earlier estimate failed: find which "
            "one before any leakage is quoted."
        )
    if math.isinf(value) or not fits:
        shown = f"{value} {unit}".strip()
        raise ConfigurationError(
            f"leakage: {what} is {shown}; it must be finite and {limit}. "
            "Correct the setting or the estimate that it was taken from."
        )
    return float(value)
