"""Quadratures: whether X and P of the receivers are equally long and at right angles."""

from types import MappingProxyType

import numpy as np

from calibration.fits.ellipse import EllipseFit, fit_ellipse
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    light_up,
)
from calibration.routines._stage import PARTIES, Party, StagedRoutine
from calibration.routines._tones import Tone, tone

__all__ = ["Quadratures"]

_DETUNING = 1 / 64
_PLOTTED = 512


class Quadratures(StagedRoutine):
    """Fits an ellipse to a tone whose phase rotates.

    The tone is filtered a little beside its frequency, so that every slot shows it at another
    phase. client_imbalance and server_imbalance are the amplitude of P over that of X less 1;
    client_quadrature_error_rad and server_quadrature_error_rad the deviation of their angle from a
    right one. A heterodyne receiver makes both quadratures from one record by arithmetic: anything
    but 0 speaks of a line that folds onto the beat, or of a distorted detector.
    """

    name = "quadratures"
    needs = ("modulators", "polarisation")
    roles = BURST_ROLES
    validity_s = 24 * 3600.0
    temperature_tolerance_c = 5.0
    duration_s = 30.0
    defaults = MappingProxyType({**BURST_SETTINGS, "slots": 8192})

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: no beat is seen, or its points lie on no ellipse.
        """
        stage, _ = light_up(context)
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        for done, party in enumerate(PARTIES):
            context.progress(done, len(PARTIES), f"quadratures of the {party}")
            seen = tone(stage, party, context.setting("slots", int), detuning=_DETUNING)
            fit = fit_ellipse(seen.values.real, seen.values.imag)
            quantities += _quantities(party, fit)
            plots.append(_plot(party, seen))
        return context.result(quantities=quantities, fit_data=plots)


def _quantities(party: Party, fit: EllipseFit) -> list[Quantity]:
    ratio = fit.gain_ratio.quantity("ratio", "1")
    low, high = ratio.interval95
    imbalance = Quantity(
        name=f"{party}_imbalance",
        value=ratio.value - 1,
        uncertainty=ratio.uncertainty,
        unit="1",
        interval95=(low - 1, high - 1),
        claimed=0.0,
    )
    error = fit.quadrature_error_rad
    return [
        imbalance,
        error.quantity(f"{party}_quadrature_error_rad", "rad", claimed=0.0),
    ]


def _plot(party: Party, seen: Tone) -> FitData:
    """Points of the ellipse."""
    chosen = np.arange(min(_PLOTTED, seen.values.size))
    return FitData(
        name=f"{party}_ellipse",
        x=Series(name="X of the tone", unit="V", values=seen.values.real[chosen]),
        measured=Series(name="P of the tone", unit="V", values=seen.values.imag[chosen]),
    )
