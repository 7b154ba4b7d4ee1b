"""A simulated bench with an amplifier: its scene, clock, trigger line, and its instruments.

Owns which instrument controls which part of `AmplifierBench`.
"""

from collections.abc import Sequence
from dataclasses import replace

from drivers.errors import ConfigurationError
from drivers.instruments import (
    AmplifierLimits,
    AttenuatorLimits,
    BiasLimits,
    DigitiserLimits,
    GeneratorLimits,
    LaserLimits,
    PhaseDriverLimits,
    PowerMeterLimits,
    Range,
)
from sim_backend.instruments.amplifier_parts import AmplifierParts
from sim_backend.instruments.array_digitiser import SimulatedArrayDigitiser
from sim_backend.instruments.attenuator import ATTENUATOR_LIMITS, SimulatedAttenuator
from sim_backend.instruments.bias_controller import (
    BIAS_LIMITS,
    BiasSettings,
    SimulatedBiasController,
)
from sim_backend.instruments.digitiser import DIGITISER_LIMITS
from sim_backend.instruments.faults import Fault, FaultFinder, FaultKind, FaultPlan
from sim_backend.instruments.laser import LASER_LIMITS, SimulatedLaser
from sim_backend.instruments.optical_amplifier import SimulatedOpticalAmplifier
from sim_backend.instruments.parts import DigitiserPart, Part
from sim_backend.instruments.phase_driver import SimulatedPhaseDriver
from sim_backend.instruments.power_meter import POWER_METER_LIMITS, SimulatedPowerMeter
from sim_backend.instruments.remote import Latency, RemoteControl
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.instruments.waveform_generator import (
    GENERATOR_LIMITS,
    SimulatedWaveformGenerator,
)
from sim_backend.scene.amplifier_bench import AmplifierBench, AmplifierBenchSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHeadSettings

__all__ = ["SimulatedAmplifierBench", "check_fault_of_instrument"]

_FAULTS_OF_LIGHT = (
    FaultKind.LASER_UNLOCK,
    FaultKind.LASER_MODE_HOP,
    FaultKind.WAVELENGTH_STEP,
    FaultKind.FIBRE_UNPLUGGED,
    FaultKind.FIBRE_DIRTY,
    FaultKind.POLARISATION_FLIP,
    FaultKind.OSCILLATOR_LOST,
    FaultKind.OSCILLATOR_LOW,
)


