"""Attacks on devices: what the light shows of them and what they are worth."""

import math
from collections.abc import Callable

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries import (
    Adversary,
    BlindsDetector,
    DamagesModulator,
    Formulas,
    Scene,
    ShiftsCalibration,
    TrojanLight,
    honest_probe,
    honest_return,
)

RECEIVER = Amplifier(gain=2.0)
SCENE = Scene(receiver=RECEIVER, photons_per_symbol=0.1, modes=100, rows=50)
FORMULAS = Formulas(
    kept=lambda photons: photons,
    homodyned=lambda photons: 10 * photons,
    inside_rules=lambda photons: math.nan,
    rows_homodyned=lambda excess, rows, modes: excess * rows / modes,
    rows_any=lambda excess, rows, modes: math.nan,
)


@pytest.mark.parametrize(
    ("adversary", "scale"),
    [(ShiftsCalibration(hidden_noise_snu=0.25), 0.8), (BlindsDetector(), 1 / 3)],
    ids=["calibration", "blinded"],
)
def test_hidden_noise_shows_in_the_vacuum_and_nowhere_else(
    adversary: Adversary, scale: float
) -> None:
    honest = honest_return(RECEIVER)
    light = adversary.returned(honest)
    assert light.gain == honest.gain
    assert light.variance_x_snu == pytest.approx(honest.variance_x_snu)
    assert light.variance_p_snu == pytest.approx(honest.variance_p_snu)
    assert light.vacuum_variance_snu == pytest.approx(scale)
    assert adversary.changes == ("vacuum slots",)


@pytest.mark.parametrize(
    ("adversary", "bits", "per"),
    [
        (ShiftsCalibration(hidden_noise_snu=1.0), 0.75, "weight"),
        (BlindsDetector(), 8 / 9, "weight"),
        (TrojanLight(photons_in=1e6, isolation_db=90.0), 1e-3, "slot"),
        # ell = 2 (1 - 1/G) = 1.5.
        (DamagesModulator(gain=4.0), 0.75, "data value"),
    ],
    ids=lambda value: value.name if isinstance(value, Adversary) else "",
)
def test_gain_is_that_of_the_light_they_get(adversary: Adversary, bits: float, per: str) -> None:
    found = adversary.gains(SCENE, FORMULAS)
    assert found.bits == pytest.approx(bits)
    assert found.per == per


def test_trojan_light_changes_nothing_that_a_test_sees() -> None:
    trojan = TrojanLight()
    assert trojan.undetectable
    assert not trojan.changes
    assert trojan.returned(honest_return(RECEIVER)) == honest_return(RECEIVER)
    assert trojan.probes(honest_probe(RECEIVER, 0.1)) == honest_probe(RECEIVER, 0.1)
    # A thousandth of a bit per slot is 6.5e-5 photons: 102 dB for a million.
    needed = TrojanLight(isolation_db=10 * math.log10(1e6 / 6.5e-5))
    assert needed.photons_back == pytest.approx(6.5e-5)


def test_a_higher_gain_raises_the_clients_own_outcomes() -> None:
    honest = honest_probe(RECEIVER, 0.1)
    probe = DamagesModulator(gain=3.0).probes(honest)
    # (2 G^2 - 3 G + 2)/G: 2 at the agreed gain of 2, 11/3 at 3.
    assert (honest.outcome_variance_snu, probe.outcome_variance_snu) == pytest.approx((2, 11 / 3))
    assert probe.signal_variance_snu == honest.signal_variance_snu


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ShiftsCalibration(hidden_noise_snu=0.0), "C3: hidden_noise_snu"),
        (lambda: BlindsDetector(hidden_noise_snu=math.nan), "C6: hidden_noise_snu"),
        (lambda: TrojanLight(photons_in=math.nan), "B7: photons_in"),
        (lambda: TrojanLight(isolation_db=-1.0), "B7: isolation_db"),
        (lambda: DamagesModulator(gain=1.0), "gain is 1"),
    ],
    ids=["calibration", "blinded", "photons", "isolation", "gain"],
)
def test_parameters_out_of_range_are_refused_by_name(
    wrong: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wrong()
