"""Instruments against the power at the points of the scene, with its analytic losses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.instruments import BiasPoint
from sim_backend.instruments import Fault, FaultKind, SimulatedBench
from sim_backend.instruments.parts import PhasePart
from sim_backend.instruments.phase_driver import PHASE_DRIVER_LIMITS, SimulatedPhaseDriver
from sim_backend.instruments.remote import Latency, RemoteControl
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.mesh import Mesh, MeshSettings
from tests.unit.sim_backend.instruments.simulated_helpers import QUIET, lit_rig, quiet_bench, rig

# 10 mW, modulator 4 dB at its brightest, 1 % monitor, attenuator with 1 dB insertion loss.
BRIGHT_W = 10e-3 * 10**-0.4


def _drive_to_peak(bench: SimulatedBench) -> None:
    modulator = bench.scene.weight_modulator
    modulator.bias_v = modulator.null_v() + modulator.settings.bias_half_wave_v


def test_laser_sets_the_power_at_its_output_when_settled() -> None:
    bench = quiet_bench()
    with bench.laser("server", "laser") as laser:
        laser.set_power(3e-3)
        assert bench.scene.idle_power_w("server_laser") == 0
        laser.set_emission(True)
        laser.wait_settled(10.0)
        assert bench.scene.idle_power_w("server_laser") == pytest.approx(3e-3, rel=1e-3)
    assert bench.scene.idle_power_w("server_laser") == 0


def test_laser_is_not_settled_before_seven_time_constants_when_switched_on() -> None:
    bench = SimulatedBench()  # a time constant of 0.5 s; settled within 1e-3, that is after 6.9
    with bench.laser("server", "laser") as laser:
        laser.set_emission(True)
        start_s = bench.clock.now()
        assert not laser.is_settled()
        laser.wait_settled(60.0)
    assert bench.clock.now() - start_s == pytest.approx(0.5 * math.log(1000), rel=0.01)


def test_laser_moves_the_frequency_of_the_light_when_tuned() -> None:
    bench = quiet_bench()
    with bench.laser("client", "oscillator") as laser:
        laser.set_wavelength(1550.1e-9)
        laser.set_emission(True)
        laser.wait_settled(10.0)
        shift_hz = bench.scene.client_oscillator_laser.frequency_hz()
    assert shift_hz == pytest.approx(-299792458 / 1550e-9 * (0.1 / 1550.1), rel=1.1e-4)


def test_attenuator_takes_its_decibels_off_the_launch_when_open() -> None:
    with lit_rig() as ready:
        _drive_to_peak(ready.bench)
        for attenuation_db in (0.0, 10.0, 47.5):
            ready.attenuator.set_attenuation_db(attenuation_db)
            expected_w = BRIGHT_W * 0.99 * 10 ** (-(1.0 + attenuation_db) / 10)
            launched_w = ready.bench.scene.idle_power_w("launch")
            assert launched_w == pytest.approx(expected_w, rel=1e-3)


def test_attenuator_takes_twelve_time_constants_when_set() -> None:
    with lit_rig() as ready:
        start_s = ready.bench.clock.now()
        ready.attenuator.set_attenuation_db(3.0)
        settling_s = ready.bench.scene.launch_attenuator.settings.settling_s
        assert ready.bench.clock.now() - start_s > 12 * settling_s


def test_shutter_darkens_the_launch_when_closed() -> None:
    with lit_rig() as ready:
        _drive_to_peak(ready.bench)
        open_w = ready.bench.scene.idle_power_w("launch")
        ready.attenuator.set_shutter(False)
        assert ready.bench.scene.idle_power_w("launch") == pytest.approx(open_w * 1e-10, rel=1e-6)


def test_switch_takes_twelve_time_constants_when_it_switches() -> None:
    bench = quiet_bench()
    with bench.switch("server", "return_switch") as switch:
        start_s = bench.clock.now()
        switch.select("light")
        # 12 ms of settling, one message to select and one to read back.
        assert bench.clock.now() - start_s == pytest.approx(14e-3)
        assert bench.scene.server_switch.transmission() == pytest.approx(10**-0.05, rel=1e-4)


def test_switch_isolates_the_client_when_blocked() -> None:
    with lit_rig() as ready:
        _drive_to_peak(ready.bench)
        open_w = ready.bench.scene.idle_power_w("client_signal")
        ready.signal_switch.select("blocked")
        blocked_w = ready.bench.scene.idle_power_w("client_signal")
        assert blocked_w == pytest.approx(open_w * 1e-7, rel=0.05)  # 70 dB


def test_bias_scan_gives_the_mach_zehnder_curve_when_seen_by_the_power_meter() -> None:
    bench = quiet_bench()
    head = PowerHeadSettings(relative_error=0.0, offset_w=0.0)
    with (
        rig(bench) as ready,
        bench.power_meter("server", "launch_power_meter", settings=head) as meter,
    ):
        ready.light(10e-3, 5e-3, 30.0)
        settings = QUIET.weight_modulator
        leak = 10 ** (-settings.extinction_db / 10)
        for volts in np.linspace(-10, 10, 41):
            ready.weight_bias.set_voltage(0, float(volts))
            half = math.pi / 2 * (volts - settings.null_v) / settings.bias_half_wave_v
            curve = (1 - leak) * math.sin(half) ** 2 + leak
            assert meter.power_w() == pytest.approx(0.01 * BRIGHT_W * curve, rel=2e-3)


def test_power_meter_shows_its_calibration_error_and_loses_its_offset_when_zeroed() -> None:
    bench = quiet_bench()
    head = PowerHeadSettings(relative_error=0.03, offset_w=1e-9)
    with (
        rig(bench) as ready,
        bench.power_meter("client", "oscillator_power_meter", settings=head) as meter,
    ):
        assert meter.power_w() == pytest.approx(1e-9, rel=0.01)
        meter.zero()
        assert abs(meter.power_w()) < 1e-11
        ready.light(10e-3, 5e-3, 30.0)
        assert meter.power_w() == pytest.approx(1.03 * 5e-3 * 10**-0.4, rel=1e-3)


def test_power_meter_averages_in_simulated_time_when_it_reads() -> None:
    bench = quiet_bench()
    with bench.power_meter("server", "launch_power_meter") as meter:
        meter.set_averaging(2.5)
        start_s = bench.clock.now()
        meter.power_w()
    assert bench.clock.now() - start_s == pytest.approx(2.5 + 1e-3)


def test_power_meter_misreads_when_told_a_wrong_wavelength() -> None:
    bench = quiet_bench()
    with rig(bench) as ready, bench.power_meter("server", "oscillator_power_meter") as meter:
        ready.light(10e-3, 2e-3, 30.0)
        right_w = meter.power_w()
        meter.set_wavelength(1310e-9)
        assert meter.power_w() == pytest.approx(right_w * 1550 / 1310, rel=1e-4)


def test_polarisation_controller_turns_the_light_when_set() -> None:
    with lit_rig() as ready:
        bench = ready.bench
        with bench.polarisation_controller("client", "polarisation") as controller:
            # A half-wave plate at 45 degrees swaps the two polarisations: no beat is left.
            parallel_v = float(np.std(ready.shoot(8000)[0].volts))
            controller.set_angles(np.array([0.0, math.pi, 0.0, 0.0]))
            crossed_v = float(np.std(ready.shoot(8000)[0].volts[0, 5000:]))
        assert bench.scene.client_polarisation.angles()[1] == pytest.approx(math.pi)
    assert crossed_v < 0.05 * parallel_v


@pytest.mark.parametrize("point", list(BiasPoint), ids=[point.value for point in BiasPoint])
def test_bias_controller_finds_the_point_when_it_locks(point: BiasPoint) -> None:
    with lit_rig() as ready:
        modulator = ready.bench.scene.weight_modulator
        ready.weight_bias.lock(0, point)
        assert not ready.weight_bias.is_locked(0)
        ready.bench.clock.sleep(2.0)
        assert ready.weight_bias.is_locked(0)
        phase = math.pi * (ready.weight_bias.voltage(0) - modulator.null_v())
        phase /= modulator.settings.bias_half_wave_v
        wanted = {"null": 0.0, "quadrature": math.pi / 2, "peak": math.pi}[point.value]
        # Residual 2 mrad root mean square: 7 sigma, probability 3e-12.
        assert abs(math.remainder(phase - wanted, 2 * math.pi)) < 0.014


def test_bias_controller_keeps_a_small_error_when_locked() -> None:
    with lit_rig() as ready:
        modulator = ready.bench.scene.weight_modulator
        ready.weight_bias.lock(0, BiasPoint.NULL)
        ready.bench.clock.sleep(2.0)
        errors = []
        for _ in range(400):  # each 20 time constants after the one before: independent
            ready.bench.clock.sleep(1.0)
            volts = modulator.bias_v - modulator.null_v()
            errors.append(math.pi * volts / modulator.settings.bias_half_wave_v)
    # Relative error of the estimate sqrt(1/800) = 3.5 %: 25 % is 7 sigma.
    assert np.std(errors) == pytest.approx(2e-3, rel=0.25)


def test_bias_controller_follows_the_drift_when_time_passes() -> None:
    drifting = replace(QUIET.weight_modulator, bias_drift_v=0.5)
    with lit_rig(settings=replace(QUIET, weight_modulator=drifting)) as ready:
        bench = ready.bench
        modulator = bench.scene.weight_modulator
        ready.weight_bias.lock(0, BiasPoint.NULL)
        bench.clock.sleep(2.0)
        before_v = modulator.null_v()
        bench.clock.sleep(7200.0)
        drift_v = modulator.null_v() - before_v
        assert abs(drift_v) > 0.1
        bench.clock.sleep(1.0)
        assert modulator.bias_v == pytest.approx(modulator.null_v(), abs=0.02)


def test_bias_controller_takes_the_next_null_when_the_nearest_is_out_of_reach() -> None:
    far = replace(QUIET, weight_modulator=replace(QUIET.weight_modulator, null_v=10.5))
    with rig(quiet_bench(settings=far)) as ready:  # its limits are -10 to 10 V, a period is 10 V
        ready.laser.set_emission(True)
        ready.weight_bias.set_voltage(0, 9.0)
        ready.weight_bias.lock(0, BiasPoint.NULL)
        ready.bench.clock.sleep(2.0)
        assert ready.weight_bias.voltage(0) == pytest.approx(0.5, abs=0.03)


def test_bias_controller_does_not_lock_when_the_modulator_is_dark() -> None:
    bench = quiet_bench()
    with rig(bench) as ready:
        ready.weight_bias.lock(0, BiasPoint.NULL)
        bench.clock.sleep(10.0)
        assert not ready.weight_bias.is_locked(0)
        ready.laser.set_emission(True)
        bench.clock.sleep(2.0)
        assert ready.weight_bias.is_locked(0)


def test_messages_take_their_transfer_time_when_sent() -> None:
    bench = quiet_bench()
    bench.latencies["server.laser"] = Latency(transfer_s=0.25)
    with bench.laser("server", "laser") as laser:
        start_s = bench.clock.now()
        laser.power_w()
        assert bench.clock.now() - start_s == pytest.approx(0.25)
        laser.set_power(1e-3)  # and its readback
        assert bench.clock.now() - start_s == pytest.approx(0.75)


def test_instruments_of_the_same_role_are_told_apart_when_asked_who_they_are() -> None:
    bench = quiet_bench(seed=9)
    server = bench.power_meter("server", "oscillator_power_meter")
    client = bench.power_meter("client", "oscillator_power_meter")
    assert server.open().text == (
        "veilight simulated power meter server-oscillator_power_meter-9 1.0"
    )
    assert client.open().serial == "client-oscillator_power_meter-9"
    assert server.simulated


def test_meters_have_noise_of_their_own_when_dark() -> None:
    def reading(party: str, seed: int) -> float:
        with quiet_bench(seed=seed).power_meter(party, "oscillator_power_meter") as meter:
            return meter.power_w()

    readings = [reading("server", 1), reading("client", 1), reading("server", 2)]
    assert len(set(readings)) == 3
    assert reading("server", 1) == readings[0]


def test_bench_repeats_exactly_when_the_seed_is_the_same() -> None:
    def record(seed: int) -> bytes:
        with rig(SimulatedBench(seed=seed)) as ready:
            ready.light(10e-3, 5e-3, 30.0)
            return ready.record(1000).tobytes()

    assert record(4) == record(4)
    assert record(4) != record(5)


def test_amplifier_multiplies_its_seed_when_pumped() -> None:
    with lit_rig() as ready:
        _drive_to_peak(ready.bench)
        ready.attenuator.set_attenuation_db(3.0)
        with ready.bench.optical_amplifier("client", "amplifier") as amplifier:
            seed_w = amplifier.seed_power_w()
            assert seed_w == pytest.approx(ready.bench.scene.idle_power_w("client_input"), rel=1e-6)
            amplifier.set_gain_db(10.0)
            assert amplifier.output_power_w() == pytest.approx(0.1 * seed_w, rel=1e-4)
            amplifier.set_pump(True)
            # 2 n_sp (G-1) h nu B with n_sp = 1, B = 4 THz: 9 uW.
            expected_w = 10 * seed_w + 2 * 9 * 1.28161e-19 * 4e12
            assert amplifier.output_power_w() == pytest.approx(expected_w, rel=1e-4)


def test_phase_driver_turns_its_mesh_by_the_square_of_the_voltage() -> None:
    bench = quiet_bench()
    settings = MeshSettings(ports=4, phase_error_rad=0.0)
    mesh = Mesh(settings, rng=np.random.default_rng(1))
    driver = SimulatedPhaseDriver(
        "mesh_driver",
        limits=PHASE_DRIVER_LIMITS,
        remote=RemoteControl(
            party="client",
            role="mesh_driver",
            model="simulated phase driver",
            seed=1,
            clock=bench.clock,
            fault=lambda _: None,
        ),
        part=PhasePart(mesh),
    )
    volts = np.linspace(0.0, 10.0, 16)
    with driver:
        start_s = bench.clock.now()
        driver.set_voltages(volts)
        assert bench.clock.now() - start_s == pytest.approx(2e-3 + 1e-4)
        np.testing.assert_allclose(mesh.phases(), math.pi * (volts / 4.0) ** 2)
    np.testing.assert_allclose(mesh.phases(), 0.0)


def test_phase_driver_is_refused_when_its_channels_do_not_fit_the_mesh() -> None:
    limits = replace(PHASE_DRIVER_LIMITS, channels=15)
    with pytest.raises(ConfigurationError, match="15 channels for 16 phase shifters"):
        quiet_bench().phase_driver("client", "mesh_driver", limits=limits)


def test_attenuator_is_refused_when_the_scene_cannot_do_as_much() -> None:
    weak = replace(QUIET, launch_attenuator=replace(QUIET.launch_attenuator, highest_db=60.0))
    with pytest.raises(ConfigurationError, match=r"100.0 dB is beyond the 60.0 dB"):
        quiet_bench(settings=weak).attenuator("server", "attenuator")


def test_polarisation_controller_is_refused_when_its_channels_do_not_fit() -> None:
    three = replace(QUIET, client_polarisation=replace(QUIET.client_polarisation, channels=3))
    with pytest.raises(ConfigurationError, match="4 channels for 3 retarders"):
        quiet_bench(settings=three).polarisation_controller("client", "polarisation")


def test_bench_refuses_a_role_when_the_scene_has_no_place_for_it() -> None:
    with pytest.raises(ConfigurationError, match="nothing for an instrument in role 'lasser'"):
        quiet_bench().laser("server", "lasser")


def test_oscillator_power_meter_sees_what_the_detector_gets_when_the_oscillator_is_weak() -> None:
    bench = quiet_bench(Fault(kind=FaultKind.OSCILLATOR_LOW, target="server", size=0.5))
    with rig(bench) as ready, bench.power_meter("server", "oscillator_power_meter") as meter:
        ready.light(10e-3, 2e-3, 30.0)
        assert meter.power_w() == pytest.approx(1.01 * 1e-3, rel=1e-3)
