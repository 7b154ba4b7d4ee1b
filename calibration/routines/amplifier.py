"""Calibration of the client's amplifier between its meshes: gain and noise."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from calibration.fits.estimates import Estimate, log_normal, normal
from calibration.fits.least_squares import Array
from calibration.fits.mesh import fit_returned_amplitude
from calibration.result import FitData, Result, Series, Setting
from calibration.routine import Context, Routine
from calibration.routines._port_stage import PORT_ROLES, PORT_SETTINGS, PortStage
from calibration.routines._slot_noise import SlotNoise
from calibration.routines.mesh import meshes_of
from drivers.errors import CalibrationError

__all__ = ["AmplifierCalibration"]

_GAIN_STEPS_DB = (-1.0, 0.0, 1.0)


class AmplifierCalibration(Routine):
    """Gain against the ports that pass the amplifier by, noise against the shot noise.

    Gain: of the light behind the second mesh, mode x has passed amplifier and tap and has the
    amplitude sqrt(G (1 - tau)) relative to all other modes. Noise: an amplifier adds n_sp (G - 1)
    photons per mode, so that the client's detector behind the tap tau sees its quadratures'
    variance grow by eta tau 2 n_sp (G - 1) shot-noise units, half of it with a heterodyne record
    (Caves, Phys. Rev. D 26, 1817 (1982)). Noise figure: (1 + 2 n_sp (G - 1)) / G, the ratio of the
    signal to noise before and behind for a coherent input.
    """

    name = "amplifier"
    needs = ("mesh",)
    roles = PORT_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 2.0
    duration_s = 60.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **PORT_SETTINGS,
        "tap_fraction": 0.5,
        "tap_uncertainty": 1e-3,
        "client_efficiency": 0.816,
        "client_efficiency_uncertainty": 0.01,
        "settings_of_meshes": 12,
        "noise_samples": 1 << 21,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`."""
        stage = PortStage(context)
        samples = context.setting("noise_samples", int)
        steps = len(_GAIN_STEPS_DB) + 3
        context.progress(0, steps, "recording the detector in the dark")
        dark = stage.noise(samples)
        context.progress(1, steps, "recording the shot noise")
        stage.lasers_on()
        lit = stage.noise(samples)
        context.progress(2, steps, "recording the amplifier's noise")
        gain_db = stage.number("gain_db")
        stage.pump(gain_db)
        pumped = stage.noise(samples)
        stage.open_shutter()
        gains: list[Estimate] = []
        for done, change_db in enumerate(_GAIN_STEPS_DB):
            context.progress(3 + done, steps, "measuring the gain")
            stage.pump(gain_db + change_db)
            gains.append(self._gain(context, stage))
        gain = gains[_GAIN_STEPS_DB.index(0.0)]
        settings_db = gain_db + np.array(_GAIN_STEPS_DB)
        added = _added_noise(stage, dark, lit, pumped)
        claimed = 10 ** (gain_db / 10)
        return context.result(
            quantities=[
                gain.quantity("gain", "1", claimed=claimed),
                added.quantity("added_noise_snu", "SNU", claimed=2 * (claimed - 1)),
                _inversion(added, gain).quantity("inversion", "1"),
                _noise_figure(added, gain).quantity("noise_figure", "1"),
                _shot(dark, lit).quantity("client_shot_v2", "V^2"),
            ],
            fit_data=[_plot(settings_db, gains)],
        )

    def _gain(self, context: Context, stage: PortStage) -> Estimate:
        """Power gain at the present setting, the tap's uncertainty included."""
        mesh, return_mesh = meshes_of(
            context.results["mesh"], stage.number("mesh_half_wave_v"), stage.ports
        )
        points = []
        for _ in range(context.setting("settings_of_meshes", int)):
            phases = context.rng.uniform(0, 2 * math.pi, (2, mesh.channels))
            points.append(stage.point(mesh.volts(phases[0]), return_mesh.volts(phases[1])))
        amplitude, _ = fit_returned_amplitude(points, mesh, return_mesh)
        kept = 1 - stage.number("tap_fraction")
        if not kept > 0:
            raise CalibrationError(
                f"tap_fraction is {1 - kept:g}: nothing goes back to tell the gain by; it must be "
                "below 1"
            )
        value = amplitude.value**2 / kept
        spread = math.hypot(
            2 * amplitude.uncertainty / amplitude.value, stage.number("tap_uncertainty") / kept
        )
        return log_normal(value, value * spread)


def _shot(dark: SlotNoise, lit: SlotNoise) -> Estimate:
    spread = math.hypot(dark.variance.uncertainty, lit.variance.uncertainty)
    return normal(lit.variance_v2 - dark.variance_v2, spread)


def _added_noise(stage: PortStage, dark: SlotNoise, lit: SlotNoise, pumped: SlotNoise) -> Estimate:
    """Noise that the amplifier adds at its output, per quadrature, in shot-noise units."""
    shot = _shot(dark, lit)
    excess = (pumped.variance_v2 - lit.variance_v2) / shot.value
    noise = math.hypot(pumped.variance.uncertainty, lit.variance.uncertainty) / shot.value
    if not excess > 5 * noise:
        raise CalibrationError(
            f"the amplifier's noise is {excess:.3g} shot-noise units, its uncertainty {noise:.2g}: "
            "not to be told from none; check the pump, raise the gain or record longer"
        )
    seen = stage.number("client_efficiency") / 2 * stage.number("tap_fraction")
    relative = math.hypot(
        stage.number("client_efficiency_uncertainty") / stage.number("client_efficiency"),
        stage.number("tap_uncertainty") / stage.number("tap_fraction"),
        shot.uncertainty / shot.value,
    )
    return normal(excess / seen, math.hypot(noise / seen, relative * excess / seen))


def _inversion(added: Estimate, gain: Estimate) -> Estimate:
    """n_sp = added / (2 (G - 1))."""
    above = gain.value - 1
    value = added.value / (2 * above)
    relative = math.hypot(added.uncertainty / added.value, gain.uncertainty / above)
    return log_normal(value, value * relative)


def _noise_figure(added: Estimate, gain: Estimate) -> Estimate:
    """(1 + added) / G, with the errors of both."""
    value = (1 + added.value) / gain.value
    spread = math.hypot(added.uncertainty / gain.value, value * gain.uncertainty / gain.value)
    return normal(value, spread)


def _plot(settings_db: Array, gains: list[Estimate]) -> FitData:
    return FitData(
        name="gain",
        x=Series(name="gain setting", unit="dB", values=settings_db),
        measured=Series(name="gain", unit="1", values=np.array([one.value for one in gains])),
        fitted=Series(name="setting", unit="1", values=10 ** (settings_db / 10)),
        uncertainty=Series(
            name="one sigma", unit="1", values=np.array([one.uncertainty for one in gains])
        ),
    )
