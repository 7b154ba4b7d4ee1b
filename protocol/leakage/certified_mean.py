"""The average over several layers, certified as one number.

A certificate per layer pays for the error of each layer in full. The average over all weights is
one linear statistic of all layers' estimates, whose errors are independent: they add up by their
squares, and the failure probability is that of one number. A plane per layer, chosen beforehand,
lies above that layer's bound (`protocol.leakage.certified_plane`), so their weighted sum lies above
the weighted sum of the bounds. Each layer's guard intervals and calibrations have their share of
the one failure probability; the worst channels inside them are a bound, too.

Assumes what `protocol.leakage.certified` assumes, and that layers are tested on different light.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.certified import (
    PLANE_SHARES,
    CertificationDesign,
    PlaneStatistic,
    certification_design,
)
from protocol.leakage.certified_corner import worst_corner_bits
from protocol.leakage.certified_statistics import (
    EstimatedQuadrature,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
)
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general_untested

__all__ = ["ExpectedLayer", "MeanDesign", "TestedLayer", "certified_mean_bits", "mean_design"]


@dataclass(frozen=True, kw_only=True)
class ExpectedLayer:
    """One layer before the light is on.

    Attributes:
        weights: real weights of the layer; the average is over all layers' weights.
        weights_per_symbol: 1 or 2 of them in an optical symbol.
        channel: the honest return, trusted detector taken out.
        modulation_x_snu: mean square of the sent X of one copy, above 0.
        modulation_p_snu: the same for P; 0 for the real encoding.
        copies: K >= 1, transmissions of the same weights in the session.
        symbols_x: that will be tested in X, >= 2.
        symbols_p: that will be tested in P; 0 if P is never tested.
        dither_p_snu: see `protocol.leakage.certified.certification_design`.
    """

    weights: int
    weights_per_symbol: int
    channel: ReturnedChannel
    modulation_x_snu: float
    modulation_p_snu: float
    copies: int
    symbols_x: int
    symbols_p: int
    dither_p_snu: float = 0.0

    def __post_init__(self) -> None:
        _checks.count("weights of a layer", self.weights)
        _checks.count("weights per symbol", self.weights_per_symbol)


@dataclass(frozen=True, kw_only=True)
class TestedLayer:
    """What was counted of one layer.

    Attributes:
        tested_x: sums of all tested X symbols.
        tested_p: likewise of P; None where P is not tested.
        dependence: of the noise of an honest return.
    """

    __test__ = False  # not a test class of pytest's

    tested_x: TestedQuadrature
    tested_p: TestedQuadrature | None = None
    dependence: NoiseDependence | None = None


@dataclass(frozen=True, kw_only=True)
class MeanDesign:
    """What is fixed before the light is on.

    Attributes:
        failure: probability that the certified average is wrong, in (0, 1).
        designs: of the layers, in their order.
        shares: of each layer in the average, per optical symbol: they turn bits per symbol of the
            layer into bits per weight of the network.
        trust: of the server's detector.
    """

    failure: float
    designs: tuple[CertificationDesign, ...]
    shares: tuple[float, ...]
    trust: ServerTrust

    @property
    def untested_bits(self) -> float:
        """Bits per weight, on average, if nothing had been tested."""
        return math.fsum(
            share * weight_bits_general_untested(one.modulation_x_snu, one.modulation_p_snu)
            for share, one in zip(self.shares, self.designs, strict=True)
        )


def mean_design(
    layers: Sequence[ExpectedLayer], failure: float, trust: ServerTrust | None = None
) -> MeanDesign:
    """Choose the planes of all layers for the average over their weights.

    The worst point of the joint region lies along the layers' errors: a layer whose error is a
    small part of the whole is only a little off there, and its plane touches nearer to what is
    expected.

    Args:
        layers: of the network, in order.
        failure: probability that the certified average is wrong, in (0, 1).
        trust: of the server's detector.

    Raises:
        ConfigurationError: there is no layer, or an argument is out of range.
    """
    _checks.open_fraction("failure probability", failure)
    if not layers:
        raise ConfigurationError("leakage: an average needs at least one layer")
    own = trust or ServerTrust()
    total = sum(layer.weights for layer in layers)
    shares = tuple(layer.weights / total / layer.weights_per_symbol for layer in layers)
    errors = [0.0]
    if len(layers) > 1:
        errors = [
            share * _expected_error(layer, _design(layer, failure, own, planes=1), own)
            for share, layer in zip(shares, layers, strict=True)
        ]
    whole = math.hypot(*errors)
    designs = tuple(
        _design(layer, failure, own, reach=error / whole if error > 0 else 1.0)
        for layer, error in zip(layers, errors, strict=True)
    )
    return MeanDesign(failure=failure, designs=designs, shares=shares, trust=own)


def certified_mean_bits(design: MeanDesign, tested: Sequence[TestedLayer]) -> float:
    """What can have leaked per weight, on average over all layers, given what was counted.

    Args:
        design: fixed beforehand.
        tested: what was counted, by layer.

    Returns:
        Bits per weight, at most, with the failure probability of the design.

    Raises:
        ConfigurationError: layers are missing, or the sums contradict each other.
    """
    if len(tested) != len(design.designs):
        raise ConfigurationError(
            f"leakage: {len(tested)} layers were tested, the design is for {len(design.designs)}"
        )
    parts = [
        _estimates(one, layer, design) for one, layer in zip(tested, design.designs, strict=True)
    ]
    bounds = [design.untested_bits]
    for index, share in enumerate(PLANE_SHARES):
        statistics = [
            PlaneStatistic.of(layer.planes[index], estimates)
            for layer, estimates in zip(design.designs, parts, strict=True)
        ]
        bounds.append(_sum(design.shares, statistics, share * design.failure))
    bounds.append(_worst_corners(design, parts, min(bounds)))
    return max(0.0, min(bounds))


def _design(
    layer: ExpectedLayer,
    failure: float,
    trust: ServerTrust,
    *,
    reach: float = 1.0,
    planes: int = len(PLANE_SHARES),
) -> CertificationDesign:
    return certification_design(
        layer.channel,
        modulation_x_snu=layer.modulation_x_snu,
        modulation_p_snu=layer.modulation_p_snu,
        copies=layer.copies,
        symbols_x=layer.symbols_x,
        symbols_p=layer.symbols_p,
        failure=failure,
        trust=trust,
        dither_p_snu=layer.dither_p_snu,
        reach=reach,
        planes=planes,
    )


def _expected_error(layer: ExpectedLayer, design: CertificationDesign, trust: ServerTrust) -> float:
    """Standard deviation of the layer's first plane if all is as expected."""
    sent = (
        (layer.symbols_x, layer.modulation_x_snu, layer.channel.excess_noise_x_snu),
        (
            layer.symbols_p,
            layer.modulation_p_snu + layer.dither_p_snu,
            layer.channel.excess_noise_p_snu or 0.0,
        ),
    )
    eta, error = trust.efficiency, 0.0
    tangents = design.planes[0].tangents
    for tangent, (symbols, energy, excess) in zip(tangents, sent[: len(tangents)], strict=True):
        recorded = eta * excess + 1
        error += 2 / symbols * (tangent.per_variance * recorded / eta) ** 2
        if energy > 0:
            error += tangent.slope**2 * recorded / (symbols * energy * eta)
    return math.sqrt(error)


