"""One detector's records: how they are asked for, and everything that is checked of them.

Owns the way from an armed digitiser to quadratures that can be trusted, for either party: is it a
sound trace, is the oscillator there, does the burst lie where and run as fast as calibrated, are
pilots and shot noise what they must be. Nothing is returned of a record that fails.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import LimitError, ReadbackError, SynchronisationError, TraceError
from drivers.instruments import Digitiser, Trace, Trigger
from drivers.optics.bench_frames import BenchFrames, record_samples, search_range
from drivers.optics.burst import BurstLayout
from drivers.optics.pilot_budget import LEAST_POWER_SNU, missed_preamble_probability
from drivers.optics.receiver import Demodulated, Receiver, ReceiverSettings
from drivers.optics.running_scale import RunningScale
from drivers.optics.slot_filter import Record, SlotTiming, filter_slots
from drivers.optics.synchronisation import SearchSettings, Synchronisation, synchronise
from drivers.optics.trace_checks import OFFSET_BLOCKS, TraceChecker

__all__ = ["CLOCK_LIMIT", "LARGEST_CLOCK_OFFSET", "RecordExpectation", "RecordReader"]

CLOCK_LIMIT: Final = 5e-6
"""Largest difference of the measured clock offset from the calibrated one."""
LARGEST_CLOCK_OFFSET: Final = 60e-6
"""Largest clock offset that is searched for; that between free converters is below 50 ppm."""

_OFFSET_LIMIT: Final = 0.02
_LARGEST_MISSED: Final = 1e-3
_LARGEST_PHASE_VARIANCE: Final = 0.05
_HARMLESS_PHASE_VARIANCE: Final = 4e-3
_PHASE_MARGIN: Final = 2.0
_DARK_SHARE: Final = 0.05
_CLIPPED_LIMIT: Final = 4
_STEP_TOLERANCE: Final = 0.01
_SIGNIFICANCE: Final = 5.0
_OSCILLATOR_SAMPLES: Final = 512
# The highest of thousands of variances over 512 samples lies five standard deviations, or a third,
# above the mean.
_OSCILLATOR_SHARE: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class RecordExpectation:
    """What a detector's records must show.

    Args:
        delay_s: from the trigger to the burst's first slot in the record.
        clock_offset: rate of the slots against the digitiser's clock, minus 1.
        alignment_slots: largest deviation of the burst's begin from `delay_s`, in slots.
        range_v: of the digitiser.
        electronic_noise_v2: variance of a matched-filter output without light.
        shot_noise_v2: variance that the oscillator adds at full level.
        phase_noise_rad: root-mean-square phase error that the tracking leaves, 0 if not calibrated.
        pilot_amplitude_snu: mean of a pilot slot.
    """

    delay_s: float
    clock_offset: float
    alignment_slots: float
    range_v: float
    electronic_noise_v2: float
    shot_noise_v2: float
    phase_noise_rad: float
    pilot_amplitude_snu: float


class RecordReader:
    """Records and demodulates the bursts of one detector.

    Attributes:
        scale: the detector's shot-noise unit.

    Args:
        digitiser: records the detector with channel 0.
        frames: what both ends agreed on.
        expectation: what its records must show.

    Raises:
        LimitError: the pilots that arrive are too dim for the burst to be found.
    """

    def __init__(
        self, digitiser: Digitiser, frames: BenchFrames, expectation: RecordExpectation
    ) -> None:
        self._digitiser = digitiser
        self._frames = frames
        self._expected = expectation
        self._check_pilots()
        self._checker = TraceChecker(digitiser.name, offset_limit=_OFFSET_LIMIT)
        self._receiver = Receiver(
            frames.format,
            instrument=digitiser.name,
            settings=ReceiverSettings(
                search=SearchSettings(clock_limit=LARGEST_CLOCK_OFFSET),
                phase_variance_limit_rad2=_phase_limit(expectation.phase_noise_rad),
            ),
        )
        self.scale = RunningScale(expectation.shot_noise_v2, instrument=digitiser.name)

    @property
    def name(self) -> str:
        """Name of the digitiser, for messages."""
        return self._digitiser.name

    @property
    def range_v(self) -> float:
        """Range of the digitiser."""
        return self._expected.range_v

    @property
    def step_v(self) -> float:
        """Width of a code of the digitiser."""
        return math.ldexp(self.range_v, 1 - self._digitiser.limits.bits)

    def arm(self, layout: BurstLayout) -> None:
        """Make the digitiser wait for a burst's trigger.

        Raises:
            ReadbackError: it records with another range.
        """
        wanted = self._expected.range_v
        applied = self._digitiser.configure(
            layout.format.sample_rate_hz, record_samples(layout, self._expected.delay_s), wanted
        )
        if not abs(applied.range_v / wanted - 1) <= 1e-6:
            raise ReadbackError(
                f"{self._digitiser.name}: range is {applied.range_v:g} V, {wanted:g} V was agreed; "
                "set the bench's range to one that the digitiser has"
            )
        self._digitiser.arm(Trigger.EXTERNAL)

    def fetch(self, layout: BurstLayout, levels: NDArray[np.float32] | None = None) -> Trace:
        """Wait for the record of a burst, take it and look at it.

        Args:
            layout: of the burst.
            levels: oscillator level of every data symbol; full level if left out.

        Raises:
            InstrumentError: no record came in time.
            TraceError: it cannot be trusted.
        """
        self._digitiser.wait(self._frames.timeout_s(layout))
        trace = self._digitiser.fetch()
        self._check_trace(trace, layout, levels)
        return trace

    def demodulate(
        self, trace: Trace, layout: BurstLayout, levels: NDArray[np.float32] | None = None
    ) -> Demodulated:
        """Quadratures of a burst, in units of its own vacuum slots.

        Args:
            trace: of `fetch`.
            layout: of the burst.
            levels: as there.

        Raises:
            TraceError: the oscillator, the pilots or the shot noise are not as they
                must be.
            SynchronisationError: no burst, or not where and as fast as it must be.
            PhaseError: the phase cannot be followed.
        """
        expected = self._expected
        self._check_oscillator(trace.volts[0])
        try:
            found = self._receiver.process(
                trace.volts[0],
                layout,
                electronic_noise=expected.electronic_noise_v2,
                expected_pilot=expected.pilot_amplitude_snu,
                oscillator_levels=levels,
                search=search_range(layout, expected.delay_s),
            )
        except SynchronisationError as error:
            self._name_darkness(trace.volts[0], layout, error)
            raise
        self._check_timing(found, layout)
        self.scale.check(found.shot_noise)
        return found

    def _synchronised(self, record: Record, layout: BurstLayout) -> Synchronisation:
        """Where a burst lies in a record."""
        return synchronise(
            record,
            layout,
            search=search_range(layout, self._expected.delay_s),
            settings=self._receiver.settings.search,
            instrument=self._digitiser.name,
        )

    def _check_pilots(self) -> None:
        """Without bright enough pilots there is no use in sending anything."""
        expected, burst = self._expected, self._frames.format
        noise = 1 + expected.electronic_noise_v2 / expected.shot_noise_v2
        power = expected.pilot_amplitude_snu**2
        missed = missed_preamble_probability(
            power, noise_snu=noise, preamble_slots=burst.preamble_slots
        )
        if not missed <= _LARGEST_MISSED:
            photons = self._frames.pilot_photons * LEAST_POWER_SNU * noise / power
            raise LimitError(
                f"{self._digitiser.name}: pilots are too dim: {self._frames.pilot_photons:g} "
                f"photons at launch arrive as {power:.3g} shot-noise units, with which one burst "
                f"in {1 / missed:.3g} is missed; the limit is one in {1 / _LARGEST_MISSED:g}: set "
                f"pilot_photons to at least {photons:.3g}"
            )

    def _check_trace(
        self, trace: Trace, layout: BurstLayout, levels: NDArray[np.float32] | None
    ) -> None:
        if not abs(trace.step_v / self.step_v - 1) <= _STEP_TOLERANCE:
            raise TraceError(
                f"{self._digitiser.name}: a code is {trace.step_v:.4g} V wide, {self.step_v:.4g} V "
                f"is expected of {self._digitiser.limits.bits} bits; the resolution was changed: "
                "set it back"
            )
        if trace.clipped > _CLIPPED_LIMIT:
            raise TraceError(
                f"{self._digitiser.name}: clipped: the digitiser counts {trace.clipped} samples "
                f"beyond its range of {trace.range_v:g} V; the limit is {_CLIPPED_LIMIT}: use a "
                "larger range or less light"
            )
        volts = trace.volts[0]
        self._checker.check(
            volts,
            range_v=trace.range_v,
            step_v=trace.step_v,
            samples=record_samples(layout, self._expected.delay_s),
            oscillator_power=None if levels is None else self._power(volts.size, layout, levels),
        )

    def _power(
        self, samples: int, layout: BurstLayout, levels: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Mean of the shaped oscillator's power in each part of a trace; dark around the burst."""
        power = np.ones(layout.total_slots)
        power[layout.data] = np.square(levels, dtype=np.float64)
        power[layout.dark] = 0.0
        burst = layout.format
        begin = self._expected.delay_s * burst.symbol_rate_hz
        edges = np.arange(OFFSET_BLOCKS + 1) * (samples // OFFSET_BLOCKS) / burst.samples_per_symbol
        energy = np.concatenate(([0.0], np.cumsum(power)))
        inside = np.interp(edges - begin, np.arange(energy.size), energy)
        return np.asarray(np.diff(inside))

    def _check_oscillator(self, volts: NDArray[np.float32]) -> None:
        """Without oscillator the record is electronic noise from end to end."""
        expected = self._expected
        parts = volts[: volts.size // _OSCILLATOR_SAMPLES * _OSCILLATOR_SAMPLES]
        noisiest = float(parts.reshape(-1, _OSCILLATOR_SAMPLES).var(axis=1).max())
        dark = expected.electronic_noise_v2
        limit = (1 + _OSCILLATOR_SHARE) * dark + _OSCILLATOR_SHARE * expected.shot_noise_v2
        if not noisiest > limit:
            raise TraceError(
                f"{self._digitiser.name}: oscillator lost: the record's noise is at most "
                f"{noisiest:.3g} V^2, electronic noise is {dark:.3g} V^2 and the oscillator's "
                f"{expected.shot_noise_v2:.3g} V^2; the limit is {limit:.3g} V^2: check the "
                "oscillator's laser, its modulator and the generator that drives it"
            )

    def _name_darkness(
        self, volts: NDArray[np.float32], layout: BurstLayout, error: SynchronisationError
    ) -> None:
        """Say so where the preamble was not found because its slots hold no light."""
        expected, burst = self._expected, layout.format
        start = expected.delay_s * burst.sample_rate_hz
        timing = SlotTiming(
            start=start, samples_per_slot=burst.samples_per_symbol * (1 + expected.clock_offset)
        )
        cycles = burst.if_cycles_per_symbol / burst.samples_per_symbol
        values, _, _ = filter_slots(volts, timing, burst.pulse, cycles, layout.preamble)
        energy = float(np.mean(np.abs(values) ** 2)) / expected.shot_noise_v2
        noise = 2 * (1 + expected.electronic_noise_v2 / expected.shot_noise_v2)
        light = expected.pilot_amplitude_snu**2
        if energy - noise < _DARK_SHARE * light:
            raise SynchronisationError(
                f"{self._digitiser.name}: no light where the preamble must lie: its slots hold "
                f"{energy:.3g} shot-noise units, noise gives {noise:.3g} and the pilots "
                f"{light:.3g}; the limit is {_DARK_SHARE * 100:g} % of these: check generator, "
                "shutter, fibre, switches, polarisation and the lasers' frequencies"
            ) from error

    def _check_timing(self, found: Demodulated, layout: BurstLayout) -> None:
        """The burst must begin where calibrated and run as fast: nothing is aligned in silence."""
        self._check_begin(found.synchronisation, layout)

    def _check_begin(self, timing: Synchronisation, layout: BurstLayout) -> None:
        expected, burst = self._expected, layout.format
        begin = timing.timing.start - expected.delay_s * burst.sample_rate_hz
        stretch = timing.clock_offset - expected.clock_offset
        allowed = CLOCK_LIMIT + _SIGNIFICANCE * timing.clock_uncertainty
        if not abs(stretch) <= allowed:
            raise SynchronisationError(
                f"{self._digitiser.name}: the clock offset is {timing.clock_offset * 1e6:.2f} ppm, "
                f"{expected.clock_offset * 1e6:.2f} ppm was calibrated; the limit is a difference "
                f"of {allowed * 1e6:.2f} ppm: check the 10 MHz reference, then calibrate the clock"
            )
        # A dim preamble does not know its begin to a hundredth of a slot.
        sure = _SIGNIFICANCE * timing.timing_uncertainty_samples
        edge = begin + stretch * layout.total_samples
        worst = max(abs(begin), abs(edge)) - sure
        if not worst / burst.samples_per_symbol <= expected.alignment_slots:
            raise SynchronisationError(
                f"{self._digitiser.name}: the burst lies {begin / burst.samples_per_symbol:+.3f} "
                f"slots from its calibrated place at its begin and "
                f"{edge / burst.samples_per_symbol:+.3f} at its end; the limit is "
                f"{expected.alignment_slots:g}: check the trigger and calibrate the delays"
            )


def _phase_limit(calibrated_rad: float) -> float:
    """Largest variance of the phase error: that of twice the calibrated error, within bounds."""
    if not calibrated_rad:
        return _LARGEST_PHASE_VARIANCE
    alarm = max((_PHASE_MARGIN * calibrated_rad) ** 2, _HARMLESS_PHASE_VARIANCE)
    return min(_LARGEST_PHASE_VARIANCE, alarm)
