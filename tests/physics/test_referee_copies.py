"""The charge for many copies of a weight, against adversaries written out mode by mode.

Every copy, every ancilla and whatever the adversary keeps is a mode of its own; what it learns is
Holevo's information of its own modes, S(E) - S(E | w), with no entangled pair and no bound of
`protocol.leakage` in between. The light starts as vacuum displaced by the weight, all ancillas as
vacuum or squeezed vacuum, so that the state is pure and E is everything but what was returned.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from protocol.budget import bits_per_weight
from protocol.leakage.covariance import covariance_entropy_bits, symplectic_form
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general

Array = NDArray[np.float64]

_ATTACKS = 60


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the server's sums say of the return, and what the adversary has.

    Attributes:
        gain: amplitude gain of X, mean over the copies.
        excess_x: variance about that gain's mean less 1, mean over the copies.
        excess_p: likewise of P.
        bits: Holevo's information of all that was not returned.
    """

    gain: float
    excess_x: float
    excess_p: float
    bits: float


def attacked(
    unitary: Array, copies: int, returned: int, modulation: float, start: Array | None = None
) -> Seen:
    """Play an attack: copies come first, of them the first `returned` go back."""
    modes = len(unitary) // 2
    vacuum = np.eye(2 * modes) if start is None else start
    covariance = unitary @ vacuum @ unitary.T
    response = unitary[:, 0 : 2 * copies : 2].sum(axis=1)
    x, p = response[0 : 2 * returned : 2], response[1 : 2 * returned : 2]
    own = covariance.diagonal()
    kept = slice(2 * returned, 2 * modes)
    noise, means = covariance[kept, kept], response[kept]
    # A weight of the variance m moves E along its response.
    everything = covariance_entropy_bits(noise + modulation * np.outer(means, means))
    return Seen(
        gain=float(x.mean()),
        excess_x=float(own[0 : 2 * returned : 2].mean() - 1 + modulation * x.var()),
        excess_p=float(own[1 : 2 * returned : 2].mean() - 1 + modulation * (p**2).mean()),
        bits=everything - covariance_entropy_bits(noise),
    )


def charge(seen: Seen, copies: int, returned: int, modulation: float) -> float:
    """Bits that `protocol.budget` has for these copies, for any physical moments."""
    return weight_bits_general(
        copies * modulation,
        0.0,
        ReturnedChannel(
            gain_x=abs(seen.gain) * math.sqrt(returned / copies),
            excess_noise_x_snu=seen.excess_x,
            excess_noise_p_snu=seen.excess_p,
        ),
    )


def random_unitary(rng: np.random.Generator, modes: int, strength: float) -> Array:
    """exp(Omega H) of a random quadratic Hamiltonian."""
    generator = rng.normal(scale=strength, size=(2 * modes, 2 * modes))
    return np.asarray(expm(symplectic_form(modes) @ (generator + generator.T) / 2))


def apart(rng: np.random.Generator, copies: int, returned: int, strength: float) -> Array:
    """Every returned copy meets two ancillas of its own, each in another way."""
    modes = copies + 2 * returned
    whole = np.eye(2 * modes)
    for copy in range(returned):
        involved = [copy, copies + 2 * copy, copies + 2 * copy + 1]
        places = [2 * mode + quadrature for mode in involved for quadrature in (0, 1)]
        whole[np.ix_(places, places)] = random_unitary(rng, 3, strength)
    return whole


def one_memory(copies: int, coupling: float) -> Array:
    """The same memory mode meets all copies, one after the other: H = k x_copy x_memory each.

    A measurement of X without demolition: the memory's P collects the sum of all X, and each copy's
    P is kicked by k times the memory's X, which stays what it is.
    """
    whole = np.eye(2 * (copies + 1))
    for copy in range(copies):
        whole[2 * copy + 1, 2 * copies] = coupling
        whole[2 * copies + 1, 2 * copy] = coupling
    return whole


