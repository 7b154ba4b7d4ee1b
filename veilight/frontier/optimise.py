"""The receiver's setting for a trained network, and the points that no other point beats.

Accuracy depends on F^2 alone, so for one network, receiver kind, encoding and link there is one
number to choose: the gain or the tapped fraction. A weak coupling needs more photons; it tells the
server less of the data, asymptotically next to nothing more of the weights, but more of them where
the certificate comes from finitely many symbols or a whole block is stolen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from protocol.leakage.conventions import Encoding
from veilight.frontier.couplings import couplings_within, fits, receiver_at, settings_of
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of, with_queries
from veilight.frontier.objective import Rule, Weights
from veilight.frontier.search import best_setting, strongest_setting
from veilight.frontier.shapes import LayerShape, shapes_of
from veilight.frontier.spread import Spread, in_order, in_this_process

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

_TRADES, _BESTS = 0.7, 0.2
"""Of the whole work, the parts that the trades and the best settings are, roughly."""


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


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A network with a receiver kind and an encoding.

    Attributes:
        network: its key.
        trade: what is known of it: coupling and figures, from weak to strong.
    """

    network: str
    shapes: tuple[LayerShape, ...]
    signal_to_noise: tuple[float, ...]
    kind: str
    encoding: Encoding
    trade: tuple[tuple[float, Privacy], ...] = ()

    @property
    def place(self) -> tuple[str, str, str]:
        return self.network, self.kind, self.encoding


def frontier(
    networks: "Sequence[TrainedNetwork]",
    kinds: Sequence[str],
    encodings: Sequence[Encoding],
    link: LinkAssumptions,
    objectives: Sequence[Weights],
    *,
    dithers_p_snu: Sequence[float] = (),
    budget_bits_per_weight: float | None = None,
    spread: Spread = in_this_process,
    on_progress: Callable[[float], None] = lambda _fraction: None,
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
        spread: where the settings are worked out.
        on_progress: called with the fraction that is done.

    Returns:
        Points by kind in the order of `kinds`, and by falling accuracy.

    Raises:
        ConfigurationError: an unknown kind, or a value out of range.
        ModelError: a network's description cannot be read.
        OutputError: workers were lost; see `veilight.frontier.spread`.
    """
    candidates = _candidates(networks, kinds, encodings)
    trades = in_order(
        spread, partial(_trade, link), candidates, lambda share: on_progress(_TRADES * share)
    )
    candidates = [replace(one, trade=trade) for one, trade in zip(candidates, trades, strict=True)]
    trained = {network.spec.key: network for network in networks}
    points = [
        (one, FrontierPoint.of(trained[one.network], privacy))
        for one in candidates
        for _, privacy in one.trade
    ]
    alive = {one.place for one, _ in _undominated(points, kinds)}
    hopeful = [one for one in candidates if one.place in alive]
    settings = in_order(
        spread,
        partial(_best, link, tuple(objectives), tuple(dithers_p_snu)),
        hopeful,
        lambda share: on_progress(_TRADES + _BESTS * share),
    )
    points += [
        (one, FrontierPoint.of(trained[one.network], privacy))
        for one, found in zip(hopeful, settings, strict=True)
        for privacy in found
    ]
    kept = [(replace(one, trade=()), point) for one, point in _undominated(points, kinds)]
    if budget_bits_per_weight is None:
        on_progress(1.0)
        return tuple(point for _, point in kept)
    budgeted = in_order(
        spread,
        partial(_with_budget, link, budget_bits_per_weight),
        kept,
        lambda share: on_progress(_TRADES + _BESTS + (1 - _TRADES - _BESTS) * share),
    )
    return tuple(budgeted)


def _candidates(
    networks: "Sequence[TrainedNetwork]", kinds: Sequence[str], encodings: Sequence[Encoding]
) -> list[_Candidate]:
    """Every network with everything that can be chosen for it."""
    return [
        _Candidate(
            network=network.spec.key,
            shapes=shapes,
            signal_to_noise=network.spec.signal_to_noise,
            kind=kind,
            encoding=encoding,
        )
        for network, shapes in [(network, _shapes(network)) for network in networks]
        for kind in kinds
        for encoding in encodings
        if fits(kind, encoding)
    ]


def _undominated(
    points: Sequence[tuple[_Candidate, FrontierPoint]], kinds: Sequence[str]
) -> list[tuple[_Candidate, FrontierPoint]]:
    """By kind in their order: what no other of the kind beats."""
    owners = {id(point): one for one, point in points}
    return [
        (owners[id(point)], point)
        for kind in kinds
        for point in non_dominated([point for one, point in points if one.kind == kind])
    ]


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


def _trade(link: LinkAssumptions, one: _Candidate) -> tuple[tuple[float, Privacy], ...]:
    """A network at settings from weak to strong coupling, as far as they keep to the light."""
    kind, encoding, ratios = one.kind, one.encoding, one.signal_to_noise
    return tuple(
        (coupling, privacy_of(one.shapes, ratios, receiver_at(kind, coupling), encoding, link))
        for coupling in couplings_within(kind, encoding, link, ratios)
    )


def _best(
    link: LinkAssumptions,
    objectives: Sequence[Weights],
    dithers_p_snu: Sequence[float],
    one: _Candidate,
) -> tuple[Privacy, ...]:
    """The best setting by each objective."""
    return tuple(
        best_setting(
            one.shapes,
            one.signal_to_noise,
            one.kind,
            one.encoding,
            link,
            objective,
            dithers_p_snu=dithers_p_snu,
            known=dict(one.trade),
        )
        for objective in objectives
    )


def _shapes(network: "TrainedNetwork") -> tuple[LayerShape, ...]:
    from protocol.models.graph import Graph

    return shapes_of(Graph.from_dict(network.graph))


def _with_budget(
    link: LinkAssumptions,
    budget_bits_per_weight: float | None,
    place: tuple[_Candidate, FrontierPoint],
) -> FrontierPoint:
    """The same with the queries that a budget allows, which only the points that stay need."""
    one, point = place
    privacy = with_queries(
        point.privacy, one.shapes, one.signal_to_noise, link, budget_bits_per_weight
    )
    return replace(point, privacy=privacy)
