"""Faults of a simulated bench as data: what fails, where, when, for how long and by how much.

What someone does to the light on a fibre is a fault like any other.

A plan of faults is a list of values that can be written to a file and replayed; a plan drawn at
random is a function of its seed alone. The simulated instruments and the scene's keeper ask the
plan what is wrong at their moment of the simulated clock; nothing here changes anything by itself.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np

from drivers.errors import ConfigurationError

__all__ = ["Fault", "FaultFinder", "FaultKind", "FaultPlan"]


class FaultKind(StrEnum):
    """What can be made to fail. `size` is in the unit named; instruments are named by role."""

    LASER_UNLOCK = "laser-unlock"
    """A laser loses its lock: its linewidth is multiplied by `size`."""
    LASER_MODE_HOP = "laser-mode-hop"
    """A laser runs on another mode: its frequency is off by `size` Hz."""
    WAVELENGTH_STEP = "wavelength-step"
    """A laser's wavelength is off by `size` m."""
    FIBRE_UNPLUGGED = "fibre-unplugged"
    """No light passes the fibre span "forward" or "back"."""
    FIBRE_DIRTY = "fibre-dirty"
    """The fibre span "forward" or "back" loses `size` dB more."""
    OSCILLATOR_LOST = "oscillator-lost"
    """No local oscillator reaches the detector of "client" or "server"."""
    OSCILLATOR_LOW = "oscillator-low"
    """The oscillator of "client" or "server" has lost the fraction `size` of its power."""
    POLARISATION_FLIP = "polarisation-flip"
    """The polarisation after the span "forward" or "back" is turned by `size` rad (Jones angle)."""
    LIGHT_REAMPLIFIED = "light-reamplified"
    """At the end of "forward" or "back" someone taps the fraction `size` and amplifies the rest."""
    LIGHT_RESENT = "light-resent"
    """There someone measures and sends a copy, whose quadratures have `size` SNU more noise (2 for
    a heterodyne measurement, 1 for the best symmetric copy)."""
    LIGHT_DELAYED = "light-delayed"
    """There someone holds the light back for `size` s."""
    LIGHT_BRIGHTENED = "light-brightened"
    """The light at the end of "forward" or "back" is `size` dB brighter than was declared."""
    LIGHT_ADDED = "light-added"
    """There someone adds `size` W of steady light on the carrier."""
    VACUUM_BRIGHTENED = "vacuum-brightened"
    """There someone who knows the bursts adds `size` SNU of noise to their vacuum slots alone."""
    DATA_SHIFTED = "data-shifted"
    """There someone who knows the bursts gives every symbol of the data back `size` symbols late,
    and leaves preamble, pilots and vacuum where they are."""
    DETECTOR_BLINDED = "detector-blinded"
    """Bright light drives the detector of "client" or "server" to where all that it tells is
    smaller by the fraction `size` (Qin et al., Phys. Rev. A 98, 012312 (2018))."""
    CLOCK_SLIP = "clock-slip"
    """The records of a digitiser come `size` samples late."""
    REFERENCE_LOST = "reference-lost"
    """A digitiser or generator has lost its 10 MHz: its sample clock is off by `size` ppm."""
    TRIGGER_LOST = "trigger-lost"
    """A digitiser or generator armed for the trigger line does not see it."""
    TRACE_NAN = "trace-nan"
    """The first `size` samples of each channel are not a number."""
    TRACE_CONSTANT = "trace-constant"
    """Every sample has the value of the first."""
    TRACE_SHORT = "trace-short"
    """The fraction `size` of the samples is missing at the end."""
    TRACE_CLIPPED = "trace-clipped"
    """The input amplifier saturates at the fraction `size` of the range."""
    TRACE_DUPLICATED = "trace-duplicated"
    """The trace of the shot before is delivered again."""
    TRACE_STUCK_BIT = "trace-stuck-bit"
    """Bit number `size` of the converter (0 is the least) always reads 1."""
    TRACE_OFFSET_RAMP = "trace-offset-ramp"
    """The zero of the input runs off by `size` V from the first to the last sample."""
    SETTING_IGNORED = "setting-ignored"
    """The instrument accepts settings and does not apply them."""
    TIME_OUT = "time-out"
    """The instrument does not answer."""
    BIAS_UNLOCK = "bias-unlock"
    """A bias controller's loop lets go, and stays at the voltage it had."""
    INTERLOCK_OPEN = "interlock-open"
    """A laser's interlock is open: it emits nothing, and has to be switched on anew."""
    OUTPUT_STUCK_OFF = "output-stuck-off"
    """A generator's outputs stay off although it reports them on."""


