"""Runs routines in the order of their needs, and only those that are due.

What is due is what `calibration.checks` would refuse, and what rests on something that is due. A
result is in the store before the next routine starts, so an interrupted run goes on where it was
when it is started again.
"""

import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from calibration.access import BenchAccess
from calibration.checks import Conditions, objections
from calibration.result import Result, Setting
from calibration.routine import Context, Registry, Routine, identities_of, settings_of
from calibration.store import Store
from drivers.errors import CalibrationError, SafetyError, VeilightError

__all__ = ["Outcome", "ProgressEvent", "Runner", "Status", "Step"]


class Status(Enum):
    """How a routine fared."""

    DONE = "done"
    FRESH = "fresh"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A routine in a plan.

    Args:
        routine: its name.
        due: True if it will be run.
        reasons: why it is due; empty if it is not.
        duration_s: about how long it takes, in seconds; 0 if it is not due.
    """

    routine: str
    due: bool
    reasons: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a step.

    Args:
        routine: its name.
        status: how it fared.
        result_id: of the result that holds now; None if there is none to use.
        message: why it failed or was blocked; empty otherwise.
        duration_s: how long it took, in seconds of the wall clock.
    """

    routine: str
    status: Status
    result_id: str | None
    message: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """How far a run has come.

    Args:
        routine: the routine that runs.
        number: which of the due routines it is, from 1.
        count: how many are due.
        done: steps done in this routine.
        total: its steps in all.
        text: what is being done.
        remaining_s: estimated time to the end of the whole run, in seconds.
    """

    routine: str
    number: int
    count: int
    done: int
    total: int
    text: str
    remaining_s: float


