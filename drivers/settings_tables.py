"""From tables of a bench file to settings dataclasses: same names, nothing unknown."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from drivers.errors import ConfigurationError
from drivers.settings_files import nearest

__all__ = ["changed"]

_Settings = TypeVar("_Settings")


def changed(settings: _Settings, table: Mapping[str, object], path: str) -> _Settings:
    """Settings with the values of a table in place of their own.

    Args:
        settings: a frozen settings dataclass; fields may be settings dataclasses too.
        table: new values by field name.
        path: dotted path of the table, for the messages.

    Raises:
        ConfigurationError: an unknown key, a value of another type, or one that the settings
            refuse.
    """
    kinds = get_type_hints(type(settings))
    changes: dict[str, object] = {}
    for key, value in table.items():
        where = f"{path}.{key}"
        if key not in kinds:
            hint = nearest(key, tuple(kinds), f"{path}.") or f"known are {', '.join(kinds)}"
            raise ConfigurationError(f"unknown key {where}; {hint}")
        own = getattr(settings, key)
        if dataclasses.is_dataclass(own):
            if not isinstance(value, Mapping):
                raise ConfigurationError(f"{where} is {value!r}; it must be a table")
            changes[key] = changed(own, value, where)
        else:
            changes[key] = _checked(value, kinds[key], where)
    try:
        return dataclasses.replace(settings, **changes)  # type: ignore[type-var]
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _checked(value: object, kind: Any, where: str) -> object:
    """The value if it is of the kind that a field is annotated with; integers pass as floats."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ConfigurationError(
            f"{where} is {value!r}; choose one of {', '.join(map(repr, get_args(kind)))}"
        )
    allowed = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if isinstance(value, bool):
        suits = bool in allowed
    elif isinstance(value, int) and float in allowed:
        return float(value)
    else:
        suits = type(value) in allowed
    if not suits:
        names = " or ".join(getattr(one, "__name__", str(one)) for one in allowed)
        raise ConfigurationError(f"{where} is {value!r}; it must be of type {names}")
    return value
