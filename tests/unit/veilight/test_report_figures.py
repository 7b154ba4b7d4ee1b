import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from protocol.verification import TestScore as Score
from veilight.report._figures import (
    MOST_SINGLE_BLOCKS,
    BlockScore,
    histogram_figure,
    scores_figure,
)
from veilight.run_values import OutcomeHistogram


def entry(number: int, score: float, *, layer: int = 0, name: str = "layer 0") -> BlockScore:
    test = Score(name="gain", measured=1.0, expected=1.0, score=score, threshold=5.0)
    return BlockScore(number=number, layer=layer, name=name, symbols=100, test=test)


def drawn(svg: str, tag: str, kind: str) -> list[ET.Element]:
    return [e for e in ET.fromstring(svg).iter(tag) if kind in e.get("class", "").split()]


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(svg).iter("text")]


def test_histogram_bars_are_as_high_as_their_counts() -> None:
    counts = np.array([0, 3, 6, 12], dtype=np.int64)
    histogram = OutcomeHistogram(edges=np.linspace(-2, 2, 5), counts=counts, mean=0, variance=1)
    bars = drawn(histogram_figure(histogram, ""), "rect", "bar")
    heights = [float(bar.get("height", 0)) for bar in bars]
    assert [height / heights[-1] for height in heights] == pytest.approx([0.25, 0.5, 1], abs=1e-3)


def test_histogram_line_is_the_normal_law_of_the_same_number() -> None:
    edges = np.linspace(-5, 5, 61)
    counts = np.zeros(60, dtype=np.int64)
    counts[30] = 100
    svg = histogram_figure(OutcomeHistogram(edges=edges, counts=counts, mean=0, variance=1), "")
    (line,) = drawn(svg, "polyline", "theory")
    (bar,) = drawn(svg, "rect", "bar")
    points = [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]
    base = float(bar.get("y", 0)) + float(bar.get("height", 0))
    peak = (base - min(y for _, y in points)) / float(bar.get("height", 0)) * 100
    # Bins 1/6 wide hold 100 / sqrt(2 pi) / 6 of 100 outcomes at the middle.
    assert peak == pytest.approx(100 / math.sqrt(2 * math.pi) / 6, rel=0.02)


def test_scores_lie_in_the_band_when_accepted_and_outside_when_not() -> None:
    svg = scores_figure([entry(1, 4.9), entry(2, -5.5, layer=1)], 2, "")
    (band,) = drawn(svg, "rect", "band")
    top, height = float(band.get("y", 0)), float(band.get("height", 0))
    inside, outside = drawn(svg, "circle", "dot")
    assert top < float(inside.get("cy", 0)) < top + height
    assert float(outside.get("cy", 0)) > top + height
    assert inside.get("class") == "dot s0"
    assert outside.get("class") == "dot fail"


def test_scores_become_triangles_with_their_value_when_beyond_the_plot() -> None:
    svg = scores_figure([entry(1, -78.6), entry(2, math.nan)], 2, "")
    assert len(drawn(svg, "polygon", "fail")) == 2
    assert not drawn(svg, "circle", "dot")
    assert {"−78.6", "not a number"} <= set(texts(svg))


def test_scores_become_ranges_but_keep_refusals_when_blocks_are_many() -> None:
    many = MOST_SINGLE_BLOCKS + 50
    scores = [entry(number, math.sin(number)) for number in range(1, many)]
    svg = scores_figure([*scores, entry(many, 6.0)], many, "")
    assert 0 < len(drawn(svg, "line", "range")) <= 100
    assert len(drawn(svg, "circle", "fail")) == 1
    assert not drawn(svg, "circle", "s0")


def test_figure_escapes_names_when_they_hold_markup() -> None:
    svg = scores_figure([entry(1, 0.0, name="<script>&")], 1, 'a "label" <b>')
    assert "<script>" not in svg
    root = ET.fromstring(svg)
    assert root.get("aria-label") == 'a "label" <b>'
    assert any("<script>&" in (title.text or "") for title in root.iter("title"))
