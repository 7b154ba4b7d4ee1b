"""Shot noise of both receivers against the power of their oscillators."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calibration.fits.estimates import Estimate, normal
from calibration.fits.least_squares import Array
from calibration.fits.line import LineFit, fit_line
from calibration.fits.noise_power import NoisePowerFit, fit_noise_power
from calibration.result import FitData, Goodness, Quantity, Result, Series, Setting
from calibration.routine import Context
from calibration.routines._slot_noise import SlotNoise
from calibration.routines._stage import PARTIES, STAGE_SETTINGS, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError
from drivers.instruments import Laser

__all__ = ["ShotNoiseSweep"]

_DARK_RECORDS = 2
_WORST_CHANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Points:
    """Power in W and noise of the records of one party."""

    power_w: list[float]
    noise: list[SlotNoise]

    def add(self, power_w: float, noise: SlotNoise) -> None:
        self.power_w.append(power_w)
        self.noise.append(noise)


class ShotNoiseSweep(StagedRoutine):
    """Shot-noise unit, clearance and linearity of both receivers.

    The power of the laser behind each oscillator is swept from the power of operation down, the
    signal shut off: own lasers, or the server's laser where it feeds both. Variance = electronic
    noise + slope power + excess power^2, power by the oscillator's meter at the detector's port.
    All is given at the power of operation, where the meter's calibration cancels: its relative
    standard uncertainty, a setting, goes into the power alone.
    """

    name = "shot_noise"
    needs = ("modulators",)
    roles = (
        "server.laser",
        "server.return_oscillator",
        "client.oscillator",
        "server.weight_generator",
        "client.data_generator",
        "client.data_bias",
        "server.attenuator",
        "client.signal_switch",
        "server.return_switch",
        "client.tap_digitiser",
        "server.return_digitiser",
        "client.oscillator_power_meter",
        "server.oscillator_power_meter",
    )
    validity_s = 86400.0
    temperature_tolerance_c = 3.0
    duration_s = 180.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **STAGE_SETTINGS,
        "samples": 1 << 21,
        "powers": 8,
        "averaging_s": 0.1,
        "meter_uncertainty": 0.02,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the noise does not follow the law, a record is clipped.
        """
        stage = Stage(context)
        points = {party: _Points(power_w=[], noise=[]) for party in PARTIES}
        samples = context.setting("samples", int)
        for party in PARTIES:
            meter = stage.power_meter(f"{party}.oscillator_power_meter")
            meter.set_averaging(stage.number("averaging_s"))
            meter.zero()
            for _ in range(_DARK_RECORDS):
                points[party].add(0.0, stage.slot_noise(party, samples))
        stage.lasers_on()
        stage.lock_biases(["data"])
        # A loop would look for its null again with the drive at V_pi.
        stage.hold_biases(["data"])
        stage.oscillator(1.0)
        self._sweep(context, stage, points)
        return _result(context, points)

    def _sweep(self, context: Context, stage: Stage, points: dict[Party, _Points]) -> None:
        """Record at equally spaced powers, from the highest down to what the lasers can do."""
        count = context.setting("powers", int)
        lasers = {party: stage.oscillator_laser(party) for party in PARTIES}
        full = {role: stage.laser_power_w(role) for role in lasers.values()}
        least = max(
            stage.get(role, Laser).limits.power_w.lowest / power_w for role, power_w in full.items()
        )
        for step in range(count):
            share = 1 - step / count
            if least > 1 / count:
                share = 1 - (1 - least) * step / (count - 1)
            context.progress(step, count, f"recording at {share:.0%} of the oscillators' power")
            for role, power_w in full.items():
                stage.set_laser_power(role, share * power_w)
            for party in PARTIES:
                meter = stage.power_meter(f"{party}.oscillator_power_meter")
                before = meter.power_w()
                noise = stage.slot_noise(party, context.setting("samples", int))
                points[party].add((before + meter.power_w()) / 2, noise)


