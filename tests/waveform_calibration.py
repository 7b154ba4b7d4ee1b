"""A simulated bench with all instruments open, dressed as what calibration routines may touch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from calibration.access import BenchAccess
from calibration.moment import moments
from calibration.result import Result, Setting
from calibration.routine import Context, Routine, settings_of
from drivers.instruments import (
    Attenuator,
    Instrument,
    Laser,
    OpticalAmplifier,
    Switch,
)
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings

__all__ = ["CalibrationBench", "open_calibration_bench"]

_START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
_OFF_FIRST = (Attenuator, Switch, OpticalAmplifier, Laser)


@dataclass(frozen=True, kw_only=True)
class CalibrationBench:
    """An open simulated bench and what routines see of it.

    Attributes:
        bench: the simulated bench; `scene` is its scene.
        access: for contexts; `access.instruments` by "party.role".
        results: of the routines that were run, which later ones find.
    """

    bench: SimulatedBench
    access: BenchAccess
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def scene(self) -> ReferenceScene:
        """The scene, for `sim_backend.scene.truth`."""
        return self.bench.scene

    def run(
        self, routine: Routine, settings: Mapping[str, Setting] | None = None, *, seed: int = 1
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
        self, routine: Routine, settings: Mapping[str, Setting] | None = None, *, seed: int = 1
    ) -> Context:
        """What a routine is given."""
        return Context(
            routine=routine,
            bench=self.access,
            results={name: self.results[name] for name in routine.needs},
            rng=np.random.default_rng(seed),
            seed=seed,
            progress=lambda done, total, text: None,
            settings=settings_of(routine, settings or {}),
        )


def open_calibration_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 1,
    heads: Mapping[str, PowerHeadSettings] | None = None,
) -> CalibrationBench:
    """Open every instrument of the reference scene.

    Args:
        settings: of the scene; what tests draw at random.
        seed: of the scene.
        heads: errors of power meters, by "party.role".
    """
    chosen = settings or ReferenceSettings()
    bench = SimulatedBench(chosen, seed=seed)
    instruments = _instruments(bench, heads or {})
    for instrument in instruments.values():
        instrument.open()

    def switch_off() -> None:
        for instrument in sorted(
            instruments.values(), key=lambda one: not isinstance(one, _OFF_FIRST)
        ):
            instrument.make_safe()

    access = BenchAccess(
        name="simulated",
        backend="sim",
        simulated=True,
        instruments=instruments,
        identities={role: found.identity.text for role, found in instruments.items()},
        sleep=bench.clock.sleep,
        now=moments(
            bench.clock.now,
            clock_id=f"simulated {seed}",
            wall=lambda: _START + timedelta(seconds=bench.clock.now()),
        ),
        temperature_c=lambda: 21.0,
        switch_off=switch_off,
    )
    return CalibrationBench(bench=bench, access=access)


def _instruments(
    bench: SimulatedBench, heads: Mapping[str, PowerHeadSettings]
) -> dict[str, Instrument]:
    """Every instrument of a passive-tap bench by "party.role", closed."""

    def meter(party: str, role: str) -> Instrument:
        return bench.power_meter(party, role, settings=heads.get(f"{party}.{role}"))

    made: dict[str, Instrument] = {
        "server.laser": bench.laser("server", "laser"),
        "server.weight_generator": bench.waveform_generator("server", "weight_generator"),
        "server.weight_bias": bench.bias_controller("server", "weight_bias"),
        "server.attenuator": bench.attenuator("server", "attenuator"),
        "server.launch_power_meter": meter("server", "launch_power_meter"),
        "server.return_polarisation": bench.polarisation_controller(
            "server", "return_polarisation"
        ),
        "server.return_switch": bench.switch("server", "return_switch"),
        "server.return_digitiser": bench.digitiser("server", "return_digitiser"),
        "server.oscillator_power_meter": meter("server", "oscillator_power_meter"),
        "client.polarisation": bench.polarisation_controller("client", "polarisation"),
        "client.signal_switch": bench.switch("client", "signal_switch"),
        "client.data_generator": bench.waveform_generator("client", "data_generator"),
        "client.data_bias": bench.bias_controller("client", "data_bias"),
        "client.tap_digitiser": bench.digitiser("client", "tap_digitiser"),
        "client.oscillator_power_meter": meter("client", "oscillator_power_meter"),
    }
    if bench.scene.settings.detection == "homodyne":
        made["client.tap_phase"] = bench.oscillator_phase("client", "tap_phase")
        made["server.return_phase"] = bench.oscillator_phase("server", "return_phase")
    if bench.scene.settings.oscillators == "own":
        made["client.oscillator"] = bench.laser("client", "oscillator")
        made["server.return_oscillator"] = bench.laser("server", "return_oscillator")
    return made
