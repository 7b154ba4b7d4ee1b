"""Reading sampled signals between their samples."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim_backend.scene.light import FloatArray

__all__ = ["HALF_TAPS", "interpolate", "interpolation_taps"]

HALF_TAPS = 8
"""Interpolators reach this many samples to either side."""
_KAISER_BETA = 6.0
_PHASES = 2048
_SHORT_RUN = 64


def interpolation_taps(fraction: float | NDArray[np.float64]) -> FloatArray:
    """Windowed-sinc weights that read a signal `fraction` of a sample after sample 0.

    value(fraction) = sum_j taps[j] x[j - 7], j = 0..15; Kaiser window, beta 6, normalised to
    pass a constant exactly; right to 1e-3 up to 3/8 of the sample rate. Smith, Digital Audio
    Resampling (CCRMA, 2002).

    Args:
        fraction: in [0, 1], a number or an array of shape (phases,).

    Returns:
        Weights of shape (16,) or (phases, 16).
    """
    positions = np.arange(2 * HALF_TAPS) - (HALF_TAPS - 1)
    distance = positions - np.asarray(fraction, dtype=np.float64)[..., None]
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (distance / HALF_TAPS) ** 2)))
    taps = np.sinc(distance) * window
    return np.asarray(taps / taps.sum(axis=-1, keepdims=True), dtype=np.float32)


_TABLE = interpolation_taps(np.arange(_PHASES) / _PHASES)


def interpolate(values: FloatArray, first: float, step: float, count: int) -> FloatArray:
    """Read a sampled signal at `first + k step`, k = 0..count-1, in samples of `values`.

    Windowed sinc of 16 taps in a table of 2048 fractions: the reading is at most 1/4096 of a
    sample off. Positions must leave 8 samples of `values` on both sides.

    Args:
        values: signal, shape (samples,).
        first: first position.
        step: distance of the positions.
        count: number of positions.
    """
    start_tick, slip = first * _PHASES, (step - 1) * _PHASES
    low, high = round(start_tick), round(start_tick + slip * (count - 1))
    if (abs(high - low) + 1) * _SHORT_RUN > count + _SHORT_RUN:
        return _gather(values, first, step, count)
    out = np.empty(count, dtype=np.float32)
    for start, end, tick in _runs(start_tick, slip, count, low, high):
        whole, phase = divmod(tick, _PHASES)
        begin = start + whole
        if phase == 0:
            out[start:end] = values[begin : begin + end - start]
        else:
            window = values[begin - HALF_TAPS + 1 : begin + HALF_TAPS + end - start]
            out[start:end] = np.correlate(window, _TABLE[phase], mode="valid")
    return out


def _runs(
    start_tick: float, slip: float, count: int, low: int, high: int
) -> Iterator[tuple[int, int, int]]:
    """Stretches (start, end, tick) of outputs that share one fraction of a sample.

    Output k lies round(start_tick + k slip) ticks after input k, which goes from low to high.
    """
    way = 1 if high >= low else -1
    start = 0
    for tick in range(low, high, way):
        end = math.ceil((tick + 0.5 * way - start_tick) / slip)
        if end > start:
            yield start, end, tick
            start = end
    if start < count:
        yield start, count, high


def _gather(values: FloatArray, first: float, step: float, count: int) -> FloatArray:
    """Interpolate where every position has its own fraction, a few thousand at a time."""
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * HALF_TAPS)
    out = np.empty(count, dtype=np.float32)
    for start in range(0, count, 4096):
        index = np.arange(start, min(start + 4096, count))
        ticks = np.rint((first + step * index) * _PHASES).astype(np.int64)
        rows = windows[ticks // _PHASES - HALF_TAPS + 1]
        out[index] = np.einsum("ij,ij->i", rows, _TABLE[ticks % _PHASES])
    return out
