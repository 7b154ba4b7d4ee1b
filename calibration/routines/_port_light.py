"""Switches the light of a bench with an amplifier in the safe order, for one routine.

Owns the order: shutter closed and amplifier not pumped, lasers on and settled, generators at rest,
biases locked, the amplifier once it is seeded, and only then the shutter. Where a party has a
`Safety`, light is switched on through it; on a bench without bench files the same steps go to the
instruments. Switching off is the runner's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeVar, cast

from calibration.result import Setting
from calibration.routine import Context
from drivers.errors import InstrumentError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Instrument,
    Laser,
    OpticalAmplifier,
    WaveformGenerator,
)
from drivers.optics.amplifier_values import port_format
from drivers.optics.burst import BurstFormat
from drivers.optics.pulses import hann_pulse

__all__ = ["PORT_LASERS", "PORT_ROLES", "PORT_SETTINGS", "PortLight"]

_Kind = TypeVar("_Kind", bound=Instrument)

PORT_LASERS: Final = MappingProxyType(
    {
        "server.laser": "server_laser_w",
        "server.return_oscillator": "server_oscillator_w",
        "client.oscillator": "client_oscillator_w",
        "client.seed_laser": "seed_laser_w",
    }
)
"""Lasers in the order in which they are switched on, and the setting of their power."""
PORT_ROLES: Final = (
    *PORT_LASERS,
    "server.weight_generator",
    "server.weight_bias",
    "server.attenuator",
    "server.return_digitiser",
    "client.mesh_driver",
    "client.return_mesh_driver",
    "client.amplifier",
    "client.tap_digitiser",
)
"""Roles of every routine that uses such a stage."""

PORT_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "server_laser_w": 20e-3,
        "server_oscillator_w": 16e-3,
        "client_oscillator_w": 2e-3,
        "seed_laser_w": 1e-5,
        "settle_s": 2.0,
        "timeout_s": 60.0,
        "client_range_v": 1.0,
        "server_range_v": 1.0,
        "symbol_rate_hz": 100e6,
        "samples_per_symbol": 8,
        "if_cycles_per_symbol": 2.0,
        "gain_db": 3.0103,
        "weight_v_pi_v": 3.5,
        "mesh_half_wave_v": 4.0,
        "attenuation_db": 43.0,
        "pilot_level": 0.9,
        "dark_frames": 4096,
    }
)
"""Settings of every such routine: light, waiting times, ranges, format; V_pi of modulators and of
the meshes' shifters from their data sheets; the attenuation and the level of the pilots; and how
many empty frames, with their pilots, a burst has."""

_LOCK_POLL_S: Final = 0.05


class PortLight:
    """Instruments and light of the bench in the hands of one routine.

    Args:
        context: of the routine, which declares `PORT_ROLES` and `PORT_SETTINGS`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        samples = context.setting("samples_per_symbol", int)
        self.format: BurstFormat = replace(
            port_format(),
            symbol_rate_hz=self.number("symbol_rate_hz"),
            samples_per_symbol=samples,
            if_cycles_per_symbol=self.number("if_cycles_per_symbol"),
            pulse=hann_pulse(samples),
        )
        self.generator = self.get("server.weight_generator", WaveformGenerator)
        self.amplifier = self.get("client.amplifier", OpticalAmplifier)
        self.ports = self.generator.limits.channels

    def number(self, name: str) -> float:
        """A setting that is a fraction."""
        return self._context.setting(name, float)

    def get(self, role: str, kind: Callable[..., _Kind]) -> _Kind:
        """The instrument in a role as its kind, abstract classes allowed."""
        return self._context.instrument(role, cast("type[_Kind]", kind))

    def settle(self) -> None:
        """Wait for the bench to come to rest, then let every party look at its light."""
        self._context.bench.sleep(self.number("settle_s"))
        for safety in self._context.bench.safety.values():
            safety.check()

    def lasers_on(self) -> None:
        """All lasers on and settled, modulators at their nulls, generators at rest.

        The shutter is shut and the amplifier not pumped.

        Raises:
            SafetyError: refused by a party's order of light.
            InstrumentError: a laser does not settle, or a bias does not lock.
        """
        self._protect()
        for role, setting in PORT_LASERS.items():
            self._laser_on(role, self.number(setting))
        self.generator.set_sample_rate(self.format.sample_rate_hz)
        bias = self.get("server.weight_bias", BiasController)
        for port in range(self.ports):
            self.generator.set_idle(port, 0.0)
            self.generator.set_output(port, True)
            bias.lock(port, BiasPoint.NULL)
        for port in range(self.ports):
            self._wait_for_lock(bias, port)

    def hold_biases(self) -> None:
        """Stop the loops; the bias voltages stay where they are."""
        bias = self.get("server.weight_bias", BiasController)
        for port in range(self.ports):
            bias.unlock(port)

    def pump(self, gain_db: float | None) -> None:
        """Pump the amplifier to a gain, or not at all with None.

        Raises:
            SafetyError: there is no seed, or a detector could get too much.
        """
        safety = self._context.bench.safety.get("client")
        if gain_db is None:
            self.amplifier.set_pump(False)
        elif safety is not None:
            safety.switch_on_pump(self.amplifier.name, gain_db)
        else:
            self.amplifier.set_gain_db(gain_db)
            self.amplifier.set_pump(True)
        self.settle()

    def open_shutter(self, attenuation_db: float | None = None) -> None:
        """Light to the client.

        Args:
            attenuation_db: of the attenuator; None takes the setting's.

        Raises:
            SafetyError: a detector could get too much.
        """
        attenuator = self.get("server.attenuator", Attenuator)
        wanted = self.number("attenuation_db") if attenuation_db is None else attenuation_db
        safety = self._context.bench.safety.get("server")
        if safety is not None:
            safety.open_attenuator(attenuator.name, wanted)
        else:
            attenuator.set_attenuation_db(wanted)
            attenuator.set_shutter(True)
        self.settle()

    def _protect(self) -> None:
        """Close every way to the detectors; where a party has a `Safety`, by that."""
        safety = self._context.bench.safety
        if "server" in safety:
            safety["server"].protect()
        else:
            self.get("server.attenuator", Attenuator).make_safe()
        if "client" in safety:
            safety["client"].protect()
        else:
            self.amplifier.set_pump(False)

    def _laser_on(self, role: str, power_w: float) -> None:
        party, _, name = role.partition(".")
        safety = self._context.bench.safety.get(party)
        if safety is not None:
            safety.switch_on_laser(name, power_w)
            return
        laser = self.get(role, Laser)
        laser.set_power(power_w)
        laser.set_emission(True)
        laser.wait_settled(self.number("timeout_s"))

    def _wait_for_lock(self, bias: BiasController, channel: int) -> None:
        for _ in range(int(self.number("timeout_s") / _LOCK_POLL_S)):
            if bias.is_locked(channel):
                return
            self._context.bench.sleep(_LOCK_POLL_S)
        raise InstrumentError(
            f"{bias.name}: channel {channel} did not lock to its null within "
            f"{self.number('timeout_s'):g} s; check that light reaches the modulator"
        )
