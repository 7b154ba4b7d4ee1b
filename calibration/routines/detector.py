"""Efficiency and common-mode rejection of both balanced detectors, from the shot-noise sweep."""

import math
from collections.abc import Mapping
from typing import ClassVar

from calibration.fits.estimates import Estimate, log_normal
from calibration.result import Quantity, Result, Setting
from calibration.routine import Context
from calibration.routines._stage import PARTIES, STAGE_SETTINGS, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError
from drivers.instruments import Laser

__all__ = ["BalancedDetectors"]

_PLANCK_J_S = 6.62607015e-34
_LIGHT_M_S = 299792458.0
_CHARGE_C = 1.602176634e-19


class BalancedDetectors(StagedRoutine):
    """What the slopes of the shot-noise sweep say about the diodes.

    For a photon flux P/(h nu) the variance per sample grows as (G q)^2 eta rate H and the level as
    G q eta k, with transimpedance G, power response H at the intermediate frequency against that at
    0 Hz, efficiency eta and rejected share k of the common mode. G and H are the data sheet's: eta
    carries twice the uncertainty of G and that of the power meter, k that of G alone, because the
    meter cancels in the ratio of the slopes.
    """

    name = "detector"
    needs = ("shot_noise",)
    roles = (
        "server.laser",
        "client.tap_digitiser",
        "server.return_digitiser",
        "client.oscillator_power_meter",
        "server.oscillator_power_meter",
    )
    validity_s = 7 * 86400.0
    temperature_tolerance_c = 3.0
    duration_s = 1.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **STAGE_SETTINGS,
        "client_transimpedance_v_per_a": 1e4,
        "server_transimpedance_v_per_a": 1e4,
        "client_response": 1.0,
        "server_response": 1.0,
        "transimpedance_uncertainty": 0.02,
        "meter_uncertainty": 0.02,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: a setting is not above 0.
        """
        stage = Stage(context)
        names = [name for name in self.defaults if name not in STAGE_SETTINGS]
        for name in names:
            if not stage.number(name) > 0:
                raise CalibrationError(
                    f"detector: {name} is {stage.number(name)}, it must be above 0; take it from "
                    "the data sheet"
                )
        quantum_j = _PLANCK_J_S * _LIGHT_M_S / stage.get("server.laser", Laser).wavelength_m()
        quantities: list[Quantity] = []
        for done, party in enumerate(PARTIES):
            context.progress(done, len(PARTIES), f"working out the {party}'s detector")
            quantities += [
                _efficiency(context, stage, party, quantum_j).quantity(f"{party}_efficiency", "1"),
                _rejection_db(context, stage, party).quantity(f"{party}_rejection_db", "dB"),
            ]
        return context.result(
            quantities=quantities,
            goodness=context.results["shot_noise"].goodness,
            fit_data=context.results["shot_noise"].fit_data,
        )


def _efficiency(context: Context, stage: Stage, party: Party, quantum_j: float) -> Estimate:
    slope = context.results["shot_noise"][f"{party}_shot_v2_per_w"]
    gain = stage.number(f"{party}_transimpedance_v_per_a") * _CHARGE_C
    per_photon = gain**2 * stage.format.sample_rate_hz * stage.number(f"{party}_response")
    value = slope.value * quantum_j / per_photon
    relative = math.hypot(
        slope.uncertainty / slope.value,
        2 * stage.number("transimpedance_uncertainty"),
        stage.number("meter_uncertainty"),
    )
    return log_normal(value, value * relative)


def _rejection_db(context: Context, stage: Stage, party: Party) -> Estimate:
    """-20 log10 of the rejected share; the interval is open where the level cannot be seen."""
    found = context.results["shot_noise"]
    level, slope = found[f"{party}_level_v_per_w"], found[f"{party}_shot_v2_per_w"]
    gain = stage.number(f"{party}_transimpedance_v_per_a") * _CHARGE_C
    factor = gain * stage.format.sample_rate_hz * stage.number(f"{party}_response") / slope.value
    share, error = abs(level.value) * factor, level.uncertainty * factor
    relative = math.hypot(
        error / share if share else math.inf,
        slope.uncertainty / slope.value,
        stage.number("transimpedance_uncertainty"),
    )
    half = (level.interval95[1] - level.interval95[0]) / 2 / level.uncertainty * relative
    decibel = 20 / math.log(10)
    if not half < 1:
        least = -20 * math.log10(share + 2 * error)
        return Estimate(value=least, uncertainty=decibel, interval95=(least, math.inf))
    value = -20 * math.log10(share)
    return Estimate(
        value=value,
        uncertainty=decibel * relative,
        interval95=(value - decibel * math.log1p(half), value - decibel * math.log1p(-half)),
    )
