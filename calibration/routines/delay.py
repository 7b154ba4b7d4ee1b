"""Delays and clocks: when bursts arrive, and when the oscillator's drive acts."""

import math
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.fits.delay import DelayFit, fit_delay
from calibration.fits.estimates import Estimate, normal
from calibration.result import FitData, Result, Series
from calibration.routine import Context
from calibration.routines._bursts import (
    BURST_ROLES,
    BURST_SETTINGS,
    OPENING,
    Floats,
    light_up,
    read,
)
from calibration.routines._stage import PARTIES, Party, Stage, StagedRoutine
from drivers.errors import CalibrationError, SynchronisationError
from drivers.instruments import Trigger
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst import BurstLayout
from drivers.optics.modulation import volts_from_amplitude

__all__ = ["Delay"]

_PLOTTED: Final = 512
_MANY: Final = 1e6
_REST_SLOTS: Final = 8


class Delay(StagedRoutine):
    """Measures when the light and the oscillator's levels arrive.

    Bursts with a constant oscillator show the delay of the light and the clocks: forward_delay_s
    and round_trip_delay_s are the times from the trigger to the first slot in the client's and the
    server's record, by the clock of the digitiser that recorded them, electronics included;
    client_clock_offset and server_clock_offset are the length of the server's slots on that clock
    over the nominal, minus 1.

    oscillator_delay_s is what the generator's delay setting falls short of: the time from the
    trigger to the first sample of the oscillator's drive in the client's record, minus the delay
    that the generator was set to. It is measured at a setting of forward_delay_s, which is where
    the engine uses it, so that a generator that counts its delay by a clock of its own does no
    harm. The light is blocked: what shows is the step that the data modulator's level leaves in a
    detector that is not quite balanced, cross-correlated with the power that was played.

    Every value is the mean over repetitions with Student's interval from their scatter, so trigger
    jitter is in it. What all repetitions share is a setting: the receiver's timing errs by
    floor_samples, depending on where in a sample the slots lie, and a clock offset by
    clock_floor_samples over the length of the burst. Both come with clocks that differ: between its
    samples a beat at a quarter of the sample rate is followed less exactly than a signal around
    0 Hz. A homodyne record has no beat, and the light's timing there no such error.
    """

    name = "delay"
    needs = ("modulators", "electronic_noise", "polarisation")
    roles = BURST_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 2.0
    duration_s = 60.0
    defaults = MappingProxyType(
        {
            **BURST_SETTINGS,
            "repetitions": 6,
            "symbols": 65536,
            "floor_samples": 5e-3,
            "clock_floor_samples": 0.009,
        }
    )

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            OpticsError: no burst is found.
            CalibrationError: the oscillator's steps do not stand out of the client's record.
        """
        stage, _ = light_up(context)
        repetitions = context.setting("repetitions", int)
        layout = BurstLayout(format=stage.format, data_symbols=context.setting("symbols", int))
        starts, clocks = _arrivals(context, stage, layout, repetitions)
        rate_hz = stage.format.sample_rate_hz
        floor_s = stage.number("floor_samples") / rate_hz
        beats = not stage.is_homodyne
        clock_floor = beats * stage.number("clock_floor_samples") / layout.total_samples
        forward = _mean(starts["client"] / rate_hz, beats * floor_s)
        stage.signal(client="blocked", server="blocked")
        stage.launch(None)
        # Jitter may bring the delay of a short path below 0, where no generator can be set.
        set_s = max(forward.value, 0.0)
        times, shown = _steps(context, stage, repetitions, set_s)
        return context.result(
            quantities=[
                forward.quantity("forward_delay_s", "s"),
                _mean(starts["server"] / rate_hz, beats * floor_s).quantity(
                    "round_trip_delay_s", "s"
                ),
                _mean(times - set_s, floor_s).quantity("oscillator_delay_s", "s"),
                _mean(clocks["client"], clock_floor).quantity("client_clock_offset", "1"),
                _mean(clocks["server"], clock_floor).quantity("server_clock_offset", "1"),
            ],
            fit_data=[shown],
        )


def _arrivals(
    context: Context, stage: Stage, layout: BurstLayout, repetitions: int
) -> tuple[dict[Party, Floats], dict[Party, Floats]]:
    """Start of slot 0 in samples and clock offset, by party, shape (repetitions,)."""
    starts: dict[Party, Floats] = {party: np.zeros(repetitions) for party in PARTIES}
    clocks: dict[Party, Floats] = {party: np.zeros(repetitions) for party in PARTIES}
    electronic = context.results["electronic_noise"]
    for index in range(repetitions):
        context.progress(index, 2 * repetitions, "arrival of bursts")
        longest_s = stage.number("longest_delay_s")
        traces = stage.burst(layout, pilot_level=OPENING, longest_delay_s=longest_s)
        for party in PARTIES:
            try:
                found = read(
                    stage,
                    party,
                    traces[party].volts[0],
                    layout,
                    electronic_v2=electronic[f"{party}_electronic_v2"].value,
                )
            except SynchronisationError as error:
                raise CalibrationError(
                    f"delay: {error}. Light later than longest_delay_s = {longest_s:g} s is not "
                    "looked for; with long fibres the pilots may need more photons ([frame] "
                    "pilot_photons of the bench files)"
                ) from error
            starts[party][index] = found.synchronisation.timing.start
            clocks[party][index] = found.clock_offset
    return starts, clocks


def _steps(
    context: Context, stage: Stage, repetitions: int, delay_s: float
) -> tuple[Floats, FitData]:
    """Times of the oscillator's first sample in the client's record, and the last fit to see."""
    drive = _drive(stage)
    rate_hz = stage.format.sample_rate_hz
    # The first sample before which nothing of the drive can lie keeps the records short.
    skip = max(math.floor(delay_s * rate_hz) - 64 * stage.format.samples_per_symbol, 0)
    times = np.zeros(repetitions)
    power = drive.astype(np.float64) ** 2
    for index in range(repetitions):
        context.progress(repetitions + index, 2 * repetitions, "steps of the oscillator")
        record = _play(stage, drive, delay_s)[skip:]
        try:
            fit = fit_delay(power - power[0], record, rate_hz)
        except CalibrationError as error:
            raise CalibrationError(
                "the steps of the oscillator's level do not stand out of the client's record "
                f"({error}); raise the oscillator's power, or unbalance the detector a little"
            ) from error
        times[index] = fit.delay_s.value + skip / rate_hz
    return times, _plot(record, fit, skip / rate_hz, rate_hz)


def _drive(stage: Stage) -> NDArray[np.float32]:
    """A pseudo-random sequence of full and no level, at rest at full level around it.

    Its steps are as slow as a slot, so that volts, field and power alike are limited to far below
    half the sample rate, where a shift by a fraction of a sample means the same for all three.
    """
    signs = stage.format.preamble_signs
    rest = np.ones(_REST_SLOTS)
    slots = np.concatenate([rest, np.where(signs > 0, 1.0, 0.0), rest])
    samples = np.repeat(slots, stage.format.samples_per_symbol)
    width = stage.format.samples_per_symbol / 2
    places = np.arange(-4 * width, 4 * width + 1) / width
    kernel = np.exp(-(places**2) / 2)
    padded = np.pad(samples, places.size // 2, mode="edge")
    smooth = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    return np.minimum(smooth, 1.0).astype(np.float32)


def _play(stage: Stage, drive: NDArray[np.float32], delay_s: float) -> NDArray[np.float32]:
    """The client's record of levels of the oscillator, from the trigger."""
    weight, data = stage.generator("weight"), stage.generator("data")
    weight.load(0, np.zeros(stage.format.samples_per_symbol, dtype=np.float32))
    data.load(0, volts_from_amplitude(drive, stage.v_pi_v("data")))
    layout = BurstLayout(format=stage.format, data_symbols=1)
    digitiser = stage.digitiser("client")
    digitiser.configure(
        stage.format.sample_rate_hz,
        record_samples(layout, delay_s),
        stage.number("client_range_v"),
    )
    digitiser.arm(Trigger.EXTERNAL)
    data.arm(Trigger.EXTERNAL, delay_s)
    weight.arm(Trigger.SOFTWARE)
    weight.trigger()
    digitiser.wait(stage.number("timeout_s"))
    found = digitiser.fetch()
    for generator in (weight, data):
        generator.finish()
    return np.asarray(found.volts[0])


