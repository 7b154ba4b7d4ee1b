"""The drivers of real instruments on their twins, by kind, for the contract suites.

Every module of `tests/wire` that has `makers()` takes part.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import tests.wire
from drivers.instruments import Instrument

__all__ = ["wired"]

_Kind = TypeVar("_Kind", bound=Instrument)


@cache
def _all() -> dict[str, Callable[[], Instrument]]:
    found: dict[str, Callable[[], Instrument]] = {}
    for module in pkgutil.iter_modules(tests.wire.__path__):
        makers = getattr(importlib.import_module(f"tests.wire.{module.name}"), "makers", None)
        if makers is not None:
            found |= makers()
    return found


def wired(kind: Callable[..., _Kind]) -> dict[str, Callable[[], _Kind]]:
    """Makers of fresh, closed instruments of a kind, each on a twin of its own.

    Args:
        kind: abstract class of `drivers.instruments`.
    """
    assert isinstance(kind, type)
    return {name: make for name, make in _all().items() if isinstance(make(), kind)}  # type: ignore[misc]
