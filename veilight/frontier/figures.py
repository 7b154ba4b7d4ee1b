"""What one design leaks, to whom: a network's shape, its F^2, a receiver's setting and a link.

Training with noise fixes the signal-to-noise ratio F^2 of each optical layer and with it the
accuracy; the photons follow, mu = F^2/(4 f) per symbol with the real encoding and F^2/(2 f) with
the complex one, f the receiver's factor on its link. So for one trained network the leakage is a
function of the receiver's setting alone. Every formula is `protocol.leakage`'s.

All layers work with one receiver at one setting, and rows are not cut into tiles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from protocol.leakage import (
    check_encoding,
    data_bits_server_any_measurement_of_receiver,
    data_bits_server_any_measurement_of_receiver_cap,
    data_bits_server_homodynes_receiver,
    data_bits_server_homodynes_receiver_cap,
    data_bits_server_probes_feed_forward_tap,
)
from protocol.leakage.certified import ServerTrust
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.general_bound import weight_bits_general, weight_bits_general_untested
from veilight.frontier.expected import expected_certificate
from veilight.frontier.link import DataCharge, LinkAssumptions, ReceiverOnLink, receiver_on_link
from veilight.frontier.shapes import LayerShape

__all__ = ["DataCharge", "LinkAssumptions", "Privacy", "privacy_of"]


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """Every figure of one design.

    "Worst layer" is the layer in which the figure is largest. Means are over all weights. The
    weights' figures are per real weight and per `link.copies` transmissions; of a layer whose rows
    are sent at several positions, these count as copies too. The data's figures are per real data
    value of one input of a layer (a patch or a token is an input of its own), for a server that
    sends honest coherent states; the totals are for one sample, over all layers and positions.

    Attributes:
        receiver: kind.
        setting: gain or tapped fraction.
        encoding: "real" or "complex".
        snr_factor: f on the link.
        photons_per_symbol: mu at launch, one per layer.
        weight_bits: to a client or thief under verification, infinitely many tested symbols; mean.
        weight_bits_worst_layer: the same in the worst layer.
        weight_bits_unmatched_p: the mean once more, with the P that a feed-forward tap dims counted
            as noise of tau/N per symbol: the upper end of what a test of P could say.
        weight_bits_certified: the mean certified from `link.tested_symbols` at 1 - failure; None
            without them.
        weight_bits_certified_worst_layer: likewise.
        tested_symbols: X and P together, one number per layer; empty without.
        data_bits_homodyne: to a server that homodynes whole rows; worst layer, as charged.
        data_bits_homodyne_local: by Fisher information; worst layer.
        data_bits_homodyne_cap: cap for any prior; worst layer.
        data_bits_homodyne_total: as charged, one sample.
        data_bits_any: to a server with any measurement; worst layer, as charged.
        data_bits_any_local: by quantum Fisher information; worst layer.
        data_bits_any_cap: Holevo's cap; worst layer.
        data_bits_any_total: as charged, one sample.
        data_bits_probing: to a server that puts light up to the client's limit into P, and with any
            measurement; local, worst layer. None without a limit.
        stolen_block_bits: total bits, in the worst layer, of a client that keeps all light of one
            sample's rows and is caught.
        stolen_block_bits_per_weight: the same per weight, in the layer that is worst in that.
        queries_allowed: samples until the first layer's budget is spent, all of them verified but
            the last; None without a budget.
        symbols_per_query: modes sent for one sample.
        seconds_per_query: light time of one sample.
        assumptions: what the figures take for granted.
    """

    receiver: str
    setting: float
    encoding: Encoding
    snr_factor: float
    photons_per_symbol: tuple[float, ...]
    weight_bits: float
    weight_bits_worst_layer: float
    weight_bits_unmatched_p: float
    weight_bits_certified: float | None
    weight_bits_certified_worst_layer: float | None
    tested_symbols: tuple[int, ...]
    data_bits_homodyne: float
    data_bits_homodyne_local: float
    data_bits_homodyne_cap: float
    data_bits_homodyne_total: float
    data_bits_any: float
    data_bits_any_local: float
    data_bits_any_cap: float
    data_bits_any_total: float
    data_bits_probing: float | None
    stolen_block_bits: float
    stolen_block_bits_per_weight: float
    queries_allowed: int | None
    symbols_per_query: int
    seconds_per_query: float
    assumptions: tuple[str, ...]

    @property
    def charged_weight_bits(self) -> float:
        """The certified mean where there is one, else the asymptotic one."""
        return (
            self.weight_bits if self.weight_bits_certified is None else self.weight_bits_certified
        )

    @property
    def homodyne_charged_by(self) -> str:
        """Which figure `data_bits_homodyne` is: "local" or "cap"."""
        return "local" if self.data_bits_homodyne == self.data_bits_homodyne_local else "cap"

    @property
    def any_charged_by(self) -> str:
        """Which figure `data_bits_any` is: "local" or "cap"."""
        return "local" if self.data_bits_any == self.data_bits_any_local else "cap"


def privacy_of(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    receiver: Receiver,
    encoding: Encoding,
    link: LinkAssumptions,
    *,
    budget_bits_per_weight: float | None = None,
) -> Privacy:
    """All figures of a design.

    Args:
        shapes: the optical layers.
        signal_to_noise: F^2 of each, above 0.
        receiver: with its setting.
        encoding: "real" or "complex".
        link: what is assumed.
        budget_bits_per_weight: of the server's ledger; None leaves `queries_allowed` out.

    Raises:
        ConfigurationError: a value is out of range, the numbers of layers differ, or the receiver
            does not fit the encoding.
    """
    _check_layers(shapes, signal_to_noise)
    check_encoding(receiver, encoding)
    symbols = [shape.rows * _modes(shape, encoding) * shape.positions for shape in shapes]
    tested = _tested_symbols(symbols, link)
    designs = [
        _Design(
            shape=shape,
            signal_to_noise=float(value),
            receiver=receiver,
            encoding=encoding,
            link=link,
            tested_symbols=number,
            failure=link.failure / len(shapes),
        )
        for shape, value, number in zip(shapes, signal_to_noise, tested, strict=True)
    ]
    layers = [_layer_figures(design) for design in designs]
    calibrated = receiver_on_link(receiver, link)
    total = sum(symbols)
    return Privacy(
        receiver=receiver.kind,
        setting=receiver.setting,
        encoding=encoding,
        snr_factor=calibrated.snr_factor,
        photons_per_symbol=tuple(layer.photons for layer in layers),
        **_weights_together(layers, shapes, certified=link.tested_symbols is not None),
        tested_symbols=() if link.tested_symbols is None else tuple(tested),
        **_data_together(layers, link),
        stolen_block_bits=max(
            layer.stolen * shape.weights for layer, shape in zip(layers, shapes, strict=True)
        ),
        stolen_block_bits_per_weight=max(layer.stolen for layer in layers),
        queries_allowed=(
            None
            if budget_bits_per_weight is None
            else min(_queries_allowed(design, budget_bits_per_weight) for design in designs)
        ),
        symbols_per_query=total,
        seconds_per_query=total / link.symbol_rate_hz,
        assumptions=_assumptions(calibrated, link),
    )
