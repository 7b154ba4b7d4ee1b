"""A frontier's report for people: tables of points, their cost, and the targets."""

from typing import TYPE_CHECKING

from veilight.cli._screen import Screen
from veilight.cli._tables import bits, counted, seconds

if TYPE_CHECKING:
    from veilight.frontier.optimise import FrontierPoint
    from veilight.frontier.report import Frontier, FrontierReport, TargetVerdict

__all__ = ["duration", "show_report"]

_SHORT = {
    "amplifier": "amplifier",
    "feed-forward-tap": "feed-forward",
    "passive-tap": "passive",
}


def duration(value: float) -> str:
    """A time to wait, in words."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def show_report(screen: Screen, report: "FrontierReport") -> None:
    """The tables of a report: frontiers, targets, and what is assumed.

    Args:
        screen: where to write.
        report: as read or built.
    """
    data = report.data or "the data"
    screen.tell(
        f"{counted(len(report.networks), 'network')} trained on {data} "
        f"(SHA-256 {report.data_sha256[:16]}...)"
        + (f", {len(report.failed)} failed" if report.failed else "")
    )
    for part in report.frontiers:
        _show_frontier(screen, report, part)
    if report.targets:
        _show_targets(screen, report)
    else:
        screen.say("The project's targets are for MNIST; these are other data.")


def _show_frontier(screen: Screen, report: "FrontierReport", part: "Frontier") -> None:
    from veilight.frontier.report import balanced_points

    points = balanced_points(part.points)
    certified = part.link.tested_symbols is not None
    title = "asymptotic, from infinitely many tested symbols"
    if part.link.tested_symbols is not None:
        title = (
            f"certified from {part.link.tested_symbols:.3g} tested symbols at 1 - "
            f"{part.link.failure:.2g}"
        )
    if not points:
        best = max((network.accuracy for network in report.networks), default=0.0)
        screen.tell(
            f"Bits per value at most, {title}: no point is left. The best network has an accuracy "
            f"of {best:.2%}; ask for less with --accuracy, or for other --receivers"
        )
        return
    columns = ["", "accuracy", "receiver", "setting", "F^2", "weights"]
    columns += ["certified"] if certified else []
    columns += ["data, homodyne", "any", "probing"]
    screen.table(
        f"Bits per value at most, {title}",
        columns,
        [_leakage_row(number, point, report, certified) for number, point in enumerate(points, 1)],
        numbers=(0, 1, *range(5, len(columns))),
    )
    screen.table(
        "What they cost",
        (
            "",
            "photons",
            "stolen block [bit]",
            "per weight",
            "queries",
            "with memory",
            "symbols",
            "light time",
        ),
        [_cost_row(number, point) for number, point in enumerate(points, 1)],
        numbers=(0, 2, 3, 4, 5, 6, 7),
    )
    screen.say(
        f"{_of_budget(report)}Of {len(part.points)} points those at which all adversaries "
        "together learn least, one stolen block in a hundred sessions counted. Weights: mean over "
        "all; data: worst layer, the larger of local figure and cap."
    )
    said = dict.fromkeys(line for point in points for line in point.privacy.assumptions)
    screen.say("\n".join(f"  - {line}" for line in said) + "\n")


def _leakage_row(
    number: int, point: "FrontierPoint", report: "FrontierReport", certified: bool
) -> tuple[str, ...]:
    privacy = point.privacy
    name = _SHORT.get(privacy.receiver, privacy.receiver)
    ratios = report.network(point.network).spec.signal_to_noise
    return (
        str(number),
        f"{point.accuracy:.2%} ± {100 * point.accuracy_error:.2f}",
        f"{name}, {privacy.encoding}",
        f"{privacy.setting:.4g}",
        ", ".join(f"{value:g}" for value in ratios),
        bits(privacy.weight_bits),
        *([_optional(privacy.weight_bits_certified)] if certified else []),
        bits(privacy.data_bits_homodyne),
        bits(privacy.data_bits_any),
        _optional(privacy.data_bits_probing),
    )


def _cost_row(number: int, point: "FrontierPoint") -> tuple[str, ...]:
    privacy = point.privacy
    return (
        str(number),
        ", ".join(f"{value:.3g}" for value in privacy.photons_per_symbol),
        f"{privacy.stolen_block_bits:.3g}",
        bits(privacy.stolen_block_bits_per_weight),
        _counted(privacy.queries_allowed),
        _counted(privacy.queries_allowed_with_memory),
        f"{privacy.symbols_per_query:,}",
        seconds(privacy.seconds_per_query),
    )


def _of_budget(report: "FrontierReport") -> str:
    """What the columns of queries count."""
    budget = report.budget_bits_per_weight
    if budget is None:
        return ""
    return (
        f"Queries: within {budget:g} bit per weight, for clients without, and with, a memory that "
        "meets all copies of a weight. "
    )


def _counted(queries: int | None) -> str:
    return "-" if queries is None else f"{queries:,}"


def _optional(value: float | None) -> str:
    return "-" if value is None else bits(value)


def _show_targets(screen: Screen, report: "FrontierReport") -> None:
    screen.table(
        "Targets: at most so many bits per value, by local figures of the data",
        ("target", "accuracy", "weights", "data, homodyne", "any", "verdict", "by caps"),
        [row for target in report.targets for row in _target_rows(target)],
        numbers=(1, 2, 3, 4),
    )
    for target in report.targets:
        screen.tell(f"{target.name}: {target.reason}")
        if target.point is not None:
            privacy = target.point.privacy
            ratios = report.network(target.point.network).spec.signal_to_noise
            probing = privacy.data_bits_probing
            screen.tell(
                f"  {privacy.receiver} at {privacy.setting:.4g}, {privacy.encoding} encoding, "
                f"F^2 = {', '.join(f'{value:g}' for value in ratios)}, "
                f"{', '.join(f'{value:.3g}' for value in privacy.photons_per_symbol)} photons; "
                f"probing server {_optional(probing)} bit; stolen block "
                f"{bits(privacy.stolen_block_bits_per_weight)} bit per weight"
            )


def _target_rows(target: "TargetVerdict") -> list[tuple[str, ...]]:
    """The limits, and below them the point."""
    rows: list[tuple[str, ...]] = [
        (
            target.name,
            f"{target.accuracy:.0%}",
            bits(target.weight_bits),
            bits(target.data_homodyne),
            _optional(target.data_any),
            "met" if target.met else "NOT met",
            "met" if target.met_by_caps else "not met",
        )
    ]
    if target.point is not None:
        privacy = target.point.privacy
        rows.append(
            (
                "  the point that meets it" if target.met else "  the closest point",
                f"{target.point.accuracy:.2%}",
                bits(privacy.charged_weight_bits),
                bits(privacy.data_bits_homodyne_local),
                bits(privacy.data_bits_any_local),
                "",
                "",
            )
        )
    return rows
