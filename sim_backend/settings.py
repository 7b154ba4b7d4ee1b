"""Settings of a simulated link: losses, noise, drift and the client's receiver."""

import math
from dataclasses import dataclass, field

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, Receiver

__all__ = ["DetectorSettings", "LinkSettings"]


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """One balanced homodyne detector with its oscillator and digitiser.

    Args:
        efficiency: quantum efficiency, in (0, 1].
        visibility: amplitude overlap of signal and oscillator mode, in (0, 1]; acts as an
            efficiency of visibility^2.
        electronic_noise_snu: variance added by the electronics, at the calibrated oscillator power.
        phase_error_rad: root-mean-square phase error left by the tracking.
        phase_memory_frames: correlation length of the phase error in frames; 0 for none.
        oscillator_drift: root-mean-square relative drift of the oscillator's amplitude.
        oscillator_memory_inputs: correlation length of that drift in data vectors; 0 for none.
        converter_bits: resolution of the digitiser; 0 switches quantisation and range off.
        converter_range_snu: the digitiser clips at plus and minus this many SNU amplitudes.
    """

    efficiency: float = 1.0
    visibility: float = 1.0
    electronic_noise_snu: float = 0.0
    phase_error_rad: float = 0.0
    phase_memory_frames: float = 100.0
    oscillator_drift: float = 0.0
    oscillator_memory_inputs: float = 1000.0
    converter_bits: int = 0
    converter_range_snu: float = 16.0

    def __post_init__(self) -> None:
        _check_fraction(self, "efficiency", "visibility")
        _check_not_negative(
            self,
            "electronic_noise_snu",
            "phase_error_rad",
            "phase_memory_frames",
            "oscillator_drift",
            "oscillator_memory_inputs",
        )
        if not 0 <= self.converter_bits <= 24:
            raise ConfigurationError(
                f"converter_bits is {self.converter_bits}, it must be 0 (off) to 24"
            )
        if not (math.isfinite(self.converter_range_snu) and self.converter_range_snu > 0):
            raise ConfigurationError(
                f"converter_range_snu is {self.converter_range_snu}, it must be finite and above 0"
            )

    @property
    def total_efficiency(self) -> float:
        """Quantum efficiency times the square of the visibility."""
        return self.efficiency * self.visibility**2

    @property
    def converter_step_snu(self) -> float:
        """Width of one code of the digitiser, 0 where it is off."""
        if not self.converter_bits:
            return 0.0
        return math.ldexp(self.converter_range_snu, 1 - self.converter_bits)

    @property
    def steady(self) -> bool:
        """True if neither phase nor oscillator move."""
        return self.phase_error_rad == 0 and self.oscillator_drift == 0


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """A fibre link with both ends.

    Args:
        receiver: the client's receiver.
        modes_per_frame: how many modes the receiver takes at once.
        symbol_rate_hz: modes per second.
        forward_transmittance: power transmittance from launch to client, in (0, 1].
        return_transmittance: from client to server, in (0, 1].
        excess_noise_snu: technical noise of the launched light per quadrature and mode.
        unitary_error_rad: the client's U_x^dagger U_x is a rotation by this angle between mode x
            and its neighbour one bin later, instead of the identity.
        client: the client's detector.
        server: the server's detector.
        seed: makes the link repeat exactly; None draws from the operating system.
        device: "cpu", "cuda" or "auto" (cuda where torch finds one).
    """

    receiver: Receiver = field(default_factory=lambda: Amplifier(gain=2.0))
    modes_per_frame: int = 4096
    symbol_rate_hz: float = 1e9
    forward_transmittance: float = 1.0
    return_transmittance: float = 1.0
    excess_noise_snu: float = 0.0
    unitary_error_rad: float = 0.0
    client: DetectorSettings = field(default_factory=DetectorSettings)
    server: DetectorSettings = field(default_factory=DetectorSettings)
    seed: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_fraction(self, "forward_transmittance", "return_transmittance")
        _check_not_negative(self, "excess_noise_snu", "unitary_error_rad")
        if self.modes_per_frame < 1:
            raise ConfigurationError(
                f"modes_per_frame is {self.modes_per_frame}, it must be at least 1"
            )
        if not (math.isfinite(self.symbol_rate_hz) and self.symbol_rate_hz > 0):
            raise ConfigurationError(f"symbol_rate_hz is {self.symbol_rate_hz}, it must be above 0")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigurationError(f"device is {self.device!r}; choose auto, cpu or cuda")
        if self.seed is not None and self.seed < 0:
            raise ConfigurationError(f"seed is {self.seed}, it must be at least 0")


def _check_fraction(settings: DetectorSettings | LinkSettings, *names: str) -> None:
    for name in names:
        value = _value(settings, name)
        if not 0 < value <= 1:  # also refuses NaN
            raise ConfigurationError(f"{name} is {value}, it must lie in (0, 1]")


def _check_not_negative(settings: DetectorSettings | LinkSettings, *names: str) -> None:
    for name in names:
        value = _value(settings, name)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigurationError(f"{name} is {value}, it must be finite and at least 0")


def _value(settings: DetectorSettings | LinkSettings, name: str) -> float:
    return float(getattr(settings, name))
