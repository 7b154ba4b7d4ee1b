"""Timing over a burst: the clock offset, and slips.

Owns what is measured on the pilots after the preamble was found: the line that the slots' starts
follow, and the proof that nothing was lost or repeated on the way. Formulas: `synchronisation`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import SynchronisationError
from drivers.optics.burst import BurstLayout
from drivers.optics.pulses import PulseShape
from drivers.optics.slot_filter import Record, SlotTiming, filter_slots

__all__ = [
    "ClockFit",
    "PilotCheck",
    "check_inside",
    "check_pilots",
    "coherent_power",
    "follow_clock",
    "timing_errors",
]

_SLOTS_PER_FIT: Final = 1024
_LAST_FIT_SLOTS: Final = 16_384
_CHUNK: Final = 16_384
_LEAST_GROUP: Final = 16
_SIGNIFICANCE: Final = 7.0


@dataclass(frozen=True, kw_only=True)
class ClockFit:
    """The line that the slots' starts follow.

    Attributes:
        timing: Start and length of a slot.
        clock_uncertainty: Standard deviation of the relative clock offset.
        start_uncertainty: Standard deviation of the start, in samples.
    """

    timing: SlotTiming
    clock_uncertainty: float
    start_uncertainty: float


@dataclass(frozen=True, kw_only=True)
class PilotCheck:
    """What the pilots say about the burst as a whole.

    Attributes:
        largest_step_samples: Largest local step of the timing.
        slip_resolved: Whether the pilots are bright and many enough to show a slip.
    """

    largest_step_samples: float
    slip_resolved: bool


def timing_errors(
    record: Record,
    timing: SlotTiming,
    pulse: PulseShape,
    cycles_per_sample: float,
    slots: NDArray[np.intp],
    share: float,
) -> NDArray[np.float64]:
    """How much later than `timing` each slot lies, in samples, whatever its phase.

    Args:
        record: Samples in volts.
        timing: Assumed timing.
        pulse: Shape of a symbol.
        cycles_per_sample: Frequency of light against oscillator.
        slots: Bright slots.
        share: Share of the light in the slots' energy, the rest being noise.

    Returns:
        One error per slot, weighted by its energy so that their mean is the maximum-likelihood
        estimate.
    """
    values, slopes, later = filter_slots(
        record, timing, pulse, cycles_per_sample, slots, with_slope=True
    )
    return _errors(values, slopes, pulse, share) + later


def _errors(
    values: NDArray[np.complex64], slopes: NDArray[np.complex64], pulse: PulseShape, share: float
) -> NDArray[np.float64]:
    energy = float(np.mean(np.abs(values.astype(np.complex128)) ** 2))
    discriminator = (np.conj(values) * slopes).real.astype(np.float64)
    return discriminator / (max(energy * share, 1e-300) * pulse.timing_curvature)


def coherent_power(
    record: Record, layout: BurstLayout, timing: SlotTiming, cycles_per_sample: float
) -> tuple[float, float]:
    """Power of the light in the preamble's slots, free of noise, and its share of all.

    Args:
        record: Samples in volts.
        layout: The burst.
        timing: Timing that is right at the preamble.
        cycles_per_sample: Frequency of light against oscillator.

    Returns:
        |mean u_(k+1) conj(u_k)| with the signs taken off, in squared volts, and its ratio to the
        mean of |u|^2, at most 1.
    """
    values, _, _ = filter_slots(
        record, timing, layout.format.pulse, cycles_per_sample, layout.preamble
    )
    values = values * layout.format.preamble_signs
    power = float(np.abs(np.mean(values[1:] * np.conj(values[:-1]))))
    return power, min(power / float(np.mean(np.abs(values) ** 2)), 1.0)


def follow_clock(
    record: Record,
    layout: BurstLayout,
    timing: SlotTiming,
    cycles_per_sample: float,
    *,
    share: float,
    clock_limit: float,
    instrument: str,
) -> ClockFit:
    """Fits start and clock over spans that double until they hold the burst.

    The clock offset has a normal prior of the allowed range, so that a short or dim burst, in which
    an offset is invisible and harmless, keeps the nominal clock.

    Args:
        record: Samples in volts.
        layout: The burst.
        timing: Timing that is right at the preamble.
        cycles_per_sample: Frequency of light against oscillator.
        share: Share of the light in the pilots' energy.
        clock_limit: Largest relative clock offset.
        instrument: Name for messages.

    Returns:
        The line.

    Raises:
        SynchronisationError: The offset is beyond the limit, the pilots too dim to follow the
            clock, or the record ends before the burst.
    """
    known = np.concatenate((layout.preamble, layout.pilots))
    reference = int(layout.preamble[layout.preamble.size // 2])
    span = layout.format.preamble_slots
    last = int(layout.pilots[-1])
    rounds_left = 2
    while rounds_left:
        span *= 2
        whole = reference + span >= last
        rounds_left -= whole
        inside = known[: np.searchsorted(known, reference + span, side="right")]
        most = _LAST_FIT_SLOTS if whole else _SLOTS_PER_FIT
        chosen = inside[np.unique(np.linspace(0, inside.size - 1, most).astype(np.intp))]
        check_inside(record, layout, timing, int(chosen[-1]) + 1, instrument)
        fit = _fit(record, layout, timing, cycles_per_sample, chosen, reference, share, clock_limit)
        timing = fit.timing
        spread = fit.clock_uncertainty * min(2 * span, last) * layout.format.samples_per_symbol
        if spread > 2.0:
            raise SynchronisationError(
                f"{instrument}: the clock cannot be followed: after {span} slots its uncertainty "
                f"is {fit.clock_uncertainty * 1e6:.1f} ppm, or {spread:.1f} samples ahead; the "
                "limit is 2: raise the pilot power or shorten the burst"
            )
    offset = timing.samples_per_slot / layout.format.samples_per_symbol - 1
    if abs(offset) - 4 * fit.clock_uncertainty > clock_limit:
        raise SynchronisationError(
            f"{instrument}: the clocks differ by {offset * 1e6:.1f} +- "
            f"{fit.clock_uncertainty * 1e6:.1f} ppm; the limit is {clock_limit * 1e6:g} ppm: lock "
            "digitiser and generator to one reference, or look for lost samples"
        )
    return fit


def _fit(
    record: Record,
    layout: BurstLayout,
    timing: SlotTiming,
    cycles_per_sample: float,
    slots: NDArray[np.intp],
    reference: int,
    share: float,
    clock_limit: float,
) -> ClockFit:
    """Least squares of the timing errors on (1, slot - reference), with the clock's prior."""
    errors = timing_errors(record, timing, layout.format.pulse, cycles_per_sample, slots, share)
    nominal = layout.format.samples_per_symbol
    away = (slots - reference).astype(np.float64)
    rows = np.stack((np.ones_like(away), away))
    free, *_ = np.linalg.lstsq(rows.T, errors, rcond=None)
    left = errors - free @ rows
    weights = np.empty_like(errors)
    # Overlapping pulses disturb each other in the preamble and leave the pilots alone.
    early = slots < layout.body_start
    for part in (early, ~early):
        if part.any():
            weights[part] = 1 / max(float(np.mean(left[part] ** 2)), 1e-12)
    prior = 1.0 / (clock_limit * nominal / np.sqrt(3.0)) ** 2
    information = (rows * weights) @ rows.T
    information[1, 1] += prior
    wanted = (rows * weights) @ errors
    wanted[1] -= prior * (timing.samples_per_slot - nominal)
    covariance = np.linalg.inv(information)
    offset, slope = covariance @ wanted
    return ClockFit(
        timing=SlotTiming(
            start=float(timing.start + offset - slope * reference),
            samples_per_slot=float(timing.samples_per_slot + slope),
        ),
        clock_uncertainty=float(np.sqrt(covariance[1, 1])) / nominal,
        start_uncertainty=float(np.sqrt(covariance[0, 0])),
    )


