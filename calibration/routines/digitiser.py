"""Digitisers in the dark: effective bits from noise against range, and the offset."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.least_squares import Array, Fit, fit_curve
from calibration.result import FitData, Goodness, Quantity, Result, Series, Setting
from calibration.routine import Context
from calibration.routines._slot_noise import SlotNoise, level_of, slot_noise
from calibration.routines._stage import PARTIES, STAGE_SETTINGS, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError
from drivers.instruments import Trace

__all__ = ["DigitiserNoise"]

_HEADROOM = 8.0
"""Smallest range of the sweep in standard deviations of the noise."""
_DITHER_STEPS = 0.65
"""Least deviation in codes at which quantisation noise is step^2/12 to better than 0.3 %."""
_LEAST_POINTS = 4


class DigitiserNoise(StagedRoutine):
    """Effective bits and offset of both digitisers.

    The noise of a converter grows with its range R, that of what stands before it does not:
    variance = floor + R^2 (2/2^bits)^2/12 (IEEE Std 1241-2010, section 9.4, with a full range of
    2 R). In ranges so wide that the noise is smaller than a code the rule for quantisation noise
    does not hold (Widrow and Kollar, Quantization Noise, 2008, section 5); they are left out.
    """

    name = "digitiser"
    roles = ("client.tap_digitiser", "server.return_digitiser")
    validity_s = 30 * 86400.0
    temperature_tolerance_c = 10.0
    duration_s = 20.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **STAGE_SETTINGS,
        "samples": 1 << 20,
        "ranges": 12,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the converter's noise does not show in the sweep.
        """
        stage = Stage(context)
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        chi_square, freedom = 0.0, 0
        for done, party in enumerate(PARTIES):
            context.progress(done, len(PARTIES), f"recording the {party}'s dark noise")
            samples = context.setting("samples", int)
            trace = stage.record(party, samples)
            offset = _offset(trace)
            ranges, noises = self._sweep(context, stage, trace, party)
            fit = _fit(ranges, noises)
            goodness = fit.goodness
            chi_square += goodness.chi_square
            freedom += goodness.degrees_of_freedom
            quantities += [
                _effective_bits(party, fit).quantity(f"{party}_effective_bits", "1"),
                offset.quantity(f"{party}_offset_v", "V"),
                Quantity(
                    name=f"{party}_range_v",
                    value=trace.range_v,
                    uncertainty=0.0,
                    unit="V",
                    interval95=(trace.range_v, trace.range_v),
                ),
            ]
            plots.append(_plot(party, ranges, noises, fit))
        return context.result(
            quantities=quantities,
            goodness=Goodness(chi_square=chi_square, degrees_of_freedom=freedom),
            fit_data=plots,
        )

    def _sweep(
        self, context: Context, stage: Stage, here: Trace, party: Party
    ) -> tuple[Array, list[SlotNoise]]:
        """Noise in ranges from the smallest that holds it to the largest that there is."""
        limits = stage.digitiser(party).limits.range_v
        middle, deviation = float(here.volts.mean()), float(here.volts.std(dtype=np.float64))
        lowest = max(limits.lowest, _HEADROOM * deviation + 2 * abs(middle))
        ranges, noises = [], []
        for wanted in np.geomspace(lowest, limits.highest, context.setting("ranges", int)):
            trace = stage.record(
                party,
                context.setting("samples", int),
                # The last of the series may lie above the limit by its rounding.
                range_v=min(float(wanted), limits.highest),
            )
            if _is_dithered(trace):
                ranges.append(trace.range_v)
                noises.append(slot_noise(trace.volts[0], stage.format))
        if len(ranges) < _LEAST_POINTS:
            raise CalibrationError(
                f"{stage.digitiser(party).name}: only {len(ranges)} ranges have noise of at least "
                f"{_DITHER_STEPS} codes, {_LEAST_POINTS} are needed; sweep more ranges"
            )
        return np.array(ranges), noises


def _is_dithered(trace: Trace) -> bool:
    """Whether the noise is large enough for the rule of quantisation noise."""
    return float(trace.volts.std(dtype=np.float64)) >= _DITHER_STEPS * trace.step_v


def _offset(trace: Trace) -> Estimate:
    """Mean of a dark record; without dither it may be anywhere in the code that was seen."""
    found = level_of(trace.volts[0])
    if _is_dithered(trace):
        return found
    return normal(found.value, math.hypot(found.uncertainty, trace.step_v / math.sqrt(12)))


def _fit(ranges: Array, noises: list[SlotNoise]) -> Fit:
    """Line of the variance against the squared range, weights from chi-square statistics."""
    variances = np.array([noise.variance_v2 for noise in noises])
    freedom = np.array([noise.degrees_of_freedom for noise in noises])
    design = np.stack([np.ones_like(ranges), ranges**2], axis=1)
    return fit_curve(
        lambda parameters: design @ parameters,
        lambda parameters: design,  # noqa: ARG005
        np.array([variances[0], 0.0]),
        variances,
        lambda mean: np.asarray(np.maximum(mean, 1e-3 * variances) * np.sqrt(2 / freedom)),
    )


def _effective_bits(party: Party, fit: Fit) -> Estimate:
    """Bits from the slope, with the interval of the slope's logarithm."""
    slope, error = float(fit.parameters[1]), math.sqrt(float(fit.covariance[1, 1]))
    if not slope > 3 * error:
        raise CalibrationError(
            f"{party}: noise against squared range has the slope {slope:.3g} +- {error:.2g}, not "
            "to be told from 0; record longer, or sweep to larger ranges"
        )
    bits = 1 - 0.5 * math.log2(12 * slope)
    spread = error / slope / (2 * math.log(2))
    return normal(bits, spread)


def _plot(party: Party, ranges: Array, noises: list[SlotNoise], fit: Fit) -> FitData:
    return FitData(
        name=f"{party}_noise_against_range",
        x=Series(name="range", unit="V", values=ranges),
        measured=Series(
            name="variance", unit="V^2", values=np.array([noise.variance_v2 for noise in noises])
        ),
        fitted=Series(name="floor and converter", unit="V^2", values=fit.fitted),
        uncertainty=Series(name="one sigma", unit="V^2", values=fit.noise),
        log_x=True,
        log_y=True,
    )
