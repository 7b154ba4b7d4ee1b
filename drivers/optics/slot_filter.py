"""Matched filter: from a record's samples to one complex number per slot.

Owns the sample arithmetic. A slot's value is

    z = sqrt(2) sum_j v_j p_j exp(-2 pi i f n_j)      (real record, v in volts)
    z =         sum_j v_j p_j exp(-2 pi i f n_j)      (complex record)

with the unit-energy pulse p delayed to the slot's own start and the sample index n_j from the
record's beginning. White noise of variance s^2 per sample (per part of a complex record) gives the
real and the imaginary part of z the variance s^2 each, uncorrelated (Proakis, Digital
Communications, 5th ed., section 4.2). From the weights p_j exp(-2 pi i f n_j) of a real record
their mean is taken off, so that a level constant over the window is not seen. No transform over
the record is made: slots are taken in blocks over which the clock offset moves the pulse by at most
a thirty-second of a slot; within a block the moving pulse is its Taylor line in the delay, exact to
2e-3 of the amplitude.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import OpticsError
from drivers.optics.pulses import PulseShape

__all__ = ["Record", "SlotTiming", "filter_all_slots", "filter_slots"]

# For timing errors the pulse's delay is rounded to this share of a sample: 1e-4 of the amplitude.
_SHIFT_STEPS: Final = 16
_BLOCKS_PER_SLOT_OF_DRIFT: Final = 32
# Below this drift within a block, in slots, the moving pulse is a standing one.
_STANDING: Final = 1e-4
_LARGEST_BLOCK: Final = 16_384

# float32 or complex64; the precision is settled where a record enters the receiver.
Record = NDArray[np.inexact[Any]]


@dataclass(frozen=True, kw_only=True)
class SlotTiming:
    """Where the slots of a burst lie in a record.

    Attributes:
        start: Start of slot 0 in samples from the record's beginning; may be negative or broken.
        samples_per_slot: Samples of the receiver's clock in a slot.
    """

    start: float
    samples_per_slot: float

    def starts(self, slots: NDArray[np.intp]) -> NDArray[np.float64]:
        """Start of each slot, in samples from the record's beginning."""
        return np.asarray(self.start + self.samples_per_slot * slots.astype(np.float64))


