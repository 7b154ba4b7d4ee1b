"""A simulated reference bench with both parties' optics on it, calibrated by what the scene knows.

Tests of the optics and of the engine use it; the calibration routines have tests of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivers.errors import SafetyError
from drivers.instruments import (
    Digitiser,
    Instrument,
    Laser,
    PowerMeter,
)
from drivers.optics.bench_link import BenchLink, BenchLinkSettings
from drivers.optics.burst import BurstFormat
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.server_optics import ServerInstruments
from drivers.optics.standing_checks import StandingInstruments
from drivers.receivers import PassiveTap
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.bench_light import (
    LightPath,
    SlotNoise,
    all_slots,
    client_values,
    frames_of,
    measured_noise,
    record_without_signal,
    server_values,
)

__all__ = ["FIBRE", "WaveformBench", "open_bench", "reference_settings"]

FIBRE = FibreSettings(length_m=1000.0, polarisation_scrambled=False)


def reference_settings(*, tap: float = 0.5, fibre: FibreSettings = FIBRE) -> ReferenceSettings:
    """The reference scene with one kind of fibre each way."""
    return ReferenceSettings(tap=tap, forward_fibre=fibre, return_fibre=fibre)


@dataclass(frozen=True, kw_only=True)
class WaveformBench:
    """An open bench and the link over it.

    Args:
        bench: makes the instruments.
        instruments: all of them, open, by role; by party and role where two share it.
        attenuation_db: of the launch.
        link: over them; its light is on.
    """

    bench: SimulatedBench
    instruments: dict[str, Instrument]
    attenuation_db: float
    link: BenchLink
    _rig: "_Rig"

    def light_lasers(self) -> None:
        """Lasers on and settled, generators connected, modulators locked to their nulls."""
        self._rig.path.settle(self.bench, self._rig.lasers)

    def open_light(self) -> None:
        """Let the signal through: attenuator, then the switches."""
        self._rig.path.open_light(self.bench, self.attenuation_db)

    def make_safe(self, reason: str = "") -> None:
        """Every instrument in its safe state, those that block light first.

        Raises:
            SafetyError: the first that did not get there; all were tried.
        """
        failures = []
        for role in ("attenuator", "signal_switch", "return_switch", *self.instruments):
            try:
                self.instruments[role].make_safe()
            except SafetyError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


def open_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 1,
    burst: BurstFormat | None = None,
    pilot_photons: float = 2000.0,
    modes_per_frame: int = 4096,
    calibration_samples: int = 1 << 21,
    phase_noise_rad: float = 0.05,
    clock_error: float = 0.0,
    standing: bool = False,
    on_failure: Callable[[str], None] | None = None,
) -> WaveformBench:
    """Open all instruments, switch the light on and take calibrated values from the scene.

    Args:
        settings: of the scene.
        seed: of the bench.
        burst: format of bursts.
        pilot_photons: of pilots at launch.
        modes_per_frame: largest frame.
        calibration_samples: length of the records without signal.
        phase_noise_rad: calibrated for both receivers.
        clock_error: of the client's calibrated clock offset.
        standing: give the optics lasers, biases and oscillator power meters to look at.
        on_failure: see `BenchLink`.
    """
    bench = SimulatedBench(settings or reference_settings(), seed=seed)
    rig = _Rig.opened(bench)
    burst = burst or BurstFormat()
    frames = frames_of(
        burst,
        pilot_photons=pilot_photons,
        modes_per_frame=modes_per_frame,
        backend="waveform",
        seed=seed,
    )
    noise = measured_noise(
        bench,
        rig.path,
        rig.lasers,
        burst,
        lambda digitiser: _slot_variance(digitiser, burst, calibration_samples),
        meters=rig.meters,
    )
    rig.path.open_for_pilots(bench, frames)
    server = server_values(
        bench, rig.path, frames, noise, quadratures=2, phase_noise_rad=phase_noise_rad
    )
    client = client_values(bench, noise, quadratures=2, phase_noise_rad=phase_noise_rad)
    looks = rig.standing(bench) if standing else (StandingInstruments(), StandingInstruments())
    link = BenchLink(
        ServerInstruments(
            generator=rig.path.generators[0],
            attenuator=rig.path.attenuator,
            digitiser=rig.path.digitisers[1],
            standing=looks[0],
        ),
        ClientInstruments(
            generator=rig.path.generators[1], digitiser=rig.path.digitisers[0], standing=looks[1]
        ),
        BenchLinkSettings(
            receiver=PassiveTap(tap_fraction=bench.scene.settings.tap),
            frames=frames,
            server=_with_meter(server, bench, noise),
            client=_with_meter_and_leak(client, bench, noise, clock_error),
        ),
        on_failure=on_failure,
    )
    return WaveformBench(
        bench=bench,
        instruments={_key(one): one for one in rig.everything},
        attenuation_db=server.attenuation_db,
        link=link,
        _rig=rig,
    )


@dataclass(frozen=True, kw_only=True)
class _Rig:
    """The instruments by kind; of the meters, the client's is first."""

    lasers: list[Laser]
    path: LightPath
    meters: list[PowerMeter]

    @classmethod
    def opened(cls, bench: SimulatedBench) -> "_Rig":
        """All instruments of both parties, open."""
        rig = cls(
            lasers=[
                bench.laser("server", "laser"),
                bench.laser("client", "oscillator"),
                bench.laser("server", "return_oscillator"),
            ],
            path=LightPath.of(bench),
            meters=[
                bench.power_meter("client", "oscillator_power_meter"),
                bench.power_meter("server", "oscillator_power_meter"),
            ],
        )
        for instrument in rig.everything:
            instrument.open()
        return rig

    @property
    def everything(self) -> list[Instrument]:
        """All instruments."""
        return [
            *self.lasers,
            *self.path.everything,
            *self.meters,
        ]

    def standing(self, bench: SimulatedBench) -> tuple[StandingInstruments, StandingInstruments]:
        """What the server's and the client's optics look at before every burst."""
        own = bench.scene.settings.oscillators == "own"
        laser, oscillator, return_oscillator = self.lasers
        server = StandingInstruments(
            lasers=(laser, return_oscillator) if own else (laser,),
            bias=self.path.biases[0],
            oscillator_meter=self.meters[1],
        )
        client = StandingInstruments(
            lasers=(oscillator,) if own else (),
            bias=self.path.biases[1],
            oscillator_meter=self.meters[0],
        )
        return server, client


