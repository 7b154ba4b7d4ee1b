"""Echo of a slot in the next one, from the finite bandwidth of detector and modulators.

Owns its measurement and removal. A detector with poles near the signal's band leaves about 1 % of a
slot's amplitude in the next. Data leave nothing to speak of, but a pilot 35 times the vacuum leaves
a third of a shot-noise unit. The echo h is linear, z_k = a_k + h a_(k-1), the signs of preamble and
pilots are independent of the data, so that the regression of each slot after a bright one on that
bright one is h (Proakis, Digital Communications, 5th ed., section 9.4: one tap of an equaliser).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Echo", "measure_echo", "remove_echo"]

_SIGNIFICANCE: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class Echo:
    """Share of a slot's amplitude that is left in the next slot.

    Attributes:
        share: Complex share h, as measured.
        uncertainty: Standard deviation of each part of h.
    """

    share: complex
    uncertainty: float

    @property
    def is_significant(self) -> bool:
        """Whether the echo is four standard deviations or more from none."""
        return abs(self.share) > _SIGNIFICANCE * self.uncertainty


def measure_echo(
    preamble: NDArray[np.complex64],
    signs: NDArray[np.float32],
    pilots: NDArray[np.complex64],
    followers: NDArray[np.complex64],
) -> Echo:
    """Measures the echo on the preamble and on the slots after pilots.

    Args:
        preamble: Values of the preamble's slots, phase and signs on.
        signs: Its known signs.
        pilots: Values of pilots, phase and signs on.
        followers: Values of the slots that follow them.

    Returns:
        The echo and its uncertainty.
    """
    products = preamble[1:] * np.conj(preamble[:-1])
    # The slot itself is known but for its size and slow phase: its own share is fitted away.
    own = signs[1:] * signs[:-1]
    own_mean = float(np.mean(own))
    share_of_own = np.mean(products * (own - own_mean)) / (1 - own_mean**2)
    left = np.concatenate((products - share_of_own * own, followers * np.conj(pilots)))
    power = float(np.mean(np.abs(np.concatenate((preamble[:-1], pilots))) ** 2))
    share = complex(np.mean(left)) / power
    spread = float(np.std(left)) / np.sqrt(2 * left.size) / power
    return Echo(share=share, uncertainty=spread)


def remove_echo(values: NDArray[np.complex64], echo: Echo) -> None:
    """Takes the echo off consecutive slots, in place, where it is significant.

    Args:
        values: Values of consecutive slots.
        echo: The echo.
    """
    if echo.is_significant:
        values[1:] -= np.complex64(echo.share) * values[:-1]