def _mean(values: Floats, floor: float) -> Estimate:
    """Mean of repetitions and its interval.

    Args:
        values: one per repetition.
        floor: standard uncertainty that all repetitions share, of a known size: the degrees of
            freedom of the sum are Welch's (Biometrika 34, 28 (1947)).
    """
    scatter = float(values.std(ddof=1)) / math.sqrt(values.size)
    error = math.hypot(scatter, floor)
    freedom = (values.size - 1) * (error / scatter) ** 4 if scatter > 0 else math.inf
    return normal(
        float(values.mean()),
        error,
        degrees_of_freedom=freedom if freedom < _MANY else None,
    )


def _plot(record: NDArray[np.float32], fit: DelayFit, begin_s: float, rate_hz: float) -> FitData:
    """The beginning of the steps in the client's record."""
    first = max(round(fit.delay_s.value * rate_hz) - _PLOTTED // 4, 0)
    part = slice(first, first + _PLOTTED)
    times = begin_s + np.arange(record.size)[part] / rate_hz
    return FitData(
        name="oscillator_steps",
        x=Series(name="time after the trigger", unit="s", values=times),
        measured=Series(name="client's record", unit="V", values=record[part].astype(np.float64)),
        fitted=Series(name="shifted drive", unit="V", values=fit.fitted[part]),
        uncertainty=Series(
            name="noise of a sample", unit="V", values=np.full(times.size, fit.noise)
        ),
    )
