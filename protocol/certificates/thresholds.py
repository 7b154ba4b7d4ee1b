"""What is fixed for a session before its light: from plan, calibration and policy alone."""

import math

from drivers.backend import ServerOpticsInfo
from drivers.receivers import Receiver
from protocol.accounting import layer_name
from protocol.certificates.record import LayerThresholds, Thresholds
from protocol.honest_channel import honest_channel, server_trust
from protocol.leakage.certified import ServerTrust
from protocol.plan import LayerPlan, Plan
from protocol.verification import ReturnExpectation
from protocol.verification.session_limits import SessionLimits

__all__ = ["honest_channel", "server_trust", "session_thresholds"]


def session_thresholds(
    plan: Plan,
    samples: int,
    info: ServerOpticsInfo,
    receiver: Receiver,
    expectation: ReturnExpectation,
    *,
    confidence: float,
    limits: SessionLimits,
    x_share: float = 0.5,
) -> Thresholds:
    """The thresholds whose fingerprint goes into the ledger with the session's first debit.

    Args:
        plan: how the network is sent.
        samples: announced, dummies included.
        info: the server's calibration.
        receiver: the agreed receiver.
        expectation: the honest return of one data vector, with its dither of P.
        confidence: of the certificate, joint over all layers.
        limits: of the session's tests.
        x_share: of the frames that are measured in X.
    """
    trust = server_trust(info)
    return Thresholds(
        confidence=float(confidence),
        false_alarm=limits.false_alarm,
        blocks=limits.blocks,
        x_share=float(x_share),
        receiver=receiver.kind,
        receiver_setting=float(receiver.setting),
        trust=trust,
        layers=tuple(_layer(layer, samples, trust, expectation, x_share) for layer in plan.layers),
        session=limits,
    )


def _layer(
    plan: LayerPlan, samples: int, trust: ServerTrust, law: ReturnExpectation, x_share: float
) -> LayerThresholds:
    copies = samples * plan.positions
    symbols = copies * plan.rows * plan.modes
    symbols_p = math.floor(symbols * (1 - x_share))
    return LayerThresholds(
        layer=plan.layer,
        name=layer_name(plan),
        rows=plan.rows,
        modes=plan.modes,
        weights=plan.rows * plan.entries,
        encoding=plan.encoding,
        photons_per_symbol=float(plan.photons_per_symbol),
        copies=copies,
        symbols_x=symbols - symbols_p,
        symbols_p=symbols_p,
        dither_p_snu=float(law.dither_snu),
        verifiable=law.verifiable,
        expected=honest_channel(plan, law, trust),
    )
