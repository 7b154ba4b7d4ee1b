"""Clients that cheat with the light itself: taps, clones, meters, higher gain.

Sources are named at each class. mu is the mean photon number per symbol at launch.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.light import Hit, ReturnedLight

__all__ = [
    "ClonesLight",
    "InterceptsAndResends",
    "InterceptsOneMode",
    "KeepsLight",
    "MeasuresOnlyX",
    "RaisesGain",
    "TapsAndAmplifies",
    "UnambiguousDiscrimination",
    "check_share",
    "with_noise",
]


@dataclass(frozen=True, kw_only=True)
class KeepsLight(Adversary):
    """Keeps the fraction f behind a beam splitter: gain sqrt(1 - f), no noise."""

    name: ClassVar[str] = "A1"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "keeps more light"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain",)
    fraction: float = 0.1

    def __post_init__(self) -> None:
        check_share("A1", "fraction", self.fraction)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """A dimmer return; the data mode's excess noise is dimmed with it."""
        rest = 1 - self.fraction
        return replace(
            honest,
            gain=honest.gain * math.sqrt(rest),
            variance_x_snu=1 + rest * (honest.variance_x_snu - 1),
            variance_p_snu=1 + rest * (honest.variance_p_snu - 1),
            data_mode_excess_x_snu=rest * honest.data_mode_excess_x_snu,
            data_mode_excess_p_snu=rest * honest.data_mode_excess_p_snu,
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The Holevo information of the kept light."""
        bits = formulas.kept(self.fraction * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(f mu)")


@dataclass(frozen=True, kw_only=True)
class TapsAndAmplifies(Adversary):
    """Keeps f, amplifies the rest by 1/(1 - f): gain 1, noise 2 f/(1 - f) in every quadrature.

    Caves, Phys. Rev. D 26, 1817 (1982).
    """

    name: ClassVar[str] = "A2"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "taps and re-amplifies"
    changes: ClassVar[tuple[Statistic, ...]] = ("X variance", "P variance", "row sums")
    fraction: float = 0.05

    def __post_init__(self) -> None:
        check_share("A2", "fraction", self.fraction, below_one=True)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in both quadratures of every mode."""
        noise = 2 * self.fraction / (1 - self.fraction)
        return with_noise(honest, noise, noise)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The Holevo information of the kept light."""
        bits = formulas.kept(self.fraction * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(f mu)")


@dataclass(frozen=True, kw_only=True)
class ClonesLight(Adversary):
    """Gaussian cloning: noise eps for the server, 1/eps in the client's clone.

    Cerf, Ipe and Rottenberg, Phys. Rev. Lett. 85, 1754 (2000): the product of the two is at least
    1; the symmetric cloner has 1 for both.
    """

    name: ClassVar[str] = "A3"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "clones the light"
    changes: ClassVar[tuple[Statistic, ...]] = ("X variance", "P variance", "row sums")
    noise_snu: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("A3", "noise_snu", self.noise_snu)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in both quadratures of every mode."""
        return with_noise(honest, self.noise_snu, self.noise_snu)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """A homodyned clone: the noise lowers its signal as a loss would."""
        worth = scene.photons_per_symbol / (1 + 1 / self.noise_snu)
        return Gain(
            bits=formulas.homodyned(worth),
            per="weight",
            formula="0.5 log2(1 + 4 mu/(1 + 1/eps)), homodyned clone",
        )


@dataclass(frozen=True, kw_only=True)
class InterceptsAndResends(Adversary):
    """Heterodynes a share q of the symbols and prepares what it read: 2 SNU where it was hit.

    Grosshans et al., Nature 421, 238 (2003). For q below 1 the record is a mixture, not Gaussian.
    """

    name: ClassVar[str] = "A4"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "intercepts and resends"
    changes: ClassVar[tuple[Statistic, ...]] = (
        "X variance",
        "P variance",
        "row sums",
        "fourth moment",
    )
    share: float = 1.0

    def __post_init__(self) -> None:
        check_share("A4", "share", self.share)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise everywhere, or in symbols picked at random."""
        if self.share == 1:
            return with_noise(honest, 2.0, 2.0)
        hit = Hit(gain=honest.gain, added_x_snu=2.0, added_p_snu=2.0, share=self.share)
        return replace(honest, hit=hit)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Heterodyne halves the signal of a homodyne detector."""
        bits = self.share * formulas.homodyned(scene.photons_per_symbol / 2)
        return Gain(bits=bits, per="weight", formula="q 0.5 log2(1 + 2 mu)")


@dataclass(frozen=True, kw_only=True)
class MeasuresOnlyX(Adversary):
    """Reads X without demolition at the coupling k: nothing in X, noise k^2 in P.

    The meter has the signal k X over a vacuum of 1 (Grangier, Levenson and Poizat, Nature 396, 537
    (1998)). A server that measured X alone would never see it.
    """

    name: ClassVar[str] = "A5"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "measures X only"
    changes: ClassVar[tuple[Statistic, ...]] = ("P variance", "row sums")
    noise_p_snu: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("A5", "noise_p_snu", self.noise_p_snu)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in P alone."""
        return with_noise(honest, 0.0, self.noise_p_snu)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The meter's record: signal 4 mu k^2 over 1 + k^2; 0.5 log2(1 + 4 mu) at best."""
        worth = scene.photons_per_symbol * self.noise_p_snu / (1 + self.noise_p_snu)
        return Gain(
            bits=formulas.homodyned(worth),
            per="weight",
            formula="0.5 log2(1 + 4 mu k^2/(1 + k^2)), the meter",
        )


@dataclass(frozen=True, kw_only=True)
class InterceptsOneMode(Adversary):
    """Intercepts and resends one mode of every row: 2 SNU in each row sum."""

    name: ClassVar[str] = "A6"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "intercepts one mode per row"
    changes: ClassVar[tuple[Statistic, ...]] = ("X variance", "P variance", "row sums")

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in one mode of every frame."""
        hit = Hit(gain=honest.gain, added_x_snu=2.0, added_p_snu=2.0, modes_per_frame=1)
        return replace(honest, hit=hit)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Heterodyne of one weight in N."""
        bits = formulas.homodyned(scene.photons_per_symbol / 2) / scene.modes
        return Gain(bits=bits, per="weight", formula="0.5 log2(1 + 2 mu)/N")


@dataclass(frozen=True, kw_only=True)
class RaisesGain(Adversary):
    """Runs its amplifier at a higher gain than agreed: more noise along the data vector alone."""

    name: ClassVar[str] = "A7"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "higher gain than agreed"
    changes: ClassVar[tuple[Statistic, ...]] = (
        "audited projection",
        "X variance",
        "P variance",
        "row sums",
    )
    agreed_gain: float = 2.0
    gain: float = math.inf

    def __post_init__(self) -> None:
        if not 1 < self.agreed_gain < self.gain:
            raise ConfigurationError(
                f"A7: gain is {self.gain}, it must lie above the agreed {self.agreed_gain}, and "
                "that above 1"
            )

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Excess noise 2 (1 - 1/G) of the data mode at the raised gain."""
        excess = 2 * (1 - 1 / self.gain)
        more = excess - 2 * (1 - 1 / self.agreed_gain)
        return replace(
            honest,
            data_mode_excess_x_snu=honest.data_mode_excess_x_snu + more,
            data_mode_excess_p_snu=honest.data_mode_excess_p_snu + more,
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """A better product per row: never above the amplifier's best, at G = 2 + sqrt 2."""
        best = Amplifier(gain=min(self.gain, 2 + math.sqrt(2))).snr_factor
        agreed = Amplifier(gain=self.agreed_gain).snr_factor
        more = formulas.inside_rules(scene.photons_per_symbol * best / agreed)
        less = formulas.inside_rules(scene.photons_per_symbol)
        bits = max(0.0, more - less) / scene.modes
        return Gain(bits=bits, per="weight", formula="0.5 log2 of the ratio of 1 + SNR, over N")


@dataclass(frozen=True, kw_only=True)
class UnambiguousDiscrimination(Adversary):
    """Tells signs apart without error in 1 - exp(-2 mu) of the slots, guesses in the others.

    Ivanovic, Phys. Lett. A 123, 257 (1987): the success probability for two coherent states of
    opposite sign. Known slots are prepared anew, the others carry a random sign.
    """

    name: ClassVar[str] = "A8"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "unambiguous discrimination, guesses elsewhere"
    changes: ClassVar[tuple[Statistic, ...]] = ("gain", "X variance", "row sums")
    photons_per_symbol: float = 0.01

    def __post_init__(self) -> None:
        _check_positive("A8", "photons_per_symbol", self.photons_per_symbol)

    @property
    def success(self) -> float:
        """Share of slots whose sign is known."""
        return -math.expm1(-2 * self.photons_per_symbol)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Gain = success; a slot that does not follow the launched mean is noise of 4 mu."""
        wrong = 4 * self.photons_per_symbol * (1 - self.success**2)
        return replace(
            with_noise(honest, honest.gain**2 * wrong, 0.0), gain=honest.gain * self.success
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """One bit per slot that it is sure of (two levels)."""
        bits = -math.expm1(-2 * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="1 - exp(-2 mu), signs")


def with_noise(light: ReturnedLight, noise_x_snu: float, noise_p_snu: float) -> ReturnedLight:
    """The same light with more noise in X and P of every mode."""
    return replace(
        light,
        variance_x_snu=light.variance_x_snu + noise_x_snu,
        variance_p_snu=light.variance_p_snu + noise_p_snu,
    )


def check_share(who: str, name: str, value: float, *, below_one: bool = False) -> None:
    """Refuse a share outside (0, 1], or (0, 1).

    Raises:
        ConfigurationError: out of range or NaN.
    """
    if not (0 < value < 1 or (value == 1 and not below_one)):
        limit = "(0, 1)" if below_one else "(0, 1]"
        raise ConfigurationError(f"{who}: {name} is {value}, it must lie in {limit}")


def _check_positive(who: str, name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigurationError(f"{who}: {name} is {value}, it must be finite and above 0")
