"""Servers that cheat to learn the client's data: the tests are the client's own.

ell is the excess noise of the returned data mode, 2 kappa = 2 (1 - 1/G) behind an amplifier.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.errors import ConfigurationError
from drivers.receivers import FeedForwardTap
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.clients import check_share
from sim_backend.adversaries.light import ProbeLight

__all__ = [
    "AnalysesCovariance",
    "AsksForTheOutcome",
    "BrightProbes",
    "CountsPhotons",
    "EntangledProbes",
    "ProbesInP",
    "RepeatsRows",
    "SqueezedProbes",
    "UnevenRows",
    "mutual_information_bits",
]


@dataclass(frozen=True, kw_only=True)
class AnalysesCovariance(Adversary):
    """Sends honest light and keeps whole rows of homodyne records (covariance, dictionary)."""

    name: ClassVar[str] = "B1"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "honest light, full covariance analysis"
    undetectable: ClassVar[str] = "the data ledger: every row is charged as homodyned whole"

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Local Gaussian estimate from M rows."""
        excess = scene.receiver.excess_noise_x_snu
        bits = formulas.rows_homodyned(excess, scene.rows, scene.modes)
        return Gain(bits=bits, per="data value", formula="0.5 log2(1 + (M/N) ell^2/(1 + ell))")


@dataclass(frozen=True, kw_only=True)
class CountsPhotons(Adversary):
    """Displaces the return by the known means and counts photons."""

    name: ClassVar[str] = "B2"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "photon counting after displacement"
    undetectable: ClassVar[str] = "the data ledger, where the any-measurement figure is the claim"

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """Quantum Fisher information of both quadratures' noise."""
        receiver = scene.receiver
        noise = receiver.excess_noise_x_snu + receiver.excess_noise_p_snu
        bits = formulas.rows_any(noise, scene.rows, scene.modes)
        return Gain(bits=bits, per="data value", formula="0.5 log2(1 + 4 kappa M/N)")


@dataclass(frozen=True, kw_only=True)
class SqueezedProbes(Adversary):
    """Squeezes X of the probes: the data's noise stands out of a floor of e^(-2r).

    The client's amplifier then has the outcome variance v - (G - 1)(1 - e^(-2r)), below what any
    unsqueezed light can give it.
    """

    name: ClassVar[str] = "B3"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "squeezed probes"
    changes: ClassVar[tuple[Statistic, ...]] = ("outcome variance",)
    squeezing_db: float = 3.0
    amplifier_gain: float = 2.0

    def __post_init__(self) -> None:
        _check_positive("B3", "squeezing_db", self.squeezing_db)
        _check_gain("B3", self.amplifier_gain)

    @property
    def squeezed_variance_snu(self) -> float:
        """Variance of X of a probe, e^(-2r)."""
        return float(10 ** (-self.squeezing_db / 10))

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """A quieter outcome."""
        less = (self.amplifier_gain - 1) * (1 - self.squeezed_variance_snu)
        return replace(honest, outcome_variance_snu=honest.outcome_variance_snu - less)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """Mutual information of one row, the noise measured against the squeezed floor."""
        excess = scene.receiver.excess_noise_x_snu / self.squeezed_variance_snu
        bits = mutual_information_bits(excess, scene.modes)
        return Gain(
            bits=bits,
            per="row",
            formula="0.5 [N log2(1 + ell'/N) - log2(1 + ell')], ell' = ell e^2r",
        )


@dataclass(frozen=True, kw_only=True)
class EntangledProbes(Adversary):
    """Sends one half of two-mode squeezed light and keeps the other: thermal light to the client.

    Reduced variance 2 n + 1 at n photons per mode, so the client's outcome gets noisier, by
    (G - 1) 2 n.
    """

    name: ClassVar[str] = "B4"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "entangled probes, idlers kept"
    changes: ClassVar[tuple[Statistic, ...]] = ("outcome variance",)
    photons_per_mode: float = 0.25
    amplifier_gain: float = 2.0

    def __post_init__(self) -> None:
        _check_positive("B4", "photons_per_mode", self.photons_per_mode)
        _check_gain("B4", self.amplifier_gain)

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """A noisier outcome."""
        more = (self.amplifier_gain - 1) * 2 * self.photons_per_mode
        return replace(honest, outcome_variance_snu=honest.outcome_variance_snu + more)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """Given the homodyned idler, X of a probe has the variance 1/(2 n + 1)."""
        excess = scene.receiver.excess_noise_x_snu * (2 * self.photons_per_mode + 1)
        return Gain(
            bits=mutual_information_bits(excess, scene.modes),
            per="row",
            formula="0.5 [N log2(1 + ell'/N) - log2(1 + ell')], ell' = ell (2 n + 1)",
        )


