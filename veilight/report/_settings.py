"""Everything that made a run: what was asked for, the link, the plan, the versions."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass

from veilight.defences import defence_words
from veilight.report._cells import Column, Table, row_of
from veilight.report._numbers import count, plain, rate
from veilight.report._words import moment, receiver_words
from veilight.run_values import RunResult

__all__ = ["settings_tables"]


def settings_tables(result: RunResult) -> tuple[Table, ...]:
    """Everything that made the run: what was asked for, the link, the plan, the versions."""
    request, graph = result.request, result.request.model.graph
    asked = {
        "data": request.data_name,
        "samples": count(len(request.inputs)),
        "network": " → ".join(layer.kind for layer in graph.layers),
        "model digest (SHA-256)": request.model.digest,
        "receiver": receiver_words(result),
        "client's behaviour": request.behaviour.name
        if request.optics is None
        else "whatever the bench's client did",
        "overridden": "; ".join(request.taints) or "nothing",
        "encoding": request.encoding,
        "server's defences": defence_words(result),
        "rows per block": "all" if not request.rows_per_block else count(request.rows_per_block),
        "samples per block": count(request.samples_per_block),
        "data vectors per block": _inputs_per_block(result),
        "blocks planned": count(result.thresholds.blocks),
        "false-alarm rate of the session": plain(request.false_alarm),
        "false-alarm rate of the client": plain(request.client_policy.false_alarm),
        "share of the return that is tested in X": plain(request.x_share),
        "random displacements of P": "none"
        if not request.dither_snu
        else f"mean square {plain(request.dither_snu)} SNU",
        "share of dummies that are opened": plain(request.audit_share),
        "symbols sent for dummies and probes": count(result.audit_symbols),
        "thresholds (SHA-256)": result.thresholds_told,
        "confidence of finite tests": f"1 \N{MINUS SIGN} {plain(1 - request.confidence)}",
        "returned light": "every mode measured"
        if request.full_return
        else "the tests' sums drawn from their exact law",
        "client's bound on probe light in P": "none given"
        if request.probe_limit is None
        else f"{plain(request.probe_limit)} photons per mode",
        "seed": "none: not repeatable" if result.seed is None else str(result.seed),
        "started": moment(result.started),
        "backend": result.server_info.backend,
    }
    link = {
        name: value
        for name, value in _flat(result.link_settings)
        if not name.startswith("receiver") and name != "seed"
    }
    scales = {
        f"{layer.name}, scale": f"{plain(layer.plan.scale_snu)} SNU per unit of weight; tiles "
        + " + ".join(str(size) for size in layer.plan.tiles)
        for layer in result.layers
    }
    return (
        _pairs("What was run", asked | scales),
        _pairs("Link", link),
        _pairs("Versions", result.versions),
    )


def _inputs_per_block(result: RunResult) -> str:
    """How finely batches were cut into blocks, and who chose it."""
    found = result.plan.inputs_per_block
    if not found:
        return "all of the batch"
    chosen = result.request.inputs_per_block is None
    return count(found) + (", the most that the budget allows" if chosen else "")


def _pairs(caption: str, values: Mapping[str, str]) -> Table:
    return Table(
        caption=caption,
        columns=(Column(label="Setting", number=False), Column(label="Value", number=False)),
        rows=tuple(row_of(name, value) for name, value in values.items()),
    )


_UNITS = {
    "_snu": "SNU",
    "_rad": "rad",
    "_frames": "frames",
    "_inputs": "data vectors",
    "_bits": "bit",
}


def _flat(settings: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Names and values of nested settings, with the unit moved from the name to the value."""
    assert is_dataclass(settings)
    for entry in fields(settings):
        value, name = getattr(settings, entry.name), entry.name
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{name}, ")
            continue
        unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
        if name.endswith("_hz"):
            name, text = name.removesuffix("_hz"), rate(value)
        elif isinstance(value, float | int):
            text = f"{plain(value)}\N{NO-BREAK SPACE}{unit}" if unit else plain(value)
            name = "converter resolution" if name == "converter_bits" else _without_unit(name)
        else:
            text = str(value)
        yield prefix + name.replace("_", " "), text


def _without_unit(name: str) -> str:
    return next((name.removesuffix(end) for end in _UNITS if name.endswith(end)), name)
