"""All weight-leakage figures of one layer, for reports and the command line.

The adversaries' names are the same in every layer of one encoding, so that `summarise` can add
them up.
"""

import math
from collections.abc import Callable, Iterator

from protocol.leakage import _checks
from protocol.leakage.conventions import signal_variance_snu, weights_per_mode
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.extraction import weight_bits_client_query_inside_rules
from protocol.leakage.figures import LayerLight, LeakageFigure, figure_for_layer
from protocol.leakage.finite_size import (
    ChannelBounds,
    ChannelEstimate,
    channel_bounds,
    confidence_multiplier,
    weight_bits_client_certified_complex,
    weight_bits_client_certified_real,
)
from protocol.leakage.general_bound import ReturnedChannel
from protocol.leakage.receivers import ReceiverNoise, check_encoding, returned_channel
from protocol.leakage.weights import (
    PhotonLeakage,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_fraction_complex,
    weight_bits_client_keeps_fraction_real,
    weight_bits_client_repeated,
)

__all__ = ["DEFAULT_CONFIDENCE", "weight_figures_for_layer"]

DEFAULT_CONFIDENCE = 1 - 1e-6

_TRUST = "server's devices ideal and trusted, weights taken as Gaussian"
_TEST_TRUST = (
    f"{_TRUST}, collective Gaussian attacks, no loss and no excess noise trusted, same channel "
    "for every symbol, without memory from copy to copy"
)


def weight_figures_for_layer(
    layer: LayerLight,
    receiver: ReceiverNoise,
    *,
    channel: ChannelEstimate | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    weight_entropy_bits: float | None = None,
) -> tuple[LeakageFigure, ...]:
    """Weight leakage of one layer to every client and eavesdropper, per real weight.

    The finite-test figure appears when `channel` has tested symbols. Its confidence is joint: the
    failure probability is split over the two or three bounds, with the chi-square law. The
    asymptotic figures take the estimate at face value (excess noise below 0 as 0, transmittance
    above 1 as 1).

    Args:
        layer: the layer's light.
        receiver: the client's honest receiver.
        channel: what the server's test saw; None predicts it from the receiver, lossless line.
        confidence: joint confidence of the finite-test figure, in (0, 1).
        weight_entropy_bits: H(w) of one weight, which no adversary can exceed; None if unknown.

    Raises:
        ConfigurationError: a value is out of range, the receiver does not fit the encoding, or
            the test has too few symbols.
    """
    check_encoding(receiver, layer.encoding)
    seen = channel if channel is not None else returned_channel(receiver, layer.modes)
    build = _Builder(layer, weight_entropy_bits)
    figures = [*_untested_figures(build, seen), *_asymptotic_figures(build, seen)]
    if seen.tested_symbols_x > 0:
        figures.append(_finite_test_figure(build, seen, confidence))
    figures.append(_extraction_figure(build, receiver))
    return tuple(figures)


class _Builder:
    """Turns a leakage per optical symbol into a figure per real weight after K repetitions."""

    def __init__(self, layer: LayerLight, weight_entropy_bits: float | None) -> None:
        self.layer = layer
        self.real = layer.encoding == "real"
        self.weight_entropy_bits = (
            None
            if weight_entropy_bits is None
            else _checks.positive("entropy of a weight", weight_entropy_bits, "bit")
        )

    def figure(
        self,
        adversary: str,
        leakage: PhotonLeakage,
        assumptions: str,
        *,
        upper_bound: bool = True,
        confidence: float | None = None,
    ) -> LeakageFigure:
        per_mode = weights_per_mode(self.layer.encoding)
        entropy = self.weight_entropy_bits
        bits_per_mode = weight_bits_client_repeated(
            leakage,
            self.layer.photons_per_symbol,
            self.layer.repetitions,
            weight_entropy_bits=None if entropy is None else entropy * per_mode,
        )
        return figure_for_layer(
            self.layer,
            adversary=adversary,
            secret="weights",
            assumptions=assumptions,
            upper_bound=upper_bound,
            bits_per_symbol=bits_per_mode / per_mode,
            confidence=confidence,
        )

    def certified(self, bounds: ChannelBounds) -> PhotonLeakage:
        certify: Callable[[float, ChannelBounds], float] = (
            weight_bits_client_certified_real if self.real else weight_bits_client_certified_complex
        )
        return lambda photons: certify(photons, bounds)


def _untested_figure(build: _Builder) -> LeakageFigure:
    """The adversary who keeps everything."""
    return build.figure(
        "client or thief keeping all the light",
        weight_bits_client_keeps_all_gaussian_real
        if build.real
        else weight_bits_client_keeps_all_gaussian_complex,
        _TRUST,
    )