class SimulatedAmplifierBench:
    """Makes the simulated instruments of both parties on one bench with an amplifier.

    An instrument that is made twice is the same device with another connection to it.

    Attributes:
        scene: the optics.
        clock: simulated time of the scene and of all instruments.
        line: the trigger line.
        seed: of the scene and of the instruments.
        faults: what goes wrong with instruments, by role or `party.role`.
        latencies: by `party.role`, for instruments that are made from now on.

    An instrument's own limits are those of the properties below and of the simulated kinds; a
    bench file may narrow them.

    Args:
        settings: of the scene.
        seed: makes everything repeat exactly.
        clock: simulated time.
        faults: what goes wrong, of instruments alone.

    Raises:
        ConfigurationError: a fault of the light.
    """

    def __init__(
        self,
        settings: AmplifierBenchSettings | None = None,
        *,
        seed: int = 0,
        clock: SimulatedClock | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.clock = SimulatedClock() if clock is None else clock
        self.faults = FaultPlan() if faults is None else faults
        for fault in self.faults.faults:
            check_fault_of_instrument(fault)
        self.seed = seed
        self.latencies: dict[str, Latency] = {}
        chosen = AmplifierBenchSettings() if settings is None else settings
        self.scene = AmplifierBench(chosen, seed=seed, clock=self.clock)
        self.line = TriggerLine(self.scene, self.clock)
        self._parts = AmplifierParts(
            self.scene,
            line=self.line,
            clock=self.clock,
            finder=self._finder,
            rng_of=lambda party, role: self._remote(party, role, "part").rng,
        )

    @property
    def ports(self) -> int:
        """Modes of the bench."""
        return self.scene.ports

    @property
    def generator_limits(self) -> GeneratorLimits:
        """Of the server's generator: a channel per port."""
        return replace(GENERATOR_LIMITS, channels=self.ports)

    @property
    def bias_limits(self) -> BiasLimits:
        """Of the server's bias controller: a channel per port."""
        return replace(BIAS_LIMITS, channels=self.ports)

    @property
    def mesh_limits(self) -> PhaseDriverLimits:
        """Of either mesh's driver: a channel per shifter."""
        channels = self.scene.forward_mesh.channels
        return PhaseDriverLimits(channels=channels, volts=Range(lowest=0.0, highest=10.0))

    @property
    def amplifier_limits(self) -> AmplifierLimits:
        """Of the client's amplifier."""
        settings = self.scene.settings.amplifier
        return AmplifierLimits(
            gain_db=Range(lowest=0.0, highest=settings.highest_gain_db),
            seed_power_w=Range(lowest=settings.seed_power_w, highest=10e-3),
        )

    @property
    def return_digitiser_limits(self) -> DigitiserLimits:
        """Of the server's digitiser: a channel per port."""
        return replace(DIGITISER_LIMITS, channels=self.ports)

    def part(self, party: str, role: str, channel: int = 0) -> Part:
        """What a channel of an instrument controls, for another front panel of it.

        Args:
            party: "server" or "client".
            role: as for the simulated instruments below.
            channel: port of the bench that the channel serves, where the instrument has several;
                a driver of a mesh has all its shifters in one part.

        Raises:
            ConfigurationError: the scene has no such place, or the instrument no such channel.
        """
        return self._parts.part(party, role, channel)

    def laser(self, party: str, role: str, *, limits: LaserLimits = LASER_LIMITS) -> SimulatedLaser:
        """A laser: server "laser" or "return_oscillator", client "oscillator" or "seed_laser"."""
        return SimulatedLaser(
            role,
            limits=limits,
            remote=self._remote(party, role, "laser"),
            source=self._parts.laser(party, role),
        )

    def weight_generator(
        self, *, limits: GeneratorLimits | None = None
    ) -> SimulatedWaveformGenerator:
        """The server's "weight_generator": one channel per port, all on one play."""
        role, part = "weight_generator", self._parts.weight_generators()[0]
        return SimulatedWaveformGenerator(
            role,
            limits=limits or self.generator_limits,
            remote=self._remote("server", role, "waveform generator"),
            unit=part.unit,
            line=part.line,
        )

    def weight_bias(
        self, *, limits: BiasLimits | None = None, settings: BiasSettings | None = None
    ) -> SimulatedBiasController:
        """The server's "weight_bias": one channel per modulator."""
        role, parts = "weight_bias", self._parts.weight_biases()
        for part in parts:
            part.settings = part.settings if settings is None else settings
        return SimulatedBiasController(
            role,
            limits=limits or self.bias_limits,
            remote=self._remote("server", role, "bias controller"),
            parts=parts,
        )

    def attenuator(self, *, limits: AttenuatorLimits = ATTENUATOR_LIMITS) -> SimulatedAttenuator:
        """The server's "attenuator", one for all ports."""
        return SimulatedAttenuator(
            "attenuator",
            limits=limits,
            remote=self._remote("server", "attenuator", "attenuator"),
            attenuator=self._parts.attenuator(),
        )

    def launch_power_meter(
        self,
        settings: PowerHeadSettings | None = None,
        *,
        limits: PowerMeterLimits = POWER_METER_LIMITS,
    ) -> SimulatedPowerMeter:
        """The server's "launch_power_meter", which sees the light of all ports together."""
        role, part = "launch_power_meter", self._parts.launch_power()
        part.head.settings = part.head.settings if settings is None else settings
        return SimulatedPowerMeter(
            role,
            limits=limits,
            remote=self._remote("server", role, "power meter"),
            part=part,
        )

    def mesh_driver(
        self, role: str, *, limits: PhaseDriverLimits | None = None
    ) -> SimulatedPhaseDriver:
        """A driver of the client's: "mesh_driver" (U_x) or "return_mesh_driver" (its inverse)."""
        return SimulatedPhaseDriver(
            role,
            limits=limits or self.mesh_limits,
            remote=self._remote("client", role, "phase driver"),
            part=self._parts.mesh(role),
        )

    def optical_amplifier(
        self, *, limits: AmplifierLimits | None = None
    ) -> SimulatedOpticalAmplifier:
        """The client's "amplifier" on port 0, kept safe by the seed laser's light."""
        return SimulatedOpticalAmplifier(
            "amplifier",
            limits=limits or self.amplifier_limits,
            remote=self._remote("client", "amplifier", "optical amplifier"),
            part=self._parts.amplifier(),
        )

    def tap_digitiser(
        self, *, limits: DigitiserLimits = DIGITISER_LIMITS
    ) -> SimulatedArrayDigitiser:
        """The client's "tap_digitiser", of one channel."""
        return self._digitiser("client", "tap_digitiser", [self._parts.tap_digitiser()], limits)

    def return_digitiser(self, *, limits: DigitiserLimits | None = None) -> SimulatedArrayDigitiser:
        """The server's "return_digitiser": one channel per port."""
        wanted = limits or self.return_digitiser_limits
        parts = self._parts.return_digitisers()
        return self._digitiser("server", "return_digitiser", parts, wanted)

    def _digitiser(
        self, party: str, role: str, parts: Sequence[DigitiserPart], limits: DigitiserLimits
    ) -> SimulatedArrayDigitiser:
        return SimulatedArrayDigitiser(
            role,
            limits=limits,
            remote=self._remote(party, role, "digitiser"),
            units=[part.unit for part in parts],
            line=self.line,
        )

    def _remote(self, party: str, role: str, kind: str) -> RemoteControl:
        return RemoteControl(
            party=party,
            role=role,
            model=f"simulated {kind}",
            seed=self.seed,
            clock=self.clock,
            fault=self._finder(party, role),
            latency=self.latencies.get(f"{party}.{role}"),
        )

    def _finder(self, party: str, role: str) -> FaultFinder:
        names = (role, f"{party}.{role}")
        return lambda kind: next(
            (
                found
                for name in names
                if (found := self.faults.active(kind, name, self.clock.now())) is not None
            ),
            None,
        )


def check_fault_of_instrument(fault: Fault) -> None:
    """Refuse a fault of the light.

    Raises:
        ConfigurationError: it is one.
    """
    if fault.kind in _FAULTS_OF_LIGHT:
        raise ConfigurationError(
            f"fault {fault.kind} of {fault.target!r}: on the bench with an amplifier only "
            "instruments fail; use the reference scene for faults of the light"
        )
