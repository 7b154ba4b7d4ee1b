"""Photons: how much light the server launches, by the power meter and by shot noise."""

import math
from types import MappingProxyType
from typing import Final

import numpy as np

from calibration.fits.estimates import Estimate, log_normal
from calibration.result import FitData, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    CLIENT,
    OPENING,
    arrivals_s,
    light_up,
    read,
)
from calibration.routines._stage import Stage, StagedRoutine, photons_of_level
from drivers.optics.burst import BurstLayout

__all__ = ["Photons"]

_DB: Final = math.log(10) / 10


class Photons(StagedRoutine):
    """Chooses the attenuation and measures the photons that it leaves.

    full_photons are the mean photons per slot into the fibre with the weight modulator fully open,
    at attenuation_db, which is where the bench is run: reading of the launch power meter, times
    the ratio of its tap, times the attenuator's loss. Its uncertainty is that of the meter's
    calibration, of the ratio and of the attenuator, which are settings because data sheets tell
    them, and so is what the routine "loss" cannot know better.

    full_photons_by_shot_noise is the same by another way: the client's detector counts the pilots
    in units of its own shot noise, and the path to it is divided off. That path is a setting too
    (forward_loss_db, say from a reflectometer), with the tap and the mode match. photons_ratio
    is this over the meter's; far from 1 something in the chain is not what its data sheet says.
    """

    name = "photons"
    needs = (
        "modulators",
        "electronic_noise",
        "shot_noise",
        "detector",
        "polarisation",
        "delay",
    )
    roles = BURST_ROLES
    validity_s = 24 * 3600.0
    temperature_tolerance_c = 3.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {
            **BURST_SETTINGS,
            "meter_uncertainty": 0.01,
            "monitor_tap_uncertainty": 0.005,
            "attenuator_uncertainty_db": 0.03,
            "forward_loss_db": 1.5,
            "forward_loss_uncertainty_db": 0.2,
            "tap_fraction": 0.1,
            "tap_uncertainty": 0.005,
            "mode_match": 0.98,
            "mode_match_uncertainty": 0.005,
            "symbols": 4096,
            "repetitions": 4,
        }
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: not enough light.
            OpticsError: no burst is found.
        """
        stage, launch = light_up(context)
        relative = math.hypot(
            stage.number("meter_uncertainty"),
            stage.number("monitor_tap_uncertainty"),
            _DB * stage.number("attenuator_uncertainty_db"),
        )
        full = log_normal(launch.full_photons, launch.full_photons * relative)
        pilots = _pilot_amplitudes(context, stage)
        counted = _by_shot_noise(context, stage, pilots)
        ratio = counted.value / full.value
        error = math.hypot(counted.uncertainty / counted.value, relative)
        return context.result(
            quantities=[
                full.quantity("full_photons", "1"),
                Estimate(
                    value=launch.attenuation_db,
                    uncertainty=0.0,
                    interval95=(launch.attenuation_db, launch.attenuation_db),
                ).quantity("attenuation_db", "dB"),
                counted.quantity("full_photons_by_shot_noise", "1", claimed=full.value),
                log_normal(ratio, ratio * error).quantity("photons_ratio", "1", claimed=1.0),
            ],
            fit_data=[
                FitData(
                    name="pilot_amplitudes",
                    x=Series(
                        name="burst", unit="1", values=np.arange(pilots.size, dtype=np.float64)
                    ),
                    measured=Series(name="client's pilots", unit="1", values=pilots),
                )
            ],
        )


def _pilot_amplitudes(context: Context, stage: Stage) -> np.ndarray:
    """Amplitude of the client's pilots in units of its calibrated shot noise, burst by burst."""
    layout = BurstLayout(format=stage.format, data_symbols=context.setting("symbols", int))
    shot_v2 = context.results["shot_noise"]["client_shot_v2"].value
    electronic_v2 = context.results["electronic_noise"]["client_electronic_v2"].value
    arrival_s = arrivals_s(context)["client"]
    repetitions = context.setting("repetitions", int)
    amplitudes = np.zeros(repetitions)
    for index in range(repetitions):
        context.progress(index, repetitions, "counting photons by shot noise")
        traces = stage.burst(layout, pilot_level=OPENING, longest_delay_s=arrival_s, parties=CLIENT)
        volts = traces["client"].volts[0]
        found = read(
            stage, "client", volts, layout, electronic_v2=electronic_v2, arrival_s=arrival_s
        )
        amplitudes[index] = found.pilot_amplitude * math.sqrt(found.shot_noise.shot / shot_v2)
    return amplitudes


def _by_shot_noise(context: Context, stage: Stage, pilots: np.ndarray) -> Estimate:
    """Photons per slot at launch from the pilots' amplitude 2 sqrt(photons transmission eta share).

    The share is half for a quadrature of a heterodyne record.
    """
    efficiency = context.results["detector"]["client_efficiency"]
    shot = context.results["shot_noise"]["client_shot_v2"]
    match, tap = stage.number("mode_match"), stage.number("tap_fraction")
    kept = 10 ** (-stage.number("forward_loss_db") / 10) * tap
    kept *= efficiency.value * match**2 * stage.recorded_share
    amplitude = float(pilots.mean())
    photons = amplitude**2 / (4 * kept)
    scatter = float(pilots.std(ddof=1)) / math.sqrt(pilots.size) / amplitude
    relative = math.hypot(
        2 * scatter,
        shot.uncertainty / shot.value,
        efficiency.uncertainty / efficiency.value,
        2 * stage.number("mode_match_uncertainty") / match,
        stage.number("tap_uncertainty") / tap,
        _DB * stage.number("forward_loss_uncertainty_db"),
    )
    full = photons / photons_of_level(OPENING, 1.0, stage.format)
    return log_normal(full, full * relative)
