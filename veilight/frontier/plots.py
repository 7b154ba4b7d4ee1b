"""Accuracy against leakage, receiver by receiver, with the authors' published map beside it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import OutputError
from drivers.files import replace_files
from drivers.receivers import Amplifier
from veilight.frontier.optimise import FrontierPoint
from veilight.frontier.report import (
    Frontier,
    FrontierReport,
    TargetVerdict,
    balanced_points,
)
from veilight.frontier.targets import PUBLISHED_POINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PublishedMapPoint", "draw_frontier", "published_map", "write_frontier_plot"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = {"amplifier": "#0072B2", "feed-forward-tap": "#D55E00", "passive-tap": "#009E73"}
_PAPER = "#444444"
_LEVELS = (0.97, 0.96, 0.95, 0.93, 0.9, 0.8, 0.7, 0.5, 0.0)
_FLOOR = 1e-6
"""Bits per value below which a logarithmic axis shows nothing."""

PUBLISHED_ACCURACIES = ((0.90, 0.99), (0.95, 1.9), (0.96, 2.4), (0.97, 3.9))
"""Accuracy on MNIST at F^2 in both layers, trained without noise: read, smoothed, from the curve in
the scripts that the authors published with arXiv 2408.05629."""

_GAINS = tuple(1 + 0.001 * 1.28**step for step in range(32))


@dataclass(frozen=True, kw_only=True)
class PublishedMapPoint:
    """One point of the authors' map, by their formulas, not this project's.

    Attributes:
        accuracy: on MNIST, in [0, 1].
        gain: of the amplifier.
        weight_bits: per weight.
        data_bits: per data symbol, to a homodyning server.
    """

    accuracy: float
    gain: float
    weight_bits: float
    data_bits: float


def published_map(gains: Sequence[float] = _GAINS) -> tuple[PublishedMapPoint, ...]:
    """The authors' formulas at the F^2 that their networks need, for every accuracy and gain.

    Their mean photon number is per complex symbol, F^2 = mu G (G - 1)/(2 G^2 - 3 G + 2).
    """
    from protocol.leakage.published import (
        published_data_bits_server_homodynes,
        published_weight_bits_client_verified,
    )

    return tuple(
        PublishedMapPoint(
            accuracy=accuracy,
            gain=gain,
            weight_bits=published_weight_bits_client_verified(
                ratio / Amplifier(gain=gain).snr_factor, gain
            ),
            data_bits=published_data_bits_server_homodynes(gain),
        )
        for accuracy, ratio in PUBLISHED_ACCURACIES
        for gain in gains
    )


def draw_frontier(report: FrontierReport) -> "Figure":
    """One line of panels per frontier: accuracy against each leakage, and their trade.

    Args:
        report: of a sweep.
    """
    from matplotlib.figure import Figure

    lines = len(report.frontiers)
    figure = Figure(figsize=(15.5, 0.8 + 5.4 * lines), layout="constrained")
    axes = figure.subplots(lines, 3, squeeze=False)
    paper = published_map()
    for line, part in enumerate(report.frontiers):
        _draw_weights(axes[line][0], part, paper)
        axes[line][1].sharey(axes[line][0])
        _draw_data(axes[line][1], part)
        _draw_trade(axes[line][2], report, part, paper)
    figure.suptitle(_title(report), fontsize="large")
    return figure


def write_frontier_plot(report: FrontierReport, path: Path) -> None:
    """Write the picture as PNG, whole or not at all; an existing file is replaced.

    Raises:
        OutputError: the system refuses the write.
    """
    picture = io.BytesIO()
    draw_frontier(report).savefig(picture, format="png", dpi=110)
    try:
        replace_files([(path, picture.getvalue())])
    except (OSError, ValueError) as error:
        raise OutputError(
            f"plot {path}: cannot be written: {error}; choose a folder that exists, may be written "
            "to and has room"
        ) from error


def _title(report: FrontierReport) -> str:
    specs = [network.spec for network in report.networks]
    hidden = dict.fromkeys("-".join(map(str, spec.hidden)) or "none" for spec in specs)
    data = report.data or f"data {report.data_sha256[:8]}"
    return f"{len(specs)} networks on {data}, hidden layers {', '.join(list(hidden)[:6])}"


def _what(part: Frontier) -> str:
    if part.link.tested_symbols is None:
        return "asymptotic"
    return f"certified from {part.link.tested_symbols:.2g} symbols at 1 - {part.link.failure:.1g}"


def _draw_weights(axes: "Axes", part: Frontier, paper: Sequence[PublishedMapPoint]) -> None:
    """Accuracy against the bits per weight, at the balanced settings."""
    for kind, points in _by_receiver(balanced_points(part.points)).items():
        bits = [point.privacy.charged_weight_bits for point in points]
        _line(axes, kind, bits, points)
    gain = min(paper, key=lambda p: abs(p.data_bits - PUBLISHED_POINT.data_bits)).gain
    own = [point for point in paper if point.gain == gain]
    axes.plot(
        [point.weight_bits for point in own],
        [100 * point.accuracy for point in own],
        color=_PAPER,
        linestyle="--",
        label=f"paper's map, G = {gain:.3g} (MNIST)",
    )
    axes.plot(
        PUBLISHED_POINT.weight_bits,
        100 * PUBLISHED_POINT.accuracy,
        "*",
        color=_PAPER,
        markersize=13,
        label="paper's point: 0.1 and 0.1 bit",
    )
    axes.set(xscale="log", xlabel="bits per weight, at most", ylabel="accuracy [%]")
    _label_decades(axes)
    _finish(axes, f"weights, {_what(part)}")


def _label_decades(axes: "Axes") -> None:
    """1, 2 and 5 of every decade where there are few of them: more would overlap."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_minor_formatter(NullFormatter())
    if high < 100 * low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False))


