"""A slow, plain model of a heterodyne record, written for clarity: the oracle of the receiver.

One number per sample: amplitude of the pulse at that instant, phase of a Wiener walk at that
instant, shot noise of variance proportional to the oscillator's power, electronic noise, rounding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.optics.burst import BurstLayout


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What happens between the generator and the record.

    Attributes:
        delay_samples: Delay of the burst in the record.
        clock_ppm: How much slower the generator's clock is than the digitiser's.
        offset_hz: Excess of the difference frequency over the nominal one.
        linewidth_hz: Combined linewidth of both lasers.
        shot_volts: Standard deviation of a sample's shot noise at full oscillator.
        electronic_snu: Electronic noise over shot noise.
        extra_samples: Samples recorded after the burst.
        code_volts: Width of a code of the digitiser, 0 for none.
        complex_record: Phase-diverse receiver.
    """

    delay_samples: float = 0.0
    clock_ppm: float = 0.0
    offset_hz: float = 0.0
    linewidth_hz: float = 0.0
    shot_volts: float = 0.01
    electronic_snu: float = 0.1
    extra_samples: int = 2000
    code_volts: float = 0.0
    complex_record: bool = False


def record_of(
    layout: BurstLayout,
    means: ArrayLike,
    pilot: float,
    conditions: Conditions,
    rng: np.random.Generator,
    levels: ArrayLike | None = None,
) -> NDArray[np.float32] | NDArray[np.complex64]:
    """A record in which each datum has the mean `means` in recorded shot-noise units."""
    burst = layout.format
    amplitudes = np.zeros(layout.total_slots, dtype=complex)
    amplitudes[layout.preamble] = pilot * burst.preamble_signs
    amplitudes[layout.pilots] = pilot * layout.pilot_signs
    amplitudes[layout.data] = means
    oscillator = np.ones(layout.total_slots)
    if levels is not None:
        oscillator[layout.data] = levels
        oscillator[layout.dark] = 0.0
    stretch = burst.samples_per_symbol * (1 + conditions.clock_ppm * 1e-6)
    samples = int(conditions.delay_samples + layout.total_slots * stretch)
    samples += conditions.extra_samples
    # Time of each sample in slots of the generator.
    slot_time = (np.arange(samples) + 0.5 - conditions.delay_samples) / stretch
    slot = np.floor(slot_time).astype(int)
    field = np.zeros(samples, dtype=complex)
    half = burst.pulse.span_slots // 2
    for neighbour in range(-half, half + 1):
        source = slot + neighbour
        inside = (source >= 0) & (source < layout.total_slots)
        where = (slot_time[inside] - source[inside] - 0.5) * burst.samples_per_symbol
        field[inside] += amplitudes[source[inside]] * pulse_at(layout, where)
    level = np.ones(samples)
    within = (slot >= 0) & (slot < layout.total_slots)
    level[within] = oscillator[slot[within]]
    sample_time = 1 / burst.sample_rate_hz
    walk = rng.standard_normal(samples) * np.sqrt(2 * np.pi * conditions.linewidth_hz * sample_time)
    frequency = burst.if_cycles_per_symbol * burst.symbol_rate_hz + conditions.offset_hz
    phase = 2 * np.pi * frequency * np.arange(samples) * sample_time + np.cumsum(walk)
    beat = field * level * np.exp(1j * (phase + rng.uniform(0, 2 * np.pi)))
    shot, electronic = conditions.shot_volts, conditions.electronic_snu
    spread = shot * np.sqrt(level**2 + electronic)
    noise = spread * rng.standard_normal(samples)
    if conditions.complex_record:
        both = noise + 1j * spread * rng.standard_normal(samples)
        return np.asarray(shot * beat + both, dtype=np.complex64)
    volts = shot * np.sqrt(2) * beat.real + noise
    if conditions.code_volts:
        volts = np.round(volts / conditions.code_volts) * conditions.code_volts
    return np.asarray(volts, dtype=np.float32)


def pulse_at(layout: BurstLayout, samples_from_centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit-energy pulse in continuous time, by its textbook formula."""
    burst = layout.format
    slots = samples_from_centre / burst.samples_per_symbol
    if burst.pulse.name == "hann":
        return np.asarray(
            np.where(np.abs(slots) < 0.5, np.cos(np.pi * slots) ** 2, 0.0)
            * np.sqrt(8 / (3 * burst.samples_per_symbol))
        )
    roll_off = burst.pulse.roll_off
    # A hair off the grid avoids the removable poles.
    at = slots + 1e-7
    shape = (
        np.sin(np.pi * at * (1 - roll_off))
        + 4 * roll_off * at * np.cos(np.pi * at * (1 + roll_off))
    ) / (np.pi * at * (1 - (4 * roll_off * at) ** 2))
    return np.asarray(
        np.where(np.abs(slots) < burst.pulse.span_slots / 2, shape, 0.0)
        / np.sqrt(burst.samples_per_symbol)
    )
