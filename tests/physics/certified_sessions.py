"""Honest channels and sessions without luck, for the tests of certificates."""

import math

from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage.certified import (
    CertifiedBits,
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
)
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general

AMPLIFIER = Amplifier(gain=1.3)
RECEIVERS: dict[str, Receiver] = {
    "amplifier": AMPLIFIER,
    "feed-forward-tap": FeedForwardTap(tap_fraction=0.1),
    "passive-tap": PassiveTap(tap_fraction=0.1),
}
CASES = [
    ("amplifier", "real"),
    ("amplifier", "complex"),
    ("feed-forward-tap", "real"),
    ("passive-tap", "real"),
    ("passive-tap", "complex"),
]


def honest_channel(
    name: str, encoding: str, modes: int = 784, *, dither_p: float = 0.0
) -> ReturnedChannel:
    receiver = RECEIVERS[name]
    frame = modes if encoding == "real" else modes // 2
    gain = math.sqrt(receiver.returned_transmittance)
    # The feed-forward tap keeps a part of P of the data's mode, one in so many.
    lost = 0.0
    if isinstance(receiver, FeedForwardTap):
        lost = 1 - math.sqrt(1 - receiver.tap_fraction)
    return ReturnedChannel(
        gain_x=gain,
        gain_p=gain - lost / frame,
        excess_noise_x_snu=receiver.excess_noise_x_snu / frame,
        excess_noise_p_snu=receiver.excess_noise_p_snu / frame + dither_p * lost**2 / frame,
    )


def modulation_of(mu: float, encoding: str) -> tuple[float, float]:
    return (4 * mu, 0.0) if encoding == "real" else (2 * mu, 2 * mu)


def without_luck(
    name: str,
    encoding: str,
    mu: float,
    symbols: int,
    failure: float,
    *,
    symbols_p: int | None = None,
    dither: tuple[float, float] = (0.0, 0.0),
) -> tuple[CertifiedBits, float]:
    """Certificate for estimates that equal the truth, and the asymptotic bound."""
    channel, modulations = (
        honest_channel(name, encoding, dither_p=dither[1]),
        modulation_of(mu, encoding),
    )
    assert channel.excess_noise_p_snu is not None
    counts = (symbols, symbols if symbols_p is None else symbols_p)
    design = certification_design(
        channel,
        modulation_x_snu=modulations[0],
        modulation_p_snu=modulations[1],
        copies=1,
        symbols_x=counts[0],
        symbols_p=counts[1],
        failure=failure,
        dither_x_snu=dither[0],
        dither_p_snu=dither[1],
    )
    sums = [
        TestedQuadrature(
            symbols=count,
            sent_energy_snu=count * sent,
            projection_snu=count * sent * gain,
            residual_energy_snu=(count - (sent > 0)) * (1 + excess),
            reference_gain=gain,
        )
        for count, sent, gain, excess in (
            (counts[0], modulations[0] + dither[0], channel.gain_x, channel.excess_noise_x_snu),
            (counts[1], modulations[1] + dither[1], channel.gain_p, channel.excess_noise_p_snu),
        )
    ]
    certified = certified_weight_bits(design, *sums)
    assert certified is not None
    seen = encoding == "real" and dither[1] > 0
    return certified, weight_bits_general(*modulations, channel, gain_p_seen=seen)
