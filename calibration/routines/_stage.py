"""Brings the bench from its safe state to where a routine measures, by instruments alone.

Owns the order of light within a routine: detectors protected, lasers, generators at rest, biases,
and only then the attenuator and the switches. Switching off is the runner's, which brings the
bench to its safe state however a routine ends. Where a party has a `Safety`, light is switched on
through it; on a bench without bench files (tests) the same steps go to the instruments.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.result import Setting
from calibration.routine import Context, Routine
from calibration.routines._slot_noise import SlotNoise, slot_noise
from drivers.errors import CalibrationError, InstrumentError, LimitError, SafetyError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Digitiser,
    Instrument,
    Laser,
    PowerMeter,
    Switch,
    Trace,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst import BurstFormat, BurstLayout, compose_oscillator, compose_weights
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.pulses import hann_pulse

__all__ = [
    "OWN_OSCILLATORS",
    "PARTIES",
    "STAGE_SETTINGS",
    "Modulator",
    "Party",
    "Stage",
    "StagedRoutine",
    "level_of_photons",
    "photons_of_level",
]

Party = Literal["client", "server"]
Modulator = Literal["weight", "data"]
_Kind = TypeVar("_Kind", bound=Instrument)

PARTIES: Final[tuple[Party, Party]] = ("client", "server")

OWN_OSCILLATORS: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.oscillator", "server": "server.return_oscillator"}
)
"""Role of each party's own oscillator; absent where the server's laser feeds both."""

STAGE_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "server_laser_w": 10e-3,
        "client_oscillator_w": 5e-3,
        "server_oscillator_w": 2e-3,
        "settle_s": 2.0,
        "timeout_s": 60.0,
        "client_range_v": 1.0,
        "server_range_v": 1.0,
        "symbol_rate_hz": 100e6,
        "samples_per_symbol": 8,
        "if_cycles_per_symbol": 2.0,
    }
)
"""Settings of every routine that uses a stage: the light, waiting times, ranges, the format."""

_POWER_SETTINGS: Final = MappingProxyType(
    {
        "server.laser": "server_laser_w",
        OWN_OSCILLATORS["server"]: "server_oscillator_w",
        OWN_OSCILLATORS["client"]: "client_oscillator_w",
    }
)
"""Lasers in the order in which they are switched on, and the setting of their power."""
_GENERATORS: Final[Mapping[Modulator, str]] = MappingProxyType(
    {"weight": "server.weight_generator", "data": "client.data_generator"}
)
_BIASES: Final[Mapping[Modulator, str]] = MappingProxyType(
    {"weight": "server.weight_bias", "data": "client.data_bias"}
)
_SWITCHES: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.signal_switch", "server": "server.return_switch"}
)
_DIGITISERS: Final[Mapping[Party, str]] = MappingProxyType(
    {"client": "client.tap_digitiser", "server": "server.return_digitiser"}
)
_ATTENUATOR: Final = "server.attenuator"
_LOCK_POLL_S: Final = 0.05


class StagedRoutine(Routine):
    """A routine that uses a stage.

    Args:
        shared_oscillators: the bench has no lasers for the oscillators, so they are no roles of it.
    """

    def __init__(self, *, shared_oscillators: bool = False) -> None:
        if shared_oscillators:
            kept = [role for role in self.roles if role not in OWN_OSCILLATORS.values()]
            self.roles = tuple(kept)  # type: ignore[misc]  # the class has those of a full bench


class Stage:
    """The bench in the hands of one routine.

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
        return self.get(_DIGITISERS[party], Digitiser)

    def generator(self, modulator: Modulator) -> WaveformGenerator:
        """The generator that drives a modulator with channel 0."""
        return self.get(_GENERATORS[modulator], WaveformGenerator)

    def bias(self, modulator: Modulator) -> BiasController:
        """The controller that biases a modulator with channel 0."""
        return self.get(_BIASES[modulator], BiasController)

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
                and cannot be left out.

        Raises:
            SafetyError: refused by a party's order of light.
            InstrumentError: a laser does not settle.
        """
        present = [role for role in _POWER_SETTINGS if role in self._context.bench.instruments]
        chosen = present if roles is None else [role for role in present if role in roles]
        self._protect()
        for role in chosen:
            self._laser_on(role, self.number(_POWER_SETTINGS[role]))
        self.settle()
        self.generators_on()

    def generators_on(self) -> None:
        """Outputs of all declared generators on, at rest at 0 V, at the format's sample rate."""
        for role in _GENERATORS.values():
            if role in self._context.routine.roles:
                generator = self.get(role, WaveformGenerator)
                generator.set_sample_rate(self.format.sample_rate_hz)
                generator.set_idle(0, 0.0)
                generator.set_output(0, True)

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
        attenuator = self.get(_ATTENUATOR, Attenuator)
        safety = self._context.bench.safety.get("server")
        if attenuation_db is None:
            attenuator.make_safe()
        elif safety is not None:
            safety.open_attenuator("attenuator", attenuation_db)
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
            role = _SWITCHES[cast("Party", party)]
            switch = self.get(role, Switch)
            position = switch.limits.safe_position if wanted == "blocked" else "light"
            if switch.selected() == position:
                continue
            safety = self._context.bench.safety.get(party)
            if safety is not None and wanted == "light":
                safety.open_switch(role.partition(".")[2], position)
            else:
                switch.select(position)
        self._context.bench.sleep(self.number("settle_s"))

    def v_pi_v(self, modulator: Modulator) -> float:
        """V_pi of a modulator's drive: from the routine "modulators", or from a setting.

        Raises:
            CalibrationError: the routine neither needs "modulators" nor has the setting.
        """
        name = f"{modulator}_v_pi_v"
        if "modulators" in self._context.results:
            return self._context.results["modulators"][name].value
        if name in self._context.settings:
            return self.number(name)
        raise CalibrationError(
            f"routine {self._context.routine.name} needs V_pi of the {modulator} modulator; "
            'let it need "modulators", or give it the setting ' + name
        )

    def oscillator(self, level: float) -> None:
        """Set the resting level of the client's oscillator.

        Args:
            level: relative field amplitude behind the data modulator, -1 to 1.

        Raises:
            LimitError: beyond +-1, or beyond the generator's volts.
        """
        self.rest("data", level)

    def rest(self, modulator: Modulator, level: float) -> None:
        """Set the relative field amplitude, -1 to 1, that a modulator passes at rest.

        Raises:
            LimitError: beyond +-1, or beyond the generator's volts.
        """
        wanted = np.array([level], dtype=np.float32)
        volts = volts_from_amplitude(wanted, self.v_pi_v(modulator))
        self.generator(modulator).set_idle(0, float(volts[0]))

    def record(self, party: Party, samples: int, *, range_v: float | None = None) -> Trace:
        """A record of a party's detector, now, generators at rest.

        Args:
            party: whose digitiser.
            samples: length of the record.
            range_v: of the digitiser; None for the setting.

        Raises:
            CalibrationError: the record is clipped.
        """
        digitiser = self.digitiser(party)
        self._configure(party, samples, range_v)
        digitiser.arm(Trigger.IMMEDIATE)
        return self._fetched(party)

    def slot_noise(self, party: Party, samples: int, *, range_v: float | None = None) -> SlotNoise:
        """Noise of a party's matched-filter outputs in a record without signal; see `record`."""
        trace = self.record(party, samples, range_v=range_v)
        return slot_noise(trace.volts[0], self.format)

    def burst(
        self,
        layout: BurstLayout,
        *,
        means: ArrayLike | None = None,
        levels: ArrayLike | None = None,
        pilot_level: float = 0.9,
        oscillator_delay_s: float = 0.0,
        longest_delay_s: float = 60e-6,
        parties: Collection[Party] = PARTIES,
    ) -> dict[Party, Trace]:
        """Play one burst and record it.

        Args:
            layout: of the burst.
            means: relative field amplitude at the peak of the pulse of each data slot, in [-1, 1],
                shape (data_symbols,); None for dark data slots.
            levels: relative level of the client's oscillator in each data slot, in [-1, 1], shape
                (data_symbols,); None leaves the oscillator at its resting level (`oscillator`).
            pilot_level: as `means`, of preamble and pilots; see `level_of_photons`.
            oscillator_delay_s: from the trigger to the first sample of the oscillator's drive.
            longest_delay_s: the records go on this long after the burst's own length.
            parties: who records.

        Returns:
            One trace per party.

        Raises:
            LimitError: an amplitude beyond +-1.
            CalibrationError: a record is clipped.
        """
        weight, data = self.generator("weight"), self.generator("data")
        samples = record_samples(layout, longest_delay_s)
        weight.load(0, self._weight_volts(layout, means, pilot_level))
        for party in parties:
            self._configure(party, samples, None)
            self.digitiser(party).arm(Trigger.EXTERNAL)
        if levels is not None:
            wanted = compose_oscillator(layout, levels)
            data.load(0, volts_from_amplitude(wanted, self.v_pi_v("data")))
            data.arm(Trigger.EXTERNAL, oscillator_delay_s)
        weight.arm(Trigger.SOFTWARE)
        weight.trigger()
        return {party: self._fetched(party) for party in parties}

    def _weight_volts(
        self, layout: BurstLayout, means: ArrayLike | None, pilot_level: float
    ) -> NDArray[np.float32]:
        given = np.zeros(layout.data_symbols) if means is None else means
        amplitudes = np.asarray(given, dtype=np.float32) / np.float32(layout.format.pulse.peak)
        samples = compose_weights(layout, amplitudes, pilot_level / layout.format.pulse.peak)
        return volts_from_amplitude(samples, self.v_pi_v("weight"))

    def _configure(self, party: Party, samples: int, range_v: float | None) -> None:
        wanted = self.number(f"{party}_range_v") if range_v is None else range_v
        self.digitiser(party).configure(self.format.sample_rate_hz, samples, wanted)

    def _fetched(self, party: Party) -> Trace:
        digitiser = self.digitiser(party)
        digitiser.wait(self.number("timeout_s"))
        trace = digitiser.fetch()
        if trace.clipped:
            raise CalibrationError(
                f"{digitiser.name}: {trace.clipped} of {trace.volts.size} samples are at the ends "
                f"of the range of +-{trace.range_v:g} V; raise {party}_range_v or lower the light"
            )
        return trace

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


def level_of_photons(photons: float, full_photons: float, burst: BurstFormat) -> float:
    """Relative field amplitude at the peak of a pulse of so many photons.

    Args:
        photons: mean photons of the pulse, at least 0.
        full_photons: mean photons per slot with the modulator fully open.
        burst: the format.

    Raises:
        LimitError: more than the modulator can pass.
    """
    share = photons / photons_of_level(1.0, full_photons, burst)
    if not 0 <= share <= 1:
        raise LimitError(
            f"pulses of {photons:.4g} photons are not between 0 and the "
            f"{photons_of_level(1.0, full_photons, burst):.4g} of the open modulator; lower the "
            "attenuation"
        )
    return float(share**0.5)


def photons_of_level(level: float, full_photons: float, burst: BurstFormat) -> float:
    """Mean photons of a pulse whose peak has the relative field amplitude `level`."""
    return level**2 * full_photons / (burst.samples_per_symbol * burst.pulse.peak**2)
