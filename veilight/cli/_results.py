"""The result of a run for people and for machines."""

from typing import TYPE_CHECKING

from veilight.cli._screen import Screen
from veilight.cli._tables import bits, counted, leakage_table, seconds, tests_table

if TYPE_CHECKING:
    from veilight.run_values import LayerResult, RunResult

__all__ = ["result_as_json", "show_result", "verdict"]


def result_as_json(result: "RunResult") -> dict[str, object]:
    """What --json prints of a run, and what `result.json` holds."""
    from veilight.run_json import result_to_dict

    return {**result_to_dict(result), "verdict": verdict(result)}


def verdict(result: "RunResult") -> str:
    """One sentence on how the server judged the returned light."""
    if not result.accepted:
        return f"REFUSED: {result.abort_reason or 'the returned light failed its tests'}"
    if not any(layer.expectation.verifiable for layer in result.layers):
        return (
            "NOT VERIFIABLE: with this receiver an honest client returns no light; the weights are "
            "protected by the photon numbers alone"
        )
    return (
        f"accepted: the returned light passed its tests in {counted(len(result.blocks), 'block')}"
    )


def show_result(screen: Screen, result: "RunResult", *, leakage: bool = True) -> None:
    """Verdict, accuracy, photon budget and, if wanted, who can have learned what."""
    screen.tell(f"Verdict: {verdict(result)}")
    samples = counted(len(result.request.inputs), "sample")
    if result.accuracy is not None:
        screen.tell(f"Accuracy over light: {result.accuracy:.2%} of {samples}")
    for taint in result.request.taints:
        screen.tell(f"TAINTED: {taint}")
    if result.accuracy is not None and result.noise_free_accuracy is not None:
        screen.say(f"Accuracy of the same network without light: {result.noise_free_accuracy:.2%}")
    screen.say(
        f"Light: {result.symbols_sent:,} symbols, {seconds(result.light_time_s)} at "
        f"{result.server_info.symbol_rate_hz:.3g} symbols per second; the run took "
        f"{seconds(result.wall_time_s)}"
    )
    if result.plan.inputs_per_block and result.request.inputs_per_block is None:
        screen.say(
            f"Blocks of at most {counted(result.plan.inputs_per_block, 'data vector')}: the most "
            "that the budget allows before the light is back"
        )
    if result.request.defences.active:
        from veilight.defences import defence_words

        screen.say(f"Defences: {defence_words(result)}")
    columns = ("layer", "photons per mode", "F^2", "charged [bit/weight]", "queries in budget")
    screen.table(
        f"Photon budget: {result.receiver.kind} at {result.receiver.setting:g}",
        columns,
        [_layer_row(layer) for layer in result.layers],
        numbers=(1, 2, 3, 4),
    )
    if not leakage:
        return
    tests_table(screen, result.tests)
    if result.audit_symbols:
        screen.say(
            f"Dummies and probes: {result.audit_symbols:,} symbols of these; batches opened: "
            f"{result.audited_batches}"
        )
    leakage_table(screen, f"Weights, after {samples} [bit per weight]", result.weights_leaked)
    if result.budget_lifted:
        leakage_table(
            screen,
            "The budget was lifted. 10,000 real queries would have leaked [bit per weight]",
            result.weights_leaked_at_10000,
        )
    leakage_table(
        screen, "Data of one input, to the server [bit per data value]", result.data_leaked
    )


def _layer_row(layer: "LayerResult") -> tuple[str, ...]:
    return (
        layer.name,
        bits(layer.plan.photons_per_symbol),
        bits(layer.signal_to_noise),
        bits(layer.bits_charged),
        "no budget" if layer.queries_left is None else f"{layer.queries_left:,}",
    )
