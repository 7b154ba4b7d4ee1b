"""Both modulators: V_pi of drive and bias, the null, and the extinction."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np

from calibration.fits.estimates import Estimate
from calibration.fits.ratio import fieller
from calibration.result import FitData, Goodness, Quantity, Result, Series, Setting
from calibration.routine import Context
from calibration.routines._stage import STAGE_SETTINGS, Modulator, Stage, StagedRoutine
from calibration.routines._sweeps import (
    NullScan,
    Sweep,
    last_null,
    mean_of,
    places,
    scan_null,
    sweep,
)
from drivers.errors import CalibrationError
from drivers.instruments import PowerMeter, Range

__all__ = ["ModulatorSweeps"]

_METERS: Final[Mapping[Modulator, str]] = MappingProxyType(
    {"weight": "server.launch_power_meter", "data": "client.oscillator_power_meter"}
)
_LEAST_SWEEPS = 4


@dataclass(frozen=True, kw_only=True)
class _Wide:
    """Sweeps of one modulator over all of its voltages."""

    bias: list[Sweep]
    drive: list[Sweep]


class ModulatorSweeps(StagedRoutine):
    """Sweeps of bias (drive at 0 V) and of the generator's resting level (bias held at the null).

    The weight modulator is seen by the launch monitor, which stands before the attenuator; the data
    modulator by the meter of the client's oscillator. Extinction comes from fine scans around the
    null over the peak of the bias sweeps. Each quantity's uncertainty is the scatter of `sweeps`
    repetitions in alternating directions.
    """

    name = "modulators"
    roles = (
        "server.laser",
        "client.oscillator",
        "server.return_oscillator",
        "server.weight_generator",
        "server.weight_bias",
        "server.attenuator",
        "server.launch_power_meter",
        "server.return_switch",
        "client.signal_switch",
        "client.data_generator",
        "client.data_bias",
        "client.oscillator_power_meter",
    )
    validity_s = 7 * 86400.0
    temperature_tolerance_c = 3.0
    duration_s = 120.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **STAGE_SETTINGS,
        "sweeps": 8,
        "points": 41,
        "null_points": 21,
        "null_reach": 0.02,
        "averaging_s": 0.02,
        "reading_settle_s": 0.01,
        "resolution": 2e-4,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: a sweep shows no modulation, or settings that are too small.
        """
        if context.setting("sweeps", int) < _LEAST_SWEEPS:
            raise CalibrationError(
                f"modulators: sweeps is {context.setting('sweeps', int)}, {_LEAST_SWEEPS} are "
                "needed to tell their scatter"
            )
        stage = Stage(context)
        for role in _METERS.values():
            meter = stage.power_meter(role)
            meter.set_averaging(stage.number("averaging_s"))
            meter.zero()
        stage.lasers_on()
        wide = {}
        for done, modulator in enumerate(_METERS):
            context.progress(done, 3, f"sweeping the {modulator} modulator")
            wide[modulator] = _wide(context, stage, modulator)
        # The nulls drift, so they are looked for last.
        context.progress(2, 3, "looking for the nulls")
        null = {modulator: _null(context, stage, modulator, wide[modulator]) for modulator in wide}
        quantities: list[Quantity] = []
        plots: list[FitData] = []
        chi_square, freedom = 0.0, 0
        for modulator, found in wide.items():
            quantities += _quantities(context, modulator, found, null[modulator])
            plots += _plots(modulator, found, null[modulator])
            for one in (*found.bias, *found.drive):
                chi_square += one.fit.fit.goodness.chi_square
                freedom += one.fit.fit.goodness.degrees_of_freedom
        return context.result(
            quantities=quantities,
            goodness=Goodness(chi_square=chi_square, degrees_of_freedom=freedom),
            fit_data=plots,
        )


def _wide(context: Context, stage: Stage, modulator: Modulator) -> _Wide:
    """The wide sweeps; the generator is at rest at 0 V before and after."""
    bias, generator = stage.bias(modulator), stage.generator(modulator)
    read_bias = _reader(context, stage, modulator, lambda volts: bias.set_voltage(0, volts))
    read_drive = _reader(context, stage, modulator, lambda volts: generator.set_idle(0, volts))
    bias_sweeps = _sweeps(context, stage, bias.limits.volts, read_bias)
    _to_null(stage, modulator)
    drive_sweeps = _sweeps(context, stage, generator.limits.volts, read_drive)
    generator.set_idle(0, 0.0)
    return _Wide(bias=bias_sweeps, drive=drive_sweeps)


