"""Polarisation: the controllers' angles at which light and oscillator interfere most."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.ratio import fieller
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    CONTROLLERS,
    Floats,
    light_up,
)
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from calibration.routines._tones import FRINGES, beat_power, fringe_powers
from drivers.errors import CalibrationError
from drivers.instruments import PolarisationController, Range

__all__ = ["Polarisation"]

_THIRD: Final = 2 * math.pi / 3
_FIFTH: Final = math.pi / 5
_GRID: Final = 4001
_LEAST_SCORE: Final = 6.0
# Between the records of one power the phase of a homodyne bench moves: it errs by so much.
_UNSTEADY: Final = 0.01
_FREEDOM: Final = 15
"""Degrees of freedom of a mean over the stretches of one record."""


class Polarisation(StagedRoutine):
    """Searches the angles of both polarisation controllers for the strongest beat.

    The power of the beat follows the retardance of one linear retarder as p + a cos(angle) +
    b sin(angle), whatever the others do (Jones calculus: the amplitude is linear in the sine and
    cosine of half the angle). Three angles show p, a and b and so the place of the maximum. Where
    the angle is that of a wave plate's axis, the amplitude is linear in 1 and the sine and cosine
    of twice the angle: five angles over half a turn show the power's five terms. Going through all
    channels a few times from random angles leads to the greatest overlap.

    Quantities, for the client and the server: `<party>_angle_<channel>_rad`, the angles with the
    controller's setting error; `<party>_unaligned_share`, the power of the beat at the random
    angles of the start over that at the end, which is the ratio of the squared overlaps; and
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

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the power still rises after all rounds, or no beat is seen.
        """
        stage, _ = light_up(context, aligned=False)
        for role in CONTROLLERS.values():
            controller = stage.get(role, PolarisationController)
            allowed = controller.limits.angle_rad
            low, high = max(allowed.lowest, 0.0), min(allowed.highest, 2 * math.pi)
            controller.set_angles(context.rng.uniform(low, high, controller.limits.channels))
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

    angles_rad: Floats
    unaligned_share: Estimate
    last_gain: Estimate
    history: list[tuple[float, float]]


def _search(context: Context, stage: Stage, party: Party) -> _Found:
    """Maximise one party's beat."""
    slots, rounds = context.setting("slots", int), context.setting("rounds", int)
    controller = stage.get(CONTROLLERS[party], PolarisationController)
    dark = beat_power(stage, party, slots, light=False)
    floor = (float(dark.mean()), float(dark.var(ddof=1)) / dark.size)
    allowed = controller.limits.angle_rad
    best = _best_axis if controller.turns_axes else _best_retardance
    angles = np.array([_wrapped(float(angle), allowed) for angle in controller.angles()])

    def seen(values: Floats) -> tuple[float, float]:
        return (
            float(values.mean()) - floor[0],
            float(values.var(ddof=1)) / values.size + floor[1],
        )

    def power() -> tuple[float, float]:
        controller.set_angles(angles)
        return seen(beat_power(stage, party, slots))

    start = last = power()
    unaligned = seen(fringe_powers(stage, party, slots)) if stage.is_homodyne else start
    history = [start]
    for done in range(rounds):
        context.progress(done, rounds, f"polarisation of the {party}")
        for channel in reversed(range(angles.size)):
            angles[channel] = best(angles, channel, allowed, power)
        now = power()
        history.append(now)
        _check_seen(party, now)
        gain = fieller(
            now[0] - last[0],
            now[0],
            variance_numerator=now[1] + last[1],
            variance_denominator=now[1],
            covariance=now[1],
        )
        unsteady = _UNSTEADY if stage.is_homodyne else 0.0
        if gain.value < max(stage.number("enough"), 2 * gain.uncertainty, unsteady):
            aligned = seen(fringe_powers(stage, party, slots)) if stage.is_homodyne else now
            freedom = FRINGES - 1 if stage.is_homodyne else _FREEDOM
            return _Found(
                angles_rad=angles,
                unaligned_share=_share(unaligned, aligned, freedom),
                last_gain=gain,
                history=[(value, math.sqrt(variance)) for value, variance in history],
            )
        last = now
    raise CalibrationError(
        f"the {party}'s beat still rises by {gain.value:.3g} of its power after {rounds} rounds; "
        "check that the fibre lies still, or allow more rounds"
    )


