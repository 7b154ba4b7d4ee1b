"""Eavesdroppers on the fibre and attacks on shared hardware."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from scipy.special import ndtr

from drivers.errors import ConfigurationError
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.clients import KeepsLight, check_share, with_noise
from sim_backend.adversaries.light import ReturnedLight
from sim_backend.adversaries.shot_noise_unit import hidden_by_unit, hidden_meter

__all__ = [
    "BrightensSource",
    "ProjectsPolarisation",
    "SaturatesDetector",
    "ScalesOscillator",
    "ShiftsFrames",
    "TapsFibre",
    "clipped_moments",
]


@dataclass(frozen=True, kw_only=True)
class TapsFibre(Adversary):
    """Taps the fibre, forward or back; to the server it looks like the client's own loss."""

    name: ClassVar[str] = "C1"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "taps the fibre"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain",)
    fraction: float = 0.1
    direction: Literal["forward", "back"] = "back"

    def __post_init__(self) -> None:
        check_share("C1", "fraction", self.fraction)

    @property
    def setting(self) -> str:
        """The parameters as short text."""
        return f"fraction {self.fraction:g}, {self.direction}"

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """A tap on the way back dims the data's noise too, one on the way out does not."""
        dimmed = KeepsLight(fraction=self.fraction).returned(honest)
        if self.direction == "back":
            return dimmed
        return replace(honest, gain=dimmed.gain)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The Holevo information of the tapped light."""
        bits = formulas.kept(self.fraction * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(f mu)")


@dataclass(frozen=True, kw_only=True)
class ScalesOscillator(Adversary):
    """Dims an oscillator in flight by 1/(1 + eps), which hides a meter of X.

    X is sent back brighter, and P with eps of noise, so that neither gain nor variance moves;
    vacuum slots do (Ma et al., Phys. Rev. A 88, 022339 (2013)). See `hidden_by_unit`.
    """

    name: ClassVar[str] = "C2"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "scales the oscillator in flight"
    changes: ClassVar[tuple[Statistic, ...]] = ("vacuum slots",)
    hidden_noise_snu: float = 0.05

    def __post_init__(self) -> None:
        if not (math.isfinite(self.hidden_noise_snu) and self.hidden_noise_snu > 0):
            raise ConfigurationError(
                f"{self.name}: hidden_noise_snu is {self.hidden_noise_snu}, it must be finite and "
                "above 0"
            )

    @property
    def scale(self) -> float:
        """Power of the oscillator relative to the calibrated one."""
        return 1 / (1 + self.hidden_noise_snu)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise and scale cancel everywhere but in the vacuum."""
        return replace(
            hidden_by_unit(honest, 1 / self.scale),
            vacuum_variance_snu=self.scale * honest.vacuum_variance_snu,
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The meter's reading."""
        return hidden_meter(1 / self.scale, scene, formulas)


@dataclass(frozen=True, kw_only=True)
class ProjectsPolarisation(Adversary):
    """Turns the signal's polarisation against the oscillator's: gain cos(angle)."""

    name: ClassVar[str] = "C4"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "projects the polarisation"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain",)
    angle_deg: float = 45.0

    def __post_init__(self) -> None:
        if not 0 < self.angle_deg <= 90:
            raise ConfigurationError(f"C4: angle_deg is {self.angle_deg}, it must lie in (0, 90]")

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Loss of sin^2(angle), as a tap that lets nobody have the light."""
        lost = math.sin(math.radians(self.angle_deg)) ** 2
        return KeepsLight(fraction=lost).returned(honest)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The light in the other polarisation."""
        lost = math.sin(math.radians(self.angle_deg)) ** 2
        bits = formulas.kept(lost * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(sin^2(angle) mu)")


@dataclass(frozen=True, kw_only=True)
class SaturatesDetector(Adversary):
    """Displaces the record until the digitiser clips: noise that was added is cut off.

    Qin, Kumar and Alleaume, Phys. Rev. A 94, 012325 (2016).
    """

    name: ClassVar[str] = "C5"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "saturates the detector"
    changes: ClassVar[tuple[Statistic, ...]] = ("rails", "X variance", "P variance")
    offset_snu: float = 4.0
    converter_range_snu: float = 6.0

    def __post_init__(self) -> None:
        for name in ("offset_snu", "converter_range_snu"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"C5: {name} is {value}, it must be finite and above 0")

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Intercepted light, displaced towards a rail."""
        return replace(
            with_noise(honest, 2.0, 2.0),
            offset_snu=self.offset_snu,
            converter_range_snu=self.converter_range_snu,
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Heterodyne of all the light."""
        bits = formulas.homodyned(scene.photons_per_symbol / 2)
        return Gain(bits=bits, per="weight", formula="0.5 log2(1 + 2 mu)")


@dataclass(frozen=True, kw_only=True)
class ShiftsFrames(Adversary):
    """Shifts frames by a bin, as a slipped clock does: every mean meets its neighbour's record."""

    name: ClassVar[str] = "C12"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "shifts frames in time"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain", "X variance", "row sums")
    photons_per_symbol: float = 0.01

    def __post_init__(self) -> None:
        if not (math.isfinite(self.photons_per_symbol) and self.photons_per_symbol > 0):
            raise ConfigurationError(
                f"C12: photons_per_symbol is {self.photons_per_symbol}, it must be above 0"
            )

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """No gain, and the means as noise of 4 mu."""
        wrong = honest.gain**2 * 4 * self.photons_per_symbol
        return replace(with_noise(honest, wrong, 0.0), gain=0.0)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """Nothing: it denies service."""
        return Gain(bits=0.0, per="weight", formula="nothing, denial of service")


@dataclass(frozen=True, kw_only=True)
class BrightensSource(Adversary):
    """Lowers the source's attenuation (induced photorefraction): more photons than believed.

    arXiv 1904.08777. The gain lies above 1, which a one-sided test would take for a good line.
    """

    name: ClassVar[str] = "C13"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "lowers the source's attenuation"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain",)
    brightness: float = 1.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.brightness) and self.brightness > 1):
            raise ConfigurationError(
                f"C13: brightness is {self.brightness}, it must be finite and above 1"
            )

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """A gain above the calibrated one."""
        return replace(honest, gain=math.sqrt(self.brightness) * honest.gain)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The surplus can be tapped without a trace if only dimming is tested."""
        bits = formulas.kept((self.brightness - 1) * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi((b - 1) mu), surplus tapped")


def clipped_moments(
    offset_snu: float, variance_snu: float, range_snu: float
) -> tuple[float, float]:
    """Mean and variance of a normal record that the digitiser clips at plus and minus its range.

    The censored normal law (Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions,
    section 13.10): rails hold the tails' probability.

    Args:
        offset_snu: displacement of the record.
        variance_snu: its variance before clipping, above 0.
        range_snu: full scale, above 0.
    """
    deviation = math.sqrt(variance_snu)
    low, high = (-range_snu - offset_snu) / deviation, (range_snu - offset_snu) / deviation
    below, inside, above = float(ndtr(low)), float(ndtr(high) - ndtr(low)), float(ndtr(-high))
    at_low, at_high = _density(low), _density(high)
    mean = low * below + high * above + at_low - at_high
    square = low**2 * below + high**2 * above + inside + low * at_low - high * at_high
    return offset_snu + deviation * mean, variance_snu * (square - mean**2)


def _density(score: float) -> float:
    return math.exp(-(score**2) / 2) / math.sqrt(2 * math.pi)
