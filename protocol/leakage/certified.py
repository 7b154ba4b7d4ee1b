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

Assumes: noise Gaussian, with the correlation from symbol to symbol that `NoiseDependence` states;
a collective attack (the tested symbols are a fair sample). Parameter estimation only, no
composable proof. The bits are the average over a layer's weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.certified_corner import worst_corner_bits
from protocol.leakage.certified_plane import LeakagePlane, worst_plane
from protocol.leakage.certified_statistics import (
    CALIBRATION_SHARE,
    GUARD_SHARE,
    LEAST_SYMBOLS,
    EstimatedQuadrature,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    normal_multiplier,
    sub_gaussian_multiplier,
)
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general_untested

__all__ = [
    "PLANE_SHARES",
    "CertificationDesign",
    "CertifiedBits",
    "FoundBy",
    "NoiseDependence",
    "PlaneStatistic",
    "ServerTrust",
    "TestedQuadrature",
    "certification_design",
    "certified_weight_bits",
    "compose_over_sessions",
    "normal_multiplier",
    "sub_gaussian_multiplier",
]

FoundBy: TypeAlias = Literal["plane 0", "plane 1", "plane 2", "corner", "untested"]

PLANE_SHARES = (0.9, 0.02, 0.02)
"""Shares of the failure probability of the planes; what is left goes to two calibrations and four
guard intervals."""
_PLANES: tuple[FoundBy, ...] = ("plane 0", "plane 1", "plane 2")
_RADII = (1.0, 4.0, 16.0)
assert math.fsum(PLANE_SHARES) + 2 * CALIBRATION_SHARE + 4 * GUARD_SHARE <= 1


@dataclass(frozen=True, kw_only=True)
class CertificationDesign:
    """What is fixed before the light is on.

    Attributes:
        modulation_x_snu: K times the mean square of the sent X: all copies of the session.
        modulation_p_snu: the same for P; 0 for the real encoding.
        failure: probability that the certificate of this layer is wrong, in (0, 1).
        planes: tangent planes; the smallest bound of them counts, their failures are added.
        tests_p: whether P is tested.
        gain_p_seen: whether what is sent in P is known displacements alone.
    """

    modulation_x_snu: float
    modulation_p_snu: float
    failure: float
    planes: tuple[LeakagePlane, ...]
    tests_p: bool
    gain_p_seen: bool = False