USUAL_SIZES: Final[Mapping[FaultKind, float]] = {
    FaultKind.LASER_UNLOCK: 100.0,
    FaultKind.LASER_MODE_HOP: 1.0e9,
    FaultKind.WAVELENGTH_STEP: 1.0e-12,
    FaultKind.FIBRE_DIRTY: 3.0,
    FaultKind.OSCILLATOR_LOW: 0.02,
    FaultKind.POLARISATION_FLIP: math.pi / 2,
    FaultKind.LIGHT_REAMPLIFIED: 0.1,
    FaultKind.LIGHT_RESENT: 2.0,
    FaultKind.LIGHT_DELAYED: 100e-9,
    FaultKind.LIGHT_BRIGHTENED: 3.0,
    FaultKind.LIGHT_ADDED: 1e-6,
    FaultKind.VACUUM_BRIGHTENED: 0.1,
    FaultKind.DATA_SHIFTED: 1.0,
    FaultKind.DETECTOR_BLINDED: 0.1,
    FaultKind.CLOCK_SLIP: 1.0,
    FaultKind.REFERENCE_LOST: 10.0,
    FaultKind.TRACE_NAN: 1.0,
    FaultKind.TRACE_SHORT: 0.1,
    FaultKind.TRACE_CLIPPED: 0.1,
    FaultKind.TRACE_STUCK_BIT: 6.0,
    FaultKind.TRACE_OFFSET_RAMP: 0.05,
}
"""The size where a fault does not give one; kinds that are not here have no size."""

_FRACTIONS = (
    FaultKind.OSCILLATOR_LOW,
    FaultKind.TRACE_SHORT,
    FaultKind.TRACE_CLIPPED,
    FaultKind.LIGHT_REAMPLIFIED,
    FaultKind.DETECTOR_BLINDED,
)
_POSITIVE = (
    FaultKind.LASER_UNLOCK,
    FaultKind.FIBRE_DIRTY,
    FaultKind.LIGHT_RESENT,
    FaultKind.LIGHT_DELAYED,
    FaultKind.LIGHT_ADDED,
    FaultKind.VACUUM_BRIGHTENED,
    FaultKind.DATA_SHIFTED,
)
_COUNTS = (FaultKind.TRACE_NAN, FaultKind.TRACE_STUCK_BIT, FaultKind.DATA_SHIFTED)
_KEYS = ("kind", "target", "start_s", "duration_s", "size")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, from `start_s` on the simulated clock until `start_s + duration_s`.

    Args:
        kind: What fails.
        target: An instrument's role, or the part of the scene that the kind names.
        start_s: When it begins, at least 0.
        duration_s: How long it lasts, above 0; infinity for ever.
        size: In the unit that the kind names; None takes the kind's usual size.

    Raises:
        ConfigurationError: A value is out of range.
    """

    kind: FaultKind
    target: str
    start_s: float = 0.0
    duration_s: float = math.inf
    size: float | None = None

    def __post_init__(self) -> None:
        what = f"fault {self.kind} of {self.target!r}"
        if not self.target:
            raise ConfigurationError(f"{what}: the target is empty; name a role or a scene part")
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ConfigurationError(f"{what}: start_s is {self.start_s}, it must be at least 0 s")
        if not self.duration_s > 0:
            raise ConfigurationError(
                f"{what}: duration_s is {self.duration_s}, it must be above 0 s"
            )
        _check_size(what, self.kind, self.size)

    @property
    def amount(self) -> float:
        """`size`, or the kind's usual size; 0 for a kind without one."""
        return USUAL_SIZES.get(self.kind, 0.0) if self.size is None else self.size

    def is_active(self, time_s: float) -> bool:
        """Whether the fault is there at `time_s`."""
        return self.start_s <= time_s < self.start_s + self.duration_s

    def to_data(self) -> dict[str, str | float]:
        """The fault as plain values for JSON or TOML; what is not given is left out."""
        data: dict[str, str | float] = {"kind": self.kind.value, "target": self.target}
        data["start_s"] = self.start_s
        if math.isfinite(self.duration_s):  # JSON has no infinity
            data["duration_s"] = self.duration_s
        if self.size is not None:
            data["size"] = self.size
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> "Fault":
        """The fault that `to_data` wrote.

        Raises:
            ConfigurationError: A key is unknown or missing, or a value is of the wrong type.
        """
        unknown = sorted(set(data) - set(_KEYS))
        if unknown:
            raise ConfigurationError(
                f"fault: unknown key {unknown[0]!r}; the keys are {', '.join(_KEYS)}"
            )
        kind, target = data.get("kind"), data.get("target")
        if kind not in tuple(FaultKind):
            raise ConfigurationError(
                f"fault: kind is {kind!r}; choose one of {', '.join(FaultKind)}"
            )
        if not isinstance(target, str):
            raise ConfigurationError(f"fault: target is {target!r}; name a role or a scene part")
        return cls(
            kind=FaultKind(str(kind)),
            target=target,
            start_s=_number(data, "start_s", 0.0),
            duration_s=_number(data, "duration_s", math.inf),
            size=_number(data, "size", 0.0) if "size" in data else None,
        )


