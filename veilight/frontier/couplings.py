"""The one setting of a receiver kind as a coupling: the tapped fraction, or the gain less 1.

The signal-to-noise factor grows with the coupling over the whole range that is looked at, and so
does what the server can learn of the data.
"""

import math
from collections.abc import Sequence

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver, receiver
from protocol.leakage.conventions import Encoding
from veilight.frontier.link import LinkAssumptions, receiver_on_link

__all__ = ["couplings_within", "fits", "receiver_at", "settings_of"]

WEAKEST = 1e-3
"""Smallest coupling that is looked at."""

BEST_GAIN = 2 + math.sqrt(2)
"""Gain of the amplifier's best signal-to-noise factor; beyond it everything gets worse."""

GRID = 21
"""Couplings of the common grid, seven per decade for a tap. Common, so that networks of the same
F^2 share their figures."""

_STRONGEST = {
    Amplifier.kind: BEST_GAIN - 1,
    FeedForwardTap.kind: 1.0,
    PassiveTap.kind: 1.0,
}
_BISECTIONS = 60


def fits(kind: str, encoding: Encoding) -> bool:
    """Whether a receiver kind can take an encoding.

    Raises:
        ConfigurationError: unknown kind.
    """
    return encoding == "real" or receiver_at(kind, WEAKEST).preserves_p


def receiver_at(kind: str, coupling: float) -> Receiver:
    """The receiver with a coupling.

    Raises:
        ConfigurationError: unknown kind, or a coupling that it cannot have.
    """
    return receiver(kind, 1 + coupling if kind == Amplifier.kind else coupling)


def settings_of(kind: str, count: int = GRID) -> tuple[float, ...]:
    """Settings of a receiver kind, evenly spaced in the logarithm of the coupling, weakest first.

    Args:
        kind: of the receiver.
        count: at least 2.

    Raises:
        ConfigurationError: unknown kind, or too few settings.
    """
    return tuple(receiver_at(kind, coupling).setting for coupling in _grid(kind, count))


def couplings_within(
    kind: str, encoding: Encoding, link: LinkAssumptions, signal_to_noise: Sequence[float]
) -> tuple[float, ...]:
    """The couplings of the common grid that keep the link's limit of photons, rising.

    Where the limit cuts the grid, the coupling that just keeps it comes first.

    Args:
        kind: of the receiver.
        encoding: "real" or "complex".
        link: with the limit.
        signal_to_noise: F^2 of each layer.

    Returns:
        Empty if no coupling keeps the limit.

    Raises:
        ConfigurationError: unknown kind, or a value out of range.
    """
    grid = _grid(kind, GRID)
    most = link.most_photons_per_symbol
    if most is None:
        return grid

    def dim_enough(coupling: float) -> bool:
        from protocol.encoding import photons_for_signal_to_noise

        factor = receiver_on_link(receiver_at(kind, coupling), link).snr_factor
        return photons_for_signal_to_noise(max(signal_to_noise), factor, encoding) <= most

    bright = [coupling for coupling in grid if not dim_enough(coupling)]
    if not bright:
        return grid
    kept = grid[len(bright) :]
    if not kept:
        return ()
    low, high = bright[-1], kept[0]
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        low, high = (low, middle) if dim_enough(middle) else (middle, high)
    return (high, *kept) if high < kept[0] else kept


def _grid(kind: str, count: int) -> tuple[float, ...]:
    if kind not in _STRONGEST:
        raise ConfigurationError(
            f"frontier: receiver {kind!r} is unknown; known are {', '.join(_STRONGEST)}"
        )
    if count < 2:
        raise ConfigurationError(f"frontier: {count} settings are asked for; take at least 2")
    strongest = _STRONGEST[kind]
    ratio = (strongest / WEAKEST) ** (1 / (count - 1))
    # The last one by itself: a rounding above 1 is no tapped fraction.
    return (*(WEAKEST * ratio**index for index in range(count - 1)), strongest)