def _untested_figures(build: _Builder, seen: ChannelEstimate) -> Iterator[LeakageFigure]:
    """Adversaries whose light nobody tests, or who only take what is visibly missing."""
    yield _untested_figure(build)
    missing = 1 - min(1.0, seen.transmittance)
    keeps_fraction = (
        weight_bits_client_keeps_fraction_real
        if build.real
        else weight_bits_client_keeps_fraction_complex
    )
    yield build.figure(
        "client or thief keeping the missing light",
        lambda photons: keeps_fraction(photons, missing),
        f"{_TRUST}, keeps the fraction {missing:.3g} that does not return and adds no noise",
    )
    if build.real:
        yield build.figure(
            "client or thief homodyning all the light",
            weight_bits_client_homodynes_all_real,
            f"{_TRUST}, no quantum memory",
            upper_bound=False,
        )


def _asymptotic_figures(build: _Builder, seen: ChannelEstimate) -> Iterator[LeakageFigure]:
    """The test taken as exact, and what it is worth when P is left out."""
    transmittance = min(1.0, seen.transmittance)
    excess_x = max(0.0, seen.excess_noise_x_snu)
    exact = ChannelBounds(
        transmittance=transmittance,
        excess_noise_x_snu=excess_x,
        excess_noise_p_snu=max(0.0, seen.excess_noise_p_snu),
    )
    yield build.figure(
        "client under verification, asymptotic",
        build.certified(exact),
        f"{_TEST_TRUST}, X and P tested, T and excess noise as found, taken as exact",
    )
    yield _memory_figure(build, exact)
    if build.real:
        x_only = ChannelBounds(
            transmittance=transmittance, excess_noise_x_snu=excess_x, excess_noise_p_snu=None
        )
        yield build.figure(
            "client measuring X without demolition, only X tested",
            build.certified(x_only),
            f"{_TEST_TRUST}, T and excess noise of X as found, taken as exact, P never tested",
        )


def _memory_figure(build: _Builder, exact: ChannelBounds) -> LeakageFigure:
    """One memory over all copies, of which the tests see averages."""
    layer, gain = build.layer, math.sqrt(exact.transmittance)
    modulation = signal_variance_snu(layer.photons_per_symbol, layer.encoding)
    channel = ReturnedChannel(
        gain_x=gain,
        gain_p=gain,
        excess_noise_x_snu=exact.excess_noise_x_snu,
        excess_noise_p_snu=exact.excess_noise_p_snu,
    )
    modulation_p = 0.0 if build.real else modulation
    per_mode = weights_per_mode(layer.encoding)
    bits = weight_bits_with_memory(modulation, modulation_p, channel, layer.repetitions) / per_mode
    entropy = build.weight_entropy_bits
    return figure_for_layer(
        layer,
        adversary="client with one memory over all copies, asymptotic",
        secret="weights",
        assumptions=(
            f"{_TRUST}, Gaussian attacks on all copies together, no loss and no excess noise "
            "trusted, X and P tested copy by copy, T and excess noise as found, taken as exact"
        ),
        upper_bound=True,
        bits_per_symbol=bits if entropy is None else min(bits, entropy),
    )


def _finite_test_figure(build: _Builder, seen: ChannelEstimate, confidence: float) -> LeakageFigure:
    number_of_bounds = 3 if seen.tested_symbols_p > 0 else 2
    bounds = channel_bounds(
        seen,
        build.layer.photons_per_symbol,
        build.layer.encoding,
        multiplier=confidence_multiplier(confidence, number_of_bounds),
        variance_law="chi_square",
    )
    tested = "X and P tested" if seen.tested_symbols_p > 0 else "only X tested"
    return build.figure(
        "client under verification, finite test",
        build.certified(bounds),
        f"{_TEST_TRUST}, {tested}, {number_of_bounds} bounds at joint confidence",
        confidence=confidence,
    )


def _extraction_figure(build: _Builder, receiver: ReceiverNoise) -> LeakageFigure:
    layer, entropy = build.layer, build.weight_entropy_bits
    per_row = weight_bits_client_query_inside_rules(
        layer.photons_per_symbol, receiver.snr_factor, layer.encoding
    )
    # Outcomes are functions of the light that arrived: they cannot hold more than all of it does.
    all_light = _untested_figure(build).bits_per_symbol
    bits = min(layer.repetitions * per_row / layer.data_symbols, all_light)
    return figure_for_layer(
        layer,
        adversary="client inside the rules (model extraction)",
        secret="weights",
        assumptions=(
            f"{_TRUST}, honest receiver with SNR factor {receiver.snr_factor:.3g}, one query per "
            "repetition; no optical test sees it"
        ),
        upper_bound=True,
        bits_per_symbol=bits if entropy is None else min(bits, entropy),
    )
