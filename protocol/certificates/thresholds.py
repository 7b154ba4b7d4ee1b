"""What is fixed for a session before its light: from plan, calibration and policy alone."""

import math
from collections.abc import Mapping

from drivers.backend import ServerOpticsInfo
from drivers.receivers import Receiver
from protocol.accounting import layer_name
from protocol.certificates.record import LayerThresholds, Thresholds
from protocol.leakage.certified import ServerTrust
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.general_bound import ReturnedChannel
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


def server_trust(info: ServerOpticsInfo) -> ServerTrust:
    """What is taken out of the record as the server's own: its detector, as calibrated.

    Args:
        info: the server's calibration.
    """
    return ServerTrust(
        efficiency=float(info.detection_efficiency),
        electronic_noise_snu=float(info.electronic_noise_snu + info.converter_step_snu**2 / 12),
        gain_uncertainty=float(info.gain_uncertainty),
        variance_uncertainty=float(info.variance_uncertainty),
    )


def honest_channel(plan: LayerPlan, law: ReturnExpectation, trust: ServerTrust) -> ReturnedChannel:
    """The channel that an honest return of a layer means, trusted detector taken out.

    Args:
        plan: of the layer; its smallest tile has the most noise per mode.
        law: the honest return, with its dither of P.
        trust: of the server's detector.
    """
    excess = {
        quadrature: (variance - 1 - trust.electronic_noise_snu) / trust.efficiency
        for quadrature, variance in _recorded_variance(plan, law).items()
    }
    root = trust.efficiency**0.5
    return ReturnedChannel(
        gain_x=float(law.gain) / root,
        gain_p=float(law.gain_p(min(plan.tiles))) / root,
        # An honest return is no quieter than vacuum; less is rounding.
        excess_noise_x_snu=max(0.0, float(excess["x"])),
        excess_noise_p_snu=max(0.0, float(excess["p"])),
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


def _recorded_variance(plan: LayerPlan, law: ReturnExpectation) -> Mapping[str, float]:
    """Variance of X and P about the known mean in the record of an honest return, per mode."""
    modes = min(plan.tiles)
    on_x = signal_variance_snu(plan.photons_per_symbol, plan.encoding)
    on_p = on_x if plan.encoding == "complex" else law.dither_snu
    same, cross = law.gain_variance, law.cross_gain_variance
    return {
        "x": law.white_variance + law.data_mode_excess_x / modes + same * on_x + cross * on_p,
        "p": law.white_variance + law.data_mode_excess_p / modes + same * on_p + cross * on_x,
    }