def _estimates(
    tested: TestedLayer, layer: CertificationDesign, design: MeanDesign
) -> list[EstimatedQuadrature]:
    law = tested.dependence or NoiseDependence()
    # The guards of all layers together have what guards of one certificate would have.
    failure = design.failure / len(design.designs)
    if layer.tests_p and tested.tested_p is None:
        raise ConfigurationError("leakage: the design tests P, but no symbols of P were counted")
    parts = [EstimatedQuadrature.of(tested.tested_x, design.trust, law, failure)]
    if layer.tests_p and tested.tested_p is not None:
        parts.append(EstimatedQuadrature.of(tested.tested_p, design.trust, law, failure))
    return parts


def _worst_corners(
    design: MeanDesign, parts: Sequence[Sequence[EstimatedQuadrature]], enough: float
) -> float:
    """Every layer at the worst channel of its guard intervals: better where copies are many.

    Once the sum is above `enough` it says no more than that it is no better.
    """
    whole = 0.0
    for share, layer, estimates in zip(design.shares, design.designs, parts, strict=True):
        whole += share * worst_corner_bits(
            layer.modulation_x_snu,
            layer.modulation_p_snu,
            estimates[0],
            estimates[1] if len(estimates) > 1 else None,
            gain_p_seen=layer.gain_p_seen,
            enough=(enough - whole) / share,
        )
        if whole > enough:
            break
    return whole


def _sum(shares: Sequence[float], statistics: Sequence[PlaneStatistic], failure: float) -> float:
    """One plane of each layer, weighted, with one error: orders in distribution survive sums."""
    joint = PlaneStatistic(
        value=math.fsum(share * one.value for share, one in zip(shares, statistics, strict=True)),
        error=math.hypot(*(s * one.error for s, one in zip(shares, statistics, strict=True))),
        lag=sum(share * one.lag for share, one in zip(shares, statistics, strict=True)),
        lag_deviations=tuple(lag for one in statistics for lag in one.lag_deviations),
    )
    return joint.bits(failure)
