"""Switches the light of a bench in the safe order, for one routine.

Owns the order: every way to the detectors closed, lasers on and settled, generators at rest, biases
locked, and only then the attenuator and the switches. Where a party has a `Safety`, light is
switched on through it; on a bench without bench files the same steps go to the instruments.
Switching off is the runner's.
"""

from collections.abc import Callable, Collection
from typing import Final, Literal, TypeVar, cast

from calibration.routine import Context
from calibration.routines._roles import (
    ATTENUATOR,
    BIASES,
    DIGITISERS,
    GENERATORS,
    OWN_OSCILLATORS,
    PARTIES,
    POWER_SETTINGS,
    SWITCHES,
    Modulator,
    Party,
)
from drivers.errors import InstrumentError, SafetyError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Digitiser,
    Instrument,
    Laser,
    PowerMeter,
    Switch,
    WaveformGenerator,
)
from drivers.optics.burst import BurstFormat
from drivers.optics.pulses import hann_pulse

__all__ = ["BenchLight"]

_Kind = TypeVar("_Kind", bound=Instrument)
_LOCK_POLL_S: Final = 0.05


class BenchLight:
    """Instruments and light of the bench in the hands of one routine.

    Roles that a method uses must be declared by the routine.

    Args:
        context: of the routine, whose settings hold `STAGE_SETTINGS`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._allowed_w: dict[str, float] = {}
        rate, samples = self.number("symbol_rate_hz"), context.setting("samples_per_symbol", int)
        self.format = BurstFormat(
            symbol_rate_hz=rate,
            samples_per_symbol=samples,
            if_cycles_per_symbol=self.number("if_cycles_per_symbol"),
            pulse=hann_pulse(samples),
        )
        """How bursts look; routines may replace parts of it in layouts of their own."""

    @property
    def shared_oscillators(self) -> bool:
        """Whether the server's laser feeds the oscillators."""
        return OWN_OSCILLATORS["client"] not in self._context.bench.instruments

    def number(self, name: str) -> float:
        """A setting that is a fraction."""
        return self._context.setting(name, float)

    def get(self, role: str, kind: Callable[..., _Kind]) -> _Kind:
        """The instrument in a role as its kind, abstract classes of `drivers.instruments` allowed.

        Raises:
            ConfigurationError: the routine did not declare the role, or another kind is there.
        """
        return self._context.instrument(role, cast("type[_Kind]", kind))

    def digitiser(self, party: Party) -> Digitiser:
        """The digitiser of a party."""
        return self.get(DIGITISERS[party], Digitiser)

    def generator(self, modulator: Modulator) -> WaveformGenerator:
        """The generator that drives a modulator with channel 0."""
        return self.get(GENERATORS[modulator], WaveformGenerator)

    def bias(self, modulator: Modulator) -> BiasController:
        """The controller that biases a modulator with channel 0."""
        return self.get(BIASES[modulator], BiasController)

    def oscillator_laser(self, party: Party) -> str:
        """Role of the laser that a party's oscillator comes from."""
        return "server.laser" if self.shared_oscillators else OWN_OSCILLATORS[party]

    def power_meter(self, role: str) -> PowerMeter:
        """A power meter, told the wavelength of the server's laser (oscillators are within GHz)."""
        meter = self.get(role, PowerMeter)
        meter.set_wavelength(self.get("server.laser", Laser).wavelength_m())
        return meter

    def settle(self) -> None:
        """Wait for the bench to come to rest, then let every party look at its light."""
        self._context.bench.sleep(self.number("settle_s"))
        for safety in self._context.bench.safety.values():
            safety.check()

    def lasers_on(self, roles: Collection[str] | None = None) -> None:
        """Lasers on at the powers of the settings, settled; every way to the detectors closed.

        Afterwards the generators of all declared roles run at the format's sample rate, outputs on,
        at rest at 0 V.

        Args:
            roles: of the lasers; None for all that the bench has. The server's laser goes first
                and is never left out.

        Raises:
            SafetyError: refused by a party's order of light.
            InstrumentError: a laser does not settle.
        """
        present = [role for role in POWER_SETTINGS if role in self._context.bench.instruments]
        wanted = present if roles is None else {"server.laser", *roles}
        chosen = [role for role in present if role in wanted]
        self._protect()
        for role in chosen:
            self._laser_on(role, self.number(POWER_SETTINGS[role]))
        self.settle()
        self.generators_on()

    def generators_on(self) -> None:
        """Outputs of all declared generators on, at rest at 0 V, at the format's sample rate."""
        for role in GENERATORS.values():
            if role in self._context.routine.roles:
                generator = self.get(role, WaveformGenerator)
                generator.set_sample_rate(self.format.sample_rate_hz)
                generator.set_idle(0, 0.0)
                generator.set_output(0, True)

    def laser_power_w(self, role: str) -> float:
        """The power that a laser was switched on with, in W; what it reads back may be rounded."""
        return self._allowed_w[role]

    def set_laser_power(self, role: str, power_w: float) -> None:
        """Another power of a laser that is on, settled; never more than `lasers_on` asked for.

        Raises:
            SafetyError: above the power that was switched on in the safe order.
        """
        allowed = self._allowed_w.get(role, 0.0)
        if not power_w <= allowed * (1 + 1e-9):
            raise SafetyError(
                f"{role}: power {power_w:.4g} W is above the {allowed:.4g} W that were switched on "
                "in the safe order; switch it on at the highest power first"
            )
        laser = self.get(role, Laser)
        laser.set_power(power_w)
        laser.wait_settled(self.number("timeout_s"))
        self.settle()

    def lock_biases(self, modulators: Collection[Modulator] = ("weight", "data")) -> None:
        """Lock modulators to their nulls and wait until the loops hold. Lasers must be on.

        Raises:
            InstrumentError: a loop does not hold in time.
        """
        for modulator in modulators:
            bias = self.bias(modulator)
            bias.lock(0, BiasPoint.NULL)
            polls = int(self.number("timeout_s") / _LOCK_POLL_S)
            for _ in range(polls):
                if bias.is_locked(0):
                    break
                self._context.bench.sleep(_LOCK_POLL_S)
            else:
                raise InstrumentError(
                    f"{bias.name}: did not lock to its null within {polls * _LOCK_POLL_S:g} s; "
                    "check that light reaches the modulator"
                )

    def hold_biases(self, modulators: Collection[Modulator] = ("weight", "data")) -> None:
        """Stop the loops; the bias voltages stay where they are."""
        for modulator in modulators:
            self.bias(modulator).unlock(0)

    def launch(self, attenuation_db: float | None) -> None:
        """Open the attenuator to the fibre, or close it.

        Args:
            attenuation_db: within its limits; None closes the shutter.
        """
        attenuator = self.get(ATTENUATOR, Attenuator)
        safety = self._context.bench.safety.get("server")
        if attenuation_db is None:
            attenuator.make_safe()
        elif safety is not None:
            safety.open_attenuator(attenuator.name, attenuation_db)
        else:
            attenuator.set_attenuation_db(attenuation_db)
            attenuator.set_shutter(True)
        self._context.bench.sleep(self.number("settle_s"))

    def signal(
        self,
        *,
        client: Literal["light", "blocked"] = "light",
        server: Literal["light", "blocked"] = "light",
    ) -> None:
        """Let the signal to the detectors, or block it."""
        for party, wanted in (("client", client), ("server", server)):
            role = SWITCHES[cast("Party", party)]
            switch = self.get(role, Switch)
            position = switch.limits.safe_position if wanted == "blocked" else "light"
            if switch.selected() == position:
                continue
            safety = self._context.bench.safety.get(party)
            if safety is not None and wanted == "light":
                safety.open_switch(switch.name, position)
            else:
                switch.select(position)
        self._context.bench.sleep(self.number("settle_s"))

    def _protect(self) -> None:
        """Close every way to the detectors and bring the generators to nothing."""
        safety = self._context.bench.safety
        for party in PARTIES:
            if party in safety:
                safety[party].protect()
                continue
            for role, found in self._context.bench.instruments.items():
                shields = isinstance(found, Attenuator | Switch | WaveformGenerator)
                if role.startswith(f"{party}.") and shields:
                    cast("Instrument", found).make_safe()

    def _laser_on(self, role: str, power_w: float) -> None:
        party, _, name = role.partition(".")
        laser = self.get(role, Laser)
        safety = self._context.bench.safety.get(party)
        if safety is not None:
            safety.switch_on_laser(name, power_w)
        else:
            laser.set_power(power_w)
            laser.set_emission(True)
            laser.wait_settled(self.number("timeout_s"))
        self._allowed_w[role] = power_w
