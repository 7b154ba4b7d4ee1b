"""What a certificate will say, before any light: by the share of X, by the dither of P.

The channel and the rules are those of sessions; only the sums that a session's tests count are put
at what honest light gives on average.
"""

import math
from dataclasses import dataclass, replace

from drivers.errors import ConfigurationError
from protocol.certificates.thresholds import honest_channel, server_trust
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.general_bound import weight_bits_general, weight_bits_general_untested
from protocol.plan import LayerPlan
from protocol.verification import expected_return
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from veilight.frontier.expected import expected_certificate

__all__ = ["CertificatePlan", "PlannedCertificate", "best_x_share", "planned_certificate"]

_GOLDEN = (math.sqrt(5) - 1) / 2
_LEAST_SHARE = 0.02
_STEPS = 18


@dataclass(frozen=True, kw_only=True)
class CertificatePlan:
    """A layer's light, and how it is tested.

    Attributes:
        link: losses, detectors and receiver.
        encoding: "real" or "complex".
        photons_per_symbol: mu of the weights, above 0.
        modes: N per row.
        copies: K, transmissions of the same weights that are counted together.
        symbols: tested, X and P together.
        failure: probability that the certificate is wrong, in (0, 1).
        x_share: of them in X, in (0, 1).
        dither_snu: mean square of known displacements of P; real encoding.

    Raises:
        ConfigurationError: a value is out of range.
    """

    link: LinkSettings
    encoding: Encoding
    photons_per_symbol: float
    modes: int
    copies: int
    symbols: int
    failure: float
    x_share: float = 0.5
    dither_snu: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.x_share < 1:
            raise ConfigurationError(f"x_share is {self.x_share}, it must lie in (0, 1)")
        if self.dither_snu and self.encoding == "complex":
            raise ConfigurationError(
                f"dither_snu is {self.dither_snu:g}: complex encoding puts weights on P, which "
                "show its gain; use real encoding, or no dither"
            )
        if min(self.modes, self.copies, self.symbols) < 1:
            raise ConfigurationError(
                f"modes, copies and symbols are {self.modes}, {self.copies} and {self.symbols}; "
                "each must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class PlannedCertificate:
    """What an honest session can expect.

    Attributes:
        plan: that it is for.
        bits: certified, per real weight.
        bits_with_memory: the same against one memory that meets all copies.
        asymptotic_bits: with endless symbols, the dither as planned.
        untested_bits: if nothing was tested.
    """

    plan: CertificatePlan
    bits: float
    bits_with_memory: float
    asymptotic_bits: float
    untested_bits: float

    @property
    def ratio(self) -> float:
        """Certified over asymptotic."""
        return self.bits / self.asymptotic_bits


def planned_certificate(plan: CertificatePlan) -> PlannedCertificate:
    """What an honest session of a plan is certified at, on average.

    Raises:
        ConfigurationError: a value is out of range.
    """
    info = SymbolLink(plan.link).server.describe()
    law = expected_return(info, plan.link.receiver, dither_snu=plan.dither_snu)
    trust, share = server_trust(info), weights_per_mode(plan.encoding)
    channel = honest_channel(_layer(plan), law, trust)
    m_x = signal_variance_snu(plan.photons_per_symbol, plan.encoding)
    m_p = m_x if plan.encoding == "complex" else 0.0
    symbols_x = round(plan.symbols * plan.x_share)
    bits, bits_with_memory = (
        expected_certificate(
            channel,
            modulation_x_snu=m_x,
            modulation_p_snu=m_p,
            copies=plan.copies,
            symbols_x=symbols_x,
            symbols_p=plan.symbols - symbols_x,
            failure=plan.failure,
            trust=trust,
            dither_p_snu=plan.dither_snu,
            with_memory=with_memory,
        )
        for with_memory in (False, plan.copies > 1)
    )
    all_x, all_p = plan.copies * m_x, plan.copies * m_p
    seen = plan.dither_snu > 0
    return PlannedCertificate(
        plan=plan,
        bits=bits / share,
        bits_with_memory=bits_with_memory / share,
        asymptotic_bits=weight_bits_general(all_x, all_p, channel, gain_p_seen=seen) / share,
        untested_bits=weight_bits_general_untested(all_x, all_p) / share,
    )


def best_x_share(plan: CertificatePlan) -> PlannedCertificate:
    """The share of X at which the certificate is expected to be smallest.

    By golden sections: the bits fall and rise once, because either quadrature alone certifies
    nothing.

    Args:
        plan: its share is not used.

    Raises:
        ConfigurationError: a value is out of range.
    """

    def at(share: float) -> PlannedCertificate:
        return planned_certificate(replace(plan, x_share=share))

    low, high = _LEAST_SHARE, 1 - _LEAST_SHARE
    left, right = at(high - _GOLDEN * (high - low)), at(low + _GOLDEN * (high - low))
    for _ in range(_STEPS):
        if left.bits < right.bits:
            high, right = right.plan.x_share, left
            left = at(high - _GOLDEN * (high - low))
        else:
            low, left = left.plan.x_share, right
            right = at(low + _GOLDEN * (high - low))
    return min(left, right, key=lambda planned: planned.bits)


def _layer(plan: CertificatePlan) -> LayerPlan:
    return LayerPlan(
        layer=0,
        rows=1,
        entries=plan.modes * weights_per_mode(plan.encoding),
        positions=1,
        encoding=plan.encoding,
        photons_per_symbol=plan.photons_per_symbol,
        scale_snu=1.0,
        tiles=(plan.modes,),
    )
