"""Settings of the reference scene: one settings object per component of the bench."""

from dataclasses import dataclass, field
from typing import Literal

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive, check_whole
from sim_backend.scene.converters import AdcSettings, DacSettings
from sim_backend.scene.detectors import BalancedDetectorSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import REFERENCE_WAVELENGTH_M, SPEED_OF_LIGHT_M_PER_S
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings, FrequencyShifterSettings, SwitchSettings
from sim_backend.scene.phase_shifter import PhaseShifterSettings
from sim_backend.scene.polarisation import PolarisationControllerSettings

__all__ = ["INTERMEDIATE_FREQUENCY_HZ", "ReferenceSettings", "wavelength_at_offset_m"]

INTERMEDIATE_FREQUENCY_HZ = 200e6
"""Light minus oscillator on the reference bench: the oscillators are tuned below the light."""


_NO_FIBRE = FibreSettings(
    length_m=0.0,
    connector_loss_db=0.0,
    thermal_phase_rad_per_sqrt_s=0.0,
    polarisation_rad_per_sqrt_s=0.0,
    polarisation_scrambled=False,
)


def wavelength_at_offset_m(offset_hz: float) -> float:
    """Wavelength of the light `offset_hz` above the reference wavelength's frequency."""
    return SPEED_OF_LIGHT_M_PER_S / (SPEED_OF_LIGHT_M_PER_S / REFERENCE_WAVELENGTH_M + offset_hz)


