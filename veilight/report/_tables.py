"""The page's tables of results."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.leakage import LeakageSummary
from veilight.report._cells import Cell, Column, Table, columns_of, row_of
from veilight.report._figures import BlockScore
from veilight.report._numbers import (
    bits,
    count,
    duration,
    human,
    rate,
    share,
    signed,
)
from veilight.report._words import figure_kind, queries_words
from veilight.run_values import LayerResult, RunResult

__all__ = [
    "MOST_CLASSES",
    "confusion_table",
    "data_table",
    "ledger_table",
    "link_time_table",
    "mistakes_table",
    "photon_table",
    "refused_table",
    "returned_table",
    "session_table",
    "weights_table",
]

MOST_CLASSES = 20
"""Largest confusion matrix that is shown whole."""
_OTHER_RATES_HZ = (1e8, 1e9, 1e10)
_MEASURED_TESTS = ("gain", "X variance", "P variance")


def weights_table(
    now: Sequence[LeakageSummary], later: Sequence[LeakageSummary], queries: int
) -> Table:
    """Leakage of the weights after the run and after 10,000 queries, one row per adversary."""
    by_name = {figure.adversary: figure for figure in later}
    groups = (f"After this run ({_queries(queries)})", "After 10,000 queries")
    columns = [Column(label="Who, and with what means", number=False)]
    for group in groups:
        columns += [Column(label=text, group=group) for text in ("worst layer", "mean", "total")]
    columns.append(Column(label="Kind of figure", number=False))
    return Table(
        caption="The server's weights: bits per weight, and bits in all",
        columns=tuple(columns),
        rows=tuple(
            (
                Cell(text=figure.adversary, note=figure.assumptions),
                *_leakage_cells(figure),
                *_leakage_cells(by_name.get(figure.adversary)),
                Cell(text=figure_kind(figure)),
            )
            for figure in now
        ),
    )


def data_table(figures: Sequence[LeakageSummary]) -> Table:
    """Leakage of one sample's data, one row per adversary."""
    return Table(
        caption="The client's data: bits per data value, and bits in all, about one sample",
        columns=(
            Column(label="Who, and with what means", number=False),
            *(Column(label=text) for text in ("worst layer", "mean", "total")),
            Column(label="Kind of figure", number=False),
        ),
        rows=tuple(
            (
                Cell(text=figure.adversary, note=figure.assumptions),
                *_leakage_cells(figure),
                Cell(text=figure_kind(figure)),
            )
            for figure in figures
        ),
    )


def _leakage_cells(figure: LeakageSummary | None) -> tuple[Cell, ...]:
    if figure is None:
        return tuple(Cell(text="not known") for _ in range(3))
    up = figure.upper_bound
    return (
        Cell(text=bits(figure.worst_bits_per_symbol, up=up), note=figure.worst_layer),
        Cell(text=bits(figure.mean_bits_per_symbol, up=up)),
        Cell(text=bits(figure.total_bits, up=up)),
    )


def photon_table(layers: Sequence[LayerResult]) -> Table:
    """What light each layer is sent with."""
    return Table(
        caption="Light per layer",
        columns=columns_of(
            "Layer",
            "photons per symbol",
            "photons per weight",
            "signal to noise F²",
            "symbols per query",
            "photons per query",
            "symbols for all samples",
        ),
        rows=tuple(_photon_row(layer) for layer in layers),
    )


def _photon_row(layer: LayerResult) -> tuple[Cell, ...]:
    plan = layer.plan
    symbols = plan.rows * plan.modes * plan.positions
    tiles = f", {len(plan.tiles)} tiles" if len(plan.tiles) > 1 else ""
    places = f", {plan.positions} positions" if plan.positions > 1 else ""
    return row_of(
        (layer.name, f"{plan.encoding} encoding{tiles}{places}"),
        human(plan.photons_per_symbol),
        human(plan.photons_per_symbol / plan.weights_per_symbol),
        human(layer.signal_to_noise),
        count(symbols),
        human(plan.photons_per_symbol * symbols),
        count(layer.symbols),
    )


def ledger_table(result: RunResult) -> Table:
    """Charge, budget and the queries that it allows."""
    budget = result.budget_bits_per_weight
    return Table(
        caption="Ledger, in bits per weight of the worst row",
        columns=columns_of(
            "Layer", "charged", "budget", "verified queries that the budget allows in all"
        ),
        rows=tuple(
            row_of(
                layer.name,
                bits(layer.bits_charged, up=True),
                "none" if budget is None else bits(budget),
                queries_words(layer),
            )
            for layer in result.layers
        ),
    )


def returned_table(
    layers: Sequence[LayerResult], scores: Mapping[str, Sequence[BlockScore]]
) -> Table:
    """Measured and expected figures of the returned light, averaged over the tested blocks."""
    names = [name for name in _MEASURED_TESTS if name in scores]
    columns = [Column(label="Layer", number=False)]
    for name in names:
        unit = "" if name == "gain" else ", SNU"
        columns += [Column(label=text, group=name + unit) for text in ("measured", "expected")]
    columns.append(Column(label="channel that this means, accepted blocks alone", number=False))
    return Table(
        caption="Returned light, mean over all tested blocks (refused ones included)",
        columns=tuple(columns),
        rows=tuple(
            (
                Cell(text=layer.name),
                *(cell for name in names for cell in _measured(scores[name], place)),
                _channel(layer),
            )
            for place, layer in enumerate(layers)
        ),
    )


