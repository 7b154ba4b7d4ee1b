"""Does the certificate contain the true leakage as often as it says? Counted, and proved."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.leakage.certified import (
    CertificationDesign,
    CertifiedBits,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
    normal_multiplier,
    sub_gaussian_multiplier,
)
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)
from tests.physics.certified_sessions import CASES, honest_channel, modulation_of, without_luck

_SESSIONS = 1000
_DITHERS = {"none": (0.0, 0.0), "both": (0.2, 0.5), "P": (0.0, 2.0)}


def _sums(
    generator: np.random.Generator,
    symbols: int,
    modulation: float,
    gain: float,
    excess: float,
    trust: ServerTrust,
) -> TestedQuadrature:
    """A session's sums drawn from their exact laws, against a reference gain that is a bit off."""
    energy = symbols * modulation
    recorded = trust.efficiency * excess + 1 + trust.electronic_noise_snu
    mean = gain * math.sqrt(trust.efficiency)
    reference = 1.001 * mean
    noise = generator.normal() * math.sqrt(recorded * energy)
    # The part of the noise along the sent means, and all other directions.
    along = noise**2 / energy if energy else 0.0
    across = recorded * generator.chisquare(symbols - (1 if energy else 0))
    moved = mean - reference
    return TestedQuadrature(
        symbols=symbols,
        sent_energy_snu=energy,
        projection_snu=mean * energy + noise,
        residual_energy_snu=across + along + 2 * moved * noise + moved**2 * energy,
        reference_gain=reference,
    )


def _session(
    design: CertificationDesign,
    true: ReturnedChannel,
    generator: np.random.Generator,
    symbols: tuple[int, int],
    modulations: tuple[float, float],
    trust: ServerTrust,
) -> CertifiedBits:
    assert true.excess_noise_p_snu is not None
    certified = certified_weight_bits(
        design,
        _sums(generator, symbols[0], modulations[0], true.gain_x, true.excess_noise_x_snu, trust),
        _sums(generator, symbols[1], modulations[1], true.gain_p, true.excess_noise_p_snu, trust),
        trust=trust,
    )
    assert certified is not None
    return certified


@pytest.mark.parametrize(
    ("receiver", "encoding", "dithers", "x_share"),
    [
        *((*case, "none", 0.5) for case in CASES),
        ("amplifier", "real", "both", 0.5),
        ("amplifier", "complex", "both", 0.5),
        ("feed-forward-tap", "real", "both", 0.5),
        ("amplifier", "real", "none", 0.88),
        ("amplifier", "real", "P", 0.1),
        ("feed-forward-tap", "real", "P", 0.1),
    ],
)
@pytest.mark.parametrize("failure", [0.05, 0.01])
@pytest.mark.parametrize("attack", ["honest", "keeps-2-percent", "adds-noise"])
def test_certificate_contains_the_leakage_when_sessions_are_counted(
    receiver: str, encoding: str, failure: float, attack: str, dithers: str, x_share: float
) -> None:
    """1000 sessions on sufficient statistics, planes from the honest channel, light from another.

    If the true rate were the stated one, more than the counted limit of failures would come with a
    probability below 1e-9 (binomial); the seed is fixed.
    """
    dither, modulations = _DITHERS[dithers], modulation_of(0.1, encoding)
    honest = honest_channel(receiver, encoding, dither_p=dither[1])
    assert honest.excess_noise_p_snu is not None
    kept = 0.02 if attack == "keeps-2-percent" else 0.0
    added = 0.004 if attack == "adds-noise" else 0.0
    true = ReturnedChannel(
        gain_x=honest.gain_x * math.sqrt(1 - kept),
        gain_p=honest.gain_p * math.sqrt(1 - kept),
        excess_noise_x_snu=honest.excess_noise_x_snu + added,
        excess_noise_p_snu=honest.excess_noise_p_snu + added,
    )
    copies, symbols_x = 5, round(600_000 * x_share)
    symbols = (symbols_x, 600_000 - symbols_x)
    trust = ServerTrust(efficiency=0.8, electronic_noise_snu=0.05)
    design = certification_design(
        honest,
        modulation_x_snu=modulations[0],
        modulation_p_snu=modulations[1],
        copies=copies,
        symbols_x=symbols[0],
        symbols_p=symbols[1],
        failure=failure,
        trust=trust,
        dither_x_snu=dither[0],
        dither_p_snu=dither[1],
    )
    leakage = weight_bits_general(
        copies * modulations[0],
        copies * modulations[1],
        true,
        gain_p_seen=encoding == "real" and dither[1] > 0,
    )
    generator = np.random.default_rng(2024)
    sent = (modulations[0] + dither[0], modulations[1] + dither[1])
    values = [
        _session(design, true, generator, symbols, sent, trust).bits_per_symbol
        for _ in range(_SESSIONS)
    ]
    failures = sum(value < leakage for value in values)
    allowed = {0.05: 97, 0.01: 34}[failure]
    assert failures <= allowed
    # And it says something: far from what all the light would give.
    untested = weight_bits_general_untested(copies * modulations[0], copies * modulations[1])
    assert float(np.median(values)) < 0.7 * untested


