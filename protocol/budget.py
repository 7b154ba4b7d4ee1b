"""What the server charges for light: bits per weight from the photons a row has been sent with.

Light that passed verification is charged as to a client under verification, with the session's
design value of excess noise and loss; light that did not pass, or has not yet, as to a client that
kept all of it. K transmissions at mu photons are charged like one at K mu: a passive interferometer
merges identical coherent states.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.leakage import (
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
)
from protocol.plan import Encoding, LayerPlan
from protocol.verification import ReturnExpectation

__all__ = ["bits_per_weight", "charge_for_layer", "queries_within_budget"]

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
    """Bits per real weight for photons sent under verification and without.

    Args:
        verified_photons: photons per symbol times copies, in blocks that passed.
        unverified_photons: likewise, in blocks that did not pass.
        encoding: "real" or "complex".
        transmittance: power transmittance that the server can vouch for, in [0, 1].
        excess_noise_x_snu: excess noise per mode in X at the channel's output.
        excess_noise_p_snu: likewise in P.
    """
    bits = 0.0
    if verified_photons > 0:
        if encoding == "real":
            bits += weight_bits_client_verified_real(
                verified_photons,
                transmittance=transmittance,
                excess_noise_x_snu=excess_noise_x_snu,
                excess_noise_p_snu=excess_noise_p_snu,
            )
        else:
            bits += weight_bits_client_verified_complex(
                verified_photons,
                transmittance=transmittance,
                excess_noise_x_snu=excess_noise_x_snu,
                excess_noise_p_snu=excess_noise_p_snu,
            )
    if unverified_photons > 0:
        keeps_all = (
            weight_bits_client_keeps_all_gaussian_real
            if encoding == "real"
            else weight_bits_client_keeps_all_gaussian_complex
        )
        bits += keeps_all(unverified_photons)
    return bits / (2 if encoding == "complex" else 1)


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
        if transmittance == 0:
            verified, unverified = 0.0, verified + unverified
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


def queries_within_budget(
    charge: Charge, photons_per_query: float, budget: float, pending: int = 1
) -> int:
    """Queries, each of `photons_per_query` per row, that a budget in bits allows.

    The last `pending` of them are charged as unverified: so the ledger sees them before the
    returned light has passed.

    Args:
        charge: of `charge_for_layer`.
        photons_per_query: photons per symbol times positions.
        budget: bits per weight.
        pending: samples in one block.
    """

    def fits(queries: int) -> bool:
        open_queries = min(pending, queries)
        verified = np.array([(queries - open_queries) * photons_per_query])
        return bool(charge(verified, np.array([open_queries * photons_per_query]))[0] <= budget)

    if not fits(1):
        return 0
    high = 1
    while fits(high) and high < 1 << 50:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
