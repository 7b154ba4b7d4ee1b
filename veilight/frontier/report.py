"""What a sweep found: the frontiers of its networks, and how near they come to the targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from drivers.errors import ConfigurationError, DataError
from protocol.leakage.conventions import Encoding
from veilight.frontier.figures import LinkAssumptions
from veilight.frontier.networks import FailedNetwork, NetworkSpec, TrainedNetwork
from veilight.frontier.objective import Weights
from veilight.frontier.optimise import FrontierPoint, frontier
from veilight.frontier.spread import Spread, in_this_process
from veilight.frontier.targets import PROJECT_TARGETS, Target, TargetResult, examine

__all__ = [
    "BALANCE",
    "Frontier",
    "FrontierReport",
    "ReportedNetwork",
    "TargetVerdict",
    "balanced_points",
    "build_report",
    "undominated_networks",
]

BALANCE = Weights(stolen_block=1e-2, rule="sum")
"""All adversaries together, where one session in a hundred ends with a stolen block."""

MNIST_SHA256 = "2b41521f2a41ef79580d17ea15eeda6582e7357c40a19ea4db5748efa2ab7064"
"""Content of MNIST as `DataSource.sha256` counts it: the data that the targets are meant for."""

_SHARES = {"asymptotic": 0.1, "certified": 0.75, "targets": 0.15}
"""Of the whole work, roughly, in the order in which it is done."""


@dataclass(frozen=True, kw_only=True)
class ReportedNetwork:
    """A trained network without its graph; see `TrainedNetwork`."""

    key: str
    spec: NetworkSpec
    accuracy: float
    accuracy_error: float
    accuracy_noise_free: float
    test_samples: int
    seconds: float
    model_file: str


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The points that no other beats, receiver by receiver.

    Attributes:
        name: "asymptotic" or "certified".
        link: what is assumed.
        points: by receiver, then by falling accuracy.
    """

    name: str
    link: LinkAssumptions
    points: tuple[FrontierPoint, ...]


@dataclass(frozen=True, kw_only=True)
class TargetVerdict:
    """A target of `veilight.frontier.targets`, and how near the networks come.

    Attributes:
        name: of the target.
        accuracy: at least.
        weight_bits: at most.
        data_homodyne: at most.
        data_any: at most; None for no limit.
        certified_symbols: from which the bits per weight are certified; None: asymptotic.
        met: whether all figures of `point` are within.
        met_by_caps: whether any point is within where the larger of local figure and cap counts.
        reason: which figure binds.
        excess: each figure over its limit, by name.
        point: the one that meets it, else the closest; None without any.
    """

    name: str
    accuracy: float
    weight_bits: float
    data_homodyne: float
    data_any: float | None
    certified_symbols: float | None
    met: bool
    met_by_caps: bool
    reason: str
    excess: Mapping[str, float]
    point: FrontierPoint | None


@dataclass(frozen=True, kw_only=True)
class FrontierReport:
    """All that a sweep found.

    Attributes:
        data: name of the data set, "" for a file or folder that has none.
        data_sha256: of its content.
        budget_bits_per_weight: that the queries are for; None without any.
        networks: all that were trained.
        failed: those whose training came to nothing.
        frontiers: asymptotic, and certified where symbols are tested.
        targets: empty where the data are others than the targets'.
    """

    data: str
    data_sha256: str
    budget_bits_per_weight: float | None
    networks: tuple[ReportedNetwork, ...]
    failed: tuple[FailedNetwork, ...]
    frontiers: tuple[Frontier, ...]
    targets: tuple[TargetVerdict, ...]

    def network(self, key: str) -> ReportedNetwork:
        """The network of a point.

        Raises:
            DataError: there is none of this key.
        """
        for network in self.networks:
            if network.key == key:
                return network
        raise DataError(f"frontier: the report has a point of network {key}, but no such network")


