"""Looking at a bench before it is used: is every instrument there, itself, obedient and safe?

No light is emitted: lasers and pumps stay off and shutters closed. Every instrument is opened and
looked at on its own, so that one that fails hides no other, and closed again in its safe state.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from drivers.bench.bench import Bench, refuse_identity
from drivers.bench.registry import InstrumentEntry
from drivers.bench.safe_state import safe_order
from drivers.bench.sections import FrameSection
from drivers.errors import InstrumentError, LimitError, SafetyError, VeilightError
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
    Range,
    WaveformGenerator,
)

__all__ = ["Finding", "check_bench"]

_LOOKS = 5
_SLOW_S = 0.5
_REMEDIES = {
    "reachable": "check power, cable and instruments.{role}.address; close other programs",
    "identity": "put the serial number that answered, or the right address, into the bench file",
    "safe state": "switch it off by hand; do not use it until this passes",
    "limits": "compare instruments.{role}.limits with the data sheet and look for error messages",
    "link": "use another cable or port, and look who else uses the network",
    "errors": "look at its display and its manual for these numbers, then clear them",
    "clock": "check the reference clock and its cable, or change the rate in [frame]",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One look at one instrument.

    Args:
        role: of the instrument.
        check: what was looked at.
        passed: whether it is as it must be.
        found: what was found, or the error.
        remedy: what to do; empty where it passed.
    """

    role: str
    check: str
    passed: bool
    found: str
    remedy: str = ""


def check_bench(bench: Bench) -> tuple[Finding, ...]:
    """Open, look at and close every instrument of a closed bench; emits no light.

    Args:
        bench: the bench, closed before and after.

    Returns:
        Findings in the order of the checks, at least one for each instrument.
    """
    entries = bench.file.entries()
    findings: list[Finding] = []
    for role in safe_order(bench.instruments, bench.file.content.safety):
        findings += _check_one(bench, entries[role])
    return tuple(findings)


def _check_one(bench: Bench, entry: InstrumentEntry) -> list[Finding]:
    with ExitStack() as owned:
        return _check_owned(bench, entry, owned)


def _check_owned(bench: Bench, entry: InstrumentEntry, owned: ExitStack) -> list[Finding]:
    instrument, frame = bench.instruments[entry.role], bench.file.content.frame

    def reachable() -> str:
        owned.enter_context(bench.owning(entry.role))
        instrument.open()
        return "answers"

    def identity() -> str:
        refuse_identity(entry, instrument.identity)
        return instrument.identity.text

    checks: dict[str, Callable[[], str]] = {
        "identity": identity,
        "safe state": lambda: _safe_state(instrument),
        "limits": lambda: _probe(instrument),
    }
    if isinstance(instrument, WaveformGenerator | Digitiser):
        checks["clock"] = lambda: _clock(instrument, frame)
    checks["link"] = lambda: _link(instrument)
    checks["errors"] = lambda: _errors(instrument)
    opened = _find(entry.role, "reachable", reachable)
    if not opened.passed:
        return [opened]
    try:
        findings = [opened, *(_find(entry.role, name, check) for name, check in checks.items())]
    finally:
        # An interruption leaves nothing open either.
        closing = _find(entry.role, "safe state", lambda: _closed(instrument))
    return findings if closing.passed else [*findings, closing]


def _find(role: str, name: str, check: Callable[[], str]) -> Finding:
    try:
        found = check()
    except VeilightError as error:
        name = "safe state" if isinstance(error, SafetyError) else name
        remedy = _REMEDIES[name].format(role=role)
        return Finding(role=role, check=name, passed=False, found=str(error), remedy=remedy)
    return Finding(role=role, check=name, passed=True, found=found)


