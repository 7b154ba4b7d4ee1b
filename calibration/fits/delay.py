"""Delay of a known waveform in a record, to a fraction of a sample."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.fits.estimates import Estimate, checked, normal
from calibration.fits.least_squares import Array, fit_curve
from drivers.errors import CalibrationError

__all__ = ["DelayFit", "fit_delay"]

_PEAK_OVER_NOISE = 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class DelayFit:
    """record(t) = amplitude reference(t - delay) + offset + white noise.

    Args:
        delay_s: in s; negative if the record leads.
        amplitude: of the record over the reference, sign included.
        noise: standard deviation of a sample, in the unit of the record.
        fitted: the shifted waveform at the record's samples, shape (samples,).
    """

    delay_s: Estimate
    amplitude: Estimate
    noise: float
    fitted: Array


def fit_delay(reference: ArrayLike, record: ArrayLike, sample_rate_hz: float) -> DelayFit:
    """Peak of the cross-correlation, refined to the maximum of the likelihood.

    For white noise of deviation s the variance of the delay reaches the Cramer-Rao bound
    s^2/(amplitude^2 sum (d reference/dt)^2) (Kay, Fundamentals of Statistical Signal Processing I,
    section 3.11). Between samples the reference is taken as limited to half the sample rate, and as
    0 outside of what is given.

    Args:
        reference: what was played, shape (samples,), free of noise.
        record: what was recorded, shape (samples,), at the same rate; may be longer.
        sample_rate_hz: in Hz, above 0.

    Raises:
        CalibrationError: fewer than 16 samples, or the waveform does not stand out of the record.
    """
    played = checked("reference", reference, least=16)
    seen = checked("record", record, least=16)
    if not 0 < sample_rate_hz < math.inf:
        raise CalibrationError(f"sample rate is {sample_rate_hz} Hz, it must be above 0 Hz")
    if not np.ptp(played) > 0:
        raise CalibrationError("the reference is constant; play a waveform with edges")
    length = 1 << (played.size + seen.size - 1).bit_length()
    spectrum = np.fft.rfft(played, length)
    turns = 2 * math.pi * np.fft.rfftfreq(length)

    def shifted(delay: float, derivative: bool = False) -> Array:
        factor = spectrum * np.exp(-1j * turns * delay)
        if derivative:
            factor = -1j * turns * factor
        return np.asarray(np.fft.irfft(factor, length)[: seen.size])

    start = _start(played, seen, length)
    ones = np.ones(seen.size)
    unit = _unit(seen, start[1] * shifted(start[0]) + start[2])
    fit = fit_curve(
        lambda values: values[1] * shifted(values[0]) + values[2],
        lambda values: np.stack(
            [values[1] * shifted(values[0], True), shifted(values[0]), ones], axis=1
        ),
        start,
        seen,
        # Only the scale of the steps depends on it: white noise weighs all samples alike.
        lambda mean: np.full_like(mean, unit),
    )
    freedom = seen.size - 3
    noise = math.sqrt(float(((seen - fit.fitted) ** 2).sum()) / freedom)
    errors = noise / unit * np.sqrt(np.diag(fit.covariance))
    if not abs(fit.parameters[1]) > _PEAK_OVER_NOISE * errors[1]:
        raise CalibrationError(_lost(abs(float(fit.parameters[1] / errors[1]))))
    delay = normal(fit.parameters[0], errors[0], degrees_of_freedom=freedom)
    return DelayFit(
        delay_s=delay.scaled(1 / sample_rate_hz),
        amplitude=normal(fit.parameters[1], errors[1], degrees_of_freedom=freedom),
        noise=noise,
        fitted=fit.fitted,
    )


def _start(played: Array, seen: Array, length: int) -> Array:
    """Delay in whole samples, amplitude and offset at the highest peak of the correlation."""
    centred = seen - seen.mean()
    correlation = np.fft.irfft(
        np.fft.rfft(centred, length) * np.conj(np.fft.rfft(played - played.mean(), length)), length
    )
    peak = int(np.abs(correlation).argmax())
    energy = float(((played - played.mean()) ** 2).sum())
    delay = peak if peak < seen.size else peak - length
    return np.array([float(delay), float(correlation[peak]) / energy, float(seen.mean())])


def _unit(seen: Array, guess: Array) -> float:
    """About the noise of a sample, never 0."""
    return max(float((seen - guess).std()), 1e-3 * float(seen.std()), 1e-300)


def _lost(score: float) -> str:
    return (
        f"the waveform stands {score:.2g} standard deviations out of the record, "
        f"{_PEAK_OVER_NOISE:g} are needed; check trigger and levels, or play it longer"
    )
