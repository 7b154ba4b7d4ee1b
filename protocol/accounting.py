"""What a finished session may have leaked, to whom: from the evidence of the tests to bits.

Losses and noise of the server's own detector are trusted and taken out; every other loss and noise
is given to the adversary.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from drivers.backend import ServerOpticsInfo
from drivers.receivers import Receiver
from protocol.leakage import (
    ChannelEstimate,
    LayerLight,
    LeakageFigure,
    LeakageSummary,
    data_figures_for_layer,
    summarise,
    weight_figures_for_layer,
)
from protocol.leakage.data_layer import PROBING_SERVER
from protocol.plan import LayerPlan, Plan
from protocol.verification import Evidence, ReturnExpectation

CALIBRATION_MARGIN = 4.75
"""One-sided normal multiplier of a failure probability of 1e-6."""

__all__ = [
    "CALIBRATION_MARGIN",
    "channel_estimate",
    "charged_data_bits",
    "data_leakage",
    "layer_name",
    "weight_leakage",
]


def layer_name(layer: LayerPlan) -> str:
    """How a layer is called in tables."""
    return f"layer {layer.layer} ({layer.rows} x {layer.entries})"


def channel_estimate(
    evidence: Evidence | None, expectation: ReturnExpectation, info: ServerOpticsInfo
) -> ChannelEstimate:
    """The channel that the server's tests saw, referred to the detector's input.

    What the calibration does not know is charged as well: the gain is lowered and the variances
    raised by `CALIBRATION_MARGIN` standard uncertainties of the calibration.

    Args:
        evidence: sums of all accepted blocks; None where nothing was or could be tested. With real
            encoding a few frames may all have been measured in P: that is no test of the gain.
        expectation: the honest return; the residuals are taken against its gain.
        info: the server's calibration.
    """
    if evidence is None or not expectation.verifiable or not evidence.mean_energy_snu.sum() > 0:
        return ChannelEstimate(transmittance=0.0)  # nothing that tells the gain was measured
    eta = info.detection_efficiency
    # Displacements of P show the gain of P, which is not the one that the weights have.
    found = evidence.gain_of(0) if expectation.dither_snu > 0 else evidence.gain
    if math.isnan(found):
        return ChannelEstimate(transmittance=0.0)
    gain = found - CALIBRATION_MARGIN * info.gain_uncertainty * expectation.gain
    margin = CALIBRATION_MARGIN * info.variance_uncertainty
    electronics = 1 + info.electronic_noise_snu + info.converter_step_snu**2 / 12
    return ChannelEstimate(
        transmittance=max(gain, 0.0) ** 2 / eta,
        excess_noise_x_snu=(evidence.variance_snu(0) * (1 + margin) - electronics) / eta,
        excess_noise_p_snu=(
            0.0
            if math.isnan(evidence.variance_snu(1))
            else (evidence.variance_snu(1) * (1 + margin) - electronics) / eta
        ),
        tested_symbols_x=int(evidence.symbols[0]),
        tested_symbols_p=int(evidence.symbols[1]),
    )


def weight_leakage(
    plan: Plan,
    receiver: Receiver,
    channels: dict[int, ChannelEstimate],
    *,
    queries: Mapping[int, int],
    confidence: float,
) -> tuple[LeakageSummary, ...]:
    """What clients may have learned of the weights.

    Args:
        plan: the session's plan.
        receiver: the agreed receiver.
        channels: `channel_estimate` per layer.
        queries: samples whose light was sent, per layer; with a convolution's positions they make
            the K copies. Layers that were not sent leak nothing and are left out.
        confidence: joint confidence of the finite-test figures over all layers.
    """
    sent = [layer for layer in plan.layers if queries.get(layer.layer, 0) > 0]
    if not sent:
        return ()
    per_layer = 1 - (1 - confidence) / len(sent)
    return summarise(
        {
            layer_name(layer): weight_figures_for_layer(
                LayerLight(
                    rows=layer.rows,
                    modes=layer.modes,
                    photons_per_symbol=layer.photons_per_symbol,
                    encoding=layer.encoding,
                    repetitions=queries[layer.layer] * layer.positions,
                ),
                receiver,
                channel=channels[layer.layer],
                confidence=per_layer,
            )
            for layer in sent
        }
    )


def data_leakage(
    plan: Plan,
    receiver: Receiver,
    *,
    return_efficiency: float = 1.0,
    probe_photons_per_mode: float | None = None,
    candidate_cosine: float = 0.5,
    dither_snu: float = 0.0,
) -> tuple[LeakageSummary, ...]:
    """What a server may have learned of one sample's data from one evaluation.

    Every layer counts: hidden activations are functions of the data. Tiles of a row and positions
    of a convolution are data vectors of their own.

    Args:
        plan: the session's plan.
        receiver: the client's receiver.
        return_efficiency: of losses behind the client that a server cannot remove.
        probe_photons_per_mode: see `protocol.leakage.data_figures_for_layer`.
        candidate_cosine: likewise.
        dither_snu: likewise.
    """
    return summarise(
        {
            layer_name(layer)
            + (f" tile {tile}" if len(layer.tiles) > 1 else ""): _at_all_positions(
                layer,
                data_figures_for_layer(
                    LayerLight(
                        rows=layer.rows,
                        modes=modes,
                        photons_per_symbol=layer.photons_per_symbol,
                        encoding=layer.encoding,
                    ),
                    receiver,
                    return_efficiency=return_efficiency,
                    probe_photons_per_mode=probe_photons_per_mode,
                    candidate_cosine=candidate_cosine,
                    dither_snu=dither_snu,
                ),
            )
            for layer in plan.layers
            for tile, modes in enumerate(layer.tiles)
        }
    )


def charged_data_bits(figures: Iterable[LeakageSummary], *, probed: bool) -> float:
    """What one evaluation is charged to an input: the largest figure that nobody exceeds, in bits.

    Args:
        figures: of `data_leakage`.
        probed: the server sends light in P that tells of the data; its figure counts, although it
            is a local one.
    """
    return max(
        figure.total_bits
        for figure in figures
        if figure.upper_bound or (probed and figure.adversary == PROBING_SERVER)
    )


def _at_all_positions(
    layer: LayerPlan, figures: tuple[LeakageFigure, ...]
) -> tuple[LeakageFigure, ...]:
    """Count every position of a convolution: each is a data vector that leaks by itself."""
    return tuple(
        replace(
            figure,
            symbols=figure.symbols * layer.positions,
            total_bits=figure.total_bits * layer.positions,
        )
        for figure in figures
    )
