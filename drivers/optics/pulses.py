"""Pulse shapes of the symbols: what a weight looks like in time.

Owns the two shapes that the bench knows. Samples sit in the middle of their interval: sample j of a
slot lies at (j + 1/2) sample durations after the slot's start.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = ["PulseName", "PulseShape", "hann_pulse", "root_raised_cosine_pulse"]

PulseName = Literal["hann", "root_raised_cosine"]

_DERIVATIVE_STEP: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class PulseShape:
    """A real pulse of unit energy, centred on its slot.

    The Hann pulse sin^2(pi t/T) is confined to its slot, with zero slope at the slot's edges, so
    that neighbours do not interfere and the oscillator may change its level between slots. The
    root-raised-cosine pulse (Proakis, Digital Communications, 5th ed., section 9.2) overlaps its
    neighbours and is free of interference only behind the matched filter.

    Attributes:
        name: The shape.
        samples_per_symbol: Samples in a slot, at least 4.
        span_slots: Slots that the pulse covers: 1 for Hann, odd for root-raised-cosine.
        roll_off: Excess bandwidth of the root-raised-cosine, in (0, 1]; 0 for Hann.
    """

    name: PulseName
    samples_per_symbol: int
    span_slots: int = 1
    roll_off: float = 0.0

    def __post_init__(self) -> None:
        if self.samples_per_symbol < 4:
            raise ConfigurationError(
                f"pulse {self.name}: samples_per_symbol is {self.samples_per_symbol}; "
                "the least is 4: raise the sample rate or lower the symbol rate"
            )
        if self.name == "hann" and (self.span_slots != 1 or self.roll_off != 0.0):
            raise ConfigurationError(
                f"pulse hann: span_slots {self.span_slots} and roll_off {self.roll_off:g} given; "
                "the Hann pulse has span 1 and no roll-off: leave both out"
            )
        if self.name == "root_raised_cosine":
            if not 0.0 < self.roll_off <= 1.0:
                raise ConfigurationError(
                    f"pulse root_raised_cosine: roll_off is {self.roll_off:g}; "
                    "give a value above 0, at most 1"
                )
            if self.span_slots < 3 or self.span_slots % 2 == 0:
                raise ConfigurationError(
                    f"pulse root_raised_cosine: span_slots is {self.span_slots}; "
                    "give an odd number, at least 3"
                )

    @property
    def length(self) -> int:
        """Number of samples of the pulse: span times samples per slot."""
        return self.span_slots * self.samples_per_symbol

    @property
    def lead(self) -> int:
        """Samples by which the pulse begins before its slot."""
        return (self.span_slots - 1) // 2 * self.samples_per_symbol

    @cached_property
    def taps(self) -> NDArray[np.float32]:
        """The pulse on the sample grid, shape (length,), sum of squares 1."""
        taps = self.shifted(0.0).astype(np.float32)
        taps.setflags(write=False)
        return taps

    @property
    def peak(self) -> float:
        """Highest value of the sampled unit-energy pulse."""
        return float(np.max(self.taps))

    @cached_property
    def timing_curvature(self) -> float:
        """Energy of the pulse's derivative, per sample squared.

        The matched filter's output falls as 1 - curvature * error^2 / 2 with the timing error in
        samples; it sets the variance of a timing estimate (Mengali and D'Andrea, Synchronization
        Techniques for Digital Receivers, section 2.4).
        """
        slope = self.slope(0.0)
        return float(slope @ slope)

    def shifted(self, shift_samples: float) -> NDArray[np.float64]:
        """The pulse delayed by a fraction of a sample, on the sample grid.

        Args:
            shift_samples: Delay in samples, in [-1, 1].

        Returns:
            Samples, shape (length,), sum of squares 1.
        """
        values = self._values(shift_samples)
        values /= np.sqrt(values @ values)
        return values

    def slope(self, shift_samples: float) -> NDArray[np.float64]:
        """Derivative of `shifted` by the delay, per sample, shape (length,)."""
        above = self._values(shift_samples + _DERIVATIVE_STEP)
        below = self._values(shift_samples - _DERIVATIVE_STEP)
        centre = self._values(shift_samples)
        slope: NDArray[np.float64] = (above - below) / (2 * _DERIVATIVE_STEP)
        slope /= np.sqrt(centre @ centre)
        return slope

    def _values(self, shift_samples: float) -> NDArray[np.float64]:
        position = np.arange(self.length) + 0.5 - self.length / 2 - shift_samples
        slots = position / self.samples_per_symbol
        if self.name == "hann":
            return np.where(np.abs(slots) < 0.5, np.cos(np.pi * slots) ** 2, 0.0)
        return _root_raised_cosine(slots, self.roll_off)


def hann_pulse(samples_per_symbol: int) -> PulseShape:
    """The default pulse: sin^2 over one slot.

    Args:
        samples_per_symbol: Samples in a slot, at least 4.

    Returns:
        The pulse.

    Raises:
        ConfigurationError: Too few samples in a slot.
    """
    return PulseShape(name="hann", samples_per_symbol=samples_per_symbol)


def root_raised_cosine_pulse(
    samples_per_symbol: int, *, roll_off: float = 0.5, span_slots: int = 15
) -> PulseShape:
    """The band-limited pulse for an oscillator of constant level.

    Args:
        samples_per_symbol: Samples in a slot, at least 4.
        roll_off: Excess bandwidth, in (0, 1]. At 0.5 and a span of 15 the cut-off tails of pilots
            35 times the vacuum leave 1e-4 shot-noise units in the data, at 0.25 and 11 0.014.
        span_slots: Slots that the truncated pulse covers, odd, at least 3.

    Returns:
        The pulse.

    Raises:
        ConfigurationError: A value out of its range.
    """
    return PulseShape(
        name="root_raised_cosine",
        samples_per_symbol=samples_per_symbol,
        span_slots=span_slots,
        roll_off=roll_off,
    )


def _root_raised_cosine(slots: NDArray[np.float64], roll_off: float) -> NDArray[np.float64]:
    """Root-raised-cosine of unit symbol time at the times `slots`."""
    numerator = np.sin(np.pi * slots * (1 - roll_off)) + 4 * roll_off * slots * np.cos(
        np.pi * slots * (1 + roll_off)
    )
    denominator = np.pi * slots * (1 - (4 * roll_off * slots) ** 2)
    # The closed form is 0/0 at the centre and at +-1/(4 roll_off): the limits are put in there.
    centre = np.abs(slots) < 1e-9
    edge = np.abs(np.abs(4 * roll_off * slots) - 1) < 1e-9
    regular = ~(centre | edge)
    values = np.empty_like(slots)
    values[regular] = numerator[regular] / denominator[regular]
    values[centre] = 1 - roll_off + 4 * roll_off / np.pi
    angle = np.pi / (4 * roll_off)
    values[edge] = (
        roll_off / np.sqrt(2) * ((1 + 2 / np.pi) * np.sin(angle) + (1 - 2 / np.pi) * np.cos(angle))
    )
    return values
