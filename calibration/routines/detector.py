"""Efficiency and common-mode rejection of both balanced detectors, from the shot-noise sweep."""

import math
from collections.abc import Mapping
from typing import ClassVar

from calibration.fits.estimates import Estimate, critical_value, log_normal
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
    """What shot noise and level at one oscillator power say about the diodes.

    A photon flux F = P/(h nu) gives the shot variance (G q)^2 eta F rate H per sample and the level
    G q eta k F, with transimpedance G, power response H at the intermediate frequency against that
    at 0 Hz, efficiency eta and the share k of the common mode that is not rejected. G and H are the
    data sheet's: eta carries twice the uncertainty of G and that of the power meter, k that of G
    alone, because F eta cancels in the ratio of level and variance.
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
    found = context.results["shot_noise"]
    shot, power = found[f"{party}_shot_v2"], found[f"{party}_oscillator_w"]
    value = shot.value / _variance_per_electron_rate(stage, party) * quantum_j / power.value
    relative = math.hypot(
        shot.uncertainty / shot.value,
        2 * stage.number("transimpedance_uncertainty"),
        power.uncertainty / power.value,
    )
    return log_normal(value, value * relative)


def _rejection_db(context: Context, stage: Stage, party: Party) -> Estimate:
    """-20 log10 of the share that passes; the interval is open where the level cannot be seen."""
    found = context.results["shot_noise"]
    level, shot = found[f"{party}_level_v"], found[f"{party}_shot_v2"]
    gain = stage.number(f"{party}_transimpedance_v_per_a") * _CHARGE_C
    factor = _variance_per_electron_rate(stage, party) / gain / shot.value
    share, error = abs(level.value) * factor, level.uncertainty * factor
    relative = math.hypot(
        error / share if share else math.inf,
        shot.uncertainty / shot.value,
        stage.number("transimpedance_uncertainty"),
    )
    half = critical_value() * relative
    decibel = 20 / math.log(10)
    if not half < 1:
        least = -20 * math.log10(share + critical_value() * error)
        return Estimate(value=least, uncertainty=decibel, interval95=(least, math.inf))
    value = -20 * math.log10(share)
    return Estimate(
        value=value,
        uncertainty=decibel * relative,
        interval95=(value - decibel * math.log1p(half), value - decibel * math.log1p(-half)),
    )


def _variance_per_electron_rate(stage: Stage, party: Party) -> float:
    """Variance in V^2 per sample that one electron per second gives by its shot noise."""
    gain = stage.number(f"{party}_transimpedance_v_per_a") * _CHARGE_C
    return gain**2 * stage.format.sample_rate_hz * stage.number(f"{party}_response")
