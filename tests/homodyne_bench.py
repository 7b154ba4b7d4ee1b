"""A simulated homodyne bench with both parties' optics on it, calibrated by the scene."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivers.instruments import (
    Digitiser,
    Instrument,
    Laser,
    PhaseDriver,
)
from drivers.optics.burst import BurstFormat
from drivers.optics.homodyne_choice import Coins
from drivers.optics.homodyne_client import HomodyneClientInstruments
from drivers.optics.homodyne_link import HomodyneLink
from drivers.optics.homodyne_lock import LockLimits
from drivers.optics.homodyne_server import HomodyneServerInstruments
from drivers.optics.homodyne_values import HomodyneSettings
from drivers.receivers import PassiveTap
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.path import FrequencyShifterSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.bench_light import (
    LightPath,
    all_slots,
    client_values,
    frames_of,
    measured_noise,
    record_without_signal,
    server_values,
)

__all__ = ["FORMAT", "QUIET", "HomodyneBench", "homodyne_scene", "open_homodyne_bench"]

QUIET = FibreSettings(
    length_m=200.0, thermal_phase_rad_per_sqrt_s=0.1, polarisation_scrambled=False
)
FORMAT = BurstFormat(if_cycles_per_symbol=0.0, least_vacuum_slots=512)
_PHASE_RAD = (0.032, 0.045)
"""What the locks leave of the phase on quiet fibres, the client's first: the walk of fibres and
laser from a probe to the burst after it, 4e-4 and 9e-4 rad^2, and the laser's phase over the longer
arm, 6e-4 and 12e-4 rad^2."""
_STILL = FrequencyShifterSettings(shift_hz=0.0, loss_db=0.0)


def homodyne_scene(
    *,
    tap: float = 0.5,
    fibre: FibreSettings = QUIET,
    linewidth_hz: float = 100.0,
    frequency_drift_hz: float = 1e5,
    matched: bool = False,
) -> ReferenceSettings:
    """The reference scene with one narrow laser and a phase shifter in each oscillator.

    Args:
        tap: of the client.
        fibre: of each way.
        linewidth_hz: of the laser.
        frequency_drift_hz: of the laser.
        matched: the oscillators' fibres are as long as the light's way to each detector.
    """
    usual = ReferenceSettings()
    lengths_m = (fibre.length_m, 2 * fibre.length_m) if matched else (0.0, 0.0)
    return ReferenceSettings(
        tap=tap,
        oscillators="shared",
        detection="homodyne",
        server_laser=LaserSettings(
            linewidth_hz=linewidth_hz, frequency_drift_hz=frequency_drift_hz
        ),
        client_shifter=_STILL,
        server_shifter=_STILL,
        forward_fibre=fibre,
        return_fibre=fibre,
        client_oscillator_fibre=replace(usual.client_oscillator_fibre, length_m=lengths_m[0]),
        server_oscillator_fibre=replace(usual.server_oscillator_fibre, length_m=lengths_m[1]),
    )


@dataclass(frozen=True, kw_only=True)
class HomodyneBench:
    """An open homodyne bench and the link over it; its light is on.

    Args:
        bench: makes the instruments.
        instruments: all of them, open, by role.
        link: over them.
    """

    bench: SimulatedBench
    instruments: dict[str, Instrument]
    link: HomodyneLink


def open_homodyne_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 1,
    burst: BurstFormat = FORMAT,
    pilot_photons: float = 2000.0,
    modes_per_frame: int = 4096,
    calibration_samples: int = 1 << 21,
    phase_noise_rad: tuple[float, float] = _PHASE_RAD,
    limits: LockLimits | None = None,
    coins: Coins | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> HomodyneBench:
    """Open all instruments, switch the light on and take calibrated values from the scene.

    Args:
        settings: of the scene.
        seed: of the bench.
        burst: format of bursts.
        pilot_photons: of pilots at launch.
        modes_per_frame: largest frame.
        calibration_samples: length of the records without signal.
        phase_noise_rad: calibrated, the client's first.
        limits: of the phase locks.
        coins: choose the quadratures.
        on_failure: see `HomodyneLink`.
    """
    bench = SimulatedBench(settings or homodyne_scene(), seed=seed)
    rig = _Rig.opened(bench)
    frames = frames_of(
        burst,
        pilot_photons=pilot_photons,
        modes_per_frame=modes_per_frame,
        backend="homodyne",
        seed=seed,
    )
    noise = measured_noise(
        bench,
        rig.path,
        [rig.laser],
        burst,
        lambda digitiser: _slot_variance(digitiser, burst, calibration_samples),
    )
    rig.path.open_for_pilots(bench, frames)
    server = server_values(
        bench, rig.path, frames, noise, quadratures=1, phase_noise_rad=phase_noise_rad[1]
    )
    client = client_values(bench, noise, quadratures=1, phase_noise_rad=phase_noise_rad[0])
    # A locked phase that errs takes from the mean of the one quadrature that is measured.
    seen = client.signal_gain * math.exp(-(phase_noise_rad[0] ** 2) / 2)
    chosen = bench.scene.settings
    link = HomodyneLink(
        rig.server(),
        rig.client(),
        HomodyneSettings(
            receiver=PassiveTap(tap_fraction=chosen.tap),
            frames=frames,
            server=server,
            client=replace(client, signal_gain=seen),
            return_phase_v_pi_v=chosen.server_phase_shifter.half_wave_v,
            tap_phase_v_pi_v=chosen.client_phase_shifter.half_wave_v,
            limits=limits or LockLimits(),
        ),
        on_failure=on_failure,
        coins=coins,
    )
    return HomodyneBench(
        bench=bench, instruments={one.name: one for one in rig.everything}, link=link
    )


@dataclass(frozen=True, kw_only=True)
class _Rig:
    """The instruments by kind; of the phases, the client's is first."""

    laser: Laser
    path: LightPath
    phases: list[PhaseDriver]

    @classmethod
    def opened(cls, bench: SimulatedBench) -> "_Rig":
        """All instruments of both parties, open."""
        rig = cls(
            laser=bench.laser("server", "laser"),
            path=LightPath.of(bench),
            phases=[
                bench.oscillator_phase("client", "tap_phase"),
                bench.oscillator_phase("server", "return_phase"),
            ],
        )
        for instrument in rig.everything:
            instrument.open()
        return rig

    @property
    def everything(self) -> list[Instrument]:
        """All instruments."""
        return [
            self.laser,
            *self.path.everything,
            *self.phases,
        ]

    def server(self) -> HomodyneServerInstruments:
        """What the server's optics use."""
        return HomodyneServerInstruments(
            generator=self.path.generators[0],
            attenuator=self.path.attenuator,
            digitiser=self.path.digitisers[1],
            phase=self.phases[1],
        )

    def client(self) -> HomodyneClientInstruments:
        """What the client's optics use."""
        return HomodyneClientInstruments(
            generator=self.path.generators[1],
            digitiser=self.path.digitisers[0],
            phase=self.phases[0],
        )


def _slot_variance(digitiser: Digitiser, burst: BurstFormat, samples: int) -> float:
    """Variance of the matched filter's outputs around 0 Hz in a record without signal."""
    volts = record_without_signal(digitiser, burst, samples)
    values = all_slots((volts - volts.mean()).astype(np.complex64), burst)
    return float(np.var(values.real, dtype=np.float64))
