"""The receiver's setting for a trained network, and the points that no other point beats.

Accuracy depends on F^2 alone, so for one network, receiver kind, encoding and link there is one
number to choose: the gain or the tapped fraction. A weak coupling needs more photons; it tells the
server less of the data, asymptotically next to nothing more of the weights, but more of them where
the certificate comes from finitely many symbols or a whole block is stolen.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from drivers.receivers import receiver
from protocol.leakage.conventions import Encoding
from veilight.frontier.couplings import couplings_within, fits, receiver_at, settings_of
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of
from veilight.frontier.objective import Rule, Weights
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
]

_ROUNDS = 3
_BETWEEN = 400
_NEIGHBOURS = 4
_CLOSE = 1e-4


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


def best_setting(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    kind: str,
    encoding: Encoding,
    link: LinkAssumptions,
    objective: Weights,
    *,
    budget_bits_per_weight: float | None = None,
) -> Privacy:
    """The setting of a receiver kind that makes the objective smallest, with all its figures.

    A grid over three decades of the coupling first, so that the search is global; then the figures
    are interpolated, as powers of the coupling, between the neighbours of the best point, and
    worked out where the interpolation is smallest. A certificate takes a tenth of a second or more,
    so few are asked for. Never worse than the grid.

    Args:
        shapes: the optical layers.
        signal_to_noise: F^2 of each.
        kind: of the receiver.
        encoding: "real" or "complex".
        link: what is assumed.
        objective: how the adversaries are weighed.
        budget_bits_per_weight: see `privacy_of`.

    Raises:
        ConfigurationError: a value is out of range, or no setting keeps the limit of photons.
    """

    def at(coupling: float) -> Privacy:
        return privacy_of(shapes, signal_to_noise, receiver_at(kind, coupling), encoding, link)

    table = {
        coupling: at(coupling)
        for coupling in couplings_within(kind, encoding, link, signal_to_noise)
    }
    if not table:
        raise ConfigurationError(
            f"frontier: no setting of receiver {kind} keeps F^2 = {tuple(signal_to_noise)} within "
            f"{link.most_photons_per_symbol} photons per symbol; allow more or train for less F^2"
        )
    for _ in range(_ROUNDS):
        candidate = _promising(table, objective)
        if min(abs(math.log(candidate / known)) for known in table) < _CLOSE:
            break
        table[candidate] = at(candidate)
    best = min(table, key=lambda coupling: objective.objective(table[coupling]))
    return _with_budget(
        table[best],
        budget_bits_per_weight,
        shapes,
        signal_to_noise,
        link,
    )


def frontier(
    networks: "Sequence[TrainedNetwork]",
    kinds: Sequence[str],
    encodings: Sequence[Encoding],
    link: LinkAssumptions,
    objectives: Sequence[Weights],
    *,
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
            layers, ratios = shapes[network.spec.key], network.spec.signal_to_noise
            points += [
                _point(network, best_setting(layers, ratios, kind, encoding, link, objective))
                for encoding in usable
                if (network.spec.key, encoding) in alive
                for objective in objectives
            ]
        found += non_dominated(points)
    ratios_of = {network.spec.key: network.spec.signal_to_noise for network in networks}
    return tuple(
        replace(
            point,
            privacy=_with_budget(
                point.privacy,
                budget_bits_per_weight,
                shapes[point.network],
                ratios_of[point.network],
                link,
            ),
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
        _point(network, privacy_of(shapes, ratios, receiver_at(kind, coupling), encoding, link))
        for coupling in couplings_within(kind, encoding, link, ratios)
    ]


def _point(network: "TrainedNetwork", privacy: Privacy) -> FrontierPoint:
    return FrontierPoint(
        accuracy=network.accuracy,
        accuracy_error=network.accuracy_error,
        privacy=privacy,
        network=network.spec.key,
    )


def _shapes(network: "TrainedNetwork") -> tuple[LayerShape, ...]:
    from protocol.models.graph import Graph

    return shapes_of(Graph.from_dict(network.graph))


def _with_budget(
    privacy: Privacy,
    budget: float | None,
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    link: LinkAssumptions,
) -> Privacy:
    """The same with the queries that a budget allows, which only the points that stay need."""
    if budget is None:
        return privacy
    return privacy_of(
        shapes,
        signal_to_noise,
        receiver(privacy.receiver, privacy.setting),
        privacy.encoding,
        link,
        budget_bits_per_weight=budget,
    )


def _promising(table: Mapping[float, Privacy], objective: Weights) -> float:
    """Where the interpolated objective is smallest between the neighbours of the best point."""
    couplings = sorted(table)
    weighed = {coupling: objective.weighed(table[coupling]) for coupling in couplings}
    best = min(couplings, key=lambda coupling: objective.together(weighed[coupling].values()))
    place = couplings.index(best)
    low = math.log(couplings[max(0, place - 1)])
    high = math.log(couplings[min(len(couplings) - 1, place + 1)])

    def interpolated(coupling: float) -> float:
        return objective.together(_figures_at(coupling, couplings, weighed))

    steps = (math.exp(low + (high - low) * i / _BETWEEN) for i in range(1, _BETWEEN))
    return min(steps, key=interpolated, default=best)


def _figures_at(
    coupling: float, couplings: Sequence[float], weighed: Mapping[float, Mapping[str, float]]
) -> list[float]:
    """Each figure by Lagrange's polynomial through the logarithms at the nearest couplings."""
    count = min(_NEIGHBOURS, len(couplings))
    first = min(max(0, bisect_left(couplings, coupling) - count // 2), len(couplings) - count)
    nodes = couplings[first : first + count]
    values = []
    for name in weighed[nodes[0]]:
        known = [weighed[node][name] for node in nodes]
        if min(known) <= 0:  # no logarithm: a receiver that leaks nothing
            values.append(max(known))
            continue
        shares = [
            math.prod(
                math.log(coupling / other) / math.log(node / other)
                for other in nodes
                if other != node
            )
            for node in nodes
        ]
        values.append(
            math.exp(
                math.fsum(
                    share * math.log(value) for share, value in zip(shares, known, strict=True)
                )
            )
        )
    return values
