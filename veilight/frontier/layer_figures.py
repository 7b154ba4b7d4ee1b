"""The leakage figures of one optical layer of a design, and the queries that a budget allows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from drivers.receivers import Receiver
from protocol.leakage import (
    data_bits_server_any_measurement_of_receiver,
    data_bits_server_any_measurement_of_receiver_cap,
    data_bits_server_homodynes_receiver,
    data_bits_server_homodynes_receiver_cap,
    data_bits_server_probes_feed_forward_tap,
)
from protocol.leakage.certified import ServerTrust
from protocol.leakage.certified_mean import ExpectedLayer
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.dithering import (
    data_bits_any_cap_with_dither,
    data_bits_any_with_dither,
    data_bits_homodyne_dither,
    data_bits_homodyne_dither_cap,
)
from protocol.leakage.general_bound import weight_bits_general, weight_bits_general_untested
from veilight.frontier.expected import expected_certificate, expected_mean_certificate
from veilight.frontier.link import LinkAssumptions, ReceiverOnLink, receiver_on_link
from veilight.frontier.shapes import LayerShape

__all__ = [
    "DataFigures",
    "LayerDesign",
    "LayerFigures",
    "certified_mean",
    "figures_of_layer",
    "queries_allowed",
    "queries_allowed_with_memory",
]


@dataclass(frozen=True, kw_only=True)
class LayerDesign:
    """One layer with everything that its leakage depends on.

    Attributes:
        shape: its sizes.
        signal_to_noise: F^2.
        receiver: with its setting.
        encoding: that the receiver can take.
        link: what is assumed.
        tested_symbols: of this layer, X and P together; None for no certificate.
        failure: this layer's share.
    """

    shape: LayerShape
    signal_to_noise: float
    receiver: Receiver
    encoding: Encoding
    link: LinkAssumptions
    tested_symbols: int | None
    failure: float

    @property
    def modes(self) -> int:
        """N, optical modes per row."""
        return math.ceil(self.shape.columns / weights_per_mode(self.encoding))

    @property
    def copies(self) -> int:
        """Transmissions of the same weights that count together."""
        return self.link.copies * self.shape.positions

    @property
    def block_inputs(self) -> int:
        """Data vectors of a block, of one sample at most."""
        positions = self.shape.positions
        return min(self.link.inputs_per_block or positions, positions)

    @property
    def photons_per_symbol(self) -> float:
        """Mean photons per symbol at launch."""
        from protocol.encoding import photons_for_signal_to_noise

        factor = receiver_on_link(self.receiver, self.link).snr_factor
        return photons_for_signal_to_noise(self.signal_to_noise, factor, self.encoding)

    @property
    def dither_p_snu(self) -> float:
        """At launch; 0 for the complex encoding, which shows the gain of P without."""
        return self.link.dither_p_snu if self.encoding == "real" else 0.0

    @property
    def modulations(self) -> tuple[float, float]:
        """Mean squares of the means in X and P where the adversary begins, of one transmission."""
        reaching = receiver_on_link(self.receiver, self.link).reaching
        variance = signal_variance_snu(self.photons_per_symbol * reaching, self.encoding)
        return variance, variance if self.encoding == "complex" else 0.0


@dataclass(frozen=True, kw_only=True)
class DataFigures:
    """Bits per real data value to a server that sends what was agreed, the dither included."""

    homodyne_local: float
    homodyne_cap: float
    any_local: float
    any_cap: float


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """Bits per real weight or per real data value; see `veilight.frontier.figures.Privacy`."""

    photons_per_symbol: float
    weight_bits: float
    weight_bits_unmatched_p: float
    weight_bits_certified: float | None
    stolen_bits: float
    data: "DataFigures"
    probing: float | None
    data_values: int


@lru_cache(maxsize=65536)
def figures_of_layer(design: LayerDesign) -> LayerFigures:
    """All figures of one layer.

    Raises:
        ConfigurationError: a value is out of range.
    """
    seen = receiver_on_link(design.receiver, design.link)
    shape, modes, encoding = design.shape, design.modes, design.encoding
    return LayerFigures(
        photons_per_symbol=design.photons_per_symbol,
        weight_bits=_verified(design),
        weight_bits_unmatched_p=_verified_unmatched(design),
        weight_bits_certified=_certified(design),
        stolen_bits=_kept(design),
        data=_data(design, seen),
        probing=_probing(design),
        data_values=modes * weights_per_mode(encoding) * shape.positions,
    )


@lru_cache(maxsize=65536)
def queries_allowed(design: LayerDesign, budget_bits_per_weight: float) -> int:
    """Samples that a layer's budget allows, the last block charged as unverified.

    Args:
        design: the layer.
        budget_bits_per_weight: of the server's ledger.
    """
    import numpy as np

    from protocol.budget import bits_per_weight, queries_within_budget

    seen = receiver_on_link(design.receiver, design.link)
    channel = seen.channel(design.modes, dither_snu=design.dither_p_snu * seen.reaching)

    def charge(verified: "np.ndarray", unverified: "np.ndarray") -> "np.ndarray":
        # Without a return nothing is ever verified.
        untested = channel.gain_x == 0
        return np.array(
            [
                bits_per_weight(
                    0.0 if untested else float(v),
                    float(u + v) if untested else float(u),
                    design.encoding,
                    transmittance=channel.gain_x**2,
                    excess_noise_x_snu=channel.excess_noise_x_snu,
                    excess_noise_p_snu=channel.excess_noise_p_snu or 0.0,
                )
                for v, u in zip(verified, unverified, strict=True)
            ]
        )

    per_query = design.photons_per_symbol * seen.reaching * design.shape.positions
    pending = design.block_inputs / design.shape.positions
    return queries_within_budget(charge, per_query, budget_bits_per_weight, pending)


@lru_cache(maxsize=65536)
def queries_allowed_with_memory(design: LayerDesign, budget_bits_per_weight: float) -> int:
    """The same against a client with one memory over all copies of a weight.

    See `protocol.leakage.copies`; `queries_allowed` takes a channel without memory between copies.

    Args:
        design: the layer.
        budget_bits_per_weight: that a weight may leak.
    """
    from protocol.budget import last_that_fits

    seen = receiver_on_link(design.receiver, design.link)
    channel = seen.channel(design.modes, dither_snu=design.dither_p_snu * seen.reaching)
    positions, pending = design.shape.positions, design.block_inputs
    budget = budget_bits_per_weight * weights_per_mode(design.encoding)

    def fits(queries: int) -> bool:
        copies = queries * positions
        returned = copies - pending
        if returned == 0 or channel.gain_x == 0:
            m_x, m_p = (copies * modulation for modulation in design.modulations)
            return weight_bits_general_untested(m_x, m_p) <= budget
        share = returned / copies
        m_x, m_p = (modulation / share for modulation in design.modulations)
        dimmed = replace(
            channel,
            gain_x=channel.gain_x * math.sqrt(share),
            gain_p=channel.gain_p * math.sqrt(share),
        )
        return weight_bits_with_memory(m_x, m_p, dimmed, returned) <= budget

    return last_that_fits(fits, 1 << 50)


def _verified(design: LayerDesign) -> float:
    """Asymptotic bits per weight under verification."""
    seen = receiver_on_link(design.receiver, design.link)
    m_x, m_p = (design.copies * modulation for modulation in design.modulations)
    dither = design.dither_p_snu * seen.reaching
    bits = weight_bits_general(
        m_x, m_p, seen.channel(design.modes, dither_snu=dither), gain_p_seen=dither > 0
    )
    return bits / weights_per_mode(design.encoding)


def _verified_unmatched(design: LayerDesign) -> float:
    """The same without a dither, the P that a tap takes out of the data mode counted as noise."""
    seen = receiver_on_link(design.receiver, design.link)
    m_x, m_p = (design.copies * modulation for modulation in design.modulations)
    # A tap's outcome has mean sqrt(tau) (q . x), so the tapped fraction is a^2.
    unmatched = 0.0 if seen.preserves_p else design.receiver.signal_gain**2
    channel = seen.channel(design.modes, unmatched_p=unmatched)
    return weight_bits_general(m_x, m_p, channel) / weights_per_mode(design.encoding)


def certified_mean(designs: Sequence[LayerDesign]) -> float | None:
    """Certified bits per weight, on average over all weights, at the link's failure probability.

    One certificate of the average, or the average of the layers' own: whichever is expected to be
    smaller, which is known before the light is on.

    Args:
        designs: all layers.

    Returns:
        The bits; None without tested symbols.

    Raises:
        ConfigurationError: a value is out of range.
    """
    separate = [figures_of_layer(design).weight_bits_certified for design in designs]
    weights = [design.shape.weights for design in designs]
    known = [bits for bits in separate if bits is not None]
    if len(known) < len(designs):
        return None
    pairs = zip(known, weights, strict=True)
    average = math.fsum(bits * count for bits, count in pairs) / sum(weights)
    if len(designs) == 1:
        return average
    layers = [_expected_layer(design) for design in designs]
    joint = expected_mean_certificate(layers, designs[0].link.failure, _trust(designs[0]))
    return average if joint is None else min(average, joint)


def _expected_layer(design: LayerDesign) -> ExpectedLayer:
    """What its certificate is designed for."""
    assert design.tested_symbols is not None
    seen, link = receiver_on_link(design.receiver, design.link), design.link
    symbols_x = round(design.tested_symbols * link.tested_share_x)
    m_x, m_p = design.modulations
    dither = design.dither_p_snu * seen.reaching
    return ExpectedLayer(
        weights=design.shape.weights,
        weights_per_symbol=weights_per_mode(design.encoding),
        channel=seen.channel(design.modes, dither_snu=dither),
        modulation_x_snu=m_x,
        modulation_p_snu=m_p,
        copies=design.copies,
        symbols_x=symbols_x,
        symbols_p=design.tested_symbols - symbols_x,
        dither_p_snu=dither,
    )


def _trust(design: LayerDesign) -> ServerTrust:
    return ServerTrust(
        efficiency=receiver_on_link(design.receiver, design.link).trusted_efficiency,
        electronic_noise_snu=design.link.server_electronic_noise_snu,
        gain_uncertainty=design.link.gain_uncertainty,
        variance_uncertainty=design.link.shot_noise_uncertainty,
    )


def _certified(design: LayerDesign) -> float | None:
    if design.tested_symbols is None:
        return None
    layer = _expected_layer(design)
    bits = expected_certificate(
        layer.channel,
        modulation_x_snu=layer.modulation_x_snu,
        modulation_p_snu=layer.modulation_p_snu,
        copies=layer.copies,
        symbols_x=layer.symbols_x,
        symbols_p=layer.symbols_p,
        failure=design.failure,
        trust=_trust(design),
        dither_p_snu=layer.dither_p_snu,
    )
    return bits / weights_per_mode(design.encoding)


def _kept(design: LayerDesign) -> float:
    """Bits per weight of all light of one block, every data vector a copy."""
    m_x, m_p = (design.block_inputs * modulation for modulation in design.modulations)
    return weight_bits_general_untested(m_x, m_p) / weights_per_mode(design.encoding)


def _data(design: LayerDesign, seen: ReceiverOnLink) -> DataFigures:
    """The server homodynes X or P, whichever tells more, or measures in any way."""
    sizes = (design.shape.rows, design.modes)
    dither = design.dither_p_snu * design.link.transmittance
    homodyne = data_bits_server_homodynes_receiver(seen, *sizes, design.encoding)
    homodyne_cap = data_bits_server_homodynes_receiver_cap(seen, *sizes, design.encoding)
    if dither == 0 or seen.preserves_p:
        return DataFigures(
            homodyne_local=homodyne,
            homodyne_cap=homodyne_cap,
            any_local=data_bits_server_any_measurement_of_receiver(seen, *sizes, design.encoding),
            any_cap=data_bits_server_any_measurement_of_receiver_cap(seen, *sizes, design.encoding),
        )
    tap, noise = design.receiver, seen.excess_noise_x_snu
    return DataFigures(
        homodyne_local=max(homodyne, data_bits_homodyne_dither(tap, dither, *sizes)),
        homodyne_cap=max(homodyne_cap, data_bits_homodyne_dither_cap(tap, dither, *sizes)),
        any_local=data_bits_any_with_dither(tap, noise, dither, *sizes),
        any_cap=data_bits_any_cap_with_dither(tap, noise, dither, *sizes),
    )


def _probing(design: LayerDesign) -> float | None:
    """A server that lights P up to the limit; where P comes back whole that adds nothing."""
    photons = design.link.probe_photons_per_mode
    if photons is None:
        return None
    seen = receiver_on_link(design.receiver, design.link)
    rows, modes = design.shape.rows, design.modes
    if seen.preserves_p:
        return data_bits_server_any_measurement_of_receiver(seen, rows, modes, design.encoding)
    return data_bits_server_probes_feed_forward_tap(
        design.receiver.signal_gain**2,
        max(photons, design.dither_p_snu * design.link.transmittance / 4),
        rows,
        modes,
        excess_noise_x_snu=seen.excess_noise_x_snu,
    )