FaultFinder: TypeAlias = Callable[[FaultKind], Fault | None]
"""Asks what is wrong with one part now: its fault of a kind, or None."""


class FaultPlan:
    """The faults of one bench.

    Args:
        faults: In any order; two of one kind and target may not be active at once.

    Raises:
        ConfigurationError: Two faults of one kind and target overlap.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: list[Fault] = []
        for fault in faults:
            self.add(fault)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults, in the order in which they were given."""
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        """Add a fault, also while the bench runs.

        Raises:
            ConfigurationError: One of its kind and target overlaps with it.
        """
        for other in self._faults:
            if (other.kind, other.target) == (fault.kind, fault.target) and _overlap(other, fault):
                raise ConfigurationError(
                    f"fault {fault.kind} of {fault.target!r} at {fault.start_s} s overlaps with "
                    f"the one at {other.start_s} s; end that one first"
                )
        self._faults.append(fault)

    def clear(self) -> None:
        """Mend everything."""
        self._faults.clear()

    def active(self, kind: FaultKind, target: str, time_s: float) -> Fault | None:
        """The fault of this kind and target at `time_s`, or None."""
        for fault in self._faults:
            if fault.kind is kind and fault.target == target and fault.is_active(time_s):
                return fault
        return None

    def to_data(self) -> list[dict[str, str | float]]:
        """The plan as plain values."""
        return [fault.to_data() for fault in self._faults]

    @classmethod
    def from_data(cls, data: Iterable[Mapping[str, object]]) -> "FaultPlan":
        """The plan that `to_data` wrote.

        Raises:
            ConfigurationError: A fault cannot be read, or two overlap.
        """
        return cls(Fault.from_data(one) for one in data)

    @classmethod
    def drawn(
        cls,
        choices: Sequence[tuple[FaultKind, str]],
        *,
        seed: int,
        span_s: float,
        duration_s: float,
    ) -> "FaultPlan":
        """Each choice once, of its usual size, beginning at a random moment of the first `span_s`.

        Args:
            choices: Kinds with their targets, none twice.
            seed: The same seed and choices give the same plan.
            span_s: Faults start in [0, span_s).
            duration_s: Of each fault.

        Raises:
            ConfigurationError: A choice is there twice, or a duration is not above 0.
        """
        starts = np.random.default_rng(seed).uniform(0.0, span_s, size=len(choices))
        return cls(
            Fault(kind=kind, target=target, start_s=float(start), duration_s=duration_s)
            for (kind, target), start in zip(choices, starts, strict=True)
        )


def _overlap(one: Fault, two: Fault) -> bool:
    return one.start_s < two.start_s + two.duration_s and two.start_s < one.start_s + one.duration_s


def _number(data: Mapping[str, object], key: str, default: float) -> float:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"fault: {key} is {value!r}; it must be a number")
    return float(value)


def _check_size(what: str, kind: FaultKind, size: float | None) -> None:
    if size is None:
        return
    if kind not in USUAL_SIZES:
        raise ConfigurationError(f"{what}: size is {size}, but this kind has none; leave it out")
    if not math.isfinite(size):
        raise ConfigurationError(f"{what}: size is {size}, it must be a finite number")
    if kind in _FRACTIONS and not 0 < size < 1:
        raise ConfigurationError(f"{what}: size is {size}, it must be a fraction in (0, 1)")
    if kind in _COUNTS and (size < 0 or size != int(size)):
        raise ConfigurationError(f"{what}: size is {size}, it must be a whole number from 0")
    if kind in _POSITIVE and size <= 0:
        raise ConfigurationError(f"{what}: size is {size}, it must be above 0")
