"""Between the wanted field amplitude and the volts on a Mach-Zehnder modulator at its null.

A push-pull modulator biased at least transmission passes the amplitude sin(pi V / (2 V_pi)) of the
field, sign included (Saleh and Teich, Fundamentals of Photonics, 2nd ed., section 20.1; V_pi is the
step from least to most power). Weights need the amplitude, so the sine is inverted.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.errors import LimitError

__all__ = ["amplitude_from_volts", "largest_amplitude", "volts_from_amplitude"]

Floats = NDArray[np.float32]


def volts_from_amplitude(amplitude: Floats, v_pi_v: float) -> Floats:
    """Volts that make the modulator pass `amplitude` of the field.

    Args:
        amplitude: relative field amplitude in [-1, 1], any shape.
        v_pi_v: of the modulator's radio-frequency port, volts.

    Raises:
        LimitError: an amplitude beyond 1, or NaN.
    """
    largest = float(np.abs(amplitude).max(initial=0.0))
    if not largest <= 1 + 1e-6:  # also refuses NaN
        raise LimitError(
            f"modulator: relative amplitude {largest:.6g} is beyond 1; ask for less light or open "
            "the attenuator"
        )
    phase = np.arcsin(np.clip(amplitude, -1, 1), dtype=np.float32)  # rounding alone is clipped
    phase *= np.float32(2 * v_pi_v / math.pi)
    return phase


def amplitude_from_volts(volts: Floats, v_pi_v: float) -> Floats:
    """Relative field amplitude that the modulator passes at `volts`; inverse of the above."""
    return np.asarray(np.sin(volts * np.float32(math.pi / (2 * v_pi_v))), dtype=np.float32)


def largest_amplitude(volts_limit_v: float, v_pi_v: float) -> float:
    """Largest amplitude that a generator of +- `volts_limit_v` can make, at most 1."""
    return 1.0 if volts_limit_v >= v_pi_v else math.sin(math.pi * volts_limit_v / (2 * v_pi_v))