def build_report(
    networks: Sequence[TrainedNetwork],
    failed: Sequence[FailedNetwork],
    *,
    kinds: Sequence[str],
    encodings: Sequence[Encoding],
    link: LinkAssumptions,
    budget_bits_per_weight: float | None = None,
    targets: Sequence[Target] | None = None,
    spread: Spread = in_this_process,
    on_progress: Callable[[float, str], None] = lambda _fraction, _what: None,
) -> FrontierReport:
    """Find the settings of every network for every receiver, and hold them against the targets.

    Args:
        networks: trained on one data set.
        failed: for the record.
        kinds: of receivers.
        encodings: to be tried with each.
        link: what is assumed; with tested symbols there is a certified frontier as well.
        budget_bits_per_weight: of the server's ledger, for the queries that it allows.
        targets: to be checked; None takes the project's own where the data are MNIST.
        spread: where the settings are worked out.
        on_progress: called with the fraction that is done and with what.

    Raises:
        ConfigurationError: no network, or a value out of range.
        ModelError: a network's description cannot be read.
        OutputError: workers were lost; see `veilight.frontier.spread`.
    """
    if not networks:
        raise ConfigurationError(
            "frontier: there is no trained network; let `veilight frontier run` train some"
        )
    spec = networks[0].spec
    if targets is None:
        targets = PROJECT_TARGETS if spec.dataset_sha256 == MNIST_SHA256 else ()
    links = {"asymptotic": replace(link, tested_symbols=None)}
    if link.tested_symbols is not None:
        links["certified"] = link
    useful = undominated_networks(networks)
    parts = [name for name in _SHARES if name in links or (name == "targets" and targets)]
    progress = _Progress(parts, on_progress)
    frontiers = [
        Frontier(
            name=name,
            link=assumed,
            points=frontier(
                useful,
                kinds,
                encodings,
                assumed,
                [BALANCE],
                budget_bits_per_weight=budget_bits_per_weight,
                spread=spread,
                on_progress=progress.of(name),
            ),
        )
        for name, assumed in links.items()
    ]
    results = examine(
        targets,
        useful,
        encodings,
        budget_bits_per_weight=budget_bits_per_weight,
        spread=spread,
        on_progress=progress.of("targets") if targets else lambda _: None,
    )
    return FrontierReport(
        data=spec.dataset or ("mnist" if spec.dataset_sha256 == MNIST_SHA256 else ""),
        data_sha256=spec.dataset_sha256,
        budget_bits_per_weight=budget_bits_per_weight,
        networks=tuple(map(_reported, networks)),
        failed=tuple(failed),
        frontiers=tuple(frontiers),
        targets=tuple(map(_verdict, results)),
    )


class _Progress:
    """One fraction over the parts of a report."""

    def __init__(self, parts: Sequence[str], on_progress: Callable[[float, str], None]) -> None:
        self._parts = parts
        self._whole = sum(_SHARES[name] for name in parts)
        self._on_progress = on_progress

    def of(self, part: str) -> Callable[[float], None]:
        """What a part calls with the fraction of itself that is done."""
        before = sum(_SHARES[name] for name in self._parts[: self._parts.index(part)])

        def advance(share: float) -> None:
            self._on_progress((before + _SHARES[part] * share) / self._whole, part)

        return advance


def undominated_networks(networks: Sequence[TrainedNetwork]) -> tuple[TrainedNetwork, ...]:
    """Networks to which no other of the same graph is as accurate with as little F^2 everywhere.

    Every leakage figure grows with every F^2 at every setting, so the others cannot be on any
    frontier, and need not be worked out. Of equal ones the first stays.
    """

    def beats(one: TrainedNetwork, other: TrainedNetwork) -> bool:
        pairs = zip(one.spec.signal_to_noise, other.spec.signal_to_noise, strict=True)
        return one.accuracy >= other.accuracy and all(a <= b for a, b in pairs)

    def is_beaten(index: int, network: TrainedNetwork) -> bool:
        return any(
            other.graph == network.graph
            and beats(other, network)
            and (number < index or not beats(network, other))
            for number, other in enumerate(networks)
            if number != index
        )

    return tuple(n for index, n in enumerate(networks) if not is_beaten(index, n))


def balanced_points(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """Of each receiver and network the setting at which all adversaries together learn least.

    What another network beats in accuracy and in this is left out.

    Args:
        points: of a frontier.

    Returns:
        By receiver in the order of `points`, then by falling accuracy.
    """
    objective = BALANCE.objective
    best: dict[tuple[str, str], FrontierPoint] = {}
    for point in points:
        at = (point.privacy.receiver, point.network)
        if at not in best or objective(point.privacy) < objective(best[at].privacy):
            best[at] = point
    kept = []
    for kind in dict.fromkeys(point.privacy.receiver for point in points):
        least = float("inf")
        own = sorted(
            (point for (receiver, _), point in best.items() if receiver == kind),
            key=lambda point: (-point.accuracy, objective(point.privacy)),
        )
        for point in own:
            if objective(point.privacy) < least:
                least = objective(point.privacy)
                kept.append(point)
    return tuple(kept)


def _reported(network: TrainedNetwork) -> ReportedNetwork:
    return ReportedNetwork(
        key=network.spec.key,
        spec=network.spec,
        accuracy=network.accuracy,
        accuracy_error=network.accuracy_error,
        accuracy_noise_free=network.accuracy_noise_free,
        test_samples=network.test_samples,
        seconds=network.seconds,
        model_file=network.model_file,
    )


def _verdict(result: TargetResult) -> TargetVerdict:
    target = result.target
    return TargetVerdict(
        name=target.name,
        accuracy=target.accuracy,
        weight_bits=target.weight_bits,
        data_homodyne=target.data_homodyne,
        data_any=target.data_any,
        certified_symbols=target.link.tested_symbols,
        met=result.met,
        met_by_caps=result.met_by_caps,
        reason=result.reason,
        excess=dict(result.excess),
        point=result.point,
    )