def _result(context: Context, points: Mapping[Party, _Points]) -> Result:
    quantities: list[Quantity] = []
    plots: list[FitData] = []
    chi_square, freedom = 0.0, 0
    for party, found in points.items():
        power = np.array(found.power_w)
        fit = fit_noise_power(
            power,
            [noise.variance_v2 for noise in found.noise],
            [noise.degrees_of_freedom for noise in found.noise],
        )
        _check(party, fit)
        levels = _level_line(power, found.noise)
        relative = context.setting("meter_uncertainty", float)
        quantities += _quantities(party, found, fit, relative)
        chi_square += fit.fit.goodness.chi_square
        freedom += fit.fit.goodness.degrees_of_freedom
        plots += _plots(party, power, found.noise, fit, levels)
    return context.result(
        quantities=quantities,
        goodness=Goodness(chi_square=chi_square, degrees_of_freedom=freedom),
        fit_data=plots,
    )


def _quantities(
    party: Party, found: _Points, fit: NoisePowerFit, meter_uncertainty: float
) -> list[Quantity]:
    def named(estimate: Estimate, name: str, unit: str) -> Quantity:
        return estimate.quantity(f"{party}_{name}", unit)

    highest = int(np.argmax(found.power_w))
    power_w = found.power_w[highest]
    return [
        named(fit.shot_variance(power_w), "shot_v2", "V^2"),
        named(fit.clearance_db(power_w), "clearance_db", "dB"),
        named(fit.excess_noise_snu(power_w), "linearity", "SNU"),
        named(_level(found.noise[0], found.noise[highest]), "level_v", "V"),
        named(normal(power_w, meter_uncertainty * power_w), "oscillator_w", "W"),
    ]


def _level(dark: SlotNoise, lit: SlotNoise) -> Estimate:
    """Constant level that the oscillator adds: what the diodes' unbalance lets through."""
    error = math.hypot(dark.level.uncertainty, lit.level.uncertainty)
    return normal(lit.level.value - dark.level.value, error)


def _level_line(power: Array, noises: list[SlotNoise]) -> LineFit:
    """Constant level against power, for the plot."""
    values = [noise.level.value for noise in noises]
    return fit_line(power, values, [noise.level.uncertainty for noise in noises])


def _check(party: Party, fit: NoisePowerFit) -> None:
    """Refuse noise that does not follow the law, and a shot noise that is lost in it."""
    chance = fit.fit.goodness.p_value
    if not chance > _WORST_CHANCE:
        raise CalibrationError(
            f"{party}: the variance does not follow electronic + shot + intensity noise (chance "
            f"{chance:.1g}); lower the oscillator's power if the detector saturates, and look for "
            "noise from elsewhere"
        )
    low, high = fit.slope.interval95
    if not low > 0:
        raise CalibrationError(
            f"{party}: the variance grows with the oscillator's power by {fit.slope.value:.3g} "
            f"[{low:.3g}, {high:.3g}] V^2/W, not to be told from 0; check that the oscillator "
            "reaches the detector"
        )


def _plots(
    party: Party, power: Array, noises: list[SlotNoise], fit: NoisePowerFit, levels: LineFit
) -> list[FitData]:
    level_v = np.array([noise.level.value for noise in noises])
    return [
        FitData(
            name=f"{party}_noise_against_power",
            x=Series(name="oscillator power", unit="W", values=power),
            measured=Series(
                name="variance",
                unit="V^2",
                values=np.array([noise.variance_v2 for noise in noises]),
            ),
            fitted=Series(name="three terms", unit="V^2", values=fit.fit.fitted),
            uncertainty=Series(name="one sigma", unit="V^2", values=fit.fit.noise),
        ),
        FitData(
            name=f"{party}_level_against_power",
            x=Series(name="oscillator power", unit="W", values=power),
            measured=Series(name="level", unit="V", values=level_v),
            fitted=Series(name="line", unit="V", values=levels.fit.fitted),
            uncertainty=Series(name="one sigma", unit="V", values=levels.fit.noise),
        ),
    ]
