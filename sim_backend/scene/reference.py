"""The reference bench as light sees it: server, fibre, client's tap, fibre, server.

Wiring: server laser -> weight modulator -> monitor tap -> attenuator -> forward fibre ->
polarisation controller -> switch -> tap; tapped arm -> client's detector, through arm -> return
fibre -> polarisation controller -> switch -> server's detector. The client's oscillator passes
the data modulator; the server's does not. Both detectors record a beat at light minus oscillator;
with homodyne detection that is 0 Hz, and a phase shifter in each oscillator picks the quadrature,
behind a fibre that may match the signal's way.
"""

import math
from collections.abc import Collection, Mapping

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import AdcSettings, DacSettings, DacStream
from sim_backend.scene.detectors import BalancedDetector
from sim_backend.scene.fibre import Fibre, RayleighBackscatter
from sim_backend.scene.lasers import LaserSource
from sim_backend.scene.light import Light, Window
from sim_backend.scene.modulators import MachZehnder
from sim_backend.scene.path import Coupler, FrequencyShifter, LightSwitch, VariableAttenuator
from sim_backend.scene.phase_shifter import PhaseShifter
from sim_backend.scene.polarisation import PolarisationController
from sim_backend.scene.reference_settings import ReferenceSettings
from sim_backend.scene.shots import SampledScene, Shot

__all__ = ["DRIVE_PORTS", "POWER_POINTS", "RECORD_PORTS", "ReferenceScene"]

DRIVE_PORTS = ("weight", "data")
RECORD_PORTS = ("client", "server")
POWER_POINTS = (
    "server_laser",
    "launch_monitor",
    "launch",
    "client_input",
    "client_signal",
    "server_signal",
    "client_oscillator",
    "server_oscillator",
)


