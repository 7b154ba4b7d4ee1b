"""Known displacements of P: what they do to the channel that is tested, and to the client's data.

With the real encoding nothing is sent in P, so the server cannot see its gain and has to take it at
its worst. A dither of P, Gaussian of mean square d, fresh for every symbol and known to the server
alone until the light is back, shows it (`protocol.leakage.general_bound`). A receiver that gives P
of the data mode back dimmed turns the dither into a probe: with c = 1 - sqrt(1 - tau) for a
feed-forward tap, row p comes back as p - c (p.x^) x^. Over the modes of a row that is a gain of
1 - c/N, and about it a noise of c^2 d (1 - 1/N)/N per mode. For the data it is a blind probe
(`protocol.leakage.probing`), and the caps follow from the mean energy c^2 d of the displacements,
whatever the prior with E[x^ x^T] = I/N: a channel of N modes holds most if they share it evenly.
"""

import math

from protocol.leakage.data import data_bits_server_any_measurement_cap
from protocol.leakage.entropy import (
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    thermal_entropy_bits,
)
from protocol.leakage.probing import (
    data_bits_server_probes_feed_forward_tap,
    fisher_server_probes_feed_forward_tap,
)
from protocol.leakage.receivers import ReceiverNoise

__all__ = [
    "data_bits_any_cap_with_dither",
    "data_bits_any_with_dither",
    "data_bits_homodyne_dither",
    "data_bits_homodyne_dither_cap",
    "lost_p",
]


def lost_p(receiver: ReceiverNoise) -> float:
    """c, the share of P of the data mode that is missing in the return, in amplitude."""
    if receiver.preserves_p:
        return 0.0
    # A tap's outcome has mean sqrt(tau) (q . x), so the tapped fraction is a^2.
    return math.sqrt(fisher_server_probes_feed_forward_tap(receiver.signal_gain**2, 1.0))


def data_bits_homodyne_dither(
    receiver: ReceiverNoise, dither_snu: float, rows: int, modes: int
) -> float:
    """Server who homodynes P of whole rows: local, per real data value; real encoding.

    Args:
        receiver: the client's.
        dither_snu: d where the light reaches the client.
        rows: M.
        modes: N.
    """
    if receiver.preserves_p:
        return 0.0
    return data_bits_server_probes_feed_forward_tap(
        receiver.signal_gain**2, dither_snu / 4, rows, modes, strategy="blind"
    )


def data_bits_homodyne_dither_cap(
    receiver: ReceiverNoise, dither_snu: float, rows: int, modes: int
) -> float:
    """The same, a cap for any prior: (M/2) log2(1 + c^2 d/N), Shannon's for N Gaussian channels.

    Args:
        receiver: the client's.
        dither_snu: d where the light reaches the client.
        rows: M.
        modes: N.
    """
    return rows * gaussian_channel_bits(lost_p(receiver) ** 2 * dither_snu / modes)


def data_bits_any_with_dither(
    receiver: ReceiverNoise, excess_noise_x_snu: float, dither_snu: float, rows: int, modes: int
) -> float:
    """Server with any measurement, from noise and dither of a feed-forward tap: local.

    Args:
        receiver: the client's, which dims P.
        excess_noise_x_snu: ell of the returned X of the data mode.
        dither_snu: d where the light reaches the client.
        rows: M.
        modes: N.
    """
    return data_bits_server_probes_feed_forward_tap(
        receiver.signal_gain**2,
        dither_snu / 4,
        rows,
        modes,
        strategy="blind",
        excess_noise_x_snu=excess_noise_x_snu,
    )


def data_bits_any_cap_with_dither(
    receiver: ReceiverNoise, excess_noise_x_snu: float, dither_snu: float, rows: int, modes: int
) -> float:
    """The same, Holevo's cap for any prior.

    (M/N) [N g(n(ell/N, c^2 d/N)) - g(n(ell, 0))]: displacements widen the mean state of P as noise
    of their energy would, but once the data are known they are known too.

    Args:
        receiver: the client's, which dims P.
        excess_noise_x_snu: ell of the returned X of the data mode.
        dither_snu: d where the light reaches the client.
        rows: M.
        modes: N.
    """
    energy = lost_p(receiver) ** 2 * dither_snu
    as_noise = thermal_entropy_bits(excess_noise_to_thermal_photons(excess_noise_x_snu, energy))
    known = thermal_entropy_bits(excess_noise_to_thermal_photons(excess_noise_x_snu, 0.0))
    if_noise = data_bits_server_any_measurement_cap(excess_noise_x_snu, energy, rows, modes)
    return if_noise + rows / modes * (as_noise - known)
