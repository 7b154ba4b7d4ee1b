"""What simulated benches of the tests share: the light's way, and what is measured of it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Instrument,
    Switch,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat
from drivers.optics.slot_filter import Record, SlotTiming, filter_all_slots
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.light import PHOTON_ENERGY_J

__all__ = [
    "LightPath",
    "all_slots",
    "attenuation_for_pilots_db",
    "full_photons",
    "record_without_signal",
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


def full_photons(bench: SimulatedBench, frames: BenchFrames) -> float:
    """Photons per slot at launch with the modulator fully open and the shutter open."""
    scene = bench.scene
    was_open = scene.launch_attenuator.shutter_open
    scene.launch_attenuator.shutter_open = True
    resting = scene.weight_modulator.transmission(0.0)
    opened = 10 ** (-scene.settings.weight_modulator.insertion_loss_db / 10)
    power = scene.idle_power_w("launch") / resting * opened
    scene.launch_attenuator.shutter_open = was_open
    return power / PHOTON_ENERGY_J / frames.format.symbol_rate_hz


def attenuation_for_pilots_db(bench: SimulatedBench, frames: BenchFrames) -> float:
    """What leaves the pilots' pulses just below what the modulator can make."""
    burst = frames.format
    need = _HEADROOM**-2 * frames.pilot_photons * burst.pulse.peak**2 * burst.samples_per_symbol
    return round(max(0.0, 10 * math.log10(full_photons(bench, frames) / need)), 2)


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
