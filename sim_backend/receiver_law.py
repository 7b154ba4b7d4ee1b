"""Joint law of the client's outcome and of the light it returns, in the data mode.

Everything is Gaussian. For data-mode means (X, P) at the receiver's input,

    outcome      y   = A . (X, P) + sqrt(V) u,                        u ~ N(0, 1)
    returned     r   = R (X, P) + vacuum + beta u + further noise,    two quadratures

where beta = cov(y, r)/sqrt(V), so that the correlation between outcome and return is exact. The
derivations are the beam splitter and amplifier relations of `drivers.receivers` with a rotated
measured quadrature (phase error phi), detector efficiency eta, electronic noise v_el and a local
oscillator amplitude L in units of its calibrated value.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from drivers.receivers import Amplifier, FeedForwardTap, Receiver
from sim_backend.settings import DetectorSettings

__all__ = ["ReceiverLaw", "receiver_law"]


@dataclass(frozen=True, kw_only=True)
class ReceiverLaw:
    """The law for one or many frames; every entry is a tensor that broadcasts to (inputs, rows).

    Args:
        outcome_x: coefficient of the outcome's mean on X.
        outcome_p: coefficient on P.
        outcome_std: standard deviation of the recorded outcome, sqrt(V).
        return_xx: coefficient of the returned X on X.
        return_xp: coefficient of the returned X on P.
        return_pp: coefficient of the returned P on P.
        other_modes: amplitude transmittance of all other modes.
        excess_x: excess noise of the returned X, SNU.
        excess_p: excess noise of the returned P, SNU.
        beta_x: covariance of the returned X with u.
        beta_p: covariance of the returned P with u.
    """

    outcome_x: Tensor
    outcome_p: Tensor
    outcome_std: Tensor
    return_xx: Tensor
    return_xp: Tensor
    return_pp: Tensor
    other_modes: float
    excess_x: Tensor
    excess_p: Tensor
    beta_x: Tensor
    beta_p: Tensor


def receiver_law(
    receiver: Receiver, detector: DetectorSettings, phase: Tensor, oscillator: Tensor
) -> ReceiverLaw:
    """The law of `receiver` with `detector` at phase error `phase` and oscillator amplitude.

    Args:
        receiver: the client's receiver.
        detector: its homodyne detector.
        phase: phase error in rad, broadcasting to (inputs, rows).
        oscillator: amplitude relative to its calibrated value, likewise.
    """
    eta = detector.total_efficiency
    scale = oscillator * eta**0.5
    variance = (
        oscillator**2 * (eta * (receiver.outcome_variance_snu - 1) + 1)
        + detector.electronic_noise_snu
    )
    std = torch.sqrt(variance)
    cos, sin = torch.cos(phase), torch.sin(phase)
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    outcome_x, outcome_p = scale * receiver.signal_gain * cos, scale * receiver.signal_gain * sin
    if isinstance(receiver, Amplifier):
        covariance = scale * receiver.outcome_return_covariance_x_snu / std
        return ReceiverLaw(
            outcome_x=outcome_x,
            outcome_p=outcome_p,
            outcome_std=std,
            return_xx=one,
            return_xp=zero,
            return_pp=one,
            other_modes=1.0,
            excess_x=one * receiver.excess_noise_x_snu,
            excess_p=one * receiver.excess_noise_p_snu,
            beta_x=covariance * cos,
            beta_p=covariance * sin,
        )
    rest = (1 - receiver.tap_fraction) ** 0.5
    if isinstance(receiver, FeedForwardTap):
        # X is displaced by (g / sqrt(eta)) times what the detector recorded, its noise included.
        per_record = receiver.displacement_gain / eta**0.5
        return ReceiverLaw(
            outcome_x=outcome_x,
            outcome_p=outcome_p,
            outcome_std=std,
            return_xx=rest + per_record * outcome_x,
            return_xp=per_record * outcome_p,
            return_pp=one * rest,
            other_modes=1.0,
            excess_x=per_record**2 * variance,
            excess_p=zero,
            beta_x=per_record * std,
            beta_p=zero,
        )
    return ReceiverLaw(
        outcome_x=outcome_x,
        outcome_p=outcome_p,
        outcome_std=std,
        return_xx=one * rest,
        return_xp=zero,
        return_pp=one * rest,
        other_modes=rest,
        excess_x=zero,
        excess_p=zero,
        beta_x=zero,
        beta_p=zero,
    )
