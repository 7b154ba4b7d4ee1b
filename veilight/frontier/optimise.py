"""The receiver's setting for a trained network, and the points that no other point beats.

Accuracy depends on F^2 alone, so for one network, receiver kind, encoding and link there is one
number to choose: the gain or the tapped fraction. A weak coupling needs more photons; it tells the
server less of the data, asymptotically next to nothing more of the weights, but more of them where
the certificate comes from finitely many symbols or a whole block is stolen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.receivers import receiver
from protocol.leakage.conventions import Encoding
from veilight.frontier.couplings import couplings_within, fits, receiver_at, settings_of
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of
from veilight.frontier.objective import Rule, Weights
from veilight.frontier.search import best_setting, strongest_setting
from veilight.frontier.shapes import LayerShape, shapes_of

if TYPE_CHECKING:
    from veilight.frontier.networks import TrainedNetwork

__all__ = [
    "FrontierPoint",
    "Rule",
    "Weights",
    "best_setting",
    "fits",
    "frontier",
    "non_dominated",
    "settings_of",
    "strongest_setting",
]


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """One design: a trained network and a receiver's setting.

    Attributes:
        accuracy: of the network with the light's noise, in [0, 1].
        accuracy_error: its standard error.
        privacy: every figure.
        network: key of the network's specification.
    """

    accuracy: float
    accuracy_error: float
    privacy: Privacy
    network: str

    @classmethod
    def of(cls, network: "TrainedNetwork", privacy: Privacy) -> "FrontierPoint":
        """The point of a trained network with these figures."""
        return cls(
            accuracy=network.accuracy,
            accuracy_error=network.accuracy_error,
            privacy=privacy,
            network=network.spec.key,
        )


def frontier(
    networks: "Sequence[TrainedNetwork]",
    kinds: Sequence[str],
    encodings: Sequence[Encoding],
    link: LinkAssumptions,
    objectives: Sequence[Weights],
    *,
    dithers_p_snu: Sequence[float] = (),
    budget_bits_per_weight: float | None = None,
    on_network: Callable[[], None] | None = None,
) -> tuple[FrontierPoint, ...]:
    """The points of each receiver kind that no other point of that kind beats in everything.

    Accuracy up, `charged_weight_bits`, `data_bits_homodyne` and `data_bits_any` down. Each network
    enters with settings along the whole trade between weights and data; those that are still there
    then also with the best setting by each objective. Encodings that a kind cannot take are left
    out.

    Args:
        networks: trained ones.
        kinds: of receivers.
        encodings: to be tried with each.
        link: what is assumed.
        objectives: how the adversaries are weighed; none is allowed.
        dithers_p_snu: further dithers of P that the best settings may take; see `best_setting`.
        budget_bits_per_weight: see `privacy_of`.
        on_network: called after each network and kind, `len(networks) * len(kinds)` times.

    Returns:
        Points by kind in the order of `kinds`, and by falling accuracy.

    Raises:
        ConfigurationError: an unknown kind, or a value out of range.
        ModelError: a network's description cannot be read.
    """
    shapes = {network.spec.key: _shapes(network) for network in networks}
    found: list[FrontierPoint] = []
    for kind in kinds:
        usable = [encoding for encoding in encodings if fits(kind, encoding)]
        points: list[FrontierPoint] = []
        for network in networks:
            for encoding in usable:
                points += _trade(network, shapes[network.spec.key], kind, encoding, link)
            if on_network is not None:
                on_network()
        alive = {(point.network, point.privacy.encoding) for point in non_dominated(points)}
        for network in networks:
            for encoding in usable:
                if (network.spec.key, encoding) in alive:
                    points += [
                        FrontierPoint.of(
                            network,
                            best_setting(
                                shapes[network.spec.key],
                                network.spec.signal_to_noise,
                                kind,
                                encoding,
                                link,
                                objective,
                                dithers_p_snu=dithers_p_snu,
                            ),
                        )
                        for objective in objectives
                    ]
        found += non_dominated(points)
    if budget_bits_per_weight is None:
        return tuple(found)
    trained = {network.spec.key: network for network in networks}
    return tuple(
        _with_budget(
            point, trained[point.network], shapes[point.network], link, budget_bits_per_weight
        )
        for point in found
    )


def non_dominated(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """Points to which no other is at least as good in everything; of equal ones the first.

    By falling accuracy. See `frontier` for what counts.
    """
    kept: list[tuple[tuple[float, ...], FrontierPoint]] = []
    # What is at least as good in everything comes earlier in this order, and whatever a dropped
    # point would beat is beaten by what beat it: only the kept ones have to be looked at.
    for costs, index in sorted((_costs(point), index) for index, point in enumerate(points)):
        if not any(all(a <= b for a, b in zip(other, costs, strict=True)) for other, _ in kept):
            kept.append((costs, points[index]))
    return tuple(point for _, point in kept)


def _costs(point: FrontierPoint) -> tuple[float, ...]:
    privacy = point.privacy
    return (
        -point.accuracy,
        privacy.charged_weight_bits,
        privacy.data_bits_homodyne,
        privacy.data_bits_any,
    )


def _trade(
    network: "TrainedNetwork",
    shapes: tuple[LayerShape, ...],
    kind: str,
    encoding: Encoding,
    link: LinkAssumptions,
) -> list[FrontierPoint]:
    """One network at settings from weak to strong coupling, as far as they keep to the light."""
    ratios = network.spec.signal_to_noise
    return [
        FrontierPoint.of(
            network, privacy_of(shapes, ratios, receiver_at(kind, coupling), encoding, link)
        )
        for coupling in couplings_within(kind, encoding, link, ratios)
    ]


def _shapes(network: "TrainedNetwork") -> tuple[LayerShape, ...]:
    from protocol.models.graph import Graph

    return shapes_of(Graph.from_dict(network.graph))


def _with_budget(
    point: FrontierPoint,
    network: "TrainedNetwork",
    shapes: tuple[LayerShape, ...],
    link: LinkAssumptions,
    budget_bits_per_weight: float,
) -> FrontierPoint:
    """The same with the queries that a budget allows, which only the points that stay need."""
    privacy = point.privacy
    return replace(
        point,
        privacy=privacy_of(
            shapes,
            network.spec.signal_to_noise,
            receiver(privacy.receiver, privacy.setting),
            privacy.encoding,
            replace(link, dither_p_snu=privacy.dither_p_snu),
            budget_bits_per_weight=budget_bits_per_weight,
        ),
    )
