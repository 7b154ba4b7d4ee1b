"""Loss: what of a launched mean is left in the client's and in the server's record."""

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from calibration.fits.estimates import Estimate, log_normal, normal
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
from calibration.routines._stage import (
    PARTIES,
    Party,
    Stage,
    StagedRoutine,
    level_of_photons,
    photons_of_level,
)
from drivers.errors import CalibrationError
from drivers.optics.burst import BurstLayout
from drivers.optics.receiver import Demodulated

__all__ = ["Loss"]

_LARGEST = 3.0
"""Largest symbol of the test pattern in its standard deviations."""
_PLOT_BINS = 24


class Loss(StagedRoutine):
    """Regresses recorded quadratures on the means of a public test pattern.

    client_gain is the mean of a recorded quadrature of the client, at full oscillator level and in
    units of its calibrated shot noise, per launched mean (2 sqrt(photons)); return_gain likewise
    of the server. Both are what the engine's receiver yields: half the efficiency of a heterodyne
    record (all of a homodyne one) and the shrinking exp(-v/2) by the phase error v are in them. In
    terms of the scene client_gain = sqrt(forward tap eta V^2/2) exp(-v/2) of a heterodyne record,
    with the detector's efficiency eta and the visibility V.

    Their intervals hold everything: noise, the calibrated shot noise, and that the launched means
    are known no better than the photons of the routine "photons" and V_pi of the modulator.
    client_gain_scatter and return_gain_scatter are the relative standard uncertainties by noise
    alone: how well gains relative to the same claimed photons are known, which is all that the
    engine compares.

    forward_transmittance (launch to the client's tap) and return_transmittance (tap to the
    server's detector) follow with tap_fraction, the efficiencies of the routine "detector" and the
    mode match, each with its uncertainty. The photons cancel in the second.
    """

    name = "loss"
    needs = (
        "modulators",
        "electronic_noise",
        "shot_noise",
        "detector",
        "polarisation",
        "delay",
        "photons",
    )
    roles = BURST_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 2.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {
            **BURST_SETTINGS,
            "tap_fraction": 0.1,
            "tap_uncertainty": 0.005,
            "client_mode_match": 0.98,
            "server_mode_match": 0.98,
            "mode_match_uncertainty": 0.005,
            "test_photons": 50.0,
            "symbols": 16384,
            "repetitions": 4,
        }
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the test pattern does not show in a record.
            OpticsError: no burst is found.
        """
        stage, launch = light_up(context)
        photons = context.results["photons"]
        # The calibrated number is that of a setting of the attenuator, not of this reading.
        full = photons["full_photons"].value
        full *= 10 ** ((photons["attenuation_db"].value - launch.attenuation_db) / 10)
        means, values, variances = _measure(context, stage, full)
        gains = {party: _gain(party, means, values[party], variances[party]) for party in PARTIES}
        quantities = _gain_quantities(context, gains)
        return context.result(
            quantities=[*quantities, *_transmittances(context, stage, gains)],
            goodness=_goodness(gains),
            fit_data=[_plot(party, means, values[party], gains[party]) for party in PARTIES],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gain:
    """A gain from one party's records.

    Args:
        value: recorded mean per launched mean.
        scatter: its relative standard uncertainty by noise.
        by_burst: gain of every burst, shape (bursts,).
        burst_error: standard uncertainty of one of them.
        phase_variance_rad2: left by the tracking.
    """

    value: float
    scatter: float
    by_burst: Floats
    burst_error: float
    phase_variance_rad2: float


def _measure(
    context: Context, stage: Stage, full_photons: float
) -> tuple[Floats, dict[Party, Floats], dict[Party, Floats]]:
    """Launched means, recorded X of both parties in SNU and phase variances, burst by burst."""
    symbols, repetitions = context.setting("symbols", int), context.setting("repetitions", int)
    layout = BurstLayout(format=stage.format, data_symbols=symbols)
    deviation = level_of_photons(stage.number("test_photons"), full_photons, stage.format)
    per_level = 2 * math.sqrt(photons_of_level(1.0, full_photons, stage.format))
    arrival_s = arrivals_s(context)
    means = np.zeros((repetitions, symbols))
    values = {party: np.zeros((repetitions, symbols)) for party in PARTIES}
    variances = {party: np.zeros(repetitions) for party in PARTIES}
    for index in range(repetitions):
        context.progress(index, repetitions, "test pattern")
        drawn = context.rng.standard_normal(symbols).clip(-_LARGEST, _LARGEST)
        levels = (deviation * drawn).astype(np.float32)
        means[index] = per_level * levels
        traces = stage.burst(
            layout, means=levels, pilot_level=OPENING, longest_delay_s=arrival_s["server"]
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
            values[party][index] = _calibrated(context, party, found)
            variances[party][index] = found.phase.mean_variance_rad2
    return means, values, variances


def _calibrated(context: Context, party: Party, found: Demodulated) -> Floats:
    """X of the data in units of the calibrated shot noise, the modulator's leak taken off."""
    calibrated_v2 = context.results["shot_noise"][f"{party}_shot_v2"].value
    x = found.data.real.astype(np.float64) - found.shot_noise.leak.real
    return x * math.sqrt(found.shot_noise.shot / calibrated_v2)


