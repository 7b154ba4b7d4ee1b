"""Phase lock: how well the quadratures of a homodyne bench are held."""

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.variance import variance_estimate
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    OPENING,
    Floats,
    arrivals_s,
    light_up,
)
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from drivers.instruments import Trace
from drivers.optics.burst import BurstLayout
from drivers.optics.homodyne_receiver import homodyne_slots

__all__ = ["PhaseLocks"]


class PhaseLocks(StagedRoutine):
    """Measures the phase error of bursts that are held at P, where it shows at first order.

    Bright data of known sign s have the mean s A sin(error) in P. Their mean with the signs taken
    off is the error that a burst has from beginning to end; their scatter around it, less that of
    vacuum slots of the same burst, is A^2 times the variance within the burst.
    client_phase_variance_rad2 and server_phase_variance_rad2 are the sums of both, means over
    bursts; client_phase_error_rad and server_phase_error_rad the roots. A mean shrinks by
    exp(-v/2).

    The errors of whole bursts are normal, so that their mean square is as uncertain as chi-square
    with one degree of freedom per burst says. That within a burst is a mean over many stretches,
    normal with the uncertainty that bursts show. See `_sum` for the interval of both.
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
        longest_delay_s = arrivals_s(context)["server"]
        balanced = np.resize([-1.0, 1.0], layout.data_symbols)
        found: dict[Party, list[_Burst]] = {party: [] for party in PARTIES}
        for index in range(repetitions):
            context.progress(index, repetitions, "phase error at P")
            signs = context.rng.permutation(balanced)
            traces = stage.burst(
                layout,
                means=OPENING * signs,
                pilot_level=OPENING,
                longest_delay_s=longest_delay_s,
                on_p=True,
            )
            for party in PARTIES:
                found[party].append(_burst(stage, party, traces[party], layout, signs))
        quantities: list[Quantity] = []
        for party in PARTIES:
            variance = _sum(found[party])
            quantities.append(variance.quantity(f"{party}_phase_variance_rad2", "rad^2"))
            quantities.append(_root(variance).quantity(f"{party}_phase_error_rad", "rad"))
        return context.result(
            quantities=quantities, fit_data=[_plot(party, found[party]) for party in PARTIES]
        )


@dataclass(frozen=True, kw_only=True)
class _Burst:
    """Phase errors of one burst's data.

    Attributes:
        mean_rad: error of the whole burst.
        noise_rad2: variance of that by the slots' noise.
        within_rad2: variance around it, without the noise.
    """

    mean_rad: float
    noise_rad2: float
    within_rad2: float


def _burst(stage: Stage, party: Party, trace: Trace, layout: BurstLayout, signs: Floats) -> _Burst:
    """Phase errors of one burst."""
    volts = np.asarray(trace.volts[0])
    slots = homodyne_slots(volts, layout, stage.phases.timings[party])
    guard = layout.format.guard_slots
    noise = float(np.var(slots[layout.vacuum - guard], ddof=1))
    # Light that leaks through the modulator at its null is less in bright slots: each its level.
    data = slots[layout.data - guard]
    terms = np.stack((np.ones_like(signs), signs), axis=1)
    (level, mean), *_ = np.linalg.lstsq(terms, data, rcond=None)
    left = data - level - mean * signs
    amplitude = stage.phases.locks[party].amplitude_v
    return _Burst(
        mean_rad=float(mean) / amplitude,
        noise_rad2=noise / data.size / amplitude**2,
        within_rad2=(float(left @ left) / (data.size - 2) - noise) / amplitude**2,
    )


def _sum(bursts: list[_Burst]) -> Estimate:
    """Mean square error between bursts and within them, with an interval for the sum of both.

    Each part has an interval of its own, chi-square's and Student's. Their distances from the
    estimates add up in squares at either end, as those of variance components do (Graybill and
    Wang, J. Am. Stat. Assoc. 75, 869 (1980); Zou and Donner, Stat. Med. 27, 1693 (2008)).
    """
    count = len(bursts)
    between = variance_estimate(float(np.mean([one.mean_rad**2 for one in bursts])), count)
    noise = float(np.mean([one.noise_rad2 for one in bursts]))
    inside = np.array([one.within_rad2 for one in bursts])
    within = normal(
        float(inside.mean()),
        float(inside.std(ddof=1)) / math.sqrt(count),
        degrees_of_freedom=count - 1,
    )
    value = between.value + within.value
    down, up = (
        math.hypot(between.interval95[end] - between.value, within.interval95[end] - within.value)
        for end in (0, 1)
    )
    return Estimate(
        value=value - noise,
        uncertainty=math.hypot(between.uncertainty, within.uncertainty),
        interval95=(value - down - noise, value + up - noise),
    )


def _root(variance: Estimate) -> Estimate:
    """Root of a variance that noise may have brought below 0."""
    low, high = (math.sqrt(max(end, 0.0)) for end in variance.interval95)
    value = math.sqrt(max(variance.value, 0.0))
    slope = 2 * value if value else 2 * max(high, 1e-12)
    return Estimate(value=value, uncertainty=variance.uncertainty / slope, interval95=(low, high))


def _plot(party: Party, bursts: list[_Burst]) -> FitData:
    errors = [one.mean_rad**2 - one.noise_rad2 + one.within_rad2 for one in bursts]
    return FitData(
        name=f"{party}_phase_error",
        x=Series(name="burst", unit="1", values=np.arange(len(bursts), dtype=np.float64)),
        measured=Series(name="mean square phase error", unit="rad^2", values=np.array(errors)),
    )
