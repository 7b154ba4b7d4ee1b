"""What a calibration routine is, what it is given, and the registry that puts routines in order."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeVar

import numpy as np

from calibration.access import BenchAccess
from calibration.result import FitData, Goodness, Quantity, Result, Setting, check_name
from drivers.errors import ConfigurationError

__all__ = [
    "Context",
    "Progress",
    "Registry",
    "Routine",
    "identities_of",
    "settings_of",
]

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done)."""

Kind = TypeVar("Kind")


class Routine(ABC):
    """One calibration: a measurement on the bench that ends in a `Result`.

    A routine brings the bench from its safe state to where it measures; the runner brings it back,
    whether the routine ends well or not. It raises `CalibrationError` for data that it cannot trust
    rather than return them.
    """

    name: ClassVar[str]
    """Lower-case letters, digits and underscores."""
    version: ClassVar[int] = 1
    """Raised when the meaning of a quantity changes; results of other versions are not used."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the routines whose results it uses."""
    roles: ClassVar[tuple[str, ...]] = ()
    """Roles of the instruments that it uses, whose exchange makes its result void."""
    validity_s: ClassVar[float]
    """Age at which its result becomes stale, in seconds."""
    temperature_tolerance_c: ClassVar[float | None] = None
    """How far the bench's temperature may move before its result is void, in kelvin; None: ever."""
    duration_s: ClassVar[float]
    """About how long it takes on a real bench, in seconds."""

    defaults: ClassVar[Mapping[str, Setting]] = MappingProxyType({})
    """Its settings, each with its default."""

    @abstractmethod
    def run(self, context: "Context") -> Result:
        """Measure.

        Args:
            context: what it may use; `context.result` makes the result.

        Raises:
            VeilightError: an instrument refuses or the data cannot be trusted.
        """


@dataclass(frozen=True, kw_only=True)
class Context:
    """What one run of a routine is given.

    Args:
        routine: the routine.
        bench: the instruments, their clock and temperature.
        results: routine -> result, for every routine that it needs.
        rng: its random generator, made from `seed`.
        seed: recorded in the result.
        progress: to be called now and then.
        settings: all its settings, defaults included.
    """

    routine: Routine
    bench: BenchAccess
    results: Mapping[str, Result]
    rng: np.random.Generator
    seed: int
    progress: Progress
    settings: Mapping[str, Setting]

    def instrument(self, role: str, kind: type[Kind]) -> Kind:
        """The instrument in a role, which the routine must have declared.

        Args:
            role: in the bench.
            kind: its class, such as `Laser`.

        Raises:
            ConfigurationError: the routine did not declare the role, the bench has none or another
                kind.
        """
        name = self.routine.name
        if role not in self.routine.roles:
            raise ConfigurationError(
                f"routine {name} uses the role {role!r} without declaring it; add it to its roles"
            )
        found = self.bench.instruments.get(role)
        if not isinstance(found, kind):
            has = "none" if found is None else f"a {type(found).__name__}"
            raise ConfigurationError(
                f"routine {name} needs a {kind.__name__} as {role!r}, bench {self.bench.name!r} "
                f"has {has}; correct the bench file"
            )
        return found

    def setting(self, name: str, kind: type[Kind]) -> Kind:
        """A setting that the routine declared.

        Args:
            name: one of the routine's defaults.
            kind: type of its default.

        Raises:
            ConfigurationError: the routine did not declare it, or with another type.
        """
        value = self.settings.get(name)
        if type(value) is not kind:
            raise ConfigurationError(
                f"routine {self.routine.name} uses setting {name!r} as {kind.__name__} without "
                "declaring it so; add it to its defaults"
            )
        return value

    def result(
        self,
        *,
        quantities: Iterable[Quantity],
        goodness: Goodness | None = None,
        fit_data: Iterable[FitData] = (),
    ) -> Result:
        """A result of this run: what was found, with everything that made it filled in.

        Args:
            quantities: what was found.
            goodness: of the fit.
            fit_data: the points behind it.

        Raises:
            ConfigurationError: the bench lacks a role that the routine declared.
            CalibrationError: a number is not a number.
        """
        routine, bench = self.routine, self.bench
        temperature_c = bench.temperature_c()
        tolerance_c = routine.temperature_tolerance_c
        window = None
        if tolerance_c is not None and temperature_c is not None:
            window = (temperature_c - tolerance_c, temperature_c + tolerance_c)
        return Result(
            routine=routine.name,
            version=routine.version,
            quantities=tuple(quantities),
            goodness=goodness,
            fit_data=tuple(fit_data),
            identities=identities_of(routine, bench),
            rests_on={need: result.id for need, result in self.results.items()},
            temperature_c=temperature_c,
            temperature_window_c=window,
            moment=bench.now(),
            validity_s=routine.validity_s,
            bench=bench.name,
            backend=bench.backend,
            simulated=bench.simulated,
            seed=self.seed,
            settings=self.settings,
        )


