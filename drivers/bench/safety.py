"""Switching light on and off in the right order, and never beyond half of what a detector stands.

On: detectors protected, modulators driven to nothing, seed laser, locks, oscillators in steps,
amplifier pump, attenuators in steps, switches. Off: in reverse, `drivers.bench.safe_state`. Before
each step that could raise a power the expected power at every detector is computed and compared
with its ceiling; after each step the monitors are read.

A step that is refused leaves the bench as it was. Whatever goes wrong once a step has begun brings
the bench to its safe state, latched until an operator re-arms it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from drivers.bench.guard import Guard
from drivers.bench.interlocks import (
    PROTECTING,
    RefusedStepError,
    refuse_unprotected,
    refuse_unseeded,
    refuse_without_seed_laser,
    watch,
)
from drivers.bench.latch import Latch
from drivers.bench.light import LightState, read_light, refuse_overload, upstream_of
from drivers.bench.roles import role_of
from drivers.bench.safe_state import SEED, drive_to_safe, safe_order
from drivers.bench.sections import SafetySection
from drivers.bench.units import transmittance
from drivers.errors import InstrumentError, SafetyError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Clock,
    Instrument,
    Laser,
    OpticalAmplifier,
    Switch,
)

__all__ = ["LightPlan", "Safety"]

_LOCK_POLL_S = 0.01
_Kind = TypeVar("_Kind", bound=Instrument)


@dataclass(frozen=True, kw_only=True)
class LightPlan:
    """What is to be on, by role.

    Args:
        power_w: power of each laser, in W.
        gain_db: gain of each amplifier.
        attenuation_db: attenuation of each attenuator that is to be open.
        switches: position of each switch.
    """

    power_w: Mapping[str, float] = field(default_factory=dict)
    gain_db: Mapping[str, float] = field(default_factory=dict)
    attenuation_db: Mapping[str, float] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)


class Safety(Latch):
    """The order of light of one bench. Starts latched: `rearm` comes first.

    Every method can be called from any thread; `make_safe` from another thread comes in between
    two steps of a ramp and ends it.

    Args:
        instruments: the instruments by role.
        settings: the safety section of the bench file.
        clock: for settling times.
        guard: must live whenever there may be light; nobody by default.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        settings: SafetySection,
        clock: Clock,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(instruments, safe_order(instruments, settings), guard)
        self._settings = settings
        self._clock = clock

    def switch_on(self, plan: LightPlan) -> None:
        """All steps of a plan in the safe order.

        Raises:
            SafetyError: a step is refused or went wrong.
            InstrumentError: an instrument failed; the bench is safe and latched.
        """
        self.protect()
        for role in sorted(plan.power_w, key=lambda role: role != SEED):
            self.switch_on_laser(role, plan.power_w[role])
            # The server's modulator is lit by the seed, the client's by the oscillator.
            if self._settings.lock_biases and (role == SEED or SEED not in plan.power_w):
                self.lock_biases()
        fed = {e for amplifier in plan.gain_db for e in upstream_of(self._settings, amplifier)[1]}
        self._open(plan, lambda role: role in fed)
        for role, gain_db in plan.gain_db.items():
            self.switch_on_pump(role, gain_db)
        self._open(plan, lambda role: role not in fed)

    def switch_off(self) -> None:
        """Everything off in the safe order; the bench stays armed if it was.

        Raises:
            SafetyError: instruments that did not reach their safe state; the bench is latched.
        """
        with self._lock, self.guarded("switch everything off"):
            drive_to_safe(self._instruments, self._order)
            self._guard.set_light(False)

    def protect(self) -> None:
        """Close every way to the detectors, pumps off first, and bring the generators to nothing.

        Raises:
            SafetyError: one did not get there; the bench is latched in its safe state.
        """
        with self._lock, self.guarded("protect the detectors"):
            shields = [r for r in self._order if isinstance(self._instruments[r], PROTECTING)]
            drive_to_safe(self._instruments, shields)

    def switch_on_laser(self, role: str, power_w: float) -> None:
        """Switch a laser on at its lowest power, let it settle, and raise it in steps.

        Args:
            role: of the laser.
            power_w: final power in W, within its limits.

        Raises:
            SafetyError: latched, detectors not protected, the seed laser is not on yet, or the
                ceiling of a detector would be passed.
            LimitError: beyond the limits of the laser.
            InstrumentError: an instrument failed; the bench is safe and latched.
        """
        laser = self._get(role, Laser)
        laser.limits.power_w.check(role, "power", "W", power_w)
        step = f"{role} at {power_w:.3g} W"
        with self._deciding(step):
            refuse_unprotected(self._instruments, step)
            refuse_without_seed_laser(self._instruments, role)
            self._refuse_overload(lambda light: light.with_power(role, power_w), step)
        with self._acting(step):
            low = min(laser.limits.power_w.lowest, power_w)
            self._send(partial(laser.set_power, low))
            self._send(partial(laser.set_emission, True))
            laser.wait_settled(self._settings.laser_timeout_s)
            watch(self._instruments, self._settings)
            for share in _shares(self._settings.ramp_steps):
                self._raise_laser(laser, low + (power_w - low) * share, step)

    def check(self) -> None:
        """Look at monitors, detectors and seeds; call it as often as possible while light is on.

        It is a sign of life as well: a program that gives none while light is on is taken to hang.

        Raises:
            SafetyError: an interlock is open, a monitor disagrees with its laser, a detector is
                above its ceiling, or a pumped amplifier has lost its seed; the bench is safe and
                latched.
            WatchdogError: the bench is armed and its watchdog does not answer; likewise.
            InstrumentError: an instrument cannot be read; the bench is safe and latched.
        """
        with self._lock, self.guarded("look at the light"):
            if not self.is_latched:
                self._guard.require()
            self.alive()
            watch(self._instruments, self._settings)

    def alive(self, busy_s: float = 0.0) -> None:
        """Say that the program lives, before it computes for long with light on.

        Every step, every `check` and every use of an instrument says so too. A thread that reads
        instruments for ever would hide that the rest of the program hangs.

        Args:
            busy_s: time in s >= 0 for which the program will use no instrument, beyond the
                `hang_s` of the bench file.
        """
        self._guard.alive(busy_s)

    def lock_biases(self) -> None:
        """Lock every channel of the modulator biases to the null, where the lasers are on.

        Raises:
            InstrumentError: a bias did not lock in time; the bench is safe and latched.
        """
        with self._lock:
            self._refuse_latched()
        with self._acting("lock the biases"):
            for bias in [i for i in self._instruments.values() if isinstance(i, BiasController)]:
                for channel in range(bias.limits.channels):
                    self._lock_bias(bias, channel)

    def switch_on_pump(self, role: str, gain_db: float) -> None:
        """Switch an amplifier's pump on at its lowest gain, then raise the gain in steps.

        Args:
            role: of the amplifier.
            gain_db: final gain, within its limits.

        Raises:
            SafetyError: latched, no seed in range at the input, or the ceiling of a detector would
                be passed.
            LimitError: beyond the limits of the amplifier.
            InstrumentError: an instrument failed; the bench is safe and latched.
        """
        amplifier = self._get(role, OpticalAmplifier)
        amplifier.limits.gain_db.check(role, "gain", "dB", gain_db)
        step = f"{role} at {gain_db:g} dB"
        with self._deciding(step):
            refuse_unseeded(self._instruments, self._settings, role)
            gain = transmittance(-gain_db)
            self._refuse_overload(lambda light: light.with_element(role, gain), step)
        with self._acting(step):
            low = amplifier.limits.gain_db.lowest
            self._send(partial(amplifier.set_gain_db, low))
            self._send(partial(amplifier.set_pump, True))
            self._settle()
            for share in _shares(self._settings.ramp_steps):
                target = low + (gain_db - low) * share
                self._send(partial(amplifier.set_gain_db, target))
                self._settle()

    def open_attenuator(self, role: str, attenuation_db: float) -> None:
        """Open the shutter at the highest attenuation, then lower that in steps.

        Args:
            role: of the attenuator.
            attenuation_db: final attenuation, within its limits.

        Raises:
            SafetyError: latched, or the ceiling of a detector would be passed.
            LimitError: beyond the limits of the attenuator.
            InstrumentError: an instrument failed; the bench is safe and latched.
        """
        attenuator = self._get(role, Attenuator)
        limits = attenuator.limits.attenuation_db
        limits.check(role, "attenuation", "dB", attenuation_db)
        step = f"{role} at {attenuation_db:g} dB"
        with self._deciding(step):
            passes = transmittance(attenuation_db)
            self._refuse_overload(lambda light: light.with_element(role, passes), step)
        with self._acting(step):
            if attenuator.shutter_open():
                present = attenuator.attenuation_db()
            else:
                present = limits.highest
                self._send(partial(attenuator.set_attenuation_db, present))
                self._send(partial(attenuator.set_shutter, True))
                self._settle()
            while present != attenuation_db:
                present = max(present - self._settings.attenuator_step_db, attenuation_db)
                self._send(partial(attenuator.set_attenuation_db, present))
                self._settle()

    def open_switch(self, role: str, position: str) -> None:
        """Select a position of a switch that lets light through.

        Args:
            role: of the switch.
            position: one of its positions.

        Raises:
            SafetyError: latched, or the ceiling of a detector would be passed.
            LimitError: no such position.
            InstrumentError: an instrument failed; the bench is safe and latched.
        """
        switch = self._get(role, Switch)
        step = f"{role} at {position}"
        with self._deciding(step):
            if position == switch.limits.safe_position:
                raise RefusedStepError(
                    f"{role}: {position!r} is its safe position; use close({role!r})"
                )
            self._refuse_overload(lambda light: light.with_element(role, 1.0), step)
        with self._acting(step):
            self._send(partial(switch.select, position))
            self._settle()

    def close(self, role: str) -> None:
        """Bring one instrument to its safe state; pumps that get their seed through it go first.

        Allowed when latched.

        Raises:
            SafetyError: it did not get there; the bench is latched in its safe state.
        """
        with self._lock, self.guarded(f"close {role}"):
            fed = [r for r in self._amplifiers() if self._feeds(role, r)]
            drive_to_safe(self._instruments, (*fed, role))

    def _open(self, plan: LightPlan, wanted: Callable[[str], bool]) -> None:
        for role in filter(wanted, plan.attenuation_db):
            self.open_attenuator(role, plan.attenuation_db[role])
        for role in filter(wanted, plan.switches):
            self.open_switch(role, plan.switches[role])

    def _raise_laser(self, laser: Laser, power_w: float, step: str) -> None:
        # The monitors may have seen more than the laser says, so each step is judged anew.
        light = read_light(self._instruments, self._settings)
        present = laser.power_w()
        excess = light.power_w[laser.name] / present if present > 0 else 1.0
        proposed = power_w * max(excess, 1.0)
        refuse_overload(light.with_power(laser.name, proposed), self._settings, step)
        self._send(partial(laser.set_power, power_w))
        self._settle()

    def _lock_bias(self, bias: BiasController, channel: int) -> None:
        self._send(partial(bias.lock, channel, BiasPoint.NULL))
        timeout_s = self._settings.lock_timeout_s
        for _ in range(1 + int(timeout_s / _LOCK_POLL_S)):
            if bias.is_locked(channel):
                return
            self._clock.sleep(_LOCK_POLL_S)
        raise InstrumentError(
            f"{bias.name}: channel {channel} did not lock to its null within {timeout_s:g} s; "
            "check that light reaches the modulator, or allow more in safety.lock_timeout_s"
        )

    def _settle(self) -> None:
        self._clock.sleep(self._settings.settle_s)
        self.alive()
        watch(self._instruments, self._settings)

    def _refuse_overload(self, change: Callable[[LightState], LightState], step: str) -> None:
        light = read_light(self._instruments, self._settings)
        try:
            refuse_overload(change(light), self._settings, step)
        except SafetyError as error:
            raise RefusedStepError(str(error)) from error

    def _feeds(self, role: str, amplifier: str) -> bool:
        sources, elements = upstream_of(self._settings, amplifier)
        return role in sources or role in elements

    def _amplifiers(self) -> list[str]:
        return [r for r, i in self._instruments.items() if isinstance(i, OpticalAmplifier)]

    def _get(self, role: str, kind: Callable[..., _Kind]) -> _Kind:
        return role_of(self._instruments, role, kind)


def _shares(steps: int) -> list[float]:
    """1/n, 2/n ... 1."""
    return [number / steps for number in range(1, steps + 1)]
