"""Photons of every port of a bench with an amplifier, by the launch power meter, and V_pi."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import numpy as np

from calibration.fits.estimates import Estimate, log_normal
from calibration.result import FitData, Result, Series, Setting
from calibration.routine import Context, Routine
from calibration.routines._port_light import PORT_ROLES, PORT_SETTINGS, PortLight
from calibration.routines._sweeps import Sweep, mean_of, places, sweep
from drivers.errors import CalibrationError
from drivers.instruments import Attenuator, Laser, PowerMeter

__all__ = ["PortPhotons"]

_LEAST_SWEEPS: Final = 4
_PHOTON_J_M: Final = 6.62607015e-34 * 299792458.0
"""Energy of a photon times its wavelength."""


class PortPhotons(Routine):
    """V_pi of the modulators, the attenuation of a run, and the photons of each port there.

    The meter sees the light of all ports together, so that a port's light is what its modulator
    adds when it alone is opened. The attenuation is chosen such that the pilots' pulses use
    `opening` of the modulators' amplitude. full_photons are those of a slot with the modulator
    fully open; their uncertainty is that of the meter's calibration, which is a setting because its
    data sheet tells it, and is common to all ports.
    """

    name = "port_photons"
    roles = (*PORT_ROLES, "server.launch_power_meter")
    validity_s = 6 * 3600.0
    temperature_tolerance_c = 3.0
    duration_s = 60.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **PORT_SETTINGS,
        "sweeps": 4,
        "points": 31,
        "resolution": 1e-3,
        "averaging_s": 0.05,
        "pilot_photons": 200.0,
        "opening": 0.95,
        "meter_uncertainty": 0.01,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: no modulation, too few sweeps, or not enough light for the pilots.
        """
        light, sweeps = PortLight(context), context.setting("sweeps", int)
        if sweeps < _LEAST_SWEEPS:
            raise CalibrationError(
                f"port_photons: sweeps is {sweeps}, {_LEAST_SWEEPS} are needed for their scatter"
            )
        meter = light.get("server.launch_power_meter", PowerMeter)
        meter.set_wavelength(light.get("server.laser", Laser).wavelength_m())
        meter.set_averaging(light.number("averaging_s"))
        meter.zero()
        context.progress(0, sweeps + light.ports, "switching on")
        light.lasers_on()
        light.hold_biases()
        light.open_shutter()
        read = _reader(light, meter)
        found: list[Sweep] = []
        for turn in range(sweeps):
            context.progress(turn, sweeps + light.ports, "sweeping the modulators")
            volts = places(
                light.generator.limits.volts,
                context.setting("points", int),
                context.rng,
                downwards=turn % 2 == 1,
            )
            found.append(sweep(volts, read, light.number("resolution")))
        v_pi = mean_of([one.fit.v_pi_v.value for one in found])
        open_w = float(np.mean([one.fit.peak_power_w.value for one in found])) / light.ports
        attenuation_db = _attenuation_db(light, open_w)
        light.open_shutter(attenuation_db)
        photons = []
        for port in range(light.ports):
            context.progress(sweeps + port, sweeps + light.ports, "opening one port at a time")
            photons.append(_photons(light, meter, read, port, v_pi.value))
        relative = light.number("meter_uncertainty")
        exact = Estimate(
            value=attenuation_db, uncertainty=0.0, interval95=(attenuation_db, attenuation_db)
        )
        return context.result(
            quantities=[
                v_pi.quantity("weight_v_pi_v", "V"),
                exact.quantity("attenuation_db", "dB"),
                *(
                    log_normal(one, one * relative).quantity(f"full_photons_{port}", "1")
                    for port, one in enumerate(photons)
                ),
            ],
            fit_data=[_plot(found[0])],
        )


def _reader(light: PortLight, meter: PowerMeter) -> Callable[[float], float]:
    """Sets the resting level of all modulators and reads the power."""

    def read(volts: float) -> float:
        for port in range(light.ports):
            light.generator.set_idle(port, volts)
        return meter.power_w()

    return read


def _photons(
    light: PortLight,
    meter: PowerMeter,
    read: Callable[[float], float],
    port: int,
    v_pi_v: float,
) -> float:
    """Photons per slot of one open port; what leaks through the others is taken off."""
    leak_w = read(0.0)
    light.generator.set_idle(port, v_pi_v)
    power_w = meter.power_w() - leak_w * (1 - 1 / light.ports)
    light.generator.set_idle(port, 0.0)
    if not power_w > 0:
        raise CalibrationError(
            f"{meter.name}: port {port} adds {power_w:.3g} W when its modulator opens; check the "
            "fibre of that port and its drive"
        )
    return _per_slot(light, power_w)


def _per_slot(light: PortLight, power_w: float) -> float:
    """Photons of a power in one slot."""
    wavelength_m = light.get("server.laser", Laser).wavelength_m()
    return power_w * wavelength_m / _PHOTON_J_M / light.format.symbol_rate_hz


def _attenuation_db(light: PortLight, open_w: float) -> float:
    """Where pilots of `pilot_photons` use `opening` of the modulators' amplitude.

    A slot of the relative amplitudes a p_k has full_photons a^2 mean(p_k^2) photons.
    """
    most = _per_slot(light, open_w) * light.number("opening") ** 2
    most /= light.format.samples_per_symbol * light.format.pulse.peak**2
    spare = most / light.number("pilot_photons")
    attenuator = light.get("server.attenuator", Attenuator)
    limits = attenuator.limits.attenuation_db
    wanted = light.number("attenuation_db") + 10 * math.log10(spare)
    if wanted not in limits:
        raise CalibrationError(
            f"{attenuator.name}: pilots of {light.number('pilot_photons'):g} photons need an "
            f"attenuation of {wanted:.2f} dB, it allows {limits.lowest:g} to {limits.highest:g} "
            "dB; change the laser's power or the pilots"
        )
    return round(wanted, 2)


def _plot(found: Sweep) -> FitData:
    return FitData(
        name="weight_modulators",
        x=Series(name="drive", unit="V", values=found.volts),
        measured=Series(name="power of all ports", unit="W", values=found.power_w),
        fitted=Series(name="fit", unit="W", values=found.fit.fit.fitted),
    )
