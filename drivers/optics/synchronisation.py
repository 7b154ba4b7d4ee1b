"""Synchronisation: where a burst lies in a record, at which frequency, on which clock.

Owns the order of the steps from the search for the preamble (`preamble_search`) to the timing of
the slots and the clock offset (`slot_timing`), and the reasons to refuse a record.

Timing. The derivative u' of the matched filter by its delay gives the timing error of a slot as
Re(conj(u) u') / (|u|^2 B), B the energy of the pulse's slope, blind to the phase of the slot. Over
the preamble it gives the start, over preamble and pilots the clock offset, in spans that double so
that the drift within a span never leaves the filter's range (Mengali and D'Andrea, Synchronization
Techniques for Digital Receivers, chapters 7 and 8).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.errors import SynchronisationError
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.preamble_search import PreamblePeak, detection_threshold, find_peak
from drivers.optics.slot_filter import Record, SlotTiming, filter_slots
from drivers.optics.slot_timing import (
    check_inside,
    check_pilots,
    coherent_power,
    follow_clock,
    timing_errors,
)

__all__ = ["SearchSettings", "Synchronisation", "synchronise"]

_REFINING_LAGS: Final = (4, 16)


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Limits of the search.

    Attributes:
        false_alarm: Highest probability of finding a preamble in a record of pure noise.
        frequency_limit_hz: Largest offset from the nominal intermediate frequency.
        clock_limit: Largest clock offset, relative.
        slip_samples: A step of the timing above this is a slip.
    """

    false_alarm: float = 1e-6
    frequency_limit_hz: float = 20e6
    clock_limit: float = 50e-6
    slip_samples: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Synchronisation:
    """Where the burst is.

    Attributes:
        timing: Start and length of the slots in samples of the record.
        clock_offset: Relative excess of a slot's length over the nominal.
        clock_uncertainty: Its standard deviation.
        cycles_per_sample: Frequency of light against oscillator, offset included.
        frequency_offset_hz: Offset from the nominal intermediate frequency.
        statistic: T at the preamble.
        threshold: What T had to reach.
        sidelobe: Largest T elsewhere in the searched range.
        timing_uncertainty_samples: Standard deviation of the start.
        largest_step_samples: Largest local step of the timing over the burst.
        slip_resolved: Whether the pilots are bright and many enough to show a slip.
    """

    timing: SlotTiming
    clock_offset: float
    clock_uncertainty: float
    cycles_per_sample: float
    frequency_offset_hz: float
    statistic: float
    threshold: float
    sidelobe: float
    timing_uncertainty_samples: float
    largest_step_samples: float
    slip_resolved: bool


def synchronise(
    record: Record,
    layout: BurstLayout,
    *,
    search: tuple[int, int] | None = None,
    settings: SearchSettings | None = None,
    instrument: str = "receiver",
) -> Synchronisation:
    """Finds a burst in a record and measures its timing, clock and frequency.

    Args:
        record: Samples in volts, shape (samples,), float32 or complex64.
        layout: The burst that was played.
        search: First and last sample at which the preamble may begin; the whole record if left out.
        settings: Limits.
        instrument: Name for messages.

    Returns:
        Timing, clock offset and frequency.

    Raises:
        SynchronisationError: The record is too short, holds no light, no preamble, two preambles,
            one outside the search window, a slip, or a clock or frequency beyond its limit.
    """
    limits = settings or SearchSettings()
    burst = layout.format
    peak, threshold = _detected(record, layout, search, limits, instrument)
    cycles = (burst.if_cycles_per_symbol + peak.turn) / burst.samples_per_symbol
    timing = SlotTiming(
        start=float(peak.sample - burst.guard_slots * burst.samples_per_symbol),
        samples_per_slot=float(burst.samples_per_symbol),
    )
    timing = _centre(record, layout, timing, cycles)
    cycles = _refined_frequency(record, layout, timing, cycles)
    offset_hz = _checked_offset(cycles, burst, limits, instrument)
    timing = _centre(record, layout, timing, cycles)
    _, share = coherent_power(record, layout, timing, cycles)
    clock = follow_clock(
        record,
        layout,
        timing,
        cycles,
        share=share,
        clock_limit=limits.clock_limit,
        instrument=instrument,
    )
    stop = layout.total_slots - burst.guard_slots
    check_inside(record, layout, clock.timing, stop, instrument)
    pilots = check_pilots(
        record,
        layout,
        clock.timing,
        cycles,
        share=share,
        slip_limit_samples=limits.slip_samples,
        instrument=instrument,
    )
    return Synchronisation(
        timing=clock.timing,
        clock_offset=clock.timing.samples_per_slot / burst.samples_per_symbol - 1,
        clock_uncertainty=clock.clock_uncertainty,
        cycles_per_sample=cycles,
        frequency_offset_hz=offset_hz,
        statistic=peak.statistic,
        threshold=threshold,
        sidelobe=peak.sidelobe,
        timing_uncertainty_samples=clock.start_uncertainty,
        largest_step_samples=pilots.largest_step_samples,
        slip_resolved=pilots.slip_resolved,
    )