def check_inside(
    record: Record, layout: BurstLayout, timing: SlotTiming, stop_slot: int, instrument: str
) -> None:
    """Refuses a timing whose preamble or slots up to `stop_slot` leave the record.

    Args:
        record: Samples in volts.
        layout: The burst.
        timing: Where the slots lie.
        stop_slot: Slot after the last one needed.
        instrument: Name for messages.

    Raises:
        SynchronisationError: The record begins too late or ends too early.
    """
    pulse = layout.format.pulse
    first = timing.start + timing.samples_per_slot * layout.format.guard_slots - pulse.lead - 1
    last = timing.start + timing.samples_per_slot * stop_slot + pulse.lead + 1
    if first < 0 or last > record.size:
        raise SynchronisationError(
            f"{instrument}: slots to {stop_slot} of the burst need samples {first:.0f} to "
            f"{last:.0f}; the record has 0 to {record.size}: record longer or start earlier"
        )


def check_pilots(
    record: Record,
    layout: BurstLayout,
    timing: SlotTiming,
    cycles_per_sample: float,
    *,
    share: float,
    slip_limit_samples: float,
    instrument: str,
) -> PilotCheck:
    """Proves on all pilots that no sample and no slot was lost or repeated.

    A lost slot breaks the known signs of the pilots, lost light their size: the coherent power of
    neighbouring pilots, |mean p_(k+1) conj(p_k)|, must not fall below a quarter of the burst's
    first. A lost sample is a step of the timing error.

    Args:
        record: Samples in volts.
        layout: The burst.
        timing: The fitted line.
        cycles_per_sample: Frequency of light against oscillator.
        share: Share of the light in the pilots' energy.
        slip_limit_samples: Step that counts as a slip.
        instrument: Name for messages.

    Returns:
        The largest step and whether a slip could be seen.

    Raises:
        SynchronisationError: A slip, or pilots that vanish.
    """
    values, errors = _all_pilots(record, layout, timing, cycles_per_sample, share)
    group = _check_presence(record, layout, timing, cycles_per_sample, values, instrument)
    groups = errors.size // group
    if groups < 5:
        return PilotCheck(largest_step_samples=0.0, slip_resolved=False)
    means = errors[: groups * group].reshape(groups, group).mean(axis=1)
    noise = float(np.std(errors)) / np.sqrt(group)
    width = max(2, int(np.ceil(2 * (_SIGNIFICANCE * noise / slip_limit_samples) ** 2)))
    if groups < 2 * width + 1:
        return PilotCheck(largest_step_samples=0.0, slip_resolved=False)
    sums = np.concatenate(([0.0], np.cumsum(means)))
    local = (sums[width:] - sums[:-width]) / width
    # One group is left out between both sides, as the slip may lie within a group.
    steps = local[width + 1 :] - local[: -width - 1]
    worst = int(np.argmax(np.abs(steps)))
    if abs(steps[worst]) > slip_limit_samples:
        slot = int(layout.pilots[(worst + width) * group])
        raise SynchronisationError(
            f"{instrument}: the timing steps by {steps[worst]:+.2f} samples near slot {slot}; the "
            f"limit is {slip_limit_samples:g}: samples were lost or repeated, discard the record "
            "and check the digitiser's clock"
        )
    return PilotCheck(largest_step_samples=float(abs(steps[worst])), slip_resolved=True)