def _measured(scores: Iterable[BlockScore], place: int) -> tuple[Cell, Cell]:
    own = [score for score in scores if score.layer == place]
    if not own:
        return Cell(text="not tested"), Cell(text="not tested")
    weights = [score.symbols for score in own]
    return (
        Cell(text=_four(float(np.average([s.test.measured for s in own], weights=weights)))),
        Cell(text=_four(float(np.average([s.test.expected for s in own], weights=weights)))),
    )


def _four(value: float) -> str:
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _channel(layer: LayerResult) -> Cell:
    channel = layer.channel
    if layer.evidence is None:
        return Cell(text="none: no block was accepted", note="leakage counts all light as kept")
    return Cell(
        text=f"transmittance {human(channel.transmittance)}",
        note=f"excess noise {human(channel.excess_noise_x_snu)} SNU in X, "
        f"{human(channel.excess_noise_p_snu)} SNU in P; {count(channel.tested_symbols_x)} and "
        f"{count(channel.tested_symbols_p)} symbols tested",
    )


def refused_table(scores: Mapping[str, Sequence[BlockScore]]) -> Table | None:
    """Every test that failed; None if none did."""
    failed = [score for own in scores.values() for score in own if not score.test.passed]
    if not failed:
        return None
    return Table(
        caption="Tests that failed",
        columns=columns_of("Block", "measured", "expected", "score", "limit"),
        rows=tuple(
            row_of(
                (f"{score.number}: {score.test.name}", _where(score)),
                _four(score.test.measured),
                _four(score.test.expected),
                signed(score.test.score),
                f"±{human(score.test.threshold)}",
            )
            for score in sorted(failed, key=lambda score: score.number)
        ),
    )


def session_table(result: RunResult) -> Table | None:
    """Tests over the whole session, of both parties; None where none ran."""
    if not result.tests:
        return None
    return Table(
        caption="Tests over the whole session: it is refused above the limit",
        columns=columns_of("Test", "whose", "score", "limit", "symbols", "passed"),
        rows=tuple(
            row_of(
                test.name,
                test.party,
                human(test.score),
                human(test.limit),
                count(test.symbols),
                "yes" if test.passed else "no",
            )
            for test in result.tests
        ),
    )


def _where(score: BlockScore) -> str:
    row = "" if score.test.row is None else f", worst row {score.test.row} of the block"
    return score.name + row


def confusion_table(confusion: NDArray[np.int64]) -> Table | None:
    """Counts by true and predicted class, shaded by share of the true class."""
    classes = len(confusion)
    if classes > MOST_CLASSES:
        return None
    totals = np.maximum(confusion.sum(1, keepdims=True), 1)
    shares = confusion / totals
    return Table(
        caption="Confusion matrix: samples by true class (rows) and predicted class (columns)",
        columns=columns_of("true", *(str(label) for label in range(classes)), "right"),
        rows=tuple(
            (
                Cell(text=str(true)),
                *(
                    Cell(text=count(int(number)) if number else "·", shade=float(part))
                    for number, part in zip(confusion[true], shares[true], strict=True)
                ),
                Cell(text=share(shares[true, true]) if confusion[true].sum() else "none"),
            )
            for true in range(classes)
        ),
    )


def mistakes_table(confusion: NDArray[np.int64], most: int = 10) -> Table:
    """The most frequent mistakes, for networks with too many classes for a matrix."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(int(index), wrong.shape) for index in order]
    return Table(
        caption=f"Most frequent mistakes of {len(confusion)} classes",
        columns=columns_of("True class", "predicted class", "samples"),
        rows=tuple(
            row_of(str(int(true)), str(int(predicted)), count(int(wrong[true, predicted])))
            for true, predicted in pairs
            if wrong[true, predicted]
        ),
    )


def link_time_table(result: RunResult) -> Table:
    """How long the same light takes at other symbol rates."""
    own = result.server_info.symbol_rate_hz
    samples = len(result.request.inputs)
    planned, per_query = result.plan.symbols(samples), result.plan.symbols(1)
    lengths = {f"this run, {count(result.symbols_sent)} symbols sent": result.symbols_sent}
    if planned != result.symbols_sent:
        lengths[f"all {_queries(samples)} as planned, {count(planned)} symbols"] = planned
    lengths[f"one query, {count(per_query)} symbols"] = per_query
    lengths["10,000 queries"] = 10_000 * per_query
    return Table(
        caption="Time with light on, by symbol rate of the link",
        columns=columns_of("Symbol rate", *lengths),
        rows=tuple(
            row_of(
                (rate(value), "as configured" if value == own else ""),
                *(duration(symbols / value) for symbols in lengths.values()),
            )
            for value in sorted({own, *_OTHER_RATES_HZ})
        ),
    )


def _queries(number: int) -> str:
    return f"{count(number)} {'query' if number == 1 else 'queries'}"