@dataclass(frozen=True, kw_only=True)
class BrightProbes(Adversary):
    """Sends more photons than declared, in all rows, to see imperfections of U_x better."""

    name: ClassVar[str] = "B5"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "brighter probes than declared"
    changes: ClassVar[tuple[Statistic, ...]] = ("outcome variance",)
    brightness: float = 2.0
    unitary_error_rad: float = 0.01

    def __post_init__(self) -> None:
        if not (math.isfinite(self.brightness) and self.brightness > 1):
            raise ConfigurationError(
                f"B5: brightness is {self.brightness}, it must be finite and above 1"
            )
        _check_positive("B5", "unitary_error_rad", self.unitary_error_rad)

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """More signal than the declared weights can give."""
        return replace(honest, signal_variance_snu=self.brightness * honest.signal_variance_snu)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The mean that an imperfect U_x moves: SNR 4 mu' delta^2 per row."""
        delta = self.unitary_error_rad
        bits = formulas.homodyned(self.brightness * scene.photons_per_symbol * delta**2)
        return Gain(
            bits=bits * scene.rows / scene.modes,
            per="data value",
            formula="(M/N) 0.5 log2(1 + 4 mu' delta^2)",
        )


@dataclass(frozen=True, kw_only=True)
class UnevenRows(Adversary):
    """Puts all of the declared light into a few rows: the mean brightness is as declared."""

    name: ClassVar[str] = "B5-rows"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "all of the light in few rows"
    changes: ClassVar[tuple[Statistic, ...]] = ("outcome peaks",)
    share: float = 0.01
    unitary_error_rad: float = 0.01

    def __post_init__(self) -> None:
        check_share("B5-rows", "share", self.share)
        _check_positive("B5-rows", "unitary_error_rad", self.unitary_error_rad)

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """Few outcomes that stand out, among many without a signal."""
        return replace(honest, bright_share=self.share)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The mean that an imperfect U_x moves in the bright rows."""
        delta = self.unitary_error_rad
        bits = formulas.homodyned(scene.photons_per_symbol * delta**2 / self.share)
        return Gain(
            bits=self.share * bits * scene.rows / scene.modes,
            per="data value",
            formula="(q M/N) 0.5 log2(1 + 4 mu delta^2/q)",
        )


@dataclass(frozen=True, kw_only=True)
class RepeatsRows(Adversary):
    """Sends the same row again and again: more rows for the same data."""

    name: ClassVar[str] = "B6"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "repeated rows"
    changes: ClassVar[tuple[Statistic, ...]] = ("repeated rows",)
    share: float = 0.5
    times: int = 10

    def __post_init__(self) -> None:
        check_share("B6", "share", self.share)
        if self.times < 2:
            raise ConfigurationError(f"B6: times is {self.times}, it must be at least 2")

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """Pairs of outcomes with the same mean."""
        return replace(honest, repeated_share=self.share)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """As more rows, which the ledger counts."""
        rows = self.times * scene.rows
        excess = scene.receiver.excess_noise_x_snu
        bits = formulas.rows_homodyned(excess, rows, scene.modes)
        return Gain(
            bits=bits,
            per="data value",
            formula="0.5 log2(1 + (M'/N) ell^2/(1 + ell)), rows charged",
        )


@dataclass(frozen=True, kw_only=True)
class ProbesInP(Adversary):
    """Puts light on P, which a feed-forward tap returns scaled by sqrt(1 - tau) along the data."""

    name: ClassVar[str] = "B6-P"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "probe in P against the feed-forward tap"
    changes: ClassVar[tuple[Statistic, ...]] = ("P audit",)
    probe_photons: float = 0.25
    tap_fraction: float = 0.1

    def __post_init__(self) -> None:
        _check_positive("B6-P", "probe_photons", self.probe_photons)
        FeedForwardTap(tap_fraction=self.tap_fraction)

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """A mean in P of the data mode where there should be none."""
        return replace(honest, p_mean_snu=math.sqrt(4 * self.probe_photons))

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The returned P moves by (1 - sqrt(1 - tau)) of the probe along the data."""
        moved = 1 - math.sqrt(1 - self.tap_fraction)
        bits = formulas.homodyned(self.probe_photons * moved**2 * scene.rows / scene.modes)
        return Gain(
            bits=bits,
            per="data value",
            formula="0.5 log2(1 + (M/N) (1 - sqrt(1 - tau))^2 4 n)",
        )


@dataclass(frozen=True, kw_only=True)
class AsksForTheOutcome(Adversary):
    """Asks the client for its label, activations or confidence."""

    name: ClassVar[str] = "B8"
    party: ClassVar[Party] = "server"
    idea: ClassVar[str] = "asks for the outcome"
    undetectable: ClassVar[str] = "policy: nothing analogue goes back; a label costs its own bits"
    classes: int = 10

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigurationError(f"B8: classes is {self.classes}, it must be at least 2")

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:  # noqa: ARG002
        """A label among the classes."""
        return Gain(bits=math.log2(self.classes), per="input", formula="log2(classes)")


def mutual_information_bits(excess_noise_snu: float, modes: int) -> float:
    """Bits of one homodyned row about the data: 0.5 [N log2(1 + ell/N) - log2(1 + ell)].

    The Kullback-Leibler bound of a record with covariance 1 + ell x x^T over a flat prior.
    """
    whole = modes * math.log2(1 + excess_noise_snu / modes)
    return 0.5 * (whole - math.log2(1 + excess_noise_snu))


def _check_positive(who: str, name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigurationError(f"{who}: {name} is {value}, it must be finite and above 0")


def _check_gain(who: str, value: float) -> None:
    if not (math.isfinite(value) and value > 1):
        raise ConfigurationError(f"{who}: amplifier_gain is {value}, it must be above 1")
