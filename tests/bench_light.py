"""What simulated benches of the tests share: the light's way, and calibrated values of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Digitiser,
    Instrument,
    Laser,
    PowerMeter,
    Switch,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.slot_filter import Record, SlotTiming, filter_all_slots
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene import truth
from sim_backend.scene.light import PHOTON_ENERGY_J

__all__ = [
    "LightPath",
    "SlotNoise",
    "all_slots",
    "client_values",
    "frames_of",
    "measured_noise",
    "record_without_signal",
    "server_values",
]

_HEADROOM = 0.95


@dataclass(frozen=True, kw_only=True)
class LightPath:
    """The instruments on the light's way, closed: (server's, client's) but for the digitisers.

    Attributes:
        generators: of weights and of data.
        biases: of their modulators.
        attenuator: of the launch.
        switches: of the signal at the client, of the return at the server.
        digitisers: the client's first.
    """

    generators: list[WaveformGenerator]
    biases: list[BiasController]
    attenuator: Attenuator
    switches: list[Switch]
    digitisers: list[Digitiser]

    @classmethod
    def of(cls, bench: SimulatedBench) -> "LightPath":
        """Those of a bench."""
        return cls(
            generators=[
                bench.waveform_generator("server", "weight_generator"),
                bench.waveform_generator("client", "data_generator"),
            ],
            biases=[
                bench.bias_controller("server", "weight_bias"),
                bench.bias_controller("client", "data_bias"),
            ],
            attenuator=bench.attenuator("server", "attenuator"),
            switches=[
                bench.switch("client", "signal_switch"),
                bench.switch("server", "return_switch"),
            ],
            digitisers=[
                bench.digitiser("client", "tap_digitiser"),
                bench.digitiser("server", "return_digitiser"),
            ],
        )

    @property
    def everything(self) -> list[Instrument]:
        """All instruments."""
        return [
            *self.generators,
            *self.biases,
            self.attenuator,
            *self.switches,
            *self.digitisers,
        ]

    def settle(self, bench: SimulatedBench, lasers: Sequence[Laser]) -> None:
        """Lasers on and settled, generators connected, modulators locked to their nulls."""
        for laser in lasers:
            laser.set_emission(True)
        bench.clock.advance(60.0)
        for generator in self.generators:
            generator.set_output(0, True)
        for bias in self.biases:
            bias.lock(0, BiasPoint.NULL)
        bench.clock.advance(5.0)

    def open_light(self, bench: SimulatedBench, attenuation_db: float) -> None:
        """Let the signal through: attenuator, then the switches."""
        self.attenuator.set_attenuation_db(attenuation_db)
        self.attenuator.set_shutter(True)
        for switch in self.switches:
            switch.select("light")
        bench.clock.advance(1.0)

    def open_for_pilots(self, bench: SimulatedBench, frames: BenchFrames) -> None:
        """Let the signal through, as weak as the pilots need it."""
        self.open_light(bench, 0.0)
        self.attenuator.set_attenuation_db(_attenuation_for_pilots_db(bench, frames))
        bench.clock.advance(1.0)


@dataclass(frozen=True, kw_only=True)
class SlotNoise:
    """Slot variances of both receivers, the client's first.

    Attributes:
        dark: without light, V^2.
        shot: what the oscillator's shot noise adds, V^2.
        powers_w: readings of the oscillators' meters, where there are any.
    """

    dark: tuple[float, float]
    shot: tuple[float, float]
    powers_w: tuple[float, ...]


def frames_of(
    burst: BurstFormat, *, pilot_photons: float, modes_per_frame: int, backend: str, seed: int
) -> BenchFrames:
    """What both parties of a simulated bench have agreed.

    Args:
        burst: format of bursts.
        pilot_photons: of pilots at launch.
        modes_per_frame: largest frame.
        backend: name of the bench.
        seed: of the bench.
    """
    return BenchFrames(
        format=burst,
        pilot_photons=pilot_photons,
        modes_per_frame=modes_per_frame,
        transfer_time_s=1.0,
        backend=backend,
        simulated=True,
        seed=seed,
    )


def measured_noise(
    bench: SimulatedBench,
    path: LightPath,
    lasers: Sequence[Laser],
    burst: BurstFormat,
    slot_variance: Callable[[Digitiser], float],
    meters: Sequence[PowerMeter] = (),
) -> SlotNoise:
    """Switch the lasers on and measure the detectors' noise before and after.

    Args:
        bench: of the instruments.
        path: open, in the dark.
        lasers: the signal's and the oscillators'.
        burst: format of bursts.
        slot_variance: of an open digitiser's matched-filter outputs, V^2.
        meters: of the oscillators, the client's first.
    """

    def both() -> tuple[float, float]:
        client, server = path.digitisers
        return slot_variance(client), slot_variance(server)

    for generator in path.generators:
        generator.set_sample_rate(burst.sample_rate_hz)
    dark = both()
    path.settle(bench, lasers)
    # The client's oscillator passes the data modulator: it is measured at full level.
    path.generators[1].set_idle(0, bench.scene.settings.data_modulator.half_wave_v)
    bench.clock.advance(1e-3)
    lit = both()
    powers_w = tuple(meter.power_w() for meter in meters)
    path.generators[1].set_idle(0, 0.0)
    return SlotNoise(dark=dark, shot=(lit[0] - dark[0], lit[1] - dark[1]), powers_w=powers_w)


def server_values(
    bench: SimulatedBench,
    path: LightPath,
    frames: BenchFrames,
    noise: SlotNoise,
    *,
    quadratures: int,
    phase_noise_rad: float,
) -> ServerValues:
    """The server's calibration, from the scene.

    Args:
        bench: of the instruments.
        path: its light is on.
        frames: what the parties have agreed.
        noise: of the receivers.
        quadratures: that a record holds: 1 homodyne, 2 heterodyne.
        phase_noise_rad: that the tracking leaves.
    """
    scene, chosen = bench.scene, bench.scene.settings
    forward = truth.transmittance(scene, "client") / chosen.tap
    return ServerValues(
        weight_v_pi_v=chosen.weight_modulator.half_wave_v,
        full_photons=_full_photons(bench, frames),
        attenuation_db=path.attenuator.attenuation_db(),
        round_trip_delay_s=truth.signal_delay_s(scene, "server"),
        forward_transmittance=forward,
        return_transmittance=truth.transmittance(scene, "server") / forward / (1 - chosen.tap),
        detection_efficiency=truth.detection_efficiency(scene, "server") / quadratures,
        electronic_noise_v2=noise.dark[1],
        shot_noise_v2=noise.shot[1],
        phase_noise_rad=phase_noise_rad,
        gain_uncertainty=0.005,
    )


def client_values(
    bench: SimulatedBench, noise: SlotNoise, *, quadratures: int, phase_noise_rad: float
) -> ClientValues:
    """The client's calibration, from the scene; arguments as for the server's."""
    scene, chosen = bench.scene, bench.scene.settings
    delay_s = truth.signal_delay_s(scene, "client")
    clock_offset = chosen.client_adc.clock_offset_ppm * 1e-6
    efficiency = truth.detection_efficiency(scene, "client") / quadratures
    return ClientValues(
        data_v_pi_v=chosen.data_modulator.half_wave_v,
        # The client counts its record on its own clock; the simulated generator's delay is true.
        forward_delay_s=delay_s * (1 + clock_offset),
        oscillator_delay_s=delay_s * clock_offset,
        clock_offset=clock_offset,
        electronic_noise_v2=noise.dark[0],
        shot_noise_v2=noise.shot[0],
        signal_gain=math.sqrt(truth.transmittance(scene, "client") * efficiency),
        phase_noise_rad=phase_noise_rad,
    )


def record_without_signal(
    digitiser: Digitiser, burst: BurstFormat, samples: int
) -> NDArray[np.float32]:
    """Volts of an open digitiser while nothing plays, shape (samples,)."""
    digitiser.configure(burst.sample_rate_hz, samples, 1.0)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(1.0)
    volts: NDArray[np.float32] = digitiser.fetch().volts[0]
    return volts


def all_slots(volts: Record, burst: BurstFormat) -> NDArray[np.complex64]:
    """The matched filter's outputs in every slot of a record, shape (slots,)."""
    return filter_all_slots(
        volts,
        SlotTiming(start=0.0, samples_per_slot=burst.samples_per_symbol),
        burst.pulse,
        burst.if_cycles_per_symbol / burst.samples_per_symbol,
        0,
        len(volts) // burst.samples_per_symbol,
    )


def _full_photons(bench: SimulatedBench, frames: BenchFrames) -> float:
    """Photons per slot at launch with the modulator fully open and the shutter open."""
    scene = bench.scene
    was_open = scene.launch_attenuator.shutter_open
    scene.launch_attenuator.shutter_open = True
    resting = scene.weight_modulator.transmission(0.0)
    opened = 10 ** (-scene.settings.weight_modulator.insertion_loss_db / 10)
    power = scene.idle_power_w("launch") / resting * opened
    scene.launch_attenuator.shutter_open = was_open
    return power / PHOTON_ENERGY_J / frames.format.symbol_rate_hz


def _attenuation_for_pilots_db(bench: SimulatedBench, frames: BenchFrames) -> float:
    """What leaves the pilots' pulses just below what the modulator can make."""
    burst = frames.format
    need = _HEADROOM**-2 * frames.pilot_photons * burst.pulse.peak**2 * burst.samples_per_symbol
    return round(max(0.0, 10 * math.log10(_full_photons(bench, frames) / need)), 2)
