"""What one layer's light can have leaked of its weights, as a certificate states it.

Copies that did not pass are kept light: they are certified together with the copies that passed, as
one transmission of which a part comes back, and never by a sum of bits
(`protocol.leakage.certified`). Over all sessions of a ledger the tests of all of them are taken
together (`protocol.leakage.certified_pool`); light of which the ledger has no sums is kept light.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.certificates.record import LayerRecord, LayerThresholds
from protocol.certificates.statement import Estimate, LayerBits
from protocol.leakage.certified import (
    CertifiedBits,
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
from protocol.leakage.certified_pool import pooled_weight_bits
from protocol.leakage.certified_statistics import LEAST_SYMBOLS
from protocol.leakage.conventions import signal_variance_snu, weights_per_mode
from protocol.leakage.general_bound import weight_bits_general_untested

__all__ = ["CertifiedLayer", "LightBits", "certified_layer", "mean_as_one"]

# Sums of photons round; a millionth of a copy is no transmission.
_NO_COPY = 1e-6


@dataclass(frozen=True, kw_only=True)
class LightBits:
    """Bits per weight of some light.

    Attributes:
        without_memory: behind a channel without memory from copy to copy.
        with_memory: to one memory over all copies, at most.
        tested_share: of all photons, those whose return is known by tests.
    """

    without_memory: float
    with_memory: float
    tested_share: float


@dataclass(frozen=True, kw_only=True)
class CertifiedLayer:
    """One layer in a server's statement.

    Attributes:
        bits: of the session.
        everything: of all sessions that the ledger knows, by the tests of all of them; None without
            a ledger.
        estimates: with their confidence region; none where nothing was tested. Those of all
            sessions together are named so.
    """

    bits: LayerBits
    everything: LightBits | None
    estimates: tuple[Estimate, ...]


def certified_layer(
    plan: LayerThresholds, counted: LayerRecord, trust: ServerTrust, failure: float
) -> CertifiedLayer:
    """Certify a layer from what was fixed and what was counted.

    Args:
        plan: fixed beforehand.
        counted: of the session; some light was sent.
        trust: of the server's detector.
        failure: probability that the layer's figure is wrong, in (0, 1).

    Raises:
        ConfigurationError: the sums contradict each other.
    """
    light = _Light(plan=plan, counted=counted, trust=trust, failure=failure)
    found, certified = light.bits(0.0)
    everything, together = _everything(light, found)
    untested = _untested(plan, light.sent)
    symbols = _symbols([counted.tested_x, counted.tested_p])
    return CertifiedLayer(
        bits=LayerBits(
            layer=plan.name,
            adversary="client or thief",
            secret_values=plan.weights,
            copies_verified=counted.copies_verified,
            copies_unverified=counted.copies_unverified,
            bits_per_value=found.without_memory,
            bits_untested=untested,
            total_bits=found.without_memory * plan.weights,
            certified=found.without_memory < untested,
            bits_with_memory=found.with_memory,
        ),
        everything=everything,
        estimates=(
            *(() if certified is None else _estimates(plan.name, certified, symbols)),
            *together,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Light:
    """One layer's light of a session."""

    plan: LayerThresholds
    counted: LayerRecord
    trust: ServerTrust
    failure: float

    @property
    def sent(self) -> int:
        """Copies, at most, of any row."""
        return self.counted.copies_verified + self.counted.copies_unverified

    def bits(self, earlier: float) -> tuple[LightBits, CertifiedBits | None]:
        """Of this light and of so many earlier copies that are taken as kept."""
        plan, counted = self.plan, self.counted
        untested = _untested(plan, self.sent + earlier)
        nothing = LightBits(without_memory=untested, with_memory=untested, tested_share=0.0), None
        if not plan.verifiable or counted.tested_x is None or counted.copies_verified == 0:
            return nothing
        m_x, m_p = _modulation(plan)
        # The planned copies, not those that were sent: fixed beforehand, and never fewer. How many
        # of them did not pass is a count of blocks, as the number of tested symbols is. Rows of
        # which fewer were sent tell no more than rows of which as many were.
        planned = max(plan.copies, self.sent)
        design = certification_design(
            plan.expected,
            modulation_x_snu=m_x,
            modulation_p_snu=m_p,
            copies=planned - counted.copies_unverified,
            symbols_x=plan.symbols_x,
            symbols_p=plan.symbols_p,
            failure=self.failure,
            trust=self.trust,
            dither_p_snu=plan.dither_p_snu,
            kept_copies=counted.copies_unverified + earlier,
        )
        x, p, law = counted.tested_x, counted.tested_p, counted.dependence
        certified = certified_weight_bits(design, x, p, trust=self.trust, dependence=law)
        worst = certified_bits_with_memory(design, x, p, trust=self.trust, dependence=law)
        if certified is None or worst is None:
            return nothing
        share = weights_per_mode(plan.encoding)
        bits = min(untested, certified.bits_per_symbol / share)
        remembered = bits if design.copies == 1 else min(untested, worst / share)
        # The worst corner with a memory is no better than that without; a search rounds.
        found = LightBits(
            without_memory=bits,
            with_memory=max(bits, remembered),
            tested_share=design.returned_share,
        )
        return found, certified


