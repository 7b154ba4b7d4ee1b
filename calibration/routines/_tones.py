"""Steady light on the detectors: the beat of an open modulator's light with the oscillator.

Owns how such a record is made and read, without any symbol in it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.routines._bursts import OPENING, Floats
from calibration.routines._stage import PHASES, Party, Stage
from drivers.errors import CalibrationError
from drivers.instruments import PhaseDriver
from drivers.optics.slot_filter import SlotTiming, filter_all_slots

__all__ = ["FRINGES", "Tone", "beat_power", "fringe_powers", "steady", "tone"]

FRINGES: Final = 8
"""Values of `fringe_powers`."""

_STRETCHES: Final = 16
_BAND_CYCLES: Final = 0.25
_SEARCH_BITS: Final = 15
_LINE_BINS: Final = 8
_LINE_OVER_NOISE: Final = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Tone:
    """The beat of steady light with an oscillator.

    Args:
        values: matched-filter value of every slot in volts, complex128, shape (slots,).
        frequency_hz: of the filter, by the digitiser's clock; its sign is that of the agreed
            intermediate frequency.
        interval_s: time from slot to slot, by the digitiser's clock.
    """

    values: NDArray[np.complex128]
    frequency_hz: float
    interval_s: float

    @property
    def phase_rad(self) -> Floats:
        """Unwrapped phase of the beat against the filter, shape (slots,)."""
        return np.asarray(np.unwrap(np.angle(self.values)))


def tone(stage: Stage, party: Party, slots: int, *, detuning: float = 0.0) -> Tone:
    """Record steady light and filter it slot by slot.

    Args:
        stage: lit.
        party: whose record.
        slots: length.
        detuning: of the filter from the beat, in cycles per slot.

    Raises:
        CalibrationError: no beat stands out of the record, or the record is clipped.
    """
    volts = steady(stage, party, slots)
    burst = stage.format
    cycles = math.copysign(_strongest_line(volts), burst.if_cycles_per_symbol)
    cycles += detuning / burst.samples_per_symbol
    timing = SlotTiming(start=0.0, samples_per_slot=burst.samples_per_symbol)
    values = filter_all_slots(volts, timing, burst.pulse, cycles, 0, slots)
    return Tone(
        values=values.astype(np.complex128),
        frequency_hz=cycles * burst.sample_rate_hz,
        interval_s=1 / burst.symbol_rate_hz,
    )


def beat_power(stage: Stage, party: Party, slots: int, *, light: bool = True) -> Floats:
    """Power within a quarter of the symbol rate of the agreed frequency, noise included.

    With homodyne detection it is that of the level, at four settings of the phase shifter.

    Args:
        stage: lit.
        party: whose record.
        slots: length of the record, a multiple of 16.
        light: False holds the weight modulator closed: what noise adds.

    Returns:
        Mean square of the band in each of 16 stretches of the record, V^2.
    """
    burst = stage.format
    if stage.is_homodyne:
        return _fringe_power(stage, party, slots, OPENING if light else 0.0)
    volts = steady(stage, party, slots, OPENING if light else 0.0)
    stretches = volts.reshape(_STRETCHES, -1).astype(np.float64)
    stretches *= np.hanning(stretches.shape[1]) * math.sqrt(8 / 3)
    spectrum = np.fft.rfft(stretches, axis=1)
    turns = np.fft.rfftfreq(stretches.shape[1])
    middle = abs(burst.if_cycles_per_symbol) / burst.samples_per_symbol
    band = np.abs(turns - middle) <= _BAND_CYCLES / burst.samples_per_symbol
    power = (np.abs(spectrum[:, band]) ** 2).sum(axis=1)
    return np.asarray(2 * power / stretches.shape[1] ** 2)


def fringe_powers(stage: Stage, party: Party, slots: int) -> Floats:
    """As `beat_power` with homodyne detection, in values that scatter by all that moves.

    The phase moves by d_k before the record at setting k, and the power errs by its part
    sin(2 phase) (d_1 + d_3 - d_0 - d_2)/2, which no stretch of the same records shows. So it is
    measured several times. Each is the mean of two, the second with all settings a quarter turn
    further on: the sine changes its sign, and an error of V_pi, alike in both, cancels.

    Returns:
        Mean squares, shape (FRINGES,), V^2.
    """
    values = np.zeros(FRINGES)
    for index in range(FRINGES):
        pair = [_fringe_power(stage, party, slots, OPENING, further) for further in (0, 1)]
        values[index] = float(np.mean(pair))
    return values


def _fringe_power(
    stage: Stage, party: Party, slots: int, opening: float, further: int = 0
) -> Floats:
    """Power of the level that light and oscillator of one frequency make, whatever their phase.

    Four settings of the phase shifter, a quarter turn apart, show both quadratures twice and with
    opposite signs, which cancels the detector's own level. They are taken in the order in which a
    steady drift of the phase cancels too.

    Args:
        stage: lit.
        party: whose record.
        slots: length.
        opening: relative amplitude of the light.
        further: quarter turns before the first setting.

    Returns:
        Mean square amplitude over 2 in each of 16 stretches of the records, V^2.
    """
    driver = stage.get(PHASES[party], PhaseDriver)
    v_pi = stage.phase_v_pi_v(party)
    levels: dict[int, Floats] = {}
    for quarter in (0, 1, 3, 2):
        driver.set_voltages(np.array([(quarter + further) / 2 * v_pi]))
        volts = steady(stage, party, slots, opening)
        levels[quarter] = volts.reshape(_STRETCHES, -1).mean(axis=1, dtype=np.float64)
    x, p = (levels[0] - levels[2]) / 2, (levels[1] - levels[3]) / 2
    return np.asarray((x**2 + p**2) / 2)


def steady(stage: Stage, party: Party, slots: int, opening: float = OPENING) -> NDArray[np.float32]:
    """A record of the weight modulator held at a relative amplitude.

    Args:
        stage: lit.
        party: whose record.
        slots: length.
        opening: relative amplitude.
    """
    stage.rest("weight", opening)
    trace = stage.record(party, slots * stage.format.samples_per_symbol)
    stage.rest("weight", 0.0)
    return np.asarray(trace.volts[0])


def _strongest_line(volts: NDArray[np.float32]) -> float:
    """Frequency of the strongest line of a record, in cycles per sample.

    Raises:
        CalibrationError: no line stands out.
    """
    part = volts[: 1 << min(_SEARCH_BITS, volts.size.bit_length() - 1)].astype(np.float64)
    power = np.abs(np.fft.rfft((part - part.mean()) * np.hanning(part.size))) ** 2
    # A line of some hundred kilohertz covers several bins; those next to 0 hold the unbalance.
    smooth = np.convolve(power, np.ones(_LINE_BINS), mode="same")
    smooth[:_LINE_BINS] = 0.0
    peak = int(smooth.argmax())
    if not smooth[peak] > _LINE_OVER_NOISE * float(np.median(smooth)):
        raise CalibrationError(
            "no beat of light and oscillator stands out of the record; check that both lasers are "
            "on, their wavelengths, the switches and the polarisation"
        )
    bins = np.arange(max(peak - _LINE_BINS, 1), min(peak + _LINE_BINS + 1, power.size))
    return float(power[bins] @ bins / power[bins].sum() / part.size)
