"""Range checks shared by the ledgers: NaN refused by name, nothing clipped."""

import math
import operator

from drivers.errors import ConfigurationError

__all__ = ["ROUNDING", "budget", "fraction", "non_negative", "text", "whole"]

ROUNDING = 1e-12
"""Relative excess over a budget that is rounding: ten debits of a tenth must fit exactly."""


def budget(what: str, value: float | None) -> float | None:
    """Return a finite budget above zero, or None for no limit; raise `ConfigurationError`."""
    if value is None:
        return None
    if math.isnan(value):
        raise ConfigurationError(f"ledger: {what} is NaN; give bits above 0, or None for no limit")
    if math.isinf(value) or value <= 0:
        raise ConfigurationError(
            f"ledger: {what} is {value} bits; it must be finite and above 0. Give None if there "
            "is to be no limit: the ledger then says so"
        )
    return float(value)


def fraction(what: str, value: float) -> float:
    """Return a value in [0, 1], else raise `ConfigurationError`."""
    if math.isnan(value):
        raise ConfigurationError(
            f"ledger: {what} is NaN; nothing may be sent until it is known. Find the calibration "
            "that failed"
        )
    if not 0 <= value <= 1:
        raise ConfigurationError(
            f"ledger: {what} is {value}; it must lie in [0, 1]. Correct the calibration that it "
            "was taken from"
        )
    return float(value)


def non_negative(what: str, value: float, unit: str) -> float:
    """Return a finite value of at least zero, else raise `ConfigurationError`."""
    if math.isnan(value):
        raise ConfigurationError(
            f"ledger: {what} is NaN; nothing may be sent until it is known. Find the calibration "
            "or the estimate that failed"
        )
    if math.isinf(value) or value < 0:
        raise ConfigurationError(
            f"ledger: {what} is {value} {unit}; it must be finite and at least 0. Correct the "
            "setting that it was taken from"
        )
    return float(value)


def whole(what: str, value: int, minimum: int) -> int:
    """Return a whole number of at least `minimum`, else raise `ConfigurationError`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigurationError(
            f"ledger: {what} is {value!r}; it must be a whole number, no float and no NaN"
        ) from None
    if number < minimum:
        raise ConfigurationError(f"ledger: {what} is {number}; it must be at least {minimum}")
    return number


def text(what: str, value: str) -> str:
    """Return a string that is not empty, else raise `ConfigurationError`."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"ledger: {what} is {value!r}; it must be text, not empty")
    return value
