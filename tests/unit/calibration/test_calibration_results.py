import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from scipy.stats import chi2

from calibration.moment import Moment, moments, system_clock_id
from calibration.result import FitData, Goodness, Quantity, Series
from drivers.errors import CalibrationError
from tests.unit.calibration.calibration_values import moment, quantity, result, series, sweep


def test_id_is_the_same_when_all_parts_are() -> None:
    assert result().id == result().id
    assert len(result().id) == 64


CHANGES = {
    "version": {"version": 2},
    "value": {"quantities": (quantity(value=math.nextafter(4.0, 5.0)), quantity("bias_v", 1.0))},
    "goodness": {"goodness": None},
    "points": {"fit_data": ()},
    "identity": {"identities": {"laser": "maker model 8 1.0"}},
    "basis": {"rests_on": {"power": "ab"}},
    "temperature": {"temperature_c": 21.5},
    "window": {"temperature_window_c": None},
    "moment": {"moment": moment(1.0)},
    "validity": {"validity_s": 60.0},
    "simulated": {"simulated": False},
    "seed": {"seed": 3},
    "setting": {"settings": {"points": 62}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_id_differs_when_a_part_does(name: str) -> None:
    assert replace(result(), **CHANGES[name]).id != result().id  # type: ignore[arg-type]


def test_id_differs_when_one_point_does() -> None:
    data = replace(sweep(), measured=series("power", "W", 1e-3, 1e-6, 1.2e-3))
    assert replace(result(), fit_data=(data,)).id != result().id


def test_result_finds_a_quantity_by_name_and_refuses_others() -> None:
    assert result()["bias_v"].value == 1.0
    with pytest.raises(CalibrationError, match="it found v_pi_v, bias_v"):
        result()["v_pi"]


def test_result_cannot_be_changed_by_who_gave_its_parts() -> None:
    values = np.array([1.0, 2.0])
    given = Series(name="x", unit="V", values=values)
    values[0] = 5.0
    assert given.values[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        given.values[0] = 5.0
    with pytest.raises(TypeError):
        result().settings["points"] = 3  # type: ignore[index]


def test_score_counts_standard_uncertainties_from_the_claim() -> None:
    assert quantity(value=4.0).score == pytest.approx(-2)
    assert replace(quantity(), claimed=None).score is None


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (quantity(value=4.123456), "v_pi_v = 4.12 V, 95 %: 3.92 to 4.42 V, claimed 4.2 V"),
        (
            Quantity(
                name="ratio", value=1.23456e-7, uncertainty=1e-9, unit="1",
                interval95=(1.2e-7, math.inf),
            ),
            "ratio = 1.235e-07, 95 %: 1.2e-07 to inf",
        ),
        (
            Quantity(name="exact", value=2.0, uncertainty=0, unit="m", interval95=(2, 2)),
            "exact = 2 m, 95 %: 2 to 2 m",
        ),
    ],
    ids=["claimed", "open", "exact"],
)  # fmt: skip
def test_text_is_rounded_to_the_uncertainty(made: Quantity, text: str) -> None:
    assert made.text == text


def test_goodness_has_the_tail_of_chi_square() -> None:
    goodness = Goodness(chi_square=12.0, degrees_of_freedom=5)
    assert goodness.reduced_chi_square == pytest.approx(2.4)
    assert goodness.p_value == pytest.approx(float(chi2.sf(12.0, 5)))


REFUSALS: dict[str, tuple[Callable[[], object], str]] = {
    "value": (lambda: quantity(value=math.nan), "v_pi_v is nan V"),
    "uncertainty": (lambda: replace(quantity(), uncertainty=math.nan), "uncertainty nan V"),
    "interval": (lambda: replace(quantity(), interval95=(4.1, 5.0)), "outside its own interval"),
    "interval-nan": (lambda: replace(quantity(), interval95=(math.nan, 5)), "outside its own"),
    "claim": (lambda: replace(quantity(), claimed=math.inf), "leave the claim out"),
    "name": (lambda: quantity("V pi"), "lower-case letters"),
    "points": (lambda: series("x", "V", 1.0, math.inf), "1 numbers that are not finite"),
    "lengths": (
        lambda: FitData(name="a", x=series("x", "V", 1), measured=series("y", "V", 1, 2)),
        "'y' has 2 points, 'x' has 1",
    ),
    "twice": (lambda: replace(result(), quantities=(quantity(), quantity())), "given twice"),
    "validity": (lambda: replace(result(), validity_s=math.nan), "validity is nan s"),
    "temperature": (lambda: replace(result(), temperature_c=math.nan), "read the thermometer"),
    "setting": (lambda: replace(result(), settings={"span_v": math.nan}), "setting span_v is nan"),
    "freedom": (lambda: Goodness(chi_square=1.0, degrees_of_freedom=0), "more points"),
    "time": (lambda: Moment(utc="yesterday", clock_s=0.0, clock_id="a"), "not ISO 8601"),
    "zone": (
        lambda: Moment(utc="2025-03-01T12:00:00", clock_s=0.0, clock_id="a"),
        "offset from UTC",
    ),
    "clock": (lambda: moment(clock_s=math.nan), "finite reading"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_value_is_refused_by_name_when(name: str) -> None:
    call, message = REFUSALS[name]
    with pytest.raises(CalibrationError, match=message):
        call()


def test_moments_are_told_in_utc_when_the_wall_has_another_zone() -> None:
    zone = timezone(timedelta(hours=2))
    now = moments(lambda: 5.0, clock_id="boot", wall=lambda: datetime(2025, 3, 1, 14, tzinfo=zone))
    assert now() == Moment(utc="2025-03-01T12:00:00+00:00", clock_s=5.0, clock_id="boot")


def test_clock_id_stays_when_the_machine_does() -> None:
    assert len(system_clock_id()) >= 32


def test_import_leaves_heavy_libraries_alone() -> None:
    code = (
        "import sys, calibration.runner, calibration.plots, calibration.store\n"
        "print([name for name in ('torch', 'scipy', 'matplotlib', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
