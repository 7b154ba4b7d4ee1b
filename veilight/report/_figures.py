"""The page's drawings, as inline SVG without script or fixed colour: the style sheet paints them.

Every panel is 360 units wide, so that its text stays readable on a telephone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from markupsafe import Markup, escape

from protocol.server import BlockRecord
from protocol.verification import TestScore
from veilight.report._numbers import human, signed
from veilight.run_values import OutcomeHistogram

__all__ = [
    "COLOURS",
    "MOST_SINGLE_BLOCKS",
    "BlockScore",
    "histogram_figure",
    "scores_figure",
    "scores_of",
]

Attributes: TypeAlias = Mapping[str, str | float]

WIDTH, HEIGHT = 360, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 14, 34
MOST_SINGLE_BLOCKS = 150
"""Above this number of blocks a plot shows the range of neighbouring blocks instead of points."""
COLOURS = 6
"""Layers that have a colour of their own; further layers begin again."""
_MOST_NOTES = 3


@dataclass(frozen=True, kw_only=True)
class BlockScore:
    """The score of one test of one block.

    Args:
        number: of the block, from 1.
        layer: place of the block's layer among the optical layers, from 0.
        name: of the block.
        symbols: modes that were tested.
        test: what the test found.
    """

    number: int
    layer: int
    name: str
    symbols: int
    test: TestScore


def scores_of(
    blocks: Sequence[BlockRecord], layers: Sequence[int]
) -> Mapping[str, list[BlockScore]]:
    """The scores of all tested blocks by name of the test, in the order in which they appear."""
    places = {layer: place for place, layer in enumerate(layers)}
    found: dict[str, list[BlockScore]] = {}
    for number, record in enumerate(blocks, start=1):
        if record.verdict is None:
            continue
        for test in record.verdict.scores:
            found.setdefault(test.name, []).append(
                BlockScore(
                    number=number,
                    layer=places[record.block.layer],
                    name=record.block.name,
                    symbols=record.verdict.symbols,
                    test=test,
                )
            )
    return found


def histogram_figure(histogram: OutcomeHistogram, label: str) -> Markup:
    """Counts of the outcomes' deviations under the normal law of mean 0 and variance 1.

    Args:
        histogram: the counts.
        label: text for readers who cannot see the drawing.
    """
    edges, counts = histogram.edges, histogram.counts
    total, step = int(counts.sum()), float(edges[1] - edges[0])
    peak = total * step / math.sqrt(2 * math.pi)
    top = 1.08 * max(peak, float(counts.max()))
    low, high = float(edges[0]), float(edges[-1])
    x = _Axis(low, high, _LEFT, WIDTH - _RIGHT)
    y = _Axis(0, top, HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid_y(y, _round_ticks(top, 4))]
    for left, tall in zip(edges[:-1], counts, strict=True):
        if tall:
            at, height = x(float(left)), y(0) - y(float(tall))
            parts.append(
                _tag(
                    "rect",
                    {"class": "bar", "x": at, "y": y(0) - height},
                    {"width": x(float(left) + step) - at - 0.6, "height": height},
                    title=f"{left:+.2f} to {left + step:+.2f}: {int(tall)}",
                )
            )
    curve = np.linspace(low, high, 121)
    density = peak * np.exp(-(curve**2) / 2)
    points = " ".join(
        f"{x(float(a)):.1f},{y(float(b)):.1f}" for a, b in zip(curve, density, strict=True)
    )
    parts.append(_tag("polyline", {"class": "theory", "points": points}))
    parts += _ticks_x(x, [-4, -2, 0, 2, 4], y(0))
    parts.append(_text("deviation / predicted noise", (x.start + x.end) / 2, HEIGHT - 4, "axis"))
    return _figure(parts, label)


def scores_figure(scores: Sequence[BlockScore], blocks: int, label: str) -> Markup:
    """Scores of one test over the blocks, with the band in which a block is accepted.

    Scores beyond the plot are triangles at its edge, the first three with their value.

    Args:
        scores: of one test, at least one.
        blocks: number of blocks of the session so far.
        label: text for readers who cannot see the drawing.
    """
    limit = max(score.test.threshold for score in scores)
    reach = 1.5 * limit
    x = _Axis(0.5, max(blocks, 10) + 0.5, _LEFT, WIDTH - _RIGHT)
    y = _Axis(-reach, reach, HEIGHT - _BOTTOM, _TOP)
    size = {"width": x.end - x.start, "height": y(-limit) - y(limit)}
    parts = [_tag("rect", {"class": "band", "x": x.start, "y": y(limit)}, size)]
    for value, name in ((limit, "limit"), (0.0, "zero"), (-limit, "limit")):
        parts.append(_line(name, x.start, y(value), x.end, y(value)))
        parts.append(_text(signed(value), _LEFT - 5, y(value) + 4, "tick end"))
    if len(scores) > MOST_SINGLE_BLOCKS:
        parts += _ranges([s for s in scores if s.test.passed], x, y)
        parts += _points([s for s in scores if not s.test.passed], x, y, reach)
    else:
        parts += _points(scores, x, y, reach)
    parts += _ticks_x(x, _block_ticks(blocks), HEIGHT - _BOTTOM)
    parts.append(_text("block", (x.start + x.end) / 2, HEIGHT - 4, "axis"))
    return _figure(parts, label)


def _points(scores: Iterable[BlockScore], x: "_Axis", y: "_Axis", reach: float) -> Iterable[Markup]:
    notes = 0
    for score in scores:
        test, at = score.test, x(score.number)
        colour = "fail" if not test.passed else f"s{score.layer % COLOURS}"
        title = f"{score.name}: {human(test.measured)} instead of {human(test.expected)}, score "
        title += signed(test.score)
        if abs(test.score) <= reach:
            spot: Attributes = {"class": f"dot {colour}", "cx": at, "cy": y(test.score), "r": 3}
            yield _tag("circle", spot, title=title)
            continue
        side = -1 if test.score < 0 else 1  # a score that is not a number is drawn at the top
        tip = y(side * reach) - 2 * side
        corners = f"{at:.1f},{tip:.1f} {at - 5:.1f},{tip + 9 * side:.1f} {at + 5:.1f}"
        corners += f",{tip + 9 * side:.1f}"
        yield _tag("polygon", {"class": f"dot {colour}", "points": corners}, title=title)
        if notes < _MOST_NOTES:
            notes += 1
            to_left = at > (x.start + x.end) / 2
            where = "tick strong end" if to_left else "tick strong start"
            yield _text(signed(test.score), at + (-9 if to_left else 9), tip + 5 * side + 4, where)


def _ranges(scores: Sequence[BlockScore], x: "_Axis", y: "_Axis") -> Iterable[Markup]:
    """From the lowest to the highest score of neighbouring blocks."""
    if not scores:
        return
    numbers = np.array([score.number for score in scores])
    values = np.array([score.test.score for score in scores])
    groups = np.minimum(100 * (numbers - 1) // int(numbers.max()), 99)
    for group in np.unique(groups):
        own = groups == group
        middle = x(float(numbers[own].mean()))
        low, high = float(values[own].min()), float(values[own].max())
        first, last = numbers[own].min(), numbers[own].max()
        title = f"blocks {first} to {last}: {signed(low)} to {signed(high)}"
        yield _line("range", middle, y(low) + 1, middle, y(high) - 1, title=title)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def _grid_y(axis: _Axis, ticks: Sequence[float]) -> Iterable[Markup]:
    for tick in ticks:
        yield _line("grid", _LEFT, axis(tick), WIDTH - _RIGHT, axis(tick))
        yield _text(f"{tick:,.0f}", _LEFT - 5, axis(tick) + 4, "tick end")


def _ticks_x(axis: _Axis, ticks: Sequence[float], at: float) -> Iterable[Markup]:
    yield _line("zero", axis.start, at, axis.end, at)
    for tick in ticks:
        yield _text(f"{tick:,.0f}".replace("-", "\N{MINUS SIGN}"), axis(tick), at + 15, "tick")


def _round_ticks(top: float, wanted: int) -> list[float]:
    """0 and round multiples up to `top`."""
    rough = max(top / wanted, 1.0)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return [step * index for index in range(math.floor(top / step) + 1)]


def _block_ticks(blocks: int) -> list[float]:
    rest = [tick for tick in _round_ticks(max(blocks, 10), 5) if tick > 0]
    return [1.0, *rest] if rest[0] > 1 else rest


def _tag(name: str, *attributes: Attributes, title: str = "") -> Markup:
    merged = {key: value for group in attributes for key, value in group.items()}
    written = Markup("").join(
        Markup(' {}="{}"').format(key, value if isinstance(value, str) else f"{value:.2f}")
        for key, value in merged.items()
    )
    inside = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, *, title: str = "") -> Markup:
    return _tag("line", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2}, title=title)


def _text(text: str, x: float, y: float, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
        kind, f"{x:.1f}", f"{y:.1f}", text
    )


def _figure(parts: Iterable[Markup], label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, escape(label), Markup("").join(parts)
    )
