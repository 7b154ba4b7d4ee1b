"""Light that several routines send and record: steady tones and bursts of known symbols.

Owns how strong they are and how a record of them is read. A tone is the weight modulator held open:
the beat of the light with the oscillator, without any symbol. A burst is what the engine sends
(`drivers.optics.burst`), with public symbols in the place of data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.result import Setting
from calibration.routine import Context
from calibration.routines._stage import STAGE_SETTINGS, Party, Stage, photons_of_level
from drivers.errors import CalibrationError
from drivers.instruments import Laser, PolarisationController, Trigger
from drivers.optics.bench_frames import search_range
from drivers.optics.burst import BurstLayout, compose_oscillator
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.receiver import Demodulated, Receiver, ReceiverSettings
from drivers.optics.slot_filter import SlotTiming, filter_all_slots
from drivers.optics.synchronisation import SearchSettings

__all__ = [
    "BURST_ROLES",
    "BURST_SETTINGS",
    "CONTROLLERS",
    "OPENING",
    "Floats",
    "Launch",
    "Tone",
    "aim",
    "align",
    "arrivals_s",
    "beat_power",
    "light_up",
    "play_levels",
    "read",
    "tone",
]

Floats = NDArray[np.float64]

OPENING: Final = 0.95
"""Relative amplitude at which the modulator stands at the peak of a pilot, and for a tone."""

BURST_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        **STAGE_SETTINGS,
        "pilot_photons": 2000.0,
        "monitor_tap": 0.01,
        "attenuator_loss_db": 1.0,
        "longest_delay_s": 250e-6,
    }
)
"""Settings of every routine with light in the fibre: the photons of a pilot, the ratio of the
launch power meter's tap, the attenuator's loss at 0 dB, and the longest round trip."""

CONTROLLERS: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.polarisation", "server": "server.return_polarisation"}
)
"""Role of the polarisation controller before each party's detector."""

BURST_ROLES: Final = (
    "server.laser",
    "server.return_oscillator",
    "client.oscillator",
    "server.weight_generator",
    "server.weight_bias",
    "server.attenuator",
    "server.launch_power_meter",
    "server.return_polarisation",
    "server.return_switch",
    "server.return_digitiser",
    "client.polarisation",
    "client.signal_switch",
    "client.data_generator",
    "client.data_bias",
    "client.tap_digitiser",
)
"""Roles of every routine with light in the fibre."""

