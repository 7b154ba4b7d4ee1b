"""Decibels of a bench: 0 dBm is 1 mW; a loss in dB is -10 log10 of the power transmittance."""

import math

__all__ = ["dbm_from_si", "si_from_dbm", "transmittance"]


def si_from_dbm(power_dbm: float) -> float:
    """Power in W: 1e-3 * 10^(power_dbm / 10); infinity where that is beyond all numbers."""
    return 1e-3 * _power_of_ten(power_dbm / 10)


def dbm_from_si(power_w: float) -> float:
    """Power in dBm; minus infinity for no light.

    Args:
        power_w: power in W, at least 0.
    """
    return 10 * math.log10(power_w / 1e-3) if power_w > 0 else -math.inf


def transmittance(loss_db: float) -> float:
    """Power transmittance 10^(-loss_db / 10) of a loss, or gain of a negative one."""
    return _power_of_ten(-loss_db / 10)


def _power_of_ten(exponent: float) -> float:
    try:
        return float(10.0**exponent)
    except OverflowError:
        return math.inf
