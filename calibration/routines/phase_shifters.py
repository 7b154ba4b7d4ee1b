"""Phase shifters: V_pi of the ones in both oscillators of a homodyne bench."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from calibration.fits.least_squares import PowerNoise
from calibration.fits.mach_zehnder import MachZehnderFit, fit_mach_zehnder
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import BURST_ROLES, BURST_SETTINGS, CONTROLLERS, Floats, light_up
from calibration.routines._slot_noise import level_of
from calibration.routines._stage import PARTIES, PHASES, Party, Stage, StagedRoutine
from calibration.routines._sweeps import mean_of, places
from calibration.routines._tones import steady
from drivers.errors import CalibrationError
from drivers.instruments import PhaseDriver, PolarisationController

__all__ = ["PhaseShifters"]

_LEAST_SCORE: Final = 30.0


class PhaseShifters(StagedRoutine):
    """Sweeps both phase shifters under steady light, at voltages in random order.

    The level of a detector's record is level + A cos(pi V/V_pi - phase of the light). The phase
    moves while it is swept, which limits a sweep; in random order a drift is noise and not another
    slope. Each sweep is fitted by itself, and the scatter of the fits is the uncertainty, drift and
    the shifter's own errors included.

    client_phase_v_pi_v and server_phase_v_pi_v are the voltages of a phase of pi. The polarisation
    need not be aligned: where the fringes do not stand out, the controllers are turned at random.
    """

    name = "phase_shifters"
    needs = ("modulators",)
    roles = BURST_ROLES
    validity_s = 7 * 86400.0
    temperature_tolerance_c = 5.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {**BURST_SETTINGS, "points": 48, "sweeps": 6, "slots": 512, "attempts": 8}
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: no fringes are seen, or the sweeps span less than V_pi.
        """
        stage, _ = light_up(context, aligned=False)
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        for party in PARTIES:
            _turn_until_seen(context, stage, party)
            sweeps = [_sweep(context, stage, party, turn) for turn in range(_sweeps(context))]
            v_pi = mean_of([one.fit.v_pi_v.value for one in sweeps])
            quantities.append(v_pi.quantity(f"{party}_phase_v_pi_v", "V"))
            plots.append(_plot(party, sweeps[0]))
        return context.result(quantities=quantities, fit_data=plots)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sweep:
    """Levels over voltages, as a positive number above the lowest, and their fit."""

    volts: Floats
    level_v: Floats
    fit: MachZehnderFit


def _sweeps(context: Context) -> int:
    return context.setting("sweeps", int)


def _turn_until_seen(context: Context, stage: Stage, party: Party) -> None:
    """Turn the polarisation at random until the fringes stand out of the noise."""
    controller = stage.get(CONTROLLERS[party], PolarisationController)
    driver = stage.get(PHASES[party], PhaseDriver)
    for _ in range(context.setting("attempts", int)):
        levels = []
        for share in (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875):
            driver.set_voltages(np.array([share * driver.limits.volts.highest]))
            levels.append(level_of(steady(stage, party, context.setting("slots", int))))
        spread = float(np.ptp([one.value for one in levels]))
        if spread > _LEAST_SCORE * max(one.uncertainty for one in levels):
            return
        controller.set_angles(context.rng.uniform(0, 2 * math.pi, controller.limits.channels))
    raise CalibrationError(
        f"the {party}'s record shows no fringes when {driver.name} is swept; check that light and "
        "oscillator reach the detector, and the phase shifter's cable"
    )


def _sweep(context: Context, stage: Stage, party: Party, turn: int) -> _Sweep:
    """One sweep over the driver's whole range."""
    driver = stage.get(PHASES[party], PhaseDriver)
    context.progress(turn, _sweeps(context), f"phase shifter of the {party}")
    points = context.setting("points", int)
    ordered = places(driver.limits.volts, points, context.rng, downwards=False)
    volts = context.rng.permutation(ordered)
    levels = []
    for volt in volts:
        driver.set_voltages(np.array([volt]))
        levels.append(level_of(steady(stage, party, context.setting("slots", int))).value)
    raised = np.array(levels) - min(levels)
    # Drift of the phase weighs most on the slopes: all points count alike.
    noise = PowerNoise(relative=0.0, floor=0.02 * float(raised.max()))
    return _Sweep(volts=volts, level_v=raised, fit=fit_mach_zehnder(volts, raised, noise))


def _plot(party: Party, sweep: _Sweep) -> FitData:
    order = np.argsort(sweep.volts)
    return FitData(
        name=f"{party}_fringes",
        x=Series(name="voltage", unit="V", values=sweep.volts[order]),
        measured=Series(name="level", unit="V", values=sweep.level_v[order]),
        fitted=Series(name="fringes", unit="V", values=sweep.fit.fit.fitted[order]),
    )
