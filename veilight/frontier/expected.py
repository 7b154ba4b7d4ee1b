"""The certificate that an honest session of a given length is expected to get.

The rules are those of real sessions (`protocol.leakage.certified`); only the sums that its tests
count are put at what honest light gives on average.
"""

from collections.abc import Sequence
from functools import lru_cache

from protocol.leakage.certified import (
    ServerTrust,
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
)
from protocol.leakage.certified_mean import (
    ExpectedLayer,
    TestedLayer,
    certified_mean_bits,
    mean_design,
)
from protocol.leakage.certified_memory import certified_bits_with_memory
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general_untested

__all__ = ["expected_certificate", "expected_mean_certificate"]

_FEWEST_SYMBOLS = 2


@lru_cache(maxsize=65536)
def expected_certificate(
    channel: ReturnedChannel,
    *,
    modulation_x_snu: float,
    modulation_p_snu: float,
    copies: int,
    symbols_x: int,
    symbols_p: int,
    failure: float,
    trust: ServerTrust,
    dither_p_snu: float = 0.0,
    with_memory: bool = False,
) -> float:
    """Bits per optical symbol, at most, if the estimates come out as an honest return makes them.

    The noise of one symbol is taken as independent of the next one's; an honest receiver's noise,
    shared by the N modes of a row, makes the error of a variance larger by about ell^2/(2 N), a
    thousandth at the settings of a frontier.

    Args:
        channel: the honest return, trusted parts taken out; both excess noises given.
        modulation_x_snu: mean square of the sent X of one copy, above 0.
        modulation_p_snu: the same for P, 0 for the real encoding.
        copies: K, counted together.
        symbols_x: tested in X; with fewer than 2 in X or in P nothing is certified.
        symbols_p: tested in P.
        failure: probability that the certificate is wrong.
        trust: what of losses and noise is the server's own.
        dither_p_snu: of one copy, where the adversary begins; `channel` then has its gain.
        with_memory: whether one memory may meet all copies (`protocol.leakage.certified_memory`).

    Raises:
        ConfigurationError: a value is out of range.
    """
    untested = weight_bits_general_untested(copies * modulation_x_snu, copies * modulation_p_snu)
    if min(symbols_x, symbols_p) < _FEWEST_SYMBOLS or channel.gain_x == 0:
        return untested
    design = certification_design(
        channel,
        modulation_x_snu=modulation_x_snu,
        modulation_p_snu=modulation_p_snu,
        copies=copies,
        symbols_x=symbols_x,
        symbols_p=symbols_p,
        failure=failure,
        trust=trust,
        dither_p_snu=dither_p_snu,
    )
    tested = (
        _expected_sums(
            symbols_x, modulation_x_snu, channel.gain_x, channel.excess_noise_x_snu, trust
        ),
        _expected_sums(
            symbols_p,
            modulation_p_snu + dither_p_snu,
            channel.gain_p,
            channel.excess_noise_p_snu or 0.0,
            trust,
        ),
    )
    if with_memory:
        bits = certified_bits_with_memory(design, *tested, trust=trust)
    else:
        certified = certified_weight_bits(design, *tested, trust=trust)
        bits = None if certified is None else certified.bits_per_symbol
    return untested if bits is None else min(untested, bits)


def expected_mean_certificate(
    layers: Sequence[ExpectedLayer], failure: float, trust: ServerTrust
) -> float | None:
    """Bits per weight, on average over all layers, certified as one number.

    Args:
        layers: of the network.
        failure: probability that the average is wrong.
        trust: what of losses and noise is the server's own.

    Returns:
        The bits; None where a layer has too few symbols or nothing comes back.
    """
    fewest = min(min(layer.symbols_x, layer.symbols_p) for layer in layers)
    if fewest < _FEWEST_SYMBOLS or any(layer.channel.gain_x == 0 for layer in layers):
        return None
    tested = [
        TestedLayer(
            tested_x=_expected_sums(
                layer.symbols_x,
                layer.modulation_x_snu,
                layer.channel.gain_x,
                layer.channel.excess_noise_x_snu,
                trust,
            ),
            tested_p=_expected_sums(
                layer.symbols_p,
                layer.modulation_p_snu + layer.dither_p_snu,
                layer.channel.gain_p,
                layer.channel.excess_noise_p_snu or 0.0,
                trust,
            ),
        )
        for layer in layers
    ]
    return certified_mean_bits(mean_design(layers, failure, trust), tested)


def _expected_sums(
    symbols: int, modulation: float, gain: float, excess: float, trust: ServerTrust
) -> TestedQuadrature:
    """Sums over `symbols` as recorded, of which a fit of the gain takes one degree of freedom."""
    recorded_gain = trust.efficiency**0.5 * gain
    free = symbols - (1 if modulation > 0 else 0)
    return TestedQuadrature(
        symbols=symbols,
        sent_energy_snu=symbols * modulation,
        projection_snu=symbols * modulation * recorded_gain,
        residual_energy_snu=free * (1 + trust.efficiency * excess + trust.electronic_noise_snu),
        reference_gain=recorded_gain,
    )