def test_counting_limits_fail_below_1e_9_when_the_rate_is_as_stated() -> None:
    from scipy.stats import binom

    assert binom.sf(97, _SESSIONS, 0.05) < 1e-9
    assert binom.sf(34, _SESSIONS, 0.01) < 1e-9


@pytest.mark.parametrize("degrees", [3, 10, 200, 10_000, 1_000_000])
def test_variance_estimate_is_ordered_after_its_normal_law_when_degrees_are_any(
    degrees: int,
) -> None:
    """The argument at a confidence that no test can count: the ratio of the densities rises.

    It orders the two in distribution, and sums of independent errors with them. The tails are
    compared as well.
    """
    from scipy.stats import chi2, norm

    lag = 2 + 2 / degrees
    t = np.linspace(1e-6, 3, 4000) * degrees
    slope = (degrees / 2 - 1) / t - 0.5 + (t - degrees + lag) / (2 * degrees)
    assert np.all(slope >= 0)
    law = norm(degrees - lag, math.sqrt(2 * degrees))
    assert np.all(chi2.cdf(t, degrees) <= law.cdf(t) * (1 + 1e-9))
    # And it costs little: at 1e-6, less than 13 deviations per root of the degrees.
    tight = (chi2.ppf(1e-6, degrees) - law.ppf(1e-6)) / math.sqrt(2 * degrees)
    assert 0 < tight < 13 / math.sqrt(degrees)


def test_normal_law_holds_for_the_sum_when_errors_are_many() -> None:
    """Gain and two variances, as a plane weighs them, drawn: the stated quantile is not passed.

    40000 draws at 0.01: more than 527 failures would come with a probability below 1e-9.
    """
    from scipy.stats import binom

    generator, draws, degrees = np.random.default_rng(9), 40_000, 500
    weights = (0.7, 1.0, 0.4)
    short = weights[0] * generator.normal(size=draws)
    for weight in weights[1:]:
        relative = generator.chisquare(degrees, size=draws) / degrees - 1
        short -= weight * relative / math.sqrt(2 / degrees)
    lag = (2 + 2 / degrees) / math.sqrt(2 * degrees)
    limit = normal_multiplier(0.01) * math.hypot(*weights) + sum(weights[1:]) * lag
    failures = int(np.sum(short > limit))
    assert binom.sf(527, draws, 0.01) < 1e-9
    assert 100 < failures <= 527


def test_multiplier_bounds_normal_and_chi_square_tails_when_failure_is_1e_6() -> None:
    """The fallback for correlated noise.

    A weighted sum of the errors is sub-Gaussian with the summed variance, because moment generating
    functions multiply.
    """
    from scipy.stats import chi2, norm

    for failure in (0.05, 0.01, 1e-6, 1e-9):
        z = sub_gaussian_multiplier(failure)
        assert norm.sf(z) < failure
        for degrees in (200, 10_000, 1_000_000):
            short = degrees - z * math.sqrt(2 * degrees)
            assert chi2.cdf(short, degrees) < failure
            # The log moment generating function itself: -(n/2) ln(1 + 2 s) + n s <= n s^2.
            s = np.linspace(0, 3, 50)
            assert np.all(degrees * (s - np.log1p(2 * s) / 2) <= degrees * s**2 + 1e-9)


def test_certificate_is_the_untested_bound_when_symbols_are_too_few() -> None:
    certified, _ = without_luck("amplifier", "real", 0.1, 20, 1e-6)
    assert certified.found_by == "untested"
    assert certified.bits_per_symbol == certified.untested_bits_per_symbol


def test_certificate_is_missing_when_nothing_was_tested() -> None:
    design = certification_design(
        honest_channel("amplifier", "real"),
        modulation_x_snu=0.4,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=1000,
        symbols_p=1000,
        failure=1e-6,
    )
    assert certified_weight_bits(design, None) is None


