"""What the tests of a session counted, and how far from the truth that can be.

The sums are sufficient: nothing else about the returned light enters a certificate. Shot-noise
units, as recorded; `EstimatedQuadrature` takes the server's own detector out.

How a variance estimate falls short. The ratio of the densities of a chi-square variable of n
degrees and of a normal one of mean n - 2 - 2/n and variance 2 n rises all the way: the derivative
of its logarithm has the sign of t^2 - (2 n - a) t + n (n - 2), a = 2 + 2/n, which has no root for
n >= 3. A rising ratio orders the two in distribution (Shaked and Shanthikumar, Stochastic Orders,
theorem 1.C.1), so the estimate is never likelier to be too small than a normal one that lags
a/n behind. Orders in distribution survive sums of independent errors: a sum of gains and variances
has the normal quantile at any confidence and any number of symbols, for a price of a/n.
Where the noise has two powers, white and that of the data's mode, each has a lag of its own; if
those are dear, a variance estimate is still sub-Gaussian with its own variance on that side
(Laurent and Massart, Ann. Stat. 28, 1302 (2000), lemma 1).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

from drivers.errors import ConfigurationError
from protocol.leakage import _checks

__all__ = [
    "CALIBRATION_SHARE",
    "GUARD_SHARE",
    "LEAST_SYMBOLS",
    "EstimatedQuadrature",
    "NoiseDependence",
    "ServerTrust",
    "TestedQuadrature",
    "calibration_multiplier",
    "normal_multiplier",
    "relative_error",
    "sub_gaussian_multiplier",
]

CALIBRATION_SHARE = 0.02
"""Share of the failure probability that each of two calibrations may use."""

GUARD_SHARE = 0.005
"""Share of the failure probability of each of four guard intervals, which hardly cost anything."""

LEAST_SYMBOLS = 2
_LEAST_DEGREES = 3


@dataclass(frozen=True, kw_only=True)
class TestedQuadrature:
    """Sums over all tested symbols of one quadrature, as recorded; sufficient for the bound.

    Attributes:
        symbols: n >= 2.
        sent_energy_snu: sum of the squared sent means, >= 0.
        projection_snu: sum of sent mean times recorded value.
        residual_energy_snu: sum of (recorded - reference_gain times sent)^2, above 0.
        reference_gain: gain that the residuals are taken against.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    __test__ = False  # not a test class of pytest's

    symbols: int
    sent_energy_snu: float
    projection_snu: float
    residual_energy_snu: float
    reference_gain: float

    def __post_init__(self) -> None:
        _checks.count("number of tested symbols", self.symbols, minimum=LEAST_SYMBOLS)
        _checks.non_negative("sent energy", self.sent_energy_snu, "SNU")
        _checks.positive("residual energy", self.residual_energy_snu, "SNU")
        _checks.non_negative("reference gain", self.reference_gain)
        if not math.isfinite(self.projection_snu):
            raise ConfigurationError(
                f"leakage: the projection of the return is {self.projection_snu}; it must be "
                "finite. An earlier estimate failed: find which one."
            )

    @property
    def gain(self) -> float:
        """Least-squares gain, as recorded; the reference where nothing was sent."""
        if self.sent_energy_snu == 0:
            return self.reference_gain
        return self.projection_snu / self.sent_energy_snu

    @property
    def variance_snu(self) -> float:
        """Unbiased variance about the fitted mean, as recorded."""
        moved = (self.gain - self.reference_gain) ** 2 * self.sent_energy_snu
        left = self.residual_energy_snu - moved
        if left <= 0:
            raise ConfigurationError(
                f"leakage: {self.residual_energy_snu:.6g} SNU of residuals are less than the "
                f"{moved:.6g} SNU that the gain alone makes; the sums are not of one session"
            )
        return left / (self.symbols - (1 if self.sent_energy_snu > 0 else 0))


@dataclass(frozen=True, kw_only=True)
class ServerTrust:
    """What is taken out of the record because it is the server's own, and how well it is known.

    Attributes:
        efficiency: of the detector, in (0, 1].
        electronic_noise_snu: of the detector, quantisation included, >= 0.
        gain_uncertainty: relative standard uncertainty of the sent amplitudes, >= 0.
        variance_uncertainty: relative standard uncertainty of the shot-noise unit, >= 0.

    Raises:
        ConfigurationError: a value is out of range.
    """

    efficiency: float = 1.0
    electronic_noise_snu: float = 0.0
    gain_uncertainty: float = 0.0
    variance_uncertainty: float = 0.0

    def __post_init__(self) -> None:
        _checks.positive_fraction("efficiency of the server's detector", self.efficiency)
        _checks.non_negative("electronic noise", self.electronic_noise_snu, "SNU")
        _checks.non_negative("uncertainty of the gain", self.gain_uncertainty)
        _checks.non_negative("uncertainty of the shot-noise unit", self.variance_uncertainty)


@dataclass(frozen=True, kw_only=True)
class NoiseDependence:
    """How far the noise of an honest return is from independent symbols.

    Attributes:
        variance_inflation: variance of a variance estimate over that of independent symbols, >= 1.
        gain_inflation: the same for the gain, >= 1.
        gain_wobble: further variance of the gain, as recorded, from phase errors, >= 0.

    Raises:
        ConfigurationError: a value is out of range.
    """

    variance_inflation: float = 1.0
    gain_inflation: float = 1.0
    gain_wobble: float = 0.0

    def __post_init__(self) -> None:
        _checks.at_least_one("inflation of the variance's error", self.variance_inflation)
        _checks.at_least_one("inflation of the gain's error", self.gain_inflation)
        _checks.non_negative("wobble of the gain", self.gain_wobble)


