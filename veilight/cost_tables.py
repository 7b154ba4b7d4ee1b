"""The tables of the page on networks: measured accuracies, costs and leakage, written as Markdown.

`python -m veilight.cost_tables` prints them. Accuracies are measured once, with the recipes of
`protocol.models.recipes`, and kept here; everything else is worked out anew.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from veilight.cost import NetworkCost, OpticalLoad, cost_of, loads_of
from veilight.cost_known import KNOWN_NETWORKS, KnownNetwork

if TYPE_CHECKING:
    from drivers.receivers import Receiver
    from protocol.models.graph import Graph
    from protocol.models.training import TrainingSettings

__all__ = [
    "MeasuredNetwork",
    "block_table",
    "known_table",
    "layer_table",
    "measured_networks",
    "network_table",
]

KNOWN_SIGNAL_TO_NOISE = 1.0
"""Assumed of all layers of the larger networks; nobody has measured what they need."""

MANY_QUERIES = 1000

BUDGET_BITS_PER_WEIGHT = 4.0

CUT_BUDGETS_BITS = (4.0, 6.0)


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """A network with what it was measured to reach.

    Attributes:
        title: of the data and the network.
        graph: its layers; the scaling of the inputs does not matter here.
        settings: of its training; their F^2 is the design's.
        accuracy: of the test part with noise, mean of five draws, in [0, 1].
        noise_free: likewise without.
        test_samples: in the test part.
    """

    title: str
    graph: "Graph"
    settings: "TrainingSettings"
    accuracy: float
    noise_free: float
    test_samples: int

    @property
    def accuracy_error(self) -> float:
        """Binomial standard error of the accuracy."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.test_samples)


def measured_networks() -> tuple[MeasuredNetwork, ...]:
    """The networks of the page; the recipes say how they were measured."""
    from protocol.models import recipes

    digits, mnist, records = 359, 10_000, 113
    return (
        MeasuredNetwork(
            title="breast cancer, 30-64-2",
            graph=recipes.mlp((30,), (64,), 2),
            settings=recipes.BREAST_CANCER,
            accuracy=0.981,
            noise_free=0.973,
            test_samples=records,
        ),
        MeasuredNetwork(
            title="MNIST, 784-784-10",
            graph=recipes.mlp((784,), (784,), 10),
            settings=recipes.MNIST_FAINT,
            accuracy=0.971,
            noise_free=0.982,
            test_samples=mnist,
        ),
        MeasuredNetwork(
            title="digits, convolutions",
            graph=recipes.small_cnn((1, 8, 8), 10, channels=(16, 32)),
            settings=recipes.DIGITS_CNN,
            accuracy=0.979,
            noise_free=0.994,
            test_samples=digits,
        ),
        MeasuredNetwork(
            title="MNIST, convolutions",
            graph=recipes.small_cnn((1, 28, 28), 10, channels=(16, 32)),
            settings=recipes.MNIST_CNN_WIDE,
            accuracy=0.985,
            noise_free=0.990,
            test_samples=mnist,
        ),
        MeasuredNetwork(
            title="digits, transformer",
            graph=recipes.transformer((1, 8, 8), 10, patch=(2, 2)),
            settings=recipes.DIGITS_TRANSFORMER,
            accuracy=0.968,
            noise_free=0.983,
            test_samples=digits,
        ),
        MeasuredNetwork(
            title="MNIST, transformer",
            graph=recipes.transformer((1, 28, 28), 10, patch=(7, 7)),
            settings=recipes.MNIST_TRANSFORMER,
            accuracy=0.958,
            noise_free=0.968,
            test_samples=mnist,
        ),
    )


def network_table() -> str:
    """Accuracy, cost and leakage of one query of the measured networks, per receiver."""
    rows = []
    for network in measured_networks():
        ratios = network.settings.signal_to_noise
        for receiver in _receivers():
            found = _cost(loads_of(network.graph), receiver, ratios, budget=BUDGET_BITS_PER_WEIGHT)
            rows.append(
                (
                    network.title,
                    ", ".join(f"{value:g}" for value in ratios),
                    f"{100 * network.accuracy:.1f} ± {100 * network.accuracy_error:.1f} %",
                    f"{found.symbols:,}",
                    _seconds(found.line_s),
                    _name(receiver),
                    f"{_bits(found.weight_bits)} / {_bits(found.worst_weight_bits)}",
                    _bits(max(layer.kept_weight_bits for layer in found.layers)),
                    f"{found.queries_allowed:,} / {found.queries_allowed_finest:,}",
                    _bits(found.worst_data_bits_homodyne),
                    _bits(found.worst_data_bits_any),
                )
            )
    return _markdown(
        (
            "network",
            "F² per layer",
            "accuracy with noise",
            "symbols",
            "line time",
            "receiver",
            "weights, verified: mean / worst",
            "weights, kept",
            f"queries in {BUDGET_BITS_PER_WEIGHT:g} bit: whole / cut",
            "data, homodyne",
            "data, any",
        ),
        rows,
    )


