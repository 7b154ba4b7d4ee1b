"""The client's three receivers: what each measures and what it gives back.

All take U_x, the unitary that maps the normalised data vector onto one mode, "mode x". A receiver
measures the X quadrature of that mode with mean `signal_gain * (q . x)` and variance
`outcome_variance_snu`; quadratures in shot-noise units, vacuum variance 1. The figures are those of
ideal detectors; losses and detector noise are the link's (`drivers.backend`).

Amplifier: Sulimany et al., arXiv 2408.05629. Feed-forward tap and passive tap: veilight's own,
derived from the beam splitter relations; `tests/physics` checks them shot by shot.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from drivers.errors import ConfigurationError

__all__ = ["Amplifier", "FeedForwardTap", "PassiveTap", "Receiver", "receiver"]


@dataclass(frozen=True, kw_only=True)
class Amplifier:
    """Phase-insensitive amplifier of power gain `gain` > 1, split, measured and re-injected.

    Mode x is amplified, the fraction 1 - 1/G goes to the detector and 1/G back into the light.
    """

    kind: ClassVar[str] = "amplifier"
    setting_name: ClassVar[str] = "gain"
    preserves_p: ClassVar[bool] = True
    acts_on_data_mode: ClassVar[bool] = True
    gain: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and self.gain > 1):
            raise ConfigurationError(
                f"receiver amplifier: gain is {self.gain}, it must be a finite number above 1 "
                "(at 1 nothing is measured)"
            )

    @property
    def setting(self) -> float:
        """The gain G."""
        return self.gain

    @property
    def kappa(self) -> float:
        """Fraction of the amplified light that is measured, 1 - 1/G."""
        return 1 - 1 / self.gain

    @property
    def signal_gain(self) -> float:
        """Mean of the outcome per unit of q . x: sqrt(G - 1)."""
        return math.sqrt(self.gain - 1)

    @property
    def outcome_variance_snu(self) -> float:
        """Variance of the outcome: (2 G^2 - 3 G + 2) / G."""
        return (2 * self.gain**2 - 3 * self.gain + 2) / self.gain

    @property
    def snr_factor(self) -> float:
        """Signal-to-noise ratio of the outcome per (q . x)^2; at best 0.547 at G = 2 + sqrt 2."""
        return self.signal_gain**2 / self.outcome_variance_snu

    @property
    def excess_noise_x_snu(self) -> float:
        """Excess noise of the returned X of mode x: 2 (1 - 1/G)."""
        return 2 * self.kappa

    @property
    def excess_noise_p_snu(self) -> float:
        """Excess noise of the returned P of mode x: 2 (1 - 1/G)."""
        return 2 * self.kappa

    @property
    def lost_p(self) -> float:
        """Amplitude share of P of mode x that does not come back as other modes do: none."""
        return 0.0

    @property
    def returned_transmittance(self) -> float:
        """Power transmittance of the returned mean, all modes: 1."""
        return 1.0

    @property
    def outcome_return_covariance_x_snu(self) -> float:
        """Covariance of the outcome with the returned X of mode x: 2 (G - 1) sqrt(kappa / G)."""
        return 2 * (self.gain - 1) * math.sqrt(self.kappa / self.gain)


@dataclass(frozen=True, kw_only=True)
class FeedForwardTap:
    """Tap the fraction tau of mode x, homodyne its X, displace the rest so that X keeps its mean.

    The P quadrature of mode x is scaled by sqrt(1 - tau): real encoding only.
    """

    kind: ClassVar[str] = "feed-forward-tap"
    setting_name: ClassVar[str] = "tap_fraction"
    preserves_p: ClassVar[bool] = False
    acts_on_data_mode: ClassVar[bool] = True
    tap_fraction: float

    def __post_init__(self) -> None:
        _check_tap(self.kind, self.tap_fraction)

    @property
    def setting(self) -> float:
        """The tapped fraction tau."""
        return self.tap_fraction

    @property
    def signal_gain(self) -> float:
        """Mean of the outcome per unit of q . x: sqrt(tau)."""
        return math.sqrt(self.tap_fraction)

    @property
    def outcome_variance_snu(self) -> float:
        """Variance of the outcome: vacuum, 1."""
        return 1.0

    @property
    def snr_factor(self) -> float:
        """Signal-to-noise ratio of the outcome per (q . x)^2: tau."""
        return self.tap_fraction

    @property
    def displacement_gain(self) -> float:
        """Displacement of X per unit of the outcome, g = (1 - sqrt(1 - tau)) / sqrt(tau)."""
        # The same as sqrt(tau) / (1 + sqrt(1 - tau)), which does not cancel at small tau.
        return math.sqrt(self.tap_fraction) / (1 + math.sqrt(1 - self.tap_fraction))

    @property
    def excess_noise_x_snu(self) -> float:
        """Excess noise of the returned X of mode x: g^2."""
        return self.displacement_gain**2

    @property
    def excess_noise_p_snu(self) -> float:
        """Excess noise of the returned P of mode x: none."""
        return 0.0

    @property
    def lost_p(self) -> float:
        """Amplitude share of P of mode x that does not come back, c = 1 - sqrt(1 - tau).

        P of a frame, means p, comes back as p - c (p . x) x.
        """
        # Without cancellation at small tau.
        return self.tap_fraction / (1 + math.sqrt(1 - self.tap_fraction))

    @property
    def returned_transmittance(self) -> float:
        """Power transmittance of the returned X mean, all modes: 1."""
        return 1.0

    @property
    def outcome_return_covariance_x_snu(self) -> float:
        """Covariance of the outcome with the returned X of mode x: g."""
        return self.displacement_gain


@dataclass(frozen=True, kw_only=True)
class PassiveTap:
    """Tap the fraction tau of every mode, homodyne it against an oscillator shaped like the data.

    What goes back does not depend on the data at all.
    """

    kind: ClassVar[str] = "passive-tap"
    setting_name: ClassVar[str] = "tap_fraction"
    preserves_p: ClassVar[bool] = True
    acts_on_data_mode: ClassVar[bool] = False
    tap_fraction: float

    def __post_init__(self) -> None:
        _check_tap(self.kind, self.tap_fraction)

    @property
    def setting(self) -> float:
        """The tapped fraction tau."""
        return self.tap_fraction

    @property
    def signal_gain(self) -> float:
        """Mean of the outcome per unit of q . x: sqrt(tau)."""
        return math.sqrt(self.tap_fraction)

    @property
    def outcome_variance_snu(self) -> float:
        """Variance of the outcome: vacuum, 1."""
        return 1.0

    @property
    def snr_factor(self) -> float:
        """Signal-to-noise ratio of the outcome per (q . x)^2: tau."""
        return self.tap_fraction

    @property
    def excess_noise_x_snu(self) -> float:
        """Excess noise of the returned X of mode x: none."""
        return 0.0

    @property
    def excess_noise_p_snu(self) -> float:
        """Excess noise of the returned P of mode x: none."""
        return 0.0

    @property
    def lost_p(self) -> float:
        """Amplitude share of P of mode x that does not come back as other modes do: none."""
        return 0.0

    @property
    def returned_transmittance(self) -> float:
        """Power transmittance of the returned mean, all modes: 1 - tau."""
        return 1 - self.tap_fraction

    @property
    def outcome_return_covariance_x_snu(self) -> float:
        """Covariance of the outcome with the returned X of mode x: none."""
        return 0.0


Receiver: TypeAlias = Amplifier | FeedForwardTap | PassiveTap


def receiver(kind: str, setting: float) -> Receiver:
    """The receiver called `kind` at its one setting (gain or tapped fraction).

    Raises:
        ConfigurationError: unknown kind, or a setting out of range.
    """
    if kind == Amplifier.kind:
        return Amplifier(gain=setting)
    if kind == FeedForwardTap.kind:
        return FeedForwardTap(tap_fraction=setting)
    if kind == PassiveTap.kind:
        return PassiveTap(tap_fraction=setting)
    known = ", ".join((Amplifier.kind, FeedForwardTap.kind, PassiveTap.kind))
    raise ConfigurationError(f"receiver {kind!r} is unknown; known are {known}")


def _check_tap(kind: str, tap_fraction: float) -> None:
    if not 0 < tap_fraction <= 1:  # also refuses NaN
        raise ConfigurationError(
            f"receiver {kind}: tap_fraction is {tap_fraction}, it must lie in (0, 1]"
        )