_PHOTON_J_M: Final = 6.62607015e-34 * 299792458.0
_STRETCHES: Final = 16
_BAND_CYCLES: Final = 0.25
_SEARCH_BITS: Final = 15
_LINE_BINS: Final = 8
_LINE_OVER_NOISE: Final = 10.0
# A clock beyond the engine's limit is measured all the same, so that it can be named.
_CLOCK_LIMIT: Final = 200e-6


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How strong the light is.

    Args:
        monitor_w: reading of the launch power meter with the weight modulator open.
        full_photons: mean photons per slot at launch with the weight modulator open.
        attenuation_db: setting of the attenuator at which that holds.
        wavelength_m: of the light.
    """

    monitor_w: float
    full_photons: float
    attenuation_db: float
    wavelength_m: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Tone:
    """The beat of steady light with an oscillator.

    Args:
        values: matched-filter value of every slot in volts, complex128, shape (slots,).
        frequency_hz: of the filter, by the digitiser's clock; its sign is that of the agreed
            intermediate frequency.
        interval_s: time from slot to slot, by the digitiser's clock.
    """

    values: NDArray[np.complex128]
    frequency_hz: float
    interval_s: float

    @property
    def phase_rad(self) -> Floats:
        """Unwrapped phase of the beat against the filter, shape (slots,)."""
        return np.asarray(np.unwrap(np.angle(self.values)))


def light_up(context: Context, *, aligned: bool = True) -> tuple[Stage, Launch]:
    """The bench lit and open, pilots at their photons, the client's oscillator at full level.

    Args:
        context: of a routine with `BURST_ROLES`, `BURST_SETTINGS` and V_pi of both modulators.
        aligned: set the polarisation controllers to what the routine "polarisation" found.
    """
    stage = Stage(context)
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(1.0)
    if aligned:
        align(context)
    launch = aim(context, stage)
    stage.launch(launch.attenuation_db)
    stage.signal()
    return stage, launch


def aim(context: Context, stage: Stage) -> Launch:
    """The attenuation at which a pilot at `OPENING` has the wanted photons, by the power meter.

    Raises:
        CalibrationError: there is not enough light.
    """
    wavelength_m = stage.get("server.laser", Laser).wavelength_m()
    meter = stage.power_meter("server.launch_power_meter")
    stage.rest("weight", 1.0)
    monitor_w = meter.power_w()
    stage.rest("weight", 0.0)
    tap = stage.number("monitor_tap")
    power_w = monitor_w * (1 - tap) / tap * 10 ** (-stage.number("attenuator_loss_db") / 10)
    most = power_w * wavelength_m / _PHOTON_J_M / stage.format.symbol_rate_hz
    wanted = stage.number("pilot_photons") / photons_of_level(OPENING, 1.0, stage.format)
    if not most > wanted:
        raise CalibrationError(
            f"with the attenuator at 0 dB the open modulator gives {most:.3g} photons per slot, "
            f"pilots of {stage.number('pilot_photons'):g} photons need {wanted:.3g}; raise the "
            "laser's power or lower pilot_photons"
        )
    attenuation_db = round(10 * math.log10(most / wanted), 2)
    context.progress(0, 1, f"launch at {attenuation_db:g} dB")
    return Launch(
        monitor_w=monitor_w,
        full_photons=most * 10 ** (-attenuation_db / 10),
        attenuation_db=attenuation_db,
        wavelength_m=wavelength_m,
    )


def align(context: Context) -> None:
    """Set the polarisation controllers to the angles that the routine "polarisation" found."""
    found = context.results["polarisation"]
    stage = Stage(context)
    for party, role in CONTROLLERS.items():
        controller = stage.get(role, PolarisationController)
        channels = range(controller.limits.channels)
        angles = [found[f"{party}_angle_{channel}_rad"].value for channel in channels]
        controller.set_angles(np.array(angles))


def arrivals_s(context: Context) -> dict[Party, float]:
    """When a burst reaches each party's record, by the routine "delay"."""
    found = context.results["delay"]
    return {
        "client": found["forward_delay_s"].value,
        "server": found["round_trip_delay_s"].value,
    }


def tone(stage: Stage, party: Party, slots: int, *, detuning: float = 0.0) -> Tone:
    """Record steady light and filter it slot by slot.

    Args:
        stage: lit.
        party: whose record.
        slots: length.
        detuning: of the filter from the beat, in cycles per slot.

    Raises:
        CalibrationError: no beat stands out of the record, or the record is clipped.
    """
    volts = _steady(stage, party, slots, OPENING)
    burst = stage.format
    cycles = math.copysign(_strongest_line(volts), burst.if_cycles_per_symbol)
    cycles += detuning / burst.samples_per_symbol
    timing = SlotTiming(start=0.0, samples_per_slot=burst.samples_per_symbol)
    values = filter_all_slots(volts, timing, burst.pulse, cycles, 0, slots)
    return Tone(
        values=values.astype(np.complex128),
        frequency_hz=cycles * burst.sample_rate_hz,
        interval_s=1 / burst.symbol_rate_hz,
    )


def beat_power(stage: Stage, party: Party, slots: int, *, light: bool = True) -> Floats:
    """Power within a quarter of the symbol rate of the agreed frequency, noise included.

    Args:
        stage: lit.
        party: whose record.
        slots: length of the record, a multiple of 16.
        light: False holds the weight modulator closed: what noise adds.

    Returns:
        Mean square of the band in each of 16 stretches of the record, V^2.
    """
    burst = stage.format
    volts = _steady(stage, party, slots, OPENING if light else 0.0)
    stretches = volts.reshape(_STRETCHES, -1).astype(np.float64)
    stretches *= np.hanning(stretches.shape[1]) * math.sqrt(8 / 3)
    spectrum = np.fft.rfft(stretches, axis=1)
    turns = np.fft.rfftfreq(stretches.shape[1])
    middle = abs(burst.if_cycles_per_symbol) / burst.samples_per_symbol
    band = np.abs(turns - middle) <= _BAND_CYCLES / burst.samples_per_symbol
    power = (np.abs(spectrum[:, band]) ** 2).sum(axis=1)
    return np.asarray(2 * power / stretches.shape[1] ** 2)


