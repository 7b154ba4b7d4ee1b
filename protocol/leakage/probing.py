"""Data leakage to a server who probes P of a feed-forward tap.

The tap restores the mean of X only. Light that a server puts into P (a probe with means p) comes
back displaced by -(1 - sqrt(1 - tau)) (p.x^) x^ in P, a signal that honest weights never carry and
the client's X detector never sees. The client must bound the probe's power (monitor, limiter) and
audit P now and then; the bound is charged here. The amplifier and the passive tap return P means
that do not depend on x. Assumes: coherent probes, ideal server detectors, real encoding.
"""

import math
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.data import local_data_bits

__all__ = [
    "ProbeStrategy",
    "data_bits_server_probes_feed_forward_tap",
    "fisher_server_probes_feed_forward_tap",
]

ProbeStrategy: TypeAlias = Literal["aligned", "blind"]


def fisher_server_probes_feed_forward_tap(
    tap_fraction: float, probe_along_data: float, probe_along_component: float = 0.0
) -> float:
    """Server who probes P and homodynes it: Fisher information per row on one component of x^.

    (1 - sqrt(1 - tau))^2 ((p.x^)^2 + (p.e)^2) for the component along the unit vector e,
    perpendicular to x^: both the strength and the direction of the displacement turn with x^.
    The returned P has vacuum variance in every mode, so homodyne is the best measurement.

    Args:
        tap_fraction: tau, in (0, 1].
        probe_along_data: p.x^, mean of the probe along the data vector, in shot-noise units.
        probe_along_component: p.e, its mean along the component asked about.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    tau = _checks.positive_fraction("tap fraction", tap_fraction)
    along = _checks.non_negative("size of the probe along the data", abs(probe_along_data), "SNU")
    across = _checks.non_negative(
        "size of the probe along the component", abs(probe_along_component), "SNU"
    )
    # 1 - sqrt(1 - tau) without cancellation at small tau.
    lost = tau / (1 + math.sqrt(1 - tau))
    return lost**2 * (along**2 + across**2)


def data_bits_server_probes_feed_forward_tap(
    tap_fraction: float,
    probe_photons_per_mode: float,
    rows: int,
    modes: int,
    *,
    strategy: ProbeStrategy = "aligned",
    excess_noise_x_snu: float = 0.0,
) -> float:
    """Server who probes P of a feed-forward tap; local, bits per real data symbol.

    "aligned": a server who already knows x^ nearly (an adaptive one gets there) and puts all of
    the probe along it, (p.x^)^2 = |p|^2 = 4 N n: the largest total Fisher information that the
    power allows, so the one to charge. "blind": independent random probes, on average
    (p.x^)^2 = (p.e)^2 = 4 n. `excess_noise_x_snu` adds what the same rows tell through the noise
    of X (any measurement). Assumes: see the module; real encoding.

    Args:
        tap_fraction: tau, in (0, 1].
        probe_photons_per_mode: n, the client's bound on the mean photons in P per mode, >= 0.
        rows: M >= 1.
        modes: N >= 1.
        strategy: "aligned" or "blind".
        excess_noise_x_snu: ell of the returned X of the data mode, >= 0.

    Raises:
        ConfigurationError: an argument is out of range or the strategy unknown.
    """
    photons = _checks.non_negative("probe photons per mode", probe_photons_per_mode)
    count = _checks.count("number of modes", modes)
    noise = _checks.non_negative("excess noise of the data mode", excess_noise_x_snu, "SNU")
    per_mode = math.sqrt(4 * photons)
    if strategy == "aligned":
        fisher = fisher_server_probes_feed_forward_tap(tap_fraction, per_mode * math.sqrt(count))
    elif strategy == "blind":
        fisher = fisher_server_probes_feed_forward_tap(tap_fraction, per_mode, per_mode)
    else:
        raise ConfigurationError(
            f"leakage: probe strategy {strategy!r} is unknown; use 'aligned' or 'blind'."
        )
    return local_data_bits(fisher + noise, rows, modes, "real")
