"""Predistortion: what is left of the modulators' sine after its inversion."""

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from calibration.fits.estimates import normal
from calibration.result import FitData, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    CLIENT,
    OPENING,
    Floats,
    arrivals_s,
    light_up,
    play_levels,
    read,
)
from calibration.routines._stage import Modulator, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError
from drivers.optics.burst import BurstLayout
from drivers.optics.receiver import Demodulated

__all__ = ["Predistortion"]

_PLOT_BINS = 24


class Predistortion(StagedRoutine):
    """Regresses recorded amplitudes on wanted ones, cubic term included.

    Wanted levels l between -1 and 1, relative to a pilot of the weights or to the full level of the
    oscillator, are played through the inverted sine, and recorded = gain l (1 + c l^2) + offset is
    fitted. weight_nonlinearity and data_nonlinearity are c: how far the largest level lies off the
    proportion that small ones have. A V_pi that is too small by a part e makes c about -0.3 e: the
    inversion is checked by the light itself, at the server's return for the weights, which are
    recorded by the client, and at the client for the data.

    The data's levels are aligned with the slots by the routine "delay".
    """

    name = "predistortion"
    needs = ("modulators", "electronic_noise", "polarisation", "delay")
    roles = BURST_ROLES
    validity_s = 24 * 3600.0
    temperature_tolerance_c = 3.0
    duration_s = 60.0
    defaults = MappingProxyType({**BURST_SETTINGS, "symbols": 16384, "repetitions": 2})

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: the levels do not show in the client's record.
            OpticsError: no burst is found.
        """
        stage, _ = light_up(context)
        shapes = {
            "weight": _fit("weight", *_weights(context, stage)),
            "data": _fit("data", *_data(context, stage)),
        }
        return context.result(
            quantities=[
                normal(shape.cubic, shape.error).quantity(f"{name}_nonlinearity", "1", claimed=0.0)
                for name, shape in shapes.items()
            ],
            fit_data=[_plot(name, shape) for name, shape in shapes.items()],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shape:
    """A modulator's amplitude: levels, what was recorded, and the cubic share with its error."""

    levels: Floats
    recorded: Floats
    gain: float
    cubic: float
    error: float


def _weights(context: Context, stage: Stage) -> tuple[Floats, Floats]:
    """Levels of the weights relative to a pilot, and the client's record of them."""
    levels, recorded = [], []
    layout = _layout(context, stage)
    arrival_s = arrivals_s(context)["client"]
    for index in range(context.setting("repetitions", int)):
        context.progress(index, 2 * context.setting("repetitions", int), "levels of the weights")
        drawn = context.rng.uniform(-1, 1, layout.data_symbols)
        traces = stage.burst(
            layout,
            means=OPENING * drawn,
            pilot_level=OPENING,
            longest_delay_s=arrival_s,
            parties=CLIENT,
        )
        found = _read(context, stage, traces["client"].volts[0], layout, None)
        levels.append(drawn)
        recorded.append(found.data.real - found.shot_noise.leak.real)
    return np.concatenate(levels), np.concatenate(recorded)


def _data(context: Context, stage: Stage) -> tuple[Floats, Floats]:
    """Levels of the oscillator, and the client's record of pilots under them."""
    levels, recorded = [], []
    layout = _layout(context, stage)
    delay = context.results["delay"]
    repetitions = context.setting("repetitions", int)
    for index in range(repetitions):
        context.progress(repetitions + index, 2 * repetitions, "levels of the data")
        drawn = context.rng.uniform(-1, 1, layout.data_symbols)
        signs = context.rng.choice(np.array([-1.0, 1.0]), layout.data_symbols)
        volts = play_levels(
            stage,
            layout,
            OPENING * signs,
            drawn,
            clock_offset=delay["client_clock_offset"].value,
            delay_s=delay["forward_delay_s"].value - delay["oscillator_delay_s"].value,
            arrival_s=delay["forward_delay_s"].value,
        )
        found = _read(context, stage, volts, layout, drawn)
        levels.append(drawn)
        recorded.append((found.data.real - found.shot_noise.leak.real * drawn) * signs)
    return np.concatenate(levels), np.concatenate(recorded)


def _layout(context: Context, stage: Stage) -> BurstLayout:
    return BurstLayout(format=stage.format, data_symbols=context.setting("symbols", int))


def _read(
    context: Context,
    stage: Stage,
    volts: np.ndarray,
    layout: BurstLayout,
    levels: Floats | None,
) -> Demodulated:
    party: Party = "client"
    return read(
        stage,
        party,
        volts,
        layout,
        electronic_v2=context.results["electronic_noise"]["client_electronic_v2"].value,
        levels=levels,
        arrival_s=arrivals_s(context)["client"],
    )


def _fit(name: Modulator, levels: Floats, recorded: Floats) -> _Shape:
    """Linear regression on 1, l and l^3, errors by the scatter of the residuals where they are.

    The oscillator's shot noise follows its level, so that the scatter is not the same everywhere
    (White, Econometrica 48, 817 (1980)).
    """
    design = np.stack([np.ones_like(levels), levels, levels**3], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ (design.T @ recorded)
    residuals = recorded - design @ found
    spread = (design * (residuals**2)[:, None]).T @ design
    covariance = inverse @ spread @ inverse
    gain, cubic = float(found[1]), float(found[2] / found[1])
    if not abs(gain) > 6 * math.sqrt(covariance[1, 1]):
        raise CalibrationError(
            f"the client's record follows the levels of the {name} modulator with {gain:.3g} +- "
            f"{math.sqrt(covariance[1, 1]):.2g}, six standard deviations are needed; check the "
            "delays and the modulator's drive"
        )
    slope = np.array([0.0, -cubic / gain, 1 / gain])
    return _Shape(
        levels=levels,
        recorded=recorded,
        gain=gain,
        cubic=cubic,
        error=math.sqrt(float(slope @ covariance @ slope)),
    )


def _plot(name: str, shape: _Shape) -> FitData:
    """Recorded amplitude less its proportional part, in bins of the level."""
    bins = np.array_split(np.argsort(shape.levels), _PLOT_BINS)
    left = shape.recorded / shape.gain - shape.levels
    levels = np.array([shape.levels[part].mean() for part in bins])
    errors = np.array([left[part].std(ddof=1) / math.sqrt(part.size) for part in bins])
    return FitData(
        name=f"{name}_deviation",
        x=Series(name="wanted level", unit="1", values=levels),
        measured=Series(
            name="recorded less wanted",
            unit="1",
            values=np.array([left[part].mean() for part in bins]),
        ),
        fitted=Series(name="cubic", unit="1", values=shape.cubic * levels**3),
        uncertainty=Series(name="one sigma", unit="1", values=errors),
    )
