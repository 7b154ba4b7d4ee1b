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
from tests.contract.instruments.hardware import hardware_makers, only_hardware

__all__ = ["chosen"]

_Kind = TypeVar("_Kind", bound=Instrument)


@cache
def _all() -> dict[str, Callable[[], Instrument]]:
    found: dict[str, Callable[[], Instrument]] = {}
    for module in pkgutil.iter_modules(tests.wire.__path__):
        makers = getattr(importlib.import_module(f"tests.wire.{module.name}"), "makers", None)
        if makers is not None:
            found |= makers()
    return found


def chosen(
    kind: Callable[..., _Kind], simulated: dict[str, Callable[[], _Kind]]
) -> dict[str, Callable[[], _Kind]]:
    """What a kind's suite runs over: what is simulated and all drivers on their twins, or a bench.

    Args:
        kind: abstract class of `drivers.instruments`.
        simulated: makers without a wire.

    Returns:
        Makers of fresh, closed instruments by name.
    """
    assert isinstance(kind, type)
    if only_hardware():
        return hardware_makers(kind)  # type: ignore[return-value]
    wired = {name: make for name, make in _all().items() if isinstance(make(), kind)}
    return {**simulated, **wired}  # type: ignore[dict-item]
