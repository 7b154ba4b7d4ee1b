"""Clients with one memory over all copies: what a copy shows of them, and what they learn."""

import math

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Formulas, Scene, return_behaviour
from sim_backend.adversaries.clients import KeepsLight, MeasuresOnlyX
from sim_backend.adversaries.light import honest_return
from sim_backend.adversaries.many_copies import MergesCopies, RemembersCopies

AMPLIFIER = Amplifier(gain=2.0)
HONEST = honest_return(AMPLIFIER)
SCENE = Scene(receiver=AMPLIFIER, photons_per_symbol=0.01, modes=784, rows=784)
FORMULAS = Formulas(
    kept=lambda mu: mu,
    homodyned=lambda mu: 10 * mu,
    inside_rules=lambda _: math.nan,
    rows_homodyned=lambda *_: math.nan,
    rows_any=lambda *_: math.nan,
)


@pytest.mark.parametrize("copies", [1, 20, 1000])
def test_meter_shows_in_p_of_a_copy_alone_for_any_number_of_copies(copies: int) -> None:
    meter = RemembersCopies(noise_p_snu=0.05, copies=copies)
    assert meter.returned(HONEST) == MeasuresOnlyX(noise_p_snu=0.05).returned(HONEST)
    assert return_behaviour(meter).added_noise_p_snu == pytest.approx(0.05)


def test_meter_learns_like_one_of_k_times_the_strength_on_k_times_the_light() -> None:
    found = RemembersCopies(noise_p_snu=0.05, copies=20).gains(SCENE, FORMULAS)
    # K mu = 0.2, K k^2 = 1.
    assert found.bits == pytest.approx(10 * 0.2 / 2)
    single = RemembersCopies(noise_p_snu=0.05, copies=1).gains(SCENE, FORMULAS)
    assert single.bits == MeasuresOnlyX(noise_p_snu=0.05).gains(SCENE, FORMULAS).bits
    assert found.bits > 20 * 9 * single.bits


@pytest.mark.parametrize("copies", [2, 10, 1000])
def test_merger_shows_noise_of_the_second_order_in_what_it_keeps(copies: int) -> None:
    merger = MergesCopies(fraction=0.01, copies=copies)
    assert merger.noise_snu == pytest.approx(0.01**2 / (2 * (copies - 1)), rel=0.02)
    light = merger.returned(HONEST)
    assert light.gain == HONEST.gain
    assert light.variance_x_snu == light.variance_p_snu == 1 + merger.noise_snu
    assert merger.gains(SCENE, FORMULAS).bits == pytest.approx(0.01 * copies * 0.01)


def test_merger_of_two_copies_is_a_pair_of_opposite_squeezers() -> None:
    """One mode squeezed, the other likewise the other way: cosh r of each."""
    merger = MergesCopies(fraction=0.5, copies=2)
    assert merger.noise_snu == pytest.approx((2 + 1 / 2) / 2 - 1)


def test_merger_learns_as_much_as_a_tap_and_needs_no_dimmer_return() -> None:
    merger = MergesCopies(fraction=0.1, copies=7)
    tap = KeepsLight(fraction=0.1).gains(
        Scene(receiver=AMPLIFIER, photons_per_symbol=0.07, modes=784, rows=784), FORMULAS
    )
    assert merger.gains(SCENE, FORMULAS).bits == pytest.approx(tap.bits)
    behaviour = return_behaviour(merger)
    assert behaviour.transmittance == 1.0
    assert behaviour.added_noise_x_snu == pytest.approx(merger.noise_snu)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RemembersCopies(noise_p_snu=0.0),
        lambda: RemembersCopies(noise_p_snu=math.nan),
        lambda: RemembersCopies(copies=0),
        lambda: MergesCopies(fraction=1.0),
        lambda: MergesCopies(fraction=math.nan),
        lambda: MergesCopies(copies=1),
    ],
    ids=["no meter", "nan meter", "no copies", "all", "nan part", "one copy"],
)
def test_parameters_out_of_range_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigurationError, match="A9-m"):
        wrong()
