"""Weight leakage certified from what the tests of several sessions counted, taken together.

Sessions of the same weights differ in brightness, receiver and calibration. Those that are alike
are one long session, and their sums are added. For the others, let w_s be the photons that came
back in a light s over those that came back in all. All V photons merge at launch into one copy, and
the returns are combined by the fixed amplitudes sqrt(photons of a copy): the merged return of V_v
of V photons has the gain sqrt(V_v/V) sum w_s h_s and, behind a channel without memory from copy to
copy, the noise sum w_s e_s, in both quadratures. All other returned modes are granted to the
client, as the kept light is. So every number that the bound needs is a sum of estimates, each of
its own sums, about its own gain, with its own detector taken out and with weights that were fixed
before anything was measured. A regression over the sums of all sessions has other weights: by the
squared amplitude in the gain, by the number of symbols in the variance.

With one memory over all copies nothing is known of single modes: the variance that counts is that
of a copy, mean over the copies, each with the same weight (`protocol.leakage.copies`: the trace
over the modes of an interferometer), the gain that of the merged return as before. Errors of
different lights may be correlated by the memory, so that their deviations add and not their
squares.

Errors. The variance of each light has a guard interval of its own; inside these the error of the
sum is known, and it is normal but for a lag as that of one light (`certified_statistics`). Lights
with too few symbols for such an interval count as kept: by their number of symbols, not by what was
measured. Calibrations may be off all together. Where a group of sessions is one light, the same
channel is taken to act on all its symbols, as within a session.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.certified import (
    CertificationDesign,
    CertifiedBits,
    certification_design,
    certified_at,
)
from protocol.leakage.certified_memory import remembered_at
from protocol.leakage.certified_statistics import (
    GUARD_SHARE,
    EstimatedQuadrature,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    normal_multiplier,
    relative_error,
    sub_gaussian_multiplier,
)
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general_untested

__all__ = ["PooledBits", "TestedLight", "pooled_weight_bits"]

# A variance that is known to half of itself; with less the others' light tells more alone.
_LEAST_KNOWN = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class TestedLight:
    """Copies that were sent, received and tested alike, with a return that passed.

    Attributes:
        copies: transmissions of the same weights, >= 1.
        modulation_snu: mean square of the sent X of a copy, above 0; of P as well with complex
            encoding.
        expected: the honest return, trusted detector taken out.
        dither_p_snu: mean square of the known displacements of P.
        trust: of the server's detector.
        dependence: of the noise of an honest return.
        tested_x: sums of all tested X symbols.
        tested_p: likewise of P.

    Raises:
        ConfigurationError: a value is out of range.
    """

    __test__ = False  # not a test class of pytest's

    copies: int
    modulation_snu: float
    expected: ReturnedChannel
    dither_p_snu: float
    trust: ServerTrust
    dependence: NoiseDependence
    tested_x: TestedQuadrature
    tested_p: TestedQuadrature

    def __post_init__(self) -> None:
        _checks.count("number of copies", self.copies)
        _checks.positive("modulation of a copy", self.modulation_snu, "SNU")
        _checks.non_negative("dither of P", self.dither_p_snu, "SNU")

    @property
    def light_snu(self) -> float:
        """Modulation of all its copies as one."""
        return self.copies * self.modulation_snu

    @property
    def remembering(self) -> NoiseDependence:
        """Correlations that one memory over all its copies can make."""
        law = self.dependence
        return replace(
            law,
            variance_inflation=self.copies * law.variance_inflation,
            gain_inflation=self.copies * law.gain_inflation,
        )


_Quadrature: TypeAlias = Callable[[TestedLight], TestedQuadrature]


@dataclass(frozen=True, kw_only=True)
class PooledBits:
    """What can have leaked of one optical symbol by all light together.

    Attributes:
        certified: behind a channel without memory from copy to copy.
        with_memory_bits: to one memory over all copies, at most.
        lights: how many of the lights were long enough to say something.
        returned_share: of all photons, those of these lights.
        symbols: of these lights, tested in X and in P.
    """

    certified: CertifiedBits
    with_memory_bits: float
    lights: int
    returned_share: float
    symbols: tuple[int, int]


def pooled_weight_bits(
    lights: Sequence[TestedLight], *, modulation_snu: float, complex_encoding: bool, failure: float
) -> PooledBits | None:
    """What all light of some weights can have told, at most, by the tests of all of it.

    Args:
        lights: that passed their tests.
        modulation_snu: mean square of X of all copies as one, kept ones as well: at least that of
            the lights.
        complex_encoding: whether P carries weights, too.
        failure: probability that the certificate is wrong, in (0, 1).

    Returns:
        The certificate, or None where no light is long enough to say anything.

    Raises:
        ConfigurationError: an argument is out of range, or the sums contradict each other.
    """
    _checks.open_fraction("failure probability", failure)
    total = _checks.positive("modulation of all light", modulation_snu, "SNU")
    returned = math.fsum(light.light_snu for light in lights)
    if returned > total * (1 + _ROUNDING):
        raise ConfigurationError(
            f"leakage: {returned:.6g} SNU of modulation came back of {total:.6g} that were sent; "
            "count all light of these weights"
        )
    known = _long_enough(lights, failure, remembering=False)
    if not known:
        return None
    design = _design(known, total, complex_encoding, failure)
    certified = certified_at(
        design, [_without_memory(known, quadrature, failure) for quadrature in _QUADRATURES]
    )
    remembered = certified.bits_per_symbol
    if sum(light.copies for light in lights) > 1:
        remembered = max(remembered, _with_memory(lights, total, complex_encoding, failure))
    return PooledBits(
        certified=certified,
        with_memory_bits=remembered,
        lights=len(known),
        returned_share=design.returned_share,
        symbols=(
            sum(light.tested_x.symbols for light in known),
            sum(light.tested_p.symbols for light in known),
        ),
    )


_QUADRATURES: tuple[_Quadrature, ...] = (
    lambda light: light.tested_x,
    lambda light: light.tested_p,
)


def _with_memory(
    lights: Sequence[TestedLight], total: float, complex_encoding: bool, failure: float
) -> float:
    m_p = total if complex_encoding else 0.0
    known = _long_enough(lights, failure, remembering=True)
    if not known:
        return weight_bits_general_untested(total, m_p)
    design = CertificationDesign(
        modulation_x_snu=total,
        modulation_p_snu=m_p,
        failure=failure,
        planes=(),
        tests_p=True,
        copies=sum(light.copies for light in known),
        returned_share=_share(known, total),
    )
    gains = [light.light_snu for light in known]
    # Traces over modes know nothing of photons: every copy's noise counts alike.
    noises = [float(light.copies) for light in known]
    parts = []
    for quadrature in _QUADRATURES:
        tested = [(quadrature(light), light.trust, light.remembering) for light in known]
        parts.append(_combined(tested, gains, noises, failure, remembering=True))
    return remembered_at(design, parts)


def _without_memory(
    known: Sequence[TestedLight], quadrature: _Quadrature, failure: float
) -> EstimatedQuadrature:
    tested = [(quadrature(light), light.trust, light.dependence) for light in known]
    photons = [light.light_snu for light in known]
    return _combined(tested, photons, photons, failure, remembering=False)


def _design(
    known: Sequence[TestedLight], total: float, complex_encoding: bool, failure: float
) -> CertificationDesign:
    """Planes for what is expected of all; from settings and counts alone."""
    copies = sum(light.copies for light in known)
    returned = math.fsum(light.light_snu for light in known)
    one = returned / copies
    weights = [light.light_snu / returned for light in known]

    def mean(values: Iterable[float]) -> float:
        return math.fsum(map(operator.mul, weights, values))

    seen = all(light.dither_p_snu > 0 for light in known)
    return certification_design(
        ReturnedChannel(
            gain_x=mean(light.expected.gain_x for light in known),
            gain_p=mean(light.expected.gain_p for light in known),
            excess_noise_x_snu=mean(light.expected.excess_noise_x_snu for light in known),
            excess_noise_p_snu=mean(light.expected.excess_noise_p_snu or 0.0 for light in known),
        ),
        modulation_x_snu=one,
        modulation_p_snu=one if complex_encoding else 0.0,
        copies=copies,
        symbols_x=sum(light.tested_x.symbols for light in known),
        symbols_p=sum(light.tested_p.symbols for light in known),
        failure=failure,
        trust=ServerTrust(efficiency=mean(light.trust.efficiency for light in known)),
        dither_p_snu=mean(light.dither_p_snu for light in known) if seen else 0.0,
        kept_copies=max(0.0, total - returned) / one,
    )


def _share(known: Sequence[TestedLight], total: float) -> float:
    return min(1.0, math.fsum(light.light_snu for light in known) / total)


def _long_enough(
    lights: Sequence[TestedLight], failure: float, *, remembering: bool
) -> list[TestedLight]:
    """Lights of which the noise is known to about half of itself, by the number of symbols."""
    most = sub_gaussian_multiplier(GUARD_SHARE * failure / (len(lights) + 1)) if lights else 0.0

    def known(light: TestedLight, tested: TestedQuadrature) -> bool:
        law = light.remembering if remembering else light.dependence
        return most * relative_error(tested.symbols - 1, law.variance_inflation)[0] <= _LEAST_KNOWN

    return [
        light for light in lights if known(light, light.tested_x) and known(light, light.tested_p)
    ]


def _combined(
    tested: Sequence[tuple[TestedQuadrature, ServerTrust, NoiseDependence]],
    gain_weights: Sequence[float],
    noise_weights: Sequence[float],
    failure: float,
    *,
    remembering: bool,
) -> EstimatedQuadrature:
    """One quadrature of all lights as one.

    Args:
        tested: sums of each light, the detector that they were taken with, and their correlations.
        gain_weights: by what each light's gain counts; divided by their sum.
        noise_weights: likewise of its noise.
        failure: of the whole certificate.
        remembering: whether the errors of different lights may be correlated in any way.
    """
    if len(tested) == 1:
        return EstimatedQuadrature.of(*tested[0], failure)
    # One guard for the variance of each light, and one for that of all.
    share = failure / (len(tested) + 1)
    parts = [EstimatedQuadrature.of(sums, trust, law, share) for sums, trust, law in tested]
    of_gain = [weight / math.fsum(gain_weights) for weight in gain_weights]
    of_noise = [weight / math.fsum(noise_weights) for weight in noise_weights]
    added = math.fsum if remembering else _root_of_squares

    def total(weights: Sequence[float], values: Iterable[float]) -> float:
        return math.fsum(map(operator.mul, weights, values))

    gain = total(of_gain, (part.gain for part in parts))
    gain_error = added([w * part.gain_error for w, part in zip(of_gain, parts, strict=True)])
    guard = normal_multiplier(GUARD_SHARE * failure / 2) * gain_error
    variance = total(of_noise, (part.variance for part in parts))
    error = added([w * part.variance_error for w, part in zip(of_noise, parts, strict=True)])
    lag = total(of_noise, (part.variance_lag for part in parts))
    # Of records of one unit of shot noise: what decides between two bounds is known beforehand.
    units = [
        weight / trust.efficiency * relative_error(sums.symbols - 1, law.variance_inflation)[0]
        for weight, (sums, trust, law) in zip(of_noise, tested, strict=True)
    ]
    lag_deviations = total(units, (part.lag_deviations for part in parts)) / added(units)
    normal = normal_multiplier(GUARD_SHARE * share)
    sub_gaussian = sub_gaussian_multiplier(GUARD_SHARE * share)
    if not remembering and normal + lag_deviations <= sub_gaussian:
        most = variance + lag + normal * error
    else:
        most = variance + sub_gaussian * error
    return EstimatedQuadrature(
        gain=gain,
        variance=variance,
        least_gain=max(0.0, gain - guard),
        most_gain=gain + guard,
        most_variance=most,
        gain_error=gain_error,
        variance_error=error,
        variance_lag=lag,
        lag_deviations=lag_deviations,
        # One calibration may stand behind all of them.
        gain_shift=total(of_gain, (part.gain_shift for part in parts)),
        variance_shift=total(of_noise, (part.variance_shift for part in parts)),
    )


def _root_of_squares(values: Sequence[float]) -> float:
    return math.hypot(*values)
