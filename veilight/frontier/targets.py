"""The published point and the project's own targets on MNIST, and whether a sweep meets them.

Published: Sulimany et al., Phys. Rev. X 15, 041056 (2025), arXiv 2408.05629: 96 % on MNIST with a
784-784-10 network at 0.1 bit per weight and 0.1 bit per data symbol, by its own formulas.

The targets' limits on the data are meant by the local figures (Fisher and quantum Fisher
information), the weights' limits by the mean over all weights. A verdict by the rigorous caps
stands beside the one by the local figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from protocol.leakage.conventions import Encoding
from veilight.frontier.figures import LinkAssumptions, Privacy
from veilight.frontier.optimise import FrontierPoint, Weights
from veilight.frontier.spread import Spread, in_order, in_this_process
from veilight.frontier.target_points import closest_points, excess_of, with_least_light

if TYPE_CHECKING:
    from veilight.frontier.networks import TrainedNetwork

__all__ = [
    "PROJECT_TARGETS",
    "PUBLISHED_POINT",
    "PublishedPoint",
    "Target",
    "TargetResult",
    "check",
    "examine",
]

_NAMES = {
    "accuracy": "error rate",
    "weight_bits": "bits per weight",
    "data_homodyne": "bits per data value to a homodyning server",
    "data_any": "bits per data value to a server with any measurement",
}
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PublishedPoint:
    """What the protocol's authors state.

    Attributes:
        accuracy: on MNIST, in [0, 1].
        weight_bits: per weight.
        data_bits: per data symbol, to a homodyning server.
    """

    accuracy: float
    weight_bits: float
    data_bits: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """A point to be reached.

    Attributes:
        name: short.
        accuracy: at least, in [0, 1].
        weight_bits: at most, mean over the weights; certified where the link has tested symbols.
        data_homodyne: at most, worst layer.
        data_any: at most, worst layer; None for no limit.
        link: what is assumed.
        kinds: receivers that count.
        dithers_p_snu: dithers of P that the server may choose, besides none.
    """

    name: str
    accuracy: float
    weight_bits: float
    data_homodyne: float
    data_any: float | None
    link: LinkAssumptions
    kinds: tuple[str, ...]
    dithers_p_snu: tuple[float, ...] = ()

    @property
    def weights(self) -> Weights:
        """The objective that is at most 1 where the leakage meets the target."""
        return Weights.of_limits(
            weight_bits=self.weight_bits, data_homodyne=self.data_homodyne, data_any=self.data_any
        )


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """A target held against what there is.

    Attributes:
        target: the target.
        met: by `point`, under the target's own assumptions.
        point: one that meets it, else the closest: the one whose worst excess is smallest. None if
            there is no point of the target's receivers.
        excess: each figure of `point` over its limit, by name ("accuracy" is the error rate over
            the allowed one); the target is met where all are at most 1.
        met_by_caps: whether any point meets it if the larger of local figure and cap counts.
        reason: which formula binds, in words.
    """

    target: Target
    met: bool
    point: FrontierPoint | None
    excess: dict[str, float]
    met_by_caps: bool
    reason: str


PUBLISHED_POINT = PublishedPoint(accuracy=0.96, weight_bits=0.1, data_bits=0.1)

_PROBE = 0.01
"""Photons per mode in P that a client's monitor of the light is taken to notice."""

_ASYMPTOTIC = LinkAssumptions(data_charge="local", probe_photons_per_mode=_PROBE)

PROJECT_TARGETS = (
    Target(
        name="A: asymptotic, the paper's receiver",
        accuracy=0.97,
        weight_bits=0.01,
        data_homodyne=0.002,
        data_any=None,
        link=_ASYMPTOTIC,
        kinds=(Amplifier.kind,),
    ),
    Target(
        name="B: asymptotic, feed-forward tap",
        accuracy=0.97,
        weight_bits=0.003,
        data_homodyne=0.0001,
        data_any=0.005,
        link=_ASYMPTOTIC,
        kinds=(FeedForwardTap.kind,),
    ),
    Target(
        name="C: certified from 1e8 symbols at 1 - 1e-6",
        accuracy=0.97,
        weight_bits=0.02,
        data_homodyne=0.001,
        data_any=0.02,
        link=replace(_ASYMPTOTIC, tested_symbols=1e8, failure=1e-6),
        kinds=(Amplifier.kind, FeedForwardTap.kind, PassiveTap.kind),
        dithers_p_snu=(0.1, 0.2, 0.25, 0.3, 0.5),
    ),
)