def filter_all_slots(
    record: Record,
    timing: SlotTiming,
    pulse: PulseShape,
    cycles_per_sample: float,
    first_slot: int,
    stop_slot: int,
) -> NDArray[np.complex64]:
    """Matched filter of consecutive slots.

    Args:
        record: Samples in volts, float32 or complex64, shape (samples,); holds all the slots.
        timing: Where the slots lie.
        pulse: Shape of a symbol.
        cycles_per_sample: Frequency of the light against the oscillator.
        first_slot: First slot to filter.
        stop_slot: Slot after the last one.

    Returns:
        Complex value per slot in volts, shape (stop_slot - first_slot,).

    Raises:
        OpticsError: The record does not hold all the slots.
    """
    values = np.empty(stop_slot - first_slot, dtype=np.complex64)
    nominal = pulse.samples_per_symbol
    drift = timing.samples_per_slot - nominal
    block = _LARGEST_BLOCK
    if abs(drift) * _BLOCKS_PER_SLOT_OF_DRIFT * block > nominal:
        block = max(1, int(nominal / (abs(drift) * _BLOCKS_PER_SLOT_OF_DRIFT)))
    moves = abs(drift) * block > _STANDING * nominal
    delays = (np.arange(block) - (block - 1) // 2) * drift
    # The line pulse + delay * slope is longer than one: it is brought back to unit energy.
    lengths = 1 / np.sqrt(1 + delays**2 * pulse.timing_curvature)
    own, moved = lengths.astype(np.float32), (lengths * delays).astype(np.float32)
    turns = np.exp(-2j * np.pi * ((cycles_per_sample * nominal * np.arange(block)) % 1.0))
    rotors = turns.astype(np.complex64)
    for first in range(first_slot, stop_slot, block):
        count = min(block, stop_slot - first)
        middle = first + (block - 1) // 2
        exact = timing.start + timing.samples_per_slot * middle
        whole = round(exact)
        matrix = _matrix(record, pulse.shifted(exact - whole), cycles_per_sample)
        if moves:
            slope = _matrix(record, pulse.slope(exact - whole), cycles_per_sample)
            matrix = np.concatenate((matrix, slope), axis=1)
        begin = whole - nominal * (middle - first) - pulse.lead
        windows = _windows(record, begin, count, pulse)
        columns = (windows @ matrix).view(np.complex64)
        filtered = columns[:, 0]
        if moves:
            filtered = own[:count] * filtered + moved[:count] * columns[:, 1]
        # The rotor counts from the window's own beginning; its whole turns are dropped in double.
        origin = np.exp(-2j * np.pi * ((cycles_per_sample * begin) % 1.0))
        out = values[first - first_slot : first - first_slot + count]
        np.multiply(filtered, rotors[:count], out=out)
        out *= np.complex64(origin)
    return values


def filter_slots(
    record: Record,
    timing: SlotTiming,
    pulse: PulseShape,
    cycles_per_sample: float,
    slots: NDArray[np.intp],
    *,
    with_slope: bool = False,
) -> tuple[NDArray[np.complex64], NDArray[np.complex64], NDArray[np.float64]]:
    """Matched filter of chosen slots, and its derivative by the timing.

    Slots are gathered by their delay within a sample, rounded to sixteenths.

    Args:
        record: Samples in volts, float32 or complex64, shape (samples,); holds all the slots.
        timing: Where the slots lie.
        pulse: Shape of a symbol.
        cycles_per_sample: Frequency of the light against the oscillator.
        slots: The slots, any order.
        with_slope: Whether the derivative is wanted; else its array is empty.

    Returns:
        Complex value per slot in volts, its derivative per sample of delay of the filter, and by
        how many samples the filter was later than the slot's own delay.
    """
    exact = timing.starts(slots)
    whole = np.rint(exact)
    begin = whole.astype(np.intp) - pulse.lead
    windows = record[begin[:, None] + np.arange(pulse.length)]
    steps = np.rint((exact - whole) * _SHIFT_STEPS).astype(np.intp)
    later = whole - exact
    values = np.empty(slots.size, dtype=np.complex64)
    slopes = np.empty(slots.size if with_slope else 0, dtype=np.complex64)
    for step in np.unique(steps):
        chosen = np.flatnonzero(steps == step)
        shift = -float(np.mean(later[chosen]))
        later[chosen] += shift
        part = windows[chosen]
        matrix = _matrix(record, pulse.shifted(shift), cycles_per_sample)
        values[chosen] = (part @ matrix).view(np.complex64).reshape(-1)
        if with_slope:
            matrix = _matrix(record, pulse.slope(shift), cycles_per_sample)
            slopes[chosen] = (part @ matrix).view(np.complex64).reshape(-1)
    rotors = np.exp(-2j * np.pi * ((cycles_per_sample * begin) % 1.0)).astype(np.complex64)
    values *= rotors
    if with_slope:
        slopes *= rotors
    return values, slopes, later


def _matrix(record: Record, taps: NDArray[np.float64], cycles_per_sample: float) -> Record:
    """Taps times the conjugate carrier: (taps, 2) for real records, (taps, 1) for complex."""
    carrier = taps * np.exp(-2j * np.pi * cycles_per_sample * np.arange(taps.size))
    if np.iscomplexobj(record):
        return np.asarray(carrier[:, None], dtype=np.complex64)
    # The diodes' unbalance leaves a level that is constant over a slot and follows the
    # oscillator's power from slot to slot: the filter must not see it at any frequency offset.
    carrier -= carrier.mean()
    columns = np.stack((carrier.real, carrier.imag), axis=1) * np.sqrt(2.0)
    return np.ascontiguousarray(columns, dtype=np.float32)


def _windows(record: Record, begin: int, count: int, pulse: PulseShape) -> Record:
    """The windows of `count` slots from sample `begin`, shape (count, pulse.length)."""
    nominal = pulse.samples_per_symbol
    stop = begin + (count - 1) * nominal + pulse.length
    if begin < 0 or stop > record.size:
        raise OpticsError(
            f"slot filter: {count} slots need the samples {begin} to {stop}; the record has 0 to "
            f"{record.size}: record longer or filter fewer slots"
        )
    if pulse.length == nominal:
        return record[begin : begin + count * nominal].reshape(count, nominal)
    view = np.lib.stride_tricks.as_strided(
        record[begin:stop],
        shape=(count, pulse.length),
        strides=(nominal * record.strides[0], record.strides[0]),
        writeable=False,
    )
    # Overlapping rows keep the fast matrix product from being used: they are copied first.
    return np.ascontiguousarray(view)