def test_certificate_grows_when_the_calibration_or_the_independence_is_worse() -> None:
    generator = np.random.default_rng(1)
    channel, symbols = honest_channel("amplifier", "real"), 10**8
    assert channel.excess_noise_p_snu is not None
    design = certification_design(
        channel,
        modulation_x_snu=0.4,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=symbols,
        symbols_p=symbols,
        failure=1e-6,
    )
    sums = [
        _sums(generator, symbols, modulation, 1.0, channel.excess_noise_x_snu, ServerTrust())
        for modulation in (0.4, 0.0)
    ]

    def bits(trust: ServerTrust, law: NoiseDependence) -> float:
        certified = certified_weight_bits(design, *sums, trust=trust, dependence=law)
        assert certified is not None
        return certified.bits_per_symbol

    plain = bits(ServerTrust(), NoiseDependence())
    for trust, law in (
        (ServerTrust(gain_uncertainty=1e-3), NoiseDependence()),
        (ServerTrust(variance_uncertainty=1e-3), NoiseDependence()),
        (ServerTrust(), NoiseDependence(variance_inflation=2.0)),
        (ServerTrust(), NoiseDependence(gain_inflation=2.0)),
        (ServerTrust(), NoiseDependence(gain_wobble=1e-6)),
    ):
        assert bits(trust, law) > plain * 1.01


def test_sums_are_refused_when_they_contradict_each_other() -> None:
    sums = TestedQuadrature(
        symbols=10,
        sent_energy_snu=100.0,
        projection_snu=100.0,
        residual_energy_snu=1.0,
        reference_gain=0.5,
    )
    with pytest.raises(ConfigurationError, match="not of one session"):
        _ = sums.variance_snu


def test_certificate_contains_the_leakage_when_a_rows_noise_is_one_number() -> None:
    """Amplifier at G = 2 on 16 modes, frame by frame: the noise of a row is correlated over it.

    The weights lie along the data, where the noise is. 400 sessions at 0.05: more than 56 failures
    would come with a probability below 1e-9 if the rate were as stated.
    """
    modes, frames, mu, failure, sessions = 16, 400, 0.5, 0.05, 400
    excess = 1.0
    generator = np.random.default_rng(77)
    data = np.full(modes, modes**-0.5)
    weights = 0.8 * generator.normal(size=(frames, 1)) + 0.6 * generator.normal(
        size=(frames, modes)
    )
    weights *= math.sqrt(4 * mu / float(np.mean(weights**2)))
    energy = float(np.sum(weights**2))
    aligned = float(np.linalg.eigvalsh(weights.T @ weights)[-1]) / energy
    mean = 1 + excess / modes
    squares = (modes - 1 + (1 + excess) ** 2) / modes
    law = NoiseDependence(
        variance_inflation=squares / mean**2, gain_inflation=(1 + excess * aligned) / mean
    )
    channel = ReturnedChannel(
        gain_x=1.0,
        gain_p=1.0,
        excess_noise_x_snu=excess / modes,
        excess_noise_p_snu=excess / modes,
    )
    design = certification_design(
        channel,
        modulation_x_snu=4 * mu,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=frames * modes,
        symbols_p=frames * modes,
        failure=failure,
    )
    leakage = weight_bits_general(4 * mu, 0.0, channel)

    def tested(sent: NDArray[np.float64]) -> TestedQuadrature:
        noise = generator.normal(size=(frames, modes))
        noise += math.sqrt(excess) * generator.normal(size=(frames, 1)) * data
        return TestedQuadrature(
            symbols=frames * modes,
            sent_energy_snu=float(np.sum(sent**2)),
            projection_snu=float(np.sum(sent * (sent + noise))),
            residual_energy_snu=float(np.sum(noise**2)),
            reference_gain=1.0,
        )

    failures, gains = 0, []
    for _ in range(sessions):
        x = tested(weights)
        certified = certified_weight_bits(design, x, tested(0 * weights), dependence=law)
        assert certified is not None
        failures += certified.bits_per_symbol < leakage
        gains.append(x.gain)
    assert failures <= 56
    # The spread of the gain is the one that the law states, and far from that of white noise.
    spread = float(np.var(gains)) * energy
    assert spread == pytest.approx(law.gain_inflation * mean, rel=0.5)
    assert law.gain_inflation > 1.4