def _link(instrument: Instrument) -> str:
    """How long an answer takes, by the computer's clock."""
    times = []
    for _ in range(_LOOKS):
        begun = time.perf_counter()
        instrument.is_safe()
        times.append(time.perf_counter() - begun)
    taken_s = sorted(times)[_LOOKS // 2]
    if not taken_s < _SLOW_S:
        raise InstrumentError(
            f"{instrument.name}: looking whether it is safe takes {taken_s:.2g} s; the limit is "
            f"{_SLOW_S:g} s, or a bench cannot be switched off in time"
        )
    return f"answers in {taken_s * 1e3:.2g} ms"


def _errors(instrument: Instrument) -> str:
    """Its error report must be empty after everything that was asked of it."""
    found = instrument.reported_errors()
    if found:
        raise InstrumentError(f"{instrument.name}: reports {'; '.join(found)}")
    return "no error report to ask" if found is None else "no errors"


def _closed(instrument: Instrument) -> str:
    instrument.close()
    return "closed in the safe state"


def _safe_state(instrument: Instrument) -> str:
    if not instrument.is_safe():
        raise SafetyError(f"{instrument.name}: its readback is not the safe state")
    return "read back"


def _clock(instrument: WaveformGenerator | Digitiser, frame: FrameSection) -> str:
    """The rate of the burst, applied and read back."""
    rate = frame.sample_rate_hz
    if isinstance(instrument, WaveformGenerator):
        instrument.set_sample_rate(rate)
        return f"plays at {instrument.sample_rate_hz():.6g} Hz"
    applied = instrument.configure(rate, 1, instrument.limits.range_v.highest)
    return f"records at {applied.sample_rate_hz:.6g} Hz"


def _refused(
    instrument: Instrument, quantity: str, limits: Range, ask: Callable[[float], None]
) -> None:
    """Ask for more than the highest; it must be refused before anything is sent."""
    beyond = limits.highest + max(abs(limits.highest), limits.highest - limits.lowest, 1e-12)
    try:
        ask(beyond)
    except LimitError:
        return
    raise InstrumentError(
        f"{instrument.name}: accepted a {quantity} of {beyond:g}, beyond its highest of "
        f"{limits.highest:g}"
    )


@singledispatch
def _probe(instrument: Instrument) -> str:
    """Set something harmless, read it back, and see the limits refuse what is beyond them."""
    return f"none to probe on a {instrument.kind}"


@_probe.register
def _(laser: Laser) -> str:
    power, wavelength = laser.limits.power_w, laser.limits.wavelength_m
    laser.set_power(power.lowest)
    laser.set_wavelength(_within(wavelength, laser.wavelength_m()))
    _refused(laser, "power in W", power, laser.set_power)
    _refused(laser, "wavelength in m", wavelength, laser.set_wavelength)
    return f"up to {power.highest:.3g} W"


@_probe.register
def _(attenuator: Attenuator) -> str:
    limits = attenuator.limits.attenuation_db
    attenuator.set_attenuation_db(limits.lowest)
    attenuator.set_attenuation_db(limits.highest)
    _refused(attenuator, "attenuation in dB", limits, attenuator.set_attenuation_db)
    return f"{limits.lowest:g} to {limits.highest:g} dB, shutter closed"


@_probe.register
def _(amplifier: OpticalAmplifier) -> str:
    limits = amplifier.limits.gain_db
    amplifier.set_gain_db(limits.lowest)
    _refused(amplifier, "gain in dB", limits, amplifier.set_gain_db)
    return f"{limits.lowest:g} to {limits.highest:g} dB, pump off"


@_probe.register
def _(bias: BiasController) -> str:
    limits = bias.limits.volts
    for channel in range(bias.limits.channels):
        bias.set_voltage(channel, 0.0)
    _refused(bias, "voltage in V", limits, lambda volts: bias.set_voltage(0, volts))
    return f"{limits.lowest:g} to {limits.highest:g} V on each channel"


@_probe.register
def _(driver: PhaseDriver) -> str:
    limits, channels = driver.limits.volts, driver.limits.channels
    driver.set_voltages(np.zeros(channels))
    _refused(driver, "voltage in V", limits, lambda v: driver.set_voltages(np.full(channels, v)))
    return f"{limits.lowest:g} to {limits.highest:g} V on each channel"


@_probe.register
def _(controller: PolarisationController) -> str:
    limits = controller.limits.angle_rad
    present = controller.angles()
    controller.set_angles(np.clip(present, limits.lowest, limits.highest))
    beyond = len(present)
    _refused(controller, "angle", limits, lambda a: controller.set_angles(np.full(beyond, a)))
    return f"{limits.lowest:g} to {limits.highest:g} rad"


@_probe.register
def _(meter: PowerMeter) -> str:
    limits = meter.limits.wavelength_m
    meter.set_wavelength(_within(limits, meter.wavelength_m()))
    _refused(meter, "wavelength in m", limits, meter.set_wavelength)
    return f"reads {meter.power_w():.3g} W"


@_probe.register
def _(generator: WaveformGenerator) -> str:
    volts, rate = generator.limits.volts, generator.limits.sample_rate_hz
    generator.set_idle(0, _within(volts, 0.0))
    _refused(generator, "level in V", volts, lambda level: generator.set_idle(0, level))
    _refused(generator, "sample rate in Hz", rate, generator.set_sample_rate)
    return f"{volts.lowest:g} to {volts.highest:g} V, outputs off"


@_probe.register
def _(digitiser: Digitiser) -> str:
    rate, span = digitiser.limits.sample_rate_hz, digitiser.limits.range_v
    applied = digitiser.configure(rate.lowest, 1, span.lowest)
    _refused(digitiser, "range in V", span, lambda v: _configure(digitiser, rate.lowest, v))
    return f"range {applied.range_v:g} to {span.highest:g} V"


def _configure(digitiser: Digitiser, rate_hz: float, range_v: float) -> None:
    digitiser.configure(rate_hz, 1, range_v)


def _within(limits: Range, value: float) -> float:
    """The allowed value nearest to another."""
    return min(max(value, limits.lowest), limits.highest)