def sub_gaussian_multiplier(failure: float) -> float:
    """Standard deviations that a sub-Gaussian error exceeds with at most `failure`, one side.

    sqrt(2 ln(1/f)): 5.26 at 1e-6, where a normal error has 4.75.

    Raises:
        ConfigurationError: `failure` is not in (0, 1).
    """
    return math.sqrt(2 * math.log(1 / _checks.open_fraction("failure probability", failure)))


def normal_multiplier(failure: float) -> float:
    """Standard deviations that a normal error exceeds with `failure`, one side; 4.75 at 1e-6.

    Raises:
        ConfigurationError: `failure` is not in (0, 1).
    """
    return -NormalDist().inv_cdf(_checks.open_fraction("failure probability", failure))


def calibration_multiplier(failure: float) -> float:
    """Standard uncertainties by which each of two calibrations is taken to be off.

    The normal quantile of their share of the failure: 5.49 at 1e-6, 5.61 where two layers share
    that.

    Args:
        failure: of one layer's certificate.

    Raises:
        ConfigurationError: `failure` is not in (0, 1).
    """
    _checks.open_fraction("failure probability", failure)
    return normal_multiplier(CALIBRATION_SHARE * failure)


@dataclass(frozen=True, kw_only=True)
class EstimatedQuadrature:
    """One quadrature behind the trusted detector: estimates, guard intervals and errors.

    Attributes:
        gain: estimate, amplitude.
        variance: estimate about the known mean, SNU.
        least_gain: lower end of the guard interval.
        most_gain: upper end.
        most_variance: upper bound of the variance; infinite with too few symbols.
        gain_error: largest standard deviation of the gain inside the guards.
        variance_error: likewise of the variance.
        variance_lag: what the variance is behind a normal error at most (see the module).
        lag_deviations: the same in standard deviations; known before anything is measured.
        gain_shift: what the calibration may be wrong by, at its share of the failure.
        variance_shift: likewise of the variance.
    """

    gain: float
    variance: float
    least_gain: float
    most_gain: float
    most_variance: float
    gain_error: float
    variance_error: float
    variance_lag: float
    lag_deviations: float
    gain_shift: float
    variance_shift: float

    @property
    def gain_region(self) -> tuple[float, float]:
        """Estimate and lower bound, the calibration's uncertainty included."""
        return self.gain, max(0.0, self.least_gain - self.gain_shift)

    @property
    def excess_noise_region(self) -> tuple[float, float]:
        """Estimate and upper bound, the calibration's uncertainty included."""
        return self.variance - 1, self.most_variance + self.variance_shift - 1

    @property
    def gain_interval(self) -> tuple[float, float]:
        """Both ends of the guard interval, the calibration's uncertainty included."""
        return self.gain_region[1], self.most_gain + self.gain_shift

    @classmethod
    def of(
        cls, tested: TestedQuadrature, trust: ServerTrust, law: NoiseDependence, failure: float
    ) -> Self:
        """Estimates and errors from a session's sums.

        Args:
            tested: the sums.
            trust: of the server's detector.
            law: correlation of the noise.
            failure: of the whole certificate; the shares are this module's.
        """
        eta, root = trust.efficiency, math.sqrt(trust.efficiency)
        gain, variance = tested.gain, tested.variance_snu
        unit, lag = relative_error(tested.symbols - 1, law.variance_inflation)
        share = GUARD_SHARE * failure
        # Whichever is the smaller: it is known before the light is on.
        guard = min(normal_multiplier(share) + lag / unit, sub_gaussian_multiplier(share))
        shrink = 1 - guard * unit
        most = variance / shrink if shrink > 0 else math.inf
        spread = math.inf
        if tested.sent_energy_snu > 0 and math.isfinite(most):
            slope = law.gain_inflation * most / tested.sent_energy_snu
            spread = math.sqrt(slope + law.gain_wobble)
        elif tested.sent_energy_snu == 0:
            spread = 0.0
        two_sided = normal_multiplier(share / 2)
        known = calibration_multiplier(failure)
        trusted_noise = 1 + trust.electronic_noise_snu
        return cls(
            gain=gain / root,
            variance=1 + (variance - trusted_noise) / eta,
            least_gain=max(0.0, gain - two_sided * spread) / root,
            most_gain=(gain + two_sided * spread) / root,
            most_variance=1 + (most - trusted_noise) / eta,
            gain_error=spread / root,
            variance_error=unit * most / eta,
            variance_lag=lag * most / eta,
            lag_deviations=lag / unit,
            gain_shift=known * trust.gain_uncertainty * gain / root,
            variance_shift=known * trust.variance_uncertainty * variance / eta,
        )


def relative_error(degrees: int, inflation: float) -> tuple[float, float]:
    """Standard deviation of a variance estimate and its lag, over the variance.

    With powers p_g of the mean one and n_g degrees each, the squares sum up to the inflation I and
    the lag is the sum of p_g (2 + 2/n_g)/n. Two groups: the white one has p <= 1, the data's mode
    p <= 1 + sqrt((I - 1) n/n_g), and no group has fewer than 3 degrees.

    Args:
        degrees: of freedom, symbols less what was fitted.
        inflation: I >= 1.
    """
    unit = math.sqrt(2 * inflation / degrees)
    if degrees < _LEAST_DEGREES:
        return unit, math.inf
    powers = 2 + math.sqrt((inflation - 1) * degrees / _LEAST_DEGREES)
    return unit, (2 + 2 / _LEAST_DEGREES) * powers / degrees
