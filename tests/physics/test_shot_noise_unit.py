"""What a wrong unit hides is within what certificates charge for a unit that is badly known."""

import math

import pytest

from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general
from sim_backend.adversaries import SideBands
from veilight.attacks import Case, formulas_for

UNITS = (1.005, 1.01, 1.05, 1.25)
PHOTONS = (0.01, 0.1, 1.0)


def _bits(photons: float, gain: float, excess_x: float, excess_p: float) -> float:
    channel = ReturnedChannel(gain_x=gain, excess_noise_x_snu=excess_x, excess_noise_p_snu=excess_p)
    return weight_bits_general(4 * photons, 0.0, channel)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("photons", PHOTONS)
def test_meter_is_below_the_bound_of_its_light_and_that_below_the_charge(
    unit: float, photons: float
) -> None:
    # Seen in a unit of u: gain 1 and no noise. In true ones everything is larger.
    found = _bits(photons, math.sqrt(unit), unit - 1, unit - 1)
    # The amplifier of X can be undone by anybody, so all of it is a noise of u^2 in P.
    assert found == pytest.approx(_bits(photons, 1.0, 0.0, unit**2 - 1), rel=1e-6)
    # A certificate moves both excess noises by the unit's error and leaves the gain.
    assert found < _bits(photons, 1.0, unit - 1, unit - 1)

    attack = SideBands(side_bands_snu=unit - 1)
    case = Case(adversary=attack, photons_per_symbol=photons, test="vacuum slots")
    metered = attack.gains(case.scene, formulas_for(case)).bits
    assert 0.2 * found < metered < found


@pytest.mark.parametrize("transmittance", [0.7, 0.9])
@pytest.mark.parametrize("unit", UNITS)
def test_charge_covers_a_wrong_unit_when_light_is_lost_and_noisy(
    unit: float, transmittance: float
) -> None:
    gain, noise = math.sqrt(transmittance), 0.02
    true = unit * (1 + noise) - 1
    assert _bits(0.1, gain, noise, noise) < _bits(0.1, gain * math.sqrt(unit), true, true)
    assert _bits(0.1, gain * math.sqrt(unit), true, true) < _bits(0.1, gain, true, true)
