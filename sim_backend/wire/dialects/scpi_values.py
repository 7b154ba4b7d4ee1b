"""What twins with SCPI share: units behind numbers, and the refusal of values out of range."""

from typing import Final

from sim_backend.wire.scpi_session import Complaint

__all__ = ["FREQUENCY_UNITS", "LENGTH_UNITS", "POWER_UNITS", "TIME_UNITS", "checked_value"]

LENGTH_UNITS: Final = {"PM": 1e-12, "NM": 1e-9, "UM": 1e-6, "MM": 1e-3, "M": 1.0}
FREQUENCY_UNITS: Final = {"HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9, "THZ": 1e12}
TIME_UNITS: Final = {"NS": 1e-9, "US": 1e-6, "MS": 1e-3, "S": 1.0}
POWER_UNITS: Final = {"PW": 1e-12, "NW": 1e-9, "UW": 1e-6, "MW": 1e-3, "W": 1.0, "WATT": 1.0}

_ROUNDING = 1e-8
"""A limit that was asked for comes back rounded to nine digits, and is a value to be set."""


def checked_value(
    value: float,
    lowest: float,
    highest: float,
    *,
    too_small: str = "Data out of range",
    too_large: str = "Data out of range",
) -> float:
    """The value, if it is in a range but for the rounding of its text.

    Args:
        value: that was sent.
        lowest: end of the range.
        highest: end of the range.
        too_small: how the instrument words it.
        too_large: how the instrument words it.

    Raises:
        Complaint: -222.
    """
    if value > highest + _ROUNDING * abs(highest):
        raise Complaint(-222, too_large)
    if value < lowest - _ROUNDING * abs(lowest):
        raise Complaint(-222, too_small)
    return value
