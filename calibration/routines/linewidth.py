"""Linewidth: how fast the phases of light and oscillators walk, and what the tracking leaves."""

import math
from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.linewidth import LinewidthFit
from calibration.result import FitData, Goodness, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    OPENING,
    Floats,
    arrivals_s,
    light_up,
    read,
)
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from calibration.routines._tones import tone
from calibration.routines._walks import PhaseWalk, phase_walk
from drivers.optics.burst import BurstLayout
from drivers.optics.receiver import Demodulated

__all__ = ["Linewidth"]

_BATCHES = 32


class Linewidth(StagedRoutine):
    """Measures the combined linewidth and the phase error that is left between the pilots.

    client_linewidth_hz and server_linewidth_hz are the full widths at half maximum of the beat:
    with own oscillators the sum of both lasers' widths. They are fitted to the phase of a tone; of
    a shared laser over a short fibre there may be none, and the interval begins at 0.

    client_phase_variance_rad2 and server_phase_variance_rad2 are the mean squared phase error of
    data slots after the receiver's tracking on pilots, measured and not predicted: bright data
    symbols of known sign show it in P, the noise that vacuum slots of the same record have is taken
    off. The engine's gains shrink by exp(-v/2).
    """

    name = "linewidth"
    needs = ("modulators", "electronic_noise", "polarisation", "delay")
    roles = BURST_ROLES
    validity_s = 24 * 3600.0
    temperature_tolerance_c = 5.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {**BURST_SETTINGS, "slots": 32768, "symbols": 16384, "repetitions": 2}
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: no beat is seen.
            OpticsError: no burst is found.
        """
        stage, _ = light_up(context)
        walks: dict[Party, PhaseWalk] = {}
        for party in PARTIES:
            context.progress(0, 2, f"linewidth of the {party}'s beat")
            walks[party] = phase_walk(tone(stage, party, context.setting("slots", int)))
        left = _left(context, stage)
        fits = {party: walk.fit for party, walk in walks.items() if walk.fit is not None}
        quantities: list[Quantity] = []
        for party in PARTIES:
            quantities.append(walks[party].linewidth_hz.quantity(f"{party}_linewidth_hz", "Hz"))
            quantities.append(left[party].quantity(f"{party}_phase_variance_rad2", "rad^2"))
        return context.result(
            quantities=quantities,
            goodness=_goodness(fits.values()) if fits else None,
            fit_data=[_plot(party, fit) for party, fit in fits.items()],
        )


def _goodness(fits: Iterable[LinewidthFit]) -> Goodness:
    """Of all fits together."""
    parts = [fit.goodness for fit in fits]
    return Goodness(
        chi_square=sum(part.chi_square for part in parts),
        degrees_of_freedom=sum(part.degrees_of_freedom for part in parts),
    )


def _left(context: Context, stage: Stage) -> dict[Party, Estimate]:
    """Phase variance of data slots by party."""
    repetitions = context.setting("repetitions", int)
    layout = BurstLayout(format=stage.format, data_symbols=context.setting("symbols", int))
    arrival_s = arrivals_s(context)
    batches: dict[Party, list[Floats]] = {party: [] for party in PARTIES}
    for index in range(repetitions):
        context.progress(1 + index, 1 + repetitions, "phase error of the tracking")
        signs = context.rng.choice(np.array([-1.0, 1.0]), layout.data_symbols)
        traces = stage.burst(
            layout,
            means=OPENING * signs,
            pilot_level=OPENING,
            longest_delay_s=arrival_s["server"],
        )
        for party in PARTIES:
            electronic = context.results["electronic_noise"][f"{party}_electronic_v2"]
            found = read(
                stage,
                party,
                traces[party].volts[0],
                layout,
                electronic_v2=electronic.value,
                arrival_s=arrival_s[party],
            )
            batches[party].append(_batch_variances(found, signs))
    return {party: _mean(np.concatenate(values)) for party, values in batches.items()}


def _batch_variances(found: Demodulated, signs: Floats) -> Floats:
    """Phase variance in stretches of the burst; neighbouring slots are alike, stretches are not."""
    amplitude = float((found.data.real * signs).mean())
    # Light that leaks through the modulator is the same in all of these slots, whatever the sign.
    data = (found.data.imag.astype(np.float64) - found.data.imag.mean()) ** 2
    vacuum = np.abs(found.vacuum - found.vacuum.mean()) ** 2 / 2
    parts = zip(np.array_split(data, _BATCHES), np.array_split(vacuum, _BATCHES), strict=True)
    left = [float(bright.mean()) - float(dark.mean()) for bright, dark in parts]
    return np.array(left) / amplitude**2


def _mean(values: Floats) -> Estimate:
    """Mean of stretches with Student's interval."""
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return normal(float(values.mean()), error, degrees_of_freedom=values.size - 1)


def _plot(party: Party, fit: LinewidthFit) -> FitData:
    """Spectrum of the phase steps."""
    return FitData(
        name=f"{party}_phase_steps",
        x=Series(name="frequency", unit="Hz", values=fit.frequencies_hz),
        measured=Series(name="power of phase steps", unit="rad^2", values=fit.spectrum_rad2),
        fitted=Series(name="walk and noise", unit="rad^2", values=fit.expected_rad2),
        uncertainty=Series(name="one sigma", unit="rad^2", values=fit.spread_rad2),
    )
