"""Bursts of known symbols that several routines send and record.

Owns how strong they are and how a record of them is read. A burst is what the engine sends
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
from drivers.optics.synchronisation import SearchSettings

__all__ = [
    "BURST_ROLES",
    "BURST_SETTINGS",
    "CLIENT",
    "CONTROLLERS",
    "OPENING",
    "Floats",
    "Launch",
    "aim",
    "align",
    "arrivals_s",
    "light_up",
    "play_levels",
    "read",
]

Floats = NDArray[np.float64]

CLIENT: Final[tuple[Party]] = ("client",)
"""The client alone records."""

OPENING: Final = 0.95
"""Relative amplitude at which the modulator stands at the peak of a pilot, and for a tone."""

BURST_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        **STAGE_SETTINGS,
        "pilot_photons": 2000.0,
        "monitor_tap": 0.01,
        "attenuator_loss_db": 1.0,
        "longest_delay_s": 500e-6,
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


def light_up(context: Context, *, aligned: bool = True) -> tuple[Stage, Launch]:
    """The bench lit and open, pilots at their photons, the client's oscillator at full level.

    Args:
        context: of a routine with `BURST_ROLES`, `BURST_SETTINGS` and V_pi of both modulators.
        aligned: set the polarisation controllers to what the routine "polarisation" found.
    """
    stage = Stage(context)
    stage.lasers_on()
    stage.lock_biases()
    # A loop would look for its null again with the drive away from 0 V.
    stage.hold_biases()
    stage.oscillator(1.0)
    if aligned:
        align(context)
    launch = aim(stage)
    stage.launch(launch.attenuation_db)
    stage.signal()
    return stage, launch


def aim(stage: Stage) -> Launch:
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
        parties=CLIENT,
    )
    return np.asarray(traces["client"].volts[0])


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
    search = None if arrival_s is None else search_range(layout, arrival_s)
    if stage.is_homodyne:
        return stage.phases.read(
            party,
            volts,
            layout,
            electronic_v2=electronic_v2,
            search=search,
            instrument=stage.digitiser(party).name,
        )
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
        search=search,
    )


def _stretched(samples: NDArray[np.float32], clock_offset: float) -> NDArray[np.float32]:
    """A waveform whose slots are longer by the offset, linear between samples."""
    places = np.arange(round(samples.size * (1 + clock_offset))) / (1 + clock_offset)
    stretched = np.interp(places, np.arange(samples.size), samples)
    return np.asarray(stretched, dtype=np.float32)
