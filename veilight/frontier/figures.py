"""What one design leaks, to whom: a network's shape, its F^2, a receiver's setting and a link.

Training with noise fixes the signal-to-noise ratio F^2 of each optical layer and with it the
accuracy; the photons follow, mu = F^2/(4 f) per symbol with the real encoding and F^2/(2 f) with
the complex one, f the receiver's factor on its link. So for one trained network the leakage is a
function of the receiver's setting alone. Every formula is `protocol.leakage`'s.

All layers work with one receiver at one setting, and rows are not cut into tiles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from drivers.receivers import receiver as receiver_of_kind
from protocol.leakage import check_encoding
from protocol.leakage.conventions import Encoding
from veilight.frontier.layer_figures import (
    LayerDesign,
    LayerFigures,
    certified_mean,
    figures_of_layer,
    queries_allowed,
    queries_allowed_with_memory,
)
from veilight.frontier.link import DataCharge, LinkAssumptions, receiver_on_link
from veilight.frontier.shapes import LayerShape

__all__ = ["DataCharge", "LinkAssumptions", "Privacy", "privacy_of", "with_queries"]


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
        dither_p_snu: of P, as sent; 0 with the complex encoding.
        photons_per_symbol: mu at launch, one per layer; the dither's d/4 not counted.
        weight_bits: to a client or thief under verification, infinitely many tested symbols; mean.
        weight_bits_worst_layer: the same in the worst layer.
        weight_bits_unmatched_p: the mean once more, with the P that a feed-forward tap dims counted
            as noise of tau/N per symbol: the upper end of what a test of P could say.
        weight_bits_certified: the mean certified from `link.tested_symbols` at 1 - failure, as one
            number (`protocol.leakage.certified_mean`); None without them.
        weight_bits_certified_worst_layer: of the layers' own certificates, which share a failure
            probability of the same size.
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
            block and is caught: of one sample's rows, or of `link.inputs_per_block` of its data
            vectors where that says so.
        stolen_block_bits_per_weight: the same per weight, in the layer that is worst in that.
        queries_allowed: samples until the first layer's budget is spent, all of them verified but
            the last block, for clients without a memory from copy to copy; None without a budget.
        queries_allowed_with_memory: the same for a client with one memory over all copies of a
            weight (`protocol.leakage.copies`).
        symbols_per_query: modes sent for one sample.
        seconds_per_query: light time of one sample.
        assumptions: what the figures take for granted.
    """

    receiver: str
    setting: float
    encoding: Encoding
    snr_factor: float
    dither_p_snu: float
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
    queries_allowed_with_memory: int | None
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
) -> Privacy:
    """All figures of a design but the queries of a budget; see `with_queries`.

    Args:
        shapes: the optical layers.
        signal_to_noise: F^2 of each, above 0.
        receiver: with its setting.
        encoding: "real" or "complex".
        link: what is assumed.

    Raises:
        ConfigurationError: a value is out of range, the numbers of layers differ, or the receiver
            does not fit the encoding.
    """
    if not shapes or len(shapes) != len(signal_to_noise):
        raise ConfigurationError(
            f"frontier: {len(signal_to_noise)} values of F^2 for {len(shapes)} optical layers; "
            "give one per layer"
        )
    check_encoding(receiver, encoding)
    designs = _designs(shapes, signal_to_noise, receiver, encoding, link)
    layers = [figures_of_layer(design) for design in designs]
    symbols = sum(_symbols(design) for design in designs)
    data = [layer.data for layer in layers]
    homodyne = [_charged(link, entry.homodyne_local, entry.homodyne_cap) for entry in data]
    everything = [_charged(link, entry.any_local, entry.any_cap) for entry in data]
    certified = [x.weight_bits_certified for x in layers if x.weight_bits_certified is not None]
    probing = [layer.probing for layer in layers if layer.probing is not None]
    return Privacy(
        receiver=receiver.kind,
        setting=receiver.setting,
        encoding=encoding,
        snr_factor=receiver_on_link(receiver, link).snr_factor,
        dither_p_snu=designs[0].dither_p_snu,
        photons_per_symbol=tuple(layer.photons_per_symbol for layer in layers),
        weight_bits=_mean([layer.weight_bits for layer in layers], shapes),
        weight_bits_worst_layer=max(layer.weight_bits for layer in layers),
        weight_bits_unmatched_p=_mean([x.weight_bits_unmatched_p for x in layers], shapes),
        weight_bits_certified=certified_mean(designs),
        weight_bits_certified_worst_layer=max(certified, default=None),
        tested_symbols=tuple(x.tested_symbols for x in designs if x.tested_symbols is not None),
        data_bits_homodyne=max(homodyne),
        data_bits_homodyne_local=max(entry.homodyne_local for entry in data),
        data_bits_homodyne_cap=max(entry.homodyne_cap for entry in data),
        data_bits_homodyne_total=_total(homodyne, layers),
        data_bits_any=max(everything),
        data_bits_any_local=max(entry.any_local for entry in data),
        data_bits_any_cap=max(entry.any_cap for entry in data),
        data_bits_any_total=_total(everything, layers),
        data_bits_probing=max(probing, default=None),
        stolen_block_bits=max(
            layer.stolen_bits * shape.weights for layer, shape in zip(layers, shapes, strict=True)
        ),
        stolen_block_bits_per_weight=max(layer.stolen_bits for layer in layers),
        queries_allowed=None,
        queries_allowed_with_memory=None,
        symbols_per_query=symbols,
        seconds_per_query=symbols / link.symbol_rate_hz,
        assumptions=_assumptions(receiver, link),
    )


