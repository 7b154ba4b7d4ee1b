"""May this result be used here and now? The refusals, and what an override leaves behind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from calibration.moment import Moment
from calibration.result import Quantity, Result, Setting
from calibration.routine import Registry, settings_of
from calibration.store import Store
from drivers.errors import CalibrationError

__all__ = ["Conditions", "Usable", "objections", "require", "require_all"]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Where and when a result is to be used.

    Args:
        now: the time.
        identities: role in the bench -> text of the identity of the instrument that is there.
        temperature_c: of the bench, in degrees Celsius; None without a thermometer.
        simulated: True if the bench is.
    """

    now: Moment
    identities: Mapping[str, str]
    temperature_c: float | None
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class Usable:
    """A result that may be used, and at what price.

    Args:
        result: the result.
        taints: what was wrong with it and overridden; goes into the record of the run. Empty for a
            result that stands.
    """

    result: Result
    taints: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Quantity:
        return self.result[name]


def require(
    store: Store,
    routine: str,
    conditions: Conditions,
    *,
    version: int,
    settings: Mapping[str, Setting] | None = None,
    override: bool = False,
) -> Usable:
    """The newest result of a routine, if it may be used.

    Args:
        store: of the bench.
        routine: name of the routine.
        conditions: where and when it is to be used.
        version: of the routine that the caller understands.
        settings: that the routine would be run with; None accepts any.
        override: use it in spite of what stands against it; what does is returned as taints. A
            missing result cannot be overridden.

    Raises:
        CalibrationError: there is none, or something stands against it and `override` is false.
    """
    result = store.latest(routine)
    if result is None:
        raise CalibrationError(
            f"{store.path}: no calibration {routine}; run `veilight calibrate {routine}`"
        )
    found = objections(
        result, conditions, version=version, latest_ids=store.latest_ids(), settings=settings
    )
    if found and not override:
        raise CalibrationError(
            f"calibration {routine} ({result.id[:12]}) cannot be used: {'; '.join(found)}; "
            f"run `veilight calibrate {routine}`, or override, which taints the run"
        )
    return Usable(
        result=result,
        taints=tuple(f"calibration {routine} ({result.id[:12]}): {reason}" for reason in found),
    )


def require_all(
    store: Store,
    registry: Registry,
    names: Iterable[str],
    conditions: Conditions,
    *,
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
    override: bool = False,
) -> tuple[dict[str, Result], tuple[str, ...]]:
    """The newest results of several routines, if they may be used.

    Args:
        store: of the bench.
        registry: the routines.
        names: of those that are wanted.
        conditions: where and when the results are to be used.
        settings: routine -> what the bench says about its settings, defaults for the rest; results
            made with others are refused. None accepts any.
        override: see `require`.

    Returns:
        Results by routine, and all taints.

    Raises:
        CalibrationError: see `require`.
        ConfigurationError: a routine or setting is unknown, or a setting of another type.
    """
    results: dict[str, Result] = {}
    taints: list[str] = []
    for name in names:
        routine = registry.get(name)
        wanted = None if settings is None else settings_of(routine, settings.get(name, {}))
        usable = require(
            store, name, conditions, version=routine.version, settings=wanted, override=override
        )
        results[name] = usable.result
        taints.extend(usable.taints)
    return results, tuple(taints)


def objections(
    result: Result,
    conditions: Conditions,
    *,
    version: int,
    latest_ids: Mapping[str, str],
    settings: Mapping[str, Setting] | None = None,
) -> tuple[str, ...]:
    """Everything that stands against using a result; empty if nothing does.

    Args:
        result: the result.
        conditions: where and when it is to be used.
        version: of the routine that is installed.
        latest_ids: routine -> id of its newest result in the store.
        settings: that the routine would be run with now; None accepts any.
    """
    found = []
    if result.version != version:
        found.append(
            f"made by version {result.version} of the routine, version {version} is needed"
        )
    if result.simulated != conditions.simulated:
        made, bench = ("simulated", "real") if result.simulated else ("real", "simulated")
        found.append(f"made with {made} light, the bench is {bench}")
    return (
        *found,
        *_age(result, conditions.now),
        *_instruments(result, conditions.identities),
        *_temperature(result, conditions.temperature_c),
        *_basis(result, latest_ids),
        *_settings(result, result.settings if settings is None else settings),
    )


def _age(result: Result, now: Moment) -> list[str]:
    try:
        age_s = now.seconds_since(result.moment)
    except CalibrationError as error:
        return [f"its age is not known: {error}"]
    if age_s > result.validity_s:
        return [f"stale: {age_s:.0f} s old, it holds for {result.validity_s:.0f} s"]
    return []


def _instruments(result: Result, identities: Mapping[str, str]) -> list[str]:
    found = []
    for role, made_with in result.identities.items():
        here = identities.get(role)
        if here is None:
            found.append(f"made with {role} {made_with!r}, the bench has no {role}")
        elif here != made_with:
            found.append(f"made with {role} {made_with!r}, the bench has {here!r}")
    return found


def _temperature(result: Result, here_c: float | None) -> list[str]:
    if result.temperature_window_c is None:
        return []
    low, high = result.temperature_window_c
    if here_c is None:
        return [f"holds from {low:.1f} to {high:.1f} C, the bench's temperature is not known"]
    # Written so that a reading that is no number is refused too.
    if not low <= here_c <= high:
        return [f"holds from {low:.1f} to {high:.1f} C, the bench is at {here_c:.1f} C"]
    return []


def _basis(result: Result, latest_ids: Mapping[str, str]) -> list[str]:
    return [
        f"rests on {need} {id[:12]}, which has been measured anew since"
        for need, id in result.rests_on.items()
        if latest_ids.get(need) != id
    ]


def _settings(result: Result, wanted: Mapping[str, Setting]) -> list[str]:
    """Where the settings differ, each with both values; a setting may have come or gone."""
    made = result.settings
    return [
        f"made with {name} {made.get(name, 'unset')}, it is {wanted.get(name, 'unset')} now"
        for name in sorted({*made, *wanted})
        if made.get(name) != wanted.get(name)
    ]