def _with_meter(values: ServerValues, bench: SimulatedBench, noise: SlotNoise) -> ServerValues:
    """The server's values with its clock's and its oscillator's."""
    chosen = bench.scene.settings
    slower_ppm = chosen.server_adc.clock_offset_ppm - chosen.weight_dac.clock_offset_ppm
    return replace(values, clock_offset=slower_ppm * 1e-6, oscillator_power_w=noise.powers_w[1])


def _with_meter_and_leak(
    values: ClientValues, bench: SimulatedBench, noise: SlotNoise, clock_error: float
) -> ClientValues:
    """The client's values with its clock's error, its modulator's leak and its oscillator's."""
    return replace(
        values,
        clock_offset=values.clock_offset + clock_error,
        data_leak=10 ** (-bench.scene.settings.data_modulator.extinction_db / 20),
        oscillator_power_w=noise.powers_w[0],
    )


def _key(instrument: Instrument) -> str:
    """Role, or party and role for the two oscillator power meters."""
    party = instrument.identity.serial.split("-")[0]
    meter = instrument.name == "oscillator_power_meter"
    return f"{party}.{instrument.name}" if meter else instrument.name


def _slot_variance(digitiser: Digitiser, burst: BurstFormat, samples: int) -> float:
    """Variance of the matched filter's outputs, per quadrature, in a record without signal."""
    values = all_slots(record_without_signal(digitiser, burst, samples), burst)
    return float(np.mean(np.abs(values) ** 2, dtype=np.float64)) / 2