def with_queries(
    privacy: Privacy,
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    link: LinkAssumptions,
    budget_bits_per_weight: float | None,
) -> Privacy:
    """The same figures with the queries that a budget allows.

    Args:
        privacy: of `privacy_of`.
        shapes: the optical layers.
        signal_to_noise: F^2 of each.
        link: what is assumed; the dither is that of the figures.
        budget_bits_per_weight: of the server's ledger; None leaves the queries out.
    """
    if budget_bits_per_weight is None:
        return privacy
    designs = _designs(
        shapes,
        signal_to_noise,
        receiver_of_kind(privacy.receiver, privacy.setting),
        privacy.encoding,
        replace(link, dither_p_snu=privacy.dither_p_snu, tested_symbols=None),
    )
    return replace(
        privacy,
        queries_allowed=min(queries_allowed(one, budget_bits_per_weight) for one in designs),
        queries_allowed_with_memory=min(
            queries_allowed_with_memory(one, budget_bits_per_weight) for one in designs
        ),
    )


def _designs(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    receiver: Receiver,
    encoding: Encoding,
    link: LinkAssumptions,
) -> list[LayerDesign]:
    """The layers, with their shares of the tested symbols and of the failure probability."""
    designs = [
        LayerDesign(
            shape=shape,
            signal_to_noise=float(value),
            receiver=receiver,
            encoding=encoding,
            link=link,
            tested_symbols=None,
            failure=link.failure / len(shapes),
        )
        for shape, value in zip(shapes, signal_to_noise, strict=True)
    ]
    if link.tested_symbols is None:
        return designs
    session = link.tested_symbols / sum(_symbols(design) for design in designs)
    return [replace(design, tested_symbols=int(session * _symbols(design))) for design in designs]


def _symbols(design: LayerDesign) -> int:
    """Modes of one layer that are sent for one sample."""
    return design.shape.rows * design.modes * design.shape.positions


def _charged(link: LinkAssumptions, local: float, cap: float) -> float:
    return local if link.data_charge == "local" else max(local, cap)


def _mean(values: Sequence[float], shapes: Sequence[LayerShape]) -> float:
    """Over all weights."""
    pairs = zip(values, shapes, strict=True)
    return math.fsum(value * shape.weights for value, shape in pairs) / sum(
        shape.weights for shape in shapes
    )


def _total(values: Sequence[float], layers: Sequence[LayerFigures]) -> float:
    pairs = zip(values, layers, strict=True)
    return math.fsum(value * layer.data_values for value, layer in pairs)


def _assumptions(receiver: Receiver, link: LinkAssumptions) -> tuple[str, ...]:
    """What the figures take for granted, one sentence each."""
    fibres = (
        "losses of the fibres are the server's, whom nobody disturbs there"
        if link.transmittance_trusted
        else "every photon lost in the fibres is the adversary's"
    )
    said = [
        "weights: Gaussian, collective attacks, any measurement and a perfect memory; " + fibres,
        "weights: losses and noise of the server's own detector are trusted",
        f"weights: {link.copies} transmission(s) counted together"
        + (
            ""
            if link.copies > 1
            else "; a session of K queries leaks at most K times as much to clients without a "
            "memory from copy to copy, and more to one with it"
        ),
        "data: the server sends coherent states of the agreed means; squeezed probes are not "
        "covered",
        "data: every input is evaluated once; R evaluations tell like R times the rows",
    ]
    if not receiver.preserves_p:
        said.append(
            "data, homodyne and any measurement: the server sends no light in P but an agreed "
            "dither; the probing "
            + (
                "server is not counted"
                if link.probe_photons_per_mode is None
                else f"server sends up to {link.probe_photons_per_mode:g} photons per mode there"
            )
        )
    if link.dither_p_snu > 0:
        said.append(
            f"weights, real encoding: P is displaced by random means of {link.dither_p_snu:g} SNU, "
            "which the adversary learns only after the light is back"
        )
    if link.tested_symbols is not None:
        said.append(
            f"certificate: {link.tested_symbols:.3g} symbols of one session tested, shared by the "
            f"layers as they are sent, {link.tested_share_x:.0%} of them in X; wrong with a "
            f"probability of at most {link.failure:g}: the mean as one number, and once more the "
            "layers, evenly; estimates as honest light gives on average"
        )
        said.append(
            "certificate: sent amplitudes known to "
            f"{link.gain_uncertainty:g}, the shot-noise unit to {link.shot_noise_uncertainty:g}, "
            "relative standard uncertainties"
            if link.gain_uncertainty or link.shot_noise_uncertainty
            else "certificate: sent amplitudes and the shot-noise unit are taken as known exactly"
        )
    said.append(
        "data: the larger of local figure and cap counts"
        if link.data_charge == "larger"
        else "data: local figures (Fisher information, prior variance 1/N) count, which are no caps"
    )
    return tuple(said)
