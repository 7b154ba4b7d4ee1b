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

That is the rule "copies apart". A memory that meets several copies of a weight makes noise that is
correlated over the copies, so that the noise of the combined return is not their mean. The rule
"with memory" charges for it. The K returned copies have K - 1 modes more than the combined one, in
which nothing is left of the sent light, whatever the T_i and v_i are: these are orthogonal to b.
Traces over copies do not change when modes are merged, and know nothing of brightness, so

(sum v_x - V_x)(sum v_p - V_p) >= (K - 1)^2

for the variances V of the combined return, with sums over the K copies of what each one's own
session saw, v = 1 + e. The bound is that of `protocol.leakage.copies` for K copies of V/K photons
each at the gain h, and the mean over copies of e in X and P. Every copy counts alike there, so that
a dim and noisy copy hides as much as a bright one. How the noise is spread over sessions is not
made use of: where one is far noisier than the others, the bound is loose.

What neither rule charges: what sessions let pass that are too short to see it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.honest_channel import honest_channel
from protocol.leakage.certified_statistics import ServerTrust
from protocol.leakage.conventions import signal_variance_snu, weights_per_mode
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)
from protocol.ledger.light import ChargeRule, LightChannel, RowLight
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

# Photons over photons per copy round.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What light of a row leaks, seen from a session whose own light comes back in one way.

    Args:
        channel: how light of this session comes back where its return passes.
        rule: whom the bits are charged for.
        photons_per_copy: of this session, per weight; only a call for this session's light alone
            needs it, with the rule "with memory".
    """

    channel: LightChannel
    rule: ChargeRule = "copies apart"
    photons_per_copy: float | None = None

    def bits(self, light: RowLight) -> Array:
        """Bits per weight of all light of each row, `(rows,)`.

        Args:
            light: of the rows; light that nobody wrote down how it came back is taken to have come
                back like this session's.

        Raises:
            ConfigurationError: it has another encoding.
        """
        placed = light.more(self.channel)
        photons, returned = placed.verified + placed.unverified, placed.returned
        encoding = self.channel.encoding
        if self.rule == "with memory":
            copies, noise_x, noise_p = placed.copies, placed.copies_noise_x, placed.copies_noise_p
            table = np.stack([photons, returned, copies, noise_x, noise_p], axis=1)
            return np.array([_remembered_bits(encoding, *row) for row in table.tolist()])
        table = np.stack([photons, returned, placed.noise_x, placed.noise_p], axis=1)
        return np.array([_merged_bits(encoding, *row) for row in table.tolist()])

    def __call__(self, verified: Array, unverified: Array) -> Array:
        """Bits per weight where there is no light but this session's.

        Args:
            verified: photons per weight in blocks that passed, `(n,)`.
            unverified: in all others, `(n,)`.

        Raises:
            ConfigurationError: the rule is "with memory", and nobody said how bright a copy is.
        """
        copies = np.zeros_like(verified) if self.rule == "copies apart" else self._copies(verified)
        return self.bits(RowLight.received(self.channel, verified, unverified, copies))

    def _copies(self, verified: Array) -> Array:
        """Copies that so many photons are in; a copy of which a part was sent is one."""
        if not self.photons_per_copy:
            raise ConfigurationError(
                "charge with memory: the photons per copy are not known; give them, or ask for the "
                "bits of light that says how many copies it was"
            )
        return np.ceil(verified / self.photons_per_copy * (1 - _ROUNDING))


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


@lru_cache(maxsize=65536)
def _remembered_bits(
    encoding: Encoding,
    photons: float,
    returned: float,
    copies: float,
    noise_x: float,
    noise_p: float,
) -> float:
    """Bits per weight to one memory over all copies; see the module.

    Args:
        encoding: of all light.
        photons: V, with those that were kept.
        returned: sum of T v.
        copies: K, of the light that came back.
        noise_x: sum of e_x over these copies.
        noise_p: sum of e_p.
    """
    if not photons > 0:
        return 0.0
    share = weights_per_mode(encoding)
    m_x = signal_variance_snu(photons, encoding)
    m_p = m_x if encoding == "complex" else 0.0
    number = round(copies)
    if number == 0 or not returned > 0:
        return weight_bits_general_untested(m_x, m_p) / share
    gain = min(1.0, returned / photons) ** 0.5
    merged = ReturnedChannel(
        gain_x=gain,
        gain_p=gain,
        excess_noise_x_snu=noise_x / number,
        excess_noise_p_snu=noise_p / number,
    )
    return weight_bits_with_memory(m_x / number, m_p / number, merged, number) / share


def charge_for_layer(
    layer: LayerPlan,
    expectation: ReturnExpectation,
    trust: ServerTrust,
    rule: ChargeRule = "copies apart",
) -> Charge:
    """The charge of one layer's rows, as the ledger wants it.

    Losses and noise of the server's own detector are trusted; all others are given to the client:
    none of them can be told from an eavesdropper's. Nothing comes back from an honest client whose
    receiver returns no light; all of it then counts as kept.

    Args:
        layer: the layer's plan.
        expectation: the honest return, with its dither of P.
        trust: of the server's detector.
        rule: of the ledger.
    """
    agreed = honest_channel(layer, expectation, trust)
    return Charge(
        channel=LightChannel(
            encoding=layer.encoding,
            transmittance=min(1.0, agreed.gain_x**2) if expectation.verifiable else 0.0,
            excess_noise_x_snu=agreed.excess_noise_x_snu,
            excess_noise_p_snu=agreed.excess_noise_p_snu or 0.0,
        ),
        rule=rule,
        photons_per_copy=layer.photons_per_symbol,
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
