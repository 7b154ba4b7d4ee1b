"""`veilight calibrate`: measure what a run has to trust, and show what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import CalibrationError, ConfigurationError
from veilight.cli._exit_codes import ExitCode
from veilight.cli._outputs import prepare_folder
from veilight.cli._quantities import quantity_cells
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from calibration.moment import Moment
    from calibration.result import Result
    from calibration.routine import Registry
    from calibration.runner import Outcome, ProgressEvent, Step

__all__ = ["CalibrateOrder", "run_calibrate", "run_calibrate_show"]

ALL = "all"
_MOST_REASONS = 2


@dataclass(frozen=True, kw_only=True)
class CalibrateOrder:
    """What `veilight calibrate` was asked for.

    Args:
        routines: names, or "all".
        benches: bench files, one per party.
        store: calibration store; None keeps it beside the first bench file.
        plots: folder for one picture per result; None draws none.
        force: measure anew what is still valid.
        dry_run: say what would be measured, and measure nothing.
        seed: of all random choices.
        emit_light: allow light on real instruments.
        operator: who arms the bench.
    """

    routines: tuple[str, ...]
    benches: tuple[Path, ...]
    store: Path | None = None
    plots: Path | None = None
    force: bool = False
    dry_run: bool = False
    seed: int | None = None
    emit_light: bool = False
    operator: str | None = None


def run_calibrate(screen: Screen, order: CalibrateOrder) -> int:
    """Run what is due, in the order of what needs what; the exit status.

    Raises:
        VeilightError: the bench cannot be opened or made safe, or the store cannot be used.
    """
    from calibration.runner import Runner
    from veilight.bench_session import (
        default_store,
        open_pair,
        pair_name,
        routines_for,
        routines_of,
        settings_for,
        store_of,
    )
    from veilight.benches import load_benches

    path = order.store or default_store(order.benches)
    files = load_benches(order.benches)
    store = store_of(path, pair_name(files))
    names = _names(routines_for(files), order.routines)
    _check_folder(order.plots)
    with open_pair(order.benches, emit_light=order.emit_light, operator=order.operator) as pair:
        registry = routines_of(pair)
        with screen.progress("calibration", total=1.0) as advance:

            def report(event: "ProgressEvent") -> None:
                within = event.done / event.total if event.total else 0.0
                advance((event.number - 1 + within) / event.count, f"{event.routine}: {event.text}")

            runner = Runner(
                registry,
                pair.access,
                store,
                seed=order.seed,
                settings=settings_for(registry, pair),
                on_progress=report,
            )
            if order.dry_run:
                return _show_plan(screen, runner.plan(names, force=order.force))
            outcomes = runner.run(names, force=order.force)
        now = pair.access.now()
    _show_outcomes(screen, outcomes)
    results = [store.get(one.result_id) for one in outcomes if one.result_id is not None]
    pictures = _draw(screen, results, order.plots)
    screen.say(f"Store: {path}")
    screen.result(
        {
            "store": str(path),
            "time": now.utc,
            "outcomes": [_outcome_json(one) for one in outcomes],
            "results": [_result_json(result) for result in results],
            "plots": pictures,
        }
    )
    failed = any(one.result_id is None for one in outcomes)
    return ExitCode.INSTRUMENT if failed else ExitCode.OK


def run_calibrate_show(
    screen: Screen, store_path: Path, *, routines: tuple[str, ...] = (), plots: Path | None = None
) -> int:
    """Show the newest results, with age and validity.

    Args:
        screen: where to.
        store_path: the calibration store.
        routines: whose results; empty for all.
        plots: folder for one picture per result; None draws none.

    Raises:
        ConfigurationError: there is no store, or no result of a routine.
        CalibrationError: the store is damaged.
    """
    from calibration.moment import moments, system_clock_id
    from calibration.store import Store
    from drivers.instruments import SystemClock

    if not store_path.exists():
        raise ConfigurationError(
            f"there is no calibration store {store_path}; make one with "
            "`veilight calibrate all --bench FILE --bench FILE`"
        )
    store = Store.at(store_path)
    now = moments(SystemClock().now, clock_id=system_clock_id())()
    newest = {entry.routine: entry.id for entry in store.entries()}
    missing = [name for name in routines if name not in newest]
    if missing:
        raise ConfigurationError(
            f"{store_path} has no result of {', '.join(missing)}; it has those of "
            f"{', '.join(newest) or 'none'}"
        )
    results = [store.get(newest[name]) for name in routines or newest]
    ages = {result.id: _age(result, now) for result in results}
    marks = " (simulated)" if any(result.simulated for result in results) else ""
    screen.table(
        f"{store.bench}{marks}",
        ("routine", "age", "validity", "measured (UTC)", "result"),
        [
            (
                result.routine,
                *_age_cells(result, ages[result.id]),
                result.moment.utc[:19].replace("T", " "),
                result.id[:12],
            )
            for result in results
        ],
    )
    for result in results:
        rows = [quantity_cells(quantity) for quantity in result.quantities]
        screen.table(result.routine, ("quantity", "value", "95 %"), rows)
    pictures = _draw(screen, results, plots)
    screen.result(
        {
            "bench": store.bench,
            "store": str(store_path),
            "time": now.utc,
            "results": [{**_result_json(result), "age_s": ages[result.id]} for result in results],
            "plots": pictures,
        }
    )
    return ExitCode.OK


def _age(result: "Result", now: "Moment") -> float | None:
    """Age in seconds; None where the clock says that the result is from the future."""
    try:
        return now.seconds_since(result.moment)
    except CalibrationError:
        return None


def _age_cells(result: "Result", age_s: float | None) -> tuple[str, str]:
    """Age and validity for people."""
    if age_s is None:
        return "unknown", "the clock is wrong"
    left_s = result.validity_s - age_s
    state = f"{_span(left_s)} left" if left_s > 0 else f"stale for {_span(-left_s)}"
    return _span(age_s), state


def _names(registry: "Registry", asked: Sequence[str]) -> tuple[str, ...] | None:
    """Names of routines, None for all."""
    if ALL in asked or not asked:
        if len(asked) > 1:
            raise ConfigurationError("calibrate: give 'all' or names of routines, not both")
        return None
    for name in asked:
        registry.get(name)
    return tuple(asked)


def _show_plan(screen: Screen, steps: "Sequence[Step]") -> int:
    rows = [
        (
            step.routine,
            "measure" if step.due else "keep",
            _shortened(step.reasons) or "valid",
            _span(step.duration_s) if step.due else "",
        )
        for step in steps
    ]
    screen.table("What would be done", ("routine", "step", "because", "about"), rows)
    screen.result(
        {
            "steps": [
                {
                    "routine": step.routine,
                    "due": step.due,
                    "reasons": step.reasons,
                    "duration_s": step.duration_s,
                }
                for step in steps
            ]
        }
    )
    return ExitCode.OK


def _shortened(reasons: Sequence[str]) -> str:
    """The first reasons and how many more there are."""
    left = len(reasons) - _MOST_REASONS
    more = f"; and {left} more" if left > 0 else ""
    return "; ".join(reasons[:_MOST_REASONS]) + more


def _show_outcomes(screen: Screen, outcomes: "Sequence[Outcome]") -> None:
    rows = [
        (one.routine, one.status.value, one.message or "", f"{one.duration_s:.1f} s")
        for one in outcomes
    ]
    screen.table("Calibration", ("routine", "outcome", "what happened", "took"), rows, numbers=(3,))


def _draw(screen: Screen, results: "Sequence[Result]", folder: Path | None) -> list[str]:
    """One picture per result that has points; the paths."""
    if folder is None:
        return []
    from calibration.plots import write_plot

    _check_folder(folder)
    paths = []
    for result in results:
        if not result.fit_data:
            continue
        path = folder / f"{result.routine}.png"
        write_plot(result, path)
        paths.append(str(path))
    screen.say(f"Plots: {len(paths)} in {folder}")
    return paths


def _check_folder(folder: Path | None) -> None:
    """Refuse a folder for pictures that cannot be made, before anything is measured."""
    if folder is not None:
        prepare_folder(folder, overwrite=True)


def _outcome_json(one: "Outcome") -> dict[str, object]:
    return {
        "routine": one.routine,
        "status": one.status.value,
        "result": one.result_id,
        "message": one.message,
        "duration_s": one.duration_s,
    }


def _result_json(result: "Result") -> dict[str, object]:
    return {
        "routine": result.routine,
        "id": result.id,
        "time": result.moment.utc,
        "validity_s": result.validity_s,
        "simulated": result.simulated,
        "quantities": {
            quantity.name: {
                "value": quantity.value,
                "uncertainty": quantity.uncertainty,
                "claimed": quantity.claimed,
                "interval95": quantity.interval95,
                "unit": quantity.unit,
            }
            for quantity in result.quantities
        },
    }


def _span(seconds: float) -> str:
    """A time span as people say it."""
    for name, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
