"""What a server fixes for a session before its light: limits of all tests, and the thresholds."""

import math
from dataclasses import replace

from drivers.backend import ServerOpticsInfo
from drivers.receivers import FeedForwardTap
from protocol.certificates.record import Thresholds
from protocol.certificates.thresholds import session_thresholds
from protocol.plan import Plan
from protocol.server_records import ServerPolicy
from protocol.verification import ReturnExpectation, expected_return
from protocol.verification.session_limits import SessionLimits, honest_kurtosis, session_limits

__all__ = ["HEAVIEST_WEIGHTS", "fixed_for_session", "honest_return"]

HEAVIEST_WEIGHTS = 30.0
"""Kurtosis of a layer's weights up to which a phase error is allowed for in the fourth moment."""

_NORMAL_KURTOSIS = 3.0


def fixed_for_session(
    plan: Plan, samples: int, info: ServerOpticsInfo, policy: ServerPolicy, law: ReturnExpectation
) -> tuple[SessionLimits, Thresholds]:
    """Limits of the session's tests, and all that goes into the ledger as a fingerprint.

    Args:
        plan: how the network is sent.
        samples: announced, dummies included.
        info: the server's calibration.
        policy: what the server insists on.
        law: the honest return of one data vector.
    """
    photons = max(layer.photons_per_symbol for layer in plan.layers)
    limits = session_limits(
        plan,
        samples,
        law,
        false_alarm=policy.false_alarm,
        shares=policy.shares,
        honest_kurtosis=honest_kurtosis(
            law,
            min(min(layer.tiles) for layer in plan.layers),
            mean_fourth_snu=HEAVIEST_WEIGHTS * (4 * photons) ** 2
            + _NORMAL_KURTOSIS * policy.dither_snu**2,
            oscillator_drift=info.oscillator_drift,
        ),
        audit_share=policy.audit_share,
        x_share=policy.x_share,
    )
    thresholds = session_thresholds(
        plan,
        samples,
        info,
        policy.receiver,
        law,
        confidence=policy.confidence,
        limits=limits,
        x_share=policy.x_share,
    )
    return limits, thresholds


def honest_return(
    info: ServerOpticsInfo,
    policy: ServerPolicy,
    plan: Plan,
    *,
    inputs: int = 1,
    alignment: float = 0.0,
) -> ReturnExpectation:
    """The honest return, a batch of probes in P included where the client may send some.

    Args:
        info: the server's calibration.
        policy: what the server insists on.
        plan: how the network is sent.
        inputs: data vectors per block.
        alignment: see `protocol.verification.expected.largest_alignment`.
    """
    law = expected_return(
        info,
        policy.receiver,
        inputs=inputs,
        alignment=alignment,
        dither_snu=policy.dither_snu,
    )
    if not (policy.probes and isinstance(policy.receiver, FeedForwardTap)):
        return law
    # Turned by a right angle, the tap gives P back and takes its share of X along one mode.
    modes = min(min(layer.tiles) for layer in plan.layers)
    taken = policy.receiver.lost_p / modes
    return replace(law, gain_uncertainty=math.hypot(law.gain_uncertainty, taken))
