"""What `veilight calibrate` shows: digits, ages, and which options go together."""

import math
from pathlib import Path

import pytest

from calibration.result import Quantity
from calibration.store import Store
from drivers.errors import ConfigurationError
from tests.unit.calibration.calibration_values import moment, result
from veilight.cli._calibrate import _age_cells, _shortened, _span, run_calibrate_show
from veilight.cli._options import refuse_idle, store_path
from veilight.cli._quantities import quantity_cells
from veilight.cli._screen import Screen


def _quantity(value: float, uncertainty: float, unit: str, low: float, high: float) -> Quantity:
    return Quantity(
        name="found", value=value, uncertainty=uncertainty, unit=unit, interval95=(low, high)
    )


@pytest.mark.parametrize(
    ("quantity", "value", "interval"),
    [
        (
            _quantity(3.49996, 1.5e-4, "V", 3.49966, 3.50025),
            "3.49996 ± 0.00015 V",
            "3.49966 to",
        ),
        (_quantity(0.7984, 5.5e-3, "V", 0.785, 0.812), "798.4 ± 5.5 mV", "785.0 to 812.0"),
        (_quantity(4.08e-7, 5.6e-10, "V^2", 4.07e-7, 4.09e-7), "0.40800 ± 0.00056 mV^2", "0.40700"),
        (_quantity(-1.6e-11, 8e-12, "s", -3.7e-11, 5e-12), "-16.0 ± 8.0 ps", "-37.0 to 5.0"),
        (_quantity(2.0154e8, 4.5e3, "Hz", 2.015e8, 2.016e8), "201.5400 ± 0.0045 MHz", "201.5000"),
        (_quantity(1.08e-6, 7e-8, "1", 9e-7, 1.2e-6), "1.080 ± 0.070 e-6", "0.900 to 1.200"),
        (_quantity(5473.0, 72.0, "1", 5334.0, 5616.0), "5473 ± 72", "5334 to 5616"),
        (_quantity(46.54, 0.0, "dB", 46.54, 46.54), "46.5400 dB", ""),
        (_quantity(0.0, 0.0, "V", 0.0, 0.0), "0 V", ""),
        (_quantity(-1e-9, 14e-9, "1", -3e-8, 28e-9), "-1 ± 14 e-9", "-30 to 28"),
        (_quantity(-1e-10, 14e-9, "1", -3e-8, 28e-9), "0 ± 14 e-9", "-30 to 28"),
        (_quantity(50.0, 1.0, "dB", 48.0, math.inf), "50.0 ± 1.0 dB", "48.0 to inf"),
    ],
    ids=[
        "volt",
        "milli",
        "square",
        "pico",
        "mega",
        "ppm",
        "plain",
        "exact",
        "zero",
        "offset",
        "no-minus-zero",
        "open",
    ],
)
def test_quantity_cells_have_the_digits_that_the_uncertainty_bears(
    quantity: Quantity, value: str, interval: str
) -> None:
    name, shown, ends = quantity_cells(quantity)
    assert (name, shown) == ("found", value)
    assert ends.startswith(interval)
    assert bool(ends) == bool(interval)


def test_age_cells_say_how_long_a_result_holds_or_has_been_stale() -> None:
    found = result()
    assert _age_cells(found, 600.0) == ("10 min", "50 min left")
    assert _age_cells(found, 3600.0 + 7200.0) == ("3 h", "stale for 2 h")
    assert _age_cells(found, None) == ("unknown", "the clock is wrong")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_span_is_said_as_people_do(seconds: float, text: str) -> None:
    assert _span(seconds) == text


def test_shortened_says_how_many_reasons_are_left_out() -> None:
    assert _shortened(()) == ""
    assert _shortened(("a", "b")) == "a; b"
    assert _shortened(("a", "b", "c", "d")) == "a; b; and 2 more"


def test_refuse_idle_names_the_option_that_would_do_nothing() -> None:
    refuse_idle(None, of_link={"--seed": 3}, of_bench={"--store": None, "--emit-light": False})
    refuse_idle([Path("a")], of_link={"--seed": None}, of_bench={"--emit-light": True})
    with pytest.raises(ConfigurationError, match="--seed is for the simulated link"):
        refuse_idle([Path("a")], of_link={"--setting": None, "--seed": 0}, of_bench={})
    with pytest.raises(ConfigurationError, match="--emit-light needs --bench twice"):
        refuse_idle([], of_link={}, of_bench={"--store": None, "--emit-light": True})


def test_store_path_wants_a_store_or_benches() -> None:
    assert store_path(Path("a.h5"), []) == Path("a.h5")
    with pytest.raises(ConfigurationError, match="Give --store FILE, or --bench FILE twice"):
        store_path(None, [])


def test_show_has_newest_results_with_a_clock_that_ran_backwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "s.h5", bench="reference")
    store.append(result(value=4.0))
    store.append(result(value=4.5))
    store.append(result("later", value=4.2, at=moment(1e10)))
    run_calibrate_show(Screen(), store.path)
    out = capsys.readouterr().out
    assert "4.50 ± 0.10 V" in out
    assert "4.00 ± 0.10 V" not in out
    assert "the clock is wrong" in out
    assert out.startswith("reference (simulated)\n")
    with pytest.raises(ConfigurationError, match="no result of other; it has those of transfer, l"):
        run_calibrate_show(Screen(), store.path, routines=("later", "other"))
    run_calibrate_show(Screen(), store.path, routines=("transfer",))
    assert "later" not in capsys.readouterr().out
