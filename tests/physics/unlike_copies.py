"""Adversaries on copies of a weight that sessions sent unlike: other photons, other channels.

Every copy, every ancilla and whatever the adversary keeps is a mode of its own, as in
`tests.physics.copy_attacks`; the server sees each session apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from protocol.budget import Charge
from protocol.leakage.covariance import covariance_entropy_bits
from protocol.ledger import ChargeRule, LightChannel, WeightLedger
from protocol.plan import Encoding

__all__ = [
    "Copies",
    "SeenSessions",
    "hidden_by_sessions",
    "ledger_bits",
    "mixed_with_pairs",
    "seen_in_sessions",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What one session sends of a weight.

    Attributes:
        photons: of one copy.
        number: of copies, all returned.
        transmittance: at which an attack lets them come back.
    """

    photons: float
    number: int
    transmittance: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SeenSessions:
    """What the server's sums say of each session, and what the adversary has.

    Attributes:
        channels: one per session.
        bits: Holevo's information per weight of all that was not returned.
    """

    channels: tuple[LightChannel, ...]
    bits: float


def seen_in_sessions(
    unitary: Array, sessions: Sequence[Copies], kept: float, encoding: Encoding
) -> SeenSessions | None:
    """Play an attack: the copies come first, after them one copy that is kept, then ancillas.

    Args:
        unitary: of all modes, X and P in turn.
        sessions: whose copies are returned.
        kept: photons of the copy that is not.
        encoding: of all light.

    Returns:
        None where a session comes back turned, brighter than it was sent, or quieter than vacuum:
        a ledger cannot write that down.
    """
    sent = np.sqrt([*(part.photons for part in sessions for _ in range(part.number)), kept])
    copies, quadratures = len(sent) - 1, 2 if encoding == "complex" else 1
    modulation = 4 / quadratures
    covariance = unitary @ unitary.T
    columns = [unitary[:, start : 2 * len(sent) : 2] @ sent for start in range(quadratures)]
    response = np.stack(columns, axis=1)
    channels, first = [], 0
    for part in sessions:
        own = slice(2 * first, 2 * (first + part.number))
        first += part.number
        found = _channel(
            response[own] / math.sqrt(part.photons),
            covariance.diagonal()[own],
            modulation * part.photons,
            encoding,
        )
        if found is None:
            return None
        channels.append(found)
    noise, means = covariance[2 * copies :, 2 * copies :], response[2 * copies :]
    everything = covariance_entropy_bits(noise + modulation * means @ means.T)
    bits = (everything - covariance_entropy_bits(noise)) / quadratures
    return SeenSessions(channels=tuple(channels), bits=bits)


def _channel(
    response: Array, variances: Array, modulation: float, encoding: Encoding
) -> LightChannel | None:
    """One session, X and P of its copies in turn."""
    gains, noises = [], []
    for quadrature in (0, 1):
        moved = response[quadrature::2].copy()
        if quadrature < moved.shape[1]:
            gains.append(float(moved[:, quadrature].mean()))
            moved[:, quadrature] -= gains[-1]
        own = variances[quadrature::2] - 1 + modulation * (moved**2).sum(1)
        noises.append(float(own.mean()))
    # The ledger has one gain for X and P.
    if min(gains) < 0 or max(gains) > 1 + 1e-12 or max(gains) - min(gains) > 1e-9:
        return None
    if min(noises) < -1e-12:
        return None
    return LightChannel(
        encoding=encoding,
        transmittance=min(1.0, gains[0] ** 2),
        excess_noise_x_snu=max(0.0, noises[0]),
        excess_noise_p_snu=max(0.0, noises[1]),
    )


def mixed_with_pairs(rng: np.random.Generator, copies: int, strength: float) -> Array:
    """Copies meet each other and halves of entangled pairs in a random interferometer.

    It treats X and P alike.

    Args:
        rng: random numbers.
        copies: with the one that is kept.
        strength: how far the interferometer is from none.
    """
    pairs = 2
    modes = copies + 2 * pairs
    generator = np.zeros((modes, modes))
    met = copies + pairs
    generator[:met, :met] = rng.normal(scale=strength, size=(met, met))
    whole = np.kron(expm(generator - generator.T), np.eye(2))
    for pair in range(pairs):
        r = rng.exponential(strength)
        flip = np.kron([[0.0, 1.0], [1.0, 0.0]], np.diag([1.0, -1.0]))
        places = [2 * (copies + pair + pairs * half) + q for half in (0, 1) for q in (0, 1)]
        squeezed = np.eye(2 * modes)
        squeezed[np.ix_(places, places)] = math.cosh(r) * np.eye(4) + math.sinh(r) * flip
        whole = whole @ squeezed
    return np.asarray(whole)


