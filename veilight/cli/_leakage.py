"""`veilight leakage`: what a setting leaks, to whom, and how many queries a budget allows."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from veilight.cli._light import Setting, setting_of
from veilight.cli._screen import Screen
from veilight.cli._tables import bits, counted, leakage_table, seconds

if TYPE_CHECKING:
    from protocol.ledger import ChargeRule
    from protocol.plan import Plan
    from veilight.config import Configuration

__all__ = ["run_leakage"]


def run_leakage(
    screen: Screen,
    configuration: "Configuration",
    *,
    model: Path | None,
    rows: tuple[int, ...] | None,
    modes: tuple[int, ...] | None,
    queries: int,
    tested_symbols: int,
) -> int:
    """Work out and show the leakage; no light is sent, not even simulated.

    Args:
        screen: where to write.
        configuration: link, encoding, photons, budget and confidence.
        model: model file whose layers are meant; None takes `rows` and `modes`.
        rows: weight rows per layer.
        modes: optical modes per row and layer.
        queries: samples that are sent.
        tested_symbols: per layer, X and P together.

    Raises:
        ConfigurationError: layers or photons are missing or do not fit.
        ModelError: the model file cannot be used.
    """
    from protocol.accounting import data_leakage, weight_leakage

    setting = setting_of(configuration, model, rows, modes)
    plan, receiver = setting.plan, configuration.link.client_receiver()
    channels = {layer.layer: setting.channel(layer.modes, tested_symbols) for layer in plan.layers}
    weights = weight_leakage(
        plan,
        receiver,
        channels,
        queries={layer.layer: queries for layer in plan.layers},
        confidence=configuration.leakage.confidence,
    )
    data = data_leakage(
        plan,
        receiver,
        probe_photons_per_mode=configuration.leakage.probe_photons_per_mode,
        candidate_cosine=configuration.leakage.candidate_cosine,
        dither_snu=configuration.protocol.dither_snu,
    )
    budget = configuration.ledger.budget_bits_per_weight
    cut = configuration.protocol.inputs_per_block
    rule = configuration.ledger.rule()
    allowed = None if budget is None else _queries_allowed(setting, budget, cut, rule)
    published = _published(configuration, plan)
    layers = _layers(setting)
    screen.result(
        {
            "receiver": {"kind": receiver.kind, "setting": receiver.setting},
            "encoding": configuration.protocol.encoding,
            "queries": queries,
            "tested_symbols_per_layer": tested_symbols,
            "layers": layers,
            "weights_leaked": [asdict(figure) for figure in weights],
            "data_leaked": [asdict(figure) for figure in data],
            "published_by_the_authors": published,
            "budget_bits_per_weight": budget,
            "charge_rule": rule,
            "queries_within_budget": None if allowed is None else min(allowed.values()),
            "queries_within_budget_by_layer": allowed,
        }
    )
    _show_layers(screen, layers, receiver.kind, receiver.setting)
    leakage_table(screen, f"Weights, after {counted(queries, 'query')} [bit per weight]", weights)
    leakage_table(screen, "Data of one input, to the server [bit per data value]", data)
    _show_published(screen, published)
    if allowed is not None:
        _show_budget(screen, allowed, budget, rule)
    return 0


def _queries_allowed(
    setting: Setting, budget: float, cut: int | None, rule: "ChargeRule"
) -> dict[str, int]:
    """Verified queries that a budget in bits per weight allows, by layer.

    Where the size of blocks is left open, they are as small as need be: of one data vector.
    """
    from protocol.accounting import layer_name
    from protocol.budget import charge_for_layer, pending_queries, queries_within_budget
    from protocol.honest_channel import server_trust

    plan = replace(setting.plan, inputs_per_block=1 if cut is None else cut)
    return {
        layer_name(layer): queries_within_budget(
            charge_for_layer(layer, setting.expectation, server_trust(setting.info), rule),
            layer.photons_per_symbol * layer.positions,
            budget,
            pending_queries(plan, layer),
        )
        for layer in plan.layers
    }


def _layers(setting: Setting) -> list[dict[str, object]]:
    from protocol.accounting import layer_name
    from protocol.encoding import signal_to_noise

    return [
        {
            "name": layer_name(layer),
            "rows": layer.rows,
            "modes": layer.modes,
            "positions": layer.positions,
            "photons_per_symbol": layer.photons_per_symbol,
            "signal_to_noise": signal_to_noise(
                layer.photons_per_symbol, setting.snr_factor, layer.encoding
            ),
            "light_time_per_query_s": layer.rows
            * layer.modes
            * layer.positions
            / setting.info.symbol_rate_hz,
        }
        for layer in setting.plan.layers
    ]


def _published(configuration: "Configuration", plan: "Plan") -> list[dict[str, object]] | None:
    """The authors' own formulas, where they apply: amplifier and complex encoding."""
    from protocol.leakage import (
        published_data_bits_server_homodynes,
        published_weight_bits_client_verified,
    )

    link, encoding = configuration.link, configuration.protocol.encoding
    if link.receiver != "amplifier" or encoding != "complex":
        return None
    gain = link.receiver_setting
    return [
        {
            "layer": layer.layer,
            "weight_bits_client_verified": published_weight_bits_client_verified(
                layer.photons_per_symbol, gain, layer.modes
            ),
            "data_bits_server_homodynes": published_data_bits_server_homodynes(
                gain, layer.rows, layer.modes
            ),
        }
        for layer in plan.layers
    ]


def _show_layers(
    screen: Screen, layers: list[dict[str, object]], receiver: str, setting: float
) -> None:
    rows = [
        (
            str(layer["name"]),
            str(layer["modes"]),
            bits(float(str(layer["photons_per_symbol"]))),
            bits(float(str(layer["signal_to_noise"]))),
            seconds(float(str(layer["light_time_per_query_s"]))),
        )
        for layer in layers
    ]
    columns = ("layer", "modes", "photons per mode", "F^2", "light per query")
    screen.table(f"The light: {receiver} at {setting:g}", columns, rows, numbers=(1, 2, 3, 4))


def _show_published(screen: Screen, published: list[dict[str, object]] | None) -> None:
    if published is None:
        return
    rows = [
        (
            f"layer {entry['layer']}",
            bits(float(str(entry["weight_bits_client_verified"]))),
            bits(float(str(entry["data_bits_server_homodynes"]))),
        )
        for entry in published
    ]
    screen.table(
        "As the protocol's authors published it (arXiv 2408.05629), one query, for comparison only",
        ("layer", "weights, client verified [bit]", "data, server homodynes [bit]"),
        rows,
        numbers=(1, 2),
    )


def _show_budget(
    screen: Screen, allowed: dict[str, int], budget: float | None, rule: "ChargeRule"
) -> None:
    against = " against one memory over all copies" if rule == "with memory" else ""
    screen.table(
        f"Verified queries that a budget of {budget:g} bit per weight allows{against}",
        ("layer", "queries"),
        [(name, f"{count:,}") for name, count in allowed.items()],
        numbers=(1,),
    )
    screen.tell(f"All layers together: {counted(min(allowed.values()), 'query')}.")
