"""Conditions that must hold before a step and after it: protection, seeds, monitors.

Each function looks at the readbacks of the instruments and raises; none of them changes anything
but a pump without a seed, which `OpticalAmplifier.check_seed` switches off.
"""

from collections.abc import Mapping

from drivers.bench.light import read_light, refuse_overload, upstream_of
from drivers.bench.roles import role_of
from drivers.bench.safe_state import SEED, unsafe_roles
from drivers.bench.sections import INCOMING, SafetySection
from drivers.errors import SafetyError
from drivers.instruments import (
    Attenuator,
    Instrument,
    Laser,
    OpticalAmplifier,
    PowerMeter,
    Switch,
    WaveformGenerator,
)

__all__ = [
    "PROTECTING",
    "RefusedStepError",
    "refuse_open_interlock",
    "refuse_unprotected",
    "refuse_unseeded",
    "refuse_without_seed_laser",
    "watch",
]

PROTECTING = (Attenuator, Switch, OpticalAmplifier, WaveformGenerator)
"""Kinds that must be in their safe state while a laser is switched on."""


class RefusedStepError(SafetyError):
    """A step that was refused before anything was sent: the bench is as it was."""


def refuse_open_interlock(instruments: Mapping[str, Instrument], step: str) -> None:
    """Make sure that no instrument says that its interlock is open. Not all can say it.

    Raises:
        SafetyError: one does: somebody may be at the light, and only a person can know.
        InstrumentError: an instrument cannot be read.
    """
    opened = [
        role
        for role, found in instruments.items()
        if isinstance(found, Laser | OpticalAmplifier) and found.interlock_closed() is False
    ]
    if opened:
        raise SafetyError(
            f"{step}: refused, the interlock of {', '.join(opened)} is open; find out why, close "
            "it, then let an operator call rearm(). Where the instrument keeps it in mind, clear "
            "that at its front panel or open the bench anew"
        )


def refuse_unprotected(instruments: Mapping[str, Instrument], step: str) -> None:
    """Refuse to switch a laser on while light could get on from it.

    Raises:
        RefusedStepError: an attenuator, switch, amplifier or generator is not in its safe state.
    """
    shields = [role for role, found in instruments.items() if isinstance(found, PROTECTING)]
    unsafe = unsafe_roles(instruments, shields)
    if unsafe:
        raise RefusedStepError(
            f"{step}: refused, the detectors are not protected from it: {', '.join(unsafe)} not "
            "in the safe state; call protect() first"
        )


def refuse_without_seed_laser(instruments: Mapping[str, Instrument], role: str) -> None:
    """Refuse an oscillator while the seed laser of the same bench is off.

    Raises:
        RefusedStepError: it is off.
    """
    seed = instruments.get(SEED)
    if role != SEED and isinstance(seed, Laser) and not seed.emission():
        raise RefusedStepError(
            f"{role}: refused, {SEED} is off; switch {SEED} on before oscillators"
        )


def refuse_unseeded(
    instruments: Mapping[str, Instrument], safety: SafetySection, role: str
) -> None:
    """Refuse to pump an amplifier that has no seed.

    Raises:
        RefusedStepError: a laser that feeds it is off, or the input power is out of range.
    """
    amplifier = role_of(instruments, role, OpticalAmplifier)
    sources = sorted(upstream_of(safety, role)[0] - {INCOMING})
    dark = [s for s in sources if not role_of(instruments, s, Laser).emission()]
    seed, wanted = amplifier.seed_power_w(), amplifier.limits.seed_power_w
    if dark or seed not in wanted:
        off = f" and {', '.join(dark)} off" if dark else ""
        raise RefusedStepError(
            f"{role}: refused, the seed is {seed:.3g} W{off}; the pump needs "
            f"{wanted.lowest:.3g} W to {wanted.highest:.3g} W first"
        )


def watch(instruments: Mapping[str, Instrument], safety: SafetySection) -> None:
    """Compare what the instruments and the monitors read with what may be.

    Raises:
        SafetyError: an interlock is open, a monitor disagrees with its laser, a detector is above
            its ceiling, or a pumped amplifier has lost its seed.
        InstrumentError: an instrument cannot be read.
    """
    refuse_open_interlock(instruments, "the light that is on")
    refuse_overload(read_light(instruments, safety), safety, "the light that is on")
    for found in instruments.values():
        if isinstance(found, OpticalAmplifier) and found.pump():
            found.check_seed()
    for role, detector in safety.detectors.items():
        meter = instruments.get(role)
        ceiling = safety.ceiling_fraction * detector.damage_w
        if isinstance(meter, PowerMeter) and not (seen := meter.power_w()) <= ceiling:
            raise SafetyError(
                f"{role}: reads {seen:.3g} W, above its ceiling of {ceiling:.3g} W; check the "
                f"losses in safety.detectors.{role} before switching on again"
            )