def _draw_data(axes: "Axes", part: Frontier) -> None:
    """Accuracy against the bits per data value, at the same settings."""
    for kind, points in _by_receiver(balanced_points(part.points)).items():
        if max(point.privacy.data_bits_any for point in points) < _FLOOR:
            axes.plot([], [], color=_COLOURS.get(kind), label=f"{kind}: none in the light")
            continue
        _line(axes, kind, [point.privacy.data_bits_any for point in points], points)
        axes.plot(
            [point.privacy.data_bits_homodyne for point in points],
            [100 * point.accuracy for point in points],
            color=_COLOURS.get(kind),
            linestyle=":",
            marker="x",
        )
    axes.plot(
        PUBLISHED_POINT.data_bits,
        100 * PUBLISHED_POINT.accuracy,
        "*",
        color=_PAPER,
        markersize=13,
        label="paper's point (homodyne)",
    )
    axes.set(xscale="log", xlabel="bits per data value", ylabel="accuracy [%]")
    _label_decades(axes)
    _finish(axes, "data; solid: any measurement, dotted: homodyne")


def _draw_trade(
    axes: "Axes", report: FrontierReport, part: Frontier, paper: Sequence[PublishedMapPoint]
) -> None:
    """Weights against data at one accuracy: what the receiver's setting trades."""
    best = max((point.accuracy for point in part.points), default=0.0)
    level = next(level for level in _LEVELS if level <= best)
    for kind, points in _by_receiver(part.points).items():
        enough = [point.privacy for point in points if point.accuracy >= level]
        if not enough:
            continue
        colour = _COLOURS.get(kind)
        if max(privacy.data_bits_any for privacy in enough) < _FLOOR:
            least = min(privacy.charged_weight_bits for privacy in enough)
            axes.axhline(least, color=colour, label=f"{kind}: none in the light")
            continue
        solid = _envelope([(p.data_bits_any, p.charged_weight_bits) for p in enough])
        dotted = _envelope([(p.data_bits_homodyne, p.charged_weight_bits) for p in enough])
        axes.plot(*zip(*solid, strict=True), color=colour, marker=".", label=kind)
        axes.plot(*zip(*dotted, strict=True), color=colour, marker="x", linestyle=":")
    _draw_paper_trade(axes, level, paper)
    for target in report.targets:
        if (target.certified_symbols is not None) == (part.link.tested_symbols is not None):
            _draw_target(axes, target)
    axes.set(xscale="log", yscale="log", xlabel="bits per data value")
    axes.set_ylabel("bits per weight, at most")
    axes.set_xlim(left=_FLOOR)
    _finish(axes, f"weights against data at {level:.0%} or better; lines as before")


def _draw_paper_trade(axes: "Axes", level: float, paper: Sequence[PublishedMapPoint]) -> None:
    """The authors' map at the accuracy next below, along the amplifier's gain."""
    accuracies = [accuracy for accuracy, _ in PUBLISHED_ACCURACIES]
    nearest = max((a for a in accuracies if a <= level), default=min(accuracies))
    own = [point for point in paper if point.accuracy == nearest]
    axes.plot(
        [point.data_bits for point in own],
        [point.weight_bits for point in own],
        color=_PAPER,
        linestyle="--",
        label=f"paper's map at {nearest:.0%} (MNIST, homodyne)",
    )
    axes.plot(
        PUBLISHED_POINT.data_bits, PUBLISHED_POINT.weight_bits, "*", color=_PAPER, markersize=13
    )


def _draw_target(axes: "Axes", target: TargetVerdict) -> None:
    """The corner below which a target is met: a cross for homodyne, a square for any."""
    colour = "black" if target.met else "red"
    name = target.name[:1]
    for bits, marker in ((target.data_homodyne, "x"), (target.data_any, "s")):
        if bits is not None:
            at = (bits, target.weight_bits)
            axes.plot(*at, marker, markerfacecolor="none", color=colour)
            axes.annotate(f" {name}", at, fontsize="small", color=colour)


def _envelope(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other beats in both numbers, by rising first number."""
    kept: list[tuple[float, float]] = []
    for point in sorted(points):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def _by_receiver(points: Sequence[FrontierPoint]) -> dict[str, list[FrontierPoint]]:
    return {
        kind: [point for point in points if point.privacy.receiver == kind]
        for kind in dict.fromkeys(point.privacy.receiver for point in points)
    }


def _line(axes: "Axes", kind: str, bits: Sequence[float], points: Sequence[FrontierPoint]) -> None:
    axes.errorbar(
        bits,
        [100 * point.accuracy for point in points],
        yerr=[100 * point.accuracy_error for point in points],
        color=_COLOURS.get(kind),
        marker="o",
        markersize=4,
        capsize=2,
        label=kind,
    )


def _finish(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize="medium")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
