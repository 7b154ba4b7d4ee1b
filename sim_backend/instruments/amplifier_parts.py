"""The parts of the bench with an amplifier by role and channel: what controls what of the scene."""

from collections.abc import Callable, Mapping
from typing import TypeVar

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
    PowerPart,
)
from sim_backend.instruments.reference_parts import POWER_UP_RATE_HZ
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.scene.amplifier_bench import AmplifierBench
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.detectors import PowerHead, PowerHeadSettings

__all__ = ["AmplifierParts"]

_Found = TypeVar("_Found")


class AmplifierParts:
    """Makes the parts of one scene; a part that is asked for twice is the same device.

    Args:
        scene: the optics.
        line: the trigger line; its units are made here.
        clock: simulated time.
        finder: faults of the instrument of a party in a role.
        rng_of: the random numbers of the instrument of a party in a role.
    """

    def __init__(
        self,
        scene: AmplifierBench,
        *,
        line: TriggerLine,
        clock: SimulatedClock,
        finder: Callable[[str, str], FaultFinder],
        rng_of: Callable[[str, str], np.random.Generator],
    ) -> None:
        self._scene = scene
        self._line = line
        self._clock = clock
        self._finder = finder
        self._rng_of = rng_of
        self._biases: list[BiasPart] = []
        self._meter: PowerPart | None = None

    def part(self, party: str, role: str, channel: int) -> Part:
        """The part behind a channel of the instrument of a party in a role.

        Raises:
            ConfigurationError: the scene has no such place, or the instrument no such channel.
        """
        places: dict[str, Callable[[], list[Part]]] = {
            **{place: lambda: [self.laser(party, role)] for place in self._lasers()},
            "server.weight_generator": lambda: [*self.weight_generators()],
            "server.weight_bias": lambda: [*self.weight_biases()],
            "server.attenuator": lambda: [self.attenuator()],
            "server.launch_power_meter": lambda: [self.launch_power()],
            "client.mesh_driver": lambda: [self.mesh(role)],
            "client.return_mesh_driver": lambda: [self.mesh(role)],
            "client.amplifier": lambda: [self.amplifier()],
            "client.tap_digitiser": lambda: [self.tap_digitiser()],
            "server.return_digitiser": lambda: [*self.return_digitisers()],
        }
        parts = _found(places, f"{party}.{role}")()
        if not 0 <= channel < len(parts):
            raise ConfigurationError(
                f"{party}.{role}: there is no channel {channel} on this bench; choose 0 to "
                f"{len(parts) - 1}"
            )
        return parts[channel]

    def laser(self, party: str, role: str) -> LaserPart:
        """See `SimulatedAmplifierBench.laser`."""
        return _found(self._lasers(), f"{party}.{role}")

    def attenuator(self) -> AttenuatorPart:
        """See `SimulatedAmplifierBench.attenuator`."""
        return self._scene.launch_attenuator

    def weight_generators(self) -> list[GeneratorPart]:
        """The channels of the one weight generator, by port."""
        ports, first = range(self._scene.ports), "weight0"
        unit = self._line.generators.get(first)
        if unit is None:
            unit = GeneratorUnit(
                ports=[f"weight{port}" for port in ports],
                sample_rate_hz=POWER_UP_RATE_HZ,
                fault=self._finder("server", "weight_generator"),
                rest=self._scene.idle_v.__setitem__,
            )
            self._line.generators[first] = unit
        return [GeneratorPart(unit=unit, line=self._line, channel=port) for port in ports]

    def weight_biases(self) -> list[BiasPart]:
        """The channels of the weights' bias controller, by port."""
        if not self._biases:
            scene, role = self._scene, "weight_bias"
            rng = self._rng_of("server", role)
            self._biases = [
                BiasPart(
                    modulator,
                    light_w=lambda: scene.server_laser.power_w() / scene.ports,
                    clock=self._clock,
                    rng=rng,
                    fault=self._finder("server", role),
                    volts=BIAS_LIMITS.volts,
                )
                for modulator in scene.weight_modulators
            ]
        return self._biases

    def launch_power(self) -> PowerPart:
        """See `SimulatedAmplifierBench.launch_power_meter`."""
        if self._meter is None:
            head = PowerHead(PowerHeadSettings(), rng=self._rng_of("server", "launch_power_meter"))
            self._meter = PowerPart(head, power_w=lambda: self._scene.idle_power_w("launch"))
        return self._meter

    def mesh(self, role: str) -> PhasePart:
        """See `SimulatedAmplifierBench.mesh_driver`."""
        meshes = {
            "mesh_driver": self._scene.forward_mesh,
            "return_mesh_driver": self._scene.return_mesh,
        }
        return PhasePart(_found(meshes, role))

    def amplifier(self) -> AmplifierPart:
        """See `SimulatedAmplifierBench.optical_amplifier`."""
        scene = self._scene
        return AmplifierPart(scene.amplifier, seed_w=lambda: scene.idle_power_w("seed"))

    def return_digitisers(self) -> list[DigitiserPart]:
        """The channels of the server's digitiser, by port."""
        ports = [f"server{port}" for port in range(self._scene.ports)]
        return self._digitisers("server", "return_digitiser", ports)

    def tap_digitiser(self) -> DigitiserPart:
        """The one channel of the client's digitiser."""
        return self._digitisers("client", "tap_digitiser", ["client"])[0]

    def _digitisers(self, party: str, role: str, ports: list[str]) -> list[DigitiserPart]:
        found = []
        for port in ports:
            unit = self._line.digitisers.get(port)
            if unit is None:
                settings = DigitiserSettings(
                    sample_rate_hz=POWER_UP_RATE_HZ, samples=1, range_v=1.0
                )
                unit = DigitiserUnit(port=port, settings=settings, fault=self._finder(party, role))
                self._line.digitisers[port] = unit
            found.append(DigitiserPart(unit=unit, line=self._line))
        return found

    def _lasers(self) -> dict[str, LaserPart]:
        scene = self._scene
        return {
            "server.laser": scene.server_laser,
            "server.return_oscillator": scene.server_oscillator_laser,
            "client.oscillator": scene.client_oscillator_laser,
            "client.seed_laser": scene.seed_laser,
        }


def _found(places: Mapping[str, _Found], role: str) -> _Found:
    found = places.get(role)
    if found is None:
        raise ConfigurationError(
            f"the bench with an amplifier has nothing for an instrument in role {role!r}; it has "
            f"places for {', '.join(places)}"
        )
    return found
