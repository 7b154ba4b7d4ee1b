"""What the server charges for light: bits per weight from the photons a row has been sent with.

K transmissions at mu photons are charged like one at K mu: a passive interferometer merges
identical coherent states. Those whose light passed verification came back with the session's design
value of excess noise and loss; of those whose light did not pass, or has not yet, nothing came
back. Together they are one transmission under verification of which a part was kept.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.leakage import (
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
)
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.verification import ReturnExpectation

__all__ = [
    "bits_per_weight",
    "charge_for_layer",
    "last_that_fits",
    "pending_queries",
    "queries_within_budget",
]

Array = NDArray[np.float64]
Charge = Callable[[Array, Array], Array]


def bits_per_weight(
    verified_photons: float,
    unverified_photons: float,
    encoding: Encoding,
    *,
    transmittance: float,
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
) -> float:
    """Bits per real weight for photons sent under verification and without, all by one client.

    A passive interferometer merges the coherent states of all copies of a weight into one of
    v + u photons, v verified and u not, and the returns of those that were verified into one of
    T v photons: this is a return of transmittance T v/(v + u), whatever the copies were used for
    together. With v = 0 it is the client that keeps all.

    Args:
        verified_photons: photons per symbol times copies, in blocks that passed.
        unverified_photons: likewise, in blocks that did not pass.
        encoding: "real" or "complex".
        transmittance: power transmittance that the server can vouch for, in [0, 1].
        excess_noise_x_snu: excess noise per mode in X at the channel's output.
        excess_noise_p_snu: likewise in P.
    """
    photons = verified_photons + unverified_photons
    if not photons > 0:
        return 0.0
    bits = (
        weight_bits_client_verified_real
        if encoding == "real"
        else weight_bits_client_verified_complex
    )
    found = bits(
        photons,
        # What was kept of the merged light is missing in its return.
        transmittance=transmittance * (verified_photons / photons),
        excess_noise_x_snu=excess_noise_x_snu,
        excess_noise_p_snu=excess_noise_p_snu,
    )
    return found / (2 if encoding == "complex" else 1)


def charge_for_layer(
    layer: LayerPlan, expectation: ReturnExpectation, detection_efficiency: float
) -> Charge:
    """The charge of one layer's rows, as the ledger wants it: arrays of photons to bits per weight.

    Losses inside the server's own detector are trusted; all others are given to the client.

    Args:
        layer: the layer's plan.
        expectation: the honest return.
        detection_efficiency: of the server's detector.
    """
    noise_x, noise_p = _excess_noise(layer, expectation)
    if not expectation.verifiable:
        transmittance = 0.0
    else:
        transmittance = min(1.0, expectation.gain**2 / detection_efficiency)

    @lru_cache(maxsize=4096)
    def bits(verified: float, unverified: float) -> float:
        return bits_per_weight(
            verified,
            unverified,
            layer.encoding,
            transmittance=transmittance,
            excess_noise_x_snu=noise_x / detection_efficiency,
            excess_noise_p_snu=noise_p / detection_efficiency,
        )

    def charge(verified: Array, unverified: Array) -> Array:
        return np.array(
            [bits(float(v), float(u)) for v, u in zip(verified, unverified, strict=True)]
        )

    return charge


def _excess_noise(layer: LayerPlan, expectation: ReturnExpectation) -> tuple[float, float]:
    """Excess noise per mode in X and P of an honest return, in the record.

    A tester cannot tell any of it from an eavesdropper's: the receiver's noise (in the smallest
    tile, where it is shared by the fewest modes), technical noise of the launch, and what the phase
    error makes of the mean.
    """
    modes = min(layer.tiles)
    on_x = layer.photons_per_symbol * (2 if layer.encoding == "complex" else 4)
    on_p = on_x if layer.encoding == "complex" else 0.0
    same, cross = expectation.gain_variance, expectation.cross_gain_variance
    return (
        expectation.data_mode_excess_x / modes
        + expectation.launch_excess
        + same * on_x
        + cross * on_p,
        expectation.data_mode_excess_p / modes
        + expectation.launch_excess
        + same * on_p
        + cross * on_x,
    )


def pending_queries(plan: Plan, layer: LayerPlan) -> float:
    """Queries whose light of a layer is charged as unverified at a time, at most one.

    Args:
        plan: of the session; where it cuts a query's inputs into several blocks, less than 1.
        layer: one of its layers.
    """
    return min(1.0, plan.largest_inputs(layer, 1) / layer.positions)


def queries_within_budget(
    charge: Charge, photons_per_query: float, budget: float, pending: float = 1
) -> int:
    """Queries, each of `photons_per_query` per row, that a budget in bits allows.

    The last `pending` of them are charged as unverified: so the ledger sees them before the
    returned light has passed.

    Args:
        charge: of `charge_for_layer`.
        photons_per_query: photons per symbol times positions.
        budget: bits per weight.
        pending: queries in one block; see `pending_queries`.
    """

    def fits(queries: int) -> bool:
        waiting = min(pending, queries)
        verified = np.array([(queries - waiting) * photons_per_query])
        return bool(charge(verified, np.array([waiting * photons_per_query]))[0] <= budget)

    return last_that_fits(fits, 1 << 50)


def last_that_fits(fits: Callable[[int], bool], most: int) -> int:
    """The last number that fits, where those that fit come first.

    Args:
        fits: asked for a number from 1 on.
        most: largest number that is asked for.

    Returns:
        0 if none fits.
    """
    if most < 1 or not fits(1):
        return 0
    low, high = 1, 2
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