@dataclass(frozen=True, kw_only=True)
class CertifiedBits:
    """What can have leaked of one optical symbol, and what the tests found.

    Attributes:
        bits_per_symbol: at most, with the failure probability of the design.
        untested_bits_per_symbol: of the same light if nothing had been tested.
        found_by: what gave the smallest bound: a plane by its index, the worst corner, or nothing
            better than the untested light.
        gain_x: estimate, trusted detector taken out, and its one-sided lower bound.
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


def certification_design(
    expected: ReturnedChannel,
    *,
    modulation_x_snu: float,
    modulation_p_snu: float,
    copies: int,
    symbols_x: int,
    symbols_p: int,
    failure: float,
    trust: ServerTrust | None = None,
    dither_x_snu: float = 0.0,
    dither_p_snu: float = 0.0,
    reach: float = 1.0,
) -> CertificationDesign:
    """Choose the planes for an expected channel and number of symbols, before the light.

    Each plane touches the bound at its worst channel within some radii of the errors expected;
    the best plane for a channel is the one at the worst point of its region (minimax).

    Args:
        expected: the honest return, trusted detector taken out.
        modulation_x_snu: mean square of the sent X of one copy, above 0.
        modulation_p_snu: the same for P, 0 for the real encoding.
        copies: K >= 1, transmissions of the same weights in the session.
        symbols_x: symbols that will be tested in X, >= 2.
        symbols_p: the same for P; 0 if P is never tested.
        failure: probability that the certificate is wrong, in (0, 1).
        trust: of the server's detector.
        dither_x_snu: mean square of known Gaussian displacements of X, fresh for every symbol,
            that the server adds to the weights. The gain is then known better; the client's
            outcome has their noise, unless the server tells them when the light is back.
        dither_p_snu: the same for P. With the real encoding they show the gain of P, which is
            else at its worst; `expected` then has that gain, and the noise of P about them.
        reach: how far from the expected channel the planes are best, over the errors at the
            confidence asked for; below 1 where the certificate is a part of a sum.

    Raises:
        ConfigurationError: an argument is out of range, or P has a dither and is never tested.
    """
    _checks.open_fraction("failure probability", failure)
    m_x = _checks.positive("modulation of X", modulation_x_snu, "SNU")
    m_p = _checks.non_negative("modulation of P", modulation_p_snu, "SNU")
    factor = _checks.count("number of copies", copies)
    n_x = _checks.count("symbols to be tested in X", symbols_x, minimum=LEAST_SYMBOLS)
    n_p = _checks.count("symbols to be tested in P", symbols_p, minimum=0)
    d_x = _checks.non_negative("dither of X", dither_x_snu, "SNU")
    d_p = _checks.non_negative("dither of P", dither_p_snu, "SNU")
    if d_p > 0 and n_p < LEAST_SYMBOLS:
        raise ConfigurationError(
            f"leakage: P has a dither of {d_p:g} SNU and {n_p} symbols of P are to be tested; "
            f"test at least {LEAST_SYMBOLS}, or leave the dither out"
        )
    seen = m_p == 0 and d_p > 0
    eta = (trust or ServerTrust()).efficiency
    sigmas = _expected_errors(eta, expected.excess_noise_x_snu, n_x, m_x + d_x)
    if n_p >= LEAST_SYMBOLS:
        sigmas += _expected_errors(eta, expected.excess_noise_p_snu or 0.0, n_p, m_p + d_p)
    radius = _checks.positive("reach", reach) * normal_multiplier(PLANE_SHARES[0] * failure)
    return CertificationDesign(
        modulation_x_snu=factor * m_x,
        modulation_p_snu=factor * m_p,
        failure=failure,
        planes=tuple(
            worst_plane(
                expected,
                factor * m_x,
                factor * m_p,
                [scale * radius * sigma for sigma in sigmas],
                gain_p_seen=seen,
            )
            for scale in _RADII
        ),
        tests_p=n_p >= LEAST_SYMBOLS,
        gain_p_seen=seen,
    )


def _expected_errors(eta: float, excess: float, symbols: int, modulation: float) -> list[float]:
    """Standard deviations of gain and variance of one quadrature, detector taken out."""
    recorded = eta * excess + 1
    of_gain = math.sqrt(recorded / (symbols * modulation * eta)) if modulation > 0 else 0.0
    return [of_gain, math.sqrt(2 / symbols) * recorded / eta]


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
    untested = weight_bits_general_untested(design.modulation_x_snu, design.modulation_p_snu)
    if tested_x is None or (design.tests_p and tested_p is None):
        return None
    parts = [EstimatedQuadrature.of(tested_x, own, law, design.failure)]
    if design.tests_p and tested_p is not None:
        parts.append(EstimatedQuadrature.of(tested_p, own, law, design.failure))
    bounds: dict[FoundBy, float] = {"untested": untested}
    for name, plane, share in zip(_PLANES, design.planes, PLANE_SHARES, strict=True):
        bounds[name] = PlaneStatistic.of(plane, parts).bits(share * design.failure)
    x, p = parts[0], parts[1] if len(parts) > 1 else None
    m_x, m_p, seen = design.modulation_x_snu, design.modulation_p_snu, design.gain_p_seen
    least = min(bounds.values())
    bounds["corner"] = worst_corner_bits(m_x, m_p, x, p, gain_p_seen=seen, enough=least)
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


def compose_over_sessions(bits_per_session: Sequence[float], untested_bits: float) -> float:
    """What several sessions with the same weights can have leaked together, at most, per weight.

    The sum: given the weights, the lights of two sessions are independent, so the second adds no
    more than it holds alone. Never above what all the light together holds. Failure probabilities
    add.

    Args:
        bits_per_session: certified bits of each session, >= 0.
        untested_bits: of all sessions' light at once, K mu over all of them.

    Raises:
        ConfigurationError: a value is out of range.
    """
    total = math.fsum(
        _checks.non_negative("certified bits of a session", bits, "bit")
        for bits in bits_per_session
    )
    return min(total, _checks.non_negative("bits of all the light", untested_bits, "bit"))


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
