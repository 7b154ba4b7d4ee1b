"""The charge for many copies of a weight, against adversaries written out mode by mode.

What `protocol.budget` charges holds for memories that meet one copy each, and for any adversary
where the moments are those of the merged return; it does not hold for one memory over all copies,
for which `protocol.leakage.copies` has the bound.
"""

import math

import numpy as np
import pytest

from protocol.budget import bits_per_weight
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.general_bound import (
    ReturnedChannel,
    possible_other_gains,
    weight_bits_general,
)
from sim_backend.adversaries import Adversary, MergesCopies, RemembersCopies
from tests.physics.copy_attacks import (
    Seen,
    apart,
    attacked,
    merge,
    merged_channel,
    one_memory,
    random_unitary,
    tapped_and_hidden,
)
from veilight.attacks import Case, formulas_for

_ATTACKS = 60


def charge(seen: Seen, copies: int, returned: int, modulation: float) -> float:
    """Bits that `protocol.budget` has for these copies, for any physical moments."""
    return weight_bits_general(copies * modulation, 0.0, seen.channel(returned / copies))


def with_memory(
    seen: Seen, copies: int, returned: int, modulation: float, modulation_p: float = 0.0
) -> float:
    """The bound for one memory over all copies."""
    more = copies / returned
    return weight_bits_with_memory(
        more * modulation, more * modulation_p, seen.channel(returned / copies), returned
    )


def stated(adversary: Adversary, modulation: float) -> float:
    """Bits that the catalogue of attacks has for an adversary at a mode's light."""
    case = Case(adversary=adversary, photons_per_symbol=modulation / 4, test=None)
    return adversary.gains(case.scene, formulas_for(case)).bits


def ledger(copies: int, modulation: float, noise_p: float) -> float:
    """Bits that the ledger has for copies whose returns had noise in P alone."""
    return bits_per_weight(
        copies * modulation / 4,
        0.0,
        "real",
        transmittance=1.0,
        excess_noise_x_snu=0.0,
        excess_noise_p_snu=noise_p,
    )


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
def test_charge_is_exceeded_and_the_bound_holds_when_one_meter_meets_all_copies(
    copies: int,
) -> None:
    """The server's sums see gain 1, no noise in X and the noise k^2 in P, for any K."""
    modulation, noise = 0.4, 2 * (1 - 1 / 2) / 784
    seen = attacked(one_memory(copies, math.sqrt(noise)), copies, copies, modulation)
    assert seen.gain == pytest.approx(1.0)
    assert seen.excess_x == pytest.approx(0.0, abs=1e-12)
    assert seen.excess_p == pytest.approx(noise)
    # The meter's own record, which tells less than any measurement of the meter.
    read = stated(RemembersCopies(noise_p_snu=noise, copies=copies), modulation)
    assert seen.bits > max(read, 1.5 * ledger(copies, modulation, noise))
    # What is true of the merged return: its own noise of P is K times that of a copy.
    assert seen.bits <= ledger(copies, modulation, copies * noise) * (1 + 1e-6)
    assert seen.bits <= with_memory(seen, copies, copies, modulation)


@pytest.mark.parametrize("copies", [2, 5, 20, 100])
@pytest.mark.parametrize("fraction", [0.01, 0.2])
def test_bound_is_nearly_reached_when_merged_light_is_tapped_and_hidden(
    copies: int, fraction: float
) -> None:
    """Gain 1, and noise of the second order in the fraction that was kept."""
    modulation = 0.04
    seen = attacked(tapped_and_hidden(copies, fraction), copies, copies, modulation)
    adversary = MergesCopies(fraction=fraction, copies=copies)
    assert seen.gain == pytest.approx(1.0)
    assert seen.excess_x == pytest.approx(adversary.noise_snu, rel=1e-6)
    assert seen.excess_p == pytest.approx(adversary.noise_snu, rel=1e-6)
    assert seen.bits == pytest.approx(stated(adversary, modulation), rel=1e-6)
    bound = with_memory(seen, copies, copies, modulation)
    assert 0.8 * bound < seen.bits <= bound * (1 + 1e-6)
    assert seen.bits > 2 * charge(seen, copies, copies, modulation)


@pytest.mark.parametrize(("copies", "returned"), [(2, 2), (3, 2), (3, 3), (4, 1)], ids=str)
def test_charge_holds_for_any_attack_when_the_merged_return_is_what_was_tested(
    copies: int, returned: int
) -> None:
    """What a test over copies would have to see: moments of the sum of a weight's returns."""
    rng = np.random.default_rng(50 + 10 * copies + returned)
    played = 0
    for _ in range(_ATTACKS):
        modulation, strength = 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, -0.3)
        unitary = random_unitary(rng, copies + 3, strength)
        split = merge(returned, copies + 3) @ unitary
        covariance = split @ split.T
        response = split[:, 0 : 2 * copies : 2].sum(axis=1)
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


@pytest.mark.parametrize(("copies", "returned"), [(2, 2), (3, 2), (3, 3), (4, 1)], ids=str)
@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_bound_holds_for_any_attack_when_averages_over_copies_are_all_that_is_known(
    copies: int, returned: int, encoding: str
) -> None:
    rng = np.random.default_rng(80 + 10 * copies + returned)
    played = tried = 0
    for _ in range(_ATTACKS):
        modulation, strength = 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, -0.5)
        of_p = modulation if encoding == "complex" else 0.0
        unitary = random_unitary(rng, copies + 3, strength)
        seen = attacked(unitary, copies, returned, modulation, of_p)
        if min(seen.gain, seen.gain_p) < 0:
            continue  # a turned return, which the server turns back
        bound = with_memory(seen, copies, returned, modulation, of_p)
        assert seen.bits <= bound * (1 + 1e-6) + 1e-9
        tried += 1
        played += seen.bits > 0.3 * bound
    assert tried > 0.8 * _ATTACKS
    assert played >= _ATTACKS // 20


def test_bound_is_reached_when_the_best_merged_channel_is_played() -> None:
    """Found by a search over explicit channels, whose averages over copies are all the same."""
    copies, gain, noise, modulation = 3, 0.98, 0.02, 0.4
    averages = ReturnedChannel(gain_x=gain, excess_noise_x_snu=noise, excess_noise_p_snu=noise)
    best = 0.0
    for other_x in np.linspace(0.88, 0.94, 7):
        # What the traces leave to the merged return, the others being squeezed vacuum.
        merged = copies * (1 + noise) - (copies - 1) * np.array([other_x, 1 / other_x])
        edges = possible_other_gains(gain, merged[0] - 1, merged[1] - 1)
        assert edges is not None
        for part in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
            gain_p = edges[0] + part * (edges[1] - edges[0])
            unitary = merged_channel(copies, (gain, gain_p), merged, other_x)
            seen = attacked(unitary, copies, copies, modulation)
            assert (seen.gain, seen.excess_x, seen.excess_p) == pytest.approx((gain, noise, noise))
            best = max(best, seen.bits)
    bound = weight_bits_with_memory(modulation, 0.0, averages, copies)
    assert 0.999 * bound < best <= bound * (1 + 1e-9)
