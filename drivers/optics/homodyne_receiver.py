"""One detector's homodyne records: from volts around 0 Hz to one quadrature per slot.

Light and oscillator have one frequency, so that a slot's value is the real number

    u = sum_j v_j p_j

with the unit-energy pulse p. A coherent amplitude a (in the root of photons, at the detector) shows
as 2 a cos(phase) in units of the vacuum's standard deviation: twice the signal-to-noise ratio of a
quadrature of a heterodyne record, which shares the light with the other one (Yuen and Shapiro, IEEE
Trans. Inf. Theory 26, 78 (1980)).

What an unbalanced detector lets through of the oscillator's power lies in the same band, and so
does light that leaks through the modulator at its null. At a constant oscillator that is one level,
found on the vacuum slots. Under a shaped oscillator it follows the levels, which the client knows:
it is fitted on all dim slots of the record and taken off; see `common_mode` for the terms. Data are
sent with known signs that look random (`scrambling`): the fit cannot take them for the oscillator's
doing, and what it leaves behind adds to a frame's sum with signs of both kinds.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import max_len_seq

from drivers.errors import OpticsError, TraceError
from drivers.instruments import Trace
from drivers.optics.burst import BurstLayout
from drivers.optics.common_mode import own_and_steps
from drivers.optics.echo import Echo, measure_echo, remove_echo
from drivers.optics.record_reader import RecordReader
from drivers.optics.shot_noise import ShotNoise
from drivers.optics.slot_filter import SlotTiming, filter_all_slots

__all__ = [
    "HomodyneReader",
    "HomodyneSlots",
    "Pilots",
    "around_zero",
    "homodyne_slots",
    "measure_pilots",
    "scrambling",
    "take_echo",
    "vacuum_noise",
]

_SIGNIFICANCE: Final = 5.0
# Below this wander of the slots against the samples, over a burst, one set of terms does.
_STEADY_SAMPLES: Final = 0.1
_SCRAMBLING_BITS: Final = 17


@dataclass(frozen=True, kw_only=True)
class Pilots:
    """Pilots and preamble of one record.

    Attributes:
        mean_v: Mean with the known signs taken off: amplitude times cos(phase), in V.
        uncertainty_v: Its standard deviation.
        level_v: What all slots have in common, in V.
        noise_v2: Variance of a slot's noise.
    """

    mean_v: float
    uncertainty_v: float
    level_v: float
    noise_v2: float


@dataclass(frozen=True, kw_only=True, eq=False)
class HomodyneSlots:
    """One quadrature of a burst, oscillator's common mode taken off.

    Attributes:
        data_v: Value of each data symbol in V, its known sign taken off, float64.
        shot_noise: The scale, in squared volts.
        pilots: What pilots and preamble say.
    """

    data_v: NDArray[np.float64]
    shot_noise: ShotNoise
    pilots: Pilots


def homodyne_slots(
    volts: NDArray[np.float32], layout: BurstLayout, timing: SlotTiming
) -> NDArray[np.float64]:
    """Value of every slot between the guards, in V, shape (slots,).

    Args:
        volts: Record, shape (samples,).
        layout: The burst.
        timing: Where its slots lie.

    Raises:
        OpticsError: The record does not hold the burst.
    """
    guard = layout.format.guard_slots
    # The mean is not rounded to single precision with the signal on it.
    level = float(np.mean(volts, dtype=np.float64))
    record = around_zero(volts, level)
    values = filter_all_slots(
        record, timing, layout.format.pulse, 0.0, guard, layout.total_slots - guard
    )
    unbalance = level * float(layout.format.pulse.taps.sum(dtype=np.float64))
    return values.real.astype(np.float64) + unbalance


def measure_pilots(slots: NDArray[np.float64], layout: BurstLayout) -> Pilots:
    """Least squares of a level and the pilots' mean on preamble, pilots and vacuum.

    Args:
        slots: Of `homodyne_slots`.
        layout: The burst.
    """
    guard = layout.format.guard_slots
    known = np.concatenate((layout.preamble, layout.pilots, layout.vacuum)) - guard
    signs = np.concatenate(
        (layout.format.preamble_signs, layout.pilot_signs, np.zeros(layout.vacuum.size))
    ).astype(np.float64)
    terms = np.stack((np.ones_like(signs), signs), axis=1)
    inverse = np.linalg.inv(terms.T @ terms)
    level, mean = inverse @ (terms.T @ slots[known])
    left = slots[layout.vacuum - guard]
    noise = float(np.mean((left - level) ** 2))
    return Pilots(
        mean_v=float(mean),
        uncertainty_v=float(np.sqrt(noise * inverse[1, 1])),
        level_v=float(level),
        noise_v2=noise,
    )


class HomodyneReader(RecordReader):
    """Records and demodulates homodyne bursts of one detector; see `RecordReader`."""

    @property
    def calibrated_timing(self) -> SlotTiming:
        """Where the slots of a burst must lie."""
        burst, expected = self._frames.format, self._expected
        return SlotTiming(
            start=expected.delay_s * burst.sample_rate_hz,
            samples_per_slot=burst.samples_per_symbol * (1 + expected.clock_offset),
        )

    @property
    def expected_pilot_v(self) -> float:
        """Calibrated amplitude of a pilot in phase with the oscillator, in V."""
        return self._expected.pilot_amplitude_snu * float(self._expected.shot_noise_v2**0.5)

    def probe(self, trace: Trace, layout: BurstLayout) -> Pilots:
        """Pilots of a burst under a constant oscillator, where the burst was calibrated to lie.

        Raises:
            TraceError: the oscillator is lost.
        """
        slots = homodyne_slots(trace.volts[0], layout, self.calibrated_timing)
        found = measure_pilots(slots, layout)
        self._noise(slots[layout.vacuum - layout.format.guard_slots])
        return found

    def quadrature(
        self,
        trace: Trace,
        layout: BurstLayout,
        levels: NDArray[np.float32] | None = None,
        *,
        bright: bool = True,
    ) -> HomodyneSlots:
        """The data of a burst.

        Args:
            trace: of `fetch`.
            layout: of the burst.
            levels: oscillator level of every data symbol; a constant oscillator if left out.
            bright: the pilots are in this quadrature, so that their echo can be seen and the
                burst's place be checked.

        Raises:
            TraceError: oscillator or shot noise are not as they must be.
            SynchronisationError: no burst, or not where and as fast as it must be.
        """
        volts, guard = trace.volts[0], layout.format.guard_slots
        timing = self.calibrated_timing
        if bright:
            timing = self._found_timing(volts, layout)
        slots = homodyne_slots(volts, layout, timing)
        if levels is None:
            # Of vacuum alone: what leaks through the modulator at its null is less in bright slots.
            slots -= float(slots[layout.vacuum - guard].mean())
        else:
            slots -= _oscillators_part(slots, layout, levels, timing)
        pilots = measure_pilots(slots, layout)
        if bright:
            take_echo(slots, layout)
        noise = self._noise(slots[layout.vacuum - guard])
        self.scale.check(noise)
        return HomodyneSlots(
            data_v=slots[layout.data - guard] * scrambling(layout),
            shot_noise=noise,
            pilots=pilots,
        )

    def _found_timing(self, volts: NDArray[np.float32], layout: BurstLayout) -> SlotTiming:
        """Where the preamble and the pilots say that the slots lie, checked."""
        slots = homodyne_slots(volts, layout, self.calibrated_timing)
        level = measure_pilots(slots, layout).level_v
        record = around_zero(volts, level / float(layout.format.pulse.taps.sum(dtype=np.float64)))
        found = self._synchronised(record, layout)
        self._check_begin(found, layout)
        return found.timing

    def _noise(self, vacuum: NDArray[np.float64]) -> ShotNoise:
        return vacuum_noise(vacuum, self._expected.electronic_noise_v2, self.name)


def around_zero(volts: NDArray[np.float32], level_v: float) -> NDArray[np.complex64]:
    """A record without its level, as the search for a burst around 0 Hz takes it.

    Args:
        volts: Record, shape (samples,).
        level_v: What all samples have in common, in V.
    """
    return (volts - np.float32(level_v)).astype(np.complex64)


def vacuum_noise(
    vacuum: NDArray[np.float64], electronic_noise_v2: float, instrument: str
) -> ShotNoise:
    """N0 of a record's vacuum slots; one quadrature gives half as many values as two.

    Args:
        vacuum: Value of the vacuum slots in V.
        electronic_noise_v2: Calibrated variance without oscillator.
        instrument: Name for messages.

    Raises:
        OpticsError: Fewer than two slots.
        TraceError: Vacuum has fallen to the level of the electronic noise.
    """
    if vacuum.size < 2:
        raise OpticsError(
            f"{instrument}: {vacuum.size} vacuum slots; at least 2 are needed for a variance: "
            "lengthen the burst"
        )
    level = float(np.var(vacuum, ddof=1))
    uncertainty = level * float(np.sqrt(2 / (vacuum.size - 1)))
    shot = level - electronic_noise_v2
    if not shot > _SIGNIFICANCE * uncertainty:
        raise TraceError(
            f"{instrument}: oscillator lost: vacuum noise is {level:.4g} V^2 and electronic noise "
            f"{electronic_noise_v2:.4g} V^2 (uncertainty of the difference {uncertainty:.2g} V^2 "
            f"over {vacuum.size} vacuum slots): check the oscillator's power and its path"
        )
    return ShotNoise(
        vacuum=level,
        vacuum_parts=(level, level),
        electronic=electronic_noise_v2,
        shot=shot,
        uncertainty=uncertainty,
        vacuum_slots=vacuum.size,
        leak=complex(float(np.mean(vacuum)) / float(np.sqrt(shot))),
    )


def take_echo(slots: NDArray[np.float64], layout: BurstLayout) -> Echo:
    """Take the echo of every slot off the next, in place, where the pilots show one.

    Args:
        slots: Of `homodyne_slots` without their level, with the pilots in this quadrature.
        layout: The burst.
    """
    guard = layout.format.guard_slots
    values = slots.astype(np.complex64)
    pilots = layout.pilots[:-1] - guard
    echo = measure_echo(
        values[layout.preamble - guard],
        layout.format.preamble_signs,
        values[pilots],
        values[pilots + 1],
    )
    if echo.is_significant:
        before = values.copy()
        remove_echo(values, echo)
        slots += (values - before).real
    return echo


def scrambling(layout: BurstLayout) -> NDArray[np.float32]:
    """Known sign of every data symbol, +-1, shape (data_symbols,); the same for both parties."""
    return np.resize(_scrambling_signs(), layout.data_symbols)


@cache
def _scrambling_signs() -> NDArray[np.float32]:
    """A maximal-length sequence (Golomb, Shift Register Sequences)."""
    return (1.0 - 2.0 * max_len_seq(_SCRAMBLING_BITS)[0]).astype(np.float32)


def _oscillators_part(
    slots: NDArray[np.float64],
    layout: BurstLayout,
    data_levels: NDArray[np.float32],
    timing: SlotTiming,
) -> NDArray[np.float64]:
    """What the oscillator and the modulators' leaks leave in every slot, fitted on dim ones."""
    guard = layout.format.guard_slots
    levels = np.ones(layout.total_slots, dtype=np.float32)
    levels[layout.data] = data_levels
    levels[layout.dark] = 0.0
    wander = abs(timing.samples_per_slot - layout.format.samples_per_symbol) * layout.total_slots
    every = np.arange(guard, layout.total_slots - guard)
    own = levels[every].astype(np.float64)
    # Light that leaks beats with the level; a modulator beside its null makes unequal powers of
    # levels of either sign.
    leaks = np.stack((own, own * np.sqrt(np.maximum(0.0, 1 - own**2))))
    steps = own_and_steps(levels, every, timing, moving=wander > _STEADY_SAMPLES)
    terms = np.concatenate((leaks, steps))
    dim = np.concatenate((layout.data, layout.vacuum)) - guard
    gram = terms[:, dim] @ terms[:, dim].T
    weights = np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ (terms[:, dim] @ slots[dim])
    return np.asarray(weights @ terms)
