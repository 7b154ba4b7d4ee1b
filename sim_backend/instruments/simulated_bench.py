"""A simulated bench: one reference scene, its clock, trigger line and faults, and its instruments.

Owns which instrument controls which part of the scene. Both parties' instruments come from one
simulated bench, because they share the light.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from drivers.errors import ConfigurationError
from drivers.instruments import (
    AmplifierLimits,
    AttenuatorLimits,
    BiasLimits,
    DigitiserLimits,
    DigitiserSettings,
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
from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.instruments.digitiser import DIGITISER_LIMITS, SimulatedDigitiser
from sim_backend.instruments.faults import Fault, FaultFinder, FaultPlan
from sim_backend.instruments.laser import LASER_LIMITS, SimulatedLaser
from sim_backend.instruments.optical_amplifier import (
    AMPLIFIER_LIMITS,
    SimulatedOpticalAmplifier,
)
from sim_backend.instruments.phase_driver import PHASE_DRIVER_LIMITS, SimulatedPhaseDriver
from sim_backend.instruments.polarisation_controller import (
    POLARISATION_LIMITS,
    SimulatedPolarisationController,
)
from sim_backend.instruments.power_meter import POWER_METER_LIMITS, SimulatedPowerMeter
from sim_backend.instruments.remote import Latency, RemoteControl
from sim_backend.instruments.scene_faults import SceneFaults, check_target
from sim_backend.instruments.switch import SWITCH_LIMITS, SimulatedSwitch
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.instruments.waveform_generator import (
    GENERATOR_LIMITS,
    SimulatedWaveformGenerator,
)
from sim_backend.scene.amplifier import OpticalAmplifierModel, OpticalAmplifierSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHead, PowerHeadSettings
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.scene.modulators import MachZehnder
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings

__all__ = ["SimulatedBench"]

_POWER_UP_RATE_HZ = 800e6
_MESH_PORTS = 4
_Part = TypeVar("_Part")


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
        self._lasers = {
            "laser": self.scene.server_laser,
            "oscillator": self.scene.client_oscillator_laser,
            "return_oscillator": self.scene.server_oscillator_laser,
        }
        self._scene_faults = SceneFaults(
            self.scene, lasers=self._lasers, plan=self.faults, clock=self.clock
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

    def laser(self, party: str, role: str, *, limits: LaserLimits = LASER_LIMITS) -> SimulatedLaser:
        """The laser in a role: "laser", "oscillator" or "return_oscillator"."""
        return SimulatedLaser(
            role,
            limits=limits,
            remote=self._remote(party, role, "laser"),
            source=_part(self._lasers, role),
        )

    def waveform_generator(
        self, party: str, role: str, *, limits: GeneratorLimits = GENERATOR_LIMITS
    ) -> SimulatedWaveformGenerator:
        """The generator in a role: "weight_generator" or "data_generator", on channel 0."""
        port = _part({"weight_generator": "weight", "data_generator": "data"}, role)
        unit = self.line.generators.get(port)
        if unit is None:
            unit = GeneratorUnit(
                ports=[port] + [None] * (limits.channels - 1),
                sample_rate_hz=_POWER_UP_RATE_HZ,
                fault=self._finder(party, role),
                rest=self.scene.idle_v.__setitem__,
            )
            self.line.generators[port] = unit
        return SimulatedWaveformGenerator(
            role,
            limits=limits,
            remote=self._remote(party, role, "waveform generator"),
            unit=unit,
            line=self.line,
        )

    def digitiser(
        self, party: str, role: str, *, limits: DigitiserLimits = DIGITISER_LIMITS
    ) -> SimulatedDigitiser:
        """The digitiser in a role: "tap_digitiser" or "return_digitiser"."""
        port = _part({"tap_digitiser": "client", "return_digitiser": "server"}, role)
        unit = self.line.digitisers.get(port)
        if unit is None:
            settings = DigitiserSettings(sample_rate_hz=_POWER_UP_RATE_HZ, samples=1, range_v=1.0)
            unit = DigitiserUnit(port=port, settings=settings, fault=self._finder(party, role))
            self.line.digitisers[port] = unit
        return SimulatedDigitiser(
            role,
            limits=limits,
            remote=self._remote(party, role, "digitiser"),
            unit=unit,
            line=self.line,
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
        parts: dict[str, tuple[MachZehnder, Callable[[], float]]] = {
            "weight_bias": (self.scene.weight_modulator, self.scene.server_laser.power_w),
            "data_bias": (self.scene.data_modulator, self._data_light_w),
        }
        modulator, light_w = _part(parts, role)
        return SimulatedBiasController(
            role,
            limits=limits,
            remote=self._remote(party, role, "bias controller"),
            modulators=[modulator],
            light_w=light_w,
            settings=settings,
        )

    def attenuator(
        self, party: str, role: str, *, limits: AttenuatorLimits = ATTENUATOR_LIMITS
    ) -> SimulatedAttenuator:
        """The attenuator in the role "attenuator"."""
        return SimulatedAttenuator(
            role,
            limits=limits,
            remote=self._remote(party, role, "attenuator"),
            attenuator=_part({"attenuator": self.scene.launch_attenuator}, role),
        )

    def switch(
        self, party: str, role: str, *, limits: SwitchLimits = SWITCH_LIMITS
    ) -> SimulatedSwitch:
        """The switch in a role: "signal_switch" or "return_switch"."""
        switches = {
            "signal_switch": self.scene.client_switch,
            "return_switch": self.scene.server_switch,
        }
        return SimulatedSwitch(
            role,
            limits=limits,
            remote=self._remote(party, role, "switch"),
            switch=_part(switches, role),
        )

    def polarisation_controller(
        self, party: str, role: str, *, limits: PolarisationLimits = POLARISATION_LIMITS
    ) -> SimulatedPolarisationController:
        """The controller in a role: "polarisation" or "return_polarisation"."""
        controllers = {
            "polarisation": self.scene.client_polarisation,
            "return_polarisation": self.scene.server_polarisation,
        }
        return SimulatedPolarisationController(
            role,
            limits=limits,
            remote=self._remote(party, role, "polarisation controller"),
            controller=_part(controllers, role),
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
        points = {
            "server.launch_power_meter": lambda: self.scene.idle_power_w("launch_monitor"),
            "server.oscillator_power_meter": lambda: self._oscillator_w("server"),
            "client.oscillator_power_meter": lambda: self._oscillator_w("client"),
        }
        remote = self._remote(party, role, "power meter")
        chosen = PowerHeadSettings() if settings is None else settings
        return SimulatedPowerMeter(
            role,
            limits=limits,
            remote=remote,
            head=PowerHead(chosen, rng=remote.rng),
            power_w=_part(points, f"{party}.{role}"),
        )

    def optical_amplifier(
        self, party: str, role: str, *, limits: AmplifierLimits = AMPLIFIER_LIMITS
    ) -> SimulatedOpticalAmplifier:
        """An amplifier beside the scene: seeded by the light before the client's tap."""
        remote = self._remote(party, role, "optical amplifier")
        return SimulatedOpticalAmplifier(
            role,
            limits=limits,
            remote=remote,
            amplifier=OpticalAmplifierModel(OpticalAmplifierSettings(), rng=remote.rng),
            seed_w=lambda: self.scene.idle_power_w("client_input"),
        )

    def phase_driver(
        self, party: str, role: str, *, limits: PhaseDriverLimits = PHASE_DRIVER_LIMITS
    ) -> SimulatedPhaseDriver:
        """A driver of a small mesh beside the scene."""
        remote = self._remote(party, role, "phase driver")
        mesh = Mesh(MeshSettings(ports=_MESH_PORTS), rng=remote.rng)
        return SimulatedPhaseDriver(role, limits=limits, remote=remote, mesh=mesh)

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
        """A fault of an instrument names it by role, or by party and role where two share it."""
        return self._scene_faults.finder(role, f"{party}.{role}")

    def _data_light_w(self) -> float:
        """Power into the data modulator."""
        settings = self.scene.settings
        if settings.oscillators == "own":
            return self.scene.client_oscillator_laser.power_w()
        return self.scene.server_laser.power_w() * settings.client_oscillator_share

    def _oscillator_w(self, party: str) -> float:
        kept = self._scene_faults.oscillator_kept(party)
        return kept * self.scene.idle_power_w(f"{party}_oscillator")


def _part(parts: Mapping[str, _Part], role: str) -> _Part:
    found = parts.get(role)
    if found is None:
        raise ConfigurationError(
            f"the reference scene has nothing for an instrument in role {role!r}; it has places "
            f"for {', '.join(parts)}"
        )
    return found
