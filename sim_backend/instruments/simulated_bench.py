"""A simulated bench: one reference scene, its clock, trigger line and faults, and its instruments.

Owns which instrument controls which part of the scene. Both parties' instruments come from one
simulated bench, because they share the light.
"""

from drivers.instruments import (
    AmplifierLimits,
    AttenuatorLimits,
    BiasLimits,
    DigitiserLimits,
    GeneratorLimits,
    LaserLimits,
    PhaseDriverLimits,
    PolarisationLimits,
    PowerMeterLimits,
    SwitchLimits,
)
from sim_backend.instruments.attenuator import ATTENUATOR_LIMITS, SimulatedAttenuator
from sim_backend.instruments.bias_controller import (
    BIAS_LIMITS,
    BiasSettings,
    SimulatedBiasController,
)
from sim_backend.instruments.digitiser import DIGITISER_LIMITS, SimulatedDigitiser
from sim_backend.instruments.faults import Fault, FaultPlan
from sim_backend.instruments.intruders import KnownSlots
from sim_backend.instruments.laser import LASER_LIMITS, SimulatedLaser
from sim_backend.instruments.optical_amplifier import (
    AMPLIFIER_LIMITS,
    SimulatedOpticalAmplifier,
)
from sim_backend.instruments.parts import Part
from sim_backend.instruments.phase_driver import (
    OSCILLATOR_PHASE_LIMITS,
    PHASE_DRIVER_LIMITS,
    SimulatedPhaseDriver,
)
from sim_backend.instruments.polarisation_controller import (
    POLARISATION_LIMITS,
    SimulatedPolarisationController,
)
from sim_backend.instruments.power_meter import POWER_METER_LIMITS, SimulatedPowerMeter
from sim_backend.instruments.reference_parts import ReferenceParts
from sim_backend.instruments.remote import Latency, RemoteControl
from sim_backend.instruments.scene_faults import SceneFaults, check_target
from sim_backend.instruments.switch import SWITCH_LIMITS, SimulatedSwitch
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.instruments.waveform_generator import (
    GENERATOR_LIMITS,
    SimulatedWaveformGenerator,
)
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings

__all__ = ["SimulatedBench"]


