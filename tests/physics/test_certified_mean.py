"""The average over layers certified as one number: counted, and beside the layers' own."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
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
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)

MODES = 784
ROWS = (784, 10)
TRUST = ServerTrust(efficiency=0.8, electronic_noise_snu=0.05)
SESSIONS = 1000


def honest(receiver: Receiver) -> ReturnedChannel:
    gain = math.sqrt(receiver.returned_transmittance)
    return ReturnedChannel(
        gain_x=gain,
        gain_p=gain,
        excess_noise_x_snu=receiver.excess_noise_x_snu / MODES,
        excess_noise_p_snu=receiver.excess_noise_p_snu / MODES,
    )


def layers(
    receiver: Receiver, photons: tuple[float, float], symbols: int, copies: int = 1
) -> list[ExpectedLayer]:
    """784-784-10 with the real encoding; layers get symbols as they have rows."""
    return [
        ExpectedLayer(
            weights=rows * MODES,
            weights_per_symbol=1,
            channel=honest(receiver),
            modulation_x_snu=4 * mu,
            modulation_p_snu=0.0,
            copies=copies,
            symbols_x=round(symbols * rows / sum(ROWS)),
            symbols_p=round(symbols * rows / sum(ROWS)),
        )
        for rows, mu in zip(ROWS, photons, strict=True)
    ]


def expected_sums(symbols: int, modulation: float, gain: float, excess: float) -> TestedQuadrature:
    """What is counted if every estimate comes out as expected."""
    recorded = math.sqrt(TRUST.efficiency) * gain
    variance = 1 + TRUST.efficiency * excess + TRUST.electronic_noise_snu
    return TestedQuadrature(
        symbols=symbols,
        sent_energy_snu=symbols * modulation,
        projection_snu=symbols * modulation * recorded,
        residual_energy_snu=(symbols - (modulation > 0)) * variance,
        reference_gain=recorded,
    )


def drawn_sums(
    generator: np.random.Generator, symbols: int, modulation: float, gain: float, excess: float
) -> TestedQuadrature:
    """Sufficient statistics of one session: a normal gain and a chi-square variance."""
    recorded = math.sqrt(TRUST.efficiency) * gain
    variance = 1 + TRUST.efficiency * excess + TRUST.electronic_noise_snu
    if modulation == 0:
        residual = variance * generator.chisquare(symbols)
        return TestedQuadrature(
            symbols=symbols,
            sent_energy_snu=0.0,
            projection_snu=0.0,
            residual_energy_snu=residual,
            reference_gain=recorded,
        )
    energy = symbols * modulation
    found = recorded + generator.normal() * math.sqrt(variance / energy)
    residual = variance * generator.chisquare(symbols - 1)
    return TestedQuadrature(
        symbols=symbols,
        sent_energy_snu=energy,
        projection_snu=energy * found,
        residual_energy_snu=residual,
        reference_gain=found,
    )


def as_expected(expected: list[ExpectedLayer]) -> list[TestedLayer]:
    return [
        TestedLayer(
            tested_x=expected_sums(
                layer.symbols_x,
                layer.modulation_x_snu,
                layer.channel.gain_x,
                layer.channel.excess_noise_x_snu,
            ),
            tested_p=expected_sums(
                layer.symbols_p,
                0.0,
                layer.channel.gain_p,
                layer.channel.excess_noise_p_snu or 0.0,
            ),
        )
        for layer in expected
    ]


def separate(expected: list[ExpectedLayer], failure: float) -> float:
    """The average of the layers' own certificates, whose failures add up to `failure`."""
    total = sum(layer.weights for layer in expected)
    bits = []
    for layer, tested in zip(expected, as_expected(expected), strict=True):
        design = certification_design(
            layer.channel,
            modulation_x_snu=layer.modulation_x_snu,
            modulation_p_snu=0.0,
            copies=layer.copies,
            symbols_x=layer.symbols_x,
            symbols_p=layer.symbols_p,
            failure=failure / len(expected),
            trust=TRUST,
        )
        found = certified_weight_bits(design, tested.tested_x, tested.tested_p, trust=TRUST)
        assert found is not None
        bits.append(found.bits_per_symbol * layer.weights / total)
    return math.fsum(bits)