def _detected(
    record: Record,
    layout: BurstLayout,
    search: tuple[int, int] | None,
    limits: SearchSettings,
    instrument: str,
) -> tuple[PreamblePeak, float]:
    """The one preamble of the record and the threshold that it passed."""
    burst = layout.format
    cycles = burst.if_cycles_per_symbol / burst.samples_per_symbol
    whole = _search_range(record, layout, instrument)
    low, high = whole if search is None else _narrowed(search, whole, instrument)
    threshold = detection_threshold(high - low + 1, limits.false_alarm)
    peak = find_peak(record, burst, cycles, low, high, threshold)
    if peak.statistic < threshold:
        raise _not_found(record, burst, cycles, peak, threshold, (low, high), whole, instrument)
    if peak.sidelobe > max(threshold, 0.25 * peak.statistic):
        raise SynchronisationError(
            f"{instrument}: two preambles found (statistic {peak.statistic:.0f} and "
            f"{peak.sidelobe:.0f}, threshold {threshold:.0f}); one burst per record is allowed: "
            "shorten the record or narrow the search window"
        )
    return peak, threshold


def _checked_offset(
    cycles: float, burst: BurstFormat, limits: SearchSettings, instrument: str
) -> float:
    """Offset from the nominal intermediate frequency in hertz, refused beyond its limit."""
    turns = cycles * burst.samples_per_symbol - burst.if_cycles_per_symbol
    offset_hz = turns * burst.symbol_rate_hz
    if abs(offset_hz) > limits.frequency_limit_hz:
        raise SynchronisationError(
            f"{instrument}: light and oscillator differ by {offset_hz / 1e6:.2f} MHz from the "
            f"nominal intermediate frequency; the limit is {limits.frequency_limit_hz / 1e6:g} "
            "MHz: tune the oscillator laser"
        )
    return offset_hz


def _search_range(record: Record, layout: BurstLayout, instrument: str) -> tuple[int, int]:
    """First and last sample at which the preamble may begin in the whole record."""
    burst = layout.format
    after = (
        burst.preamble_slots + layout.body_slots + burst.dark_slots
    ) * burst.samples_per_symbol + burst.pulse.lead
    low, high = burst.pulse.lead, record.size - after
    if high < low:
        raise SynchronisationError(
            f"{instrument}: the record has {record.size} samples; the burst needs "
            f"{low + after} between its guards: record longer"
        )
    return low, high


def _narrowed(search: tuple[int, int], whole: tuple[int, int], instrument: str) -> tuple[int, int]:
    low, high = max(search[0], whole[0]), min(search[1], whole[1])
    if high < low:
        raise SynchronisationError(
            f"{instrument}: the search window, samples {search[0]} to {search[1]}, leaves no room "
            f"for the burst in the record, where the preamble may begin at {whole[0]} to "
            f"{whole[1]}: correct the window or record longer"
        )
    return low, high


def _not_found(
    record: Record,
    burst: BurstFormat,
    cycles: float,
    peak: PreamblePeak,
    threshold: float,
    window: tuple[int, int],
    whole: tuple[int, int],
    instrument: str,
) -> SynchronisationError:
    """The error that says why no preamble was accepted."""
    if window != whole:
        wide = threshold + 2 * float(np.log(whole[1] - whole[0] + 1))
        other = find_peak(record, burst, cycles, *whole, wide)
        if other.statistic >= wide:
            return SynchronisationError(
                f"{instrument}: the preamble begins at sample {other.sample}, outside the search "
                f"window of samples {window[0]} to {window[1]}: measure the delay again"
            )
    if peak.brightness < 4.0:
        return SynchronisationError(
            f"{instrument}: no light: the record is noise of one level (statistic "
            f"{peak.statistic:.1f}, threshold {threshold:.1f}): check shutter, signal switch, "
            "oscillator and trigger"
        )
    return SynchronisationError(
        f"{instrument}: the preamble's peak is too low: statistic {peak.statistic:.1f}, threshold "
        f"{threshold:.1f}: check that both sides use the same burst format, or raise the pilot "
        "power"
    )


def _centre(record: Record, layout: BurstLayout, timing: SlotTiming, cycles: float) -> SlotTiming:
    """Timing moved so that the preamble's mean timing error is zero."""
    pulse = layout.format.pulse
    for _ in range(8):
        _, share = coherent_power(record, layout, timing, cycles)
        errors = timing_errors(record, timing, pulse, cycles, layout.preamble, share)
        step = float(np.clip(np.mean(errors), -1.0, 1.0))
        timing = SlotTiming(start=timing.start + step, samples_per_slot=timing.samples_per_slot)
        if abs(step) < 1e-3:
            break
    return timing


def _refined_frequency(
    record: Record, layout: BurstLayout, timing: SlotTiming, cycles: float
) -> float:
    """Frequency from the preamble's phase increments over 1, 4 and 16 slots."""
    burst = layout.format
    values, _, _ = filter_slots(record, timing, burst.pulse, cycles, layout.preamble)
    phasors = values * burst.preamble_signs
    slots = np.arange(phasors.size)
    turn = 0.0
    for lag in (1, *_REFINING_LAGS):
        still = phasors * np.exp(-2j * np.pi * turn * slots)
        turn += float(np.angle(np.sum(still[lag:] * np.conj(still[:-lag])))) / (2 * np.pi * lag)
    return cycles + turn / timing.samples_per_slot