def _oscillator(power_w: float) -> LaserSettings:
    return LaserSettings(
        power_w=power_w, wavelength_m=wavelength_at_offset_m(-INTERMEDIATE_FREQUENCY_HZ)
    )


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """The bench of one fibre each way, two modulators and two balanced detectors.

    Args:
        server_laser: source of the signal light.
        oscillators: "own" gives each party a laser; "shared" takes both oscillators from the
            server's laser behind a frequency shifter each.
        client_oscillator_laser: the client's laser, with own oscillators.
        server_oscillator_laser: the server's second laser, with own oscillators.
        client_shifter: shifter of the client's oscillator, with shared oscillators.
        server_shifter: shifter of the server's oscillator, with shared oscillators.
        detection: "heterodyne", or "homodyne" with a phase shifter behind each frequency shifter,
            whose shifts are then 0; needs shared oscillators.
        client_oscillator_fibre: in the client's oscillator, with homodyne detection; none by
            default. One as long as the signal's way takes the laser's phase noise away.
        server_oscillator_fibre: likewise in the server's.
        client_phase_shifter: in the client's oscillator, before the data modulator.
        server_phase_shifter: in the server's oscillator.
        client_oscillator_share: part of the server's laser for the client's shifter when shared.
        server_oscillator_share: part of the server's laser for the server's shifter when shared.
        weight_modulator: at the server, drive port "weight".
        monitor_tap: power fraction of the monitor between modulator and attenuator.
        launch_attenuator: after the monitor.
        forward_fibre: server to client.
        return_fibre: client to server; with one shared fibre, `forward_fibre` serves both ways.
        shared_fibre: one fibre for both directions, with circulators: its backscatter and the
            circulator's leak reach the server's detector. Its two directions still walk in
            phase and polarisation on their own.
        circulator_isolation_db: leak of the launched light to the server's detector.
        client_polarisation: controller before the client's tap.
        server_polarisation: controller before the server's detector.
        client_switch: before the client's tap.
        server_switch: before the server's detector.
        tap: power fraction that the client measures.
        data_modulator: on the client's oscillator, drive port "data".
        client_detector: behind the tapped arm.
        server_detector: behind the return.
        weight_dac: generator channel of port "weight".
        data_dac: generator channel of port "data".
        client_adc: digitiser channel of port "client".
        server_adc: digitiser channel of port "server".
        lowest_rate_hz: the scene runs at a whole multiple of the fastest converter's rate that
            is at least this, so that slow records see fast noise and beats as aliases.
        block_samples: samples computed at once.
    """

    server_laser: LaserSettings = field(default_factory=LaserSettings)
    oscillators: Literal["own", "shared"] = "own"
    client_oscillator_laser: LaserSettings = field(default_factory=lambda: _oscillator(5e-3))
    server_oscillator_laser: LaserSettings = field(default_factory=lambda: _oscillator(2e-3))
    client_shifter: FrequencyShifterSettings = field(
        default_factory=lambda: FrequencyShifterSettings(shift_hz=-INTERMEDIATE_FREQUENCY_HZ)
    )
    server_shifter: FrequencyShifterSettings = field(
        default_factory=lambda: FrequencyShifterSettings(shift_hz=-INTERMEDIATE_FREQUENCY_HZ)
    )
    detection: Literal["heterodyne", "homodyne"] = "heterodyne"
    client_oscillator_fibre: FibreSettings = field(default_factory=lambda: _NO_FIBRE)
    server_oscillator_fibre: FibreSettings = field(default_factory=lambda: _NO_FIBRE)
    client_phase_shifter: PhaseShifterSettings = field(default_factory=PhaseShifterSettings)
    server_phase_shifter: PhaseShifterSettings = field(default_factory=PhaseShifterSettings)
    client_oscillator_share: float = 0.6
    server_oscillator_share: float = 0.2
    weight_modulator: MachZehnderSettings = field(default_factory=MachZehnderSettings)
    monitor_tap: float = 0.01
    launch_attenuator: AttenuatorSettings = field(default_factory=AttenuatorSettings)
    forward_fibre: FibreSettings = field(default_factory=FibreSettings)
    return_fibre: FibreSettings = field(default_factory=FibreSettings)
    shared_fibre: bool = False
    circulator_isolation_db: float = 50.0
    client_polarisation: PolarisationControllerSettings = field(
        default_factory=PolarisationControllerSettings
    )
    server_polarisation: PolarisationControllerSettings = field(
        default_factory=PolarisationControllerSettings
    )
    client_switch: SwitchSettings = field(default_factory=SwitchSettings)
    server_switch: SwitchSettings = field(default_factory=SwitchSettings)
    tap: float = 0.1
    data_modulator: MachZehnderSettings = field(default_factory=MachZehnderSettings)
    client_detector: BalancedDetectorSettings = field(default_factory=BalancedDetectorSettings)
    server_detector: BalancedDetectorSettings = field(default_factory=BalancedDetectorSettings)
    weight_dac: DacSettings = field(default_factory=DacSettings)
    data_dac: DacSettings = field(
        default_factory=lambda: DacSettings(clock_offset_ppm=1.2, trigger_jitter_s=20e-12)
    )
    client_adc: AdcSettings = field(
        default_factory=lambda: AdcSettings(clock_offset_ppm=1.2, trigger_jitter_s=20e-12)
    )
    server_adc: AdcSettings = field(default_factory=AdcSettings)
    lowest_rate_hz: float = 800e6
    block_samples: int = 1 << 15

    def __post_init__(self) -> None:
        if self.oscillators not in ("own", "shared"):
            raise ConfigurationError(
                f"ReferenceSettings: oscillators is {self.oscillators!r}, known: 'own', 'shared'"
            )
        if self.detection not in ("heterodyne", "homodyne"):
            raise ConfigurationError(
                f"ReferenceSettings: detection is {self.detection!r}, known: 'heterodyne', "
                "'homodyne'"
            )
        shifts = (self.client_shifter.shift_hz, self.server_shifter.shift_hz)
        if self.detection == "homodyne" and (self.oscillators != "shared" or any(shifts)):
            raise ConfigurationError(
                "ReferenceSettings: homodyne detection needs shared oscillators and shifts of 0 "
                f"Hz, they are {self.oscillators!r} and {shifts[0]:g} and {shifts[1]:g} Hz"
            )
        check_between(self, "client_oscillator_share", 0.0, 1.0)
        check_between(self, "server_oscillator_share", 0.0, 1.0 - self.client_oscillator_share)
        check_between(self, "monitor_tap", 0.0, 1.0)
        check_between(self, "circulator_isolation_db", 0.0, 300.0, unit="dB")
        check_between(self, "tap", 0.0, 1.0)
        check_positive(self, "lowest_rate_hz")
        check_whole(self, "block_samples", 64, 1 << 24)
