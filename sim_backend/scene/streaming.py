"""Filters and delays that run over blocks and give what they would give on the whole signal."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.scene.light import ComplexArray, FloatArray

__all__ = ["DelayLine", "FieldFilter", "OnePole", "gaussian_taps", "low_pass_taps"]

_NEGLIGIBLE_POLE = 1e-4


def gaussian_taps(bandwidth_hz: float, rate_hz: float) -> FloatArray:
    """Impulse response of a Gaussian low-pass, symmetric, of unit sum.

    |H(f)|^2 = 1/2 at the bandwidth: H = exp(-ln2/2 (f/B)^2), a Gaussian of standard deviation
    sqrt(ln 2)/(2 pi B) in time.
    """
    sigma = math.sqrt(math.log(2)) / (2 * math.pi * bandwidth_hz) * rate_hz
    reach = max(1, math.ceil(5 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


def low_pass_taps(width: float) -> FloatArray:
    """Symmetric windowed-sinc low-pass of 65 taps (Kaiser, beta 6) and unit gain at 0 Hz.

    Args:
        width: full width of the passed band over the sample rate, in (0, 1).
    """
    positions = np.arange(-32, 33)
    taps = np.sinc(width * positions) * np.kaiser(positions.size, 6.0)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


class OnePole:
    """First-order low-pass y[k] = p y[k-1] + (1 - p) x[k], p = exp(-2 pi B/rate).

    Skipped where p is below 1e-4, that is for a bandwidth above 1.5 times the sample rate.

    Args:
        bandwidth_hz: frequency of half power of the continuous filter; infinite for none.
    """

    def __init__(self, bandwidth_hz: float) -> None:
        self._bandwidth_hz = bandwidth_hz
        self._pole = 0.0
        self._state = np.zeros(1, dtype=np.float32)

    def begin(self, rate_hz: float, first: float = 0.0) -> None:
        """Start a shot in the steady state of a constant input `first`."""
        self._pole = math.exp(-2 * math.pi * self._bandwidth_hz / rate_hz)
        self._state = np.array([self._pole * first], dtype=np.float32)

    def block(self, values: FloatArray) -> FloatArray:
        """Filter the next block."""
        if self._pole < _NEGLIGIBLE_POLE or values.size == 0:
            return values
        from scipy.signal import lfilter  # a second to import, and most scenes filter nothing

        numerator = np.array([1 - self._pole], dtype=np.float32)
        denominator = np.array([1.0, -self._pole], dtype=np.float32)
        filtered, self._state = lfilter(numerator, denominator, values, zi=self._state)
        return np.asarray(filtered, dtype=np.float32)


class FieldFilter:
    """A finite impulse response over blocks, real or complex, without delay of its own.

    The output at sample k is sum_j taps[j] x[k - j]; what lies before the first block is 0.
    """

    def __init__(self, taps: NDArray[Any]) -> None:
        self._taps = taps
        self._tail: NDArray[Any] = np.zeros(taps.size - 1, dtype=taps.dtype)

    def begin(self) -> None:
        """Forget the past."""
        self._tail = np.zeros(self._taps.size - 1, dtype=self._taps.dtype)

    def block(self, values: NDArray[Any]) -> NDArray[Any]:
        """Filter the next block; the output has its length."""
        if values.size == 0:
            return values
        joined = np.concatenate((self._tail, values))
        self._tail = joined[joined.size - (self._taps.size - 1) :].copy()
        return np.convolve(joined, self._taps, mode="valid").astype(values.dtype, copy=False)


class DelayLine:
    """Delay of a field by a whole number of samples; dark before the first block.

    Args:
        samples: the delay, not negative.
    """

    def __init__(self, samples: int) -> None:
        if samples < 0:
            raise ConfigurationError(f"delay line: {samples} samples, it must not be negative")
        self._tail: ComplexArray = np.zeros(samples, dtype=np.complex64)

    def block(self, field: ComplexArray) -> ComplexArray:
        """Take a block in and give as many delayed samples back."""
        if self._tail.size == 0:
            return field
        joined = np.concatenate((self._tail, field))
        self._tail = joined[field.size :].copy()
        return joined[: field.size]
