"""Operating curves and verdicts of attacks, at their edges."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import ConfigurationError, OutputError, VerificationError
from sim_backend.adversaries import AsksManyTimes, KeepsLight
from veilight.attacks import CASES, Case, HonestAlarms, find_cases, run_attack
from veilight.attacks.curves import operating_curve
from veilight.attacks.honest import honest_alarms
from veilight.attacks.plots import write_curve
from veilight.cli import _attack

CAUGHT = run_attack(
    Case(
        adversary=KeepsLight(fraction=0.5),
        photons_per_symbol=1.0,
        test="gain",
        stated=180,
        unit="symbols in X",
    ),
    trials=500,
)
CHARGED = Case(adversary=AsksManyTimes(), test=None)


def test_every_name_finds_its_cases_in_any_case_of_letters() -> None:
    assert find_cases("all") == CASES
    assert {case.adversary.name for case in find_cases("b6-p")} == {"B6-P"}
    assert len(find_cases("A1")) == 12
    with pytest.raises(ConfigurationError, match="A13"):
        find_cases("Z1")


def test_every_case_has_a_test_or_a_charge() -> None:
    for case in CASES:
        assert (case.test is None) == bool(case.adversary.undetectable)
        assert case.test is None or case.test in case.adversary.changes


def test_curve_grows_and_holds_its_confidence_intervals() -> None:
    curve = CAUGHT.curve
    assert curve is not None
    assert [point.number for point in curve.points] == sorted(p.number for p in curve.points)
    assert curve.points[0].detected < 0.2
    assert curve.points[-1].detected > 0.99
    for point in curve.points:
        assert point.low <= point.detected <= point.high
    assert CAUGHT.deviation == pytest.approx(curve.simulated_number / 180 - 1)


def test_curves_without_a_test_or_repetitions_are_refused() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(ConfigurationError, match="ledger"):
        operating_curve(CHARGED, random, alpha=1e-6, power=0.999, trials=500)
    with pytest.raises(ConfigurationError, match="at least 100"):
        operating_curve(CAUGHT.case, random, alpha=1e-6, power=0.999, trials=99)
    with pytest.raises(ConfigurationError, match="A9"):
        honest_alarms(CHARGED, 10, random, alpha=1e-6, trials=10)


def test_a_missed_attack_or_a_false_alarm_is_no_success() -> None:
    assert CAUGHT.curve is not None
    missed = replace(CAUGHT, curve=replace(CAUGHT.curve, simulated_number=math.nan))
    noisy = replace(
        CAUGHT, honest=HonestAlarms(exact_rate=1e-6, alpha=1e-6, counted=400, trials=100_000)
    )
    loose = replace(
        CAUGHT, honest=HonestAlarms(exact_rate=2e-6, alpha=1e-6, counted=1, trials=1000)
    )
    _attack._judge([CAUGHT], None)
    with pytest.raises(VerificationError, match="not caught"):
        _attack._judge([missed], None)
    with pytest.raises(VerificationError, match="400 false alarms"):
        _attack._judge([noisy], None)
    with pytest.raises(VerificationError, match="2e-06"):
        _attack._judge([loose], None)


def test_nothing_is_drawn_for_an_attack_without_a_curve(tmp_path: Path) -> None:
    result = run_attack(CHARGED)
    assert result.caught_by == ()
    assert result.deviation is None
    with pytest.raises(OutputError, match="no operating curve"):
        write_curve(result, tmp_path / "a.png")
