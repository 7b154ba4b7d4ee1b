"""What the server charges for light: bits per weight from all light a row has been sent with.

K transmissions at mu photons are charged like one at K mu: a passive interferometer merges
identical coherent states. Those whose light passed verification came back with the excess noise and
loss that their own session agreed on; of those whose light did not pass, or has not yet, nothing
came back. Together they are one transmission under verification of which a part was kept.

Transmissions i of v_i photons were received at (T_i, e_i), u photons not at all. At launch all
merge into one mode of V = sum v_i + u photons. Of the returns one mode is the server's alone, their
combination by the fixed weights b_i = sqrt(T_i v_i / sum T v); all else is granted to the client,
which is more than it has. The gain of that mode is

    h = sum of b_i sqrt(T_i v_i / V) = sqrt(sum T v / V),

and, as channels without memory between copies add independent noise, its variance about the mean is
1 + sum T v e / sum T v, in X and in P. The bound for verified light is then that of
`protocol.leakage.general_bound` at V photons, h and this noise. Other fixed weights give bounds as
well; these lose nothing where all sessions are alike. Light that leaked stays charged: what a later
session adds is in the sums, and the bound of more light at any channel is at least what a client
who did its worst in the sessions before has already.

What is not charged: a memory that meets several copies of a weight in turn (the noise of the
combined return is then not the copies' mean), and what sessions let pass that are too short to see
it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.honest_channel import honest_channel
from protocol.leakage.certified_statistics import ServerTrust
from protocol.leakage.conventions import signal_variance_snu, weights_per_mode
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general
from protocol.ledger.light import LightChannel, RowLight
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.verification import ReturnExpectation

__all__ = [
    "Charge",
    "bits_per_weight",
    "charge_for_layer",
    "last_that_fits",
    "pending_queries",
    "queries_within_budget",
]

Array: TypeAlias = NDArray[np.float64]
BitsOfPhotons: TypeAlias = Callable[[Array, Array], Array]
"""From verified and unverified photons per weight, each `(n,)`, to bits per weight `(n,)`."""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What light of a row leaks, seen from a session whose own light comes back in one way.

    Args:
        channel: how light of this session comes back where its return passes.
    """

    channel: LightChannel

    def bits(self, light: RowLight) -> Array:
        """Bits per weight of all light of each row, `(rows,)`.

        Args:
            light: of the rows; light that nobody wrote down how it came back is taken to have come
                back like this session's.

        Raises:
            ConfigurationError: it has another encoding.
        """
        placed = light.more(self.channel)
        columns = (
            placed.verified + placed.unverified,
            placed.returned,
            placed.noise_x,
            placed.noise_p,
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return np.array([_merged_bits(self.channel.encoding, *row) for row in rows])

    def __call__(self, verified: Array, unverified: Array) -> Array:
        """Bits per weight where there is no light but this session's.

        Args:
            verified: photons per weight in blocks that passed, `(n,)`.
            unverified: in all others, `(n,)`.
        """
        return self.bits(RowLight.received(self.channel, verified, unverified))


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

    All verified light is received alike; `Charge` has light of several sessions. With v = 0 it is
    the client that keeps all.

    Args:
        verified_photons: photons per symbol times copies, in blocks that passed.
        unverified_photons: likewise, in blocks that did not pass.
        encoding: "real" or "complex".
        transmittance: power transmittance that the server can vouch for, in [0, 1].
        excess_noise_x_snu: excess noise per mode in X at the channel's output.
        excess_noise_p_snu: likewise in P.
    """
    returned = transmittance * verified_photons
    return _merged_bits(
        encoding,
        verified_photons + unverified_photons,
        returned,
        returned * excess_noise_x_snu,
        returned * excess_noise_p_snu,
    )


@lru_cache(maxsize=65536)
def _merged_bits(
    encoding: Encoding, photons: float, returned: float, noise_x: float, noise_p: float
) -> float:
    """Bits per weight of one mode of all photons; see the module.

    Args:
        encoding: of all light.
        photons: V.
        returned: sum of T v.
        noise_x: sum of T v e_x.
        noise_p: sum of T v e_p.
    """
    if not photons > 0:
        return 0.0
    modulation = signal_variance_snu(photons, encoding)
    # No more comes back than was sent; sums from which blocks were taken out again round.
    gain = min(1.0, returned / photons) ** 0.5
    found = weight_bits_general(
        modulation,
        modulation if encoding == "complex" else 0.0,
        ReturnedChannel(
            gain_x=gain,
            gain_p=gain,
            excess_noise_x_snu=noise_x / returned if returned > 0 else 0.0,
            excess_noise_p_snu=noise_p / returned if returned > 0 else 0.0,
        ),
    )
    return found / weights_per_mode(encoding)


def charge_for_layer(
    layer: LayerPlan, expectation: ReturnExpectation, trust: ServerTrust
) -> Charge:
    """The charge of one layer's rows, as the ledger wants it.

    Losses and noise of the server's own detector are trusted; all others are given to the client:
    none of them can be told from an eavesdropper's. Nothing comes back from an honest client whose
    receiver returns no light; all of it then counts as kept.

    Args:
        layer: the layer's plan.
        expectation: the honest return, with its dither of P.
        trust: of the server's detector.
    """
    agreed = honest_channel(layer, expectation, trust)
    return Charge(
        channel=LightChannel(
            encoding=layer.encoding,
            transmittance=min(1.0, agreed.gain_x**2) if expectation.verifiable else 0.0,
            excess_noise_x_snu=agreed.excess_noise_x_snu,
            excess_noise_p_snu=agreed.excess_noise_p_snu or 0.0,
        )
    )


def pending_queries(plan: Plan, layer: LayerPlan) -> float:
    """Queries whose light of a layer is charged as unverified at a time, at most one.

    Args:
        plan: of the session; where it cuts a query's inputs into several blocks, less than 1.
        layer: one of its layers.
    """
    return min(1.0, plan.largest_inputs(layer, 1) / layer.positions)


def queries_within_budget(
    charge: BitsOfPhotons, photons_per_query: float, budget: float, pending: float = 1
) -> int:
    """Queries, each of `photons_per_query` per row, that a budget in bits allows.

    The last `pending` of them are charged as unverified: so the ledger sees them before the
    returned light has passed.

    Args:
        charge: of `charge_for_layer`, or any other of verified and unverified photons.
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