@pytest.mark.parametrize(
    "receiver", [FeedForwardTap(tap_fraction=0.1), Amplifier(gain=1.1)], ids=lambda r: r.kind
)
@pytest.mark.parametrize("attack", ["honest", "keeps-2-percent", "adds-noise"])
@pytest.mark.parametrize("failure", [0.05, 0.01])
def test_average_contains_the_leakage_when_sessions_are_counted(
    receiver: Receiver, attack: str, failure: float
) -> None:
    """At the stated rate, more failures than allowed would come with a probability below 1e-9."""
    expected = layers(receiver, (0.3, 2.0), 3_000_000)
    kept = 0.02 if attack == "keeps-2-percent" else 0.0
    added = 0.004 if attack == "adds-noise" else 0.0
    design = mean_design(expected, failure, TRUST)
    generator, total = np.random.default_rng(7), sum(layer.weights for layer in expected)
    gain = expected[0].channel.gain_x * math.sqrt(1 - kept)
    excess_x = expected[0].channel.excess_noise_x_snu + added
    excess_p = (expected[0].channel.excess_noise_p_snu or 0.0) + added
    true = ReturnedChannel(
        gain_x=gain, gain_p=gain, excess_noise_x_snu=excess_x, excess_noise_p_snu=excess_p
    )
    leakage = math.fsum(
        weight_bits_general(layer.modulation_x_snu, 0.0, true) * layer.weights / total
        for layer in expected
    )
    values = [
        certified_mean_bits(
            design,
            [
                TestedLayer(
                    tested_x=drawn_sums(
                        generator, layer.symbols_x, layer.modulation_x_snu, gain, excess_x
                    ),
                    tested_p=drawn_sums(generator, layer.symbols_p, 0.0, gain, excess_p),
                )
                for layer in expected
            ],
        )
        for _ in range(SESSIONS)
    ]
    allowed = {0.05: 97, 0.01: 34}[failure]
    assert binom.sf(allowed, SESSIONS, failure) < 1e-9
    assert sum(value < leakage for value in values) <= allowed
    assert float(np.median(values)) < 0.5 * design.untested_bits


@pytest.mark.parametrize("symbols", [1e7, 1e8, 1e9], ids="{:.0e}".format)
def test_one_number_is_smaller_than_the_layers_own_together(symbols: float) -> None:
    expected = layers(FeedForwardTap(tap_fraction=0.1), (0.4, 5.0), int(symbols / 2))
    joint = certified_mean_bits(mean_design(expected, 1e-6, TRUST), as_expected(expected))
    assert joint < 0.92 * separate(expected, 1e-6)
    exact = math.fsum(
        weight_bits_general(layer.modulation_x_snu, 0.0, layer.channel) * layer.weights
        for layer in expected
    ) / sum(layer.weights for layer in expected)
    assert joint > exact


def test_one_layer_alone_has_the_certificate_of_its_plane() -> None:
    expected = layers(FeedForwardTap(tap_fraction=0.1), (0.4, 5.0), 50_000_000)[:1]
    joint = certified_mean_bits(mean_design(expected, 1e-6, TRUST), as_expected(expected))
    assert joint == pytest.approx(separate(expected, 1e-6), rel=1e-12)


def test_untested_light_bounds_the_average_when_symbols_are_few() -> None:
    expected = layers(FeedForwardTap(tap_fraction=0.1), (0.4, 5.0), 400)
    joint = certified_mean_bits(mean_design(expected, 1e-6, TRUST), as_expected(expected))
    untested = (
        784 * weight_bits_general_untested(1.6) + 10 * weight_bits_general_untested(20)
    ) / 794
    assert joint == pytest.approx(untested, rel=1e-12)


@pytest.mark.parametrize("symbols", [3, 30, 300])
@pytest.mark.parametrize("photons", [1e-4, 0.4])
def test_average_is_bounded_when_a_layer_has_next_to_no_symbols(
    symbols: int, photons: float
) -> None:
    """Errors larger than the gain: slopes of 0, variances that nobody knows."""
    receiver = PassiveTap(tap_fraction=0.02)
    expected = [
        layers(receiver, (photons, 5.0), count, copies=161)[0] for count in (symbols, 50_000_000)
    ]
    joint = certified_mean_bits(mean_design(expected, 1e-3, TRUST), as_expected(expected))
    untested = weight_bits_general_untested(161 * expected[0].modulation_x_snu)
    assert untested / 2 < joint <= untested * (1 + 1e-12)


def test_average_is_refused_when_layers_are_missing() -> None:
    expected = layers(FeedForwardTap(tap_fraction=0.1), (0.4, 5.0), 10_000)
    with pytest.raises(ConfigurationError, match="1 layers were tested, the design is for 2"):
        certified_mean_bits(mean_design(expected, 1e-6, TRUST), as_expected(expected)[:1])
    with pytest.raises(ConfigurationError, match="at least one layer"):
        mean_design([], 1e-6)
