"""Weight leakage certified from what the tests of a session counted, at a stated confidence.

The bound of `protocol.leakage.general_bound` is concave in the covariance matrix, so any tangent
plane lies above it. A plane is chosen **before the light is on**, from the channel that the server
expects; after the session the plane is evaluated at the estimates, and one number, a sum of
independent errors, has to be bounded instead of three at once. That is the joint region; a box of
one bound per parameter is larger by up to sqrt(3). A plane far from the channel that was found is
loose, never wrong.

The errors. The gain of a regression on known means is normal; a variance estimate is no likelier to
fall short than a normal one that lags behind by two symbols (`certified_statistics` has the proof,
for any confidence and any number of symbols, where no counting reaches). So the sum has the normal
quantile. Its standard deviation depends on the true channel and is taken at its largest inside
guard intervals, whose failure is charged as well. The worst corner of those intervals is a bound,
too, and counts where it is the smaller one: with many copies of the weights the bound bends so
much within the errors that a plane is worse than a box. Almost all of the failure probability goes
to the plane that is best for the expected channel.

Copies whose light was kept. Those that did not pass, and those of other sessions, are of the same
weights: a passive interferometer merges all K copies into one, and the returns of the k that passed
into one of gain h sqrt(k/K) and of their noise. The bound is that of this channel at the modulation
of all K. Bits of the k and of the others, added, are no bound: I(W; E1 E2) <= I(W; E1) + I(W; E2)
needs lights that are independent given the weights, that is, attacked apart. With the real encoding
nothing shows the gain of P. Where all light comes back the uncertainty principle ties it to that of
X; where some is missing, as it is from the merged return, an adversary who has merged both lights
may give back another part of P than of X. What is kept and what comes back are then correlated in
P, which two bounds, each of one light, leave out: up to a quarter for faint kept light.

Assumes: noise Gaussian, with the correlation from symbol to symbol that `NoiseDependence` states;
a collective attack (the tested symbols are a fair sample), and a channel without memory from copy
to copy (`protocol.leakage.certified_memory` does not). Parameter estimation only, no composable
proof. The bits are the average over a layer's weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from protocol.leakage.certified_corner import worst_corner_bits
from protocol.leakage.certified_design import (
    PLANE_SHARES,
    CertificationDesign,
    certification_design,
)
from protocol.leakage.certified_plane import LeakagePlane
from protocol.leakage.certified_statistics import (
    EstimatedQuadrature,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    calibration_multiplier,
    normal_multiplier,
    sub_gaussian_multiplier,
)
from protocol.leakage.general_bound import weight_bits_general_untested

__all__ = [
    "PLANE_SHARES",
    "CertificationDesign",
    "CertifiedBits",
    "FoundBy",
    "NoiseDependence",
    "PlaneStatistic",
    "ServerTrust",
    "TestedQuadrature",
    "calibration_multiplier",
    "certification_design",
    "certified_at",
    "certified_weight_bits",
    "normal_multiplier",
    "sub_gaussian_multiplier",
]

FoundBy: TypeAlias = Literal["plane 0", "plane 1", "plane 2", "corner", "untested"]

_PLANES: tuple[FoundBy, ...] = ("plane 0", "plane 1", "plane 2")


@dataclass(frozen=True, kw_only=True)
class CertifiedBits:
    """What can have leaked of one optical symbol, and what the tests found.

    Attributes:
        bits_per_symbol: at most, with the failure probability of the design.
        untested_bits_per_symbol: of the same light if nothing had been tested.
        found_by: what gave the smallest bound: a plane by its index, the worst corner, or nothing
            better than the untested light.
        gain_x: estimate, trusted detector taken out, and its one-sided lower bound; of the copies
            that are returned.
        gain_p: likewise; None where nothing was sent in P to see it by.
        excess_noise_x_snu: estimate and its one-sided upper bound.
        excess_noise_p_snu: likewise; None where P was not tested.
    """

    bits_per_symbol: float
    untested_bits_per_symbol: float
    found_by: FoundBy
    gain_x: tuple[float, float]
    excess_noise_x_snu: tuple[float, float]
    gain_p: tuple[float, float] | None = None
    excess_noise_p_snu: tuple[float, float] | None = None


def certified_weight_bits(
    design: CertificationDesign,
    tested_x: TestedQuadrature | None,
    tested_p: TestedQuadrature | None = None,
    *,
    trust: ServerTrust | None = None,
    dependence: NoiseDependence | None = None,
) -> CertifiedBits | None:
    """What can have leaked, at most, given what was counted.

    Args:
        design: fixed beforehand.
        tested_x: sums of all tested X symbols; None if there are none.
        tested_p: likewise of P.
        trust: of the server's detector.
        dependence: of the noise of an honest return.

    Returns:
        The certificate, or None where nothing was tested: then only the untested bound holds.

    Raises:
        ConfigurationError: an argument is out of range, or the sums contradict each other.
    """
    own, law = trust or ServerTrust(), dependence or NoiseDependence()
    returned = design.estimates(tested_x, tested_p, own, law)
    return certified_at(design, returned) if returned else None


def certified_at(
    design: CertificationDesign, returned: Sequence[EstimatedQuadrature]
) -> CertifiedBits:
    """What can have leaked, at most, given estimates of the returned copies' channel.

    Args:
        design: fixed beforehand.
        returned: X, and P where it was tested; their guard intervals and calibrations fail with no
            more than the design leaves to them.

    Raises:
        ConfigurationError: no quantum channel lies in the guard intervals.
    """
    untested = weight_bits_general_untested(design.modulation_x_snu, design.modulation_p_snu)
    parts = [design.merged(part) for part in returned]
    bounds: dict[FoundBy, float] = {"untested": untested}
    for name, plane, share in zip(_PLANES, design.planes, PLANE_SHARES, strict=True):
        bounds[name] = PlaneStatistic.of(plane, parts).bits(share * design.failure)
    m_x, m_p, seen = design.modulation_x_snu, design.modulation_p_snu, design.gain_p_seen
    least = min(bounds.values())
    bounds["corner"] = worst_corner_bits(
        m_x, m_p, parts[0], parts[1] if len(parts) > 1 else None, gain_p_seen=seen, enough=least
    )
    x, p = returned[0], returned[1] if len(returned) > 1 else None
    found_by = min(bounds, key=bounds.__getitem__)
    return CertifiedBits(
        bits_per_symbol=max(0.0, bounds[found_by]),
        untested_bits_per_symbol=untested,
        found_by=found_by,
        gain_x=x.gain_region,
        excess_noise_x_snu=x.excess_noise_region,
        gain_p=p.gain_region if p is not None and (seen or m_p > 0) else None,
        excess_noise_p_snu=None if p is None else p.excess_noise_region,
    )


@dataclass(frozen=True, kw_only=True)
class PlaneStatistic:
    """A plane at the estimates.

    Attributes:
        value: bits, without the errors of the estimates.
        error: largest standard deviation of the value.
        lag: by how much the value may be behind a normal error; see the module.
        lag_deviations: of each part, in its own standard deviations.
    """

    value: float
    error: float
    lag: float
    lag_deviations: tuple[float, ...]

    @classmethod
    def of(cls, plane: LeakagePlane, parts: Sequence[EstimatedQuadrature]) -> Self:
        """Evaluate a plane; infinite where a variance is not known at all."""
        value, error, lag = plane.bits, 0.0, 0.0
        for part, tangent in zip(parts, plane.tangents, strict=True):
            # The plane bends with the gain. Inside the guard interval it stays below a line of the
            # slope fixed beforehand, which touches it at one of the ends because it is convex.
            slope = tangent.slope
            ends = (part.least_gain - part.gain_shift, part.most_gain + part.gain_shift)
            value += max(tangent.at(end) - slope * (end - part.gain) for end in ends)
            value += abs(slope) * part.gain_shift
            value += tangent.per_variance * (part.variance + part.variance_shift - tangent.variance)
            error += (slope * part.gain_error) ** 2
            error += (tangent.per_variance * part.variance_error) ** 2
            lag += tangent.per_variance * part.variance_lag
        known = all(math.isfinite(part.variance_error) for part in parts)
        return cls(
            value=value if known else math.inf,
            error=math.sqrt(error) if known else math.inf,
            lag=lag,
            lag_deviations=tuple(part.lag_deviations for part in parts),
        )

    def bits(self, failure: float) -> float:
        """The value plus its error at the confidence asked for."""
        # By what is known before the light is on, so that one bound has one failure.
        normal, most = normal_multiplier(failure), sub_gaussian_multiplier(failure)
        if not math.isfinite(self.error):
            return math.inf
        if normal + math.hypot(*self.lag_deviations) <= most:
            return self.value + self.lag + normal * self.error
        return self.value + most * self.error
