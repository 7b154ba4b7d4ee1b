"""What is fixed of a certificate before the light is on: the planes, and what they are chosen for.

`protocol.leakage.certified` has the argument. Copies of which the light is kept are part of the
design: they dim the merged return of all copies, by a count and not by anything that is estimated.
"""

import math
from dataclasses import dataclass, replace

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.certified_plane import LeakagePlane, worst_planes
from protocol.leakage.certified_statistics import (
    CALIBRATION_SHARE,
    GUARD_SHARE,
    LEAST_SYMBOLS,
    EstimatedQuadrature,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    normal_multiplier,
)
from protocol.leakage.general_bound import ReturnedChannel

__all__ = ["PLANE_SHARES", "CertificationDesign", "certification_design"]

PLANE_SHARES = (0.9, 0.02, 0.02)
"""Shares of the failure probability of the planes; what is left goes to two calibrations and four
guard intervals."""
_RADII = (1.0, 4.0, 16.0)
assert math.fsum(PLANE_SHARES) + 2 * CALIBRATION_SHARE + 4 * GUARD_SHARE <= 1


@dataclass(frozen=True, kw_only=True)
class CertificationDesign:
    """What is fixed before the light is on.

    Attributes:
        modulation_x_snu: K times the mean square of the sent X: all copies, kept ones as well.
        modulation_p_snu: the same for P; 0 for the real encoding.
        failure: probability that the certificate of this layer is wrong, in (0, 1).
        planes: tangent planes of the merged channel; the smallest bound of them counts, their
            failures are added.
        tests_p: whether P is tested.
        gain_p_seen: whether what is sent in P is known displacements alone.
        copies: k, copies that are returned.
        returned_share: k/K, in (0, 1].
    """

    modulation_x_snu: float
    modulation_p_snu: float
    failure: float
    planes: tuple[LeakagePlane, ...]
    tests_p: bool
    gain_p_seen: bool = False
    copies: int = 1
    returned_share: float = 1.0

    def estimates(
        self,
        tested_x: TestedQuadrature | None,
        tested_p: TestedQuadrature | None,
        trust: ServerTrust,
        dependence: NoiseDependence,
    ) -> tuple[EstimatedQuadrature, ...]:
        """Estimates of the returned copies' channel, X first; none where too little was counted.

        Args:
            tested_x: sums of all tested X symbols; None if there are none.
            tested_p: likewise of P.
            trust: of the server's detector.
            dependence: of the noise of an honest return.
        """
        if tested_x is None or (self.tests_p and tested_p is None):
            return ()
        counted = [tested_x]
        if self.tests_p and tested_p is not None:
            counted.append(tested_p)
        return tuple(
            EstimatedQuadrature.of(one, trust, dependence, self.failure) for one in counted
        )

    def merged(self, part: EstimatedQuadrature) -> EstimatedQuadrature:
        """One quadrature of the return of all copies as one: the kept ones leave it dimmer.

        Args:
            part: of the copies that are returned.
        """
        root = math.sqrt(self.returned_share)
        return replace(
            part,
            gain=root * part.gain,
            least_gain=root * part.least_gain,
            most_gain=root * part.most_gain,
            gain_error=root * part.gain_error,
            gain_shift=root * part.gain_shift,
        )


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
    planes: int = len(PLANE_SHARES),
    kept_copies: float = 0.0,
) -> CertificationDesign:
    """Choose the planes for an expected channel and number of symbols, before the light.

    Each plane touches the bound at its worst channel within some radii of the errors expected;
    the best plane for a channel is the one at the worst point of its region (minimax).

    Args:
        expected: the honest return, trusted detector taken out.
        modulation_x_snu: mean square of the sent X of one copy, above 0.
        modulation_p_snu: the same for P, 0 for the real encoding.
        copies: k >= 1, transmissions of the same weights that are returned and tested.
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
        planes: how many; fewer than all only to learn what the first of them say.
        kept_copies: further transmissions of the same weights, none of whose light is known to be
            returned, >= 0; a fraction for light of other sessions at another brightness.

    Raises:
        ConfigurationError: an argument is out of range, or P has a dither and is never tested.
    """
    _checks.open_fraction("failure probability", failure)
    m_x = _checks.positive("modulation of X", modulation_x_snu, "SNU")
    m_p = _checks.non_negative("modulation of P", modulation_p_snu, "SNU")
    returned = _checks.count("number of copies", copies)
    factor = returned + _checks.non_negative("number of kept copies", kept_copies)
    n_x = _checks.count("symbols to be tested in X", symbols_x, minimum=LEAST_SYMBOLS)
    n_p = _checks.count("symbols to be tested in P", symbols_p, minimum=0)
    d_x = _checks.non_negative("dither of X", dither_x_snu, "SNU")
    d_p = _checks.non_negative("dither of P", dither_p_snu, "SNU")
    _require_tested_dither(d_p, n_p)
    seen = m_p == 0 and d_p > 0
    eta = (trust or ServerTrust()).efficiency
    share = returned / factor
    dimmed = math.sqrt(share)
    sigmas = _expected_errors(eta, expected.excess_noise_x_snu, n_x, m_x + d_x, dimmed)
    if n_p >= LEAST_SYMBOLS:
        sigmas += _expected_errors(eta, expected.excess_noise_p_snu or 0, n_p, m_p + d_p, dimmed)
    centre = replace(expected, gain_x=dimmed * expected.gain_x, gain_p=dimmed * expected.gain_p)
    radius = _checks.positive("reach", reach) * normal_multiplier(PLANE_SHARES[0] * failure)
    return CertificationDesign(
        modulation_x_snu=factor * m_x,
        modulation_p_snu=factor * m_p,
        failure=failure,
        planes=worst_planes(
            centre,
            factor * m_x,
            factor * m_p,
            [radius * sigma for sigma in sigmas],
            _RADII[:planes],
            gain_p_seen=seen,
        ),
        tests_p=n_p >= LEAST_SYMBOLS,
        gain_p_seen=seen,
        copies=returned,
        returned_share=share,
    )


def _require_tested_dither(dither_p_snu: float, symbols_p: int) -> None:
    if dither_p_snu > 0 and symbols_p < LEAST_SYMBOLS:
        raise ConfigurationError(
            f"leakage: P has a dither of {dither_p_snu:g} SNU and {symbols_p} symbols of P are to "
            f"be tested; test at least {LEAST_SYMBOLS}, or leave the dither out"
        )


def _expected_errors(
    eta: float, excess: float, symbols: int, modulation: float, dimmed: float
) -> list[float]:
    """Standard deviations of gain, which kept light dims, and variance of one quadrature.

    The detector is taken out.
    """
    recorded = eta * excess + 1
    of_gain = math.sqrt(recorded / (symbols * modulation * eta)) if modulation > 0 else 0.0
    return [dimmed * of_gain, math.sqrt(2 / symbols) * recorded / eta]
