"""The parts of the reference bench by role: which front panel controls what of the scene."""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import numpy as np

from drivers.errors import ConfigurationError
from drivers.instruments import DigitiserSettings
from sim_backend.instruments.bias_controller import BIAS_LIMITS
from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.instruments.faults import FaultFinder
from sim_backend.instruments.parts import (
    AmplifierPart,
    AttenuatorPart,
    BiasPart,
    DigitiserPart,
    GeneratorPart,
    LaserPart,
    Part,
    PhasePart,
    PolarisationPart,
    PowerPart,
    SwitchPart,
)
from sim_backend.instruments.scene_faults import SceneFaults
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.scene.amplifier import OpticalAmplifierModel, OpticalAmplifierSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHead, PowerHeadSettings
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.scene.reference import ReferenceScene

__all__ = ["POWER_UP_RATE_HZ", "ReferenceParts"]

POWER_UP_RATE_HZ = 800e6
"""Sample rate of a generator or digitiser that nobody has set."""
_MESH_PORTS = 4
_Found = TypeVar("_Found")
_Finder: TypeAlias = Callable[[str, str], FaultFinder]
_Generators: TypeAlias = Callable[[str, str], np.random.Generator]


class ReferenceParts:
    """Makes the parts of one reference scene; a part that is asked for twice is the same device.

    Args:
        scene: the optics.
        line: the trigger line; its units are made here.
        clock: simulated time.
        faults: of the scene and its instruments.
        rng_of: the random numbers of the instrument of a party in a role.
    """

    def __init__(
        self,
        scene: ReferenceScene,
        *,
        line: TriggerLine,
        clock: SimulatedClock,
        faults: SceneFaults,
        rng_of: _Generators,
    ) -> None:
        self._scene = scene
        self._line = line
        self._clock = clock
        self._faults = faults
        self._rng_of = rng_of
        self._biases: dict[str, BiasPart] = {}
        self._meters: dict[str, PowerPart] = {}
        self._amplifiers: dict[str, AmplifierPart] = {}
        self._meshes: dict[str, PhasePart] = {}

    def part(self, party: str, role: str) -> Part:
        """The part behind the instrument of a party in a role.

        Raises:
            ConfigurationError: the scene has no such place.
        """
        whose: dict[str, Callable[[str, str], Part]] = {
            "laser": self.laser,
            "oscillator": self.laser,
            "return_oscillator": self.laser,
            "attenuator": self.attenuator,
            "signal_switch": self.switch,
            "return_switch": self.switch,
            "polarisation": self.polarisation,
            "return_polarisation": self.polarisation,
            "weight_generator": self.generator,
            "data_generator": self.generator,
            "tap_digitiser": self.digitiser,
            "return_digitiser": self.digitiser,
            "weight_bias": self.bias,
            "data_bias": self.bias,
            "launch_power_meter": self.power,
            "oscillator_power_meter": self.power,
            "amplifier": self.amplifier,
            "mesh_driver": self.mesh,
            "return_mesh_driver": self.mesh,
            "tap_phase": self.oscillator_phase,
            "return_phase": self.oscillator_phase,
        }
        return _found(whose, role)(party, role)

    def finder(self, party: str, role: str) -> FaultFinder:
        """A fault of an instrument names it by role, or by party and role where two share it."""
        return self._faults.finder(role, f"{party}.{role}")

    def laser(self, party: str, role: str) -> LaserPart:  # noqa: ARG002 - the role tells it
        """See `SimulatedBench.laser`."""
        scene = self._scene
        lasers = {
            "laser": scene.server_laser,
            "oscillator": scene.client_oscillator_laser,
            "return_oscillator": scene.server_oscillator_laser,
        }
        return _found(lasers, role)

    def attenuator(self, party: str, role: str) -> AttenuatorPart:  # noqa: ARG002 - as above
        """See `SimulatedBench.attenuator`."""
        return _found({"attenuator": self._scene.launch_attenuator}, role)

    def switch(self, party: str, role: str) -> SwitchPart:  # noqa: ARG002 - as above
        """See `SimulatedBench.switch`."""
        scene = self._scene
        switches = {"signal_switch": scene.client_switch, "return_switch": scene.server_switch}
        return _found(switches, role)

    def polarisation(self, party: str, role: str) -> PolarisationPart:  # noqa: ARG002 - as above
        """See `SimulatedBench.polarisation_controller`."""
        scene = self._scene
        controllers = {
            "polarisation": scene.client_polarisation,
            "return_polarisation": scene.server_polarisation,
        }
        return _found(controllers, role)

    def oscillator_phase(self, party: str, role: str) -> PhasePart:  # noqa: ARG002 - as above
        """See `SimulatedBench.oscillator_phase`."""
        scene = self._scene
        shifters = {
            "tap_phase": scene.client_phase_shifter,
            "return_phase": scene.server_phase_shifter,
        }
        return PhasePart(_found(shifters, role))

    def generator(self, party: str, role: str) -> GeneratorPart:
        """See `SimulatedBench.waveform_generator`; one channel, until the unit is widened."""
        port = _found({"weight_generator": "weight", "data_generator": "data"}, role)
        unit = self._line.generators.get(port)
        if unit is None:
            unit = GeneratorUnit(
                ports=[port],
                sample_rate_hz=POWER_UP_RATE_HZ,
                fault=self.finder(party, role),
                rest=self._scene.idle_v.__setitem__,
            )
            self._line.generators[port] = unit
        return GeneratorPart(unit=unit, line=self._line)

    def digitiser(self, party: str, role: str) -> DigitiserPart:
        """See `SimulatedBench.digitiser`."""
        port = _found({"tap_digitiser": "client", "return_digitiser": "server"}, role)
        unit = self._line.digitisers.get(port)
        if unit is None:
            settings = DigitiserSettings(sample_rate_hz=POWER_UP_RATE_HZ, samples=1, range_v=1.0)
            unit = DigitiserUnit(port=port, settings=settings, fault=self.finder(party, role))
            self._line.digitisers[port] = unit
        return DigitiserPart(unit=unit, line=self._line)

    def bias(self, party: str, role: str) -> BiasPart:
        """See `SimulatedBench.bias_controller`."""
        modulator, light_w = _found(
            {
                "weight_bias": (self._scene.weight_modulator, self._weight_light_w),
                "data_bias": (self._scene.data_modulator, self._data_light_w),
            },
            role,
        )
        if role not in self._biases:
            self._biases[role] = BiasPart(
                modulator,
                light_w=light_w,
                clock=self._clock,
                rng=self._rng_of(party, role),
                fault=self.finder(party, role),
                volts=BIAS_LIMITS.volts,
            )
        return self._biases[role]

    def power(self, party: str, role: str) -> PowerPart:
        """See `SimulatedBench.power_meter`."""
        place = f"{party}.{role}"
        points: dict[str, Callable[[], float]] = {
            "server.launch_power_meter": lambda: self._scene.idle_power_w("launch_monitor"),
            "server.oscillator_power_meter": lambda: self._oscillator_w("server"),
            "client.oscillator_power_meter": lambda: self._oscillator_w("client"),
        }
        power_w = _found(points, place)
        if place not in self._meters:
            head = PowerHead(PowerHeadSettings(), rng=self._rng_of(party, role))
            self._meters[place] = PowerPart(head, power_w=power_w)
        return self._meters[place]

    def amplifier(self, party: str, role: str) -> AmplifierPart:
        """See `SimulatedBench.optical_amplifier`."""
        place = f"{party}.{role}"
        if place not in self._amplifiers:
            model = OpticalAmplifierModel(OpticalAmplifierSettings(), rng=self._rng_of(party, role))
            self._amplifiers[place] = AmplifierPart(
                model, seed_w=lambda: self._scene.idle_power_w("client_input")
            )
        return self._amplifiers[place]

    def mesh(self, party: str, role: str) -> PhasePart:
        """See `SimulatedBench.phase_driver`."""
        place = f"{party}.{role}"
        if place not in self._meshes:
            mesh = Mesh(MeshSettings(ports=_MESH_PORTS), rng=self._rng_of(party, role))
            self._meshes[place] = PhasePart(mesh)
        return self._meshes[place]

    def _weight_light_w(self) -> float:
        return self._scene.server_laser.power_w()

    def _data_light_w(self) -> float:
        """Power into the data modulator."""
        settings = self._scene.settings
        if settings.oscillators == "own":
            return self._scene.client_oscillator_laser.power_w()
        return self._scene.server_laser.power_w() * settings.client_oscillator_share

    def _oscillator_w(self, party: str) -> float:
        kept = self._faults.oscillator_kept(party)
        return kept * self._scene.idle_power_w(f"{party}_oscillator")


def _found(places: Mapping[str, _Found], role: str) -> _Found:
    found = places.get(role)
    if found is None:
        raise ConfigurationError(
            f"the reference scene has nothing for an instrument in role {role!r}; it has places "
            f"for {', '.join(places)}"
        )
    return found
