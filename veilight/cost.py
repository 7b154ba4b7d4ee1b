"""What a network costs over light: symbols, line time, and what one query leaks of each layer.

Nothing is sent or simulated. Symbols are the modes of the protocol; slots are those of the line,
with preamble, guards, pilots and vacuum as a bench frames them (`drivers.optics.burst`). What the
client computes itself, the light's way through the fibre (5 us per km and layer) and the
instruments' transfers are not counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from drivers.optics.burst import BurstFormat
    from drivers.receivers import Receiver
    from protocol.leakage import ChannelEstimate, LeakageFigure
    from protocol.ledger import ChargeRule
    from protocol.models.graph import Graph
    from protocol.plan import Encoding, LayerPlan
    from sim_backend.settings import LinkSettings
    from veilight.cli._light import Setting
    from veilight.cost_frames import Frames

__all__ = ["LayerCost", "NetworkCost", "OpticalLoad", "cost_of", "loads_of"]

VERIFIED = "client under verification, asymptotic"
KEPT = "client or thief keeping all the light"
HOMODYNE = ("server homodyning whole rows", "server homodyning whole rows, cap")
ANY = ("server with any measurement", "server with any measurement, cap")


@dataclass(frozen=True, kw_only=True)
class OpticalLoad:
    """One optical layer, or several alike, as light: sizes, no weights.

    Attributes:
        name: for tables.
        rows: weight rows.
        entries: weights per row, the bias counted.
        positions: how often the rows are sent per query; the weights' copies K.
        count: how many layers are alike; each has weights of its own.

    Raises:
        ConfigurationError: a size that is no whole number of at least 1.
    """

    name: str
    rows: int
    entries: int
    positions: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "entries", "positions", "count"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"cost: {self.name}: {name} is {value!r}, it must be a whole number of at "
                    "least 1"
                )

    @property
    def weights(self) -> int:
        """Weights of all alike layers, biases counted."""
        return self.count * self.rows * self.entries


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """Cost and leakage of one load, per query.

    The leakage figures are asymptotic ones of `protocol.leakage`, of one of the alike layers.

    Attributes:
        load: what is sent.
        modes: optical modes per row.
        photons_per_symbol: mu at launch.
        signal_to_noise: F^2.
        symbols: modes of all alike layers.
        slots: on the line, a query's share of its bursts.
        bursts: a query's share.
        weight_bits: per weight after all queries, to a client or thief under verification.
        kept_weight_bits: per weight, to one that keeps all light of one block and is caught; of one
            query at most.
        least_squares_snr: of each weight, for an honest client that inverts the products of all
            queries as if its data vectors were orthogonal: (K/N) F^2.
        data_bits_homodyne: per data value, to a server that homodynes; local or cap, the larger.
        data_bits_any: the same with any measurement.
        queries_allowed: within a budget of bits per weight, the last block not yet verified; None
            without a budget.
        queries_allowed_finest: likewise with blocks of one data vector, the most that any size of
            blocks allows.
    """

    load: OpticalLoad
    modes: int
    photons_per_symbol: float
    signal_to_noise: float
    symbols: int
    slots: float
    bursts: float
    weight_bits: float
    kept_weight_bits: float
    least_squares_snr: float
    data_bits_homodyne: float
    data_bits_any: float
    queries_allowed: int | None
    queries_allowed_finest: int | None

    @property
    def data_values(self) -> int:
        """Entries of all data vectors of a query, in all alike layers."""
        return self.load.count * self.load.entries * self.load.positions


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """Cost of a query: all layers, one after the other.

    Attributes:
        layers: in their order.
        symbol_rate_hz: modes per second.
    """

    layers: tuple[LayerCost, ...]
    symbol_rate_hz: float

    @property
    def weights(self) -> int:
        """Weights, biases counted."""
        return sum(layer.load.weights for layer in self.layers)

    @property
    def symbols(self) -> int:
        """Modes per query."""
        return sum(layer.symbols for layer in self.layers)

    @property
    def slots(self) -> float:
        """Slots of the line per query."""
        return math.fsum(layer.slots for layer in self.layers)

    @property
    def light_s(self) -> float:
        """Time of the symbols alone."""
        return self.symbols / self.symbol_rate_hz

    @property
    def line_s(self) -> float:
        """Time of the line with everything that is sent around the symbols."""
        return self.slots / self.symbol_rate_hz

    @property
    def rounds(self) -> int:
        """Layers that wait for one another: as many times light goes there and back."""
        return sum(layer.load.count for layer in self.layers)

    @property
    def weight_bits(self) -> float:
        """Mean over the weights of `LayerCost.weight_bits`."""
        parts = (layer.weight_bits * layer.load.weights for layer in self.layers)
        return math.fsum(parts) / self.weights

    @property
    def worst_weight_bits(self) -> float:
        """Of the layer with most bits per weight."""
        return max(layer.weight_bits for layer in self.layers)

    @property
    def worst_data_bits_homodyne(self) -> float:
        """Of the layer with most bits per data value."""
        return max(layer.data_bits_homodyne for layer in self.layers)

    @property
    def worst_data_bits_any(self) -> float:
        """Of the layer with most bits per data value."""
        return max(layer.data_bits_any for layer in self.layers)

    @property
    def queries_allowed(self) -> int | None:
        """Of the layer whose budget is spent first; None without a budget."""
        allowed = [x.queries_allowed for x in self.layers if x.queries_allowed is not None]
        return min(allowed, default=None)

    @property
    def queries_allowed_finest(self) -> int | None:
        """Likewise with blocks of one data vector."""
        allowed = [x.queries_allowed_finest for x in self.layers]
        return min((number for number in allowed if number is not None), default=None)


def loads_of(graph: "Graph") -> tuple[OpticalLoad, ...]:
    """The optical layers of a graph."""
    loads = []
    for index in graph.optical:
        layer = graph.optical_layer(index)
        loads.append(
            OpticalLoad(
                name=f"layer {index} ({layer.kind})",
                rows=layer.rows,
                entries=layer.columns + layer.bias,
                positions=layer.positions(graph.shapes[index]),
            )
        )
    return tuple(loads)


def cost_of(
    loads: Sequence[OpticalLoad],
    link: "LinkSettings",
    encoding: "Encoding",
    *,
    signal_to_noise: Sequence[float] = (),
    photons_per_symbol: Sequence[float] = (),
    burst: "BurstFormat | None" = None,
    samples_per_block: int = 1,
    inputs_per_block: int = 0,
    largest_burst_samples: int = 1 << 24,
    queries: int = 1,
    budget_bits_per_weight: float | None = None,
    rule: "ChargeRule" = "copies apart",
    return_efficiency: float = 1.0,
) -> NetworkCost:
    """Cost and leakage of one query.

    Args:
        loads: the optical layers.
        link: receiver, losses, detectors, symbol rate and modes per frame.
        encoding: "real" or "complex".
        signal_to_noise: F^2 of each load; or
        photons_per_symbol: mu of each load.
        burst: how a bench frames a block; None takes the usual format. Its own symbol rate is not
            used.
        samples_per_block: queries that are sent together and share a burst's overhead.
        inputs_per_block: data vectors of them that are verified together, each such block in bursts
            of its own; 0 for all.
        largest_burst_samples: what the instruments' memories hold; longer blocks take more bursts.
        queries: after which `weight_bits` and `least_squares_snr` are counted; all the same
            weights, by clients who may collude.
        budget_bits_per_weight: of the server's ledger.
        rule: whom that ledger charges for.
        return_efficiency: of losses behind the client that a server cannot remove.

    Raises:
        ConfigurationError: not one number per load, a value out of range, or a receiver that does
            not fit the encoding.
    """
    from drivers.optics.burst import BurstFormat
    from protocol.leakage import check_encoding
    from veilight.cost_frames import Frames

    check_encoding(link.receiver, encoding)
    setting = _setting(loads, link, encoding, signal_to_noise, photons_per_symbol)
    for name, value in (("samples_per_block", samples_per_block), ("queries", queries)):
        if value < 1:
            raise ConfigurationError(f"cost: {name} is {value}, it must be at least 1")
    if inputs_per_block < 0:
        raise ConfigurationError(
            f"cost: inputs_per_block is {inputs_per_block}, it must be at least 0 (0: all)"
        )
    frames = Frames(
        format=burst or BurstFormat(),
        samples=samples_per_block,
        inputs=inputs_per_block,
        largest=largest_burst_samples,
    )
    return NetworkCost(
        layers=tuple(
            _layer_cost(
                load,
                plan,
                setting,
                link.receiver,
                frames,
                queries,
                None if budget_bits_per_weight is None else (budget_bits_per_weight, rule),
                return_efficiency,
            )
            for load, plan in zip(loads, setting.plan.layers, strict=True)
        ),
        symbol_rate_hz=link.symbol_rate_hz,
    )


def _setting(
    loads: Sequence[OpticalLoad],
    link: "LinkSettings",
    encoding: "Encoding",
    signal_to_noise: Sequence[float],
    photons_per_symbol: Sequence[float],
) -> "Setting":
    """The plan of the loads on the calibrated link."""
    from dataclasses import replace

    from protocol.encoding import photons_for_signal_to_noise
    from protocol.plan import LayerPlan, Plan, tile_sizes
    from protocol.verification import expected_return
    from sim_backend.symbol_link import SymbolLink
    from veilight.cli._light import Setting

    given = photons_per_symbol or signal_to_noise
    if not loads or len(given) != len(loads) or (photons_per_symbol and signal_to_noise):
        raise ConfigurationError(
            f"cost: {len(given)} values of F^2 or photons for {len(loads)} layers; give one per "
            "layer, of one kind"
        )
    optics = SymbolLink(replace(link, device="cpu"))
    info, factor = optics.server.describe(), optics.client.describe().snr_factor
    photons = photons_per_symbol or tuple(
        photons_for_signal_to_noise(value, factor, encoding) for value in signal_to_noise
    )
    per_mode = 2 if encoding == "complex" else 1
    plans = tuple(
        LayerPlan(
            layer=number,
            rows=load.rows,
            entries=load.entries,
            positions=load.positions,
            encoding=encoding,
            photons_per_symbol=light,
            # No weights are known, and leakage depends on photons alone.
            scale_snu=1.0,
            tiles=tile_sizes(math.ceil(load.entries / per_mode), link.modes_per_frame),
        )
        for number, (load, light) in enumerate(zip(loads, photons, strict=True))
    )
    return Setting(
        plan=Plan(layers=plans),
        info=info,
        snr_factor=factor,
        expectation=expected_return(info, link.receiver),
    )


def _layer_cost(
    load: OpticalLoad,
    plan: "LayerPlan",
    setting: "Setting",
    receiver: "Receiver",
    frames: "Frames",
    queries: int,
    budget: "tuple[float, ChargeRule] | None",
    return_efficiency: float,
) -> LayerCost:
    from protocol.encoding import signal_to_noise
    from protocol.leakage import client_least_squares_weight_snr

    slots, bursts = map(
        sum,
        zip(
            *(frames.per_sample(plan.rows * modes, plan.positions) for modes in plan.tiles),
            strict=True,
        ),
    )
    channel, copies = setting.channel(plan.modes, 0), queries * plan.positions
    data = _data_figures(plan, receiver, return_efficiency)
    block = min(frames.inputs or plan.positions, plan.positions)
    return LayerCost(
        load=load,
        modes=plan.modes,
        photons_per_symbol=plan.photons_per_symbol,
        signal_to_noise=signal_to_noise(plan.photons_per_symbol, setting.snr_factor, plan.encoding),
        symbols=load.count * plan.rows * plan.modes * plan.positions,
        slots=load.count * slots,
        bursts=load.count * bursts,
        weight_bits=_weight_bits(plan, receiver, channel, copies)[VERIFIED],
        kept_weight_bits=_weight_bits(plan, receiver, channel, block)[KEPT],
        least_squares_snr=client_least_squares_weight_snr(
            plan.photons_per_symbol, setting.snr_factor, copies, plan.modes, plan.encoding
        ),
        data_bits_homodyne=max(data[name] for name in HOMODYNE),
        data_bits_any=max(data[name] for name in ANY),
        queries_allowed=None if budget is None else _allowed(plan, setting, *budget, block),
        queries_allowed_finest=None if budget is None else _allowed(plan, setting, *budget, 1),
    )


def _weight_bits(
    plan: "LayerPlan", receiver: "Receiver", channel: "ChannelEstimate", copies: int
) -> dict[str, float]:
    """Bits per weight after so many transmissions, by adversary."""
    from protocol.leakage import LayerLight, weight_figures_for_layer

    light = LayerLight(
        rows=plan.rows,
        modes=plan.modes,
        photons_per_symbol=plan.photons_per_symbol,
        encoding=plan.encoding,
        repetitions=copies,
    )
    return _bits(weight_figures_for_layer(light, receiver, channel=channel))


def _data_figures(
    plan: "LayerPlan", receiver: "Receiver", return_efficiency: float
) -> dict[str, float]:
    """Bits per data value; of tiles, the worst."""
    from protocol.leakage import LayerLight, data_figures_for_layer

    found = [
        _bits(
            data_figures_for_layer(
                LayerLight(
                    rows=plan.rows,
                    modes=modes,
                    photons_per_symbol=plan.photons_per_symbol,
                    encoding=plan.encoding,
                ),
                receiver,
                return_efficiency=return_efficiency,
            )
        )
        for modes in sorted(set(plan.tiles))
    ]
    return {name: max(figures[name] for figures in found) for name in found[0]}


def _bits(figures: "Sequence[LeakageFigure]") -> dict[str, float]:
    return {figure.adversary: figure.bits_per_symbol for figure in figures}


def _allowed(
    plan: "LayerPlan", setting: "Setting", budget: float, rule: "ChargeRule", block: int
) -> int:
    """Queries with blocks of so many data vectors, of one query at most."""
    from protocol.budget import charge_for_layer, queries_within_budget
    from protocol.honest_channel import server_trust

    charge = charge_for_layer(plan, setting.expectation, server_trust(setting.info), rule)
    per_query = plan.photons_per_symbol * plan.positions
    return queries_within_budget(charge, per_query, budget, block / plan.positions)
