"""What a server fixes for a session before its light: limits of all tests, and the thresholds."""

from drivers.backend import ServerOpticsInfo
from protocol.certificates.record import Thresholds
from protocol.certificates.thresholds import session_thresholds
from protocol.plan import Plan
from protocol.server_records import ServerPolicy
from protocol.verification import ReturnExpectation
from protocol.verification.session_limits import SessionLimits, honest_kurtosis, session_limits

__all__ = ["HEAVIEST_WEIGHTS", "fixed_for_session"]

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