def play_levels(
    stage: Stage,
    layout: BurstLayout,
    means: Floats,
    levels: Floats,
    *,
    clock_offset: float,
    delay_s: float,
    arrival_s: float,
) -> NDArray[np.float32]:
    """A burst under an oscillator that follows the slots, as in a run; the client's record.

    Args:
        stage: lit.
        layout: of the burst.
        means: as in `Stage.burst`.
        levels: of the client's oscillator in each data slot.
        clock_offset: of the server's slots on the client's clock.
        delay_s: setting of the generator that brings the levels to the slots.
        arrival_s: when the burst arrives.

    Raises:
        CalibrationError: the record is clipped.
    """
    wanted = _stretched(compose_oscillator(layout, levels), clock_offset)
    data = stage.generator("data")
    data.load(0, volts_from_amplitude(wanted, stage.v_pi_v("data")))
    # Armed beforehand, it starts with the trigger of the weights.
    data.arm(Trigger.EXTERNAL, delay_s)
    traces = stage.burst(
        layout,
        means=means,
        pilot_level=OPENING,
        longest_delay_s=arrival_s,
        parties=("client",),
    )
    return traces["client"].volts[0]


def read(
    stage: Stage,
    party: Party,
    volts: NDArray[np.float32],
    layout: BurstLayout,
    *,
    electronic_v2: float,
    levels: NDArray[np.floating[Any]] | None = None,
    arrival_s: float | None = None,
) -> Demodulated:
    """Demodulate the record of a burst as the engine does.

    Args:
        stage: that played it.
        party: whose record.
        volts: the record.
        layout: of the burst.
        electronic_v2: variance of a matched-filter output without light.
        levels: of the client's oscillator, where it was shaped.
        arrival_s: when the burst arrives; None searches the whole record.

    Raises:
        OpticsError: the record cannot be trusted.
    """
    receiver = Receiver(
        layout.format,
        instrument=stage.digitiser(party).name,
        settings=ReceiverSettings(search=SearchSettings(clock_limit=_CLOCK_LIMIT)),
    )
    return receiver.process(
        volts,
        layout,
        electronic_noise=electronic_v2,
        oscillator_levels=levels,
        search=None if arrival_s is None else search_range(layout, arrival_s),
    )


def _steady(stage: Stage, party: Party, slots: int, opening: float) -> NDArray[np.float32]:
    """A record of the weight modulator held at a relative amplitude."""
    stage.rest("weight", opening)
    trace = stage.record(party, slots * stage.format.samples_per_symbol)
    stage.rest("weight", 0.0)
    return trace.volts[0]


def _strongest_line(volts: NDArray[np.float32]) -> float:
    """Frequency of the strongest line of a record, in cycles per sample.

    Raises:
        CalibrationError: no line stands out.
    """
    part = volts[: 1 << min(_SEARCH_BITS, volts.size.bit_length() - 1)].astype(np.float64)
    power = np.abs(np.fft.rfft((part - part.mean()) * np.hanning(part.size))) ** 2
    # A line of some hundred kilohertz covers several bins; those next to 0 hold the unbalance.
    smooth = np.convolve(power, np.ones(_LINE_BINS), mode="same")
    smooth[:_LINE_BINS] = 0.0
    peak = int(smooth.argmax())
    if not smooth[peak] > _LINE_OVER_NOISE * float(np.median(smooth)):
        raise CalibrationError(
            "no beat of light and oscillator stands out of the record; check that both lasers are "
            "on, their wavelengths, the switches and the polarisation"
        )
    bins = np.arange(max(peak - _LINE_BINS, 1), min(peak + _LINE_BINS + 1, power.size))
    return float(power[bins] @ bins / power[bins].sum() / part.size)


def _stretched(samples: NDArray[np.float32], clock_offset: float) -> NDArray[np.float32]:
    """A waveform whose slots are longer by the offset, linear between samples."""
    places = np.arange(round(samples.size * (1 + clock_offset))) / (1 + clock_offset)
    stretched = np.interp(places, np.arange(samples.size), samples)
    return np.asarray(stretched, dtype=np.float32)
