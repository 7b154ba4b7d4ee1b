"""Noise of all detectors of a bench with an amplifier: in the dark, and under their oscillators."""

import math
from collections.abc import Mapping
from typing import ClassVar

from calibration.fits.estimates import Estimate, normal
from calibration.result import Quantity, Result, Setting
from calibration.routine import Context, Routine
from calibration.routines._port_stage import PORT_ROLES, PORT_SETTINGS, PortStage
from calibration.routines._roles import PARTIES
from calibration.routines._slot_noise import SlotNoise
from drivers.errors import CalibrationError

__all__ = ["PortNoise"]


class PortNoise(Routine):
    """Electronic noise and shot noise of each detector, per quadrature of a matched-filter output.

    First with the bench in its safe state, then with all lasers on, the shutter closed and the
    amplifier not pumped, at the oscillators' operating power: what the oscillator adds is shot
    noise. A detector whose record it does not raise above five times its uncertainty has lost it.
    """

    name = "port_noise"
    roles = PORT_ROLES
    validity_s = 6 * 3600.0
    temperature_tolerance_c = 5.0
    duration_s = 30.0
    defaults: ClassVar[Mapping[str, Setting]] = {**PORT_SETTINGS, "samples": 1 << 19}

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: an oscillator does not reach a detector.
        """
        stage, samples = PortStage(context), context.setting("samples", int)
        found: list[dict[str, list[SlotNoise]]] = []
        for done, text in enumerate(("in the dark", "under the oscillators")):
            context.progress(done, 2, f"recording the detectors {text}")
            if done:
                stage.lasers_on()
            found.append({party: stage.noise_of(party, samples) for party in PARTIES})
        quantities: list[Quantity] = []
        for party in PARTIES:
            pairs = list(zip(found[0][party], found[1][party], strict=True))
            for channel, (dark, lit) in enumerate(pairs):
                name = f"{party}_{channel}"
                quantities.append(dark.variance.quantity(f"{name}_electronic_v2", "V^2"))
                quantities.append(_shot(dark, lit, name).quantity(f"{name}_shot_v2", "V^2"))
                quantities.append(_clearance(dark, lit).quantity(f"{name}_clearance_db", "dB"))
        return context.result(quantities=quantities)


def _shot(dark: SlotNoise, lit: SlotNoise, name: str) -> Estimate:
    spread = math.hypot(dark.variance.uncertainty, lit.variance.uncertainty)
    shot = normal(lit.variance_v2 - dark.variance_v2, spread)
    if not shot.value > 5 * spread:
        raise CalibrationError(
            f"{name}: the oscillator raises the noise by {shot.value:.3g} V^2, known to "
            f"{spread:.2g} V^2: no shot noise; check the oscillator's power and path"
        )
    return shot


def _clearance(dark: SlotNoise, lit: SlotNoise) -> Estimate:
    """All noise over that in the dark, in dB."""
    relative = math.hypot(
        dark.variance.uncertainty / dark.variance_v2, lit.variance.uncertainty / lit.variance_v2
    )
    decibel = 10 / math.log(10)
    return normal(decibel * math.log(lit.variance_v2 / dark.variance_v2), decibel * relative)
