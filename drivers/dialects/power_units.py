"""Power in dBm as instruments say it, and in watts as this program does."""

import math

__all__ = ["dbm_from_watts", "watts_from_dbm"]


def dbm_from_watts(power_w: float) -> float:
    """10 log10(P / 1 mW).

    Args:
        power_w: above 0.
    """
    return 10 * math.log10(power_w / 1e-3)


def watts_from_dbm(power_dbm: float) -> float:
    """1 mW times 10^(P / 10)."""
    return float(1e-3 * 10 ** (power_dbm / 10))
