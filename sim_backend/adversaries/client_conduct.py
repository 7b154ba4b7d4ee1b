"""Clients that cheat by what they do around the light: nothing returned, late, retried, lied about.

Two of them no light can show; they say what is charged instead.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.errors import ConfigurationError
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.clients import KeepsLight, check_share, with_noise
from sim_backend.adversaries.light import ReturnedLight

__all__ = [
    "AsksManyTimes",
    "LiesInReports",
    "RetriesAfterAborts",
    "ReturnsAnotherRow",
    "ReturnsLate",
    "ReturnsNothing",
]


@dataclass(frozen=True, kw_only=True)
class AsksManyTimes(Adversary):
    """Stays inside the rules and solves for the weights from many queries (model extraction)."""

    name: ClassVar[str] = "A9"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "extracts weights over many queries"
    undetectable: ClassVar[str] = "the weight ledger: K queries are charged as one of K mu"
    queries: int = 1000

    def __post_init__(self) -> None:
        _check_count("A9", "queries", self.queries)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The products' information, spread over the weights of a row."""
        worth = scene.photons_per_symbol * self.queries / scene.modes
        return Gain(
            bits=formulas.inside_rules(worth),
            per="weight",
            formula="0.5 log2(1 + K f 4 mu/N), least squares",
        )


@dataclass(frozen=True, kw_only=True)
class ReturnsNothing(Adversary):
    """Keeps all the light; the server sees vacuum."""

    name: ClassVar[str] = "A10"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "returns no light"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain", "X variance", "row sums")

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Vacuum."""
        return replace(
            honest,
            gain=0.0,
            variance_x_snu=1.0,
            variance_p_snu=1.0,
            data_mode_excess_x_snu=0.0,
            data_mode_excess_p_snu=0.0,
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """All of the light that was sent."""
        bits = formulas.kept(scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(mu)")


@dataclass(frozen=True, kw_only=True)
class ReturnsAnotherRow(Adversary):
    """Gives back the light of another row: the right power, the wrong means."""

    name: ClassVar[str] = "A10-row"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "returns another row's light"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain", "X variance", "row sums")
    photons_per_symbol: float = 0.01

    def __post_init__(self) -> None:
        _check_photons("A10-row", self.photons_per_symbol)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Means that do not follow the launched ones are noise of 4 mu in X."""
        wrong = honest.gain**2 * 4 * self.photons_per_symbol
        return replace(with_noise(honest, wrong, 0.0), gain=0.0)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The row that was meant is kept whole."""
        bits = formulas.kept(scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(mu)")


@dataclass(frozen=True, kw_only=True)
class ReturnsLate(Adversary):
    """Stores the light and returns it late: the phase is lost with the server's coherence.

    A delay t at the laser's full linewidth D leaves <cos phi> = exp(-pi D t) of the gain.
    """

    name: ClassVar[str] = "A11"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "returns the light late"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain", "X variance", "P variance", "row sums")
    delay_s: float = 1e-3
    linewidth_hz: float = 1e4
    photons_per_symbol: float = 0.01

    def __post_init__(self) -> None:
        for name in ("delay_s", "linewidth_hz"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"A11: {name} is {value}, it must be finite and above 0")
        _check_photons("A11", self.photons_per_symbol)

    @property
    def coherence(self) -> float:
        """Mean cosine of the phase that the laser walked in the meantime."""
        return math.exp(-math.pi * self.linewidth_hz * self.delay_s)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """The means' energy goes from the gain to X and P at the lost phase."""
        energy, c = honest.gain**2 * 4 * self.photons_per_symbol, self.coherence
        cos_square, sin_square = (1 + c**4) / 2, (1 - c**4) / 2
        noisy = with_noise(honest, energy * (cos_square - c**2), energy * sin_square)
        return replace(noisy, gain=honest.gain * c)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Time for any measurement: the most that the light can tell."""
        bits = formulas.kept(scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(mu)")


@dataclass(frozen=True, kw_only=True)
class RetriesAfterAborts(Adversary):
    """Cheats in one block of every session, is aborted nearly always, and comes back."""

    name: ClassVar[str] = "A12"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "aborts and retries"
    changes: ClassVar[tuple[Statistic, ...]] = ("aborts", "gain")
    fraction: float = 0.1
    retries: int = 100

    def __post_init__(self) -> None:
        check_share("A12", "fraction", self.fraction)
        _check_count("A12", "retries", self.retries)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """In the block where it cheats, a tap."""
        return KeepsLight(fraction=self.fraction).returned(honest)

    def escape_chance(self, power: float) -> float:
        """Probability that one of the retries passes a test of `power`: 1 - power^R."""
        return -math.expm1(self.retries * math.log(power))

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """R taps of one weight add up, if the aborts were free."""
        worth = self.retries * self.fraction * scene.photons_per_symbol
        return Gain(bits=formulas.kept(worth), per="weight", formula="chi(R f mu), aborts unspent")


@dataclass(frozen=True, kw_only=True)
class LiesInReports(Adversary):
    """Keeps light and reports a worse calibration to excuse it.

    The server's expectation is made of its own calibration: the report moves no number of its test,
    and the tap is seen as it would be without the lie.
    """

    name: ClassVar[str] = "A13"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "lies in classical reports"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain",)
    fraction: float = 0.1
    reported_transmittance: float = 0.9

    def __post_init__(self) -> None:
        check_share("A13", "fraction", self.fraction)
        check_share("A13", "reported_transmittance", self.reported_transmittance)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """A tap."""
        return KeepsLight(fraction=self.fraction).returned(honest)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The tap's; the report adds nothing."""
        bits = formulas.kept(self.fraction * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(f mu), the report is worth nothing")


def _check_count(who: str, name: str, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"{who}: {name} is {value}, it must be at least 1")


def _check_photons(who: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigurationError(
            f"{who}: photons_per_symbol is {value}, it must be finite and above 0"
        )
