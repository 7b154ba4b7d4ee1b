"""`veilight cost`: symbols, line time and leakage per query, of a model file or a known network."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._photons import with_photons
from veilight.cli._screen import Screen
from veilight.cli._tables import bits, counted, seconds

if TYPE_CHECKING:
    from drivers.optics.burst import BurstFormat
    from protocol.ledger import ChargeRule
    from veilight.config import Configuration
    from veilight.cost import LayerCost, NetworkCost, OpticalLoad

__all__ = ["cost"]


def cost(
    model: Annotated[
        Path | None, typer.Argument(help="NAME.safetensors or NAME.onnx, or use --known.")
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--known", help="Sizes of resnet50, bert-base or llama-7b instead."),
    ] = None,
    photons: options.Photons = None,
    signal_to_noise: options.SignalToNoise = None,
    receiver: options.ReceiverName = None,
    setting: options.ReceiverSetting = None,
    encoding: options.Encoding = None,
    symbol_rate: Annotated[
        float | None, typer.Option("--symbol-rate", help="Modes per second (default: 1e9).")
    ] = None,
    samples_per_block: Annotated[
        int, typer.Option("--samples-per-block", min=1, help="Queries that share a burst.")
    ] = 1,
    inputs_per_block: Annotated[
        int,
        typer.Option(
            "--inputs-per-block", min=0, help="Data vectors that are verified together; 0: all."
        ),
    ] = 0,
    queries: Annotated[
        int, typer.Option("--queries", min=1, help="After which the weights' figures count.")
    ] = 1,
    frames: Annotated[
        Path | None, typer.Option("--frames", help="Bench file whose frame section counts.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak.")
    ] = None,
    against_memory: options.AgainstMemory = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """What one query of a network costs: symbols, line time, bits leaked, queries in a budget."""
    configuration = options.configured(
        config,
        receiver=receiver,
        setting=setting,
        photons=photons,
        signal_to_noise=signal_to_noise,
        protocol__encoding=encoding,
        ledger__budget_bits_per_weight=budget,
        ledger__against_memory=against_memory,
        link__symbol_rate_hz=symbol_rate,
    )
    screen = Screen(as_json=as_json, quiet=quiet)
    return run_cost(
        screen,
        configuration,
        model=model,
        known=known,
        samples_per_block=samples_per_block,
        inputs_per_block=inputs_per_block,
        queries=queries,
        frames=frames,
    )


def run_cost(
    screen: Screen,
    configuration: "Configuration",
    *,
    model: Path | None,
    known: str | None,
    samples_per_block: int,
    inputs_per_block: int,
    queries: int,
    frames: Path | None,
) -> int:
    """Work out and show the cost; no light is sent, not even simulated.

    Args:
        screen: where to write.
        configuration: link, encoding, photons and budget.
        model: model file; or
        known: name of a network of the literature.
        samples_per_block: queries that are sent together.
        inputs_per_block: data vectors of them that are verified together; 0 for all.
        queries: after which the weights' figures count.
        frames: bench file whose frame section counts; None takes the usual frames.

    Raises:
        ConfigurationError: neither or both networks, or light that does not fit the layers.
        ModelError: the model file cannot be used.
        VeilightError: the bench file cannot be used.
    """
    from veilight.cost import cost_of

    if (model is None) == (known is None):
        raise ConfigurationError(
            "which network? Give a model file, or --known with resnet50, bert-base or llama-7b"
        )
    if known is not None:
        network = _known(configuration, known)
    else:
        assert model is not None
        network = _of_file(configuration, model)
    protocol, budget = configuration.protocol, configuration.ledger.budget_bits_per_weight
    rule = configuration.ledger.rule()
    found = cost_of(
        network.loads,
        configuration.link.settings(),
        protocol.encoding,
        signal_to_noise=network.signal_to_noise,
        photons_per_symbol=network.photons_per_symbol,
        burst=_burst(frames),
        samples_per_block=samples_per_block,
        inputs_per_block=inputs_per_block,
        queries=queries,
        budget_bits_per_weight=budget,
        rule=rule,
    )
    receiver = configuration.link.client_receiver()
    screen.result(
        {
            "network": network.title,
            "query": network.query,
            "receiver": {"kind": receiver.kind, "setting": receiver.setting},
            "encoding": protocol.encoding,
            "symbol_rate_hz": found.symbol_rate_hz,
            "samples_per_block": samples_per_block,
            "inputs_per_block": inputs_per_block,
            "queries": queries,
            "budget_bits_per_weight": budget,
            "charge_rule": rule,
            "notes": list(network.notes),
            **_totals(found),
            "layers": [_plain(layer) for layer in found.layers],
        }
    )
    light = f"{receiver.kind} at {receiver.setting:g}"
    _show(screen, found, f"{network.title}: {light}, one {network.query}", queries, rule)
    for note in network.notes:
        screen.tell(f"  {note}")
    return 0


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What is asked about: its layers as light, and what to say about them."""

    title: str
    query: str
    loads: "tuple[OpticalLoad, ...]"
    signal_to_noise: tuple[float, ...]
    photons_per_symbol: tuple[float, ...]
    notes: tuple[str, ...] = ()