class SimulatedBench:
    """Makes the simulated instruments of both parties, all on one scene.

    An instrument that is made twice is the same device with another connection to it.

    Attributes:
        scene: the optics.
        clock: simulated time of the scene and of all instruments.
        faults: what goes wrong; `inject` adds to it.
        line: the trigger line.
        seed: of the scene and of the instruments.
        latencies: by `party.role`, for instruments that are made from now on.

    Args:
        settings: of the scene.
        seed: makes everything repeat exactly.
        clock: simulated time.
        faults: what goes wrong.

    Raises:
        ConfigurationError: a fault names a part that the scene does not have.
    """

    def __init__(
        self,
        settings: ReferenceSettings | None = None,
        *,
        seed: int = 0,
        clock: SimulatedClock | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.clock = SimulatedClock() if clock is None else clock
        self.faults = FaultPlan() if faults is None else faults
        self.seed = seed
        self.latencies: dict[str, Latency] = {}
        chosen = ReferenceSettings() if settings is None else settings
        self.scene = ReferenceScene(chosen, seed=seed, clock=self.clock)
        self.line = TriggerLine(self.scene, self.clock)
        lasers = {
            "laser": self.scene.server_laser,
            "oscillator": self.scene.client_oscillator_laser,
            "return_oscillator": self.scene.server_oscillator_laser,
        }
        self._scene_faults = SceneFaults(
            self.scene, lasers=lasers, plan=self.faults, clock=self.clock
        )
        self._parts = ReferenceParts(
            self.scene,
            line=self.line,
            clock=self.clock,
            faults=self._scene_faults,
            rng_of=lambda party, role: self._remote(party, role, "part").rng,
        )
        for fault in self.faults.faults:
            check_target(fault)

    def inject(self, fault: Fault) -> None:
        """Add a fault, also while the bench runs.

        Raises:
            ConfigurationError: the bench has no such part, or the fault overlaps with its like.
        """
        check_target(fault)
        self.faults.add(fault)

    def tell_slots(self, span: str, slots: KnownSlots) -> None:
        """Tell whoever sits at the end of the span "forward" or "back" how the bursts look.

        Raises:
            ConfigurationError: there is no such span.
        """
        self._scene_faults.tell_slots(span, slots)

    def part(self, party: str, role: str) -> Part:
        """What the instrument of a party in a role controls, for another front panel of it.

        Args:
            party: "server" or "client".
            role: as for the simulated instruments below; "amplifier" and "mesh_driver" too.

        Raises:
            ConfigurationError: the scene has no such place.
        """
        return self._parts.part(party, role)

    def laser(self, party: str, role: str, *, limits: LaserLimits = LASER_LIMITS) -> SimulatedLaser:
        """The laser in a role: "laser", "oscillator" or "return_oscillator"."""
        return SimulatedLaser(
            role,
            limits=limits,
            remote=self._remote(party, role, "laser"),
            source=self._parts.laser(party, role),
        )

    def waveform_generator(
        self, party: str, role: str, *, limits: GeneratorLimits = GENERATOR_LIMITS
    ) -> SimulatedWaveformGenerator:
        """The generator in a role: "weight_generator" or "data_generator", on channel 0."""
        part = self._parts.generator(party, role)
        part.unit.widen(limits.channels)
        return SimulatedWaveformGenerator(
            role,
            limits=limits,
            remote=self._remote(party, role, "waveform generator"),
            unit=part.unit,
            line=part.line,
        )

    def digitiser(
        self, party: str, role: str, *, limits: DigitiserLimits = DIGITISER_LIMITS
    ) -> SimulatedDigitiser:
        """The digitiser in a role: "tap_digitiser" or "return_digitiser"."""
        part = self._parts.digitiser(party, role)
        return SimulatedDigitiser(
            role,
            limits=limits,
            remote=self._remote(party, role, "digitiser"),
            unit=part.unit,
            line=part.line,
        )

    def bias_controller(
        self,
        party: str,
        role: str,
        *,
        limits: BiasLimits = BIAS_LIMITS,
        settings: BiasSettings | None = None,
    ) -> SimulatedBiasController:
        """The controller in a role: "weight_bias" or "data_bias"."""
        part = self._parts.bias(party, role)
        part.settings = part.settings if settings is None else settings
        return SimulatedBiasController(
            role,
            limits=limits,
            remote=self._remote(party, role, "bias controller"),
            parts=[part],
        )

    def attenuator(
        self, party: str, role: str, *, limits: AttenuatorLimits = ATTENUATOR_LIMITS
    ) -> SimulatedAttenuator:
        """The attenuator in the role "attenuator"."""
        return SimulatedAttenuator(
            role,
            limits=limits,
            remote=self._remote(party, role, "attenuator"),
            attenuator=self._parts.attenuator(party, role),
        )

    def switch(
        self, party: str, role: str, *, limits: SwitchLimits = SWITCH_LIMITS
    ) -> SimulatedSwitch:
        """The switch in a role: "signal_switch" or "return_switch"."""
        return SimulatedSwitch(
            role,
            limits=limits,
            remote=self._remote(party, role, "switch"),
            switch=self._parts.switch(party, role),
        )

    def polarisation_controller(
        self, party: str, role: str, *, limits: PolarisationLimits = POLARISATION_LIMITS
    ) -> SimulatedPolarisationController:
        """The controller in a role: "polarisation" or "return_polarisation"."""
        return SimulatedPolarisationController(
            role,
            limits=limits,
            remote=self._remote(party, role, "polarisation controller"),
            controller=self._parts.polarisation(party, role),
        )

    def power_meter(
        self,
        party: str,
        role: str,
        *,
        limits: PowerMeterLimits = POWER_METER_LIMITS,
        settings: PowerHeadSettings | None = None,
    ) -> SimulatedPowerMeter:
        """The meter in a role: "launch_power_meter" or "oscillator_power_meter"."""
        part = self._parts.power(party, role)
        part.head.settings = part.head.settings if settings is None else settings
        return SimulatedPowerMeter(
            role,
            limits=limits,
            remote=self._remote(party, role, "power meter"),
            part=part,
        )

    def optical_amplifier(
        self, party: str, role: str, *, limits: AmplifierLimits = AMPLIFIER_LIMITS
    ) -> SimulatedOpticalAmplifier:
        """An amplifier beside the scene: seeded by the light before the client's tap."""
        return SimulatedOpticalAmplifier(
            role,
            limits=limits,
            remote=self._remote(party, role, "optical amplifier"),
            part=self._parts.amplifier(party, role),
        )

    def oscillator_phase(
        self, party: str, role: str, *, limits: PhaseDriverLimits = OSCILLATOR_PHASE_LIMITS
    ) -> SimulatedPhaseDriver:
        """The driver in a role: "tap_phase" or "return_phase", with homodyne detection."""
        return SimulatedPhaseDriver(
            role,
            limits=limits,
            remote=self._remote(party, role, "phase driver"),
            part=self._parts.oscillator_phase(party, role),
        )

    def phase_driver(
        self, party: str, role: str, *, limits: PhaseDriverLimits = PHASE_DRIVER_LIMITS
    ) -> SimulatedPhaseDriver:
        """A driver of a small mesh beside the scene."""
        return SimulatedPhaseDriver(
            role,
            limits=limits,
            remote=self._remote(party, role, "phase driver"),
            part=self._parts.mesh(party, role),
        )

    def _remote(self, party: str, role: str, kind: str) -> RemoteControl:
        return RemoteControl(
            party=party,
            role=role,
            model=f"simulated {kind}",
            seed=self.seed,
            clock=self.clock,
            fault=self._parts.finder(party, role),
            latency=self.latencies.get(f"{party}.{role}"),
        )
