"""Phase lock: how well the quadratures of a homodyne bench are held."""

import math
from types import MappingProxyType

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import BURST_ROLES, BURST_SETTINGS, OPENING, Floats, light_up
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from drivers.instruments import Trace
from drivers.optics.burst import BurstLayout
from drivers.optics.homodyne_receiver import homodyne_slots

__all__ = ["PhaseLocks"]


class PhaseLocks(StagedRoutine):
    """Measures the phase error of bursts that are held at P, where it shows at first order.

    Bright data of known sign s have the mean s A sin(error) in P: the mean square of their record
    less that of vacuum slots of the same burst is A^2 times the error's variance, within the burst
    and from burst to burst alike. client_phase_variance_rad2 and server_phase_variance_rad2 are its
    means over bursts with Student's interval from their scatter, client_phase_error_rad and
    server_phase_error_rad the roots. A mean shrinks by exp(-v/2).
    """

    name = "phase_lock"
    needs = ("modulators", "electronic_noise", "polarisation", "delay")
    roles = BURST_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 2.0
    duration_s = 60.0
    defaults = MappingProxyType({**BURST_SETTINGS, "symbols": 4096, "repetitions": 24})

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            PhaseError: a phase cannot be held.
        """
        stage, _ = light_up(context)
        repetitions = context.setting("repetitions", int)
        layout = BurstLayout(format=stage.format, data_symbols=context.setting("symbols", int))
        found: dict[Party, Floats] = {party: np.zeros(repetitions) for party in PARTIES}
        for index in range(repetitions):
            context.progress(index, repetitions, "phase error at P")
            signs = context.rng.choice(np.array([-1.0, 1.0]), layout.data_symbols)
            traces = stage.burst(layout, means=OPENING * signs, pilot_level=OPENING, on_p=True)
            for party in PARTIES:
                found[party][index] = _variance(stage, party, traces[party], layout, signs)
        quantities: list[Quantity] = []
        for party in PARTIES:
            variance = _mean(found[party])
            quantities.append(variance.quantity(f"{party}_phase_variance_rad2", "rad^2"))
            quantities.append(_root(variance).quantity(f"{party}_phase_error_rad", "rad"))
        return context.result(
            quantities=quantities, fit_data=[_plot(party, found[party]) for party in PARTIES]
        )


def _variance(
    stage: Stage, party: Party, trace: Trace, layout: BurstLayout, signs: Floats
) -> float:
    """Mean square phase error of one burst's data."""
    volts = np.asarray(trace.volts[0])
    slots = homodyne_slots(volts, layout, stage.phases.timings[party])
    guard = layout.format.guard_slots
    vacuum = slots[layout.vacuum - guard]
    # Light that leaks through the modulator at its null is less in bright slots: each its level.
    data = slots[layout.data - guard]
    data = data - float((data - signs * float((data * signs).mean())).mean())
    noise = float(np.var(vacuum, ddof=1))
    amplitude = stage.phases.locks[party].amplitude_v
    return (float(np.mean(data**2)) - noise) / amplitude**2


def _mean(values: Floats) -> Estimate:
    """Mean of bursts with Student's interval."""
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return normal(float(values.mean()), error, degrees_of_freedom=values.size - 1)


def _root(variance: Estimate) -> Estimate:
    """Root of a variance that noise may have brought below 0."""
    low, high = (math.sqrt(max(end, 0.0)) for end in variance.interval95)
    value = math.sqrt(max(variance.value, 0.0))
    slope = 2 * value if value else 2 * max(high, 1e-12)
    return Estimate(value=value, uncertainty=variance.uncertainty / slope, interval95=(low, high))


def _plot(party: Party, variances: Floats) -> FitData:
    return FitData(
        name=f"{party}_phase_error",
        x=Series(name="burst", unit="1", values=np.arange(variances.size, dtype=np.float64)),
        measured=Series(name="mean square phase error", unit="rad^2", values=variances),
    )
