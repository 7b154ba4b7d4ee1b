"""The points that come closest to a target, found without working out every network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.leakage.conventions import Encoding
from veilight.frontier.figures import with_queries
from veilight.frontier.optimise import FrontierPoint, best_setting, fits, strongest_setting
from veilight.frontier.shapes import LayerShape, shapes_of

if TYPE_CHECKING:
    from veilight.frontier.networks import TrainedNetwork
    from veilight.frontier.targets import Target

__all__ = ["closest_points", "excess_of", "with_least_light"]

_FEW = 3
"""Networks that are tried with dithers, which takes a search each."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A network's best point with one receiver and encoding."""

    network: "TrainedNetwork"
    shapes: tuple[LayerShape, ...]
    point: FrontierPoint

    def leaks_no_more_than(
        self, network: "TrainedNetwork", shapes: tuple[LayerShape, ...], kind: str, encoding: str
    ) -> bool:
        """Whether F^2, and with it every figure, is nowhere larger than in `network`."""
        privacy = self.point.privacy
        return (
            (privacy.receiver, privacy.encoding, self.shapes) == (kind, encoding, shapes)
        ) and all(
            own <= other
            for own, other in zip(
                self.network.spec.signal_to_noise, network.spec.signal_to_noise, strict=True
            )
        )


def excess_of(target: "Target", point: FrontierPoint) -> dict[str, float]:
    """Figures over a target's limits, the data's as its link charges them.

    Args:
        target: the target.
        point: worked out on its link.

    Returns:
        By name; "accuracy" is the error rate over the allowed one.
    """
    privacy = point.privacy
    homodyne, everything = privacy.data_bits_homodyne_local, privacy.data_bits_any_local
    if target.link.data_charge == "larger":
        homodyne = max(homodyne, privacy.data_bits_homodyne_cap)
        everything = max(everything, privacy.data_bits_any_cap)
    excess = {
        "accuracy": _error_excess(target, point.accuracy),
        "weight_bits": privacy.charged_weight_bits / target.weight_bits,
        "data_homodyne": homodyne / target.data_homodyne,
    }
    if target.data_any is not None:
        excess["data_any"] = everything / target.data_any
    return excess


def closest_points(
    target: "Target", networks: "Sequence[TrainedNetwork]", encodings: Sequence[Encoding]
) -> list[FrontierPoint]:
    """The best points of every network that can be the closest one, dithers included.

    A network is left out with a receiver and encoding if its error rate alone, or the leakage of a
    network of the same graph with nowhere more F^2, is further off than a point already found.

    Args:
        target: the target.
        networks: trained ones.
        encodings: to be tried.

    Raises:
        ConfigurationError: a value out of range.
        ModelError: a network's description cannot be read.
    """
    found: list[_Found] = []
    best = math.inf
    order = sorted(
        networks,
        key=lambda entry: (entry.accuracy < target.accuracy, sum(entry.spec.signal_to_noise)),
    )
    for network in order:
        shapes = _shapes(network)
        for kind in target.kinds:
            for encoding in encodings:
                if not fits(kind, encoding):
                    continue
                known = [
                    target.weights.objective(entry.point.privacy)
                    for entry in found
                    if entry.leaks_no_more_than(network, shapes, kind, encoding)
                ]
                if max([_error_excess(target, network.accuracy), *known]) >= best:
                    continue
                found.append(_found(target, network, kind, encoding))
                best = min(best, _worst(target, found[-1]))
    found.sort(key=lambda entry: _worst(target, entry))
    near = [entry for entry in found if entry.point.privacy.encoding == "real"][:_FEW]
    if target.dithers_p_snu:
        found += [
            _found(
                target, entry.network, entry.point.privacy.receiver, "real", target.dithers_p_snu
            )
            for entry in near
        ]
    return [entry.point for entry in found]


def with_least_light(
    target: "Target",
    point: FrontierPoint,
    networks: "Sequence[TrainedNetwork]",
    budget_bits_per_weight: float | None,
) -> FrontierPoint:
    """The same design with the least light that keeps the limits, and a budget's queries.

    Args:
        target: the target.
        point: of `closest_points`; stays as it is where it keeps not all limits.
        networks: among which is the point's.
        budget_bits_per_weight: of the server's ledger; None for none.
    """
    network = next(entry for entry in networks if entry.spec.key == point.network)
    shapes, ratios = _shapes(network), network.spec.signal_to_noise
    privacy = point.privacy
    link = replace(target.link, dither_p_snu=privacy.dither_p_snu)
    dim = strongest_setting(
        shapes, ratios, privacy.receiver, privacy.encoding, link, target.weights
    )
    chosen = privacy if dim is None else dim
    chosen = with_queries(chosen, shapes, ratios, link, budget_bits_per_weight)
    return FrontierPoint.of(network, chosen)


def _found(
    target: "Target",
    network: "TrainedNetwork",
    kind: str,
    encoding: Encoding,
    dithers_p_snu: Sequence[float] = (),
) -> _Found:
    shapes = _shapes(network)
    privacy = best_setting(
        shapes,
        network.spec.signal_to_noise,
        kind,
        encoding,
        target.link,
        target.weights,
        dithers_p_snu=dithers_p_snu,
    )
    return _Found(network=network, shapes=shapes, point=FrontierPoint.of(network, privacy))


def _worst(target: "Target", entry: _Found) -> float:
    return max(excess_of(target, entry.point).values())


def _error_excess(target: "Target", accuracy: float) -> float:
    return (1 - accuracy) / (1 - target.accuracy)


def _shapes(network: "TrainedNetwork") -> tuple[LayerShape, ...]:
    from protocol.models.graph import Graph

    return shapes_of(Graph.from_dict(network.graph))
