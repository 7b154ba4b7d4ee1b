"""Noise of both receivers without any light, as the matched filter sees it."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from calibration.fits.estimates import Estimate
from calibration.fits.variance import variance_estimate
from calibration.result import FitData, Goodness, Quantity, Result, Series, Setting
from calibration.routine import Context
from calibration.routines._slot_noise import SlotNoise, slot_noise
from calibration.routines._stage import PARTIES, STAGE_SETTINGS, Party, Stage, StagedRoutine

__all__ = ["ElectronicNoise"]

_PARTS = 16


class ElectronicNoise(StagedRoutine):
    """Variance per quadrature in the dark, digitiser included, at the range of the bursts.

    The record is taken with the bench in its safe state. Its parts are compared with one another:
    noise that comes and goes shows as a bad fit.
    """

    name = "electronic_noise"
    roles = ("client.tap_digitiser", "server.return_digitiser")
    validity_s = 86400.0
    temperature_tolerance_c = 5.0
    duration_s = 5.0
    defaults: ClassVar[Mapping[str, Setting]] = {**STAGE_SETTINGS, "samples": 1 << 22}

    def run(self, context: Context) -> Result:
        """See `Routine.run`."""
        stage = Stage(context)
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        chi_square, freedom = 0.0, 0
        for done, party in enumerate(PARTIES):
            context.progress(done, len(PARTIES), f"recording the {party}'s detector in the dark")
            trace = stage.record(party, context.setting("samples", int))
            parts = [
                slot_noise(part, stage.format) for part in np.array_split(trace.volts[0], _PARTS)
            ]
            pooled = _pooled(parts)
            quantities.append(pooled.quantity(f"{party}_electronic_v2", "V^2"))
            plot = _plot(party, parts, pooled.value, trace.volts.size / trace.sample_rate_hz)
            assert plot.uncertainty is not None
            misfits = (plot.measured.values - pooled.value) / plot.uncertainty.values
            chi_square += float((misfits**2).sum())
            freedom += _PARTS - 1
            plots.append(plot)
        return context.result(
            quantities=quantities,
            goodness=Goodness(chi_square=chi_square, degrees_of_freedom=freedom),
            fit_data=plots,
        )


def _pooled(parts: list[SlotNoise]) -> Estimate:
    """Variance of all parts together."""
    freedom = np.array([part.degrees_of_freedom for part in parts])
    variances = np.array([part.variance_v2 for part in parts])
    return variance_estimate(float(freedom @ variances / freedom.sum()), float(freedom.sum()))


def _plot(party: Party, parts: list[SlotNoise], mean: float, duration_s: float) -> FitData:
    time_s = (np.arange(_PARTS) + 0.5) * duration_s / _PARTS
    variances = np.array([part.variance_v2 for part in parts])
    freedom = np.array([part.degrees_of_freedom for part in parts])
    return FitData(
        name=f"{party}_electronic_noise",
        x=Series(name="time", unit="s", values=time_s),
        measured=Series(name="variance", unit="V^2", values=variances),
        fitted=Series(name="mean", unit="V^2", values=np.full(_PARTS, mean)),
        uncertainty=Series(name="one sigma", unit="V^2", values=mean * np.sqrt(2 / freedom)),
    )
