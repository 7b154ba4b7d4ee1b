"""The bench with an amplifier: modes in parallel ports, a mesh, gain on one mode, and back.

A frame is one slot: every mode has its own port, and one data vector holds for a whole shot, since
the meshes stand still in it.

Wiring: server laser -> splitter to all ports -> a weight modulator per port -> attenuator -> a
fibre per port -> client's mesh U -> amplifier on port 0 -> coupler: tapped arm to the client's
detector, through arm on; all ports -> client's second mesh -> a fibre per port -> a balanced
detector per port at the server. With gain G, tap 1 - 1/G and a second mesh of U^dagger the light
comes back as it was sent, with noise in one mode (arXiv 2408.05629).
Fibres keep the polarisation. Both parties have own oscillators.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive, check_whole
from sim_backend.scene.amplifier import OpticalAmplifierModel, OpticalAmplifierSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import AdcSettings, DacSettings, DacStream
from sim_backend.scene.detectors import BalancedDetector, BalancedDetectorSettings
from sim_backend.scene.fibre import Fibre, FibreSettings
from sim_backend.scene.lasers import LaserSettings, LaserSource
from sim_backend.scene.light import ComplexArray, Light, Window
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.scene.modulators import MachZehnder, MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings, Coupler, VariableAttenuator
from sim_backend.scene.reference_settings import INTERMEDIATE_FREQUENCY_HZ, wavelength_at_offset_m
from sim_backend.scene.shots import SampledScene, Shot

__all__ = ["AmplifierBench", "AmplifierBenchSettings"]


def _narrow(power_w: float, *, offset_hz: float = 0.0) -> LaserSettings:
    """A narrow laser: pilots of all ports are needed for one look at the phase of mode x."""
    return LaserSettings(
        power_w=power_w,
        wavelength_m=wavelength_at_offset_m(offset_hz),
        linewidth_hz=1e3,
        frequency_drift_hz=3e5,
    )


def _oscillator(power_w: float) -> LaserSettings:
    return _narrow(power_w, offset_hz=-INTERMEDIATE_FREQUENCY_HZ)


def _patch() -> FibreSettings:
    return FibreSettings(
        length_m=0.0,
        connector_loss_db=0.3,
        thermal_phase_rad_per_sqrt_s=1e-4,
        polarisation_rad_per_sqrt_s=0.0,
        polarisation_scrambled=False,
    )


@dataclass(frozen=True, kw_only=True)
class AmplifierBenchSettings:
    """Data sheets of the bench with an amplifier.

    Args:
        server_laser: source of the signal light.
        client_oscillator_laser: the client's oscillator.
        server_oscillator_laser: the server's oscillator, split to all its detectors.
        seed_laser: light in another band that keeps the pumped amplifier in a safe state.
        weight_modulator: one of the modulators, drive ports "weight0" and so on.
        launch_attenuator: one setting for all ports.
        patch: a port's fibre to the client, and back.
        mesh: either of the client's meshes; its ports are the modes of the bench.
        amplifier: on port 0 behind the first mesh.
        tap: power fraction behind the amplifier that goes to the client's detector, 1 - 1/G for the
            agreed gain.
        client_detector: behind the tapped arm.
        server_detector: one of the server's, record ports "server0" and so on.
        dac: a generator channel.
        adc: a digitiser channel.
        lowest_rate_hz: as in `SampledScene`.
        block_samples: samples computed at once.
    """

    server_laser: LaserSettings = field(default_factory=lambda: _narrow(20e-3))
    client_oscillator_laser: LaserSettings = field(default_factory=lambda: _oscillator(2e-3))
    server_oscillator_laser: LaserSettings = field(default_factory=lambda: _oscillator(16e-3))
    seed_laser: LaserSettings = field(
        default_factory=lambda: LaserSettings(power_w=1e-5, wavelength_m=1560e-9)
    )
    weight_modulator: MachZehnderSettings = field(default_factory=MachZehnderSettings)
    launch_attenuator: AttenuatorSettings = field(default_factory=AttenuatorSettings)
    patch: FibreSettings = field(default_factory=_patch)
    mesh: MeshSettings = field(default_factory=MeshSettings)
    amplifier: OpticalAmplifierSettings = field(default_factory=OpticalAmplifierSettings)
    tap: float = 0.5
    client_detector: BalancedDetectorSettings = field(default_factory=BalancedDetectorSettings)
    server_detector: BalancedDetectorSettings = field(default_factory=BalancedDetectorSettings)
    dac: DacSettings = field(default_factory=DacSettings)
    adc: AdcSettings = field(default_factory=AdcSettings)
    lowest_rate_hz: float = 800e6
    block_samples: int = 1 << 13

    def __post_init__(self) -> None:
        check_between(self.patch, "length_m", 0.0, 100.0, unit="m")
        check_between(self, "tap", 0.0, 1.0)
        check_positive(self, "lowest_rate_hz")
        check_whole(self, "block_samples", 64, 1 << 24)


class AmplifierBench(SampledScene):
    """Components of the bench with an amplifier and the light between them.

    Attributes:
        server_laser, client_oscillator_laser, server_oscillator_laser, seed_laser: `LaserSource`.
        weight_modulators: one `MachZehnder` per port.
        launch_attenuator: `VariableAttenuator`.
        forward_fibres, return_fibres: one `Fibre` per port.
        forward_mesh, return_mesh: the client's `Mesh`es.
        amplifier: `OpticalAmplifierModel`.
        tap: `Coupler` behind the amplifier.
        client_detector: `BalancedDetector`.
        server_detectors: one per port.
        ports: number of modes.

    Args:
        settings: data sheets.
        seed: every random number of the scene follows from it and the calls made.
        clock: simulated time.
    """

    def __init__(
        self, settings: AmplifierBenchSettings, *, seed: int, clock: SimulatedClock | None = None
    ) -> None:
        self.settings = settings
        self.ports = settings.mesh.ports
        super().__init__(
            drive_ports=tuple(f"weight{port}" for port in range(self.ports)),
            record_ports=("client", *(f"server{port}" for port in range(self.ports))),
            seed=seed,
            clock=clock if clock is not None else SimulatedClock(),
            lowest_rate_hz=settings.lowest_rate_hz,
            block_samples=settings.block_samples,
        )
        self._build_server()
        self._build_client()
        self.clock.on_advance(self._age)

    def idle_power_w(self, point: str) -> float:
        """Static power with all drives at rest.

        Args:
            point: "launch" (of all ports together, into their fibres) or "seed" (into the
                amplifier, without what little comes from the server).

        Raises:
            ConfigurationError: an unknown point.
        """
        with self._lock:
            if point == "seed":
                return self.seed_laser.power_w()
            if point == "launch":
                share_w = self.server_laser.power_w() * self.launch_attenuator.transmission()
                resting = [
                    modulator.transmission(self._resting_v(f"weight{port}"))
                    for port, modulator in enumerate(self.weight_modulators)
                ]
                return share_w / self.ports * sum(resting)
        raise ConfigurationError(
            f"amplifier bench: no power point {point!r}; known: 'launch', 'seed'"
        )

    def _build_server(self) -> None:
        settings, ports = self.settings, range(self.ports)
        self.server_laser = self._laser("server_laser")
        self.server_oscillator_laser = self._laser("server_oscillator_laser")
        self.launch_attenuator = VariableAttenuator(settings.launch_attenuator, clock=self.clock)
        self.weight_modulators = [
            MachZehnder(settings.weight_modulator, rng=self.random_stream(f"modulator{port}"))
            for port in ports
        ]
        self.forward_fibres = [
            Fibre(settings.patch, rng=self.random_stream(f"to{port}")) for port in ports
        ]
        self.return_fibres = [
            Fibre(settings.patch, rng=self.random_stream(f"from{port}")) for port in ports
        ]
        self.server_detectors = [
            BalancedDetector(settings.server_detector, rng=self.random_stream(f"detector{port}"))
            for port in ports
        ]

    def _build_client(self) -> None:
        settings = self.settings
        self.client_oscillator_laser = self._laser("client_oscillator_laser")
        self.seed_laser = self._laser("seed_laser")
        self.forward_mesh = Mesh(settings.mesh, rng=self.random_stream("forward_mesh"))
        self.return_mesh = Mesh(settings.mesh, rng=self.random_stream("return_mesh"))
        self.amplifier = OpticalAmplifierModel(
            settings.amplifier, rng=self.random_stream("amplifier")
        )
        self.tap = Coupler(settings.tap)
        self.client_detector = BalancedDetector(
            settings.client_detector, rng=self.random_stream("client_detector")
        )

    def _laser(self, name: str) -> LaserSource:
        return LaserSource(
            getattr(self.settings, name), rng=self.random_stream(name), clock=self.clock
        )

    def _age(self, duration_s: float) -> None:
        for laser in self._lasers():
            laser.age(duration_s)
        for modulator in self.weight_modulators:
            modulator.age(duration_s)
        for fibre in (*self.forward_fibres, *self.return_fibres):
            fibre.age(duration_s)

    def _lasers(self) -> tuple[LaserSource, ...]:
        return (
            self.server_laser,
            self.client_oscillator_laser,
            self.server_oscillator_laser,
            self.seed_laser,
        )

    def _dac_settings(self, port: str) -> DacSettings:  # noqa: ARG002 - all channels are alike
        return self.settings.dac

    def _adc_settings(self, port: str) -> AdcSettings:  # noqa: ARG002 - all channels are alike
        return self.settings.adc

    def _settling_s(self, ports: Collection[str]) -> float:  # noqa: ARG002 - patches are short
        detectors = (self.client_detector, self.server_detectors[0])
        slowest_s = max(detector.settling_s() for detector in detectors)
        return 2 * self.settings.patch.delay_s + slowest_s

    def _begin_components(self, window: Window, dacs: Mapping[str, DacStream]) -> None:
        for port, modulator in enumerate(self.weight_modulators):
            modulator.begin(window, idle_v=dacs[f"weight{port}"].idle_v)
        for laser in self._lasers():
            laser.begin(window)
        for fibre in (*self.forward_fibres, *self.return_fibres):
            fibre.begin(window)
        for detector in (*self.server_detectors, self.client_detector):
            detector.begin(window)
        self.amplifier.begin(window)

    def _block(self, shot: Shot, samples: int) -> None:
        source = self.server_laser.block(samples)
        arriving = self._launched(shot, source, samples)
        inside = self.forward_mesh.transfer().astype(np.complex64) @ arriving
        amplified = self.amplifier.block(
            replace(source, field=inside[0]), seed_power_w=self.seed_laser.power_w()
        )
        through, tapped = self.tap.block(amplified)
        if "client" in shot.adcs:
            oscillator = self.client_oscillator_laser.block(samples)
            shot.adcs["client"].push(self.client_detector.block((tapped,), oscillator))
        inside[0] = through.field
        self._receive(shot, source, self.return_mesh.transfer().astype(np.complex64) @ inside)

    def _launched(self, shot: Shot, source: Light, samples: int) -> ComplexArray:
        """Fields at the client, shape (ports, samples)."""
        split = math.sqrt(self.launch_attenuator.transmission() / self.ports)
        share = source.scaled(split)
        fields = []
        for port, modulator in enumerate(self.weight_modulators):
            light = modulator.block(share, shot.dacs[f"weight{port}"].block(samples))
            fields.append(self.forward_fibres[port].block(light).field)
        return np.stack(fields)

    def _receive(self, shot: Shot, source: Light, fields: ComplexArray) -> None:
        if not any(f"server{port}" in shot.adcs for port in range(self.ports)):
            return
        oscillator = self.server_oscillator_laser.block(fields.shape[1])
        share = oscillator.scaled(1 / math.sqrt(self.ports))
        for port, detector in enumerate(self.server_detectors):
            returned = self.return_fibres[port].block(replace(source, field=fields[port]))
            if f"server{port}" in shot.adcs:
                shot.adcs[f"server{port}"].push(detector.block((returned,), share))
