"""From results to the values of the optics: what is taken, what is refused, what is tainted."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import chi2, norm

from calibration.bench_values import (
    BENCH_ROUTINES,
    assemble_bench_values,
    load_bench_values,
)
from calibration.checks import Conditions
from calibration.fits.estimates import normal
from calibration.result import Result
from calibration.store import Store
from drivers.errors import CalibrationError
from tests.unit.calibration.calibration_values import moment

VALUES: dict[str, dict[str, tuple[float, float]]] = {
    "modulators": {
        "weight_v_pi_v": (3.5, 1e-3),
        "data_v_pi_v": (3.6, 1e-3),
        "data_extinction_db": (40.0, 0.1),
    },
    "electronic_noise": {
        "client_electronic_v2": (2e-6, 1e-9),
        "server_electronic_v2": (3e-6, 1e-9),
    },
    "shot_noise": {
        "client_shot_v2": (2e-5, 4e-8),
        "server_shot_v2": (3e-5, 3e-8),
        "client_oscillator_w": (2e-3, 4e-5),
        "server_oscillator_w": (1e-3, 2e-5),
    },
    "polarisation": {
        **{f"client_angle_{channel}_rad": (0.1 * channel, 1e-3) for channel in range(4)},
        **{f"server_angle_{channel}_rad": (1 + 0.1 * channel, 1e-3) for channel in range(4)},
    },
    "delay": {
        "forward_delay_s": (5e-6, 1e-11),
        "round_trip_delay_s": (1e-5, 1e-11),
        "oscillator_delay_s": (2e-9, 1e-11),
        "client_clock_offset": (1e-6, 1e-8),
        "server_clock_offset": (2e-8, 1e-8),
    },
    "photons": {"full_photons": (5000.0, 50.0), "attenuation_db": (46.5, 0.0)},
    "loss": {
        "client_gain": (0.37, 2e-3),
        "client_gain_scatter": (8e-4, 0.0),
        "return_gain": (0.31, 2e-3),
        "return_gain_scatter": (9e-4, 0.0),
        "tap_fraction": (0.4, 5e-3),
        "forward_transmittance": (0.7, 0.01),
        "return_transmittance": (0.6, 0.01),
    },
    "linewidth": {
        "client_phase_variance_rad2": (2.5e-3, 1e-4),
        "server_phase_variance_rad2": (3.6e-3, 1e-4),
    },
}
CONDITIONS = Conditions(now=moment(10.0), identities={}, temperature_c=21.0, simulated=True)


def made(name: str, changed: dict[str, tuple[float, float]] | None = None) -> Result:
    """A result with the values of the table, some of them changed."""
    return Result(
        routine=name,
        version=1,
        quantities=tuple(
            normal(value, error).quantity(quantity, "1")
            for quantity, (value, error) in {**VALUES[name], **(changed or {})}.items()
        ),
        identities={},
        temperature_c=None,
        temperature_window_c=None,
        moment=moment(0.0),
        validity_s=100.0,
        bench="reference",
        backend="sim",
        simulated=True,
        seed=0,
    )


def all_made() -> dict[str, Result]:
    return {name: made(name) for name in BENCH_ROUTINES}


def test_values_are_those_of_the_results_when_all_are_there() -> None:
    values = assemble_bench_values(all_made())
    assert values.server.weight_v_pi_v == 3.5
    assert values.server.attenuation_db == 46.5
    assert values.server.photons_uncertainty == pytest.approx(0.01)
    assert values.server.variance_uncertainty == pytest.approx(1e-3)
    assert values.server.gain_uncertainty == 9e-4
    assert values.server.phase_noise_rad == pytest.approx(0.06)
    assert values.server.clock_offset == 2e-8
    assert values.server.oscillator_power_w == 1e-3
    assert values.client.data_v_pi_v == 3.6
    assert values.client.signal_gain == 0.37
    assert values.client.oscillator_delay_s == 2e-9
    assert values.client.clock_offset == 1e-6
    assert values.client.data_leak == pytest.approx(0.01)
    assert values.client.oscillator_power_w == 2e-3
    assert values.client.electronic_noise_snu == pytest.approx(0.1)
    assert values.client.phase_noise_rad == pytest.approx(0.05)
    assert values.polarisation_rad["server"] == pytest.approx((1.0, 1.1, 1.2, 1.3))
    assert values.tap_fraction == 0.4
    assert values.taints == ()


def test_claimed_round_trip_is_the_measured_gain_when_values_are_put_together() -> None:
    values = assemble_bench_values(all_made())
    server = values.server
    power = server.forward_transmittance * (1 - values.tap_fraction)
    power *= server.return_transmittance * server.detection_efficiency
    gain = math.sqrt(power) * math.exp(-(server.phase_noise_rad**2) / 2)
    assert gain == pytest.approx(0.31, rel=1e-12)


@pytest.mark.parametrize("name", BENCH_ROUTINES)
def test_values_are_refused_when_a_result_is_missing(name: str) -> None:
    results = all_made()
    del results[name]
    with pytest.raises(CalibrationError, match=f"lacks {name}; run `veilight calibrate {name}`"):
        assemble_bench_values(results)


def test_values_are_refused_when_a_quantity_is_missing() -> None:
    results = all_made() | {"delay": made("polarisation")}
    with pytest.raises(CalibrationError, match="round_trip_delay_s"):
        assemble_bench_values(results)


def test_values_are_refused_when_no_light_returns() -> None:
    results = all_made() | {"loss": made("loss", {"tap_fraction": (1.0, 0.0)})}
    with pytest.raises(CalibrationError, match="no light returns"):
        assemble_bench_values(results)


def test_values_are_refused_when_they_describe_no_bench() -> None:
    results = all_made() | {"loss": made("loss", {"client_gain": (-0.1, 0.01)})}
    with pytest.raises(CalibrationError, match="describes no bench: calibrated signal_gain"):
        assemble_bench_values(results)


def test_phase_noise_is_none_when_its_variance_is_below_zero_by_chance() -> None:
    changed = {"client_phase_variance_rad2": (-1e-5, 1e-4)}
    results = all_made() | {"linewidth": made("linewidth", changed)}
    assert assemble_bench_values(results).client.phase_noise_rad == 0.0


def test_values_are_refused_when_a_phase_variance_is_below_zero_for_sure() -> None:
    changed = {"client_phase_variance_rad2": (-1e-3, 1e-4)}
    results = all_made() | {"linewidth": made("linewidth", changed)}
    with pytest.raises(CalibrationError, match="below 0 for sure"):
        assemble_bench_values(results)


def stored(path: Path) -> Store:
    store = Store(path, bench="reference")
    for result in all_made().values():
        store.append(result)
    return store


def test_values_come_from_a_store_when_its_results_hold(tmp_path: Path) -> None:
    values = load_bench_values(stored(tmp_path / "store.h5"), CONDITIONS)
    assert values == assemble_bench_values(all_made())


def test_values_are_refused_when_a_result_is_stale(tmp_path: Path) -> None:
    late = Conditions(now=moment(1e3), identities={}, temperature_c=21.0, simulated=True)
    with pytest.raises(CalibrationError, match="stale"):
        load_bench_values(stored(tmp_path / "store.h5"), late)


def test_values_carry_taints_when_stale_results_are_overridden(tmp_path: Path) -> None:
    late = Conditions(now=moment(1e3), identities={}, temperature_c=21.0, simulated=True)
    values = load_bench_values(stored(tmp_path / "store.h5"), late, override=True)
    assert len(values.taints) == len(BENCH_ROUTINES)
    assert all("stale" in taint for taint in values.taints)


def test_values_are_refused_when_the_store_lacks_a_routine(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.h5", bench="reference")
    store.append(made("modulators"))
    with pytest.raises(CalibrationError, match="no calibration electronic_noise"):
        load_bench_values(store, CONDITIONS, override=True)


def held(bursts: int) -> dict[str, Result]:
    """Results of a homodyne bench whose lock was measured over so many bursts."""
    results = {name: one for name, one in all_made().items() if name != "linewidth"}
    lock = replace(made("linewidth"), routine="phase_lock", settings={"repetitions": bursts})
    shifters = tuple(
        normal(4.0, 1e-3).quantity(f"{party}_phase_v_pi_v", "V") for party in ("client", "server")
    )
    results["phase_shifters"] = replace(
        made("photons"), routine="phase_shifters", quantities=shifters
    )
    return {**results, "phase_lock": lock}


@pytest.mark.parametrize("bursts", [8, 24, 400])
def test_phase_variance_is_as_uncertain_as_its_bursts_say_when_they_are_few(bursts: int) -> None:
    """Six of the uncertainties reach as far as chi-square does with that probability."""
    found = assemble_bench_values(held(bursts), homodyne=True).server
    # Of a mean square of normal errors, u = s2 (2/n)^(1/2); the routine found u = 1e-4.
    between = 1e-4 * math.sqrt(bursts / 2)
    farthest = between * bursts / chi2.ppf(norm.sf(6.0), bursts)
    assert 6 * found.phase_variance_uncertainty_rad2 == pytest.approx(farthest - between, rel=1e-3)
    assert found.phase_variance_uncertainty_rad2 > 1e-4


def test_phase_variance_is_as_uncertain_as_was_found_when_a_record_holds_many_errors() -> None:
    found = assemble_bench_values(all_made()).server
    assert found.phase_variance_uncertainty_rad2 == pytest.approx(1e-4)
