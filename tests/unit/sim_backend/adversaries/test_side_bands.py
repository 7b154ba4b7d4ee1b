"""Side bands beside the oscillator: their law against electrons that are counted one by one.

Score limits of 6.5 have the probability 8e-11 each.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries import (
    Formulas,
    ReturnedLight,
    ScalesOscillator,
    Scene,
    SideBands,
    honest_return,
    return_behaviour,
)

SAMPLES = 200_000
LIMIT = 6.5
RECEIVER = Amplifier(gain=2.0)
HONEST = honest_return(RECEIVER)
MU = 0.1
SCENE = Scene(receiver=RECEIVER, photons_per_symbol=MU, modes=100, rows=50)
HOMODYNED = Formulas(
    kept=lambda photons: math.nan,
    homodyned=lambda photons: photons,
    inside_rules=lambda photons: math.nan,
    rows_homodyned=lambda excess, rows, modes: math.nan,
    rows_any=lambda noise, rows, modes: math.nan,
)
Array = NDArray[np.float64]


def _check_moments(values: Array, mean: float, variance: float) -> None:
    spread = math.sqrt(variance / values.size)
    assert abs(values.mean() - mean) < LIMIT * spread
    assert values.var() == pytest.approx(variance, rel=LIMIT * math.sqrt(2 / values.size))


@pytest.mark.parametrize(
    ("bands", "unbalance"),
    [(((0.03, 0.5),), 0.0), (((0.04, 0.8),), 0.6), (((0.04, 0.6), (0.01, 0.1)), 0.0)],
    ids=["halved", "one", "made-up-for"],
)
def test_counted_electrons_have_the_unit_and_the_direct_current_of_the_law(
    bands: tuple[tuple[float, float], ...], unbalance: float
) -> None:
    # Vacuum slots: the difference of the counts of both diodes, in deviations of the oscillator's.
    random, oscillator = np.random.default_rng(1), 1e6
    ports = [oscillator / 2, oscillator / 2]
    for power, split in bands:
        ports[0] += split * power * oscillator
        ports[1] += (1 - split) * power * oscillator
    counts = [random.poisson(port, SAMPLES).astype(np.float64) for port in ports]
    total = sum(power for power, _ in bands)
    law = SideBands(side_bands_snu=total, unbalance=unbalance, oscillator_electrons=oscillator)
    light = law.returned(HONEST)
    assert light.vacuum_variance_snu == law.unit_snu
    _check_moments(
        (counts[0] - counts[1]) / math.sqrt(oscillator),
        light.offset_snu,
        light.vacuum_variance_snu,
    )


@pytest.mark.parametrize("everywhere", [False, True], ids=["vacuum-slots", "all-slots"])
def test_metered_modes_have_the_law_and_the_meter_the_gain_of_the_attack(everywhere: bool) -> None:
    attack = SideBands(side_bands_snu=0.5, everywhere=everywhere)
    unit, random = attack.unit_snu, np.random.default_rng(2)
    weights = math.sqrt(4 * MU) * random.standard_normal(SAMPLES)
    vacuum = random.standard_normal((2, SAMPLES))
    meter = random.standard_normal((2, SAMPLES))
    # The bands' own noise in the data's slots; what is left for P is the meter's.
    own = attack.side_bands_snu if everywhere else 0.0
    coupling = math.sqrt(unit * (unit - own) - 1)
    read = meter[0] + coupling * (weights + vacuum[0])
    x = math.sqrt(unit) * (weights + vacuum[0]) + math.sqrt(own) * random.standard_normal(SAMPLES)
    p = (vacuum[1] - coupling * meter[1]) / math.sqrt(unit)
    p += math.sqrt(own) * random.standard_normal(SAMPLES)

    light = attack.returned(ReturnedLight())
    _check_moments(x / math.sqrt(unit) - light.gain * weights, 0.0, light.variance_x_snu)
    _check_moments(p / math.sqrt(unit), 0.0, light.variance_p_snu)
    assert (light.gain, light.variance_p_snu) == (1.0, 1.0)
    assert light.variance_x_snu == pytest.approx(1 + 1 / 3 if everywhere else 1.0)

    # As much as homodyned light of so many photons tells: the squared correlation of reading and
    # weight is S/(1 + S) at the signal S = 4 mu'. It is spread by 2 rho (1 - rho^2)/sqrt(n).
    signal = 4 * attack.gains(SCENE, HOMODYNED).bits
    square = float(np.corrcoef(read, weights)[0, 1]) ** 2
    expected = signal / (1 + signal)
    spread = 2 * math.sqrt(expected / SAMPLES) * (1 - expected)
    assert square == pytest.approx(expected, abs=LIMIT * spread)


def test_bands_in_vacuum_slots_move_nothing_else_and_a_dimmed_oscillator_hides_as_much() -> None:
    light = SideBands(side_bands_snu=0.25).returned(HONEST)
    dimmed = ScalesOscillator(hidden_noise_snu=0.25)
    assert light.data_mode_excess_p_snu == pytest.approx(HONEST.data_mode_excess_p_snu / 1.25**2)
    assert dimmed.returned(HONEST) == replace(light, vacuum_variance_snu=0.8, unit_snu=1.0)
    found = SideBands(side_bands_snu=0.25).gains(SCENE, HOMODYNED)
    assert found.bits == pytest.approx(0.1 * (1 - 0.64))
    assert found == dimmed.gains(SCENE, HOMODYNED)


def test_direct_current_reaches_the_rails_unless_the_bands_are_balanced() -> None:
    attack = SideBands(side_bands_snu=0.05, unbalance=-0.01, oscillator_electrons=1e8)
    light = attack.returned(HONEST)
    assert light.offset_snu == pytest.approx(-5.0)
    assert light.converter_range_snu == 6.0
    assert not SideBands(side_bands_snu=0.05).returned(HONEST).clips
    assert attack.setting == "side bands 0.05 in vacuum slots, unbalance -0.01"
    assert "all slots" in SideBands(everywhere=True).setting


def test_a_link_without_vacuum_slots_cannot_play_side_bands() -> None:
    with pytest.raises(ConfigurationError, match="C7"):
        return_behaviour(SideBands())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SideBands(side_bands_snu=0.0), "side_bands_snu"),
        (lambda: SideBands(unbalance=math.nan), "unbalance is nan"),
        (lambda: SideBands(unbalance=1.1), "unbalance"),
        (lambda: SideBands(oscillator_electrons=math.inf), "oscillator_electrons"),
        (lambda: SideBands(converter_range_snu=-6.0), "converter_range_snu"),
        (lambda: ReturnedLight(unit_snu=0.0), "unit_snu"),
    ],
    ids=["power", "nan", "unbalance", "electrons", "range", "unit"],
)
def test_side_bands_out_of_range_are_refused_by_name(
    wrong: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wrong()