_Power = Callable[[], tuple[float, float]]


def _best_retardance(angles: Floats, channel: int, allowed: Range, power: _Power) -> float:
    """The retardance at which the power is greatest, of those that the controller can do."""
    begin = _wrapped(0.0, allowed)
    if begin + 2 * _THIRD > allowed.highest:
        begin = allowed.lowest
        _need_span(allowed, 2 * _THIRD)
    seen = []
    for third in range(3):
        angles[channel] = begin + third * _THIRD
        seen.append(power()[0])
    cosine = seen[0] - (seen[1] + seen[2]) / 2
    sine = (seen[1] - seen[2]) * math.sqrt(3) / 2
    best = _wrapped(math.atan2(sine, cosine) + begin, allowed)
    if best in allowed:
        return best
    ends = (allowed.lowest, allowed.highest)
    return max(ends, key=lambda end: math.cos(end - best))


def _best_axis(angles: Floats, channel: int, allowed: Range, power: _Power) -> float:
    """The angle of a wave plate's axis at which the power is greatest, likewise."""
    _need_span(allowed, 4 * _FIFTH)
    places: Floats = allowed.lowest + _FIFTH * np.arange(5, dtype=np.float64)
    seen = []
    for place in places:
        angles[channel] = place
        seen.append(power()[0])
    terms = np.linalg.solve(_axis_terms(places), np.array(seen, dtype=np.float64))
    end = min(allowed.highest, allowed.lowest + math.pi)
    grid = np.linspace(allowed.lowest, end, _GRID, dtype=np.float64)
    return float(grid[np.argmax(_axis_terms(grid) @ terms)])


def _axis_terms(angles: Floats) -> Floats:
    """Powers of a wave plate at these angles of its axis, term by term, shape (n, 5)."""
    double, fourfold = 2 * angles, 4 * angles
    columns = [
        np.ones_like(angles),
        np.cos(double),
        np.sin(double),
        np.cos(fourfold),
        np.sin(fourfold),
    ]
    return np.stack(columns, axis=1)


def _wrapped(angle: float, allowed: Range) -> float:
    """The same retardance, above the lowest that is allowed by less than a whole turn."""
    turn = 2 * math.pi
    if allowed.lowest <= 0 <= allowed.highest - turn:
        return angle % turn
    return allowed.lowest + (angle - allowed.lowest) % turn


def _need_span(allowed: Range, span: float) -> None:
    if allowed.highest - allowed.lowest < span:
        raise CalibrationError(
            f"the polarisation controller reaches {allowed.lowest:.3g} to {allowed.highest:.3g} "
            f"rad; the search needs {span:.3g} rad. Use another, or widen its limits"
        )


def _check_seen(party: Party, power: tuple[float, float]) -> None:
    """Refuse a beat that is lost in noise after a whole round."""
    score = power[0] / math.sqrt(power[1])
    if not score > _LEAST_SCORE:
        raise CalibrationError(
            f"the {party}'s beat stands {score:.2g} standard deviations out of the noise, "
            f"{_LEAST_SCORE:g} are needed; check lasers, switches and losses, or raise "
            "pilot_photons"
        )


def _share(start: tuple[float, float], end: tuple[float, float], freedom: int) -> Estimate:
    """Power at the start over that at the end, each a mean with that many degrees of freedom."""
    return fieller(
        start[0],
        end[0],
        variance_numerator=start[1],
        variance_denominator=end[1],
        degrees_of_freedom=freedom,
    )


def _quantities(party: Party, found: _Found, error_rad: float) -> list[Quantity]:
    quantities = [
        normal(float(angle), error_rad).quantity(f"{party}_angle_{channel}_rad", "rad")
        for channel, angle in enumerate(found.angles_rad)
    ]
    return [
        *quantities,
        found.unaligned_share.quantity(f"{party}_unaligned_share", "1"),
        found.last_gain.quantity(f"{party}_last_gain", "1"),
    ]


def _history(party: Party, history: list[tuple[float, float]]) -> FitData:
    powers, errors = (np.array(column) for column in zip(*history, strict=True))
    return FitData(
        name=f"{party}_search",
        x=Series(name="round", unit="1", values=np.arange(powers.size, dtype=np.float64)),
        measured=Series(name="power of the beat", unit="V^2", values=powers),
        uncertainty=Series(name="one sigma", unit="V^2", values=errors),
    )
