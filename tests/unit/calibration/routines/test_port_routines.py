"""Noise, photons and loss of a bench with an amplifier of four ports, against what the scene knows.

Intervals are widened to seven of their own standard deviations, so that a failure is no chance.
"""

import math
from typing import get_args

import pytest

from calibration.result import Result
from calibration.routine import Routine
from calibration.routines import amplifier_routines
from calibration.routines._roles import Party
from calibration.routines.port_loss import PortLoss
from calibration.routines.port_noise import PortNoise
from calibration.routines.port_photons import PortPhotons
from drivers.errors import CalibrationError, LimitError, SafetyError
from drivers.instruments import Attenuator, Instrument, Laser
from sim_backend.scene import amplifier_truth as truth
from sim_backend.scene.amplifier_bench import AmplifierBench
from tests.amplifier_files import (
    INVERSION,
    PORTS,
    FileBenches,
    amplifier_results,
    open_file_benches,
)

GAIN, RATE_HZ, SLOT_HZ = 2.0, 800e6, 100e6
POWERS = {"server_laser": 20e-3, "server_oscillator_laser": 16e-3, "client_oscillator_laser": 2e-3}


@pytest.fixture(scope="module")
def benches() -> FileBenches:
    return amplifier_results()


@pytest.fixture(scope="module")
def scene() -> AmplifierBench:
    """A scene of the same specimens with the light on, for its answers."""
    opened = open_file_benches().simulated.scene
    for name, power_w in POWERS.items():
        laser = getattr(opened, name)
        laser.set_power_w(power_w)
        laser.set_emission(True)
    opened.clock.advance(60.0)
    return opened


def misfit(result: Result, name: str, value: float) -> float:
    """Deviation in standard uncertainties."""
    found = result[name]
    return abs(found.value - value) / found.uncertainty


@pytest.mark.parametrize("party", get_args(Party))
def test_port_noise_finds_electronic_and_shot_noise(
    benches: FileBenches, scene: AmplifierBench, party: Party
) -> None:
    result = benches.results["port_noise"]
    dark = truth.electronic_variance_v2(scene, party, rate_hz=RATE_HZ, range_v=1.0)
    shot = truth.shot_variance_v2(scene, party, rate_hz=RATE_HZ)
    clearance_db = 10 * math.log10(1 + shot / dark)
    for channel in range(1 if party == "client" else PORTS):
        assert misfit(result, f"{party}_{channel}_electronic_v2", dark) < 7
        # The detector's bandwidth takes a per cent of the noise between the slots' frequencies.
        found = result[f"{party}_{channel}_shot_v2"]
        assert abs(found.value / shot - 1) < 0.01 + 7 * found.uncertainty / shot
        assert misfit(result, f"{party}_{channel}_clearance_db", clearance_db) < 7


def test_port_photons_finds_v_pi_and_photons(benches: FileBenches, scene: AmplifierBench) -> None:
    result = benches.results["port_photons"]
    wanted = scene.settings.weight_modulator.half_wave_v
    assert abs(result["weight_v_pi_v"].value / wanted - 1) < 2e-3
    scene.launch_attenuator.set_attenuation_db(result["attenuation_db"].value)
    scene.launch_attenuator.shutter_open = True
    scene.clock.advance(10.0)
    photons = truth.full_photons(scene, slot_rate_hz=SLOT_HZ)
    for port in range(PORTS):
        # The meter of the scene reads a hundredth too much, which the routine is told.
        assert abs(result[f"full_photons_{port}"].value / photons[port] - 1.01) < 3e-3


def test_port_photons_leaves_room_for_the_pilots(benches: FileBenches) -> None:
    """200 photons in a Hann pulse of 8 samples, at 0.95 of the amplitude that passes."""
    full = benches.results["port_photons"]["full_photons_0"].value
    peak2 = math.sin(math.pi * 3.5 / 8) ** 4 / 3.0
    assert math.sqrt(200.0 * 8 * peak2 / full) == pytest.approx(0.95, rel=5e-3)


