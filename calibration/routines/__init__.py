"""The calibration routines of the benches, one module each."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final

from calibration.routine import Registry, Routine
from calibration.routines._stage import StagedRoutine

__all__ = [
    "AMPLIFIER_MODULES",
    "HOMODYNE_MODULES",
    "ROUTINE_MODULES",
    "all_routines",
    "amplifier_routines",
]

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
)
"""Modules of this package for the passive-tap bench, in the order in which one is brought up. The
routine of each is the class that its `__all__` names."""

HOMODYNE_MODULES: Final = (
    "electronic_noise",
    "digitiser",
    "modulators",
    "shot_noise",
    "detector",
    "phase_shifters",
    "polarisation",
    "delay",
    "photons",
    "loss",
    "phase_lock",
)
"""The same with homodyne detection. Without a frequency between light and oscillator there is no
"beat" to measure, and no "quadratures" that arithmetic makes of one record; the phase that is left
is that of the "phase_lock" and not of a track along a burst ("linewidth"). "predistortion" reads
records under a shaped oscillator, which the routines do not hold in phase."""

AMPLIFIER_MODULES: Final = ("port_noise", "port_photons", "mesh", "amplifier", "port_loss")
"""The same for the amplifier's bench."""


def all_routines(*, shared_oscillators: bool = False, homodyne: bool = False) -> Registry:
    """A registry of every routine of the passive-tap bench.

    Args:
        shared_oscillators: the bench takes both oscillators from the server's laser.
        homodyne: it has phase shifters in them and records one quadrature.

    Raises:
        ConfigurationError: two routines have one name.
    """
    return Registry(
        kind(shared_oscillators=shared_oscillators, homodyne=homodyne)
        for kind in _kinds(HOMODYNE_MODULES if homodyne else ROUTINE_MODULES)
        if issubclass(kind, StagedRoutine)
    )


def amplifier_routines() -> Registry:
    """A registry of every routine of the amplifier's bench.

    Raises:
        ConfigurationError: two routines have one name.
    """
    return Registry(kind() for kind in _kinds(AMPLIFIER_MODULES))


def _kinds(modules: Sequence[str]) -> Iterator[type[Routine]]:
    """The routines that the modules name in public."""
    for name in modules:
        module = import_module(f"{__name__}.{name}")
        for public in module.__all__:
            found = getattr(module, public)
            if isinstance(found, type) and issubclass(found, Routine):
                yield found