class ReferenceScene(SampledScene):
    """Components of the reference bench and the light between them.

    Instruments set the public attributes; `play` sends light through for one shot and moves the
    simulated clock by the shot's duration, so that slow states go on drifting within it.

    Attributes:
        server_laser, client_oscillator_laser, server_oscillator_laser: `LaserSource`; the last
            two give light only with own oscillators.
        weight_modulator, data_modulator: `MachZehnder` with `bias_v`.
        launch_attenuator: `VariableAttenuator`.
        client_polarisation, server_polarisation: `PolarisationController`.
        client_switch, server_switch: `LightSwitch`.
        tap: `Coupler`, fraction in `tap.tap`.
        client_phase_shifter, server_phase_shifter: `PhaseShifter`, in the light with homodyne
            detection alone.
        client_detector, server_detector: `BalancedDetector`.
        forward_fibre, return_fibre: `Fibre`.
        idle_v: level in volts of each drive port when it does not play.

    Args:
        settings: data sheets of all components.
        seed: every random number of the scene follows from it and the calls made.
        clock: simulated time.
    """

    def __init__(
        self, settings: ReferenceSettings, *, seed: int, clock: SimulatedClock | None = None
    ) -> None:
        super().__init__(
            drive_ports=DRIVE_PORTS,
            record_ports=RECORD_PORTS,
            seed=seed,
            clock=clock if clock is not None else SimulatedClock(),
            lowest_rate_hz=settings.lowest_rate_hz,
            block_samples=settings.block_samples,
        )
        self.settings = settings
        self._build_server()
        self._build_path()
        self._build_client()
        self.clock.on_advance(self._age)

    def idle_power_w(self, point: str) -> float:
        """Static power with all drives at rest.

        Args:
            point: one of `POWER_POINTS`: "server_laser" (its output), "launch_monitor" (the
                monitor's tap before the attenuator), "launch" (into the fibre), "client_input"
                (behind the client's switch, before the tap), "client_signal" and "server_signal"
                (on the detectors), "client_oscillator" (behind the data modulator) and
                "server_oscillator" (on the detectors).

        Raises:
            ConfigurationError: an unknown point.
        """
        with self._lock:
            if point == "server_laser":
                return self.server_laser.power_w()
            if point == "client_oscillator":
                transmission = self.data_modulator.transmission(self._resting_v("data"))
                return self._oscillator_power_w("client") * transmission
            if point == "server_oscillator":
                return self._oscillator_power_w("server")
            if point in POWER_POINTS:
                return self._signal_power_w(point)
        raise ConfigurationError(
            f"reference scene: no power point {point!r}; known: {', '.join(POWER_POINTS)}"
        )

    def _laser(self, name: str) -> LaserSource:
        return LaserSource(
            getattr(self.settings, name), rng=self.random_stream(name), clock=self.clock
        )

    def _build_server(self) -> None:
        settings = self.settings
        self.server_laser = self._laser("server_laser")
        self.server_oscillator_laser = self._laser("server_oscillator_laser")
        self.weight_modulator = MachZehnder(
            settings.weight_modulator, rng=self.random_stream("weight_modulator")
        )
        self.launch_attenuator = VariableAttenuator(settings.launch_attenuator, clock=self.clock)
        self.server_polarisation = PolarisationController(settings.server_polarisation)
        self.server_switch = LightSwitch(settings.server_switch, clock=self.clock)
        self.server_detector = BalancedDetector(
            settings.server_detector, rng=self.random_stream("server_detector")
        )
        self._monitor = Coupler(settings.monitor_tap)
        self._server_shifter = FrequencyShifter(settings.server_shifter)
        self.server_phase_shifter = PhaseShifter(
            settings.server_phase_shifter,
            rng=self.random_stream("server_phase_shifter"),
            clock=self.clock,
        )

    def _build_path(self) -> None:
        settings = self.settings
        returning = settings.forward_fibre if settings.shared_fibre else settings.return_fibre
        self.forward_fibre = Fibre(settings.forward_fibre, rng=self.random_stream("forward_fibre"))
        self.return_fibre = Fibre(returning, rng=self.random_stream("return_fibre"))
        self._oscillator_fibres = {
            "client": Fibre(
                settings.client_oscillator_fibre, rng=self.random_stream("client_oscillator_fibre")
            ),
            "server": Fibre(
                settings.server_oscillator_fibre, rng=self.random_stream("server_oscillator_fibre")
            ),
        }
        self._backscatter = RayleighBackscatter(
            settings.forward_fibre,
            rng=self.random_stream("backscatter"),
            crosstalk_db=settings.circulator_isolation_db,
        )

    def _build_client(self) -> None:
        settings = self.settings
        self.client_oscillator_laser = self._laser("client_oscillator_laser")
        self.data_modulator = MachZehnder(
            settings.data_modulator, rng=self.random_stream("data_modulator")
        )
        self.client_polarisation = PolarisationController(settings.client_polarisation)
        self.client_switch = LightSwitch(settings.client_switch, clock=self.clock)
        self.tap = Coupler(settings.tap)
        self.client_detector = BalancedDetector(
            settings.client_detector, rng=self.random_stream("client_detector")
        )
        self._client_shifter = FrequencyShifter(settings.client_shifter)
        self.client_phase_shifter = PhaseShifter(
            settings.client_phase_shifter,
            rng=self.random_stream("client_phase_shifter"),
            clock=self.clock,
        )

    def _age(self, duration_s: float) -> None:
        for component in (
            self.server_laser,
            self.client_oscillator_laser,
            self.server_oscillator_laser,
            self.weight_modulator,
            self.data_modulator,
            self.forward_fibre,
            self.return_fibre,
        ):
            component.age(duration_s)
        for fibre in self._oscillator_fibres.values():
            fibre.age(duration_s)

    def _begin_components(self, window: Window, dacs: Mapping[str, DacStream]) -> None:
        self.weight_modulator.begin(window, idle_v=dacs["weight"].idle_v)
        self.data_modulator.begin(window, idle_v=dacs["data"].idle_v)
        for component in (
            self.server_laser,
            self.client_oscillator_laser,
            self.server_oscillator_laser,
            self._client_shifter,
            self._server_shifter,
            self.forward_fibre,
            self.return_fibre,
            self._backscatter,
            self.client_detector,
            self.server_detector,
        ):
            component.begin(window)
        for fibre in self._oscillator_fibres.values():
            fibre.begin(window)

    def _settling_s(self, ports: Collection[str]) -> float:
        settling_s = self.forward_fibre.settings.delay_s
        if "server" in ports:
            settling_s += self.return_fibre.settings.delay_s
        oscillators_s = [self._oscillator_fibres[port].settings.delay_s for port in ports]
        settling_s = max(settling_s, *oscillators_s)
        detectors = {"client": self.client_detector, "server": self.server_detector}
        return settling_s + max(detectors[port].settling_s() for port in ports)

    def _adc_settings(self, port: str) -> AdcSettings:
        return self.settings.client_adc if port == "client" else self.settings.server_adc

    def _dac_settings(self, port: str) -> DacSettings:
        return self.settings.weight_dac if port == "weight" else self.settings.data_dac

    def _block(self, shot: Shot, samples: int) -> None:
        source = self.server_laser.block(samples)
        signal = source.scaled(math.sqrt(self._signal_share()))
        signal = self.weight_modulator.block(signal, shot.dacs["weight"].block(samples))
        amplitude = math.sqrt(self._monitor.transmission() * self.launch_attenuator.transmission())
        launched = signal.scaled(amplitude)
        arriving = self.forward_fibre.block(launched)
        arriving = self.client_switch.block(self.client_polarisation.block(arriving))
        through, tapped = self.tap.block(arriving)
        if "client" in shot.adcs:
            oscillator = self._oscillator("client", source, samples)
            oscillator = self.data_modulator.block(oscillator, shot.dacs["data"].block(samples))
            shot.adcs["client"].push(self.client_detector.block((tapped,), oscillator))
        if "server" in shot.adcs:
            returned = [self._at_server(self.return_fibre.block(through))]
            if self.settings.shared_fibre:
                returned.append(self._at_server(self._backscatter.block(launched)))
            oscillator = self._oscillator("server", source, samples)
            shot.adcs["server"].push(self.server_detector.block(returned, oscillator))

    def _at_server(self, light: Light) -> Light:
        return self.server_switch.block(self.server_polarisation.block(light))

    def _oscillator(self, party: str, source: Light, samples: int) -> Light:
        client = party == "client"
        if self.settings.oscillators == "own":
            laser = self.client_oscillator_laser if client else self.server_oscillator_laser
            return laser.block(samples)
        shifter = self._client_shifter if client else self._server_shifter
        shifted = shifter.block(source.scaled(math.sqrt(self._oscillator_share(party))))
        if self.settings.detection == "heterodyne":
            return shifted
        carried = self._oscillator_fibres[party].block(shifted)
        return (self.client_phase_shifter if client else self.server_phase_shifter).block(carried)

    def _signal_share(self) -> float:
        if self.settings.oscillators == "own":
            return 1.0
        return 1.0 - self._oscillator_share("client") - self._oscillator_share("server")

    def _oscillator_share(self, party: str) -> float:
        settings = self.settings
        if party == "client":
            return settings.client_oscillator_share
        return settings.server_oscillator_share

    def _oscillator_power_w(self, party: str) -> float:
        """Power of an oscillator before the data modulator."""
        client = party == "client"
        if self.settings.oscillators == "own":
            laser = self.client_oscillator_laser if client else self.server_oscillator_laser
            return laser.power_w()
        shifter = self._client_shifter if client else self._server_shifter
        power_w = self.server_laser.power_w() * self._oscillator_share(party)
        power_w *= shifter.transmission()
        if self.settings.detection == "heterodyne":
            return power_w
        turned = self.client_phase_shifter if client else self.server_phase_shifter
        return power_w * self._oscillator_fibres[party].transmission() * turned.transmission()

    def _signal_power_w(self, point: str) -> float:
        power_w = self.server_laser.power_w() * self._signal_share()
        power_w *= self.weight_modulator.transmission(self._resting_v("weight"))
        if point == "launch_monitor":
            return power_w * self._monitor.tap_transmission()
        power_w *= self._monitor.transmission() * self.launch_attenuator.transmission()
        if point == "launch":
            return power_w
        power_w *= self.forward_fibre.transmission() * self.client_polarisation.transmission()
        power_w *= self.client_switch.transmission()
        if point == "client_input":
            return power_w
        if point == "client_signal":
            return power_w * self.tap.tap_transmission()
        power_w *= self.tap.transmission() * self.return_fibre.transmission()
        return power_w * self.server_polarisation.transmission() * self.server_switch.transmission()
