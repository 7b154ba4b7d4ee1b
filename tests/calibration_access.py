"""What calibration routines see of a simulated bench in tests, and how they are run on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from calibration.access import BenchAccess
from calibration.moment import moments
from calibration.result import Quantity, Result, Setting
from calibration.routine import Context, Routine, settings_of
from drivers.instruments import Attenuator, Instrument, Laser, OpticalAmplifier, Switch
from sim_backend.scene.clock import SimulatedClock

__all__ = ["RoutineBench", "open_access", "simulated_result"]

_START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
_OFF_FIRST = (Attenuator, Switch, OpticalAmplifier, Laser)


@dataclass(frozen=True, kw_only=True)
class RoutineBench:
    """A bench on which routines are run one after the other.

    Attributes:
        access: for contexts; `access.instruments` by "party.role".
        results: of the routines that were run, which later ones find.
        seed: of random choices where a run names none.
    """

    access: BenchAccess
    results: dict[str, Result] = field(default_factory=dict)
    seed: int = 1

    def run(
        self,
        routine: Routine,
        settings: Mapping[str, Setting] | None = None,
        *,
        seed: int | None = None,
    ) -> Result:
        """Run a routine as the runner does, on the results so far, and keep its result.

        Args:
            routine: its needs must have been run.
            settings: in place of its defaults.
            seed: of its random choices.
        """
        context = self.context(routine, settings, seed=seed)
        try:
            result = routine.run(context)
        finally:
            self.access.switch_off()
        self.results[routine.name] = result
        return result

    def context(
        self,
        routine: Routine,
        settings: Mapping[str, Setting] | None = None,
        *,
        seed: int | None = None,
    ) -> Context:
        """What a routine is given."""
        chosen = self.seed if seed is None else seed
        return Context(
            routine=routine,
            bench=self.access,
            results={name: self.results[name] for name in routine.needs},
            rng=np.random.default_rng(chosen),
            seed=chosen,
            progress=lambda done, total, text: None,
            settings=settings_of(routine, settings or {}),
        )


def open_access(
    instruments: Mapping[str, Instrument], clock: SimulatedClock, *, seed: int
) -> BenchAccess:
    """Open every instrument, on simulated time that begins at a fixed date.

    Args:
        instruments: by "party.role", closed.
        clock: of the scene.
        seed: of the scene.
    """
    for instrument in instruments.values():
        instrument.open()

    def switch_off() -> None:
        for instrument in sorted(
            instruments.values(), key=lambda one: not isinstance(one, _OFF_FIRST)
        ):
            instrument.make_safe()

    return BenchAccess(
        name="simulated",
        backend="sim",
        simulated=True,
        instruments=instruments,
        identities={role: found.identity.text for role, found in instruments.items()},
        sleep=clock.sleep,
        now=moments(
            clock.now,
            clock_id=f"simulated {seed}",
            wall=lambda: _START + timedelta(seconds=clock.now()),
        ),
        temperature_c=lambda: 21.0,
        switch_off=switch_off,
    )


def simulated_result(
    bench: RoutineBench, name: str, quantities: tuple[Quantity, ...], *, seed: int = 0
) -> Result:
    """A result that a routine seems to have found on the bench just now."""
    return Result(
        routine=name,
        version=1,
        quantities=quantities,
        identities={},
        temperature_c=None,
        temperature_window_c=None,
        moment=bench.access.now(),
        validity_s=1e6,
        bench="simulated",
        backend="sim",
        simulated=True,
        seed=seed,
    )