def block_table() -> str:
    """What it changes that a query's data vectors are verified a few at a time.

    Of the networks that send rows more than once a query, with the receiver at which blocks of one
    data vector allow most of them queries.
    """
    rows = []
    for network in measured_networks():
        loads, ratios = loads_of(network.graph), network.settings.signal_to_noise
        if max(load.positions for load in loads) == 1:
            continue
        whole, cut = (
            _cost(loads, _cut_receiver(), ratios, inputs_per_block=inputs) for inputs in (0, 1)
        )
        worst = max(whole.layers, key=lambda layer: layer.weight_bits)
        allowed = [
            _cost(loads, _cut_receiver(), ratios, budget=budget) for budget in CUT_BUDGETS_BITS
        ]
        rows.append(
            (
                network.title,
                f"{worst.load.positions:,}",
                _bits(worst.photons_per_symbol),
                _bits(worst.weight_bits),
                " / ".join(
                    _bits(max(layer.kept_weight_bits for layer in found.layers))
                    for found in (whole, cut)
                ),
                *(
                    f"{found.queries_allowed:,} / {found.queries_allowed_finest:,}"
                    for found in allowed
                ),
                f"{_seconds(whole.line_s)} / {_seconds(cut.line_s)}",
            )
        )
    return _markdown(
        (
            "network",
            "copies K",
            "photons",
            "one query, verified",
            "one block, kept",
            *(f"queries in {budget:g} bit" for budget in CUT_BUDGETS_BITS),
            "line time",
        ),
        rows,
    )


def layer_table(title: str) -> str:
    """The layers of a measured network with the first receiver: what copies do."""
    network = next(x for x in measured_networks() if x.title == title)
    found = _cost(loads_of(network.graph), _receivers()[0], network.settings.signal_to_noise)
    rows = [
        (
            layer.load.name,
            f"{layer.load.rows} x {layer.load.entries}",
            f"{layer.load.positions:,}",
            f"{layer.symbols:,}",
            _bits(layer.photons_per_symbol),
            _bits(layer.weight_bits),
            _bits(layer.least_squares_snr),
        )
        for layer in found.layers
    ]
    columns = ("layer", "weights", "copies K", "symbols", "photons", "verified", "K F²/N")
    return _markdown(columns, rows)


def known_table() -> str:
    """Cost and leakage of larger networks, at an F^2 that nobody has measured to be enough."""
    rows = []
    for network in KNOWN_NETWORKS.values():
        for receiver in _receivers():
            once, often = (
                _cost(network.all_loads, receiver, _assumed(network), queries=queries)
                for queries in (1, MANY_QUERIES)
            )
            rows.append(
                (
                    f"{network.title}, {network.query}",
                    f"{once.weights / 1e6:,.1f} M",
                    f"{once.symbols / 1e9:.2f} G",
                    _seconds(once.light_s),
                    _seconds(once.line_s),
                    f"{max(load.positions for load in network.all_loads):,}",
                    _name(receiver),
                    f"{_bits(once.weight_bits)} / {_bits(once.worst_weight_bits)}",
                    f"{_bits(often.weight_bits)} / {_bits(often.worst_weight_bits)}",
                )
            )
    return _markdown(
        (
            "network, one query",
            "weights",
            "symbols",
            "light",
            "on the line",
            "largest K",
            "receiver",
            "1 query: mean / worst",
            f"{MANY_QUERIES} queries: mean / worst",
        ),
        rows,
    )


def _assumed(network: KnownNetwork) -> tuple[float, ...]:
    return (KNOWN_SIGNAL_TO_NOISE,) * len(network.all_loads)


def _receivers() -> "tuple[Receiver, ...]":
    from drivers.receivers import Amplifier, FeedForwardTap

    return FeedForwardTap(tap_fraction=0.1), Amplifier(gain=1.1)


def _cut_receiver() -> "Receiver":
    from drivers.receivers import FeedForwardTap

    return FeedForwardTap(tap_fraction=0.3)


def _name(receiver: "Receiver") -> str:
    return f"{receiver.kind} {receiver.setting:g}"


def _cost(
    loads: Sequence[OpticalLoad],
    receiver: "Receiver",
    signal_to_noise: Sequence[float],
    *,
    queries: int = 1,
    budget: float | None = None,
    inputs_per_block: int = 0,
) -> NetworkCost:
    """On an ideal link of 1 Gsymbol/s with the usual frames."""
    from sim_backend.settings import LinkSettings

    link = LinkSettings(receiver=receiver, symbol_rate_hz=1e9, device="cpu")
    return cost_of(
        loads,
        link,
        "real",
        signal_to_noise=signal_to_noise,
        queries=queries,
        budget_bits_per_weight=budget,
        inputs_per_block=inputs_per_block,
    )


def _bits(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}"


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the tables."""
    tables = (network_table(), layer_table("MNIST, convolutions"), block_table(), known_table())
    sys.stdout.write("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