def _known(configuration: "Configuration", name: str) -> _Network:
    """A network of the literature, with one number for all layers or one for each."""
    from veilight.cost_known import known_network

    network = known_network(name)
    loads, protocol = network.all_loads, configuration.protocol
    given = protocol.photons_per_symbol or protocol.signal_to_noise
    if len(given) not in (1, len(loads)):
        raise ConfigurationError(
            "how much light? Give --signal-to-noise or --photons with one number for all layers "
            f"of {network.title}, or {len(loads)}; what it needs has not been measured"
        )
    times = len(loads) // len(given)
    return _Network(
        title=network.title,
        query=network.query,
        loads=loads,
        signal_to_noise=protocol.signal_to_noise * times,
        photons_per_symbol=protocol.photons_per_symbol * times,
        notes=(
            f"Sizes: {network.source}; {network.note}.",
            "What F^2 a network of this depth needs has not been measured: the light is an "
            "assumption.",
        ),
    )


def _of_file(configuration: "Configuration", path: Path) -> _Network:
    """The network of a model file, with the light that it was trained for unless told otherwise."""
    from protocol.models.files import load_model
    from veilight.cost import loads_of

    model = load_model(path)
    protocol = with_photons(configuration, model).protocol
    return _Network(
        title=path.stem,
        query="sample",
        loads=loads_of(model.graph),
        signal_to_noise=protocol.signal_to_noise,
        photons_per_symbol=protocol.photons_per_symbol,
    )


def _burst(frames: Path | None) -> "BurstFormat | None":
    if frames is None:
        return None
    from drivers.bench.files import load_bench

    return load_bench(frames, complete=False).content.frame.burst_format()


def _totals(found: "NetworkCost") -> dict[str, object]:
    return {
        "weights": found.weights,
        "symbols_per_query": found.symbols,
        "slots_per_query": found.slots,
        "light_time_per_query_s": found.light_s,
        "line_time_per_query_s": found.line_s,
        "rounds_per_query": found.rounds,
        "weight_bits": found.weight_bits,
        "weight_bits_worst_layer": found.worst_weight_bits,
        "data_bits_homodyne_worst_layer": found.worst_data_bits_homodyne,
        "data_bits_any_worst_layer": found.worst_data_bits_any,
        "queries_within_budget": found.queries_allowed,
        "queries_within_budget_finest": found.queries_allowed_finest,
    }


def _plain(layer: "LayerCost") -> dict[str, object]:
    values = asdict(layer)
    return {**values.pop("load"), **values}


def _show(
    screen: Screen, found: "NetworkCost", title: str, queries: int, rule: "ChargeRule"
) -> None:
    rows = [
        (
            layer.load.name + (f" (x {layer.load.count})" if layer.load.count > 1 else ""),
            f"{layer.load.rows} x {layer.load.entries}",
            f"{layer.load.positions:,}",
            f"{layer.symbols:,}",
            seconds(layer.slots / found.symbol_rate_hz),
            bits(layer.weight_bits),
            bits(layer.kept_weight_bits),
            bits(layer.data_bits_homodyne),
            bits(layer.data_bits_any),
        )
        for layer in found.layers
    ]
    columns = (
        "layer",
        "weights",
        "copies K",
        "symbols",
        "line time",
        "verified",
        "kept",
        "homodyne",
        "any",
    )
    screen.table(title, columns, rows, numbers=tuple(range(1, 9)))
    screen.say(
        "  verified, kept: bit per weight to a client under verification (asymptotic, after "
        f"{counted(queries, 'query')}), and to one that keeps all light of one block, of one query "
        "at most, and is caught.\n"
        "  homodyne, any: bit per data value to a server that homodynes, or measures at will; the "
        "larger of local figure and cap."
    )
    screen.tell(
        f"One query: {found.symbols:,} symbols for {found.weights:,} weights, "
        f"{seconds(found.light_s)} of light, {seconds(found.line_s)} on the line, "
        f"{counted(found.rounds, 'layer')} one after the other."
    )
    screen.tell(
        f"After {counted(queries, 'verified query')} the weights have leaked "
        f"{bits(found.weight_bits)} bit per weight on average, {bits(found.worst_weight_bits)} in "
        "the worst layer."
    )
    if found.queries_allowed is not None:
        finest = found.queries_allowed_finest or 0
        screen.tell(
            f"The budget allows {counted(found.queries_allowed, 'query')}"
            + (" against one memory over all copies" if rule == "with memory" else "")
            + (
                f", and {finest:,} with blocks of one data vector (inputs_per_block = 1)."
                if finest > found.queries_allowed
                else "."
            )
        )
