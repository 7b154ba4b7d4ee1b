"""Checks of the settings of optical components, with one wording for all."""

import math

from drivers.errors import ConfigurationError

__all__ = ["check_between", "check_positive", "check_whole"]


def check_between(
    owner: object, name: str, lowest: float, highest: float, *, unit: str = ""
) -> None:
    """Refuse the attribute `name` of `owner` outside [lowest, highest].

    Args:
        owner: settings object that carries the attribute.
        name: attribute to check.
        lowest: smallest allowed value, inclusive.
        highest: largest allowed value, inclusive; may be infinite, the value may not.
        unit: unit for the message.

    Raises:
        ConfigurationError: not a number, infinite or outside.
    """
    value = float(getattr(owner, name))
    if not math.isfinite(value) or not lowest <= value <= highest:
        raise ConfigurationError(
            f"{type(owner).__name__}: {name} is {value:g} {unit}".rstrip()
            + f", it must be finite and between {lowest:g} and {highest:g}; change the setting"
        )


def check_positive(owner: object, *names: str) -> None:
    """Refuse attributes that are not finite numbers above zero.

    Raises:
        ConfigurationError: an attribute is not a number, infinite, zero or negative.
    """
    for name in names:
        value = float(getattr(owner, name))
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(
                f"{type(owner).__name__}: {name} is {value:g}, it must be finite and above 0; "
                "change the setting"
            )


def check_whole(owner: object, name: str, lowest: int, highest: int) -> None:
    """Refuse an attribute that is not a whole number in [lowest, highest].

    Raises:
        ConfigurationError: another type, or outside.
    """
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ConfigurationError(
            f"{type(owner).__name__}: {name} is {value!r}, it must be a whole number between "
            f"{lowest} and {highest}; change the setting"
        )
