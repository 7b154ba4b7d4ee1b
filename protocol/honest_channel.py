"""The channel that an honest return means: one formula for what is charged and what is certified.

The ledger charges light at this channel, the certificate plans with it and holds its estimates
against it. The server's own detector is taken out as calibrated; nothing that was measured enters.
"""

from collections.abc import Mapping

from drivers.backend import ServerOpticsInfo
from protocol.leakage.certified_statistics import ServerTrust
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.general_bound import ReturnedChannel
from protocol.plan import LayerPlan
from protocol.verification.expected import ReturnExpectation

__all__ = ["honest_channel", "server_trust"]


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

    A phase error turns X into P and P into X: weights and displacements of one quadrature are
    noise of the other.

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
