"""The routines of a bench with homodyne detection find what the scene knows, or say why not."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.bench_values import (
    BENCH_ROUTINES,
    HOMODYNE_ROUTINES,
    assemble_bench_values,
    load_bench_values,
)
from calibration.checks import Conditions
from calibration.result import Result, Setting
from calibration.routine import Routine, identities_of
from calibration.routines import HOMODYNE_MODULES, all_routines
from calibration.routines._roles import PHASES
from calibration.routines._slot_noise import slot_noise
from calibration.routines._stage import PARTIES, Stage
from calibration.store import Store
from drivers.errors import CalibrationError, PhaseError
from drivers.optics.burst import BurstLayout
from sim_backend.scene import truth
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.homodyne_bench import FORMAT, QUIET, homodyne_scene
from tests.unit.calibration.routines.lit_bench import made_result
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

TAP, RATE_HZ = 0.4, 800e6
REGISTRY = all_routines(shared_oscillators=True, homodyne=True)
SHORT: dict[str, dict[str, Setting]] = {
    "phase_shifters": {"sweeps": 4, "points": 32},
    "polarisation": {"slots": 512},
    "delay": {"symbols": 4096, "repetitions": 4, "longest_delay_s": 4e-6},
    "photons": {"symbols": 1024, "tap_fraction": TAP, "forward_loss_db": 1.34},
    "loss": {"symbols": 4096, "repetitions": 4, "tap_fraction": TAP},
    "phase_lock": {"symbols": 1024, "repetitions": 12},
}


def routine(name: str) -> Routine:
    return REGISTRY.get(name)


def scene_settings() -> ReferenceSettings:
    return homodyne_scene(tap=TAP, fibre=replace(QUIET, polarisation_scrambled=True))


def bench_with_results(settings: ReferenceSettings | None = None) -> CalibrationBench:
    """A bench with the true V_pi, noises and efficiencies as results."""
    bench = open_calibration_bench(settings or scene_settings(), seed=3)
    scene, known = bench.scene, bench.scene.settings
    lit_w = known.server_laser.power_w * 10 ** (-known.client_phase_shifter.insertion_loss_db / 10)
    power_w = {
        "client": lit_w
        * known.client_oscillator_share
        * 10 ** (-known.data_modulator.insertion_loss_db / 10),
        "server": lit_w * known.server_oscillator_share,
    }
    made = {
        "modulators": {
            "weight_v_pi_v": known.weight_modulator.half_wave_v,
            "data_v_pi_v": known.data_modulator.half_wave_v,
            "data_extinction_db": known.data_modulator.extinction_db,
        },
        "electronic_noise": {
            f"{p}_electronic_v2": truth.electronic_variance_v2(scene, p, rate_hz=RATE_HZ)
            + (2 / 2**10.5) ** 2 / 12
            for p in PARTIES
        },
        "shot_noise": {
            f"{p}_{name}": value
            for p in PARTIES
            for name, value in (
                (
                    "shot_v2",
                    truth.shot_variance_v2(
                        scene, p, oscillator_power_w=power_w[p], rate_hz=RATE_HZ
                    ),
                ),
                ("oscillator_w", power_w[p]),
            )
        },
        "detector": {
            "client_efficiency": known.client_detector.efficiency,
            "server_efficiency": known.server_detector.efficiency,
        },
    }
    for name, values in made.items():
        bench.results[name] = made_result(bench, name, values)
    return bench


def run(bench: CalibrationBench, name: str) -> Result:
    own = {"if_cycles_per_symbol": 0.0} if "if_cycles_per_symbol" in routine(name).defaults else {}
    return bench.run(routine(name), own | SHORT.get(name, {}))


@pytest.fixture(scope="module")
def calibrated() -> CalibrationBench:
    """A bench on which all routines with light in the fibre were run, in order."""
    bench = bench_with_results()
    for name in ("phase_shifters", "polarisation", "delay", "photons", "loss", "phase_lock"):
        run(bench, name)
    return bench


def score(result: Result, name: str, value: float, floor: float = 0.0) -> float:
    """Deviation from the truth in standard uncertainties."""
    found = result[name]
    return abs(found.value - value) / math.hypot(found.uncertainty, floor)


def test_registry_leaves_out_what_needs_a_beat() -> None:
    assert REGISTRY.names == HOMODYNE_MODULES
    assert not {"beat", "linewidth", "quadratures", "predistortion"} & set(REGISTRY.names)
    assert set(HOMODYNE_ROUTINES) <= set(HOMODYNE_MODULES)


def test_routines_with_light_need_the_phase_shifters_and_their_roles() -> None:
    bench = open_calibration_bench(scene_settings())
    for one in REGISTRY.ordered():
        assert set(identities_of(one, bench.access)) == set(one.roles)
        lit = "server.attenuator" in one.roles and "client.tap_digitiser" in one.roles
        assert (set(PHASES.values()) <= set(one.roles)) is lit, one.name
        assert ("phase_shifters" in one.needs) is (lit and one.name != "phase_shifters"), one.name
    # Benches without them know nothing of either.
    for one in all_routines(shared_oscillators=True).ordered():
        assert not set(PHASES.values()) & set(one.roles)
        assert "phase_shifters" not in one.needs


def test_v_pi_of_both_phase_shifters_is_found(calibrated: CalibrationBench) -> None:
    found = calibrated.results["phase_shifters"]
    for party in PARTIES:
        # Student's t of four sweeps has wide tails; an error of a percent is a failure anyhow.
        assert score(found, f"{party}_phase_v_pi_v", 4.0) < 12
        assert abs(found[f"{party}_phase_v_pi_v"].value / 4.0 - 1) < 0.01
        assert 0 < found[f"{party}_phase_v_pi_v"].uncertainty < 0.04


def test_polarisation_is_aligned_by_levels_alone(calibrated: CalibrationBench) -> None:
    for party in PARTIES:
        assert truth.visibility(calibrated.scene, party) > 0.98 * 0.995


def test_delays_are_those_of_the_fibres(calibrated: CalibrationBench) -> None:
    found = calibrated.results["delay"]
    for name, party in (("forward_delay_s", "client"), ("round_trip_delay_s", "server")):
        true_s = truth.signal_delay_s(calibrated.scene, "client" if party == "client" else "server")
        assert score(found, name, true_s) < 6
    assert score(found, "client_clock_offset", 1.2e-6) < 6


def test_delay_adds_no_error_of_a_beat_where_there_is_none(calibrated: CalibrationBench) -> None:
    samples = BurstLayout(format=FORMAT, data_symbols=4096).total_samples
    floor = routine("delay").defaults["clock_floor_samples"]
    assert isinstance(floor, float)
    for name in ("client_clock_offset", "server_clock_offset"):
        assert 0 < calibrated.results["delay"][name].uncertainty < 0.9 * floor / samples


def test_photons_by_shot_noise_agree_with_the_meter_without_a_half(
    calibrated: CalibrationBench,
) -> None:
    ratio = calibrated.results["photons"]["photons_ratio"]
    assert abs(ratio.value - 1) < 0.15  # a lost factor of two is not hidden by that
    assert score(calibrated.results["photons"], "photons_ratio", 1.0) < 6


def test_gains_are_those_of_homodyne_detection(calibrated: CalibrationBench) -> None:
    scene, found = calibrated.scene, calibrated.results["loss"]
    fibre = scene.forward_fibre.transmission() * 10 ** (
        -scene.settings.client_switch.insertion_loss_db / 10
    )
    forward = fibre * scene.client_polarisation.transmission()
    back = scene.return_fibre.transmission() * scene.server_polarisation.transmission()
    back *= 10 ** (-scene.settings.server_switch.insertion_loss_db / 10)
    client = math.sqrt(forward * TAP * truth.detection_efficiency(scene, "client"))
    server = math.sqrt(forward * (1 - TAP) * back * truth.detection_efficiency(scene, "server"))
    # The mean phase error shrinks both by some 1e-3.
    assert score(found, "client_gain", client, 2e-3) < 6
    assert score(found, "return_gain", server, 2e-3) < 6
    assert score(found, "forward_transmittance", forward) < 6
    assert score(found, "return_transmittance", back) < 6


def test_phase_lock_tells_the_error_that_laser_and_path_leave(
    calibrated: CalibrationBench,
) -> None:
    found = calibrated.results["phase_lock"]
    linewidth_hz = calibrated.scene.settings.server_laser.linewidth_hz
    for party in PARTIES:
        name = f"{party}_phase_variance_rad2"
        delay_s = truth.signal_delay_s(calibrated.scene, party)
        # 2 pi linewidth delay, averaged a little over a burst, and the walk between probes.
        laser = 2 * math.pi * linewidth_hz * delay_s
        assert 0.3 * laser < found[name].value < 4 * laser + 1e-3
        assert found[f"{party}_phase_error_rad"].value == pytest.approx(
            math.sqrt(found[name].value)
        )


def test_bench_values_hold_the_whole_efficiency_and_the_phase_shifters(
    calibrated: CalibrationBench,
) -> None:
    values = assemble_bench_values(calibrated.results, homodyne=True)
    scene = calibrated.scene
    found = calibrated.results["loss"]["return_transmittance"]
    relative = found.uncertainty / found.value
    efficiency = truth.detection_efficiency(scene, "server")
    assert abs(values.server.detection_efficiency / efficiency - 1) < 6 * relative
    assert values.server.detection_efficiency > 0.75 * efficiency
    assert values.phase_v_pi_v["server"] == pytest.approx(4.0, rel=0.01)
    assert values.phase_v_pi_v["client"] == pytest.approx(4.0, rel=0.01)
    assert values.server.phase_noise_rad == pytest.approx(
        calibrated.results["phase_lock"]["server_phase_error_rad"].value
    )
    without = {name: one for name, one in calibrated.results.items() if name != "phase_lock"}
    with pytest.raises(CalibrationError, match="lacks phase_lock"):
        assemble_bench_values(without, homodyne=True)


def test_values_are_loaded_from_a_store_by_their_own_list(
    calibrated: CalibrationBench, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store.h5", bench="simulated")
    for name in HOMODYNE_ROUTINES:
        store.append(calibrated.results[name])
    conditions = Conditions(
        now=calibrated.access.now(),
        identities=calibrated.access.identities,
        temperature_c=21.0,
        simulated=True,
    )
    values = load_bench_values(store, conditions, override=True, homodyne=True)
    assert (
        values.phase_v_pi_v == assemble_bench_values(calibrated.results, homodyne=True).phase_v_pi_v
    )
    assert "linewidth" in BENCH_ROUTINES
    with pytest.raises(CalibrationError, match="linewidth"):
        load_bench_values(store, conditions, override=True)


def test_slot_noise_around_zero_is_the_variance_of_a_sample_and_not_the_level() -> None:
    volts = np.random.default_rng(8).normal(0.3, 0.01, 1 << 18).astype(np.float32)
    found = slot_noise(volts, FORMAT)
    assert found.degrees_of_freedom == pytest.approx((1 << 18) / 8, rel=0.01)
    # 32768 values: 0.8 %.
    assert abs(found.variance_v2 / 1e-4 - 1) < 6 * math.sqrt(2 / 32768)
    assert found.level.value == pytest.approx(0.3, abs=1e-3)


def test_phase_shifters_are_refused_when_light_does_not_reach_the_detector() -> None:
    settings = scene_settings()
    lossy = replace(QUIET, connector_loss_db=60.0)
    bench = bench_with_results(replace(settings, forward_fibre=lossy))
    with pytest.raises(CalibrationError, match="client's record shows no fringes"):
        bench.run(
            routine("phase_shifters"), {"if_cycles_per_symbol": 0.0, "attempts": 1, "slots": 64}
        )


def test_a_burst_is_refused_when_the_phase_moves_too_fast(calibrated: CalibrationBench) -> None:
    fast = replace(QUIET, thermal_phase_rad_per_sqrt_s=30.0)
    bench = bench_with_results(replace(scene_settings(), forward_fibre=fast, return_fibre=fast))
    for name in ("phase_shifters", "polarisation", "delay"):
        bench.results[name] = calibrated.results[name]
    with pytest.raises(PhaseError, match="too fast"):
        run(bench, "phase_lock")


def test_stage_tells_homodyne_by_its_intermediate_frequency(calibrated: CalibrationBench) -> None:
    homodyne = calibrated.context(routine("loss"), {"if_cycles_per_symbol": 0.0})
    assert Stage(homodyne).is_homodyne
    assert Stage(homodyne).recorded_share == 1.0
    heterodyne = calibrated.context(routine("loss"))
    assert not Stage(heterodyne).is_homodyne
    assert Stage(heterodyne).recorded_share == 0.5
