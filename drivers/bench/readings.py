"""What the instruments of an open bench read now, against the limits at which a watch trips.

Reading changes nothing. A limit is tripped by a power above the ceiling of its detector, by a
pumped amplifier whose seed has gone, and by a reading that is no number or does not come.
"""

from dataclasses import dataclass
from functools import singledispatch

from drivers.bench.bench import Bench
from drivers.bench.safe_state import safe_order
from drivers.errors import VeilightError
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Instrument,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    PolarisationController,
    PowerMeter,
    Switch,
    WaveformGenerator,
)

__all__ = ["Reading", "read_bench"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One line of a watch.

    Args:
        role: of the instrument.
        what: what is read.
        value: as text with its unit.
        limit: at which it trips; empty where there is none.
        tripped: why the bench must be made safe; empty where it is well.
    """

    role: str
    what: str
    value: str
    limit: str = ""
    tripped: str = ""


def read_bench(bench: Bench) -> tuple[Reading, ...]:
    """All readings of an open bench, instrument by instrument; one that fails hides no other.

    Args:
        bench: open.
    """
    ceilings = _ceilings(bench)
    found: list[Reading] = []
    for role in safe_order(bench.instruments, bench.file.content.safety):
        instrument = bench.instruments[role]
        try:
            found += _read(instrument, ceilings.get(role))
        except VeilightError as error:
            found.append(Reading(role=role, what="reading", value="-", tripped=str(error)))
    return tuple(found)


def _ceilings(bench: Bench) -> dict[str, float]:
    """Most power in W that each detector may see."""
    safety = bench.file.content.safety
    return {
        role: safety.ceiling_fraction * detector.damage_w
        for role, detector in safety.detectors.items()
    }


@singledispatch
def _read(instrument: Instrument, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    return [Reading(role=instrument.name, what="safe", value=_yes(instrument.is_safe()))]


@_read.register
def _(laser: Laser, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    settled = "" if not laser.emission() else ", settled" if laser.is_settled() else ", settling"
    state = "on" if laser.emission() else "off"
    return [
        Reading(role=laser.name, what="emission", value=f"{state}{settled}"),
        Reading(role=laser.name, what="set power", value=_watt(laser.power_w())),
        Reading(
            role=laser.name, what="set wavelength", value=f"{laser.wavelength_m() * 1e9:.4f} nm"
        ),
    ]


@_read.register
def _(meter: PowerMeter, ceiling_w: float | None) -> list[Reading]:
    power_w = meter.power_w()
    highest_w = meter.limits.power_w.highest if ceiling_w is None else ceiling_w
    # A comparison with NaN is false, so the good side is asked for.
    tripped = "" if power_w <= highest_w else f"{_watt(power_w)} is above {_watt(highest_w)}"
    limit = f"at most {_watt(highest_w)}"
    return [
        Reading(role=meter.name, what="power", value=_watt(power_w), limit=limit, tripped=tripped)
    ]


@_read.register
def _(amplifier: OpticalAmplifier, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    seed_w, needed = amplifier.seed_power_w(), amplifier.limits.seed_power_w
    lost = amplifier.pump() and seed_w not in needed
    return [
        Reading(role=amplifier.name, what="pump", value="on" if amplifier.pump() else "off"),
        Reading(
            role=amplifier.name,
            what="seed",
            value=_watt(seed_w),
            limit=f"{_watt(needed.lowest)} to {_watt(needed.highest)} while pumped",
            tripped=f"pumped at a seed of {_watt(seed_w)}" if lost else "",
        ),
        Reading(role=amplifier.name, what="output", value=_watt(amplifier.output_power_w())),
    ]


@_read.register
def _(attenuator: Attenuator, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    shutter = "open" if attenuator.shutter_open() else "closed"
    return [
        Reading(role=attenuator.name, what="shutter", value=shutter),
        Reading(
            role=attenuator.name, what="attenuation", value=f"{attenuator.attenuation_db():.2f} dB"
        ),
    ]


@_read.register
def _(switch: Switch, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    return [Reading(role=switch.name, what="position", value=switch.selected())]


@_read.register
def _(bias: BiasController, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    return [
        Reading(
            role=bias.name,
            what=f"bias {channel}",
            value=f"{bias.voltage(channel):.3f} V"
            + (", locked" if bias.is_locked(channel) else ""),
        )
        for channel in range(bias.limits.channels)
    ]


@_read.register
def _(driver: PhaseDriver, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    volts = driver.voltages()
    largest = float(abs(volts).max()) if volts.size else 0.0
    return [Reading(role=driver.name, what="largest voltage", value=f"{largest:.3f} V")]


@_read.register
def _(controller: PolarisationController, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    shown = ", ".join(f"{angle:.3f}" for angle in controller.angles())
    return [Reading(role=controller.name, what="angles", value=f"{shown} rad")]


@_read.register
def _(generator: WaveformGenerator, ceiling_w: float | None) -> list[Reading]:
    del ceiling_w
    channels = range(generator.limits.channels)
    on = [str(channel) for channel in channels if generator.output(channel)]
    outputs = f"on: {', '.join(on)}" if on else "off"
    armed = ", armed" if generator.is_armed() else ""
    return [Reading(role=generator.name, what="outputs", value=f"{outputs}{armed}")]


@_read.register
def _(digitiser: Digitiser, ceiling_w: float | None) -> list[Reading]:
    limit = "" if ceiling_w is None else f"detector: at most {_watt(ceiling_w)} by [safety]"
    idle = "idle" if digitiser.is_safe() else "armed"
    return [Reading(role=digitiser.name, what="state", value=idle, limit=limit)]


_SCALES: tuple[tuple[float, str], ...] = (
    (1.0, "W"),
    (1e-3, "mW"),
    (1e-6, "uW"),
    (1e-9, "nW"),
    (1e-12, "pW"),
)


def _watt(power_w: float) -> str:
    """A power with three digits and a prefix."""
    for scale, unit in _SCALES:
        if abs(power_w) >= scale:
            return f"{power_w / scale:.3g} {unit}"
    return f"{power_w / 1e-12:.3g} pW"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
