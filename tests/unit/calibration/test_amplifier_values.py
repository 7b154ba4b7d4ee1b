"""From results of an amplifier's bench to the values of its optics: taken, refused, tainted."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.amplifier_values import (
    AMPLIFIER_ROUTINES,
    assemble_amplifier_values,
    load_amplifier_values,
)
from calibration.checks import Conditions
from calibration.moment import Moment
from calibration.result import Result
from calibration.routines.mesh import meshes_of
from calibration.store import Store
from drivers.errors import CalibrationError
from tests.amplifier_files import INVERSION, PORTS, SHORT, amplifier_results


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return dict(amplifier_results().results)


def changed(result: Result, name: str, value: float, spread: float = 0.0) -> Result:
    """The same result with another value of one quantity."""
    interval = (value - 2 * spread, value + 2 * spread)
    return replace(
        result,
        quantities=tuple(
            replace(one, value=value, uncertainty=spread, interval95=interval)
            if one.name == name
            else one
            for one in result.quantities
        ),
    )


def test_values_are_those_of_the_results(results: dict[str, Result]) -> None:
    values = assemble_amplifier_values(results)
    server, client = values.server, values.client
    assert len(server.full_photons) == PORTS
    assert server.full_photons[2] == results["port_photons"]["full_photons_2"].value
    assert server.shot_noise_v2[3] == results["port_noise"]["server_3_shot_v2"].value
    assert server.electronic_noise_v2[1] == results["port_noise"]["server_1_electronic_v2"].value
    assert server.attenuation_db == results["port_photons"]["attenuation_db"].value
    assert server.unitary_error_rad == results["mesh"]["unitary_error_rad"].interval95[1]
    phase = results["port_loss"]["server_phase_variance_rad2"]
    assert server.phase_variance_uncertainty_rad2 == phase.uncertainty > 0
    # Behind the tap of a half, an amplifier of gain 2 leaves n_sp of twice its photons' noise.
    assert server.data_mode_excess_snu == pytest.approx(INVERSION, abs=0.2)
    assert client.gain_db == pytest.approx(3.0103)
    assert client.signal_gain == results["port_loss"]["client_gain"].value
    assert client.outcome_variance_snu == results["port_loss"]["client_vacuum_snu"].value
    expected = meshes_of(results["mesh"], 4.0, PORTS)
    for found, wanted in zip((client.mesh, client.return_mesh), expected, strict=True):
        np.testing.assert_array_equal(found.phase_offsets_rad, wanted.phase_offsets_rad)
    assert values.power_w["client.seed_laser"] == 1e-5
    assert values.power_w["server.return_oscillator"] == 16e-3
    assert values.taints == ()


def test_claimed_round_trip_is_the_measured_gain(results: dict[str, Result]) -> None:
    server = assemble_amplifier_values(results).server
    power = server.forward_transmittance * server.return_transmittance
    gain = math.sqrt(power * server.detection_efficiency)
    gain *= math.exp(-(server.phase_noise_rad**2) / 2)
    assert gain == pytest.approx(results["port_loss"]["return_gain"].value, rel=1e-12)


def test_uncertain_amplifier_noise_widens_the_unit_of_variance(results: dict[str, Result]) -> None:
    before = assemble_amplifier_values(results).server.variance_uncertainty
    wide = changed(results["amplifier"], "added_noise_snu", 2.0, 1.0)
    after = assemble_amplifier_values(results | {"amplifier": wide}).server
    unsure = after.return_transmittance * after.detection_efficiency * 0.5 / PORTS
    assert after.variance_uncertainty == pytest.approx(math.hypot(before, unsure), rel=0.01)


@pytest.mark.parametrize("name", AMPLIFIER_ROUTINES)
def test_values_are_refused_when_a_result_is_missing(results: dict[str, Result], name: str) -> None:
    left = {key: result for key, result in results.items() if key != name}
    with pytest.raises(CalibrationError, match=f"lacks {name}; run `veilight calibrate {name}`"):
        assemble_amplifier_values(left)


@pytest.mark.parametrize(
    ("quantity", "value", "message"),
    [
        ("return_gain", 2.0, "the return would pass"),
        ("client_gain", -0.1, "describes no bench: calibrated signal_gain"),
        ("round_trip_delay_s", -1e-9, "is before the trigger"),
    ],
    ids=["gain", "sign", "delay"],
)
def test_values_are_refused_when_they_describe_no_bench(
    results: dict[str, Result], quantity: str, value: float, message: str
) -> None:
    wrong = changed(results["port_loss"], quantity, value)
    with pytest.raises(CalibrationError, match=message):
        assemble_amplifier_values(results | {"port_loss": wrong})


def test_values_are_refused_when_a_result_has_no_such_setting(results: dict[str, Result]) -> None:
    bare = replace(results["port_loss"], settings={})
    with pytest.raises(CalibrationError, match="port_loss has no setting"):
        assemble_amplifier_values(results | {"port_loss": bare})


def test_delay_is_none_when_it_is_below_zero_by_noise(results: dict[str, Result]) -> None:
    early = changed(results["port_loss"], "forward_delay_s", -2e-12, 2e-12)
    values = assemble_amplifier_values(results | {"port_loss": early})
    assert values.client.forward_delay_s == 0.0


def stored(path: Path, results: dict[str, Result]) -> Store:
    store = Store(path, bench="amplifier")
    for name in AMPLIFIER_ROUTINES:
        store.append(results[name])
    return store


def conditions(now: Moment) -> Conditions:
    identities = amplifier_results().access.identities
    return Conditions(now=now, identities=identities, temperature_c=None, simulated=True)


def test_values_come_from_a_store_when_its_results_hold(
    results: dict[str, Result], tmp_path: Path
) -> None:
    here = conditions(amplifier_results().access.now())
    values = load_amplifier_values(stored(tmp_path / "a.h5", results), here, settings=SHORT)
    assert values.server == assemble_amplifier_values(results).server


def test_values_are_refused_when_a_result_is_stale_unless_overridden(
    results: dict[str, Result], tmp_path: Path
) -> None:
    now = amplifier_results().access.now()
    late = conditions(replace(now, clock_s=now.clock_s + 4000.0))
    store = stored(tmp_path / "a.h5", results)
    with pytest.raises(CalibrationError, match=r"calibration mesh .* stale"):
        load_amplifier_values(store, late)
    values = load_amplifier_values(store, late, override=True)
    assert [taint.split()[1] for taint in values.taints] == ["mesh", "amplifier", "port_loss"]


def test_values_are_refused_when_the_bench_wants_other_settings(
    results: dict[str, Result], tmp_path: Path
) -> None:
    here = conditions(amplifier_results().access.now())
    store = stored(tmp_path / "a.h5", results)
    with pytest.raises(CalibrationError, match=r"made with gain_db 3\.0103, it is 6\.0 now"):
        load_amplifier_values(store, here, settings=SHORT | {"port_noise": {"gain_db": 6.0}})