def _null(context: Context, stage: Stage, modulator: Modulator, wide: _Wide) -> list[NullScan]:
    """Fine scans, each around the null that the one before found."""
    _to_null(stage, modulator)
    bias = stage.bias(modulator)
    read = _reader(context, stage, modulator, lambda volts: bias.set_voltage(0, volts))
    reach_v = stage.number("null_reach") * wide.bias[0].fit.v_pi_v.value
    points = context.setting("null_points", int)
    centre = bias.voltage(0)
    scans: list[NullScan] = []
    for turn in range(context.setting("sweeps", int)):
        around = bias.limits.volts.narrowed(
            Range(lowest=centre - reach_v, highest=centre + reach_v)
        )
        volts = places(around, points, context.rng, downwards=turn % 2 == 1)
        scans.append(scan_null(volts, read, lambda: context.bench.now().clock_s))
        centre = scans[-1].null_v
    return scans


def _to_null(stage: Stage, modulator: Modulator) -> None:
    """Let the loop find the null nearest to 0 V, and hold the bias there."""
    stage.bias(modulator).set_voltage(0, 0.0)
    stage.lock_biases([modulator])
    stage.hold_biases([modulator])


def _reader(
    context: Context, stage: Stage, modulator: Modulator, set_volts: Callable[[float], None]
) -> Callable[[float], float]:
    meter = stage.get(_METERS[modulator], PowerMeter)
    settle_s = stage.number("reading_settle_s")

    def read(volts: float) -> float:
        set_volts(volts)
        context.bench.sleep(settle_s)
        return meter.power_w()

    return read


def _sweeps(
    context: Context, stage: Stage, within: Range, read: Callable[[float], float]
) -> list[Sweep]:
    """Sweeps over a whole range, up and down in turn."""
    points, resolution = context.setting("points", int), stage.number("resolution")
    return [
        sweep(places(within, points, context.rng, downwards=turn % 2 == 1), read, resolution)
        for turn in range(context.setting("sweeps", int))
    ]


def _quantities(
    context: Context, modulator: Modulator, found: _Wide, null: list[NullScan]
) -> list[Quantity]:
    drive = mean_of([one.fit.v_pi_v.value for one in found.drive])
    bias = mean_of([one.fit.v_pi_v.value for one in found.bias])
    return [
        drive.quantity(f"{modulator}_v_pi_v", "V"),
        bias.quantity(f"{modulator}_bias_v_pi_v", "V"),
        last_null(null, context.bench.now().clock_s).quantity(f"{modulator}_null_v", "V"),
        _extinction_db(found, null).quantity(f"{modulator}_extinction_db", "dB"),
    ]


def _extinction_db(found: _Wide, scans: list[NullScan]) -> Estimate:
    """Peak of the bias sweeps over the least power of the scans; an open interval if it is 0."""
    null = mean_of([scan.null_w for scan in scans])
    peak = mean_of([one.fit.peak_power_w.value for one in found.bias])
    ratio = fieller(
        null.value,
        peak.value,
        variance_numerator=null.uncertainty**2,
        variance_denominator=peak.uncertainty**2,
        degrees_of_freedom=len(scans) - 1,
    )
    low, high = ratio.interval95
    decibel = 10 / math.log(10)
    if not low > 0:
        if not high > 0:
            raise CalibrationError(
                f"the power at the null is {null.value:.3g} W, below 0; zero the meter in the dark"
            )
        least = -10 * math.log10(high)
        return Estimate(value=least, uncertainty=decibel, interval95=(least, math.inf))
    return Estimate(
        value=-10 * math.log10(ratio.value),
        uncertainty=decibel * ratio.uncertainty / ratio.value,
        interval95=(-10 * math.log10(high), -10 * math.log10(low)),
    )


def _plots(modulator: Modulator, found: _Wide, scans: list[NullScan]) -> list[FitData]:
    """The first sweep of each kind."""
    plots = []
    for what, first in (("bias", found.bias[0]), ("drive", found.drive[0])):
        order = np.argsort(first.volts)
        plots.append(
            FitData(
                name=f"{modulator}_{what}_sweep",
                x=Series(name=what, unit="V", values=first.volts[order]),
                measured=Series(name="power", unit="W", values=first.power_w[order]),
                fitted=Series(name="Mach-Zehnder", unit="W", values=first.fit.fit.fitted[order]),
                uncertainty=Series(name="one sigma", unit="W", values=first.fit.fit.noise[order]),
            )
        )
    scan = scans[0]
    order = np.argsort(scan.volts)
    return [
        *plots,
        FitData(
            name=f"{modulator}_null_scan",
            x=Series(name="bias", unit="V", values=scan.volts[order]),
            measured=Series(name="power", unit="W", values=scan.power_w[order]),
            fitted=Series(name="parabola", unit="W", values=scan.fitted_w[order]),
        ),
    ]
