"""Polarisation: the controllers' angles at which light and oscillator interfere most."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from calibration.fits.estimates import Estimate, normal
from calibration.fits.ratio import fieller
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    CONTROLLERS,
    beat_power,
    light_up,
)
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError
from drivers.instruments import PolarisationController

__all__ = ["Polarisation"]

_THIRD: Final = 2 * math.pi / 3


class Polarisation(StagedRoutine):
    """Searches the angles of both polarisation controllers for the strongest beat.

    The power of the beat follows the angle of one linear retarder as p + a cos(angle) +
    b sin(angle), whatever the others do (Jones calculus: the amplitude is linear in the sine and
    cosine of half the angle). Three angles show p, a and b and so the place of the maximum; going
    through all retarders a few times from random angles leads to the greatest overlap.

    Quantities, for the client and the server: `<party>_angle_<channel>_rad`, the angles, exact
    because they are settings; `<party>_unaligned_share`, the power of the beat at the random angles
    of the start over that at the end, which is the ratio of the squared overlaps; and
    `<party>_last_gain`, by how much the last round raised the power, relative to it.
    """

    name = "polarisation"
    needs = ("modulators",)
    roles = BURST_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 2.0
    duration_s = 120.0
    defaults = MappingProxyType(
        {**BURST_SETTINGS, "slots": 2048, "rounds": 8, "enough": 1e-3, "angle_error_rad": 1e-3}
    )
    angle_limit_rad: ClassVar[float] = 2 * math.pi

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the power still rises after all rounds, or no beat is seen.
        """
        stage, _ = light_up(context, aligned=False)
        for role in CONTROLLERS.values():
            controller = stage.get(role, PolarisationController)
            controller.set_angles(
                context.rng.uniform(0, 2 * math.pi, controller.limits.channels)
            )
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        for party in PARTIES:
            found = _search(context, stage, party)
            quantities += _quantities(party, found, stage.number("angle_error_rad"))
            plots.append(_history(party, found.history))
        return context.result(quantities=quantities, fit_data=plots)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """Where a search ended: angles, share of the start's power, gain of the last round."""

    angles_rad: NDArray[np.float64]
    unaligned_share: Estimate
    last_gain: Estimate
    history: list[tuple[float, float]]


def _search(context: Context, stage: Stage, party: Party) -> _Found:
    """Maximise one party's beat."""
    slots, rounds = context.setting("slots", int), context.setting("rounds", int)
    controller = stage.get(CONTROLLERS[party], PolarisationController)
    dark = beat_power(stage, party, slots, light=False)
    floor = (float(dark.mean()), float(dark.var(ddof=1)) / dark.size)
    angles = controller.angles() % (2 * math.pi)

    def power() -> tuple[float, float]:
        controller.set_angles(angles)
        values = beat_power(stage, party, slots)
        return (
            float(values.mean()) - floor[0],
            float(values.var(ddof=1)) / values.size + floor[1],
        )

    start = last = power()
    history = [start]
    for done in range(rounds):
        context.progress(done, rounds, f"polarisation of the {party}")
        for channel in reversed(range(angles.size)):
            angles[channel] = _best(angles, channel, power)
        now = power()
        history.append(now)
        gain = fieller(
            now[0] - last[0],
            now[0],
            variance_numerator=now[1] + last[1],
            variance_denominator=now[1],
            covariance=now[1],
        )
        if gain.value < max(stage.number("enough"), 2 * gain.uncertainty):
            return _Found(
                angles_rad=angles,
                unaligned_share=_share(start, now),
                last_gain=gain,
                history=[(value, math.sqrt(variance)) for value, variance in history],
            )
        last = now
    raise CalibrationError(
        f"the {party}'s beat still rises by {gain.value:.3g} of its power after {rounds} rounds; "
        "check that the fibre lies still, or allow more rounds"
    )


def _best(angles, channel, power):  # type: ignore[no-untyped-def]
    raise NotImplementedError