def _everything(light: _Light, alone: LightBits) -> tuple[LightBits | None, tuple[Estimate, ...]]:
    """All light of the ledger, by all tests that it has sums of; and what these found.

    Which tests count is decided by how much light they are of, and not by what they found.
    """
    plan, photons = light.plan, light.counted.ledger_photons
    if photons is None:
        return None, ()
    earlier = photons / plan.photons_per_symbol - light.sent
    if earlier <= _NO_COPY:
        return alone, ()
    by_this, lights = light.bits(earlier)[0], light.counted.pooled
    if not lights:
        return by_this, ()
    # The ledger counts the row with most of all light, the sums that with fewest of their own.
    sent = max(photons, math.fsum(one.photons for one in lights))
    pooled = pooled_weight_bits(
        [one.light for one in lights],
        modulation_snu=signal_variance_snu(sent, plan.encoding),
        complex_encoding=plan.encoding == "complex",
        failure=light.failure,
    )
    if pooled is None or pooled.returned_share <= by_this.tested_share:
        return by_this, ()
    share = weights_per_mode(plan.encoding)
    found = LightBits(
        without_memory=pooled.certified.bits_per_symbol / share,
        with_memory=pooled.with_memory_bits / share,
        tested_share=pooled.returned_share,
    )
    return found, _estimates(f"{plan.name}, all sessions", pooled.certified, pooled.symbols)


def mean_as_one(
    sent: Sequence[tuple[LayerThresholds, LayerRecord]], trust: ServerTrust, failure: float
) -> float | None:
    """Bits per weight on average, as one number; None where a layer's light is not all tested.

    Args:
        sent: layers of which light was sent: what was fixed, and what was counted.
        trust: of the server's detector.
        failure: probability that the number is wrong, in (0, 1).

    Raises:
        ConfigurationError: the sums contradict each other.
    """
    expected, tested = [], []
    for plan, counted in sent:
        if not plan.verifiable or counted.tested_x is None or counted.copies_unverified > 0:
            return None
        if plan.symbols_p >= LEAST_SYMBOLS and counted.tested_p is None:
            return None
        m_x, m_p = _modulation(plan)
        expected.append(
            ExpectedLayer(
                weights=plan.weights,
                weights_per_symbol=weights_per_mode(plan.encoding),
                channel=plan.expected,
                modulation_x_snu=m_x,
                modulation_p_snu=m_p,
                copies=max(plan.copies, counted.copies_verified),
                symbols_x=plan.symbols_x,
                symbols_p=plan.symbols_p,
                dither_p_snu=plan.dither_p_snu,
            )
        )
        tested.append(
            TestedLayer(
                tested_x=counted.tested_x,
                tested_p=counted.tested_p,
                dependence=counted.dependence,
            )
        )
    return certified_mean_bits(mean_design(expected, failure, trust), tested)


def _modulation(plan: LayerThresholds) -> tuple[float, float]:
    variance = signal_variance_snu(plan.photons_per_symbol, plan.encoding)
    return variance, variance if plan.encoding == "complex" else 0.0


def _untested(plan: LayerThresholds, copies: float) -> float:
    """Bits per real weight of so many copies if all their light was kept."""
    m_x, m_p = _modulation(plan)
    bits = weight_bits_general_untested(copies * m_x, copies * m_p)
    return bits / weights_per_mode(plan.encoding)


def _symbols(tested: Sequence[TestedQuadrature | None]) -> tuple[int, int]:
    n_x, n_p = (0 if one is None else one.symbols for one in tested)
    return n_x, n_p


def _estimates(
    layer: str, certified: CertifiedBits, symbols: tuple[int, int]
) -> tuple[Estimate, ...]:
    n_x, n_p = symbols
    entries: list[tuple[str, str, tuple[float, float] | None, int]] = [
        ("gain of X", "", certified.gain_x, n_x),
        ("excess noise of X", "SNU", certified.excess_noise_x_snu, n_x),
        ("gain of P", "", certified.gain_p, n_p),
        ("excess noise of P", "SNU", certified.excess_noise_p_snu, n_p),
    ]
    return tuple(
        Estimate(
            layer=layer,
            what=what,
            unit=unit,
            value=region[0],
            # Too few symbols for any bound: the whole range, which JSON cannot write as infinity.
            bound=region[1] if math.isfinite(region[1]) else 1e300,
            symbols=number,
        )
        for what, unit, region, number in entries
        if region is not None
    )