def hidden_by_sessions(sessions: Sequence[Copies], kept: float, fraction: float) -> Array:
    """Merge all copies, tap the light, make up for it in X alone, hide that in each session.

    The merged return is squeezed by r. In each session, of which it is the share beta, the returns
    that are orthogonal to it are squeezed the other way by q, beta sinh(2r) = (n - 1) sinh(2q), so
    that X and P of its copies have the same noise.

    Args:
        sessions: at least two copies in each.
        kept: photons of one more copy, which is merged as well and not returned.
        fraction: of the merged light that is kept; at least what the sessions lose.
    """
    sent = np.array([*(part.photons for part in sessions for _ in range(part.number)), kept])
    back = np.array([p.transmittance * p.photons for p in sessions for _ in range(p.number)])
    copies, modes = len(back), 2 * len(back) + 1
    gain = math.sqrt(back.sum() / sent.sum())
    stretch = gain / math.sqrt(1 - fraction)
    returned, squeezed = _basis(sessions, np.sqrt(back / back.sum()), 2 * math.log(stretch))
    whole = _of_modes(modes, np.linalg.qr(_first(np.sqrt(sent / sent.sum())))[0].T)
    whole *= np.sign(whole[:1, :1])
    whole = _mixed(modes, 0, copies + 1, 1 - fraction) @ whole
    for other in range(1, copies):
        whole = _mixed(modes, other, copies + 1 + other, 0.0) @ whole
    factors = np.ones(2 * modes)
    factors[0], factors[1] = stretch, 1 / stretch
    factors[2 : 2 * copies : 2], factors[3 : 2 * copies : 2] = squeezed, 1 / squeezed
    return np.asarray(_of_modes(modes, returned) @ (factors[:, np.newaxis] * whole))


def _basis(sessions: Sequence[Copies], merged: Array, twice: float) -> tuple[Array, Array]:
    """Returned modes as columns, the merged one first, and by how much X of the others shrinks."""
    columns, squeezed, first = [merged], [], 0
    for part in sessions:
        share = float((merged[first : first + part.number] ** 2).sum())
        hidden = math.asinh(share * math.sinh(twice) / (part.number - 1))
        inside = np.linalg.qr(_first(np.full(part.number, part.number**-0.5)))[0][:, 1:]
        for column in inside.T:
            whole = np.zeros(len(merged))
            whole[first : first + part.number] = column
            columns.append(whole)
            squeezed.append(math.exp(-hidden / 2))
        first += part.number
    complete = np.linalg.qr(np.column_stack([*columns, np.eye(len(merged))]))[0]
    complete[:, 0] = merged
    squeezed += [1.0] * (len(sessions) - 1)
    return complete, np.array(squeezed)


def _first(direction: Array) -> Array:
    return np.column_stack([direction, np.eye(len(direction))])


def _of_modes(modes: int, rotation: Array) -> Array:
    whole = np.eye(2 * modes)
    whole[: 2 * len(rotation), : 2 * len(rotation)] = np.kron(rotation, np.eye(2))
    return whole


def _mixed(modes: int, one: int, two: int, transmittance: float) -> Array:
    c, s = math.sqrt(transmittance), math.sqrt(1 - transmittance)
    whole = np.eye(modes)
    whole[one, one] = whole[two, two] = c
    whole[one, two], whole[two, one] = s, -s
    return np.asarray(np.kron(whole, np.eye(2)))


def ledger_bits(
    seen: SeenSessions, sessions: Sequence[Copies], kept: float, rule: ChargeRule = "with memory"
) -> float:
    """Bits per weight that a ledger has in the end for these sessions and a copy that was kept."""
    with WeightLedger.create(None, "weights", {0: 1}, None, rule=rule) as ledger:
        for number, (part, channel) in enumerate(zip(sessions, seen.channels, strict=True)):
            charge = Charge(channel=channel, rule=rule)
            photons = part.number * part.photons
            entry = ledger.debit(f"s{number}", 0, 0, 1, photons, charge, copies=part.number)
            ledger.settle(entry, verified=True)
        if kept:
            ledger.debit("thief", 0, 0, 1, kept, charge, copies=1)
        return float(charge.bits(ledger.light(0))[0])