def check(target: Target, points: Sequence[FrontierPoint]) -> TargetResult:
    """Hold a target against points that were worked out under its assumptions.

    Args:
        target: the target.
        points: of any receivers; those of the target's count. Their leakage must have been worked
            out for `target.link`, but for `data_charge`, which is the target's here.
    """
    usable = [point for point in points if point.privacy.receiver in target.kinds]
    if not usable:
        return TargetResult(
            target=target,
            met=False,
            point=None,
            excess={},
            met_by_caps=False,
            reason=f"there is no point with receiver {' or '.join(target.kinds)}",
        )
    rigorous = _rigorous(target)
    excess = {index: excess_of(target, point) for index, point in enumerate(usable)}
    best = min(excess, key=lambda index: max(excess[index].values()))
    met = max(excess[best].values()) <= 1 + _ROUNDING
    return TargetResult(
        target=target,
        met=met,
        point=usable[best],
        excess=excess[best],
        met_by_caps=any(
            max(excess_of(rigorous, point).values()) <= 1 + _ROUNDING for point in usable
        ),
        reason=_reason(usable[best].privacy, excess[best], met),
    )


def examine(
    targets: Sequence[Target],
    networks: "Sequence[TrainedNetwork]",
    encodings: Sequence[Encoding],
    *,
    budget_bits_per_weight: float | None = None,
    spread: Spread = in_this_process,
    on_progress: Callable[[float], None] = lambda _fraction: None,
) -> tuple[TargetResult, ...]:
    """Choose settings for each target by local figures and by caps, and check.

    Every network with every receiver first; only if none of them meets a target, the few that
    come closest with the dithers, too. A network that meets the target is shown at its strongest
    coupling that does, which takes the least light.

    Args:
        targets: the targets.
        networks: trained on the targets' data.
        encodings: to be tried.
        budget_bits_per_weight: of the server's ledger, for the queries that it allows.
        spread: where the settings are worked out.
        on_progress: called with the fraction that is done.

    Raises:
        ConfigurationError: no networks, or a value out of range.
        ModelError: a network's description cannot be read.
        OutputError: workers were lost; see `veilight.frontier.spread`.
    """
    if not networks:
        raise ConfigurationError(
            "frontier: no network to hold against the targets; train some first"
        )
    closest = partial(_closest, tuple(networks), tuple(encodings))
    plain = [replace(target, dithers_p_snu=()) for target in targets]
    found = in_order(
        spread, closest, [*map(_rigorous, targets), *plain], lambda share: on_progress(0.8 * share)
    )
    by_caps = [
        check(_rigorous(target), points).met
        for target, points in zip(targets, found[: len(targets)], strict=True)
    ]
    results = [check(t, points) for t, points in zip(plain, found[len(targets) :], strict=True)]
    missed = [
        place
        for place, target in enumerate(targets)
        if target.dithers_p_snu and not results[place].met
    ]
    dithered = in_order(
        spread,
        closest,
        [targets[place] for place in missed],
        lambda share: on_progress(0.8 + 0.2 * share),
    )
    for place, points in zip(missed, dithered, strict=True):
        results[place] = check(targets[place], points)
    on_progress(1.0)
    return tuple(
        _shown(target, result, caps, networks, budget_bits_per_weight)
        for target, result, caps in zip(targets, results, by_caps, strict=True)
    )


def _rigorous(target: Target) -> Target:
    """The same with the larger of local figure and cap charged."""
    return replace(target, link=replace(target.link, data_charge="larger"))


def _closest(
    networks: "Sequence[TrainedNetwork]", encodings: Sequence[Encoding], target: Target
) -> list[FrontierPoint]:
    return closest_points(target, networks, encodings)


def _shown(
    target: Target,
    result: TargetResult,
    met_by_caps: bool,
    networks: "Sequence[TrainedNetwork]",
    budget_bits_per_weight: float | None,
) -> TargetResult:
    """A result with its point at the least light, and both verdicts."""
    if result.point is None:
        return replace(result, target=target, met_by_caps=met_by_caps)
    shown = with_least_light(target, result.point, networks, budget_bits_per_weight)
    return replace(check(target, [shown]), met_by_caps=met_by_caps)


def _reason(privacy: Privacy, excess: dict[str, float], met: bool) -> str:
    if met:
        return "met by every figure: " + _listed(excess)
    binding = [name for name, value in excess.items() if value > 1 + _ROUNDING]
    words = "above its limit: " + _listed({name: excess[name] for name in binding})
    if "weight_bits" in binding and privacy.weight_bits_certified is not None:
        share = privacy.weight_bits / privacy.weight_bits_certified
        words += (
            f"; of the certified bits per weight only {share:.1%} are the asymptotic ones, the "
            f"rest is the error of gain and variances from {sum(privacy.tested_symbols):.3g} "
            "symbols, which counts the more the more photons a weaker coupling needs"
        )
    if "data_any" in binding:
        words += (
            "; the quantum Fisher information of the receiver's noise falls only as the coupling "
            "does, and the photons grow as it falls"
        )
    if "accuracy" in binding:
        words += "; no network with less noise leaks little enough"
    return words


def _listed(excess: dict[str, float]) -> str:
    return ", ".join(
        f"{_NAMES[name]} at {value:.3g} of the limit" for name, value in excess.items()
    )
