"""A simulated reference bench with both parties' optics on it, calibrated by what the scene knows.

Tests of the optics and of the engine use it; the calibration routines have tests of their own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivers.errors import SafetyError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Digitiser,
    Instrument,
    Laser,
    PowerMeter,
    Switch,
    WaveformGenerator,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.bench_link import BenchLink, BenchLinkSettings
from drivers.optics.burst import BurstFormat
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.server_optics import ServerInstruments
from drivers.optics.standing_checks import StandingInstruments
from drivers.receivers import PassiveTap
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene import truth
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.bench_light import (
    LightPath,
    all_slots,
    attenuation_for_pilots_db,
    full_photons,
    record_without_signal,
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
    """

    bench: SimulatedBench
    instruments: dict[str, Instrument]
    attenuation_db: float
    _link: BenchLink | None = None

    @property
    def link(self) -> BenchLink:
        """The link; its light is on."""
        assert self._link is not None
        return self._link

    def light_lasers(self) -> None:
        """Lasers on and settled, generators connected, modulators locked to their nulls."""
        for role in ("laser", "oscillator", "return_oscillator"):
            laser = self.instruments[role]
            assert isinstance(laser, Laser)
            laser.set_emission(True)
        self.bench.clock.advance(60.0)
        for role in ("weight_generator", "data_generator"):
            generator = self.instruments[role]
            assert isinstance(generator, WaveformGenerator)
            generator.set_output(0, True)
        for role in ("weight_bias", "data_bias"):
            bias = self.instruments[role]
            assert isinstance(bias, BiasController)
            bias.lock(0, BiasPoint.NULL)
        self.bench.clock.advance(5.0)

    def open_light(self) -> None:
        """Let the signal through: attenuator, then the switches."""
        attenuator = self.instruments["attenuator"]
        assert isinstance(attenuator, Attenuator)
        attenuator.set_attenuation_db(self.attenuation_db)
        attenuator.set_shutter(True)
        for role in ("signal_switch", "return_switch"):
            switch = self.instruments[role]
            assert isinstance(switch, Switch)
            switch.select("light")
        self.bench.clock.advance(1.0)

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
    frames = BenchFrames(
        format=burst or BurstFormat(),
        pilot_photons=pilot_photons,
        modes_per_frame=modes_per_frame,
        transfer_time_s=1.0,
        backend="waveform",
        simulated=True,
        seed=seed,
    )
    waiting = WaveformBench(
        bench=bench, instruments={_key(one): one for one in rig.everything}, attenuation_db=0.0
    )
    noise = _lit_and_measured(waiting, rig, frames, calibration_samples)
    waiting.open_light()
    rig.path.attenuator.set_attenuation_db(attenuation_for_pilots_db(bench, frames))
    bench.clock.advance(1.0)
    attenuation = rig.path.attenuator.attenuation_db()
    server = _server_values(bench, frames, noise, attenuation, phase_noise_rad)
    client = _client_values(bench, noise, phase_noise_rad, clock_error)
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
            server=server,
            client=client,
        ),
        on_failure=on_failure,
    )
    return replace(waiting, _link=link, attenuation_db=attenuation)


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


@dataclass(frozen=True, kw_only=True)
class _Noise:
    """Client first: slot variances without light, with the oscillator, and its power."""

    dark: list[float]
    lit: list[float]
    powers_w: list[float]


def _lit_and_measured(
    waiting: WaveformBench, rig: _Rig, frames: BenchFrames, samples: int
) -> _Noise:
    """Switch the lasers on and measure the detectors' noise before and after."""
    clock, modulator = waiting.bench.clock, waiting.bench.scene.settings.data_modulator
    for generator in rig.path.generators:
        generator.set_sample_rate(frames.format.sample_rate_hz)
    dark = [_slot_variance(digitiser, frames.format, samples) for digitiser in rig.path.digitisers]
    waiting.light_lasers()
    rig.path.generators[1].set_idle(0, modulator.half_wave_v)
    clock.advance(1e-3)
    lit = [_slot_variance(digitiser, frames.format, samples) for digitiser in rig.path.digitisers]
    powers_w = [meter.power_w() for meter in rig.meters]
    rig.path.generators[1].set_idle(0, 0.0)
    return _Noise(dark=dark, lit=lit, powers_w=powers_w)


def _server_values(
    bench: SimulatedBench,
    frames: BenchFrames,
    noise: _Noise,
    attenuation_db: float,
    phase_noise_rad: float,
) -> ServerValues:
    """The server's calibration, from the scene."""
    scene, chosen = bench.scene, bench.scene.settings
    forward = truth.transmittance(scene, "client") / chosen.tap
    slower_ppm = chosen.server_adc.clock_offset_ppm - chosen.weight_dac.clock_offset_ppm
    return ServerValues(
        weight_v_pi_v=chosen.weight_modulator.half_wave_v,
        full_photons=full_photons(bench, frames),
        attenuation_db=attenuation_db,
        round_trip_delay_s=truth.signal_delay_s(scene, "server"),
        forward_transmittance=forward,
        return_transmittance=truth.transmittance(scene, "server") / forward / (1 - chosen.tap),
        detection_efficiency=truth.detection_efficiency(scene, "server") / 2,
        electronic_noise_v2=noise.dark[1],
        shot_noise_v2=noise.lit[1] - noise.dark[1],
        phase_noise_rad=phase_noise_rad,
        gain_uncertainty=0.005,
        clock_offset=slower_ppm * 1e-6,
        oscillator_power_w=noise.powers_w[1],
    )


def _client_values(
    bench: SimulatedBench, noise: _Noise, phase_noise_rad: float, clock_error: float
) -> ClientValues:
    """The client's calibration, from the scene."""
    scene, chosen = bench.scene, bench.scene.settings
    delay_s = truth.signal_delay_s(scene, "client")
    clock_offset = chosen.client_adc.clock_offset_ppm * 1e-6
    efficiency = truth.detection_efficiency(scene, "client") / 2
    return ClientValues(
        data_v_pi_v=chosen.data_modulator.half_wave_v,
        # The client counts its record on its own clock; the simulated generator's delay is true.
        forward_delay_s=delay_s * (1 + clock_offset),
        oscillator_delay_s=delay_s * clock_offset,
        clock_offset=clock_offset + clock_error,
        electronic_noise_v2=noise.dark[0],
        shot_noise_v2=noise.lit[0] - noise.dark[0],
        data_leak=10 ** (-chosen.data_modulator.extinction_db / 20),
        signal_gain=math.sqrt(truth.transmittance(scene, "client") * efficiency),
        phase_noise_rad=phase_noise_rad,
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
