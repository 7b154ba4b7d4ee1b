"""Beat: the frequency of the light against each party's oscillator."""

import math
from types import MappingProxyType
from typing import Final

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.result import FitData, Quantity, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    light_up,
)
from calibration.routines._stage import OWN_OSCILLATORS, PARTIES, Party, Stage, StagedRoutine
from calibration.routines._tones import Tone, tone
from calibration.routines._walks import PhaseWalk, phase_walk
from drivers.errors import CalibrationError
from drivers.instruments import Laser

__all__ = ["Beat"]

_LIGHT_M_S: Final = 299792458.0
_PLOTTED: Final = 256
_LOOKS: Final = 40


class Beat(StagedRoutine):
    """Measures the beat frequencies, sign included.

    client_beat_hz and server_beat_hz are the frequency of the light minus that of the oscillator
    when it is recorded, by the clock of the digitiser. A record of one detector tells the magnitude
    alone. With own oscillators the sign comes from tuning the oscillator upwards by sign_step_hz
    and back afterwards: a beat that shrinks was positive. With a shared laser the frequency
    shifters set it, and the agreed sign is taken.

    The mean frequency of a record has a variance of linewidth/(2 pi time), which the fit of the
    linewidth gives; the lasers' own slow drift within the record, a setting, is added.
    client_beat_error_hz and server_beat_error_hz are the distances from the agreed intermediate
    frequency: what to tune the oscillators by.
    """

    name = "beat"
    needs = ("modulators", "polarisation")
    roles = BURST_ROLES
    validity_s = 1800.0
    temperature_tolerance_c = 1.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {
            **BURST_SETTINGS,
            "slots": 16384,
            "sign_step_hz": 20e6,
            "drift_hz_per_sqrt_s": 60e3,
        }
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: no beat is seen, or it does not follow the oscillator.
        """
        stage, _ = light_up(context)
        nominal_hz = stage.format.if_cycles_per_symbol * stage.format.symbol_rate_hz
        seen: dict[Party, Tone] = {}
        for done, party in enumerate(PARTIES):
            context.progress(done, 4, f"beat of the {party}")
            seen[party] = tone(stage, party, context.setting("slots", int))
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        for done, party in enumerate(PARTIES):
            context.progress(2 + done, 4, f"sign of the {party}'s beat")
            walk = phase_walk(seen[party])
            found = _frequency(stage, seen[party], walk, _sign(context, stage, party))
            error = normal(found.value - nominal_hz, found.uncertainty)
            quantities.append(found.quantity(f"{party}_beat_hz", "Hz", claimed=nominal_hz))
            quantities.append(error.quantity(f"{party}_beat_error_hz", "Hz"))
            plots.append(_plot(party, seen[party], walk))
        return context.result(quantities=quantities, fit_data=plots)


def _sign(context: Context, stage: Stage, party: Party) -> float:
    """+1 if the light lies above the oscillator, -1 below."""
    if stage.shared_oscillators:
        return math.copysign(1.0, stage.format.if_cycles_per_symbol)
    laser = stage.get(OWN_OSCILLATORS[party], Laser)
    slots, step_hz = context.setting("slots", int), stage.number("sign_step_hz")
    wavelength_m = laser.wavelength_m()
    before_hz = abs(tone(stage, party, slots).frequency_hz)
    laser.set_wavelength(wavelength_m - wavelength_m**2 / _LIGHT_M_S * step_hz)
    tuned_hz = _steady(stage, laser, party, slots, step_hz)
    laser.set_wavelength(wavelength_m)
    _steady(stage, laser, party, slots, step_hz)
    moved_hz = before_hz - tuned_hz
    if not abs(abs(moved_hz) - step_hz) < step_hz / 2:
        raise CalibrationError(
            f"{laser.name}: tuned up by {step_hz / 1e6:g} MHz the {party}'s beat went from "
            f"{before_hz / 1e6:.2f} to {tuned_hz / 1e6:.2f} MHz; it must move by that much: check "
            "which laser the detector sees, and that the beat is within the detector's band"
        )
    return math.copysign(1.0, moved_hz)


def _steady(stage: Stage, laser: Laser, party: Party, slots: int, step_hz: float) -> float:
    """Magnitude of the beat when it has stopped moving: lasers call themselves settled earlier."""
    laser.wait_settled(stage.number("timeout_s"))
    before_hz = abs(tone(stage, party, slots).frequency_hz)
    for _ in range(_LOOKS):
        stage.settle()
        now_hz = abs(tone(stage, party, slots).frequency_hz)
        if abs(now_hz - before_hz) < step_hz / 20:
            return now_hz
        before_hz = now_hz
    raise CalibrationError(
        f"{laser.name}: the {party}'s beat still moves at {before_hz / 1e6:.2f} MHz after tuning "
        "by a little; let the laser warm up"
    )


def _frequency(stage: Stage, seen: Tone, walk: PhaseWalk, sign: float) -> Estimate:
    """Frequency at the end of the record, drift of both lasers since its middle included."""
    duration_s = seen.values.size * seen.interval_s
    drift_hz = stage.number("drift_hz_per_sqrt_s") * math.sqrt(2 * duration_s / 3)
    offset = walk.frequency_offset_hz
    turned = math.copysign(1.0, seen.frequency_hz) * sign
    return normal(
        turned * (seen.frequency_hz + offset.value), math.hypot(offset.uncertainty, drift_hz)
    )


def _plot(party: Party, seen: Tone, walk: PhaseWalk) -> FitData:
    """Phase of the beat against the filter, and the straight line of the frequency."""
    phase = seen.phase_rad
    chosen = np.linspace(0, phase.size - 1, min(_PLOTTED, phase.size)).astype(np.intp)
    times = np.asarray(chosen * seen.interval_s, dtype=np.float64)
    slope = 2 * math.pi * walk.frequency_offset_hz.value
    return FitData(
        name=f"{party}_phase",
        x=Series(name="time", unit="s", values=times),
        measured=Series(name="phase of the beat", unit="rad", values=phase[chosen]),
        fitted=Series(name="frequency", unit="rad", values=phase[0] + slope * times),
    )