def _all_pilots(
    record: Record,
    layout: BurstLayout,
    timing: SlotTiming,
    cycles_per_sample: float,
    share: float,
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """Signed pilots and their timing errors, in chunks that keep the memory small."""
    pulse = layout.format.pulse
    values = np.empty(layout.pilots.size, dtype=np.complex64)
    errors = np.empty(layout.pilots.size)
    for first in range(0, layout.pilots.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        values[part], slopes, later = filter_slots(
            record, timing, pulse, cycles_per_sample, layout.pilots[part], with_slope=True
        )
        errors[part] = _errors(values[part], slopes, pulse, share) + later
    values *= layout.pilot_signs
    return values, errors


def _check_presence(
    record: Record,
    layout: BurstLayout,
    timing: SlotTiming,
    cycles_per_sample: float,
    pilots: NDArray[np.complex64],
    instrument: str,
) -> int:
    """Refuses pilots whose coherent power falls; returns the group length that resolves it."""
    expected, share = coherent_power(record, layout, timing, cycles_per_sample)
    inverse_snr = 1 / share - 1
    group = max(
        _LEAST_GROUP, int(np.ceil(4 * _SIGNIFICANCE**2 * (2 * inverse_snr + inverse_snr**2)))
    )
    products = pilots[1:] * np.conj(pilots[:-1])
    groups = products.size // group
    if groups:
        power = np.abs(products[: groups * group].reshape(groups, group).mean(axis=1))
        weak = np.flatnonzero(power < 0.25 * expected)
        if weak.size:
            slot = int(layout.pilots[weak[0] * group])
            raise SynchronisationError(
                f"{instrument}: the pilots vanish from slot {slot} on: their coherent power is "
                f"{power[weak[0]] / expected:.2f} of the preamble's, the limit is 0.25: light or "
                "slots were lost, or the phase is too noisy; discard the record, check light and "
                "trigger"
            )
    return group