def _gain(party: Party, means: Floats, values: Floats, variances: Floats) -> _Gain:
    """Slope through the origin, burst by burst and over all."""
    energy = (means**2).sum(axis=1)
    by_burst = (values * means).sum(axis=1) / energy
    value = float(by_burst @ energy / energy.sum())
    noise = float(((values - value * means) ** 2).mean())
    error = math.sqrt(noise / float(energy.sum()))
    if not value > 6 * error:
        raise CalibrationError(
            f"the {party}'s record follows the test pattern with a gain of {value:.3g} +- "
            f"{error:.2g}; six standard deviations are needed: check losses, switches and "
            "polarisation, or raise test_photons"
        )
    return _Gain(
        value=value,
        scatter=error / value,
        by_burst=by_burst,
        burst_error=math.sqrt(noise / float(energy.mean())),
        phase_variance_rad2=float(variances.mean()),
    )


def _gain_quantities(context: Context, gains: dict[Party, _Gain]) -> list[Quantity]:
    """Gains with their full uncertainties, and the part of them that is noise."""
    photons = context.results["photons"]["full_photons"]
    v_pi = context.results["modulators"]["weight_v_pi_v"]
    known = math.hypot(photons.uncertainty / photons.value / 2, v_pi.uncertainty / v_pi.value)
    quantities = []
    for party, gain in gains.items():
        name = "client_gain" if party == "client" else "return_gain"
        error = math.hypot(gain.scatter, known, _shot_error(context, party) / 2)
        quantities.append(log_normal(gain.value, gain.value * error).quantity(name, "1"))
        quantities.append(_plain(gain.scatter).quantity(f"{name}_scatter", "1"))
    return quantities


def _transmittances(context: Context, stage: Stage, gains: dict[Party, _Gain]) -> list[Quantity]:
    """Tap and transmittances of both ways."""
    tap, tap_error = stage.number("tap_fraction"), stage.number("tap_uncertainty")
    # The two detections, mode match and what a record holds of the light included.
    detection = {p: _detection(context, stage, p) for p in PARTIES}
    power = {p: gains[p].value ** 2 * math.exp(gains[p].phase_variance_rad2) for p in PARTIES}
    noise = {
        p: math.hypot(2 * gains[p].scatter, _shot_error(context, p), detection[p][1])
        for p in PARTIES
    }
    photons = context.results["photons"]["full_photons"]
    v_pi = context.results["modulators"]["weight_v_pi_v"]
    forward = power["client"] / tap / detection["client"][0]
    forward_error = math.hypot(
        noise["client"],
        photons.uncertainty / photons.value,
        2 * v_pi.uncertainty / v_pi.value,
        tap_error / tap,
    )
    back = power["server"] / forward / (1 - tap) / detection["server"][0]
    back_error = math.hypot(noise["client"], noise["server"], tap_error / (tap * (1 - tap)))
    return [
        normal(tap, tap_error).quantity("tap_fraction", "1"),
        log_normal(forward, forward * forward_error).quantity("forward_transmittance", "1"),
        log_normal(back, back * back_error).quantity("return_transmittance", "1"),
    ]


def _detection(context: Context, stage: Stage, party: Party) -> tuple[float, float]:
    """Efficiency of a recorded quadrature and its relative standard uncertainty."""
    efficiency = context.results["detector"][f"{party}_efficiency"]
    match = stage.number(f"{party}_mode_match")
    return (
        efficiency.value * match**2 * stage.recorded_share,
        math.hypot(
            efficiency.uncertainty / efficiency.value,
            2 * stage.number("mode_match_uncertainty") / match,
        ),
    )


def _shot_error(context: Context, party: Party) -> float:
    """Relative standard uncertainty of the calibrated shot noise."""
    shot = context.results["shot_noise"][f"{party}_shot_v2"]
    return shot.uncertainty / shot.value


def _plain(value: float) -> Estimate:
    """A number that is itself an uncertainty, given without one of its own."""
    return Estimate(value=value, uncertainty=0.0, interval95=(value, value))


def _goodness(gains: dict[Party, _Gain]) -> Goodness:
    """Whether the bursts agree with one another."""
    chi_square = sum(
        float((((gain.by_burst - gain.value) / gain.burst_error) ** 2).sum())
        for gain in gains.values()
    )
    bursts = sum(gain.by_burst.size for gain in gains.values())
    return Goodness(chi_square=chi_square, degrees_of_freedom=max(bursts - len(gains), 1))


def _plot(party: Party, means: Floats, values: Floats, gain: _Gain) -> FitData:
    """Mean of the recorded quadrature in bins of equal numbers of launched means."""
    order = np.argsort(means, axis=None)
    bins = np.array_split(order, _PLOT_BINS)
    flat = values.reshape(-1)
    launched = np.array([means.reshape(-1)[part].mean() for part in bins])
    recorded = np.array([flat[part].mean() for part in bins])
    errors = np.array([flat[part].std(ddof=1) / math.sqrt(part.size) for part in bins])
    return FitData(
        name=f"{party}_gain",
        x=Series(name="launched mean", unit="SNU", values=launched),
        measured=Series(name="recorded X", unit="SNU", values=recorded),
        fitted=Series(name="gain", unit="SNU", values=gain.value * launched),
        uncertainty=Series(name="one sigma", unit="SNU", values=errors),
    )
