"""From results to the finished page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from veilight.report import _figures, _tables, _words
from veilight.report._cells import Cell, Column, Table
from veilight.report._figures import BlockScore
from veilight.report._numbers import count, human, plain, share, signed
from veilight.report._settings import settings_tables
from veilight.run_values import LayerResult, RunResult

__all__ = ["render_page"]


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A drawing with its heading and what to see in it; `drawing` is None where there is none."""

    heading: str
    drawing: Markup | None
    note: str


@dataclass(frozen=True, kw_only=True)
class _Section:
    """One result, ready to be laid out."""

    anchor: str
    title: str
    subtitle: str
    simulated: bool
    verdict: _words.Verdict
    facts: tuple[_words.Fact, ...]
    confusion: Table | None
    mistakes: Table | None
    no_confusion: str
    leakage_notes: tuple[str, ...]
    weights: Table
    data: Table
    photons: Table
    ledger: Table
    ledger_words: str
    histograms: tuple[_Panel, ...]
    scores: tuple[_Panel, ...]
    legend: tuple[tuple[str, str], ...]
    returned: Table | None
    returned_words: str
    refused: Table | None
    session: Table | None
    times: Table
    settings: tuple[Table, ...]


def render_page(results: Sequence[RunResult], title: str) -> str:
    """The page's HTML.

    Args:
        results: at least one.
        title: heading of the page.
    """
    environment = Environment(
        loader=PackageLoader("veilight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(result, number) for number, result in enumerate(results, start=1)]
    simulated = [result.simulated for result in results]
    return environment.get_template("page.html.jinja").render(
        title=title,
        sections=sections,
        overview=_overview(results, sections) if len(results) > 1 else None,
        all_simulated=all(simulated),
        any_simulated=any(simulated),
        made_with=f"veilight {results[0].versions.get('veilight', 'unknown')}",
        started=_words.moment(results[0].started),
    )


def _how(result: RunResult) -> str:
    """What the light ran over, or what the simulated client did."""
    if result.request.optics is None:
        return result.request.behaviour.name
    words = f"bench, {'simulated' if result.simulated else 'real'} instruments"
    return f"{words}, TAINTED" if result.request.taints else words


def _overview(results: Sequence[RunResult], sections: Sequence[_Section]) -> Table:
    rows = []
    for result, section in zip(results, sections, strict=True):
        over_light, without = _words.accuracy_facts(result)
        weights, data = _words.weights_fact(result), _words.data_fact(result)
        rows.append(
            (
                Cell(text=result.request.title, note=_how(result)),
                Cell(text=section.verdict.word, note=_words.aborted_plainly(result)),
                Cell(text=over_light.value, note=over_light.note),
                Cell(text=without.value, note=without.note),
                Cell(text=weights.value, note=weights.note),
                Cell(text=data.value, note=data.note),
            )
        )
    labels = ("Session", "verdict", "accuracy over light", "without light")
    return Table(
        caption="The sessions on this page",
        columns=tuple(
            Column(label=label, number=False)
            for label in (*labels, "weights leaked, at most", "data leaked, at most")
        ),
        rows=tuple(rows),
    )


def _section(result: RunResult, number: int) -> _Section:
    scores = _figures.scores_of(result.blocks, [layer.plan.layer for layer in result.layers])
    queries = max(_words.queries_sent(result), 1)
    confusion = result.confusion
    return _Section(
        anchor=f"session-{number}",
        title=result.request.title,
        subtitle=f"{result.request.data_name}, {count(len(result.request.inputs))} samples; "
        f"receiver: {_words.receiver_words(result)}; started {_words.moment(result.started)}",
        simulated=result.simulated,
        verdict=_words.verdict(result),
        facts=(
            *_words.accuracy_facts(result),
            _words.weights_fact(result),
            _words.data_fact(result),
            _words.time_fact(result),
        ),
        confusion=None if confusion is None else _tables.confusion_table(confusion),
        mistakes=None
        if confusion is None or len(confusion) <= _tables.MOST_CLASSES
        else _tables.mistakes_table(confusion),
        no_confusion=_why_no_confusion(result),
        leakage_notes=_leakage_notes(result, queries),
        weights=_tables.weights_table(
            result.weights_leaked, result.weights_leaked_at_10000, queries
        ),
        data=_tables.data_table(result.data_leaked),
        photons=_tables.photon_table(result.layers),
        ledger=_tables.ledger_table(result),
        ledger_words=_words.ledger_words(result),
        histograms=tuple(_histogram_panel(layer) for layer in result.layers),
        scores=_score_panels(scores, len(result.blocks)),
        legend=_legend(result.layers, scores),
        returned=_tables.returned_table(result.layers, scores) if scores else None,
        returned_words=_returned_words(result, scores),
        refused=_tables.refused_table(scores),
        session=_tables.session_table(result),
        times=_tables.link_time_table(result),
        settings=settings_tables(result),
    )


def _why_no_confusion(result: RunResult) -> str:
    if result.confusion is not None:
        return ""
    if result.request.labels is None:
        return "There is no confusion matrix: the true classes are not known."
    return "There is no confusion matrix: the session was aborted before any classification."


def _leakage_notes(result: RunResult, queries: int) -> tuple[str, ...]:
    notes = []
    if not result.accepted:
        unsent = [
            layer.name
            for layer in result.layers
            if all(record.block.layer != layer.plan.layer for record in result.blocks)
        ]
        if unsent:
            notes.append(
                f"The session ended before {', '.join(unsent)} was sent. The figures for the "
                f"weights count every layer as sent {count(queries)} times all the same, those "
                "for the data count every layer: they are too high rather than too low."
            )
    bare = [layer.name for layer in result.layers if layer.evidence is None]
    if bare:
        notes.append(
            f"No returned light of {', '.join(bare)} was accepted, so nothing vouches for it: "
            "there the figures for a client under verification are those of a client that kept "
            "all the light, and there is no finite-test certificate."
        )
    return tuple(notes)


def _histogram_panel(layer: LayerResult) -> _Panel:
    histogram = layer.histogram
    if histogram is None:
        note = "No product of this layer was measured before the session ended."
        return _Panel(heading=layer.name, drawing=None, note=note)
    number = int(histogram.counts.sum())
    label = f"{layer.name}: histogram of {number} deviations with the normal law over it"
    return _Panel(
        heading=layer.name,
        drawing=_figures.histogram_figure(histogram, label),
        note=f"{count(number)} outcomes that were kept; mean {human(histogram.mean)} (theory 0 ± "
        f"{human(number**-0.5)}), variance {human(histogram.variance)} (theory 1 ± "
        f"{human((2 / number) ** 0.5)})",
    )


def _score_panels(scores: Mapping[str, Sequence[BlockScore]], blocks: int) -> tuple[_Panel, ...]:
    panels = []
    for name, own in scores.items():
        values = [score.test.score for score in own]
        failed = sum(not score.test.passed for score in own)
        limit = max(score.test.threshold for score in own)
        worst = max(values, key=lambda value: (math.isnan(value), abs(value)))
        spread = (
            "; one mark is the range of neighbouring blocks"
            if len(own) > _figures.MOST_SINGLE_BLOCKS
            else ""
        )
        panels.append(
            _Panel(
                heading=name,
                drawing=_figures.scores_figure(own, blocks, f"scores of the test of {name}"),
                note=f"{count(len(own) - failed)} of {count(len(own))} blocks within "
                f"±{human(limit)}; largest deviation {signed(worst)}{spread}",
            )
        )
    return tuple(panels)


def _legend(
    layers: Sequence[LayerResult], scores: Mapping[str, Sequence[BlockScore]]
) -> tuple[tuple[str, str], ...]:
    """Style class and name of each layer and of a refusal, where there are scores."""
    if not scores:
        return ()
    if max(len(own) for own in scores.values()) > _figures.MOST_SINGLE_BLOCKS:
        return (("s0", "range of neighbouring blocks"), ("fail", "refused"))
    entries = [
        (f"s{place % _figures.COLOURS}", layer.name)
        for place, layer in enumerate(layers[: _figures.COLOURS])
    ]
    return (*entries, ("fail", "refused"))


def _returned_words(result: RunResult, scores: Mapping[str, Sequence[BlockScore]]) -> str:
    if not result.blocks:
        return "No block was measured."
    if not scores:
        return (
            "Nothing was tested: an honest client with this receiver gives no light back, so "
            "there is nothing whose gain or noise could be compared."
        )
    return (
        "The server compares the light that came back with what it launched: the gain of the "
        "mean, the noise in X and in P, and the noise row by row. A score is the deviation from "
        "an honest return in standard deviations; a block is refused when one leaves the shaded "
        f"band, on either side. The bands share a false-alarm rate of "
        f"{plain(result.thresholds.session.shares.blocks * result.request.false_alarm)} over all "
        f"{count(result.thresholds.blocks)} planned blocks and four tests; the rest of the "
        f"session's {plain(result.request.false_alarm)} is for the tests over the whole session. "
        f"Of the tested blocks, {_share_accepted(result)} were accepted."
    )


def _share_accepted(result: RunResult) -> str:
    tested = [record for record in result.blocks if record.verdict is not None]
    accepted = sum(record.accepted for record in tested)
    return f"{count(accepted)} of {count(len(tested))} ({share(accepted / len(tested))})"