@pytest.mark.parametrize(("copies", "returned"), [(1, 1), (2, 2), (3, 2), (4, 1)], ids=str)
def test_charge_holds_when_every_copy_meets_memories_of_its_own(copies: int, returned: int) -> None:
    rng = np.random.default_rng(20 + 10 * copies + returned)
    played = 0
    for _ in range(_ATTACKS):
        modulation, strength = 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, -0.3)
        seen = attacked(apart(rng, copies, returned, strength), copies, returned, modulation)
        bound = charge(seen, copies, returned, modulation)
        assert seen.bits <= bound * (1 + 1e-6) + 1e-9
        played += seen.bits > 0.3 * bound
    assert played >= _ATTACKS // 20  # some of them are good attacks


@pytest.mark.parametrize("copies", [2, 5, 20, 100])
def test_charge_is_exceeded_when_one_memory_meets_all_copies(copies: int) -> None:
    """The limit of the ledger's charge: it takes channels without memory from copy to copy.

    The server's sums see gain 1, no noise in X and the noise k^2 in P, for any number of copies.
    """
    modulation, noise = 0.4, 2 * (1 - 1 / 2) / 784
    seen = attacked(one_memory(copies, math.sqrt(noise)), copies, copies, modulation)
    assert seen.gain == pytest.approx(1.0)
    assert seen.excess_x == pytest.approx(0.0, abs=1e-12)
    assert seen.excess_p == pytest.approx(noise)
    charged = bits_per_weight(
        copies * modulation / 4,
        0.0,
        "real",
        transmittance=1.0,
        excess_noise_x_snu=0.0,
        excess_noise_p_snu=noise,
    )
    # Read by homodyne detection it is 0.5 log2(1 + K^2 k^2 m/(1 + K k^2)), from the copies' sum.
    read = 0.5 * math.log2(1 + copies**2 * noise * modulation / (1 + copies * noise))
    assert seen.bits > max(read, 1.5 * charged)
    # What is true of the merged return: its own noise of P is K times that of a copy.
    merged = bits_per_weight(
        copies * modulation / 4,
        0.0,
        "real",
        transmittance=1.0,
        excess_noise_x_snu=0.0,
        excess_noise_p_snu=copies * noise,
    )
    assert seen.bits <= merged * (1 + 1e-6)


@pytest.mark.parametrize(("copies", "returned"), [(2, 2), (3, 2), (3, 3), (4, 1)], ids=str)
def test_charge_holds_for_any_attack_when_the_merged_return_is_what_was_tested(
    copies: int, returned: int
) -> None:
    """What a test over copies would have to see: moments of the sum of a weight's returns."""
    rng = np.random.default_rng(50 + 10 * copies + returned)
    merge = np.eye(returned)
    merge[:, 0] = 1.0
    rotated = np.linalg.qr(merge)[0].T
    rotated[0] *= math.copysign(1.0, rotated[0, 0])
    played = 0
    for _ in range(_ATTACKS):
        modulation, strength = 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, -0.3)
        unitary = random_unitary(rng, copies + 3, strength)
        split = np.eye(len(unitary))
        split[: 2 * returned, : 2 * returned] = np.kron(rotated, np.eye(2))
        covariance = (split @ unitary) @ (split @ unitary).T
        response = (split @ unitary)[:, 0 : 2 * copies : 2].sum(axis=1)
        seen = attacked(unitary, copies, returned, modulation)
        bound = weight_bits_general(
            copies * modulation,
            0.0,
            ReturnedChannel(
                gain_x=abs(response[0]) / math.sqrt(copies),
                excess_noise_x_snu=covariance[0, 0] - 1,
                excess_noise_p_snu=covariance[1, 1] - 1 + modulation * response[1] ** 2,
            ),
        )
        assert seen.bits <= bound * (1 + 1e-6) + 1e-9
        played += seen.bits > 0.3 * bound
    assert played >= _ATTACKS // 20