class Registry:
    """The routines that exist, by name.

    Args:
        routines: to begin with.
    """

    def __init__(self, routines: Iterable[Routine] = ()) -> None:
        self._routines: dict[str, Routine] = {}
        for routine in routines:
            self.register(routine)

    def register(self, routine: Routine) -> None:
        """Add a routine.

        Raises:
            ConfigurationError: its name is taken.
            CalibrationError: its name is not made of lower-case letters, digits and underscores.
        """
        check_name("routine", routine.name)
        if routine.name in self._routines:
            raise ConfigurationError(f"two routines are called {routine.name}; rename one")
        self._routines[routine.name] = routine

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of registration."""
        return tuple(self._routines)

    def get(self, name: str) -> Routine:
        """The routine of that name.

        Raises:
            ConfigurationError: there is none.
        """
        if name not in self._routines:
            raise ConfigurationError(
                f"no routine is called {name!r}; there are {', '.join(self.names) or 'none'}"
            )
        return self._routines[name]

    def ordered(self, names: Iterable[str] | None = None) -> tuple[Routine, ...]:
        """Routines and all that they need, each after what it needs.

        Args:
            names: of the routines that are wanted; None for all.

        Raises:
            ConfigurationError: one is unknown, or some need each other in a circle.
        """
        order: dict[str, Routine] = {}
        for name in self.names if names is None else names:
            self._visit(name, order, ())
        return tuple(order.values())

    def _visit(self, name: str, order: dict[str, Routine], path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise ConfigurationError(f"routines need each other in a circle: {circle}; break it")
        if name in order:
            return
        routine = self.get(name)
        for need in routine.needs:
            self._visit(need, order, (*path, name))
        order[name] = routine


def identities_of(routine: Routine, bench: BenchAccess) -> dict[str, str]:
    """Identities of the instruments that a routine declares.

    Raises:
        ConfigurationError: the bench lacks one.
    """
    missing = [role for role in routine.roles if role not in bench.identities]
    if missing:
        raise ConfigurationError(
            f"routine {routine.name} needs {', '.join(missing)}, which bench {bench.name!r} lacks; "
            "correct the bench file"
        )
    return {role: bench.identities[role] for role in routine.roles}


def settings_of(routine: Routine, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings of a routine: its defaults, and in place of some what was given.

    Raises:
        ConfigurationError: a setting is unknown or of another type than its default.
    """
    settings = dict(routine.defaults)
    for name, value in given.items():
        where = f"calibration setting {routine.name}.{name}"
        if name not in settings:
            known = ", ".join(settings) or "none"
            raise ConfigurationError(f"{where} is unknown; the routine has {known}")
        default = settings[name]
        # A whole number stands for itself where a fraction may be.
        number = float(value) if isinstance(default, float) and type(value) is int else value
        if type(number) is not type(default):
            raise ConfigurationError(
                f"{where} is {value!r}; give a {type(default).__name__} like {default!r}"
            )
        settings[name] = number
    return settings
