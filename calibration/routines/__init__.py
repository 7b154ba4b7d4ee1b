"""The calibration routines of the bench, one module each."""

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from calibration.routine import Registry
from calibration.routines._stage import StagedRoutine

__all__ = ["ROUTINE_MODULES", "all_routines"]

ROUTINE_MODULES: Final = (
    "electronic_noise",
    "digitiser",
    "modulators",
    "shot_noise",
    "detector",
    "polarisation",
    "beat",
    "delay",
    "photons",
    "loss",
    "linewidth",
    "predistortion",
    "quadratures",
    "amplifier",
)
"""Modules of this package in the order in which a bench is brought up. The routine of each is the
`StagedRoutine` that its `__all__` names."""


def all_routines(*, shared_oscillators: bool = False) -> Registry:
    """A registry of every routine.

    Args:
        shared_oscillators: the bench takes both oscillators from the server's laser.

    Raises:
        ConfigurationError: two routines have one name.
    """
    registry = Registry()
    for name in ROUTINE_MODULES:
        if find_spec(f"{__name__}.{name}") is None:
            continue
        module = import_module(f"{__name__}.{name}")
        for public in module.__all__:
            found = getattr(module, public)
            if isinstance(found, type) and issubclass(found, StagedRoutine):
                registry.register(found(shared_oscillators=shared_oscillators))
    return registry
