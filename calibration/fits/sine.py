"""Effective number of bits of a digitiser from a record of a sine wave."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, normal
from calibration.fits.least_squares import Array, fit_curve
from calibration.fits.variance import variance_estimate
from drivers.errors import CalibrationError

__all__ = ["SineFit", "fit_sine"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SineFit:
    """record = offset + amplitude cos(2 pi frequency t + phase).

    Args:
        amplitude_v: in V.
        frequency_hz: in Hz.
        offset_v: in V.
        noise_v: root mean square of what is left, in V: noise, quantisation and distortion.
        effective_bits: log2(full range / (noise sqrt(12))).
        fitted: the sine at the samples, in V, shape (samples,).
    """

    amplitude_v: Estimate
    frequency_hz: Estimate
    offset_v: Estimate
    noise_v: Estimate
    effective_bits: Estimate
    fitted: Array


def fit_sine(volts: ArrayLike, sample_rate_hz: float, full_range_v: float) -> SineFit:
    """Four-parameter sine fit (IEEE Std 1241-2010, sections 7.4 and 9.4).

    The intervals take what is left for white noise.

    Args:
        volts: record, shape (samples,), in V, of at least two periods.
        sample_rate_hz: in Hz, above 0.
        full_range_v: from the lowest to the highest code, in V, above 0.

    Raises:
        CalibrationError: fewer than 32 samples, no sine in them, or less than two periods.
    """
    record = checked("record in V", volts, least=32)
    if not (0 < sample_rate_hz < math.inf and 0 < full_range_v < math.inf):
        raise CalibrationError(
            f"sample rate {sample_rate_hz} Hz and full range {full_range_v} V must be above 0"
        )
    samples = np.arange(record.size, dtype=np.float64) - (record.size - 1) / 2
    start = _start(record, samples)
    unit = max(float((record - _sine(start, samples)).std()), 1e-3 * float(record.std()))
    fit = fit_curve(
        lambda parameters: _sine(parameters, samples),
        lambda parameters: _slopes(parameters, samples),
        start,
        record,
        # Only the scale of the steps depends on it: white noise weighs all samples alike.
        lambda mean: np.full_like(mean, unit),
    )
    freedom = record.size - 4
    left = variance_estimate(float(((record - fit.fitted) ** 2).sum()) / freedom, freedom)
    cosine, sine, offset, turn = (float(value) for value in fit.parameters)
    ratio = math.sqrt(left.value) / unit
    amplitude = math.hypot(cosine, sine)
    gradient = np.array([cosine / amplitude, sine / amplitude, 0.0, 0.0])
    errors = ratio * np.sqrt(np.diag(fit.covariance))
    hertz = sample_rate_hz / (2 * math.pi)
    return SineFit(
        amplitude_v=normal(
            amplitude, ratio * fit.uncertainty(gradient), degrees_of_freedom=freedom
        ),
        frequency_hz=normal(turn * hertz, errors[3] * hertz, degrees_of_freedom=freedom),
        offset_v=normal(offset, errors[2], degrees_of_freedom=freedom),
        noise_v=_root(left),
        effective_bits=_bits(_root(left), full_range_v),
        fitted=fit.fitted,
    )


def _sine(parameters: Array, samples: Array) -> Array:
    cosine, sine, offset, turn = parameters
    return np.asarray(cosine * np.cos(turn * samples) + sine * np.sin(turn * samples) + offset)


def _slopes(parameters: Array, samples: Array) -> Array:
    cosine, sine, _, turn = parameters
    real, imaginary = np.cos(turn * samples), np.sin(turn * samples)
    return np.stack(
        [real, imaginary, np.ones_like(samples), samples * (sine * real - cosine * imaginary)],
        axis=1,
    )


def _start(record: Array, samples: Array) -> Array:
    """Peak of the windowed spectrum, placed between lines by a parabola of its logarithm."""
    window = np.hanning(record.size)
    spectrum = np.abs(np.fft.rfft((record - record.mean()) * window))
    peak = int(spectrum[2:-1].argmax()) + 2
    rest = np.delete(spectrum, slice(max(peak - 3, 0), peak + 4))
    # White noise alone reaches 4 root mean squares in one of a million records of 9 lines.
    if not spectrum[peak] > 4 * math.sqrt(float((rest**2).mean())):
        raise CalibrationError(
            "no sine of at least two periods stands out of the record; check the generator's level "
            "and frequency"
        )
    left, middle, right = np.log(np.maximum(spectrum[peak - 1 : peak + 2], 1e-300))
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    turn = 2 * math.pi * (peak + shift) / record.size
    design = np.stack(
        [np.cos(turn * samples), np.sin(turn * samples), np.ones_like(samples)], axis=1
    )
    linear = np.linalg.lstsq(design, record, rcond=None)[0]
    return np.array([*linear, turn])


def _root(variance: Estimate) -> Estimate:
    low, high = variance.interval95
    value = math.sqrt(variance.value)
    return Estimate(
        value=value,
        uncertainty=variance.uncertainty / (2 * value) if value else 0.0,
        interval95=(math.sqrt(low), math.sqrt(high)),
    )


def _bits(noise: Estimate, full_range_v: float) -> Estimate:
    low, high = noise.interval95
    if not low > 0:
        raise CalibrationError("the record is a perfect sine; it did not come from a digitiser")
    return Estimate(
        value=math.log2(full_range_v / (noise.value * math.sqrt(12))),
        uncertainty=noise.uncertainty / noise.value / math.log(2),
        interval95=(
            math.log2(full_range_v / (high * math.sqrt(12))),
            math.log2(full_range_v / (low * math.sqrt(12))),
        ),
    )
