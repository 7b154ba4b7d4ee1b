"""A simulated bench with an amplifier, all instruments open, dressed for calibration routines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from calibration.access import BenchAccess
from calibration.moment import moments
from calibration.result import Result, Setting
from calibration.routine import Context, Routine, settings_of
from drivers.instruments import Attenuator, Instrument, Laser, OpticalAmplifier
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.detectors import PowerHeadSettings

__all__ = ["AmplifierCalibrationBench", "open_amplifier_calibration"]

_START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
_OFF_FIRST = (Attenuator, OpticalAmplifier, Laser)


@dataclass(frozen=True, kw_only=True)
class AmplifierCalibrationBench:
    """An open bench and what routines see of it."""

    bench: SimulatedAmplifierBench
    access: BenchAccess
    results: dict[str, Result] = field(default_factory=dict)

    def run(
        self, routine: Routine, settings: Mapping[str, Setting] | None = None, *, seed: int = 1
    ) -> Result:
        """Run a routine as the runner does, on the results so far, and keep its result."""
        context = Context(
            routine=routine,
            bench=self.access,
            results={name: self.results[name] for name in routine.needs},
            rng=np.random.default_rng(seed),
            seed=seed,
            progress=lambda done, total, text: None,
            settings=settings_of(routine, settings or {}),
        )
        try:
            result = routine.run(context)
        finally:
            self.access.switch_off()
        self.results[routine.name] = result
        return result


def open_amplifier_calibration(
    settings: AmplifierBenchSettings | None = None,
    *,
    seed: int = 1,
    head: PowerHeadSettings | None = None,
) -> AmplifierCalibrationBench:
    """Open every instrument of the scene, the launch power meter with a head of one's own."""
    bench = SimulatedAmplifierBench(settings, seed=seed)
    instruments: dict[str, Instrument] = {
        "server.laser": bench.laser("server", "laser"),
        "server.return_oscillator": bench.laser("server", "return_oscillator"),
        "server.weight_generator": bench.weight_generator(),
        "server.weight_bias": bench.weight_bias(),
        "server.attenuator": bench.attenuator(),
        "server.launch_power_meter": bench.launch_power_meter(head),
        "server.return_digitiser": bench.return_digitiser(),
        "client.oscillator": bench.laser("client", "oscillator"),
        "client.seed_laser": bench.laser("client", "seed_laser"),
        "client.mesh_driver": bench.mesh_driver("mesh_driver"),
        "client.return_mesh_driver": bench.mesh_driver("return_mesh_driver"),
        "client.amplifier": bench.optical_amplifier(),
        "client.tap_digitiser": bench.tap_digitiser(),
    }
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
    return AmplifierCalibrationBench(bench=bench, access=access)