def test_port_loss_finds_gains_delays_and_noise(
    benches: FileBenches, scene: AmplifierBench
) -> None:
    result = benches.results["port_loss"]
    forward, back = truth.forward_transmittance(scene), truth.return_transmittance(scene)
    efficiency = truth.detection_efficiency(scene) / 2
    meter = math.sqrt(1.01)  # photons are counted by a meter that reads a hundredth too much
    client = math.sqrt(forward * (GAIN - 1) * efficiency) / meter
    returned = math.sqrt(forward * back * efficiency) / meter
    # The phase that tracking leaves, and the shot noise's uncertainty, are beside the scatter.
    assert abs(result["client_gain"].value / client - 1) < 0.02
    assert abs(result["return_gain"].value / returned - 1) < 0.02
    assert misfit(result, "forward_transmittance", forward) < 7
    assert result["return_gain_scatter"].value < 5e-3
    added = efficiency * (1 - 1 / GAIN) * 2 * INVERSION * (GAIN - 1)
    dark = truth.electronic_variance_v2(scene, "client", rate_hz=RATE_HZ, range_v=1.0)
    shot = truth.shot_variance_v2(scene, "client", rate_hz=RATE_HZ)
    assert misfit(result, "client_vacuum_snu", 1 + added + dark / shot) < 7
    for name in ("forward_delay_s", "round_trip_delay_s"):
        assert abs(result[name].value) < 0.05 / RATE_HZ
    for party in ("client", "server"):
        assert 0 < result[f"{party}_phase_variance_rad2"].value < 0.01


def test_routines_leave_the_bench_safe_and_never_pump_without_seed(benches: FileBenches) -> None:
    for instrument in benches.access.instruments.values():
        assert isinstance(instrument, Instrument)
        assert instrument.is_safe()
    assert not benches.simulated.scene.amplifier.unseeded


@pytest.mark.parametrize("name", ["port_noise", "port_photons", "mesh"])
def test_routine_switches_no_light_on_when_a_bench_is_latched(name: str) -> None:
    benches = open_file_benches()
    benches.client.make_safe("a tester pressed the button")
    routine = amplifier_routines().get(name)
    with pytest.raises(SafetyError, match="a tester pressed the button"):
        benches.run(routine, {"samples": 1 << 16} if name == "port_noise" else None)
    assert not benches.client.get("seed_laser", Laser).emission()
    assert not benches.simulated.scene.amplifier.pump
    assert not benches.server.get("attenuator", Attenuator).shutter_open()


def test_port_noise_refuses_when_an_oscillator_is_lost() -> None:
    benches = open_file_benches(server_detector={"efficiency": 1e-4})
    with pytest.raises(CalibrationError, match="server_0: the oscillator raises the noise"):
        benches.run(PortNoise(), {"samples": 1 << 16})


def test_port_photons_refuses_when_the_light_does_not_reach_the_pilots() -> None:
    benches = open_file_benches()
    with pytest.raises(CalibrationError, match=r"pilots of 1e\+07 photons need an attenuation"):
        benches.run(PortPhotons(), {"pilot_photons": 1e7})


def test_port_photons_refuses_an_attenuation_that_the_bench_forbids() -> None:
    benches = open_file_benches()
    with pytest.raises(LimitError, match="attenuation"):
        benches.run(PortPhotons(), {"attenuation_db": 10.0})
    assert not benches.server.get("attenuator", Attenuator).shutter_open()


@pytest.mark.parametrize(
    ("routine", "setting"),
    [(PortPhotons(), "sweeps"), (PortLoss(), "vectors")],
    ids=["photons", "loss"],
)
def test_routine_refuses_too_few_repetitions(
    benches: FileBenches, routine: Routine, setting: str
) -> None:
    with pytest.raises(CalibrationError, match=f"{setting} is 3, 4 are needed"):
        benches.run(routine, {setting: 3})