class Runner:
    """Plans and runs calibrations of one bench.

    Args:
        registry: the routines.
        bench: the bench, open and in its safe state.
        store: of this bench.
        seed: of all random choices; None for a fresh one, which each result records.
        settings: routine -> its settings.
        on_progress: called now and then.
        wall: a monotonic clock of the people who wait, in seconds.

    Raises:
        ConfigurationError: a setting or its routine is unknown.
    """

    def __init__(
        self,
        registry: Registry,
        bench: BenchAccess,
        store: Store,
        *,
        seed: int | None = None,
        settings: Mapping[str, Mapping[str, Setting]] | None = None,
        on_progress: Callable[[ProgressEvent], None] = lambda _: None,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._bench = bench
        self._store = store
        self._seed = secrets.randbits(63) if seed is None else seed
        given = settings or {}
        self._settings = {
            name: settings_of(registry.get(name), given.get(name, {}))
            for name in (*registry.names, *given)
        }
        self._on_progress = on_progress
        self._wall = wall

    def plan(self, names: Iterable[str] | None = None, *, force: bool = False) -> tuple[Step, ...]:
        """What `run` would do, without touching the bench beyond its thermometer.

        Args:
            names: of the routines that are wanted, what they need comes with them; None for all.
            force: run those that are wanted even if they are fresh.

        Raises:
            ConfigurationError: a routine is unknown, or some need each other in a circle.
            CalibrationError: the store cannot be read.
        """
        wanted = set(self._registry.names if names is None else (names := tuple(names)))
        steps: dict[str, Step] = {}
        for routine in self._registry.ordered(names):
            reasons = self._reasons(routine)
            reasons += [
                f"{need} will be measured anew" for need in routine.needs if steps[need].due
            ]
            if force and routine.name in wanted and not reasons:
                reasons.append("asked for")
            steps[routine.name] = Step(
                routine=routine.name,
                due=bool(reasons),
                reasons=tuple(reasons),
                duration_s=routine.duration_s if reasons else 0.0,
            )
        return tuple(steps.values())

    def run(
        self, names: Iterable[str] | None = None, *, force: bool = False
    ) -> tuple[Outcome, ...]:
        """Run what is due; a routine that fails stops those that need it and no others.

        The bench is brought to its safe state after every routine, however it ended.

        Args:
            names: of the routines that are wanted, what they need comes with them; None for all.
            force: run those that are wanted even if they are fresh.

        Raises:
            ConfigurationError: a routine is unknown, or some need each other in a circle.
            CalibrationError: the store cannot be read or written.
            SafetyError: the bench could not be brought to its safe state; nothing more is run.
        """
        steps = self.plan(names, force=force)
        due = [step for step in steps if step.due]
        outcomes: dict[str, Outcome] = {}
        for step in steps:
            routine = self._registry.get(step.routine)
            lost = [need for need in routine.needs if outcomes[need].result_id is None]
            if not step.due:
                outcome = Outcome(
                    routine=step.routine,
                    status=Status.FRESH,
                    result_id=self._store.latest_ids()[step.routine],
                )
            elif lost:
                outcome = Outcome(
                    routine=step.routine,
                    status=Status.BLOCKED,
                    result_id=None,
                    message=f"needs {', '.join(lost)}, which failed",
                )
            else:
                outcome = self._run_one(routine, due, due.index(step))
            outcomes[step.routine] = outcome
        return tuple(outcomes.values())

    def _reasons(self, routine: Routine) -> list[str]:
        """Why the newest result of a routine cannot stand; empty if it can."""
        result = self._store.latest(routine.name)
        if result is None:
            return ["never measured"]
        conditions = Conditions(
            now=self._bench.now(),
            identities=self._bench.identities,
            temperature_c=self._bench.temperature_c(),
            simulated=self._bench.simulated,
        )
        return list(
            objections(
                result,
                conditions,
                version=routine.version,
                latest_ids=self._store.latest_ids(),
                settings=self._settings[routine.name],
            )
        )

    def _run_one(self, routine: Routine, due: list[Step], index: int) -> Outcome:
        started = self._wall()
        try:
            result = self._measure(routine, due, index, started)
        except SafetyError:
            raise
        except VeilightError as error:
            return Outcome(
                routine=routine.name,
                status=Status.FAILED,
                result_id=None,
                message=str(error),
                duration_s=self._wall() - started,
            )
        self._store.append(result)
        return Outcome(
            routine=routine.name,
            status=Status.DONE,
            result_id=result.id,
            duration_s=self._wall() - started,
        )

    def _measure(self, routine: Routine, due: list[Step], index: int, started: float) -> Result:
        identities_of(routine, self._bench)
        try:
            result = routine.run(self._context(routine, due, index, started))
        finally:
            self._switch_off(routine)
        if result.routine != routine.name or result.version != routine.version:
            raise CalibrationError(
                f"routine {routine.name} version {routine.version} returned a result of "
                f"{result.routine} version {result.version}; correct the routine"
            )
        return result

    def _switch_off(self, routine: Routine) -> None:
        try:
            self._bench.switch_off()
        except SafetyError:
            raise
        except VeilightError as error:
            raise SafetyError(
                f"bench {self._bench.name!r} could not be made safe after {routine.name}: {error}; "
                "switch the light off by hand"
            ) from error

    def _context(self, routine: Routine, due: list[Step], index: int, started: float) -> Context:
        later_s = sum(step.duration_s for step in due[index + 1 :])

        def progress(done: int, total: int, text: str) -> None:
            elapsed_s = self._wall() - started
            left_s = max(routine.duration_s - elapsed_s, 0.0)
            if done > 0:
                left_s = elapsed_s * (total - done) / done
            self._on_progress(
                ProgressEvent(
                    routine=routine.name,
                    number=index + 1,
                    count=len(due),
                    done=done,
                    total=total,
                    text=text,
                    remaining_s=left_s + later_s,
                )
            )

        found = {need: self._store.latest(need) for need in routine.needs}
        return Context(
            routine=routine,
            bench=self._bench,
            results={need: result for need, result in found.items() if result is not None},
            # Each routine has a stream of its own, whichever others run before it.
            rng=np.random.default_rng([self._seed, zlib.crc32(routine.name.encode())]),
            seed=self._seed,
            progress=progress,
            settings=self._settings[routine.name],
        )
